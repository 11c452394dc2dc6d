"""How long preflight and parity of two clusters take against listing both, and in how much memory.

Both clusters hold the same objects (2,000 apps of five, their Deployments with no pods). The peer lists every kind of
both with the same client and keeps nothing. Exits with 1 when either takes more than 1.3 times as long, or more than
500 MB are used. `python -m bench.forklift --objects 10000`.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.restore import Body, app, namespace
from dr.adapters import cache
from dr.adapters.kube import Kube, Survey
from dr.adapters.store import SystemClock
from dr.core.census import UNCOUNTED
from dr.core.events import Event, PlannedStep
from dr.core.forklift import Forklift, Side
from dr.core.gameday import RepoSource
from dr.core.hidden import hidden
from dr.core.model import Graph, Node, Origin, Ref, Resource, Where
from dr.core.moving import findings
from dr.core.work import Assignment, Work
from dr.engine.moving import census, parity
from dr.engine.ports import Api
from dr.engine.preflight import preflight as checked
from dr.engine.recorder import Recorder
from dr.local import cluster
from dr.local.binaries import programs

HOMES, AT_ONCE = 10, 24
MOST_TIME, MOST_MEMORY = 1.3, 500  # of the time of listing both; MB


class Nowhere:
    """A log that keeps nothing."""

    def append(self, event: Event) -> None:
        """Take an event."""


def platform(count: int) -> list[Body]:
    """Return `count` objects in ten namespaces."""
    bodies = [namespace(f"team-{number}") for number in range(HOMES)]
    number = 0
    while len(bodies) < count:
        for body in app(f"app-{number}", f"team-{number % HOMES}"):
            if body["kind"] == "Deployment":
                body["spec"]["replicas"] = 0
            bodies.append(body)
        number += 1
    return bodies[:count]


async def fill(made: Kube, bodies: list[Body]) -> None:
    """Put objects there, many at a time."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(body: Body) -> None:
        async with limit:
            await made.apply(body, manager="kustomize-controller")

    await asyncio.gather(*map(one, bodies[:HOMES]))
    await asyncio.gather(*map(one, bodies[HOMES:]))


async def listed(survey: Survey) -> int:
    """List every kind of a cluster, four at a time, and keep nothing."""
    limit, count = asyncio.Semaphore(4), 0

    async def one(api: Api) -> None:
        nonlocal count
        async with limit:
            async for bodies in survey.pages(api):
                count += len(bodies)

    await asyncio.gather(*(one(api) for api in await survey.kinds() if api.kind not in UNCOUNTED))
    return count


async def timed(work: Callable[[], Awaitable[object]], trials: int) -> tuple[float, float]:
    """Return the median seconds of some trials, and of those our own processor's."""
    took, spent = [], []
    for _ in range(trials):
        began, busy = time.perf_counter(), time.process_time()
        await work()
        took.append(time.perf_counter() - began)
        spent.append(time.process_time() - busy)
    return statistics.median(took), statistics.median(spent)


async def measure(count: int, trials: int) -> None:
    """Measure one size."""
    bodies = platform(count)
    refs = [Ref(b["apiVersion"], b["kind"], b["metadata"].get("namespace", ""), b["metadata"]["name"]) for b in bodies]
    assignment = Assignment(tuple(PlannedStep(ref) for ref in refs), tuple(Work(b, "dr") for b in bodies))
    resources = [Resource(ref, Where("apps.yaml", 1), body) for ref, body in zip(refs, bodies, strict=True)]
    nodes = tuple(Node(ref, Origin.GIT, where=Where("apps.yaml", 1)) for ref in refs)
    graph = Graph((), (), nodes, (), (), frozenset(), (), ())
    move = Forklift("bench", (RepoSource("repo"),), Side("old"), Side("new"))
    found = programs(cache.folder(), "", lambda _: None)
    with tempfile.TemporaryDirectory() as folder:
        made = [await cluster.up(name, Path(folder), found, version="v1.37.2", nodes=1) for name in ("old", "new")]
        try:
            async with Kube(made[0].access) as old, Kube(made[1].access) as new:
                await asyncio.gather(fill(old, bodies), fill(new, bodies))
                sides = Survey(old), Survey(new)

                async def peer() -> None:
                    await asyncio.gather(*(listed(side) for side in sides))

                async def preflight() -> None:
                    before, after = await asyncio.gather(*map(census, sides))
                    findings(before, after, move, resources, refs, hidden(before.live, refs), begun=True)
                    await checked(new, assignment, graph, Recorder(Nowhere(), SystemClock()))

                async def twins() -> None:
                    compared, differences = await parity(*sides, assignment)
                    if compared != count or differences:
                        raise SystemExit(f"{compared} compared, {len(differences)} differences: not what was made")

                base, busy = await timed(peer, trials)
                print(f"{count:,} objects on each cluster, median of {trials}, 2 clusters at once")
                print(f"  listing both      {base:6.2f} s  (processor {busy:.2f} s)")
                over = []
                for name, work in (("preflight", preflight), ("parity", twins)):
                    took, busy = await timed(work, trials)
                    print(f"  {name:<17} {took:6.2f} s  (processor {busy:.2f} s)  {took / base:.2f} of listing")
                    if took > MOST_TIME * base:
                        over.append(f"{name} took {took / base:.2f} of listing, and {MOST_TIME} is the most")
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
                print(f"  peak memory       {peak:6.0f} MB")
                if peak > MOST_MEMORY:
                    over.append(f"{peak:.0f} MB, and {MOST_MEMORY} are the most")
                if over:
                    raise SystemExit("; ".join(over))
        finally:
            for one in made:
                one.down()


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--trials", type=int, default=3)
    asked = parser.parse_args()
    asyncio.run(measure(asked.objects, asked.trials))


if __name__ == "__main__":
    main()
