"""What is told of an exercise to those who are not there: for machines, for a chat, for a mailbox. Pure."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator

import msgspec
from msgspec import Struct

SIGNATURE, TIMESTAMP, KEY = "Dr-Signature", "Dr-Timestamp", "Idempotency-Key"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")
_LONGEST = 300  # characters of a name or a reason
_SLACK = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
# What makes a chat notify people or format text, when a name holds it.
_LOUD = re.compile(r"([@*_~`])")


class Notice(Struct, frozen=True, rename="camel"):
    """Something that happened to an exercise. `event`: began, aborted or ended; times in seconds, None: not known.

    `report` is where the run's folder is. `run` and `event` together are told at most once.
    """

    event: str
    title: str
    scenario: str = ""
    run: str = ""
    time: str = ""
    target: str = ""
    verdict: str = ""
    rta: float | None = None
    rto: float | None = None
    report: str = ""


def plain(value: str) -> str:
    """Return a name as one line without anything that steers a terminal, a mail or the direction of text."""
    return _CONTROL.sub(" ", value).strip()[:_LONGEST]


def machine(notice: Notice) -> bytes:
    """Return a notice as JSON, its texts in one line each."""
    said = {name: plain(value) if isinstance(value, str) else value for name, value in _fields(notice)}
    return msgspec.json.encode({"schema": 1, **said})


def _fields(notice: Notice) -> Iterator[tuple[str, object]]:
    for field in msgspec.structs.fields(Notice):
        yield field.encode_name, getattr(notice, field.name)


def sentence(notice: Notice) -> str:
    """Return a notice as one line for people."""
    took = "" if notice.rta is None else f", back after {notice.rta:.1f} s"
    promised = "" if notice.rto is None else f" (objective {notice.rto:.0f} s)"
    how = f": {notice.verdict}{took}{promised}" if notice.verdict else ""
    on = f" on {notice.target}" if notice.target else ""
    return plain(f"{notice.title} {notice.event}{on}{how}")


def slack(notice: Notice) -> bytes:
    """Return a notice as Slack and what is compatible with it take it; a name in it can call nobody."""
    quiet = _LOUD.sub("\u2060\\1", sentence(notice)).translate(_SLACK)
    return msgspec.json.encode({"text": quiet, "parse": "none", "link_names": False})


def mail(notice: Notice) -> tuple[str, str]:
    """Return subject and text of a notice."""
    rows = [(name, plain(str(value))) for name, value in _fields(notice) if value not in {"", None}]
    return f"dr: {sentence(notice)}", "\n".join(f"{name}: {value}" for name, value in rows) + "\n"


def signature(secret: bytes, timestamp: int, body: bytes) -> str:
    """Return the signature of a body that is sent at a time (Unix seconds): HMAC-SHA256 of both, so neither is changed.

    Whoever receives it makes it again from the header's time and the body's bytes, and refuses times that are far off.
    """
    return "sha256=" + hmac.new(secret, b"%d." % timestamp + body, "sha256").hexdigest()


def signed(secret: bytes, timestamp: int, body: bytes, told: str, now: float, within: float = 300.0) -> bool:
    """Return whether a body is from who knows the secret, and not older or newer than `within` seconds."""
    return abs(now - timestamp) <= within and hmac.compare_digest(signature(secret, timestamp, body), told)
