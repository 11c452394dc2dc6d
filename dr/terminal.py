"""Prints an answer: rich on a terminal, plain lines otherwise, bytes as they are."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dr.app.answer import Answer


def show(answer: Answer) -> None:
    """Write lines or content to standard output and notes to standard error."""
    if answer.content:
        sys.stdout.buffer.write(answer.content)
        sys.stdout.buffer.flush()
    elif sys.stdout.isatty():
        _show_rich(answer)
    else:
        for line in answer.lines:
            sys.stdout.write("".join(part for part, _ in line) + "\n")
        sys.stdout.flush()
    for note in answer.notes:
        sys.stderr.write(f"{note}\n")


def _show_rich(answer: Answer) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for line in answer.lines:
        console.print(Text.assemble(*line), markup=False)
