"""Restores objects in the order of their graph: each starts the moment its last predecessor is what it must be."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial

from msgspec import Struct

from dr.core.body import get, mapping, text
from dr.core.errors import ApiError
from dr.core.events import Applied, Failed, PlannedStep, Ready, Retried, Skipped, Started, Waiting
from dr.core.health import Health, State, health
from dr.core.model import Body, Ref
from dr.core.rules.readiness import ReadinessRule
from dr.core.schedule import Moved, Schedule
from dr.core.work import Assignment
from dr.engine.deadlines import Deadlines
from dr.engine.expecting import SLICE, Expecting
from dr.engine.explain import explaining
from dr.engine.ports import Change, Cluster
from dr.engine.recorder import Recorder
from dr.engine.watching import Kind, Watching

_Key = tuple[str, str, str, str]
_FIRST_PAUSE, _LONGEST_PAUSE, _DOUBLINGS = 0.1, 5.0, 6
_LOOK_AGAIN = 1.0
_ANEW = 3  # how often an object that somebody deletes is applied again
_EXPLAIN_AFTER, _MORE = 2.0, " · "


class Settings(Struct, frozen=True):
    """How a restore goes about it.

    `timeout`: seconds from a step's start until it must be ready. `patience`: seconds that a kind which is not served
    is asked for again. `retries`: off for an order that is only shown to compare.
    """

    concurrency: int = 32
    timeout: float = 300.0
    patience: float = 10.0
    retries: bool = True
    rules: tuple[ReadinessRule, ...] = ()


class Outcome(Struct, frozen=True):
    """How a restore ended: steps by what became of them."""

    ready: tuple[int, ...]
    failed: tuple[int, ...]
    skipped: tuple[int, ...]

    @property
    def passed(self) -> bool:
        """Whether every step is ready."""
        return not self.failed and not self.skipped


class Gates(Struct, frozen=True):
    """What else must be done before a step is applied, or once its object is ready and before anything that needs it.

    By the step's index. Each returns what went wrong, "" if nothing, and takes the time that it takes.
    """

    before: Mapping[int, Callable[[], Awaitable[str]]] = {}
    after: Mapping[int, Callable[[], Awaitable[str]]] = {}


class Restore:
    """One restore; everything is recorded before the next thing is done."""

    def __init__(
        self,
        assignment: Assignment,
        cluster: Cluster,
        recorder: Recorder,
        settings: Settings,
        gates: Gates = Gates(),  # noqa: B008 - frozen
    ) -> None:
        self._gates = gates
        self._gated: set[int] = set()
        self._steps: Sequence[PlannedStep] = assignment.steps
        self._work = assignment.work
        self._cluster = cluster
        self._clock = recorder.clock
        self._emit = recorder.emit
        self._recorder = recorder
        self._settings = settings
        self._schedule = Schedule(assignment.steps)
        self._queue: asyncio.PriorityQueue[tuple[float, int]] = asyncio.PriorityQueue()
        self._step_of = {_key(step.ref): index for index, step in enumerate(self._steps)}
        self._makers: dict[_Key, list[int]] = defaultdict(list)
        for index, work in enumerate(assignment.work):
            for made in work.makes:
                self._makers[_key(made)].append(index)
        self._present: set[_Key] = set()
        self._bodies: dict[int, Body] = {}
        self._early: dict[int, Body] = {}
        self._generation: dict[int, int] = {}
        self._waiting: dict[int, str] = {}
        self._began: dict[int, float] = {}
        self._tries: dict[int, int] = defaultdict(int)
        self._anew: dict[int, int] = defaultdict(int)
        self._expecting = Expecting(assignment, cluster)
        over = partial(self._guarded, self._out_of_time)
        self._deadlines = Deadlines(settings.timeout, self._expecting.behind, over)
        self._watching = Watching(cluster, self._saw, self._blinded)
        self._needs: dict[int, set[Kind]] = defaultdict(set)
        self._done = asyncio.Event()
        self._ends: dict[int, str] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._crash: BaseException | None = None

    async def run(self, applied: Mapping[int, str] = {}) -> Outcome:
        """Restore until every step is ready, failed or skipped.

        `applied` are the steps that an earlier, interrupted run has applied, with the objects' UIDs: what is still
        there as that object is not applied again. Raises StoreError, after which nothing more is sent.
        """
        if not self._steps:
            return Outcome((), (), ())
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                running = [
                    tasks.create_task(self._worker()) for _ in range(min(self._settings.concurrency, len(self._steps)))
                ]
                running.append(tasks.create_task(explaining(self._cluster, self._late, self._explained)))
                await self._take_up(applied)
                self._enqueue(self._schedule.first)
                await self._done.wait()
                for task in tuple(tasks._tasks):  # noqa: SLF001 - a group has no public way to end what it holds
                    task.cancel()
        except BaseExceptionGroup as group:
            raise _first(group) from None
        finally:
            self._deadlines.close()
        if self._crash:
            raise self._crash
        ends: dict[str, list[int]] = defaultdict(list)
        for index, end in sorted(self._ends.items()):
            ends[end].append(index)
        return Outcome(tuple(ends["ready"]), tuple(ends["failed"]), tuple(ends["skipped"]))

    @property
    def _at(self) -> float:
        return self._recorder.at

    def _moved(self, moved: Moved) -> None:
        for index, because in moved.skipped:
            self._ends[index] = "skipped"
            self._emit(Skipped(self._at, index, because))
            self._lost(index)
        self._enqueue(moved.runnable)
        if self._schedule.done:
            self._done.set()

    def _enqueue(self, steps: Sequence[int]) -> None:
        for index in steps:
            if index not in self._began and index not in self._ends:
                self._queue.put_nowait((-self._work[index].urgency, index))

    def _fail(self, step: int, cause: str, *, timeout: bool = False) -> None:
        if step in self._ends:
            return
        self._ends[step] = "failed"
        self._waiting.pop(step, None)
        self._emit(Failed(self._at, step, cause, timeout))
        self._moved(self._schedule.failed(step))
        self._lost(step)

    def _lost(self, step: int) -> None:
        for service in self._deadlines.lost(step):
            self._forsake(service)

    def _forsake(self, service: int) -> None:
        """Give up a Service that waits for endpoints once nothing is left that could be one."""
        if service in self._waiting and (behind := self._deadlines.forsaken(service)):
            names = ", ".join(str(self._steps[index].ref) for index in behind)
            self._fail(service, f"{self._waiting[service]}: what is behind it did not come ({names})")

    # Applying.

    async def _worker(self) -> None:
        while True:
            _, step = await self._queue.get()
            if step not in self._ends:
                await self._apply(step)

    async def _apply(self, step: int) -> None:
        work = self._work[step]
        if (gate := self._gates.before.get(step)) and step not in self._gated:
            self._gated.add(step)
            if cause := await gate():
                self._fail(step, cause)
                return
        if step not in self._began:
            self._emit(Started(self._at, step))
            self._begin(step)
        try:
            stored, operation = await self._cluster.apply(work.body, manager=work.manager)
        except ApiError as error:
            self._refused(step, error)
            return
        if step in self._ends:
            return
        metadata = mapping(stored, "metadata")
        self._generation[step] = int(metadata.get("generation") or 0)
        self._emit(Applied(self._at, step, operation, text(metadata, "uid"), self._generation[step]))
        self._moved(self._schedule.applied(step))
        await self._follow(step, stored)

    def _begin(self, step: int) -> None:
        self._began[step] = self._clock.monotonic()
        self._deadlines.begin(step)

    def _refused(self, step: int, error: ApiError) -> None:
        spent = self._clock.monotonic() - self._began[step]
        patience = self._settings.patience if error.reason == "NoMatch" else self._settings.timeout
        if step in self._ends:
            return
        if not error.heals or not self._settings.retries or spent >= patience:
            self._fail(step, error.cause)
            return
        pause = min(_FIRST_PAUSE * 2 ** min(self._tries[step], _DOUBLINGS), _LONGEST_PAUSE)
        delay = max(error.delay, pause)
        self._tries[step] += 1
        self._emit(Retried(self._at, step, error.cause, delay))
        self._waiting[step] = error.cause
        self._again(step, delay)

    def _again(self, step: int, delay: float) -> None:
        entry = (-self._work[step].urgency, step)
        asyncio.get_running_loop().call_later(delay, self._queue.put_nowait, entry)

    # Becoming ready.

    async def _follow(self, step: int, stored: Body) -> None:
        """Wait for a step's object, and for what is made from it, without asking: watches tell."""
        self._bodies[step] = stored
        ref = self._steps[step].ref
        for made in self._work[step].makes:
            self._watch(step, made.api_version, made.kind)
        if step in self._expecting.behind:
            self._watch(step, *SLICE)
        verdict = await self._look(step, stored)
        # A watch may have told of the object before the answer to its apply was read.
        if early := self._early.pop(step, None):
            await self._saw(Change(early))
        if step not in self._ends and (verdict is None or verdict.state is not State.CURRENT):
            self._watch(step, ref.api_version, ref.kind)
        self._blinded()

    async def _look(self, step: int, body: Body) -> Health | None:
        """Judge a step by its object as just seen, and act on it."""
        if step in self._ends:
            return None
        try:
            expected = await self._expecting.of(step, body)
        except ApiError as error:
            self._wait(step, error.cause)
            if self._tasks:
                self._tasks.create_task(self._look_later(step))
            return None
        verdict = health(body, expected, self._settings.rules)
        if step in self._ends:
            return verdict
        if verdict.state is State.CURRENT:
            lacking = [made for made in self._work[step].makes if _key(made) not in self._present]
            if not lacking and step in self._gates.after:
                self._pass(step)
            elif not lacking:
                self._settle(step)
            else:
                self._wait(step, f"{lacking[0]} is not made yet")
        elif verdict.state is State.FAILED:
            self._fail(step, verdict.message)
        else:
            self._wait(step, verdict.message)
            self._forsake(step)
        return verdict

    async def _look_later(self, step: int) -> None:
        await asyncio.sleep(_LOOK_AGAIN)
        await self._look_at(step)

    def _pass(self, step: int) -> None:
        """Have a gate's work done, for which the step's own time does not count; then the step is ready."""
        if step in self._gated or not self._tasks:
            return
        self._gated.add(step)
        self._deadlines.stop(step)
        self._tasks.create_task(self._through(step))

    async def _through(self, step: int) -> None:
        self._wait(step, "its data is on the way")
        if cause := await self._gates.after[step]():
            self._fail(step, cause)
        elif step not in self._ends:
            self._settle(step)

    def _settle(self, step: int) -> None:
        self._ends[step] = "ready"
        self._waiting.pop(step, None)
        self._deadlines.stop(step)
        self._emit(Ready(self._at, step))
        self._moved(self._schedule.ready(step))

    def _wait(self, step: int, message: str) -> None:
        if self._waiting.get(step, "").split(_MORE)[0] != message:
            self._waiting[step] = message
            self._emit(Waiting(self._at, step, message))

    def _out_of_time(self, step: int) -> None:
        waited = self._waiting.get(step, "no answer")
        self._fail(step, f"not ready in {self._settings.timeout:g} s: {waited}", timeout=True)

    def _guarded(self, act: Callable[[int], None], step: int) -> None:
        """Run a timer's work; a log that is full must end the run, not vanish in the event loop."""
        try:
            act(step)
        except Exception as error:  # noqa: BLE001 - carried to `run`, which raises it
            self._crash = error
            self._done.set()

    # Watching.

    def _watch(self, step: int, api_version: str, kind: str) -> None:
        self._needs[step].add((api_version.rpartition("/")[0], kind))
        if self._tasks:
            self._watching.watch(api_version, kind, self._tasks)

    def _blinded(self) -> None:
        """Fail what waits for news of a kind that cannot be watched."""
        for kind, cause in self._watching.blind.items():
            for step in [index for index in self._bodies if index not in self._ends and kind in self._needs[index]]:
                self._fail(step, cause)

    async def _saw(self, change: Change) -> None:
        body, key = change.body, _key_of(change.body)
        if key[:2] == (SLICE[0].partition("/")[0], SLICE[1]):
            await self._look_at(self._step_of.get(("", "Service", *self._expecting.saw(body, gone=change.gone))))
        if key in self._makers:
            (self._present.discard if change.gone else self._present.add)(key)
            for step in () if change.gone else self._makers[key]:
                await self._look_at(step)
        index = self._step_of.get(key)
        if index is None or index in self._ends:
            return
        if index not in self._bodies:
            if index in self._began and not change.gone:
                self._early[index] = body
        elif change.gone:
            self._deleted(index, body)
        elif int(get(body, "metadata", "generation") or 0) >= self._generation.get(index, 0):
            self._bodies[index] = body
            await self._look(index, body)

    async def _look_at(self, step: int | None) -> None:
        if step is not None and step in self._bodies:
            await self._look(step, self._bodies[step])

    def _deleted(self, step: int, body: Body) -> None:
        """Apply anew what somebody deleted while it was waited for, unless he keeps at it."""
        if get(body, "metadata", "uid") != get(self._bodies[step], "metadata", "uid"):
            return
        if not self._settings.retries:
            self._wait(step, "was deleted")
            return
        self._anew[step] += 1
        if self._anew[step] > _ANEW:
            self._fail(step, f"was deleted {self._anew[step]} times while it was waited for: find out by whom")
            return
        del self._bodies[step]
        self._waiting[step] = "was deleted"
        self._emit(Retried(self._at, step, "was deleted", _FIRST_PAUSE))
        self._again(step, _FIRST_PAUSE)

    def _late(self) -> Iterator[tuple[int, Body]]:
        now = self._clock.monotonic()
        for step in self._waiting:
            if step in self._bodies and now - self._began.get(step, now) > _EXPLAIN_AFTER:
                yield step, self._bodies[step]

    def _explained(self, step: int, more: str) -> None:
        if step in self._waiting:
            message = self._waiting[step].split(_MORE)[0]
            full = f"{message}{_MORE}{more}" if more else message
            if self._waiting[step] != full:
                self._waiting[step] = full
                self._emit(Waiting(self._at, step, full))

    async def _take_up(self, applied: Mapping[int, str]) -> None:
        """Go on from where an interrupted run was: what it applied and is still there counts as applied."""
        kinds = {(self._steps[i].ref.api_version, self._steps[i].ref.kind) for i in applied}
        there: dict[_Key, Body] = {}
        for api_version, kind in sorted(kinds):
            try:
                there.update({_key_of(body): body for body in await self._cluster.list(api_version, kind)})
            except ApiError as error:
                if not error.heals or error.reason == "Unreachable":
                    raise
        taken: dict[int, Body] = {}
        for index, uid in sorted(applied.items()):
            body = there.get(_key(self._steps[index].ref))
            if body is not None and text(body, "metadata", "uid") == uid:
                taken[index] = body
                self._generation[index] = int(get(body, "metadata", "generation") or 0)
        for index in taken:
            self._begin(index)
        for index, body in taken.items():
            self._moved(self._schedule.applied(index))
            await self._follow(index, body)


def _key(ref: Ref) -> _Key:
    return ref.group, ref.kind, ref.namespace, ref.name


def _key_of(body: Body) -> _Key:
    metadata = mapping(body, "metadata")
    group, slash, _ = text(body, "apiVersion").rpartition("/")
    return group if slash else "", text(body, "kind"), text(metadata, "namespace"), text(metadata, "name")


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    return group
