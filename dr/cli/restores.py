"""The commands that restore, rehearse and compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dr.cli.common import EPILOG, TO, answering, common, gathered, output, restoring, timeout

if TYPE_CHECKING:
    from dr.app.answer import Answer


@click.command(epilog=EPILOG)
@click.argument("repos", metavar="REPO...", nargs=-1, required=True)
@TO
@click.option("--dry-run", "dry", is_flag=True, help="Ask the server what would change; change nothing.")
@click.option("--resume", is_flag=True, help="Go on with the newest unfinished run of this plan on this cluster.")
@click.option("--yes", is_flag=True, help="Do not ask for the context's name.")
@click.option("--lock", default="", metavar="LOCK", help="Refuse any cluster but this one (a dry run prints it).")
@click.option("--force", is_flag=True, help="Restore in spite of what preflight found.")
@click.option("--detail", is_flag=True, help="Every object.")
@timeout(300.0)
@output("restore")
@restoring
@common
@answering
def restore(*, yes: bool, **arguments: Any) -> Answer:
    """Restore REPO into a cluster in the order of its graph, and verify it."""
    from dr import terminal
    from dr.app import restores

    watching = terminal.watching if arguments["form"] == "text" else restores.silent
    confirm = (lambda _: None) if yes else terminal.confirm
    return restores.restore(**gathered(arguments), confirm=confirm, watching=watching)


@click.command(epilog=EPILOG)
@click.argument("repos", metavar="REPO...", nargs=-1, required=True)
@click.option("--nodes", default=3, show_default=True, help="Simulated nodes.")
@click.option("--version", "cluster_version", default="", metavar="VERSION", help="Kubernetes version.")
@click.option("--keep", is_flag=True, help="Leave the cluster running.")
@click.option(
    "--against",
    multiple=True,
    type=click.Choice(["kubectl", "waves"]),
    help="Restore in this order too, into a cluster of its own, and compare.",
)
@click.option("--seed", default=0, show_default=True, help="For the spread of start-up times.")
@click.option("--detail", is_flag=True, help="Every object.")
@timeout(30.0)
@output("rehearse")
@restoring
@common
@answering
def rehearse(**arguments: Any) -> Answer:
    """Restore REPO into a fresh throw-away cluster, to see whether it comes back from nothing."""
    from dr import terminal
    from dr.app import rehearsals, restores

    watching = terminal.watching if arguments["form"] == "text" else restores.silent
    return rehearsals.rehearse(**gathered(arguments), say=terminal.say, watching=watching)


@click.command(epilog=EPILOG)
@click.argument("repos", metavar="REPO...", nargs=-1, required=True)
@TO
@click.option("--detail", is_flag=True, help="Every difference.")
@output("verify")
@common
@answering
def verify(**arguments: Any) -> Answer:
    """Compare a cluster with REPO: what is missing, different, unhealthy, or extra."""
    from dr.app import verification

    return verification.verified(**gathered(arguments))
