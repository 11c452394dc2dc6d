"""The end of an old cluster: when it may go, and the command that takes it away."""

from __future__ import annotations

import asyncio
import os
from datetime import datetime
from pathlib import Path

from dr.core.errors import ToolError
from dr.core.events import (
    Target,
)
from dr.core.forklift import Retire
from dr.core.progress import Progress


def embedded_name(context: str) -> str:
    """Return the name of the embedded cluster that a context is."""
    return context.removeprefix("dr-") if context.startswith("dr-") else ""


def too_early(retire: Retire, done: Progress, now: str) -> str:
    """Return why the old cluster may not go yet, "" where it may."""
    since = datetime.fromisoformat(done.passed["cutover"]) if "cutover" in done.passed else None
    if since is None:
        return "users were never moved"
    waited = (datetime.fromisoformat(now) - since).total_seconds()
    return (
        f"the cutover is {waited:.0f} s ago, and `retire.after` is {retire.after:g} s" if waited < retire.after else ""
    )


async def retired(retire: Retire, was: Target, folder: Path) -> None:
    """Run the command that takes a cluster away; raises ToolError."""
    told = {"DR_CONTEXT": was.context, "DR_CLUSTER_UID": was.uid}
    try:
        process = await asyncio.create_subprocess_exec(
            *retire.command,
            cwd=folder,
            env={**os.environ, **told},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        raise ToolError(f"{retire.command[0]} cannot be run: {error.strerror}", "correct `retire.command`") from None
    output, _ = await process.communicate()
    if process.returncode:
        last = output.decode(errors="replace").strip().rpartition("\n")[2]
        raise ToolError(f"{retire.command[0]} ended with {process.returncode}: {last}", "look at it, then retire again")
