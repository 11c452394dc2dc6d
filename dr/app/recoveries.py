"""Who brings back what a fault took: the cluster itself, `dr` from git, etcd's snapshot, or people with a runbook."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread

from msgspec import Struct
from msgspec.structs import replace

from dr.adapters.kube import Access, Kube
from dr.adapters.probing import Prober
from dr.adapters.store import SystemClock
from dr.app.clusters import Binaries, bring_up
from dr.core.config import Config
from dr.core.errors import ApiError, ToolError, UsageError
from dr.core.events import Began, Confirmed, Event, Failed, Mark, Marked, Moved, Phase, Ready
from dr.core.gameday import Recovery
from dr.core.model import Graph
from dr.core.runbook import RunbookStep
from dr.core.simulated import Simulation
from dr.core.work import Assignment
from dr.engine.recorder import Recorder
from dr.engine.restore import Settings
from dr.engine.run import reasons, run
from dr.local import etcd
from dr.local.cluster import Cluster

Recover = Callable[[], Awaitable[str]]
# Shows a step of a runbook, waits until it is done, and returns who confirmed it and what they noted.
Ask = Callable[[RunbookStep], tuple[str, str]]
_BY = "dr, as the gameday says, once the fault was wholly in"
_GOOD, _EVERY = 3, 0.1  # so many good answers of /readyz in a row, so many seconds apart


class Arena:
    """The cluster of an exercise, and what was made for it.

    `spent`: it cannot be used for another. `struck`: a fault may still be in.
    """

    def __init__(self, access: Access, made: Cluster | None = None) -> None:
        self.access = access
        self.made = made
        self.spent = self.struck = False
        self._more: list[Cluster] = []

    def take_in(self, made: Cluster) -> None:
        """Have a further cluster end with the exercise."""
        self._more.append(made)
        self.spent = True

    async def close(self) -> None:
        """Take down what was made for the exercise."""
        for cluster in (*self._more, *([self.made] if self.made else ())):
            await asyncio.to_thread(cluster.down)


class Source(Struct, frozen=True):
    """What a restore from git needs: the steps, the graph, and what the stand-ins of an embedded cluster play."""

    assignment: Assignment
    graph: Graph
    config: Config
    simulation: Simulation
    programs: Binaries | None

    @property
    def settings(self) -> Settings:
        """How the restore is led."""
        return Settings(rules=self.config.readiness)


class _Failures:
    """Keeps of a run only the steps that failed: that a platform was set up is no part of an exercise's log."""

    def __init__(self) -> None:
        self.kept: list[Failed] = []

    def append(self, event: Event) -> None:
        """Keep an event that says why something did not come back."""
        if isinstance(event, Failed):
            self.kept.append(event)


async def fill(arena: Arena, source: Source) -> None:
    """Restore the platform that is to be disturbed; raises ToolError that says why it does not come back whole."""
    failures = _Failures()
    async with Kube(arena.access) as cluster:
        known = await cluster.identity()
        recorder = Recorder(failures, SystemClock())
        began = Began(0.0, time="", run=f"setup-{os.getpid()}", command="", dr="", target=known)
        done = await run(
            cluster, began, source.assignment, source.graph, recorder, source.settings, force=True, part=True
        )
    if not done.passed:
        why = reasons(source.assignment.steps, failures.kept, done)
        raise ToolError(
            f"the platform did not come up whole before the exercise, so nothing was disturbed: {why}",
            "dr rehearse shows all of it",
        )


def recoverer(
    how: Recovery,
    arena: Arena,
    source: Source | None,
    prober: Prober,
    recorder: Recorder,
    began: Began,
    steps: Sequence[RunbookStep],
    ask: Ask,
) -> Recover:
    """Return what recovers as a gameday says. It returns what is wrong with the result, "" when nothing is.

    `steps` are a runbook's, and `ask` has each of them confirmed.
    """
    context = _Context(arena, prober, recorder, began)
    if how.by == "restore":
        if source is None:
            raise UsageError("a restore needs a repo", "name it under `repo`")
        return lambda: _restore(context, source, fresh=how.into == "fresh")
    if how.by == "runbook":
        return lambda: _runbook(context, steps, ask)
    if how.by == "snapshot":
        return lambda: _snapshot(context)
    return _observe


class _Context(Struct, frozen=True):
    arena: Arena
    prober: Prober
    recorder: Recorder
    began: Began

    def mark(self, mark: Mark, by: str) -> None:
        self.recorder.emit(Marked(self.recorder.at, mark, by))


async def _observe() -> str:
    return ""


