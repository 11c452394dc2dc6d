"""The commands that exercise recovery: experiments, gamedays and runbooks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dr.cli.common import EPILOG, answering, common, only_reading, output

if TYPE_CHECKING:
    from dr.app.answer import Answer
    from dr.app.exercises import Shown

_WITH = click.option("--with", "given", multiple=True, metavar="NAME=VALUE", help="A setting of the experiment.")


def _exercising(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--detail", is_flag=True, help="Every object."),
        click.option(
            "--reports",
            type=click.Path(file_okay=False, path_type=Path),
            default=Path("reports"),
            show_default=True,
            help="Where runs are kept.",
        ),
        click.option("--version", "cluster_version", default="", metavar="VERSION", help="Kubernetes version."),
        click.option("--seed", default=0, show_default=True, help="For the spread of start-up times."),
        click.option("--repeat", default=1, show_default=True, type=click.IntRange(1, 1000), help="Run it so often."),
        click.option("--yes", is_flag=True, help="Do not ask for the context's name."),
        click.option("--dry-run", "dry", is_flag=True, help="Say what would be done; change nothing."),
        output("gameday"),
    ):
        command = option(command)
    return command


def led(arguments: dict[str, Any]) -> dict[str, Any]:
    """Gather how an exercise is led, and how it is shown, into one argument each."""
    from dr import terminal
    from dr.app.exercises import Options, Shown
    from dr.app.restores import silent

    options = Options(**{name: arguments.pop(name) for name in ("repeat", "seed", "reports", "cluster_version")})
    confirm = (lambda _: None) if arguments.pop("yes") else terminal.confirm
    watching = terminal.watching if arguments["form"] == "text" else silent
    shown: Shown = Shown(terminal.say, watching, confirm, terminal.ask, terminal.attended())
    return {**arguments, "options": options, "shown": shown}


@click.group()
def chaos() -> None:
    """Chaos experiments: what there is, what each strikes, and running one."""


@chaos.command("list")
@output("chaos")
@answering
def chaos_list(form: str) -> Answer:
    """List the experiments that come with dr."""
    from dr.app import experiments

    return experiments.listing(form)


@chaos.command("describe")
@click.argument("name", metavar="EXPERIMENT")
@_WITH
@output("chaos")
@answering
def chaos_describe(name: str, given: tuple[str, ...], form: str) -> Answer:
    """Show what an experiment strikes, how it is undone and what can be set."""
    from dr.app import experiments

    return experiments.described(name, experiments.settings(given), form)


@chaos.command("validate")
@click.argument("names", metavar="EXPERIMENT...", nargs=-1)
@output("chaos")
@answering
def chaos_validate(names: tuple[str, ...], form: str) -> Answer:
    """Check experiments (without names: those that come with dr) as dr and as Chaos Toolkit read them."""
    from dr.app import experiments

    return experiments.validated(names, form)


@chaos.command("run")
@click.argument("name", metavar="EXPERIMENT")
@click.option(
    "--to", "to", default="", metavar="TARGET", help="A kubeconfig context, local:NAME, kind:NAME or k3d:NAME."
)
@click.option("--embedded", is_flag=True, help="Make a throw-away cluster and restore --repo into it first.")
@click.option(
    "--lock", default="", metavar="LOCK", help="Refuse any cluster but this one (`dr lock TARGET` prints it)."
)
@_WITH
@click.option("--repo", default="", metavar="REPO[@REV]", help="The config repo, for a recovery from git.")
@click.option("--env", default="", help="The repo's environment.")
@click.option("--rto", type=click.FloatRange(min=0), metavar="SECONDS", help="Recovered within this time.")
@click.option("--rpo", type=click.FloatRange(min=0), metavar="SECONDS", help="At most so much data lost.")
@click.option(
    "--timeout", type=click.FloatRange(min=0.1), metavar="SECONDS", help="Give the recovery up after this time."
)
@_exercising
@answering
def chaos_run(**arguments: Any) -> Answer:
    """Run an experiment as a gameday: probes from outside, the time to recover, a report."""
    from dr.app import experiments, gamedays

    return gamedays.run_experiment(**experiments.asked(led(arguments)))


@click.group()
def gameday() -> None:
    """Gamedays: an exercise from steady state over fault and recovery to a verdict."""


@gameday.command("init")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--set", "answers", multiple=True, metavar="NAME=VALUE", help="Answer a question beforehand.")
@answering
def gameday_init(file: Path, answers: tuple[str, ...]) -> Answer:
    """Ask what is to be exercised, and write a gameday file."""
    from dr import terminal
    from dr.app import invitation

    return invitation.init(file, answers, terminal.question)


@gameday.command("run")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--to", "to", default="", metavar="TARGET", help="Strike this cluster in place of the file's; needs --lock."
)
@click.option("--lock", default="", metavar="LOCK", help="That cluster's lock (`dr lock TARGET` prints it).")
@_exercising
@answering
def gameday_run(**arguments: Any) -> Answer:
    """Run a gameday file: preflight, steady state, fault, recovery, hold, clean-up, verdict."""
    from dr.app import gamedays

    return gamedays.run(**led(arguments))


@click.command(epilog=EPILOG)
@click.argument("repos", metavar="REPO...", nargs=-1, required=True)
@output("runbook")
@common
@answering
def runbook(**arguments: Any) -> Answer:
    """Write the restore order as a runbook that people can follow when dr is not there."""
    from dr.app import runbooks

    return runbooks.runbook(**only_reading(arguments))


@click.command()
@click.argument("to", metavar="TARGET")
@output("lock")
@answering
def lock(to: str, form: str) -> Answer:
    """Print a cluster's lock: its identity, which gameday files and --lock bind a run to."""
    from dr.app import restores

    return restores.lock(to, form)
