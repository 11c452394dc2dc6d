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
    "restore": ("text", "json", "junit", "markdown"),
    "rehearse": ("text", "json", "junit", "markdown"),
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
        import signal

        from dr.core.errors import DrError

        signal.signal(signal.SIGTERM, _interrupted)
        try:
            answer = command(**arguments)
        except DrError as error:
            click.echo(f"dr: {error.cause}" + (f"\n    {error.remedy}" if error.remedy else ""), err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("dr: interrupted; what was begun is written down and cleaned up", err=True)
            sys.exit(130)
        from dr.terminal import show

        try:
            show(answer)
        except BrokenPipeError:
            sys.stderr.close()
        sys.exit(answer.exit_code)

    return run


def _interrupted(*_: object) -> None:
    import signal

    signal.raise_signal(signal.SIGINT)


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


_TO = click.option(
    "--to", "to", required=True, metavar="TARGET", help="A kubeconfig context, local:NAME, kind:NAME or k3d:NAME."
)


def _restoring(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--reports",
            type=click.Path(file_okay=False, path_type=Path),
            default=Path("reports"),
            show_default=True,
            help="Where runs are kept.",
        ),
        click.option(
            "--concurrency", default=32, show_default=True, type=click.IntRange(1, 256), help="Applies at once."
        ),
        click.option(
            "--field-manager", "manager", default="", help="Own the fields as this; without it as each unit's engine."
        ),
        click.option("--from", "start", default="", metavar="UNIT", help="This unit and all that comes after it."),
        click.option("--only", multiple=True, metavar="UNIT", help="Only this unit; may be repeated."),
    ):
        command = option(command)
    return command


def _timeout(default: float) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        "--timeout",
        default=default,
        show_default=True,
        type=click.FloatRange(min=0.1),
        metavar="SECONDS",
        help="How long an object may take to be ready.",
    )


_READING = ("path", "env", "config", "max_file_size")
_OPTIONS = ("only", "start", "manager", "timeout", "concurrency", "lock", "force", "reports")


def _sorted(arguments: dict[str, Any]) -> dict[str, Any]:
    """Gather what belongs to reading, and what to restoring, into one argument each."""
    from dr.app.restores import Options

    reading = {name: arguments.pop(name) for name in _READING}
    chosen = {name: arguments.pop(name) for name in _OPTIONS if name in arguments}
    return {**arguments, "reading": reading, "options": Options(**chosen)}


@main.command(epilog=_EPILOG)
@click.argument("repos", metavar="REPO...", nargs=-1, required=True)
@_TO
@click.option("--dry-run", "dry", is_flag=True, help="Ask the server what would change; change nothing.")
@click.option("--resume", is_flag=True, help="Go on with the newest unfinished run on this cluster.")
@click.option("--yes", is_flag=True, help="Do not ask for the context's name.")
@click.option("--lock", default="", metavar="LOCK", help="Refuse any cluster but this one (a dry run prints it).")
@click.option("--force", is_flag=True, help="Restore in spite of what preflight found.")
@click.option("--detail", is_flag=True, help="Every object.")
@_timeout(300.0)
@_output("restore")
@_restoring
@_common
@_answering
def restore(*, yes: bool, **arguments: Any) -> Answer:
    """Restore REPO into a cluster in the order of its graph, and verify it."""
    from dr import terminal
    from dr.app import restores

    watching = terminal.watching if arguments["form"] == "text" else restores.silent
    confirm = (lambda _: None) if yes else terminal.confirm
    return restores.restore(**_sorted(arguments), confirm=confirm, watching=watching)


@main.command(epilog=_EPILOG)
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
@_timeout(30.0)
@_output("rehearse")
@_restoring
@_common
@_answering
def rehearse(**arguments: Any) -> Answer:
    """Restore REPO into a fresh throw-away cluster, to see whether it comes back from nothing."""
    from dr import terminal
    from dr.app import restores

    watching = terminal.watching if arguments["form"] == "text" else restores.silent
    return restores.rehearse(**_sorted(arguments), say=terminal.say, watching=watching)


@main.command(epilog=_EPILOG)
@click.argument("repos", metavar="REPO...", nargs=-1, required=True)
@_TO
@click.option("--detail", is_flag=True, help="Every difference.")
@_output("verify")
@_common
@_answering
def verify(**arguments: Any) -> Answer:
    """Compare a cluster with REPO: what is missing, different, unhealthy, or extra."""
    from dr.app import restores

    return restores.verified(**_sorted(arguments))


@main.command()
@_output("doctor")
@_answering
def doctor(form: str) -> Answer:
    """Show what this machine has and lacks for each command, and what to do about it."""
    from dr.app import clusters

    return clusters.doctor(form)


@main.group()
def cluster() -> None:
    """Embedded clusters: a real control plane in seconds, on this machine only."""


@cluster.command("up")
@click.argument("name")
@click.option("--nodes", default=3, show_default=True, help="Simulated nodes.")
@click.option("--version", "version", default="", metavar="VERSION", help="Kubernetes version.")
@_output("cluster")
@_answering
def cluster_up(**arguments: Any) -> Answer:
    """Bring a cluster up; it runs until `dr cluster down NAME`."""
    from dr import terminal
    from dr.app import clusters

    return clusters.up(**arguments, say=terminal.say)


@cluster.command("prepare")
@click.option("--version", "version", default="", metavar="VERSION", help="Kubernetes version.")
@_output("cluster")
@_answering
def cluster_prepare(**arguments: Any) -> Answer:
    """Find, download or build the programs of a cluster, so that the first one is up in seconds too."""
    from dr import terminal
    from dr.app import clusters

    return clusters.prepare(**arguments, say=terminal.say)


@cluster.command("down")
@click.argument("names", metavar="NAME...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them, and what crashes have left.")
@_answering
def cluster_down(**arguments: Any) -> Answer:
    """End clusters and remove all that they hold."""
    from dr.app import clusters

    return clusters.down(**arguments)


@cluster.command("list")
@_output("cluster")
@_answering
def cluster_list(form: str) -> Answer:
    """List the clusters of this machine."""
    from dr.app import clusters

    return clusters.listing(form)


@cluster.command("status")
@click.argument("name")
@_output("cluster")
@_answering
def cluster_status(**arguments: Any) -> Answer:
    """Show a cluster's programs."""
    from dr.app import clusters

    return clusters.status(**arguments)


@cluster.command("kubeconfig")
@click.argument("name")
@_answering
def cluster_kubeconfig(name: str) -> Answer:
    """Print a cluster's kubeconfig."""
    from dr.app import clusters

    return clusters.kubeconfig(name)


@cluster.command("logs")
@click.argument("name")
@click.argument("program", required=False, default="")
@click.option("--tail", default=20, show_default=True, help="Lines of each program.")
@_answering
def cluster_logs(**arguments: Any) -> Answer:
    """Print the last lines that a cluster's programs have written."""
    from dr.app import clusters

    return clusters.logs(**arguments)
