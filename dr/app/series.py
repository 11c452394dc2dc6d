"""Leads a row of exercises: how often, how far apart, and what ends it before another fault is sent."""

from __future__ import annotations

import asyncio
from pathlib import Path

from dr.adapters.store import SystemClock, new_run
from dr.app.exercises import Options, Prepared, Shown, arena_of, once
from dr.app.finish import Finished
from dr.app.recoveries import Arena
from dr.app.stopping import heard_once
from dr.core.errors import DrError, UsageError
from dr.core.refusals import refusals


class Stopped(DrError):
    """A series was ended by how its last run went."""

    exit_code = 1


async def repeated(ready: Prepared, options: Options, shown: Shown) -> tuple[list[Path], DrError | None]:
    """Run an exercise as often as asked; a cluster that comes through one whole is used for the next.

    Returns the runs' folders, and the error that ended the row early.
    """
    with heard_once(shown.say):
        return await _row(ready, options, shown)


async def _row(ready: Prepared, options: Options, shown: Shown) -> tuple[list[Path], DrError | None]:
    folders: list[Path] = []
    arena: Arena | None = None
    try:
        for number in range(1, options.repeat + 1):
            if number > 1:
                await asyncio.sleep(ready.gameday.cool_down)
                _allowed_still(ready)
            arena = arena or await arena_of(ready, shown)
            folders.append(new_run(options.reports.absolute(), ready.scenario))
            done = await once(ready, arena, folders[-1], options, shown, number)
            if number < options.repeat and (why := _unfit(done)):
                cause = f"the series ended after run {number} of {options.repeat}: {why}"
                raise Stopped(cause, f"look at {folders[-1]} before the fault is sent again")
            if arena.spent:
                await arena.close()
                arena = None
    except DrError as error:
        if folders and not any(folders[-1].iterdir()):
            folders.pop().rmdir()  # nothing was written down, so there is nothing to show
        return folders, error
    finally:
        if arena:
            await arena.close()
    return folders, None


def _unfit(done: Finished) -> str:
    """Return why a fault may not be sent again after a run, "" when it may."""
    found = done.recovery
    if found and found.aborted:
        return f"it was aborted, {found.aborted[0].condition}"
    return f"{found.left[0].fault} was not taken back: {found.left[0].cause}" if found and found.left else ""


def _allowed_still(ready: Prepared) -> None:
    """Raise UsageError when what allowed a series has run out meanwhile."""
    experiment = ready.experiment
    now = SystemClock().now()
    found = refusals(ready.gameday, experiment.body, experiment.settings, ready.production, now)
    if found:
        cause = "; ".join(f"{check.check}: {check.subject}: {check.cause}" for check in found)
        raise UsageError(f"the series ended before its next run: {cause}", found[0].remedy)
