"""The commands about a herd of clusters."""

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
    help="Where runs are kept.",
)


@click.group(cls=Defaulting, default="run")
def herd() -> None:
    """Exercise many clusters in waves: `dr herd FILE` is `dr herd run FILE`."""


@herd.command("run")
@_FILE
@_REPORTS
@click.option("--dry-run", "dry", is_flag=True, help="Say who would be exercised when; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for the herd's name.")
@output("herd")
@answering
def herd_run(*, yes: bool, **arguments: Any) -> Answer:
    """Exercise a herd: canaries first, so many at once, until all have had their turn or the budget is spent."""
    from dr import terminal
    from dr.app import herds

    confirm = (lambda _: None) if yes else terminal.confirm
    return herds.run(**arguments, say=terminal.say, confirm=confirm)


@herd.command("lead")
@click.argument("run", metavar="RUN")
@click.option("--to", default="", metavar="TARGET", help="The management cluster, for a run that is kept there.")
@_REPORTS
@output("herd")
@answering
def herd_lead(**arguments: Any) -> Answer:
    """Go on with a herd whose leader was lost: a run of --reports, or NAMESPACE/NAME of its ConfigMap."""
    from dr import terminal
    from dr.app import herds

    return herds.go_on(**arguments, say=terminal.say)


@herd.command("manifest")
@_FILE
@answering
def herd_manifest(file: Path) -> Answer:
    """Print what leads a herd from within the management cluster: a Job, its rights, and the herd as it is now."""
    from dr.app import herd_manifests

    return herd_manifests.manifest(file)


@herd.command("show")
@click.argument("run", metavar="RUN")
@_REPORTS
@output("herd")
@answering
def herd_show(**arguments: Any) -> Answer:
    """Show how a herd stands."""
    from dr.app import herds

    return herds.show(**arguments)


@herd.command("work", hidden=True)
@click.option(
    "--sheet", "file", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The round's sheet."
)
@_REPORTS
@answering
def herd_work(**arguments: Any) -> Answer:
    """Exercise one member; its index is in JOB_COMPLETION_INDEX."""
    from dr.app import herd_work as works

    return works.work(**arguments)
