"""The commands that move a platform to another cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dr.cli.common import EPILOG, answering, output

if TYPE_CHECKING:
    from dr.app.answer import Answer

_WHAT = click.argument("what", metavar="FILE|REPO...", nargs=-1, required=True)
_STAGES = {
    "preflight": "Say what stands against a move: what is not in git, data, keys, what is bound to the old cluster.",
    "bootstrap": "Restore the platform into the new cluster in the order of its graph, with its data.",
    "verify": "Compare the new cluster with the commit.",
    "data": "Move the data again.",
    "parity": "Compare both clusters with the commit, field by field.",
    "cutover": "Move users in steps, and back when they are not served.",
    "drain": "Stop the workloads of the old cluster, consumers first.",
    "retire": "Take the old cluster away.",
}


class _Group(click.Group):
    """`dr forklift FILE` is `dr forklift run FILE`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the command in that is meant when none is named."""
        first = next((word for word in args if not word.startswith("-")), None)
        if first is not None and first not in self.commands and "--help" not in args and "-h" not in args:
            args = ["run", *args]
        return super().parse_args(ctx, args)


def _moving(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--detail", is_flag=True, help="Everything that was found."),
        click.option("--env", default="", help="Only this environment (and what all share)."),
        click.option(
            "--reports",
            type=click.Path(file_okay=False, path_type=Path),
            default=Path("reports"),
            show_default=True,
            help="Where runs are kept; a move goes on from what is there.",
        ),
        click.option("--to", "target", default="", metavar="TARGET", help="The new cluster."),
        click.option("--from", "source", default="", metavar="TARGET", help="The old cluster."),
        output("restore"),
    ):
        command = option(command)
    return command


def _led(arguments: dict[str, Any], *, yes: bool = False, typed: str = "") -> dict[str, Any]:
    """Gather how a move is led, and how it is shown, into one argument each."""
    from dr import terminal
    from dr.app.forklifts import Options, agreeing
    from dr.app.moves import Shown
    from dr.app.restores import silent

    names = ("source", "target", "reports", "env", "adopt", "force", "undo")
    options = Options(**{name: arguments.pop(name) for name in names if name in arguments})
    watching = terminal.watching if arguments["form"] == "text" else silent
    confirm = (lambda _: None) if yes else terminal.given(typed) if typed else terminal.confirm
    shown = Shown(terminal.say, watching, confirm, agreeing(terminal.awaited), terminal.attended())
    return {**arguments, "options": options, "shown": shown}


@click.group(cls=_Group, epilog=EPILOG)
def forklift() -> None:
    """Move a whole platform to a new cluster, measured, with a way back.

    `dr forklift FILE` does all of it up to the drain of the old cluster; each stage is a command of its own too.
    """


@forklift.command("plan")
@_WHAT
@_moving
@answering
def forklift_plan(what: tuple[str, ...], **arguments: Any) -> Answer:
    """Show every stage of a move with an estimate; nothing is touched."""
    from dr.app import forklifts

    led = _led(arguments)
    return forklifts.planned(what, led["options"], led["form"])


@forklift.command("validate")
@click.argument("file", metavar="FILE")
@output("restore")
@answering
def forklift_validate(file: str, form: str) -> Answer:
    """Say what is wrong with a forklift file."""
    from dr.app import forklifts

    return forklifts.checked(file, form)


@forklift.command("run")
@_WHAT
@_moving
@click.option("--dry-run", "dry", is_flag=True, help="Show the plan; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for the new cluster's name.")
@click.option("--force", is_flag=True, help="Go on in spite of what preflight found.")
@answering
def forklift_run(what: tuple[str, ...], dry: bool, yes: bool, **arguments: Any) -> Answer:
    """Move a platform, all up to the drain of the old cluster; what was done already is not done again."""
    from dr.app import forklifts

    led = _led(arguments, yes=yes)
    if dry:
        return forklifts.planned(what, led["options"], led["form"])
    return forklifts.stages(what, (), **led)


@forklift.command("rehearse")
@_WHAT
@click.option("--nodes", default=3, show_default=True, help="Simulated nodes of each cluster.")
@click.option("--version", "cluster_version", default="", metavar="VERSION", help="Kubernetes version.")
@click.option("--seed", default=0, show_default=True, help="For the spread of start-up times.")
@click.option("--keep", is_flag=True, help="Leave both clusters running.")
@click.option("--with-hooks", "hooks", is_flag=True, help="Use the file's data, traffic and probes: they are real.")
@_moving
@answering
def forklift_rehearse(what: tuple[str, ...], **arguments: Any) -> Answer:
    """Do a whole move between two throw-away embedded clusters, users behind a front door of its own."""
    from dr.app import forklift_rehearsal

    return forklift_rehearsal.rehearse(what, **_led(arguments, yes=True))


@forklift.command("runbook")
@_WHAT
@_moving
@answering
def forklift_runbook(what: tuple[str, ...], **arguments: Any) -> Answer:
    """Write the move as a runbook for people."""
    from dr.app import forklift_runbook

    led = _led(arguments)
    return forklift_runbook.runbook(what, led["options"], led["form"])


def _stage(name: str, about: str) -> None:
    @forklift.command(name, help=about)
    @_WHAT
    @_moving
    @answering
    def command(what: tuple[str, ...], **arguments: Any) -> Answer:
        from dr.app import forklifts

        yes, typed = arguments.pop("yes", False), arguments.pop("typed", "")
        return forklifts.stages(what, (name,), **_led(arguments, yes=yes, typed=typed))

    more = {
        "preflight": (
            click.Option(
                ["--adopt"],
                type=click.Path(dir_okay=False, path_type=Path),
                metavar="PATCH",
                help="Write what is on the old cluster only as a patch for the repo.",
            ),
        ),
        "retire": (
            click.Option(
                ["--name", "typed"], default="", metavar="CONTEXT", help="The old cluster's name, not asked for."
            ),
        ),
        "drain": (click.Option(["--undo"], is_flag=True, help="Start again what was drained."),),
    }
    asks = (
        ()
        if name in ("preflight", "verify", "parity", "retire")
        else (click.Option(["--yes"], is_flag=True, help="Do not ask for the cluster's name."),)
    )
    command.params.extend((*more.get(name, ()), *asks))


for _name, _about in _STAGES.items():
    _stage(_name, _about)
