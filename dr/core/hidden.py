"""What lives on a cluster and is not in git: what controllers derive is told from what somebody made. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache

from msgspec import Struct

from dr.core.body import home_group
from dr.core.model import Ref
from dr.core.rules.parity import SYSTEM
from dr.core.rules.writers import ENGINE_MARKS, MADE, MADE_BY, WRITERS

_RELEASE, _RELEASE_HOME = "meta.helm.sh/release-name", "meta.helm.sh/release-namespace"
_ORDINAL = re.compile(r"-\d+")


class Written(Struct, frozen=True, gc=False):
    """A field manager of an object, and when it wrote last; `status`: only what a controller reports."""

    manager: str
    time: str = ""
    status: bool = False


class Live(Struct, frozen=True, gc=False):
    """A live object as far as it tells where it comes from. `owners` are UIDs."""

    ref: Ref
    uid: str = ""
    created: str = ""
    owners: tuple[str, ...] = ()
    writers: tuple[Written, ...] = ()
    marks: frozenset[str] = frozenset()
    release: tuple[str, str] = ("", "")


class Hidden(Struct, frozen=True, order=True):
    """An object that a rebuild from git would not bring back, or only because a controller does.

    `by`: hand, helm, engine (it manages the object, and this commit does not hold it), controller or unknown. `who`:
    the release, the engine or the last writer. `created` and `written` are wall times.
    """

    ref: Ref
    by: str
    who: str
    created: str
    written: str

    @property
    def lost(self) -> bool:
        """Whether it would be gone: nothing makes it again."""
        return self.by != "controller"


class Owner(Struct, gc=False):
    """Who owns an object."""

    uid: str = ""


class Field(Struct, gc=False):
    """Who wrote fields of an object; which is not of interest, and most of what a list weighs."""

    manager: str = ""
    time: str = ""
    subresource: str = ""


class Meta(Struct, rename="camel", gc=False):
    """As much of an object's metadata as tells where it comes from."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    creation_timestamp: str = ""
    owner_references: tuple[Owner, ...] = ()
    managed_fields: tuple[Field, ...] = ()
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


def live(api_version: str, kind: str, meta: Meta) -> Live:
    """Return where an object says that it comes from; of labels and annotations the names only."""
    return Live(
        Ref(api_version, kind, meta.namespace, meta.name),
        meta.uid,
        meta.creation_timestamp,
        tuple(owner.uid for owner in meta.owner_references),
        tuple(Written(field.manager, field.time, field.subresource == "status") for field in meta.managed_fields),
        frozenset(meta.labels.keys() | meta.annotations.keys()),
        (meta.annotations.get(_RELEASE_HOME, ""), meta.annotations.get(_RELEASE, "")),
    )


def hidden(
    found: Sequence[Live],
    git: Iterable[Ref],
    derived: Iterable[Ref] = (),
    releases: Collection[tuple[str, str]] = (),
) -> tuple[Hidden, ...]:
    """Return what lives on a cluster and is not in git, sorted; nothing of what the cluster makes by itself.

    git: the commit's objects. derived: what controllers make of them (one without a namespace may be in any).
    releases: namespace and name of the Helm releases that git declares; a namespace may be "".
    What another live object owns is not among them: its owner is, where nobody in git asked for that.
    """
    known = {_identity(ref) for ref in (*git, *derived)}
    uids = {one.uid for one in found if one.uid}
    sets = {(one.ref.namespace, one.ref.name) for one in found if one.ref.kind == "StatefulSet"}
    names = {one.ref.name for one in found if one.ref.kind in _WORKS}
    declared = frozenset(releases)
    told = []
    for one in found:
        ref = one.ref
        asked = _identity(ref) in known or (home_group(ref.group, ref.kind), ref.kind, "", ref.name) in known
        if asked or not ref.name or f"{ref.group}/{ref.kind}" in MADE or uids.intersection(one.owners):
            continue
        by, who = _origin(one, declared, names)
        if by == "system" or _made_by_the_cluster(one, by) or _claimed(ref, sets):
            continue
        written = max((w.time for w in one.writers if not w.status), default="")
        told.append(Hidden(ref, by, who, one.created, written))
    return tuple(sorted(told))


_WORKS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ServiceAccount"})


def _identity(ref: Ref) -> tuple[str, str, str, str]:
    return home_group(ref.group, ref.kind), ref.kind, ref.namespace, ref.name


def _origin(one: Live, releases: Collection[tuple[str, str]], names: Collection[str]) -> tuple[str, str]:
    """Return who is behind an object, and that one's name."""
    home, release = one.release
    if release:
        return ("system", "") if {(home, release), ("", release)} & set(releases) else ("helm", release)
    if mark := next((mark for mark in MADE_BY if mark in one.marks), ""):
        return "controller", mark.partition("/")[0]
    writers = sorted((w for w in one.writers if not w.status), key=lambda w: w.time, reverse=True)
    kinds = [(_kind(w.manager), w.manager) for w in writers]
    for wanted in ("hand", "engine", "helm"):
        if who := next((manager for kind, manager in kinds if kind == wanted), ""):
            engine = any(mark in one.marks for mark in ENGINE_MARKS)
            return ("engine" if wanted == "hand" and engine else wanted), who
    for kind, manager in kinds:
        if kind != "system":
            return ("controller" if _runs(manager, names) else "unknown"), manager
    return ("system", kinds[0][1]) if kinds else ("unknown", "")


@lru_cache(maxsize=1024)
def _kind(manager: str) -> str:
    lower = manager.lower()
    return next((kind for pattern, kind in WRITERS if fnmatchcase(lower, pattern)), "")


def _runs(manager: str, names: Collection[str]) -> bool:
    """Return whether a workload or an account of the cluster has a manager's name, or one that begins or ends so."""
    plain = manager.partition("/")[0].lower()
    return any(plain == name or name.endswith(f"-{plain}") or name.startswith(f"{plain}-") for name in names)


def _made_by_the_cluster(one: Live, by: str) -> bool:
    """Return whether clusters have such an object by themselves; what people wrote into their namespaces is not."""
    ref = one.ref
    for kind, namespace, name, mark in SYSTEM:
        if kind not in ("*", ref.kind) or kind == "PersistentVolumeClaim" or mark == _RELEASE:
            continue
        if namespace and namespace != ref.namespace:
            continue
        if (name and not fnmatchcase(ref.name, name)) or (mark and mark not in one.marks):
            continue
        # A whole namespace of the cluster's own: people put things there too, and forget them.
        if kind != "*" or name or mark or by not in ("hand", "helm"):
            return True
    return False


def _claimed(ref: Ref, sets: Collection[tuple[str, str]]) -> bool:
    """Return whether a StatefulSet made this claim, which then has the name `template-set-0` and no owner."""
    if ref.kind != "PersistentVolumeClaim":
        return False
    stem, number = ref.name[: -len(tail)] if (tail := _tail(ref.name)) else ref.name, _tail(ref.name)
    return bool(number) and any(home == ref.namespace and stem.endswith(f"-{name}") for home, name in sets)


def _tail(name: str) -> str:
    found = _ORDINAL.search(name, name.rfind("-")) if "-" in name else None
    return found[0] if found and found.end() == len(name) else ""
