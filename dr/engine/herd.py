"""Leads a herd: round by round, canaries first, until all have had their turn or a budget is spent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from dr.core.body import get, text
from dr.core.errors import ApiError, ToolError
from dr.core.herd import Kubernetes, Member
from dr.core.herding import Board, Limits, Plan, Round, Seen, short
from dr.core.jobs import RUN, job_body, named, of_job, of_pod, over, sheet_body, waiting
from dr.core.model import Body, Ref
from dr.engine.ports import Change, Cluster

Keep = Callable[[Member | None], Awaitable[None]]


class Runner(Protocol):
    """What lets the members of a round do their work."""

    async def begun(self, found: Round) -> bool:
        """Return whether somebody has begun a round, this coordinator or an earlier one."""

    def run(self, found: Round, limits: Limits) -> AsyncIterator[Seen]:
        """Begin a round, or take up one that has begun; yield what is seen of its members until all have ended."""


async def lead(board: Board, runner: Runner, keep: Keep) -> None:
    """Run the rounds of a plan that have not ended yet, and judge the herd.

    `keep` is told each member that has changed, and None at each end of a round. What it or the runner raises ends the
    leading: the members' states are then what was last kept, and another may take the herd up. It waits out a pause
    only where nobody has begun what comes after it: one that was broken off is waited out as a whole.
    """
    rounds = board.plan.rounds
    for number, found in enumerate(rounds):
        if not board.ended(found):
            if (pause := board.pause(number)) and not await runner.begun(found):
                await asyncio.sleep(pause)
            async for seen in runner.run(found, board.limits(found)):
                if member := board.see(found, seen):
                    await keep(member)
            board.close(found)
            await keep(None)
        if board.over(found):
            board.skip(rounds[number + 1 :])
            break
    board.judge()
    await keep(None)


class Jobs:
    """Runs each round as an Indexed Job. Any number may lead the same herd: what one creates the others find.

    `owner` is the ConfigMap that the herd is kept in. `say` is told why pods do not begin.
    """

    def __init__(
        self,
        plan: Plan,
        cluster: Cluster,
        home: Kubernetes,
        owner: Body,
        say: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._cluster = cluster
        self._home = home
        self._owner = owner
        self._say = say
        self._told: set[str] = set()

    async def begun(self, found: Round) -> bool:
        """Return whether a round's Job is there."""
        job = Ref("batch/v1", "Job", self._home.namespace, named(self._plan, found))
        return await self._cluster.get(job) is not None

    async def run(self, found: Round, limits: Limits) -> AsyncIterator[Seen]:
        """Begin a round, or take up one that has begun; yield what is seen of its members until all have ended."""
        await self._make(sheet_body(self._plan, found, self._home))
        await self._make(job_body(self._plan, found, limits, self._home, self._owner))
        attempts, name, namespace = self._plan.herd.attempts, named(self._plan, found), self._home.namespace
        pods = f"batch.kubernetes.io/job-name={name}"
        watches = (("v1", "Pod", pods), ("batch/v1", "Job", f"{RUN}={short(self._plan.run, self._plan.herd.name)}"))
        seen_by = [self._cluster.watch(v, k, namespace=namespace, labels=labels) for v, k, labels in watches]
        async with _merged(seen_by) as changes:
            async for change in changes:
                if text(change.body, "kind") == "Pod":
                    if not change.gone and (seen := self._look(change.body, attempts)):
                        yield seen
                elif text(change.body, "metadata", "name") == name:
                    if change.gone:
                        raise ToolError(f"the Job {name} was deleted", "the herd has ended with it; run it anew")
                    if over(change.body):
                        break
        # The watch of pods may lag behind that of Jobs.
        for pod in await self._cluster.list("v1", "Pod", namespace=namespace, labels=pods):
            if seen := self._look(pod, attempts):
                yield seen
        job = await self._cluster.get(Ref("batch/v1", "Job", namespace, name))
        for seen in of_job(job or {}, len(found.members)):
            yield seen

    def _look(self, pod: Body, attempts: int) -> Seen | None:
        seen = of_pod(pod, attempts)
        if seen and seen.state == "failed" and get(pod, "metadata", "deletionTimestamp"):
            # Somebody ends it: the Job says whether its index failed with it, or enough were met without it.
            seen = Seen(seen.index, "running", seen.attempts)
        why = "" if seen else waiting(pod)
        if why and why not in self._told:
            self._told.add(why)
            self._say(f"pod {text(pod, 'metadata', 'name')} does not begin: {why}")
        return seen

    async def _make(self, body: Body) -> None:
        try:
            await self._cluster.create(body)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise


@asynccontextmanager
async def _merged(watches: Sequence[AsyncIterator[Change]]) -> AsyncIterator[AsyncIterator[Change]]:
    """Yield the changes of several watches as they come; what one of them raises is raised."""
    found: asyncio.Queue[Change | BaseException] = asyncio.Queue()

    async def follow(watch: AsyncIterator[Change]) -> None:
        try:
            async for change in watch:
                await found.put(change)
        except ApiError as error:
            await found.put(error)

    async def changes() -> AsyncIterator[Change]:
        while True:
            one = await found.get()
            if isinstance(one, BaseException):
                raise one
            yield one

    tasks = [asyncio.create_task(follow(watch)) for watch in watches]
    try:
        yield changes()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
