"""Answers `dr forklift rehearse`: a whole move between two embedded clusters, and a front door before both."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from msgspec.structs import replace

from dr.adapters.kube import Kube
from dr.app.answer import Answer
from dr.app.clusters import Binaries, binaries, bring_up
from dr.app.forklifts import Options, carried_out, described, reading
from dr.app.moves import Ready, Shown
from dr.app.recoveries import Arena, Source, fill
from dr.core.errors import ApiError
from dr.core.forklift import Cutover, Forklift, Retire, Seen, Side, Traffic, TrafficHttp
from dr.core.gameday import Duration, Http, Probe, SteadyState
from dr.core.health import State, health
from dr.core.progress import STAGES
from dr.core.simulated import Simulation, simulate
from dr.local import door
from dr.local.cluster import Cluster

_LOOKED_AT = 20  # workloads that the answer is made of: each question asks for all of them
_ANSWERS = "the platform's answer: given while the first 20 Deployments and StatefulSets of git are ready"


def rehearse(
    what: Sequence[str],
    *,
    nodes: int,
    cluster_version: str,
    seed: int,
    keep: bool,
    hooks: bool,
    options: Options,
    shown: Shown,
    form: str,
    detail: bool,
) -> Answer:
    """Answer `dr forklift rehearse`: from preflight to the old cluster's end, users behind a front door of its own.

    `hooks`: use the file's data, traffic and probes. What they name is real and would be moved, so not by itself.
    """
    found, name, digest, folder = described(what, options)
    programs = binaries(cluster_version, shown.say)
    pid = os.getpid()
    names = {"from": f"forklift-{pid}-old", "to": f"forklift-{pid}-new"}

    async def work() -> Answer:
        async with AsyncExitStack() as stack:
            made = await _both(stack, names, nodes, programs, shown, keep=keep)
            sides = {side: Side(f"local:{names[side]}") for side in names}
            move = found if hooks else _harmless(found)
            move = replace(move, source=sides["from"], target=sides["to"], retire=Retire(Duration(0.0)))
            ready = reading(move, name, digest, folder, options.env)
            config = ready.loaded.config
            supplied = (*config.provided, *config.supply)
            resources = ready.loaded.source.resources
            simulation = simulate(ready.loaded.graph, resources, supplied, config.startup, seed)
            await _filled(made, ready, simulation, programs, shown)
            if not move.cutover.traffic:
                ready = replace(ready, move=await stack.enter_async_context(_fronted(ready, move)))
                left = tuple(f"data {data.name}: not moved in this rehearsal" for data in found.data if not move.data)
                ready = replace(ready, simulated=(door.NAME, _ANSWERS, *left))
            # As a rehearsal of a restore: what preflight finds is told, and what comes of it is seen.
            rehearsing = replace(options, force=True)
            wanted = () if keep else tuple(s for s in STAGES if s != "data")
            return await carried_out(ready, wanted, rehearsing, shown, form, detail=detail)

    return asyncio.run(work())


def _harmless(move: Forklift) -> Forklift:
    """Return a move without anything that reaches beyond its two clusters; what its data belongs to stays behind."""
    claims = (f"PersistentVolumeClaim/{data.volume.claim}" for data in move.data if data.volume)
    return replace(
        move,
        data=(),
        cutover=replace(move.cutover, traffic=(), writer=(), seen=None, pause=()),
        steady_state=SteadyState(),
        left_behind=(*move.left_behind, *(data.of for data in move.data), *claims),
    )


async def _both(
    stack: AsyncExitStack, names: dict[str, str], nodes: int, programs: Binaries, shown: Shown, *, keep: bool
) -> dict[str, Cluster]:
    """Bring both clusters up; they go at the end, or are kept."""
    made: dict[str, Cluster] = {}

    async def end() -> None:
        for cluster in made.values():
            if keep:
                cluster.keep()
            else:
                await asyncio.to_thread(cluster.down)

    stack.push_async_callback(end)
    for side, name in names.items():
        made[side] = await bring_up(name, nodes, programs, shown.say)
    return made


async def _filled(
    made: dict[str, Cluster], ready: Ready, simulation: Simulation, programs: Binaries, shown: Shown
) -> None:
    """Start the stand-ins of both clusters, and restore the platform into the old one."""
    from dr.local import cluster

    for one in made.values():
        await cluster.simulate(one.folder, simulation)
    shown.say("restoring the platform that is to be moved")
    source = Source(ready.assignment, ready.loaded.graph, ready.loaded.config, simulation, programs)
    await fill(Arena(made["from"].access), source)


@asynccontextmanager
async def _fronted(ready: Ready, move: Forklift) -> AsyncIterator[Forklift]:
    """Put a front door before both clusters; yield the move with what steers it and what asks through it."""
    async with AsyncExitStack() as stack:
        behind = {}
        for side, access in (("from", ready.old), ("to", ready.new)):
            cluster = await stack.enter_async_context(Kube(access))
            behind[side] = await stack.enter_async_context(door.answering(_platform(ready, cluster, side)))
        async with door.Door(behind) as opened:
            users, control = (f"http://127.0.0.1:{port}/" for port in await opened.open())
            hook = TrafficHttp(control, body='{"weight": {weight}, "writer": "{side}"}')
            own = move.cutover
            cutover = Cutover(
                traffic=(Traffic(http=hook),),
                seen=Seen(users, "served by from", "served by to"),
                steps=own.steps,
                hold=min(own.hold, Duration(2.0)),
            )
            probe = Probe("front door", http=Http(users, contains="served by"))
            steady = SteadyState((probe,), every=Duration(0.2))
            yield replace(move, cutover=cutover, steady_state=steady)


def _platform(ready: Ready, cluster: Kube, side: str) -> Callable[[], Awaitable[str]]:
    """Return what stands for the platform's own answer: it serves while its workloads are ready."""
    wanted = [s.ref for s in ready.assignment.steps if s.ref.kind in ("Deployment", "StatefulSet")]

    async def answer() -> str:
        try:
            bodies = await asyncio.gather(*(cluster.get(ref) for ref in wanted[:_LOOKED_AT]))
        except ApiError:
            return ""
        well = all(body is not None and health(body).state is State.CURRENT for body in bodies)
        return f"served by {side}\n" if well else ""

    return answer