async def _restore(context: _Context, source: Source, *, fresh: bool) -> str:
    """Restore from git into a new cluster, or into the one that was struck."""
    arena, recorder = context.arena, context.recorder
    context.mark(Mark.DECIDED, _BY)
    if fresh:
        arena.access = await _provision(context, source)
    async with Kube(arena.access) as cluster:
        await _answers(cluster)
        known = await cluster.identity()
        if fresh:
            if known.uid == context.began.target.uid:
                raise ToolError("the new cluster is the old one", "nothing was restored; check the provider")
            context.mark(Mark.CONTROL_PLANE, f"/readyz, {_GOOD} times, identity {known.uid}")
            recorder.emit(Moved(recorder.at, known))
            await context.prober.move(arena.access)
        began, work = replace(context.began, target=known), source.assignment
        with recorder.heard(whole(len(work.steps), recorder)):
            done = await run(cluster, began, work, source.graph, recorder, source.settings, force=True, part=True)
    return "" if done.passed else "the restore from git is not whole"


def whole(steps: int, recorder: Recorder) -> Callable[[Event], None]:
    """Return a listener that marks the moment when the last of a restore's steps is ready, before it is verified."""
    left = set(range(steps))

    def listen(event: Event) -> None:
        if left and isinstance(event, Ready):
            left.discard(event.step)
            if not left:
                recorder.emit(Marked(event.at, Mark.WORKLOADS, "dr: every object is ready"))

    return listen


def recovered(run: str) -> str:
    """Return the name of the cluster that this process makes for a run to recover into."""
    return f"recovered-{os.getpid()}-{len(run)}"


async def _provision(context: _Context, source: Source) -> Access:
    """Bring up a fresh embedded cluster."""
    recorder = context.recorder
    if source.programs is None:
        raise UsageError("an embedded cluster needs its programs", "dr cluster prepare")
    told: list[str] = []

    def say(message: str) -> None:
        # The first thing that is waited for is the API server: by then the machines are there.
        if not told:
            context.mark(Mark.INFRASTRUCTURE, "the programs of the new cluster run")
        told.append(message)

    recorder.enter(Phase.PROVISION)
    nodes = context.arena.made.record.nodes if context.arena.made else 3
    made = await bring_up(recovered(context.began.run), nodes, source.programs, say, source.simulation)
    context.arena.take_in(made)
    recorder.leave(Phase.PROVISION)
    return made.access


async def _answers(cluster: Kube) -> None:
    """Wait for so many good answers of /readyz in a row."""
    good = 0
    while good < _GOOD:
        try:
            await cluster.call("GET", "/readyz", headers={"Accept": "*/*"})
            good += 1
        except ApiError:
            good = 0
        await asyncio.sleep(_EVERY)


async def _snapshot(context: _Context) -> str:
    """Put the last snapshot of etcd back."""
    made, access = context.arena.made, context.arena.access
    folder = made.folder if made else Path(access.ca).parent.parent
    if not (folder / "cluster.json").is_file():
        raise UsageError("only an embedded cluster's etcd can be put back from its snapshot", "recover it by a runbook")
    context.mark(Mark.DECIDED, _BY)
    await asyncio.to_thread(etcd.put_back, folder)
    async with Kube(access) as cluster:
        await _answers(cluster)
    context.mark(Mark.CONTROL_PLANE, f"/readyz, {_GOOD} times")
    return ""


async def _runbook(context: _Context, steps: Sequence[RunbookStep], ask: Ask) -> str:
    """Lead people through a runbook and time each step."""
    recorder = context.recorder
    context.mark(Mark.DECIDED, "whoever follows the runbook")
    for step in steps:
        began = recorder.at
        by, note = await _confirmed(ask, step)
        recorder.emit(Confirmed(recorder.at, step.title, by, began, note))
    context.mark(Mark.WORKLOADS, "the runbook's last step")
    return "" if steps else "the runbook has no steps"


async def _confirmed(ask: Ask, step: RunbookStep) -> tuple[str, str]:
    """Return who confirmed a step and what they noted; an exercise that is stopped waits for no answer."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[tuple[str, str]] = loop.create_future()

    def settle(found: tuple[str, str] | None, error: BaseException | None) -> None:
        if not answer.done():
            answer.set_exception(error) if error else answer.set_result(found or ("", ""))

    def work() -> None:
        found, wrong = None, None
        try:
            found = ask(step)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to who waits
            wrong = error
        with suppress(RuntimeError):  # the exercise is over, and its loop with it
            loop.call_soon_threadsafe(settle, found, wrong)

    # A thread of its own: those of the loop are waited for at its end, and nobody may answer any more.
    Thread(target=work, daemon=True).start()
    return await answer
