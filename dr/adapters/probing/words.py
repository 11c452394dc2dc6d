"""What the process of the probes is told, and what it says: a line of JSON each."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from dr.adapters.kube import Access
from dr.core.canary import Kept
from dr.core.gameday import Probe, hook


class Word(Struct, frozen=True, tag_field="word", tag=str.lower):
    """Something that one process tells the other."""


class Ask(Word, frozen=True):
    """Ask these from now on; each has its `every` and `timeout`. `kept`: what canaries know, by the probe's index."""

    probes: tuple[Probe, ...]
    access: Access
    kept: dict[int, Kept] = {}


class Move(Word, frozen=True):
    """Ask another API server from now on."""

    access: Access


class Count(Word, frozen=True):
    """Tell what each canary has left."""


class Stop(Word, frozen=True):
    """Take away what the canaries left in the cluster, and end."""


class Sample(Word, frozen=True):
    """A probe's answer. `began` and `at` are readings of the machine's monotonic clock."""

    probe: int
    passed: bool
    began: float
    at: float
    cause: str = ""
    number: int | None = None
    found: int | None = None


class Counted(Word, frozen=True):
    """What survived of each canary, by the probe's index; one that cannot be read is left out.

    `there`: the numbers that are there now, 0 for none, and the newest that was acknowledged then.
    """

    numbers: dict[int, int | None]
    there: dict[int, tuple[int, int | None]] = {}


class Moved(Word, frozen=True):
    """The other API server is asked from here on."""


TOLD = msgspec.json.Decoder(Ask | Move | Count | Stop, dec_hook=hook)
SAID = msgspec.json.Decoder(Sample | Counted | Moved)


def line(word: Word) -> bytes:
    """Return a word as the line that the other process reads."""
    return msgspec.json.encode(word, enc_hook=_plain) + b"\n"


def _plain(value: Any) -> float:
    return float(value)
