"""Event logs that grow: each is read once, on from where it was, however many people watch it."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock

import msgspec
from msgspec import Struct

from dr.adapters.run_files import opened, read
from dr.adapters.store import EVENTS
from dr.core.errors import NotFound
from dr.core.events import AnyEvent
from dr.report.watching import Picture, Watched

MOST, LONGEST = 64 << 20, 4 << 20  # bytes of a log, of a line
_PIECE = 1 << 20
_KEPT, _SHOWN = 2_000, 200  # lines
_EVERY, _ALIVE, _UNUSED = 0.2, 15.0, 60.0  # seconds
_TAILS, _VIEWERS = 64, 256
_DECODER = msgspec.json.Decoder(AnyEvent)


class Seen(Struct, frozen=True):
    """A run as it is watched: where it stands, its latest lines with their numbers, and what of its log is not read.

    Lines count from 1; `lines` ends with number `picture.lines`.
    """

    picture: Picture
    lines: tuple[tuple[int, str], ...]
    notes: tuple[str, ...]


class Tail:
    """Follows a run's log. `catch_up` reads what is new; it may be called by any thread."""

    def __init__(self, reports: Path, run: str, render: Callable[[Seen], str]) -> None:
        self._reports, self._run, self._render = reports, run, render
        self._lock = Lock()
        self._watched = Watched(run)
        self._at = 0
        self._rest = b""
        self._broken = 0
        self._cause = ""
        self._lines: deque[tuple[int, str]] = deque(maxlen=_KEPT)
        self._drawn: tuple[int, bytes] = (-1, b"")
        self.version = 0
        self.viewers = 0
        self.used = time.monotonic()
        self.task: asyncio.Task[None] | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more can come: the run has ended, or its log is not read any further."""
        return bool(self._watched.outcome or self._cause)

    def catch_up(self) -> int:
        """Read what is new; return the version, which changes with everything that is seen. Raises NotFound."""
        with self._lock, opened(self._reports, self._run, EVENTS) as file:
            self._shorten(os.fstat(file).st_size)
            while not self._cause and (piece := read(file, self._at, min(_PIECE, MOST - self._at + 1))):
                self._at += len(piece)
                self.version += 1
                *whole, self._rest = (self._rest + piece).split(b"\n")
                for line in whole:
                    self._take(line)
                if self._at > MOST:
                    self._cause = f"its log is larger than {MOST >> 20} MiB: what comes after is not shown"
                elif len(self._rest) > LONGEST:
                    self._cause = f"its log has a line of more than {LONGEST >> 20} MiB: it is not shown from there on"
        return self.version

    def _shorten(self, size: int) -> None:
        """Forget what is gone of a half written line: a run that goes on after a crash cuts it off."""
        if size < self._at:
            gone, self._at = self._at - size, size
            if gone > len(self._rest):
                self._cause = "its log became shorter while it was read"
            self._rest = self._rest[: max(0, len(self._rest) - gone)]

    def _take(self, line: bytes) -> None:
        try:
            said = self._watched.feed(_DECODER.decode(line))
        except (msgspec.MsgspecError, ValueError, UnicodeDecodeError):
            self._broken += 1
            return
        first = self._watched.lines - len(said) + 1
        self._lines.extend(enumerate(said, first))

    def seen(self, lines: int = _SHOWN) -> Seen:
        """Return what is seen now, with so many lines, the latest."""
        with self._lock:
            return Seen(
                self._watched.picture(),
                tuple(self._lines)[len(self._lines) - min(lines, len(self._lines)) :],
                tuple(self._notes()),
            )

    def _notes(self) -> list[str]:
        said = [self._cause] if self._cause else []
        if self._broken:
            said.append(f"lines of its log that are no events of this run, left out: {self._broken}")
        if self._rest and not self._cause:
            said.append("the last line is half written")
        return said

    def after(self, number: int) -> list[tuple[int, str]]:
        """Return the lines that come after this number, as far as they are kept."""
        with self._lock:
            return [line for line in self._lines if line[0] > number]

    def drawn(self) -> bytes:
        """Return where it stands as a message to viewers, drawn once for all of them."""
        version = self.version
        if self._drawn[0] != version:
            self._drawn = (version, message("state", self._render(self.seen(0))))
        return self._drawn[1]


class Tails:
    """The logs that are followed now. One that nobody has asked for in a minute is let go."""

    def __init__(self, reports: Path, render: Callable[[Seen], str]) -> None:
        self._reports, self._render = reports, render
        self._tails: dict[str, Tail] = {}
        self._lock = Lock()
        self._viewers = 0
        self.stopping = False

    def get(self, run: str) -> Tail:
        """Return the tail of a run, read up to now; raises NotFound."""
        with self._lock:
            self._prune()
            tail = self._tails.get(run) or Tail(self._reports, run, self._render)
            tail.used = time.monotonic()
        tail.catch_up()
        with self._lock:
            return self._tails.setdefault(run, tail)

    @property
    def full(self) -> bool:
        """Whether so many people watch that nobody else can."""
        return self._viewers >= _VIEWERS

    def _prune(self) -> None:
        idle = sorted((t.used, name) for name, t in self._tails.items() if not t.viewers)
        surplus = len(self._tails) - _TAILS + 1
        for number, (used, name) in enumerate(idle):
            if number < surplus or time.monotonic() - used > _UNUSED:
                del self._tails[name]

    async def follow(self, tail: Tail, after: int) -> AsyncIterator[bytes]:
        """Yield what happens in a run after line `after`, as server-sent events, until it is over."""
        self._viewers += 1
        tail.viewers += 1
        if tail.task is None or tail.task.done():
            tail.task = asyncio.create_task(self._read_on(tail))
        try:
            version, told = -1, time.monotonic()
            yield b"retry: 1000\n\n"
            while not self.stopping:
                if tail.version != version:
                    # What is over is asked first: then no line can come after those that are told.
                    version, over, told = tail.version, tail.over, time.monotonic()
                    lines = tail.after(after)
                    after = lines[-1][0] if lines else after
                    yield b"".join(message("line", text, number) for number, text in lines) + tail.drawn()
                    if over:
                        yield message("end", "")
                        return
                elif time.monotonic() - told > _ALIVE:
                    told = time.monotonic()
                    yield b": still here\n\n"
                await asyncio.sleep(_EVERY / 2)
        finally:
            self._viewers -= 1
            tail.viewers -= 1
            tail.used = time.monotonic()

    async def _read_on(self, tail: Tail) -> None:
        """Read a log on while somebody watches it."""
        while tail.viewers and not self.stopping and not tail.over:
            with suppress(NotFound):
                await asyncio.to_thread(tail.catch_up)
            await asyncio.sleep(_EVERY)


def message(event: str, data: str, number: int = 0) -> bytes:
    """Return a server-sent event; every line of the data becomes one of its own, so that none can end the event."""
    head = f"id: {number}\nevent: {event}\n" if number else f"event: {event}\n"
    return (head + "".join(f"data: {line}\n" for line in data.splitlines() or [""]) + "\n").encode()
