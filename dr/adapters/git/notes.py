"""What a listing holds that is not simply a file → diagnostics; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum

from dr.adapters.git.tree import Listing, printable
from dr.core.model import Diagnostic, Level, Where
from dr.core.source import Entry, Mode

MANIFESTS = (".yaml", ".yml", ".json")
MAX_LINKS = 40  # as Linux counts before it says "too many levels of symbolic links"
_UNSAFE = re.compile(rb"(?:^|/)(?:\.{0,2}|\.git)(?:/|$)", re.IGNORECASE)


class _Lost(Enum):
    OUTSIDE = "outside"
    CYCLE = "cycle"


def safe(path: bytes) -> bool:
    """Tell whether a path stays inside the folder it is written to and out of its `.git`."""
    return not _UNSAFE.search(path)


def notes(listing: Listing, max_bytes: int) -> Iterator[Diagnostic]:
    """Yield what a person should know of files too large, submodules, names that are not UTF-8, and symlinks."""
    for path, entry in listing.entries.items():
        if not safe(path):
            yield _note(
                entry, "file-name", Level.WARNING, "its path leads out of the repo or into .git: it is left out"
            )
        elif printable(path).encode() != path:
            yield _note(entry, "file-name", Level.WARNING, "its name is not UTF-8", "rename it")
        if entry.mode is Mode.SUBMODULE:
            yield _note(
                entry, "submodule", Level.WARNING, "its files are in another repo, which is not read",
                f"give that repo as a further REPO{f' ({entry.id[:12]} is the commit in use)' if entry.id else ''}",
            )  # fmt: skip
        elif entry.mode is Mode.FILE and entry.size > max_bytes and _manifest(entry.path):
            yield _note(
                entry, "too-large", Level.ERROR, f"it has {entry.size:,} bytes; at most {max_bytes:,} are read",
                "raise --max-file-size if it is a manifest",
            )  # fmt: skip
    if listing.targets:
        yield from _links(listing.entries.values(), listing.targets)


def _links(entries: Iterable[Entry], targets: Mapping[str, str]) -> Iterator[Diagnostic]:
    files = {entry.path: entry for entry in entries}
    folders = {path[: match.start()] for path in files for match in re.finditer("/", path)} | {""}
    for path, target in targets.items():
        end = follow(path, targets)
        link, arrow = files[path], f"it is a symlink to {target!r}"
        if end is _Lost.OUTSIDE:
            yield _note(link, "symlink-outside", Level.WARNING, f"{arrow}, outside the repo: it is not followed",
                        "put a copy of what it points to into the repo")  # fmt: skip
        elif end is _Lost.CYCLE:
            yield _note(link, "symlink-cycle", Level.WARNING, f"{arrow}, which leads back to itself", "remove it")
        elif end in folders or (end in files and (_manifest(path) or _manifest(target))):
            yield _note(link, "symlink", Level.INFO, f"{arrow}, which is read as {end or '.'!r} and not again here")
        elif end not in files and (_manifest(path) or _manifest(target)):
            yield _note(link, "symlink", Level.INFO, f"{arrow}, where the repo has no file")


def follow(path: str, targets: Mapping[str, str]) -> str | _Lost:
    """Return the path behind a symlink by the repo's own symlinks, or how it is lost."""
    at: list[str] = []
    ahead, hops = path.split("/")[::-1], 0
    while ahead:
        part = ahead.pop()
        if part == ".." and not at:
            return _Lost.OUTSIDE
        if part == "..":
            at.pop()
        elif part not in {"", "."}:
            at.append(part)
            if (target := targets.get("/".join(at))) is not None:
                at.pop()
                hops += 1
                ahead += target.split("/")[::-1]
                if target.startswith("/"):
                    return _Lost.OUTSIDE
                if hops > MAX_LINKS:
                    return _Lost.CYCLE
    return "/".join(at)


def _manifest(path: str) -> bool:
    return path.lower().endswith(MANIFESTS)


def _note(entry: Entry, code: str, level: Level, cause: str, remedy: str = "") -> Diagnostic:
    return Diagnostic(Where(entry.path), code, level, entry.path, cause, remedy)
