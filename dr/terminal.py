"""Prints an answer: rich on a terminal, plain lines otherwise, bytes as they are."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dr.core.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from dr.app.answer import Answer
    from dr.core.events import Event
    from dr.core.runbook import RunbookStep
    from dr.report.live import Live as Picture

_REFRESH = 8  # frames a second


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
        say(note)


def _show_rich(answer: Answer) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for line in answer.lines:
        console.print(Text.assemble(*line), markup=False)


def say(message: str) -> None:
    """Write a line about what goes on to standard error, as long as somebody reads it."""
    try:
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        # `2>&1 | tee log` ends with Ctrl-C like dr itself, which has a fault to take back yet.
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - until the process ends


def confirm(context: str) -> None:
    """Have the context's name typed; raises UsageError where it is not, or where nobody can be asked."""
    import click

    if not sys.stdin.isatty():
        raise UsageError(
            f'a restore into "{context}" wants its name typed, and there is no terminal', "give --yes to go on without"
        )
    if click.prompt(f'This changes the cluster of context "{context}". Type its name to go on', err=True) != context:
        raise UsageError("that is not its name; nothing was changed", "type the context's name, or give --yes")


def given(name: str) -> Callable[[str], None]:
    """Return what takes a name that was typed on the command line; it raises UsageError for any other cluster."""

    def confirm(context: str) -> None:
        if name != context:
            raise UsageError(f'the cluster is "{context}", not "{name}"; nothing was changed', "type its name")

    return confirm


def question(prompt: str, default: str) -> str:
    """Ask for a line, with a default; where nobody can be asked the default is the answer."""
    import click

    if not sys.stdin.isatty():
        return default
    answer: str = click.prompt(prompt, default=default, show_default=bool(default), err=True)
    return answer


async def awaited(prompt: str) -> str:
    """Ask for a line while other things go on; whoever stops waiting for it can go at once."""
    import asyncio

    import click

    click.echo(f"{prompt}: ", err=True, nl=False)
    loop, there = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin, there.set)
    try:
        await there.wait()
    finally:
        loop.remove_reader(sys.stdin)
    return sys.stdin.readline().strip()


def attended() -> bool:
    """Return whether somebody is there to be asked."""
    return sys.stdin.isatty()


def ask(step: RunbookStep) -> tuple[str, str]:
    """Show a step of a runbook, wait until someone says that it is done; return who, and their note."""
    import getpass

    import click

    sys.stderr.write(f"\n{step.title}\n{step.body}\n")
    note: str = click.prompt("Done? A note, or just Enter", default="", show_default=False, err=True)
    return getpass.getuser(), note


@contextmanager
def watching() -> Iterator[Callable[[Event], None]]:
    """Show a run as it goes, on standard error: a live picture on a terminal, else a line for what matters."""
    from dr.report.live import Live as Picture

    picture = Picture()
    if not sys.stderr.isatty():

        def tell(event: Event) -> None:
            for line in picture.said(event):
                say("".join(part for part, _ in line))

        yield tell
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True, highlight=False)
    frame = _Frame(picture)
    with Live(frame, console=console, refresh_per_second=_REFRESH, transient=True):
        yield frame.feed


class _Frame:
    """A picture that is drawn anew each time it is shown."""

    def __init__(self, picture: Picture) -> None:
        from time import monotonic

        self._picture = picture
        self._clock = monotonic
        self._began = monotonic()

    def feed(self, event: Event) -> None:
        """Take an event in, and set the picture's clock by it."""
        self._began = self._clock() - event.at
        self._picture.feed(event)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        for line in self._picture.frame(options.max_width, self._clock() - self._began):
            yield Text.assemble(*line, no_wrap=True, overflow="ellipsis")
