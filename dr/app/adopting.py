"""Answers `--adopt`: what lives on the old cluster only, as a patch for the repo it belongs to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from posixpath import dirname, join

from dr.adapters import cache
from dr.adapters.git import open_repo
from dr.adapters.kube import Kube
from dr.adapters.manifests import parse, written
from dr.app.moves import Ready
from dr.core.adopted_place import Listing, homes, patch, place, unique, wanted
from dr.core.adopting import adopted
from dr.core.errors import UsageError
from dr.core.hidden import Hidden
from dr.core.model import Ref
from dr.core.overlay import KUSTOMIZATION_NAMES
from dr.report.console import many


class _Repo:
    """The first repo of a move: its folders, and which of them a kustomization or a chart rules."""

    def __init__(self, spec: str) -> None:
        whole = open_repo(spec, clones=cache.folder() / "clones")
        self.name = whole.pin.name
        self._prefix = whole.prefix
        listings = [e for e in whole.entries if e.path.rpartition("/")[2] in KUSTOMIZATION_NAMES]
        self._folders = {folder for e in whole.entries for folder in _above(e.path)}
        self._charts = {dirname(e.path) for e in whole.entries if e.path.rpartition("/")[2] == "Chart.yaml"}
        self._listings: dict[str, Listing] = {}
        for entry, content in whole.read(listings):
            found = parse(content).documents
            body = found[0].body if found and isinstance(found[0].body, dict) else {}
            self._listings[dirname(entry.path)] = Listing(entry.path, content.decode(errors="replace"), body)

    def home(self, ref: Ref, folders: Iterable[str]) -> tuple[str, Listing | None] | None:
        """Return the first folder that deploys an object as it is, and its kustomization; None when none does."""
        for folder in folders:
            path = folder if folder in self._folders else join(self._prefix, folder).rstrip("/")
            listing = self._listings.get(path)
            if path in self._folders and path not in self._charts and (listing is None or listing.takes(ref)):
                return path, listing
        return None


def _above(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(len(parts) + 1)]


async def adopt(ready: Ready, alone: Iterable[Hidden], to: Path, spec: str) -> tuple[str, ...]:
    """Write a patch for the repo `spec`; return what is to be said about it. Raises DrError."""
    repo, bodies, secrets = _Repo(spec), list[tuple[Ref, str]](), list[Hidden]()
    async with Kube(ready.old) as old:
        for one in wanted(alone, ready.move.left_behind):
            if one.ref.kind == "Secret":
                secrets.append(one)
            elif body := await old.read(one.ref):
                kind = {"apiVersion": one.ref.api_version, "kind": one.ref.kind}
                bodies.append((one.ref, written(adopted({**body, **kind}))))
    content, nowhere = patched(ready, repo, bodies)
    _write(to, content)
    context = ready.move.source.context
    return (
        f"{many(len(bodies), 'object')} written to {to}: git apply {to}, in {repo.name}",
        *(f"{path}: no folder of the repo deploys it as it is; put it where it belongs" for path in nowhere),
        *(
            f"{one.ref}: a Secret is not written in plain text; seal it: kubectl --context {context} "
            f"-n {one.ref.namespace} get secret {one.ref.name} -o yaml | kubeseal -o yaml"
            for one in secrets
        ),
    )


def _write(to: Path, content: bytes) -> None:
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{to} cannot be written: {error.strerror}", "give --adopt another path") from None


def patched(ready: Ready, repo: _Repo, bodies: Iterable[tuple[Ref, str]]) -> tuple[bytes, list[str]]:
    """Return objects as a patch, and the files in it that nothing deploys yet."""
    graph, resources = ready.loaded.graph, ready.loaded.source.resources
    units = [unit for unit in graph.units if unit.repo in ("", repo.name)]
    placed: list[tuple[str, str]] = []
    by: list[Listing | None] = []
    nowhere: list[int] = []
    for ref, text in bodies:
        found = repo.home(ref, homes(ref, resources, units))
        if found is None:
            nowhere.append(len(placed))
        folder, listing = found or (ready.move.repos[0].path, None)
        placed.append((place(ref, folder), text))
        by.append(listing)
    files = unique(placed)
    listed: Mapping[str, list[str]] = defaultdict(list)
    known = {listing.path: listing for listing in by if listing}
    for (path, _), listing in zip(files, by, strict=True):
        if listing:
            listed[listing.path].append(path)
    content = patch(files, {path: (known[path], names) for path, names in listed.items()})
    return content, [files[index][0] for index in nowhere]
