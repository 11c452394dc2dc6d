"""What commands have in common: options, output formats, and how an answer or an error ends the process."""

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
    "gameday": ("text", "json", "junit", "markdown"),
    "runbook": ("text", "json", "markdown"),
    "evidence": ("text", "json", "markdown"),
    "herd": ("text", "json", "markdown"),
}
EPILOG = "REPO is a folder, a bare repo or a URL; REPO@REV a commit, tag, branch or date: repo@v1.2, repo@{2026-01-31}."


class Defaulting(click.Group):
    """A group whose `default` command is meant when none is named: `dr herd FILE`."""

    def __init__(self, *arguments: Any, default: str = "", **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the command in that is meant when none is named."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = [self._default, *args]
        return super().parse_args(ctx, args)


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options about what is read."""
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


def output(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add `--output` with the formats of this command."""
    choice = click.Choice(FORMATS.get(name, ("text", "json")))
    return click.option("-o", "--output", "form", type=choice, default="text", show_default=True, help="Output format.")


def answering(command: Callable[..., Answer]) -> Callable[..., None]:
    """Print a command's answer and exit with its code; errors for people, never a traceback."""

    @wraps(command)
    def run(**arguments: Any) -> None:
        import signal

        from dr.core.errors import DrError
        from dr.terminal import say, show

        signal.signal(signal.SIGTERM, _interrupted)
        try:
            _refuse_empty(click.get_current_context())
            answer = command(**arguments)
        except DrError as error:
            say(f"dr: {error.cause}" + (f"\n    {error.remedy}" if error.remedy else ""))
            sys.exit(error.exit_code)
        except OSError as error:
            click.echo(f"dr: {error.filename or 'this machine'}: {error.strerror or error}", err=True)
            sys.exit(DrError.exit_code)
        except KeyboardInterrupt:
            say("dr: interrupted; what was begun is written down and cleaned up")
            sys.exit(130)
        try:
            show(answer)
        except BrokenPipeError:
            sys.stderr.close()
        sys.exit(answer.exit_code)

    return run


def _refuse_empty(context: click.Context) -> None:
    """Raise UsageError for an empty word: `--lock "$LOCK"` of an unset variable would mean no lock at all."""
    from dr.core.errors import UsageError

    for parameter in context.command.params:
        given = context.params.get(parameter.name or "")
        asked = context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE
        words = given if isinstance(given, tuple) else (given,)
        if asked and any(isinstance(word, str) and not word.strip() for word in words):
            name = parameter.opts[0] if isinstance(parameter, click.Option) else parameter.make_metavar(context)
            raise UsageError(f"{name} is empty", "is the variable set that it comes from? leave it out to mean none")


def _interrupted(*_: object) -> None:
    import signal

    signal.raise_signal(signal.SIGINT)


TO = click.option(
    "--to", "to", required=True, metavar="TARGET", help="A kubeconfig context, local:NAME, kind:NAME or k3d:NAME."
)


def restoring(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options about how a restore is led."""
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


def timeout(default: float) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add `--timeout`, in seconds."""
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


def gathered(arguments: dict[str, Any]) -> dict[str, Any]:
    """Gather what belongs to reading, and what to restoring, into one argument each."""
    from dr.app.restores import Options

    arguments = only_reading(arguments)
    chosen = {name: arguments.pop(name) for name in _OPTIONS if name in arguments}
    return {**arguments, "options": Options(**chosen)}


def only_reading(arguments: dict[str, Any]) -> dict[str, Any]:
    """Gather what belongs to reading into one argument."""
    others = {name: value for name, value in arguments.items() if name not in _READING}
    return {**others, "reading": {name: arguments[name] for name in _READING}}
