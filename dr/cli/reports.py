"""The commands about runs of the past: one, many, and what they are evidence for."""

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
_DETAIL = click.option("--detail", is_flag=True, help="Every object.")
_RUN = click.argument("run", metavar="RUN", default="latest")


@click.group()
def report() -> None:
    """Show runs of the past. RUN is a folder, a run's name, the start of one, or `latest`."""


@report.command("show")
@_RUN
@_DETAIL
@_REPORTS
@output("gameday")
@answering
def report_show(**arguments: Any) -> Answer:
    """Show a run: verdict, parts, critical chain."""
    from dr.app import reports

    return reports.show(**arguments)


@report.command("list")
@click.option("--scenario", default="", help="Only this scenario.")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(min=0), help="The newest so many; 0 for all."
)
@_REPORTS
@output("report")
@answering
def report_list(**arguments: Any) -> Answer:
    """List the runs, oldest first."""
    from dr.app import reports

    return reports.listing(**arguments)


@report.command("compare")
@click.argument("one", metavar="RUN")
@click.argument("other", metavar="RUN")
@_DETAIL
@_REPORTS
@output("report")
@answering
def report_compare(**arguments: Any) -> Answer:
    """Show two runs side by side: parts, units, objectives."""
    from dr.app import reports

    return reports.compare(**arguments)


@report.command("trend")
@click.argument("scenario")
@click.option("--split", default="", metavar="START", help="A time, run or commit from which runs count as after.")
@_REPORTS
@output("report")
@answering
def report_trend(**arguments: Any) -> Answer:
    """Show all runs of a scenario, and whether recovery became slower (exit code 1)."""
    from dr.app import reports

    return reports.trend(**arguments)


@report.command("blame")
@_RUN
@_DETAIL
@_REPORTS
@output("report")
@answering
def report_blame(**arguments: Any) -> Answer:
    """Show what took longest."""
    from dr.app import reports

    return reports.blame(**arguments)


@report.command("critical-chain")
@_RUN
@_REPORTS
@output("report")
@answering
def report_critical_chain(**arguments: Any) -> Answer:
    """Show the chain that decided the end, and what halving each link would save."""
    from dr.app import reports

    return reports.critical_chain(**arguments)


@report.command("verify")
@_RUN
@_REPORTS
@output("report")
@answering
def report_verify(**arguments: Any) -> Answer:
    """Check that a run's record is what was written; exit code 1 names the line that is not."""
    from dr.app import reports

    return reports.verify(**arguments)


@report.command("evidence")
@click.option("--period", required=True, metavar="PERIOD", help="2026-Q4, 2026, 2026-10 or 2026-10-01..2026-12-31.")
@click.option("--scenario", "known", multiple=True, help="One that should be exercised; may be repeated.")
@_REPORTS
@output("evidence")
@answering
def report_evidence(**arguments: Any) -> Answer:
    """Collect the runs of a period into what auditors ask for."""
    from dr.app import reports

    return reports.evidence(**arguments)


@report.command("metrics")
@click.option("--textfile", type=click.Path(dir_okay=False, path_type=Path), help="Write there, for node_exporter.")
@click.option("--stale", multiple=True, metavar="SCENARIO=DAYS", help="Stale after so many days without a met run.")
@click.option(
    "--schedule", "schedules", multiple=True, type=click.Path(dir_okay=False, path_type=Path), help="Stale as it says."
)
@_REPORTS
@output("report")
@answering
def report_metrics(stale: tuple[str, ...], schedules: tuple[Path, ...], **arguments: Any) -> Answer:
    """Print the history as metrics for Prometheus: last runs, objectives, staleness."""
    from dr.app import monitoring

    return monitoring.metrics(limits=monitoring.all_limits(stale, schedules), **arguments)
