"""What a command says, and how it ends."""

from __future__ import annotations

from msgspec import Struct

from dr.report.console import Line


class Answer(Struct, frozen=True):
    """Lines for people, or bytes for a machine; notes go to standard error."""

    lines: tuple[Line, ...] = ()
    content: bytes = b""
    notes: tuple[str, ...] = ()
    exit_code: int = 0
