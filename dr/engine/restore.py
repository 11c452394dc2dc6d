"""Restores objects in the order of their graph: each starts the moment its last predecessor is what it must be."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec import Struct

from dr.core.body import get, mapping, text
from dr.core.errors import ApiError
from dr.core.events import Applied, Failed, PlannedStep, Ready, Retried, Skipped, Started, Waiting
from dr.core.health import Expectation, Health, State, health
from dr.core.model import Body, Ref
from dr.core.rules.builtin import BUILTIN_GROUPS
from dr.core.rules.readiness import ReadinessRule
from dr.core.schedule import Moved, Schedule
from dr.core.work import Assignment
from dr.engine.explain import explain
from dr.engine.ports import Cluster
from dr.engine.recorder import Recorder

_Key = tuple[str, str, str, str]
_FIRST_PAUSE, _LONGEST_PAUSE, _DOUBLINGS = 0.1, 5.0, 6
_EXPLAIN_AFTER, _EXPLAIN_EVERY, _EXPLAIN_AT_ONCE = 2.0, 1.0, 8


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
        self._reports: dict[tuple[str, str], bool] = {}
        self._consumers: dict[str, bool] = {}
        self._watched: set[tuple[str, str]] = set()
        self._done = asyncio.Event()
        self._ends: dict[int, str] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
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
                running.append(tasks.create_task(self._explainer()))
                await self._take_up(applied)
                self._enqueue(self._schedule.first)
                await self._done.wait()
                for task in tuple(tasks._tasks):  # noqa: SLF001 - a group has no public way to end what it holds
                    task.cancel()
        except BaseExceptionGroup as group:
            raise _first(group) from None
        finally:
            for timer in self._timers.values():
                timer.cancel()
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

    # Applying.

    async def _worker(self) -> None:
        while True:
            _, step = await self._queue.get()
            if step not in self._ends:
                await self._apply(step)

    async def _apply(self, step: int) -> None:
        work, loop = self._work[step], asyncio.get_running_loop()
        if (gate := self._gates.before.get(step)) and step not in self._gated:
            self._gated.add(step)
            if cause := await gate():
                self._fail(step, cause)
                return
        if step not in self._began:
            self._began[step] = self._clock.monotonic()
            self._emit(Started(self._at, step))
            self._timers[step] = loop.call_later(self._settings.timeout, self._guarded, self._out_of_time, step)
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
        again = (-self._work[step].urgency, step)
        asyncio.get_running_loop().call_later(delay, self._queue.put_nowait, again)

    # Becoming ready.

    async def _follow(self, step: int, stored: Body) -> None:
        """Wait for a step's object, and for what is made from it, without asking: watches tell."""
        self._bodies[step] = stored
        ref = self._steps[step].ref
        for made in self._work[step].makes:
            self._watch(made.api_version, made.kind)
        verdict = await self._look(step, stored)
        # A watch may have told of the object before the answer to its apply was read.
        if early := self._early.pop(step, None):
            await self._saw(early, gone=False)
        if step not in self._ends and (verdict is None or verdict.state is not State.CURRENT):
            self._watch(ref.api_version, ref.kind)

    async def _look(self, step: int, body: Body) -> Health | None:
        """Judge a step by its object as just seen, and act on it."""
        if step in self._ends:
            return None
        expected = await self._expectation(step, body)
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
        return verdict

    def _pass(self, step: int) -> None:
        """Have a gate's work done, for which the step's own time does not count; then the step is ready."""
        if step in self._gated or not self._tasks:
            return
        self._gated.add(step)
        if timer := self._timers.pop(step, None):
            timer.cancel()
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
        if timer := self._timers.pop(step, None):
            timer.cancel()
        self._emit(Ready(self._at, step))
        self._moved(self._schedule.ready(step))

    def _wait(self, step: int, message: str) -> None:
        if self._waiting.get(step, "").split(" · ")[0] != message:
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

    # Watching: one watch a kind, begun when the first object of the kind is waited for.

    def _watch(self, api_version: str, kind: str) -> None:
        if (api_version, kind) not in self._watched and self._tasks:
            self._watched.add((api_version, kind))
            self._tasks.create_task(self._watcher(api_version, kind))

    async def _watcher(self, api_version: str, kind: str) -> None:
        while True:
            try:
                async for change in self._cluster.watch(api_version, kind):
                    await self._saw(change.body, gone=change.gone)
            except ApiError as error:
                if not error.heals:
                    for step in [i for i in self._waiting if self._steps[i].ref.kind == kind]:
                        self._fail(step, f"cannot watch {kind}: {error.cause}")
                    return
                await asyncio.sleep(max(error.delay, _FIRST_PAUSE))

    async def _saw(self, body: Body, *, gone: bool) -> None:
        key = _key_of(body)
        if key in self._makers:
            (self._present.discard if gone else self._present.add)(key)
            for step in self._makers[key]:
                if step in self._bodies and not gone:
                    await self._look(step, self._bodies[step])
        index = self._step_of.get(key)
        if index is None or index in self._ends:
            return
        if index not in self._bodies:
            if index in self._began and not gone:
                self._early[index] = body
            return
        if gone:
            self._wait(index, "was deleted")
            return
        if int(get(body, "metadata", "generation") or 0) >= self._generation.get(index, 0):
            self._bodies[index] = body
            await self._look(index, body)

    async def _expectation(self, step: int, body: Body) -> Expectation:
        ref = self._steps[step].ref
        if ref.kind == "PersistentVolumeClaim" and text(body, "status", "phase") != "Bound":
            return Expectation(first_consumer=await self._binds_late(text(body, "spec", "storageClassName")))
        if self._work[step].awaited and ref.group not in BUILTIN_GROUPS:
            return Expectation(conditions=await self._has_conditions(ref))
        return Expectation()

    async def _binds_late(self, name: str) -> bool:
        if name and name not in self._consumers:
            found = await self._quietly(Ref("storage.k8s.io/v1", "StorageClass", "", name))
            self._consumers[name] = text(found or {}, "volumeBindingMode") == "WaitForFirstConsumer"
        return self._consumers.get(name, False)

    async def _has_conditions(self, ref: Ref) -> bool:
        """Return whether a custom kind's CRD declares `status.conditions`: then its controller will report."""
        key = (ref.api_version, ref.kind)
        if key not in self._reports:
            try:
                api = await self._cluster.api(ref.api_version, ref.kind)
            except ApiError:
                return False
            crd = Ref("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", f"{api.resource}.{api.group}")
            found = await self._quietly(crd)
            versions = get(found, "spec", "versions")
            self._reports[key] = any(
                get(row, "schema", "openAPIV3Schema", "properties", "status", "properties", "conditions") is not None
                for row in (versions if isinstance(versions, list) else ())
                if get(row, "name") == api.version
            )
        return self._reports[key]

    async def _quietly(self, ref: Ref) -> Body | None:
        try:
            return await self._cluster.get(ref)
        except ApiError:
            return None

    async def _explainer(self) -> None:
        """Find out what lies behind a wait that lasts: the pod that cannot start, the volume that is not bound."""
        while True:
            await asyncio.sleep(_EXPLAIN_EVERY)
            now = self._clock.monotonic()
            late = [i for i in self._waiting if i in self._bodies and now - self._began.get(i, now) > _EXPLAIN_AFTER]
            for step in late[:_EXPLAIN_AT_ONCE]:
                message = self._waiting.get(step, "").split(" · ")[0]
                try:
                    more = await explain(self._cluster, self._bodies[step])
                except ApiError:
                    continue
                full = f"{message} · {more}" if more else message
                if step in self._waiting and self._waiting[step] != full:
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
                self._began[index] = self._clock.monotonic()
                self._generation[index] = int(get(body, "metadata", "generation") or 0)
        for index, body in taken.items():
            self._timers[index] = asyncio.get_running_loop().call_later(
                self._settings.timeout, self._guarded, self._out_of_time, index
            )
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
