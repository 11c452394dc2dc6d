"""A run's event log on disk: appended, handed to the kernel event by event, locked against a second writer."""

from __future__ import annotations

import fcntl
import os
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from dr.core.errors import LockError, StoreError
from dr.core.events import AnyEvent, Event, decode, encode

EVENTS = "events.jsonl"


class EventLog:
    """`events.jsonl` of a run's folder. A crash loses at most the line that was being written."""

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
        self._mend()

    def _mend(self) -> None:
        """Cut off what a crash has left half written."""
        size = os.fstat(self._file).st_size
        end = size
        while end and os.pread(self._file, 1, end - 1) != b"\n":
            end -= 1
        if end != size:
            os.ftruncate(self._file, end)

    def append(self, event: Event) -> None:
        """Write an event; raises StoreError when it cannot be kept."""
        line = encode(event)
        try:
            written = os.write(self._file, line)
            if written != len(line):
                os.write(self._file, line[written:])
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


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return monotonic()

    def now(self) -> str:
        """Return wall time, UTC."""
        return datetime.now(UTC).isoformat(timespec="milliseconds")
