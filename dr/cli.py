"""Arguments → calls → exit code; no logic."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from dr.app.answer import Answer

FORMATS = {
    "graph": ("text", "json", "dot", "mermaid", "html"),
    "plan": ("text", "json"),
    "lint": ("text", "json", "sarif", "junit"),
}
_EPILOG = (
    "REPO is a folder, a bare repo or a URL; REPO@REV a commit, tag, branch or date: repo@v1.2, repo@{2026-01-31}."
)


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--max-file-size", default=32, show_default=True, metavar="MIB", help="Refuse larger files."),
        click.option(
            "--config",
            "config",
            type=click.Path(dir_okay=False, path_type=Path),
            help="Use this dr.yaml instead of the repo's.",
        ),
        click.option("--env", default="", help="Only this environment (and what all share)."),
        click.option("--path", "path", default="", help="Only objects under this folder."),
    ):
        command = option(command)
    return command


def _output(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    choice = click.Choice(FORMATS.get(name, ("text", "json")))
    return click.option("-o", "--output", "form", type=choice, default="text", show_default=True, help="Output format.")


def _answering(command: Callable[..., Answer]) -> Callable[..., None]:
    """Print a command's answer and exit with its code; errors for people, never a traceback."""

    @wraps(command)
    def run(**arguments: Any) -> None:
        from dr.core.errors import DrError

        try:
            answer = command(**arguments)
        except DrError as error:
            click.echo(f"dr: {error.cause}" + (f"\n    {error.remedy}" if error.remedy else ""), err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            sys.exit(130)
        from dr.terminal import show

        try:
            show(answer)
        except BrokenPipeError:
            sys.stderr.close()
        sys.exit(answer.exit_code)

    return run


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.version_option(package_name="dr-gameday", prog_name="dr")
def main() -> None:
    """Disaster recovery of platforms that live in git."""


@main.command(epilog=_EPILOG)
@click.argument("repos", metavar="REPO...", nargs=-1, required=True)
@click.option("--resources", is_flag=True, help="Objects instead of units.")
@_output("graph")
@_common
@_answering
def graph(**arguments: Any) -> Answer:
    """Show the restore-order graph: what comes after what, and why."""
    from dr.app import graphs

    return graphs.graph(**arguments)


@main.command(epilog=_EPILOG)
@click.argument("repos", metavar="REPO...", nargs=-1, required=True)
@click.option("--detail", is_flag=True, help="Every object, with what it waits for.")
@_output("plan")
@_common
@_answering
def plan(**arguments: Any) -> Answer:
    """Show the order of a restore: waves, critical path, prerequisites."""
    from dr.app import graphs

    return graphs.plan(**arguments)


@main.command(epilog=_EPILOG)
@click.argument("repo")
@click.argument("a")
@click.argument("b", required=False, default="")
@click.option("--with", "more", metavar="REPO", multiple=True, help="A further repo of the same platform.")
@click.option("--limit", default=20, show_default=True, help="Show at most this many paths.")
@click.option("--detail", is_flag=True, help="The reason for every object, not only the nearest.")
@_output("why")
@_common
@_answering
def why(**arguments: Any) -> Answer:
    """Show why B needs A, path by path; without B all that A needs and all that needs it.

    A and B are Kind/namespace/name, Kind/name, namespace/name, a name or a unit.
    """
    from dr.app import graphs

    return graphs.why(**arguments)


@main.command(epilog=_EPILOG)
@click.argument("repo")
@click.argument("a")
@click.option("--with", "more", metavar="REPO", multiple=True, help="A further repo of the same platform.")
@click.option("--detail", is_flag=True, help="The reason for every object, not only the nearest.")
@_output("impact")
@_common
@_answering
def impact(**arguments: Any) -> Answer:
    """Show what stops working, or cannot come back, if A is lost."""
    from dr.app import graphs

    return graphs.impact(**arguments)


@main.command(epilog=_EPILOG)
@click.argument("repos", metavar="REPO...", nargs=-1, required=True)
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "info", "never"]),
    default="error",
    show_default=True,
    help="Exit code 1 from this level on.",
)
@click.option("--detail", is_flag=True, help="Every finding, with its remedy.")
@_output("lint")
@_common
@_answering
def lint(**arguments: Any) -> Answer:
    """Show what stands against a cold restore: each finding with file:line, cause and remedy."""
    from dr.app import graphs

    return graphs.lint(**arguments)
