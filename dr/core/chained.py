"""The hash chain of a run's log: each line carries the SHA-256 of the whole line before it, so that a change shows."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256

from msgspec import Struct

FIRST = "0" * 64
_PREV = re.compile(rb',"prev":"([0-9a-f]{64})"\}\n\Z')
_OPEN = re.compile(rb"\}\n\Z")


class Fault(Struct, frozen=True):
    """What is wrong with a log: the line, counted from 1 (0: the log as a whole), and the cause."""

    number: int
    cause: str


def digest(line: bytes) -> str:
    """Return the SHA-256 of a whole line, its newline included, as 64 hexadecimal digits."""
    return sha256(line).hexdigest()


def chained(line: bytes, prev: str) -> bytes:
    """Return a line that holds a JSON object with `prev`, the digest of the line before (`FIRST`: none), as last field.

    Raises ValueError for a line that is no object or whose end is missing.
    """
    linked, count = _OPEN.subn(b"", line)
    if not count or linked == b"{" or not linked.startswith(b"{"):
        raise ValueError("a line of a log is a JSON object with a field, and ends in a newline")
    return linked + b',"prev":"' + prev.encode() + b'"}\n'


def head(lines: Iterable[bytes]) -> str:
    """Return the digest of a log's last whole line, which stands for all of it; "" for a log without any."""
    last = b""
    for line in lines:
        last = line if line.endswith(b"\n") else last
    return digest(last) if last else ""


def check(lines: Iterable[bytes], kept: str = "") -> tuple[Fault, ...]:
    """Return where a log is not what was written: lines changed, inserted, removed or moved.

    `kept` is the head that was noted elsewhere when the run ended; without it, what happened to the last lines of the
    log cannot be seen. One change costs one fault; after it the chain is followed from where it is found again.
    """
    told = tuple(lines)
    faults: list[Fault] = []
    digests = [FIRST]
    for number, line in enumerate(told, 1):
        digests.append(digest(line))
        if not line.endswith(b"\n"):
            faults.append(Fault(number, "is cut off, as when the machine failed while it was written"))
            continue
        found = _PREV.search(line)
        if found is None:
            faults.append(Fault(number, "carries no hash of the line before"))
        elif (prev := found[1].decode()) != digests[number - 1]:
            faults.append(_broken(prev, digests, number))
    if len(told) > 1 and len(faults) == len(told):
        return (Fault(0, "no line follows from the one before: the log was not written by this version of dr"),)
    if kept and not faults and head(told) != kept:
        at = len(told)
        cause = "was changed, or lines after it were removed or added: it is not what the run ended with"
        faults.append(Fault(at, cause if at else "the log is empty"))
    return tuple(faults)


def _broken(prev: str, digests: list[str], number: int) -> Fault:
    """Return the fault before line `number`, which follows from `prev` and not from the line that precedes it."""
    if prev in digests[: number - 1]:
        first = digests.index(prev) + 1
        which = "" if first == number - 1 else f", as all to line {number - 1}"
        return Fault(first, f"was inserted or moved here{which}: line {number} follows from what stands before it")
    if number == 1:
        return Fault(1, "is not the first line that was written: lines before it were removed, or it was changed")
    return Fault(number - 1, f"was changed, or lines between it and line {number} were removed or moved")
