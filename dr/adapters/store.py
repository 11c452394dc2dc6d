"""Runs on disk: a folder each, and in it an event log, handed to the kernel event by event, with a single writer."""

from __future__ import annotations

import fcntl
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from dr.core.chained import FIRST, chained, digest
from dr.core.chained import head as chained_head
from dr.core.errors import LockError, NotFound, StoreError
from dr.core.events import AnyEvent, Began, Ended, Event, decode, encode

EVENTS = "events.jsonl"
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")


class EventLog:
    """`events.jsonl` of a run's folder, each line chained to the one before by its hash.

    A crash loses at most the line that was being written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / EVENTS
        try:
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise StoreError(f"{self.path} cannot be written: {error.strerror}", "choose another folder") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise LockError(f"{self.path} is being written by another run", "wait until it has ended") from None
        self._prev = (head(folder) or FIRST) if self._mend() else FIRST

    def _mend(self) -> int:
        """Cut off what a crash has left half written; return the bytes that are there."""
        size = os.fstat(self._file).st_size
        end = size
        while end and os.pread(self._file, 1, end - 1) != b"\n":
            end -= 1
        if end != size:
            os.ftruncate(self._file, end)
        return end

    def append(self, event: Event) -> None:
        """Write an event; raises StoreError when it cannot be kept."""
        line = chained(encode(event), self._prev)
        try:
            written = os.write(self._file, line)
            if written != len(line):
                os.write(self._file, line[written:])
            self._prev = digest(line)
        except OSError as error:
            raise StoreError(
                f"{self.path} cannot be written: {error.strerror}; nothing more was sent to the cluster",
                "make room on the disk, then go on with --resume",
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)


def events(folder: Path) -> tuple[AnyEvent, ...]:
    """Return the events of a run's folder; raises StoreError when the log cannot be read."""
    path = folder / EVENTS
    try:
        with path.open("rb") as file:
            return tuple(decode(file))
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}", "give the folder of a run") from None
    except ValueError as error:
        raise StoreError(f"{path}: {error}", "the log was changed after the run") from None


def head(folder: Path) -> str:
    """Return the SHA-256 of the last whole line of a run's log, which stands for all of it; raises StoreError."""
    path = folder / EVENTS
    try:
        with path.open("rb") as file:
            return chained_head(file)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}", "give the folder of a run") from None


def put(path: Path, content: bytes) -> None:
    """Write a file that is made from a run's events; raises StoreError, which is no word about the run itself."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror}; the run's events are kept",
            f"make room; dr report show {path.parent} tells from them how it went",
        ) from None


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return monotonic()

    def now(self) -> str:
        """Return wall time, UTC."""
        return datetime.now(UTC).isoformat(timespec="milliseconds")


def new_run(reports: Path, name: str) -> Path:
    """Return a folder for a new run that is nobody else's, and make it; raises StoreError."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%d-%H%M%S")
    base = f"{stamp}-{_UNSAFE.sub('-', name).strip('-') or 'run'}"
    try:
        reports.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1000):
            folder = reports / (base if number == 1 else f"{base}-{number}")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise StoreError(f"{reports} cannot be written: {error.strerror}", "choose another with --reports") from None
    raise StoreError(f"{reports} has a thousand runs of this second", "choose another with --reports")


def folders(reports: Path) -> frozenset[str]:
    """Return the names of the folders under `reports`, which may hold runs; links are none. Raises StoreError."""
    try:
        with os.scandir(reports) as found:
            return frozenset(entry.name for entry in found if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise StoreError(f"{reports} cannot be read: {error.strerror}", "choose another with --reports") from None


def interrupted(reports: Path, uid: str) -> tuple[Path, tuple[AnyEvent, ...]]:
    """Return the newest run on the cluster `uid` that has not passed; raises NotFound."""
    for folder in sorted(reports.glob("*/"), reverse=True):
        if not (folder / EVENTS).exists():
            continue
        try:
            found = events(folder)
        except StoreError:
            continue
        began = next((event for event in found if isinstance(event, Began)), None)
        if began and began.target.uid == uid:
            if any(isinstance(event, Ended) and event.outcome == "passed" for event in found):
                break
            return folder, found
    raise NotFound(f"{reports} holds no unfinished run on this cluster", "leave out --resume, or give --reports")
