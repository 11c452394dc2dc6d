"""The commands about runs of the past: one, many, and what they prove."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dr.cli.common import answering, output

if TYPE_CHECKING:
    from dr.app.answer import Answer

_REPORTS = click.option(
    "--reports",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("reports"),
    show_default=True,
    help="Where runs are kept.",
)


@click.group()
def report() -> None:
    """Show runs of the past. RUN is a folder, a run's name, the start of one, or `latest`."""


@report.command("show")
@click.argument("run", metavar="RUN", default="latest")
@click.option("--detail", is_flag=True, help="Every object.")
@_REPORTS
@output("gameday")
@answering
def report_show(**arguments: Any) -> Answer:
    """Show a run."""
    from dr.app import reports

    return reports.show(**arguments)


@report.command("list")
@click.option("--scenario", default="", help="Only this scenario.")
@_REPORTS
@output("report")
@answering
def report_list(**arguments: Any) -> Answer:
    """List the runs, the newest last."""
    from dr.app import reports

    return reports.listing(**arguments)
