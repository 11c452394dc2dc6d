"""`REPO[@REV]` → a snapshot of its files: of a commit, or of a work tree as it is."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from dr.adapters.git import disk
from dr.adapters.git.command import Git
from dr.adapters.git.mirror import mirror
from dr.adapters.git.notes import notes, safe
from dr.adapters.git.revision import resolve
from dr.adapters.git.spec import RepoSpec, check, is_remote, parse_spec, repo_name
from dr.adapters.git.tree import Listing, at_commit, objects, printable
from dr.core.errors import RepoError, UsageError
from dr.core.model import Diagnostic, Pin
from dr.core.source import Entry, Mode

MAX_BYTES = 32 * 2**20
_DISTRUST = re.compile("dubious ownership|unsafe repository")

Reader = Callable[[Iterable[Entry], list[Diagnostic]], Iterator[tuple[Entry, bytes]]]


@dataclass(frozen=True)
class RepoSnapshot:
    """The files of a whole repo. `prefix` is the folder in it that was asked for, "" for all of it."""

    pin: Pin
    entries: tuple[Entry, ...]
    prefix: str
    _reader: Reader
    _max_bytes: int
    _notes: tuple[Diagnostic, ...]
    _unread: list[Diagnostic] = field(default_factory=list)

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What could not be listed, and why; what `read` could not read joins it."""
        return tuple(sorted({*self._notes, *self._unread}))

    def read(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, bytes]]:
        """Yield the content of each of `entries` that is a file of at most `max_bytes`, in that order.

        Of a work tree, an entry comes with a new id if its file has changed since it was listed.
        Raises RepoError when the object store is corrupt.
        """
        wanted = (entry for entry in entries if entry.mode is Mode.FILE and entry.size <= self._max_bytes)
        return self._reader(wanted, self._unread)


def open_repo(spec: str, *, rev: str = "", max_bytes: int = MAX_BYTES, clones: Path) -> RepoSnapshot:
    """List the files of `REPO[@REV]`; with `rev`, `spec` is the location alone.

    Files of more than `max_bytes` bytes are listed and not read. URLs are cloned into `clones`.
    Raises UsageError or NotFound for a spec, folder or revision that is wrong, RepoError for a repo
    that cannot be read, ToolError when git is missing.
    """
    wanted = RepoSpec(spec, rev) if rev else parse_spec(spec, _exists)
    check(wanted)
    there = _exists(wanted.location)
    if not there and is_remote(wanted.location):
        git, stale = mirror(wanted.location, clones)
        return _commit(git, wanted.rev or "HEAD", "", max_bytes, stale)
    if not there or not Path(wanted.location).is_dir():
        what = "is not a folder" if there else "is not there"
        raise UsageError(f"the repo {wanted.location!r} {what}", "give a folder, a bare repo or a URL, then @REV")
    return _local(Path(wanted.location).resolve(), wanted.rev, max_bytes)


def _exists(path: str | Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110  (Path.exists raises where it may not look, and for names too long)


def _local(folder: Path, rev: str, max_bytes: int) -> RepoSnapshot:
    config: tuple[tuple[str, str], ...] = ()
    label = printable(os.fsencode(folder))
    if not any(_exists(above / name) for above in (folder, *folder.parents) for name in (".git", "HEAD")):
        return _plain(folder, label, rev, max_bytes)  # known without git, which need not be installed
    probe = Git(str(folder), label).run("rev-parse", "--is-inside-work-tree", "--show-prefix")
    if _DISTRUST.search(probe.reason):
        config = _harmless(folder)
        probe = Git(str(folder), label, config=config).run("rev-parse", "--is-inside-work-tree", "--show-prefix")
    if "not a git repository" in probe.reason and not _exists(folder / ".git"):
        return _plain(folder, label, rev, max_bytes)
    if probe.status:
        raise Git(str(folder), label).failure(probe.reason)
    inside, _, below = probe.out.partition(b"\n")
    prefix = below[:-1].rstrip(b"/")
    top = folder.parents[prefix.count(b"/")] if prefix else folder
    git = Git(str(top), printable(os.fsencode(top)), config=config)
    if rev or inside != b"true":
        return _commit(git, rev or "HEAD", printable(prefix), max_bytes)
    commit, time = resolve(git, "HEAD")
    listing = disk.work_tree(git, os.fsencode(top), commit, max_bytes)
    if prefix and not any(path.startswith(prefix + b"/") for path in listing.entries):
        return _plain(folder, label, rev, max_bytes)  # ignored by the repo that it lies in
    pin = Pin(repo_name(git.label), git.label, commit, time, listing.dirty)
    return _files(pin, listing, printable(prefix), top, max_bytes)


def _harmless(folder: Path) -> tuple[tuple[str, str], ...]:
    """Return the settings to read a repo that belongs to somebody else, without the programs it names as filters."""
    trust = (("safe.directory", "*"),)
    found = Git(str(folder), config=trust).run("config", "-z", "--name-only", "--get-regexp", r"^filter\.").out
    filters = (os.fsdecode(key) for key in found.split(b"\0") if key)
    return (*trust, *((key, "false" if key.endswith(".required") else "") for key in filters))


def _plain(folder: Path, label: str, rev: str, max_bytes: int) -> RepoSnapshot:
    if rev:
        raise UsageError(f"{label!r} is not in git, so that it has no revision {rev!r}", "leave the '@' out")
    try:
        listing = disk.plain(os.fsencode(folder), max_bytes)
    except OSError as error:
        raise RepoError(f"{label!r} cannot be read: {error.strerror}", "check its permissions") from None
    return _files(Pin(repo_name(label), label), listing, "", folder, max_bytes)


def _files(pin: Pin, listing: Listing, prefix: str, top: Path, max_bytes: int) -> RepoSnapshot:
    renamed = {entry: path for path, entry in listing.entries.items() if entry.path.encode() != path}

    def reader(entries: Iterable[Entry], unread: list[Diagnostic]) -> Iterator[tuple[Entry, bytes]]:
        paths = ((entry, renamed.get(entry, entry.path.encode())) for entry in entries)
        return disk.contents(os.fsencode(top), paths, max_bytes, unread)

    return _snapshot(pin, listing, prefix, reader, max_bytes)


def _commit(git: Git, rev: str, prefix: str, max_bytes: int, stale: tuple[Diagnostic, ...] = ()) -> RepoSnapshot:
    commit, time = resolve(git, rev)
    pin = Pin(repo_name(git.label), git.label, commit, time)
    listing = at_commit(git, commit, max_bytes)
    listing = replace(listing, unread=(*listing.unread, *stale))
    return _snapshot(pin, listing, prefix, lambda entries, _: objects(git, entries), max_bytes)


def _snapshot(pin: Pin, listing: Listing, prefix: str, reader: Reader, max_bytes: int) -> RepoSnapshot:
    entries = tuple(sorted(entry for path, entry in listing.entries.items() if safe(path)))
    found = (*listing.unread, *notes(listing, max_bytes))
    return RepoSnapshot(pin, entries, prefix, reader, max_bytes, found)
