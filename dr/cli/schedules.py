"""The commands about gamedays that are held on a schedule."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dr.cli.common import Defaulting, answering, output

if TYPE_CHECKING:
    from dr.app.answer import Answer

_FILE = click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
_REPORTS = click.option(
    "--reports",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("reports"),
    show_default=True,
    help="Where runs and what became of slots are kept.",
)


@click.group(cls=Defaulting, default="write")
def schedule() -> None:
    """Hold gamedays on a schedule: `dr schedule FILE --on systemd` writes what runs it."""


@schedule.command("write")
@_FILE
@click.option(
    "--on", type=click.Choice(["kubernetes", "github", "gitlab", "systemd"]), required=True, help="What runs it."
)
@click.option(
    "--into", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="The folder to write to."
)
@output("report")
@answering
def schedule_write(file: Path, on: str, into: Path, form: str) -> Answer:
    """Write what runs a schedule: a CronJob with its rights, a workflow, a job, or a timer and its service."""
    from dr.app import runners

    return runners.written(file, on, into, form)


@schedule.command("next")
@_FILE
@click.option("-n", "count", default=10, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@output("report")
@answering
def schedule_next(**arguments: Any) -> Answer:
    """Show the slots that are to come, and which will be skipped and why."""
    from dr.app import schedules

    return schedules.coming_up(**arguments)


@schedule.command("check")
@_FILE
@_REPORTS
@output("report")
@answering
def schedule_check(**arguments: Any) -> Answer:
    """Show what became of the last slots, and whether the scenario is stale (exit code 1)."""
    from dr.app import schedules

    return schedules.check(**arguments)


@schedule.command("run")
@_FILE
@click.option("--detail", is_flag=True, help="Every object.")
@_REPORTS
@click.option("--version", "cluster_version", default="", metavar="VERSION", help="Kubernetes version.")
@click.option("--seed", default=0, show_default=True, help="For the spread of start-up times.")
@click.option("--yes", is_flag=True, help="Do not ask for the context's name.")
@output("gameday")
@answering
def schedule_run(**arguments: Any) -> Answer:
    """Hold the gameday if a slot is due, nobody has taken it, and nothing forbids it."""
    from dr.app import schedules
    from dr.cli.gamedays import led

    return schedules.run(**led({**arguments, "repeat": 1}))
