"""Files of runs, read in bounds and never outside the reports' folder: no links, no way up, nothing but files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG

from dr.core.errors import NotFound, StoreError

HERDS = "-herd-"  # is in the name of each folder of a herd's run
HERD_MOST = 16 << 20  # bytes of a herd's result
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe that nobody writes to does not hold us


@contextmanager
def opened(reports: Path, run: str, name: str) -> Iterator[int]:
    """Open a file of a run for reading and yield its descriptor; raises NotFound.

    `run` is one name of a folder that lies in `reports` itself, `name` one name of a file in it: neither may be a link,
    and the folder that was looked at is the one that is read.
    """
    file = _open(reports, run, name)
    try:
        yield file
    finally:
        os.close(file)


def _open(reports: Path, run: str, name: str) -> int:
    folder = -1
    try:
        if run not in ("", ".", "..") and "/" not in run:
            folder = os.open(reports / run, _READ | os.O_DIRECTORY)
            file = os.open(name, _READ, dir_fd=folder)
            if S_ISREG(os.fstat(file).st_mode):
                return file
            os.close(file)
    except (OSError, ValueError):  # no such file, or a name that can be none
        pass
    finally:
        if folder >= 0:
            os.close(folder)
    raise NotFound(f"the run {run!r} has no {name}", "`dr report list` and the page /runs list those that there are")


def there(reports: Path, run: str, name: str) -> bool:
    """Return whether a run has a file of this name."""
    try:
        with opened(reports, run, name):
            return True
    except NotFound:
        return False


def holding(reports: Path, runs: Iterable[str], name: str) -> tuple[str, ...]:
    """Return those of some runs in whose folder something has this name, sorted; what it is shows when it is opened."""
    found = []
    with suppress(OSError):
        folder = os.open(reports, _READ | os.O_DIRECTORY)  # a path of names is looked up far faster from here
        try:
            for run in runs:
                with suppress(OSError, ValueError):
                    os.lstat(f"{run}/{name}", dir_fd=folder)
                    found.append(run)
        finally:
            os.close(folder)
    return tuple(sorted(found))


def content(reports: Path, run: str, name: str, limit: int) -> bytes:
    """Return a file of a run; raises NotFound, and StoreError for one of more than `limit` bytes."""
    with opened(reports, run, name) as file:
        found = read(file, 0, limit + 1)
    if len(found) > limit:
        raise StoreError(f"{name} of {run!r} is larger than {limit >> 20} MiB", "open the file itself")
    return found


def first_line(reports: Path, run: str, name: str, limit: int) -> bytes:
    """Return the first line of a file of a run, "" where it is longer than `limit` bytes; raises NotFound."""
    with opened(reports, run, name) as file:
        found, at = b"", 0
        while at < limit and b"\n" not in found:
            part = read(file, at, min(limit - at, 1 << 20))
            if not part:
                break
            found, at = found + part, at + len(part)
    line, end, _ = found.partition(b"\n")
    return line if end else b""


def read(file: int, at: int, size: int) -> bytes:
    """Return up to `size` bytes from the offset `at` on, fewer only at the end of the file."""
    found = []
    while size > 0 and (part := os.pread(file, size, at)):
        found.append(part)
        at, size = at + len(part), size - len(part)
    return b"".join(found)
