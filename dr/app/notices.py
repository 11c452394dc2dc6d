"""Tells people and programs of an exercise while it goes on, and keeps what could not be told for later."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct

from dr.adapters import mail, notify
from dr.app.answer import Answer
from dr.core import notice as notices
from dr.core.errors import ToolError, UsageError
from dr.core.gameday import Email, Notification, Reference
from dr.core.notice import Notice
from dr.engine.telling import Sent, delivered
from dr.report.console import line
from dr.report.data import encode

UNDELIVERED = "undelivered.jsonl"
# Seconds for all tries, for those that are under way when the run is over, and for those that somebody waits for.
_WITHIN, _LAST, _BY_HAND = 60.0, 5.0, 15.0
_UNREAD = "it was not told when the run was over"


class Undelivered(Struct, frozen=True):
    """A notice that did not come through: to which place of which file, and why. No address and no secret."""

    file: str
    place: str
    cause: str
    notice: Notice


class Place(Struct, frozen=True):
    """One place to tell, by where it stands in the file: its kind and what the file says of it."""

    name: str
    kind: str
    said: str | Reference | Email
    sign: Reference | None
    events: tuple[str, ...]


def places(told: Sequence[Notification]) -> Iterator[Place]:
    """Yield every place that a file names."""
    for index, one in enumerate(told):
        for kind in ("webhook", "slack", "email"):
            if said := getattr(one, kind):
                yield Place(f"notifications[{index}].{kind}", kind, said, one.sign, one.events)


class Messenger:
    """Tells in the background. `folder` is the run's, where what could not be told is kept."""

    def __init__(self, told: Sequence[Notification], file: Path, folder: Path, say: Callable[[str], None]) -> None:
        self._places = tuple(places(told))
        self._file, self._folder, self._say = file.absolute(), folder, say
        self._under_way: dict[asyncio.Task[str], tuple[Place, Notice]] = {}

    def tell(self, notice: Notice) -> None:
        """Begin to tell all who want to know of it; returns at once."""
        for place in self._places:
            if notice.event in place.events:
                task = asyncio.create_task(told(place, notice, self._file.parent))
                self._under_way[task] = place, notice

    async def close(self) -> None:
        """Wait a little for what is under way; say and keep what did not come through."""
        if not self._under_way:
            return
        _, late = await asyncio.wait(self._under_way, timeout=_LAST)
        for task in late:
            task.cancel()
        causes = await asyncio.gather(*self._under_way, return_exceptions=True)
        left = [
            Undelivered(str(self._file), place.name, cause if isinstance(cause, str) else _UNREAD, notice)
            for (place, notice), cause in zip(self._under_way.values(), causes, strict=True)
            if cause != ""
        ]
        self._under_way = {}
        for one in left:
            self._say(f"{one.place} was not told that it {one.notice.event}: {one.cause}")
        if left:
            _keep(self._folder, left)
            self._say(f"to tell them again: dr notify resend {self._folder.name}")


async def told(place: Place, notice: Notice, beside: Path, within: float = _WITHIN) -> str:
    """Tell one place, again and again until `within` seconds are over; return why it was not told, "" when it was."""
    key = sha256(f"{notice.run} {notice.event} {place.name}".encode()).hexdigest()[:32]
    try:
        if isinstance(place.said, Email):
            box = _mailbox(place.said, beside)
            subject, text = notices.mail(notice)

            async def send() -> Sent:
                return Sent(*await mail.send(box, subject, text, key))

        else:
            url = secret(place.said, beside)
            sign = secret(place.sign, beside) if place.sign else ""
            body = notices.slack(notice) if place.kind == "slack" else notices.machine(notice)

            async def send() -> Sent:
                now = int(time.time())
                seal = {notices.TIMESTAMP: str(now), notices.SIGNATURE: notices.signature(sign.encode(), now, body)}
                return Sent(*await notify.tell(url, body, {notices.KEY: key, **(seal if sign else {})}))

    except ToolError as error:
        return error.cause
    return await delivered(send, within)


def _mailbox(said: Email, beside: Path) -> mail.Mailbox:
    password = secret(said.password, beside) if said.password else ""
    return mail.Mailbox(said.host, said.port, said.tls, said.sender, said.to, said.user, password)


def secret(said: str | Reference, beside: Path) -> str:
    """Return what a reference stands for, a file relative to `beside`; raises ToolError, without the value."""
    if isinstance(said, str):
        return said
    if said.env:
        if value := os.environ.get(said.env):
            return value
        raise ToolError(f"the environment variable {said.env} is not set", "set it where dr runs")
    try:
        return (beside / said.file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ToolError(f"{said.file} cannot be read", "see that the file is there for who runs dr") from None


def _keep(folder: Path, left: Sequence[Undelivered]) -> None:
    lines = b"".join(msgspec.json.encode(one) + b"\n" for one in left)
    (folder / UNDELIVERED).write_bytes(lines)


def test(file: Path, form: str) -> Answer:
    """Answer `dr notify test`: tell every place of a gameday file that this is a test."""
    from dr.app.gamedays import read

    gameday, _ = read(file)
    found = tuple(places(gameday.notifications))
    if not found:
        raise UsageError(f"{file} names nobody to tell", "add `notifications`: docs/reference/gameday.md")
    name = f"test-{time.time_ns()}"
    notice = Notice("ended", f"test of {gameday.title}", gameday.scenario, name, verdict="a test")
    causes = asyncio.run(_all([(place, notice, file.absolute().parent) for place in found]))
    return _answer([(place.name, cause) for place, cause in zip(found, causes, strict=True)], form)


async def _all(rows: Sequence[tuple[Place | None, Notice, Path]]) -> list[str]:
    async def one(place: Place | None, notice: Notice, beside: Path) -> str:
        return await told(place, notice, beside, _BY_HAND) if place else "the file names it no more"

    return await asyncio.gather(*(one(*row) for row in rows))


def resend(folder: Path, form: str) -> Answer:
    """Answer `dr notify resend`: tell again what a run could not; what still cannot be told stays."""
    from dr.app.gamedays import read

    try:
        lines = (folder / UNDELIVERED).read_bytes().splitlines()
        left = [msgspec.json.decode(one, type=Undelivered) for one in lines]
    except FileNotFoundError:
        return _answer([], form)
    except (OSError, msgspec.MsgspecError) as error:
        raise ToolError(f"{folder / UNDELIVERED} cannot be read: {error}", "delete it, or mend it") from None
    known = {one.file: {p.name: p for p in places(read(Path(one.file))[0].notifications)} for one in left}

    causes = asyncio.run(_all([(known[one.file].get(one.place), one.notice, Path(one.file).parent) for one in left]))
    still = [msgspec.structs.replace(one, cause=cause) for one, cause in zip(left, causes, strict=True) if cause]
    if still:
        _keep(folder, still)
    else:
        (folder / UNDELIVERED).unlink()
    return _answer([(one.place, cause) for one, cause in zip(left, causes, strict=True)], form)


def _answer(rows: Sequence[tuple[str, str]], form: str) -> Answer:
    failed = any(cause for _, cause in rows)
    if form == "json":
        content = encode({"schema": 1, "told": [{"place": name, "cause": cause} for name, cause in rows]})
        return Answer(content=content, exit_code=3 if failed else 0)
    said = [
        line(("✗ ", "red") if cause else ("✓ ", "green"), name, f"  {cause}" if cause else "") for name, cause in rows
    ]
    return Answer(tuple(said) or (line("there is nothing left to tell"),), exit_code=3 if failed else 0)
