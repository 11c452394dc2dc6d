"""The end of an old cluster: when it may go, and the command that takes it away."""

from __future__ import annotations

import asyncio
import os
from datetime import datetime
from pathlib import Path

from dr.adapters.data.commands import run
from dr.core.errors import ToolError
from dr.core.events import Target
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
    """Run the command that takes a cluster away; raises ToolError, also when it is not done in its time."""
    told = {"DR_CONTEXT": was.context, "DR_CLUSTER_UID": was.uid}
    program = retire.command[0]
    try:
        async with asyncio.timeout(retire.timeout):
            ended = await run(retire.command, {**os.environ, **told}, cwd=folder)
    except TimeoutError:
        raise ToolError(
            f"{program} was not done in {retire.timeout:g} s, and was killed",
            f"look at what is left of {was.context}; retire again, or give it a longer `retire.timeout`",
        ) from None
    if ended.status:
        said = ended.err.strip() or ended.out.strip()
        last = said.rpartition("\n")[2] or "it said nothing"
        raise ToolError(f"{program} ended with {ended.status}: {last}", "look at it, then retire again")
