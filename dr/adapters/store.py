"""Runs on disk: a folder each, and in it an event log, handed to the kernel event by event, with a single writer."""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from dr.core.chained import FIRST, chained, digest
from dr.core.chained import head as chained_head
from dr.core.errors import LockError, NotFound, StoreError
from dr.core.events import Announced, AnyEvent, Began, Ended, Event, Started, decode, encode

EVENTS = "events.jsonl"
_NAMED = 3
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")


class EventLog:
    """`events.jsonl` of a run's folder, each line chained to the one before by its hash.

    A crash loses at most the line that was being written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / EVENTS
        self._broken = ""
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
        if self._broken:
            raise StoreError(f"{self.path} lacks a line already: nothing more is written", self._broken)
        line = chained(encode(event), self._prev)
        left = line
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as error:
            # If room is made later, a line behind a torn one would make the whole log unreadable.
            self._broken = "make room on the disk, then go on with --resume"
            with suppress(OSError):
                self._mend()
            raise StoreError(
                f"{self.path} cannot be written: {error.strerror}; nothing more was sent to the cluster", self._broken
            ) from None
        self._prev = digest(line)

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
    """Write a file that is made from a run's events, whole or not at all: somebody may be waiting to read it.

    Raises StoreError, which is no word about the run itself.
    """
    partial = path.with_name(f".{path.name}.new")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
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


def interrupted(reports: Path, uid: str, digest: str) -> tuple[Path, tuple[AnyEvent, ...]]:
    """Return the newest restore of the plan `digest` into the cluster `uid` that has not passed since.

    One that has sent something comes before one that was refused. Raises NotFound, naming the unfinished ones of
    other plans.
    """
    idle: tuple[Path, tuple[AnyEvent, ...]] | None = None
    over, others = set[str](), list[str]()
    for folder in sorted(reports.glob("*/"), reverse=True):
        began = _opening(folder)
        if began is None or began.target.uid != uid or began.digest in over:
            continue
        try:
            found = events(folder)
        except StoreError:
            continue
        if any(isinstance(event, Announced) for event in found):
            continue  # a gameday or a move: they go on by themselves
        if any(isinstance(event, Ended) and event.outcome == "passed" for event in found):
            over.add(began.digest)
        elif began.digest != digest:
            others.append(folder.name)
        elif any(isinstance(event, Started) for event in found):
            return folder, found
        else:
            idle = idle or (folder, found)
    if idle:
        return idle
    remedy = "leave out --resume, or give --reports"
    if others:
        remedy += f"; of another commit or with other options there are {', '.join(others[:_NAMED])}: repeat theirs"
    raise NotFound(f"{reports} holds no unfinished run of this plan on this cluster", remedy)


def _opening(folder: Path) -> Began | None:
    """Return how a run began, by the first line of its log; None where there is none."""
    try:
        with (folder / EVENTS).open("rb") as file:
            first = next(decode(iter([file.readline()])), None)
    except (OSError, ValueError):
        return None
    return first if isinstance(first, Began) else None
