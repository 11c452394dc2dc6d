"""Where in a repo an adopted object belongs, so that what deploys its neighbours deploys it too; as a patch. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from difflib import unified_diff
from fnmatch import fnmatchcase
from posixpath import join, relpath
from typing import Any

from msgspec import Struct

from dr.core.hidden import Hidden
from dr.core.model import Ref, Resource, Unit

_RESOURCES = re.compile(r"^resources:[ \t]*(#.*)?$", re.MULTILINE)
_ITEM = re.compile(r"\n([ \t]*)- ")
_RENAMES = ("namePrefix", "nameSuffix")
_WANTED = ("hand", "unknown", "helm")


class Listing(Struct, frozen=True):
    """A kustomization of the repo: where it is, its text, and what it says."""

    path: str
    content: str
    body: Mapping[str, Any]

    def takes(self, ref: Ref) -> bool:
        """Return whether an object that it lists stays what it is, and the list can be added to."""
        moved = self.body.get("namespace")
        renamed = any(self.body.get(field) for field in _RENAMES)
        known = "resources" not in self.body or _RESOURCES.search(self.content)
        return not renamed and moved in (None, ref.namespace) and bool(known)


def wanted(alone: Iterable[Hidden], left: Sequence[str]) -> tuple[Hidden, ...]:
    """Return what is to be put into git: what somebody made, but for what the file leaves behind."""
    return tuple(
        one
        for one in alone
        if one.by in _WANTED
        and not any(fnmatchcase(f"{one.ref.kind}/{one.ref.namespace}/{one.ref.name}", pattern) for pattern in left)
    )


def homes(ref: Ref, resources: Iterable[Resource], units: Iterable[Unit]) -> list[str]:
    """Return the folders in which an object may belong, the best first: those of the units of its namespace."""
    paths = {unit.name: unit.path for unit in units}
    near, all_of_them = Counter[str](), Counter[str]()
    for resource in resources:
        if resource.unit in paths:
            all_of_them[paths[resource.unit]] += 1
            near[paths[resource.unit]] += resource.ref.namespace == ref.namespace
    best = [path for path, count in near.most_common() if count]
    return [*best, *(path for path, _ in all_of_them.most_common() if path not in best)]


def place(ref: Ref, folder: str = "") -> str:
    """Return the path of an adopted object's file in a folder of the repo."""
    kind = ".".join(filter(None, (ref.kind.lower(), ref.group)))
    return join(folder, f"adopted/{ref.namespace or 'cluster'}/{kind}-{ref.name.replace(':', '-')}.yaml")


def patch(found: Iterable[tuple[str, str]], listed: Mapping[str, tuple[Listing, Sequence[str]]] | None = None) -> bytes:
    """Return files, by path and text, as a patch that adds them; for `git apply`.

    listed: the kustomizations that name them, by path, each with the files.
    """
    parts: list[str] = []
    for path, content in unique(found):
        lines = content.removesuffix("\n").split("\n")  # and at nothing else that Unicode takes for a line's end
        parts += [f"diff --git a/{path} b/{path}", "new file mode 100644", "--- /dev/null", f"+++ b/{path}"]
        parts += [f"@@ -0,0 +1,{len(lines)} @@", *(f"+{line}" for line in lines)]
    for path, (listing, files) in sorted((listed or {}).items()):
        before, after = (_lines(text) for text in (listing.content, added(listing, files)))
        parts.append(f"diff --git a/{path} b/{path}")
        for line in unified_diff(before, after, f"a/{path}", f"b/{path}"):
            parts += [line.removesuffix("\n")] + ([] if line.endswith("\n") else ["\\ No newline at end of file"])
    return ("\n".join(parts) + "\n").encode() if parts else b""


def added(listing: Listing, files: Sequence[str]) -> str:
    """Return a kustomization's text with more files in its list."""
    folder = listing.path.rpartition("/")[0]
    names = [relpath(file, folder or ".") for file in files]
    head = _RESOURCES.search(listing.content)
    if head is None:
        start = listing.content if listing.content.endswith("\n") or not listing.content else listing.content + "\n"
        return start + "resources:\n" + "".join(f"- {name}\n" for name in names)
    item = _ITEM.match(listing.content, head.end())
    rows = "".join(f"\n{item[1] if item else ''}- {name}" for name in names)
    return listing.content[: head.end()] + rows + listing.content[head.end() :]


def unique(found: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return files of which no two have one path: names may differ in what a path cannot hold."""
    seen: dict[str, int] = defaultdict(int)
    told = []
    for path, content in found:
        seen[path] += 1
        told.append((path if seen[path] == 1 else f"{path.removesuffix('.yaml')}-{seen[path]}.yaml", content))
    return told


def _lines(text: str) -> list[str]:
    *whole, last = text.split("\n")
    return [*(f"{line}\n" for line in whole), *([last] if last else [])]
