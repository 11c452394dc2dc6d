"""The commands about who is told of an exercise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dr.cli.common import answering, output

if TYPE_CHECKING:
    from dr.app.answer import Answer


@click.group()
def notify() -> None:
    """Tell people and programs of exercises: try it, or tell again what did not come through."""


@notify.command("test")
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@output("restore")
@answering
def notify_test(file: Path, form: str) -> Answer:
    """Send a test to every place that a gameday file names."""
    from dr.app import notices

    return notices.test(file, form)


@notify.command("resend")
@click.argument("run", metavar="RUN", default="latest")
@click.option(
    "--reports",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("reports"),
    show_default=True,
    help="Where runs are kept.",
)
@output("restore")
@answering
def notify_resend(run: str, reports: Path, form: str) -> Answer:
    """Tell again what a run (its name, or `latest`) could not."""
    from dr.app import notices
    from dr.app.records import find

    return notices.resend(find(run, reports), form)
