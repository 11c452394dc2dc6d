"""The files of a work tree or of a plain folder, never through a symlink."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import Self

from msgspec.structs import replace

from dr.adapters.git.command import Git
from dr.adapters.git.tree import MODES, Listing, printable, sizes
from dr.core.model import Diagnostic, Level, Where
from dr.core.source import Entry, Mode

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC  # not blocking: a fifo may have taken its place
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # the last two: a symlink now stands where a folder was


class Folder:
    """A folder whose files are reached step by step from its own handle: no step may be a symlink."""

    def __init__(self, root: bytes) -> None:
        self._root = os.open(root, _FOLDER & ~os.O_NOFOLLOW)
        self._path, self._at = b"", self._root

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()
        os.close(self._root)

    def stat(self, path: bytes) -> os.stat_result:
        """Return the stat of a file, symlink or folder itself."""
        return os.stat(path.rpartition(b"/")[2], dir_fd=self._parent(path), follow_symlinks=False)

    def target(self, path: bytes) -> bytes:
        """Return where a symlink points."""
        return os.readlink(path.rpartition(b"/")[2], dir_fd=self._parent(path))

    def read(self, path: bytes, max_bytes: int) -> bytes:
        """Return a regular file's content. Raises OSError for anything else, and for more than `max_bytes`."""
        with os.fdopen(os.open(path.rpartition(b"/")[2], _FILE, dir_fd=self._parent(path)), "rb", 0) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.ENOENT, "it is no longer a file")
            if status.st_size > max_bytes:
                raise OSError(errno.EFBIG, "it has grown beyond the limit")
            return file.readall()

    def _parent(self, path: bytes) -> int:
        folder = path.rpartition(b"/")[0]
        if folder != self._path:
            self._leave()
            if folder:
                self._at, self._path = self._descend(folder), folder
        return self._at

    def _descend(self, folder: bytes) -> int:
        at = os.dup(self._root)
        for part in folder.split(b"/"):
            above = at
            try:
                at = os.open(part, _FOLDER, dir_fd=above)
            finally:
                os.close(above)
        return at

    def _leave(self) -> None:
        if self._at != self._root:
            os.close(self._at)
        self._path, self._at = b"", self._root


def work_tree(git: Git, root: bytes, commit: str, max_bytes: int) -> Listing:
    """List a work tree as it is, ignored files left out; a file that git knows to be unmodified is not read.

    Raises RepoError when git cannot tell.
    """
    rows = git(
        "status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=dirty"
    ).split(b"\0")[:-1]
    index: dict[bytes, tuple[bytes, bytes, str]] = {}
    for row in git("ls-files", "-s", "-v", "-z").split(b"\0")[:-1]:
        meta, _, path = row.partition(b"\t")
        tag, mode, id_, _ = meta.split()
        index[path] = tag, mode, id_.decode()
    changed = {row[3:] for row in rows if row[1:2] != b" "}
    modules = {path: id_ for path, (_, mode, id_) in index.items() if MODES.get(mode) is Mode.SUBMODULE}
    # A repo of its own inside this one that nobody added: git names it as a folder.
    modules |= {path[:-1]: "" for path in changed if path.endswith(b"/")}
    # Any tag but H (cached) means that git was told not to look at the file.
    clean = {path: id_ for path, (tag, _, id_) in index.items() if tag == b"H" and path not in changed | modules.keys()}
    # Where a blob's size is not its file's, a filter (LFS, line ends) stands between: the id is not the content's.
    known = dict(zip(clean, zip(clean.values(), sizes(git, list(clean.values())), strict=True), strict=True))
    paths = {path for path in index.keys() | changed if not path.endswith(b"/")} - modules.keys()
    algorithm = "sha1" if len(commit) == 40 else "sha256"
    listing = _listing(root, paths, known, algorithm, max_bytes)
    submodules = {path: Entry(printable(path), id_, 0, Mode.SUBMODULE) for path, id_ in modules.items()}
    return replace(listing, entries=listing.entries | submodules, dirty=bool(rows))


def plain(root: bytes, max_bytes: int) -> Listing:
    """List a folder that is not in git: every file but what lies in a `.git`."""
    unread: list[Diagnostic] = []
    listing = _listing(root, _walk(root, unread), {}, "sha1", max_bytes)
    return replace(listing, unread=(*unread, *listing.unread))


def contents(
    root: bytes, files: Iterable[tuple[Entry, bytes]], max_bytes: int, unread: list[Diagnostic]
) -> Iterator[tuple[Entry, bytes]]:
    """Yield the content of each (entry, path), with a new id where it is no longer what was listed."""
    with Folder(root) as folder:
        for entry, path in files:
            try:
                data = folder.read(path, max_bytes)
            except OSError as error:
                unread.append(_unreadable(path, error))
                continue
            id_ = _blob_id("sha256" if len(entry.id) == 64 else "sha1", data)
            yield entry if id_ == entry.id else replace(entry, id=id_, size=len(data)), data


def _listing(
    root: bytes, paths: Iterable[bytes], known: Mapping[bytes, tuple[str, int]], algorithm: str, max_bytes: int
) -> Listing:
    entries: dict[bytes, Entry] = {}
    targets: dict[str, str] = {}
    unread: list[Diagnostic] = []
    with Folder(root) as folder:
        for path in sorted(paths):
            try:
                status = folder.stat(path)
                link = stat.S_ISLNK(status.st_mode)
                if not link and not stat.S_ISREG(status.st_mode):
                    continue
                id_, size = known.get(path, ("", -1))
                if link:
                    target = folder.target(path)
                    targets[printable(path)] = printable(target)
                if size != status.st_size:
                    fits = status.st_size <= max_bytes
                    id_ = _blob_id(algorithm, target if link else folder.read(path, max_bytes)) if fits else ""
                mode = Mode.SYMLINK if link else Mode.FILE
                entries[path] = Entry(printable(path), id_, status.st_size, mode)
            except OSError as error:
                if error.errno not in _GONE:
                    unread.append(_unreadable(path, error))
    return Listing(entries, targets, tuple(unread))


def _walk(root: bytes, unread: list[Diagnostic]) -> Iterator[bytes]:
    folders = [b""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(root + b"/" + folder) as found:
                for item in found:
                    path = folder + b"/" + item.name if folder else item.name
                    if item.name == b".git":
                        continue
                    if item.is_dir(follow_symlinks=False):
                        folders.append(path)
                    else:
                        yield path
        except OSError as error:
            unread.append(_unreadable(folder, error))


def _blob_id(algorithm: str, data: bytes) -> str:
    return hashlib.new(algorithm, b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _unreadable(path: bytes, error: OSError) -> Diagnostic:
    name = printable(path)
    cause = f"it cannot be read: {error.strerror}"
    return Diagnostic(Where(name), "unreadable", Level.ERROR, name, cause, "check its permissions")
