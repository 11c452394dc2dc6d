"""Arguments → calls → exit code; no logic."""

from __future__ import annotations

import click

from dr.cli.clusters import cluster, doctor
from dr.cli.common import EPILOG
from dr.cli.forklifts import forklift
from dr.cli.gamedays import chaos, gameday, lock, runbook
from dr.cli.graphs import graph, impact, lint, plan, why
from dr.cli.herds import herd
from dr.cli.notices import notify
from dr.cli.reports import report
from dr.cli.restores import rehearse, restore, verify
from dr.cli.schedules import schedule
from dr.cli.serving import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.version_option(package_name="dr-gameday", prog_name="dr")
def main() -> None:
    """Disaster recovery of platforms that live in git."""


_COMMANDS = (
    graph,
    plan,
    why,
    impact,
    lint,
    restore,
    rehearse,
    verify,
    doctor,
    cluster,
    chaos,
    gameday,
    runbook,
    schedule,
    herd,
    forklift,
    report,
    serve,
    notify,
    lock,
)
for _command in _COMMANDS:
    main.add_command(_command)
