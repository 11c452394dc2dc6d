"""The command that shows the history as web pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dr.cli.common import answering

if TYPE_CHECKING:
    from dr.app.answer import Answer


@click.command()
@click.option(
    "--reports",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("reports"),
    show_default=True,
    help="Where runs are kept.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; another one wants a token.")
@click.option("--port", default=8300, show_default=True, type=click.IntRange(0, 65_535), help="0: any that is free.")
@click.option("--token-file", type=click.Path(dir_okay=False, path_type=Path), help="Holds the token; or $DR_TOKEN.")
@click.option("--url", default="", metavar="URL", help="What people see behind a proxy: https://dr.example.com.")
@click.option("--stale", multiple=True, metavar="SCENARIO=90d", help="Stale after so many days without a met run.")
@click.option(
    "--schedule", "schedules", multiple=True, type=click.Path(dir_okay=False, path_type=Path), help="Stale as it says."
)
@answering
def serve(stale: tuple[str, ...], schedules: tuple[Path, ...], **arguments: Any) -> Answer:
    """Show runs, trends and what is running now as web pages, to be read only."""
    from dr.app import monitoring, serving
    from dr.app.answer import Answer
    from dr.terminal import say

    serving.serve(limits=monitoring.all_limits(stale, schedules), say=say, **arguments)
    return Answer()
