"""Answers `dr rehearse`: a restore into a cluster that is made for it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from dr.adapters.kube import Kube
from dr.adapters.store import EventLog, SystemClock, events, new_run
from dr.app.answer import Answer
from dr.app.clusters import binaries, bring_up
from dr.app.reading import load
from dr.app.restores import (
    Options,
    Say,
    Watcher,
    assignment_of,
    beginning,
    ended,
    name_of,
    reported,
    run_answer,
    settings_of,
)
from dr.core.events import Entered, Left, Phase
from dr.core.timeline import fold
from dr.core.work import reordered
from dr.engine.recorder import Recorder
from dr.engine.run import Result, run


def rehearse(
    repos: Sequence[str],
    form: str,
    options: Options,
    reading: Mapping[str, Any],
    *,
    nodes: int,
    cluster_version: str,
    keep: bool,
    against: Sequence[str],
    seed: int,
    detail: bool,
    say: Say,
    watching: Callable[[], AbstractContextManager[Watcher]],
) -> Answer:
    """Answer `dr rehearse`: a full cold restore into a throw-away cluster, in the order of the graph and others."""
    from dr.core.simulated import simulate

    clock = SystemClock()
    origin = clock.monotonic()
    loaded = load(repos, **reading)
    assignment = assignment_of(loaded, options)
    config = loaded.config
    programs = binaries(cluster_version, say)
    simulation = simulate(
        loaded.graph, loaded.source.resources, (*config.provided, *config.supply), config.startup, seed
    )

    async def one(order: str, watcher: Watcher, began_at: float) -> tuple[Path, Result]:
        name = f"rehearsal-{os.getpid()}" + (f"-{order}" if order != "graph" else "")
        done = reordered(assignment, order, loaded.plan.waves, [step.where for step in assignment.steps])
        provisioning = clock.monotonic()
        made = await bring_up(name, nodes, programs, say, simulation)
        try:
            async with Kube(made.access) as cluster:
                found = await cluster.identity()
                folder = new_run(
                    options.reports, f"{name_of(loaded)}-rehearsal" + (f"-{order}" if order != "graph" else "")
                )
                began = beginning(folder.name, found, done, loaded, clock, order)
                began = replace(began, simulated=(*began.simulated, *simulation.names))
                with reported(folder), EventLog(folder) as log:
                    recorder = Recorder(log, clock, [watcher], clock.monotonic() - began_at)
                    recorder.emit(began)
                    recorder.emit(Entered(round(provisioning - began_at, 6), Phase.PROVISION))
                    recorder.emit(Left(recorder.at, Phase.PROVISION))
                    settings = settings_of(loaded, options)
                    if order == "kubectl":
                        settings = replace(settings, concurrency=1, retries=False)
                    result = await ended(
                        run(
                            cluster, began, done, loaded.graph, recorder, settings, force=True, compare=order == "graph"
                        ),
                        recorder,
                    )
        finally:
            if keep and order == "graph":
                made.keep()
                say(f"kept: dr cluster status {name}; dr cluster down {name}")
            else:
                await asyncio.to_thread(made.down)
        return folder, result

    async def work() -> Answer:
        with watching() as watcher:
            folder, result = await one("graph", watcher, origin)
        others = []
        for order in against:
            say(f"the same in the order of {order}")
            with watching() as watcher:
                other, _ = await one(order, watcher, clock.monotonic())
            others.append(fold(events(other)))
        return run_answer(folder, form, 0 if result.passed else 1, others, detail=detail)

    return asyncio.run(work())
