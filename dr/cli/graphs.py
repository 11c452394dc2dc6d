"""The commands that read a config repo and touch nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dr.cli.common import EPILOG, answering, common, output

if TYPE_CHECKING:
    from dr.app.answer import Answer


@click.command(epilog=EPILOG)
@click.argument("repos", metavar="REPO...", nargs=-1, required=True)
@click.option("--resources", is_flag=True, help="Objects instead of units.")
@output("graph")
@common
@answering
def graph(**arguments: Any) -> Answer:
    """Show the restore-order graph: what comes after what, and why."""
    from dr.app import graphs

    return graphs.graph(**arguments)


@click.command(epilog=EPILOG)
@click.argument("repos", metavar="REPO...", nargs=-1, required=True)
@click.option("--detail", is_flag=True, help="Every object, with what it waits for.")
@output("plan")
@common
@answering
def plan(**arguments: Any) -> Answer:
    """Show the order of a restore: waves, critical path, prerequisites."""
    from dr.app import graphs

    return graphs.plan(**arguments)


@click.command(epilog=EPILOG)
@click.argument("repo")
@click.argument("a")
@click.argument("b", required=False, default="")
@click.option("--with", "more", metavar="REPO", multiple=True, help="A further repo of the same platform.")
@click.option("--limit", default=20, show_default=True, help="Show at most this many paths.")
@click.option("--detail", is_flag=True, help="The reason for every object, not only the nearest.")
@output("why")
@common
@answering
def why(**arguments: Any) -> Answer:
    """Show why B needs A, path by path; without B all that A needs and all that needs it.

    A and B are Kind/namespace/name, Kind/name, namespace/name, a name or a unit.
    """
    from dr.app import graphs

    return graphs.why(**arguments)


@click.command(epilog=EPILOG)
@click.argument("repo")
@click.argument("a")
@click.option("--with", "more", metavar="REPO", multiple=True, help="A further repo of the same platform.")
@click.option("--detail", is_flag=True, help="The reason for every object, not only the nearest.")
@output("impact")
@common
@answering
def impact(**arguments: Any) -> Answer:
    """Show what stops working, or cannot come back, if A is lost."""
    from dr.app import graphs

    return graphs.impact(**arguments)


@click.command(epilog=EPILOG)
@click.argument("repos", metavar="REPO...", nargs=-1, required=True)
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "info", "never"]),
    default="error",
    show_default=True,
    help="Exit code 1 from this level on.",
)
@click.option("--detail", is_flag=True, help="Every finding, with its remedy.")
@output("lint")
@common
@answering
def lint(**arguments: Any) -> Answer:
    """Show what stands against a cold restore: each finding with file:line, cause and remedy."""
    from dr.app import graphs

    return graphs.lint(**arguments)
