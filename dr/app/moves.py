"""A forklift's stages, each carried out between two clusters and written down in one log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from secrets import token_hex

from msgspec import Struct

from dr.adapters.git import last_changes
from dr.adapters.kube import Access, Kube
from dr.app.command import command
from dr.app.reading import Loaded
from dr.app.restores import lock_of
from dr.core import gameday as gamedays
from dr.core.errors import LockError
from dr.core.events import (
    Announced,
    Began,
    CameBack,
    Event,
    Moving,
    Objective,
    Target,
)
from dr.core.forklift import Forklift
from dr.core.work import Assignment
from dr.engine.recorder import Recorder
from dr.engine.restore import Settings
from dr.local.cluster import SIMULATED

FORKLIFT = "dr-forklift"
Confirm = Callable[[str], None]
Agree = Callable[[str], Awaitable[tuple[str, str]]]


class Ready(Struct, frozen=True):
    """Everything that a forklift needs, read before anything is touched."""

    move: Forklift
    file: str
    digest: str
    folder: Path
    loaded: Loaded
    assignment: Assignment
    old: Access
    new: Access
    simulated: tuple[str, ...] = ()

    @property
    def scenario(self) -> str:
        """The word under which the history keeps it."""
        return "forklift"

    @property
    def settings(self) -> Settings:
        """How the restore is led."""
        return Settings(rules=self.loaded.config.readiness)


class Shown(Struct, frozen=True):
    """How people see and steer a move. `confirm` has a cluster's name typed, `agree` has a pause ended.

    `attended`: somebody is there to agree.
    """

    say: Callable[[str], None]
    watching: Callable[[], AbstractContextManager[Callable[[Event], None]]]
    confirm: Confirm
    agree: Agree
    attended: bool = True


class Clusters(Struct, frozen=True):
    """Both clusters, connected to, and who they are."""

    old: Kube
    new: Kube
    was: Target
    will: Target

    @property
    def sides(self) -> Mapping[str, Kube]:
        """The clusters by side."""
        return {"from": self.old, "to": self.new}


@asynccontextmanager
async def connected(ready: Ready) -> AsyncIterator[Clusters]:
    """Connect to both clusters; raises LockError unless each is the one that was meant, and they are two."""
    async with Kube(ready.old) as old, Kube(ready.new) as new:
        was, will = await asyncio.gather(old.identity(), new.identity())
        for name, side, found in (("from", ready.move.source, was), ("to", ready.move.target, will)):
            if side.lock and side.lock not in (found.uid, lock_of(found)):
                raise LockError(
                    f'`{name}` is "{found.context}", {lock_of(found)}, and not the cluster of the lock {side.lock}',
                    "nothing was changed; are `from` and `to` swapped?",
                )
        if was.uid == will.uid:
            raise LockError(f"{was.context} and {will.context} are one cluster", "name two clusters")
        yield Clusters(old, new, was, will)


def opening(ready: Ready, clusters: Clusters, run_id: str, recorder: Recorder) -> tuple[Event, ...]:
    """Return the first events of a move: what it is, in which steps, with which probes, what was promised."""
    move, graph = ready.move, ready.loaded.graph
    embedded = clusters.was.embedded or clusters.will.embedded
    simulated = (*(SIMULATED if embedded else ()), *ready.simulated)
    began = Began(
        0.0,
        time=recorder.clock.now(),
        run=run_id,
        command=command(),
        nonce=token_hex(4),
        dr=version("dr-gameday"),
        target=clusters.will,
        pins=graph.pins,
        digest=ready.assignment.digest,
        simulated=(*simulated, *(f"converted: {what}" for what in ready.assignment.converted)),
        steps=ready.assignment.steps,
        estimate=ready.loaded.plan.estimate,
    )
    steady, promises = move.steady_state, move.objectives
    rows = (("downtime", promises.downtime), ("lost", promises.lost))
    announced = Announced(
        0.0,
        title=move.title,
        scenario=ready.scenario,
        file=ready.file,
        digest=ready.digest,
        fault="users are moved",
        recovery="forklift",
        probes=gamedays.planned(steady),
        objectives=tuple(Objective(kind, "", float(value)) for kind, value in rows if value is not None),
        consecutive=steady.consecutive,
        hold=0.0,
    )
    moving = Moving(
        0.0,
        old=clusters.was,
        new=clusters.will,
        steps=move.cutover.steps,
        data=tuple(f"{data.name} ({data.kind})" for data in move.data),
    )
    return (began, announced, moving, *released(ready))


def released(ready: Ready) -> tuple[CameBack, ...]:
    """Return what each unit comes back at, from the history of the repos that are here."""
    graph = ready.loaded.graph
    found: list[CameBack] = []
    for pin in graph.pins:
        units = [unit for unit in graph.units if not unit.repo or unit.repo == pin.name]
        changes = last_changes(pin, sorted({unit.path for unit in units}))
        found += [
            CameBack(0.0, unit.name, c.commit, c.time, c.author, c.subject, unit.artifact, c.trailers)
            for unit in units
            if (c := changes.get(unit.path))
        ]
    return tuple(found)
