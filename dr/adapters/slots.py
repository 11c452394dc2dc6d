"""What became of a schedule's slots: a line each in `slots.jsonl`, and a file for each that only one can make."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import msgspec

from dr.core.errors import StoreError
from dr.core.timetable import Slotted

SLOTS, TAKEN = "slots.jsonl", "slots"
_PAUSE = 1.0  # seconds between two looks at whether an earlier gameday has ended
_DECODER = msgspec.json.Decoder(Slotted)


def take(reports: Path, slot: Slotted) -> Slotted | None:
    """Take a slot; return None, or who has it. However many try at once, one gets it. Raises StoreError."""
    path = _claim(reports, f"{slot.schedule} {slot.slot}").with_suffix(".json")
    made = path.with_suffix(f".{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        made.write_bytes(msgspec.json.encode(slot))
        try:
            os.link(made, path)  # with its content, or not at all
        except FileExistsError:
            return _DECODER.decode(path.read_bytes())
        finally:
            made.unlink()
    except (OSError, msgspec.MsgspecError) as error:
        raise StoreError(f"{path} cannot be taken: {error}", "make room, or choose another with --reports") from None
    keep(reports, slot)
    return None


def _claim(reports: Path, said: str) -> Path:
    return reports / TAKEN / sha256(said.encode()).hexdigest()[:24]


@contextmanager
def alone(reports: Path, schedule: str, within: float) -> Iterator[bool]:
    """Be the only one who holds a gameday of a schedule for a block; yield False where another does.

    That one is waited for, `within` seconds at most. Whoever dies lets go. Raises StoreError.
    """
    path, until = _claim(reports, schedule).with_suffix(".lock"), time.monotonic() + within
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}", "make room, or choose another folder") from None
    with file:
        while not (free := _locked(file.fileno())) and time.monotonic() < until:
            time.sleep(_PAUSE)
        yield free


def _locked(number: int) -> bool:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def keep(reports: Path, slot: Slotted) -> None:
    """Write down what became of a slot; raises StoreError."""
    path = reports / SLOTS
    try:
        reports.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(msgspec.json.encode(slot) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}", "make room, or choose another folder") from None


def kept(reports: Path, schedule: str) -> tuple[Slotted, ...]:
    """Return what became of a schedule's slots, in the order of writing; a line that is none is left out.

    Raises StoreError.
    """
    try:
        lines = (reports / SLOTS).read_bytes().splitlines()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise StoreError(f"{reports / SLOTS} cannot be read: {error.strerror}", "check its permissions") from None
    found = []
    for one in lines:
        try:
            found.append(_DECODER.decode(one))
        except msgspec.MsgspecError:
            continue
    return tuple(slot for slot in found if slot.schedule == schedule)
