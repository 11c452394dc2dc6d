"""A finding that stands against a move."""

from __future__ import annotations

from msgspec import Struct

from dr.core.model import Level


class Row(Struct, frozen=True, order=True):
    """A finding: the check, how bad, about what, why, and what to do."""

    check: str
    level: Level
    subject: str
    cause: str
    remedy: str = ""
