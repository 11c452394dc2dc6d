"""The entries of one kustomization: where they stand, what in the repo they name, how they are made harmless. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from json import dumps
from posixpath import dirname, normpath
from typing import Any

from msgspec import Struct

from dr.core.model import Path
from dr.core.rules.kustomize import REMOTE, Takes

_REMOTE, _CREDENTIAL = re.compile(REMOTE, re.IGNORECASE), re.compile(r"(?<=://)[^/@\s]+@")
# What kustomize's YAML reader refuses or folds in a quoted scalar.
_UNREADABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
_LONGEST = 120


class Entry(Struct, frozen=True):
    """An entry that can be followed: what to write for it, and the path of what it names; `folder` if it is one."""

    written: str
    path: str
    folder: bool = False


class Obstacle(Struct, frozen=True):
    """Why an entry cannot be followed: a code of `PROBLEMS`, and the rest of the sentence `field names entry`."""

    code: str
    cause: str


class Tree:
    """The files of a repo, and which of its folders hold a kustomization."""

    def __init__(self, paths: AbstractSet[str], overlays: AbstractSet[str]) -> None:
        self._paths = paths
        self._overlays = overlays
        self._folders: set[str] = set()
        for path in paths:
            while (path := dirname(path)) not in self._folders:
                self._folders.add(path)

    def follow(self, folder: str, entry: str, takes: Takes) -> Entry | Obstacle:
        """Resolve an entry of the kustomization in `folder`.

        What exists in the repo is never an address, whatever it is called. A path written begins
        with "./", as kustomize would rather take `https:/…` or `github.com/…` for an address.
        """
        key, equals, path = entry.rpartition("=") if takes == "keyed" else ("", "", entry)
        target = normpath(f"{folder}/{path}".lstrip("/")) if path and not path.startswith("/") else ".."
        target = "" if target == "." else target
        written = f"{key}{equals}./{normpath(path)}"
        if target in self._paths:
            return Entry(written, target)
        if takes == "any" and target in self._overlays:
            return Entry(written, target, folder=True)
        if _REMOTE.match(path):
            return Obstacle("overlay-remote", "which is not in the repo and never fetched")
        if path and f"{target}/".startswith("../"):
            return Obstacle("overlay-outside", "which is outside the repo")
        if takes == "any" and target in self._folders:
            return Obstacle("overlay-missing-path", "a folder without a kustomization that can be read")
        return Obstacle("overlay-missing-path", "which is not in the repo")


def entries(body: Any, rows: Iterable[tuple[str, Takes]]) -> Iterator[tuple[Path, Any, Takes]]:
    """Yield what stands in the fields that `rows` name ("a[].b"), in whatever case they are written: place, value."""
    for row, takes in rows:
        for at, value in _walk(body, tuple(row.replace("[]", ".[]").split(".")), ()):
            yield at, value, takes


def rewritten(value: Any, changes: Mapping[Path, str]) -> Any:
    """Return `value` with the texts of `changes` at their places; "" leaves the entry out."""
    if () in changes:
        return changes[()]
    below: defaultdict[str | int, dict[Path, str]] = defaultdict(dict)
    for (key, *rest), text in changes.items():
        below[key][tuple(rest)] = text
    left_out = {key for key, inner in below.items() if inner.get(()) == ""}
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    kept = {k: rewritten(v, below[k]) if k in below else v for k, v in entries if k not in left_out}
    return kept if isinstance(value, dict) else list(kept.values())


def as_json(value: Any) -> str:
    """Return a value as JSON that every YAML reader reads as the same."""
    return _UNREADABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", dumps(value, ensure_ascii=False))


def inline(text: str) -> bool:
    """Return whether an entry that may be a path is YAML instead."""
    return "\n" in text or text.lstrip().startswith("{")


def label(at: Path) -> str:
    """Return a place as people name it: its fields without the positions in lists."""
    return ".".join(part for part in at if isinstance(part, str))


def shown(text: str) -> str:
    """Return an entry as it may be shown: in quotes, on one line, not endless, without a password."""
    short = _CREDENTIAL.sub("***@", " ".join(text.split()))
    return f'"{short if len(short) <= _LONGEST else short[:_LONGEST] + "…"}"'


def _walk(value: Any, row: tuple[str, ...], at: Path) -> Iterator[tuple[Path, Any]]:
    if not row:
        yield at, value
    elif row[0] == "[]":
        for index, item in enumerate(value if isinstance(value, list) else ()):
            yield from _walk(item, row[1:], (*at, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            if key.casefold() == row[0].casefold():
                yield from _walk(item, row[1:], (*at, key))
