"""What stands against moving a platform from one cluster to another: each finding with what to do. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from dr.core.body import get, items, text
from dr.core.byhand import keeps
from dr.core.census import Census
from dr.core.forklift import Forklift, named
from dr.core.hidden import Hidden, hidden
from dr.core.model import Level, Ref, Resource
from dr.core.moving_identity import identity
from dr.core.moving_keys import SEALING, keys
from dr.core.moving_room import room
from dr.core.moving_row import Row

LIVE_ONLY = "live-only"
_RELEASES = {
    "helm.toolkit.fluxcd.io/HelmRelease": (("spec", "releaseName"), ("spec", "targetNamespace")),
    "helm.fluxcd.io/HelmRelease": (("spec", "releaseName"), ("spec", "targetNamespace")),
    "helm.cattle.io/HelmChart": (("metadata", "name"), ("spec", "targetNamespace")),
    "argoproj.io/Application": (("spec", "source", "helm", "releaseName"), ("spec", "destination", "namespace")),
}
_REMEDY = {
    "hand": "put it into git (--adopt writes a patch), or name it under `left_behind`",
    "helm": "declare the release in git, or name it under `left_behind`",
    "engine": "its engine deployed it and this commit has it no more: delete it, or read the repo it comes from too",
    "controller": "nothing: its controller makes it again",
    "unknown": "find out who writes it; put it into git, or name it under `left_behind`",
}
_BEHIND = 0.5  # of the commit's objects must be on the old cluster, or it is not the one


def releases(resources: Iterable[Resource]) -> frozenset[tuple[str, str]]:
    """Return namespace and name of the Helm releases that git declares; "" for a namespace that is not said."""
    found = set()
    for resource in resources:
        paths = _RELEASES.get(f"{resource.ref.group}/{resource.ref.kind}")
        if paths:
            name, home = (str(get(resource.body, *path) or "") for path in paths)
            own = {name or resource.ref.name, f"{home}-{resource.ref.name}" if home else resource.ref.name}
            found |= {(home or resource.ref.namespace, one) for one in own} | {("", one) for one in own}
    return frozenset(found)


def live_only(census: Census, git: Collection[Ref], derived: Iterable[Ref], resources: Iterable[Resource]) -> tuple[
    Hidden, ...
]:  # fmt: skip
    """Return what lives on the old cluster and is not in git."""
    return hidden(census.live, git, derived, releases(resources))


def findings(
    old: Census,
    new: Census,
    move: Forklift,
    resources: Sequence[Resource],
    git: Sequence[Ref],
    alone: Sequence[Hidden],
    *,
    begun: bool = False,
) -> tuple[Row, ...]:
    """Return everything that stands against a move, sorted by how bad it is.

    resources and git: the objects of the commit. alone: what lives on the old cluster only. begun: the move has begun,
    so that the new cluster holds a part of it.
    """
    rows = [
        *_whole(old, new, git, begun=begun),
        *_alone(alone, move.left_behind),
        *_data(old, move, git),
        *keys(old, new, move, resources),
        *identity(old, new, move, resources),
        *room(old, new, resources),
    ]
    order = {Level.ERROR: 0, Level.WARNING: 1, Level.INFO: 2}
    return tuple(sorted(set(rows), key=lambda row: (order[row.level], row)))


def _whole(old: Census, new: Census, git: Sequence[Ref], *, begun: bool) -> Iterator[Row]:
    for side, census in (("from", old), ("to", new)):
        for kind, cause in census.refused:
            yield Row(
                "read",
                Level.ERROR,
                kind,
                f"cannot be listed on `{side}`: {cause}; what of it lives there is not known",
                "grant `list` on it, or use a context that has it",
            )
    there = {(one.ref.kind, one.ref.namespace, one.ref.name) for one in old.live}
    held = sum(1 for ref in git if (ref.kind, ref.namespace, ref.name) in there)
    if held < _BEHIND * len(git):
        cause = f"`from` holds {held} of the commit's {len(git)} objects"
        yield Row("swapped", Level.ERROR, "from", cause, "are `from` and `to` swapped, or is this another repo's?")
    else:
        yield Row("swapped", Level.INFO, "from", f"holds {held} of the commit's {len(git)} objects")
    if not begun:
        brought = {one.ref for one in old.live if SEALING in one.marks}  # it must be there before the platform
        own = [
            one for one in hidden(new.live, ()) if one.lost and one.ref.kind != "Namespace" and one.ref not in brought
        ]
        if own:
            few = ", ".join(str(one.ref) for one in own[:5])
            yield Row("empty", Level.ERROR, "to", f"is not empty: {len(own)} objects, {few}", "give a fresh cluster")
        else:
            yield Row("empty", Level.INFO, "to", "is empty")
    if _minor(new.version) < _minor(old.version):
        cause = f"runs {new.version}, older than {old.version} of `from`"
        yield Row("version", Level.ERROR, "to", cause, "move to the same version or a newer one")
    else:
        yield Row("version", Level.INFO, "to", f"runs {new.version}, `from` {old.version}")


def _minor(version: str) -> tuple[int, ...]:
    parts = version.lstrip("v").split(".")[:2]
    return tuple(int("".join(c for c in part if c.isdigit()) or 0) for part in parts)


def _alone(alone: Iterable[Hidden], left: Sequence[str]) -> Iterator[Row]:
    for one in alone:
        name = f"{one.ref.kind}/{one.ref.namespace}/{one.ref.name}"
        behind = any(fnmatchcase(name, pattern) for pattern in left)
        who = f" by {one.who}" if one.who else ""
        cause = f"is not in git: {one.by}{who}, made {one.created or '?'}, last written {one.written or '?'}"
        if behind:
            yield Row(LIVE_ONLY, Level.INFO, str(one.ref), f"{cause}; left behind, as the file says")
        else:
            level = Level.ERROR if one.lost else Level.INFO
            yield Row(LIVE_ONLY, level, str(one.ref), cause, _REMEDY[one.by])


def _data(old: Census, move: Forklift, git: Iterable[Ref]) -> Iterator[Row]:
    moved = {(named(data.of).kind, named(data.of).namespace, named(data.of).name): data.name for data in move.data}
    claims = {data.volume.claim: data.name for data in move.data if data.volume}
    homes = {home: data.name for data in move.data if data.velero for home in data.velero.namespaces}
    sets = {
        (text(body, "metadata", "namespace"), text(body, "metadata", "name")): items(
            body, "spec", "volumeClaimTemplates"
        )
        for body in old.of("StatefulSet")
    }
    remedy = "say under `data` how it moves, or name it under `left_behind`"

    def row(ref: Ref, what: str) -> Row:
        by = (
            moved.get((ref.kind, ref.namespace, ref.name))
            or claims.get(f"{ref.namespace}/{ref.name}")
            or homes.get(ref.namespace)
        )
        if by:
            return Row("data", Level.INFO, str(ref), f"{what}: moves as {by}")
        name = f"{ref.kind}/{ref.namespace}/{ref.name}"
        if any(fnmatchcase(name, pattern) for pattern in move.left_behind):
            return Row("data", Level.INFO, str(ref), f"{what}: left behind, as the file says")
        return Row("data", Level.ERROR, str(ref), f"{what}: comes back empty", remedy)

    for ref in sorted(set(git)):
        if ref.kind == "StatefulSet":
            if sets.get((ref.namespace, ref.name)):
                yield row(ref, "keeps data in volumes")
        elif keeps(ref) and ref.kind not in ("PersistentVolumeClaim", "PersistentVolume"):
            yield row(ref, "is a database")
    for body in old.of("PersistentVolumeClaim"):
        namespace, name = text(body, "metadata", "namespace"), text(body, "metadata", "name")
        own = any(home == namespace and f"-{of}-" in name for home, of in sets)
        if not own and text(body, "status", "phase") == "Bound":
            size = text(body, "status", "capacity", "storage")
            yield row(Ref("v1", "PersistentVolumeClaim", namespace, name), f"holds a volume of {size or '?'}")
