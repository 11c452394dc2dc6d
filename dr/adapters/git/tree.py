"""The files of a commit, from git's object store alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from dr.adapters.git.command import Git
from dr.core.model import Diagnostic
from dr.core.source import Entry, Mode

MODES = {b"120000": Mode.SYMLINK, b"160000": Mode.SUBMODULE}


class Listing(Struct, frozen=True):
    """What was found: entries by their path as bytes, each symlink's target, and what could not be read."""

    entries: dict[bytes, Entry]
    targets: dict[str, str]
    unread: tuple[Diagnostic, ...] = ()
    dirty: bool = False


def printable(name: bytes) -> str:
    r"""Return a path for people: bytes that are not UTF-8 as `\xff`."""
    return name.decode(errors="backslashreplace")


def at_commit(git: Git, commit: str, max_bytes: int) -> Listing:
    """List a commit's tree. Raises RepoError when objects are missing or corrupt."""
    entries: dict[bytes, Entry] = {}
    for row in git("ls-tree", "-r", "-z", "-l", "--full-tree", commit).split(b"\0")[:-1]:
        meta, _, path = row.partition(b"\t")
        mode, kind, id_, size = meta.split()
        if size == b"BAD":
            raise git.failure(f"the object {id_.decode()} of {printable(path)!r} is missing or corrupt")
        length = int(size) if kind == b"blob" else 0
        entries[path] = Entry(printable(path), id_.decode(), length, MODES.get(mode, Mode.FILE))
    links = (entry for entry in entries.values() if entry.mode is Mode.SYMLINK and entry.size <= max_bytes)
    return Listing(entries, {entry.path: printable(target) for entry, target in objects(git, links)})


def objects(git: Git, entries: Iterable[Entry]) -> Iterator[tuple[Entry, bytes]]:
    """Yield the blob of each entry, all from one process. Raises RepoError at a missing or corrupt one."""
    wanted = list(entries)
    if not wanted:
        return
    with git.ask("cat-file", "--batch", "--buffer", ids=(entry.id for entry in wanted)) as answers:
        for entry in wanted:
            header = answers.readline().split()
            size = int(header[2]) if len(header) == 3 else -1
            data = answers.read(size + 1)
            if size < 0 or len(data) != size + 1:
                raise EOFError(f"the object {entry.id} of {entry.path!r} is missing or corrupt")
            yield entry, data[:-1]


def sizes(git: Git, ids: list[str]) -> list[int]:
    """Return the size of each object in bytes, -1 for one that is missing."""
    with git.ask("cat-file", "--batch-check=%(objectsize)", "--buffer", ids=ids) as answers:
        lines = [line.strip() for line in answers]
    if len(lines) != len(ids):
        raise git.failure("the object store is corrupt")
    return [int(line) if line.isdigit() else -1 for line in lines]
