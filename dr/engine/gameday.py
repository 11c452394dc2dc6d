"""An exercise from steady state to verdict: fault, detection, recovery, hold and clean-up, probed all through."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from msgspec import Struct

from dr.core.chaos import Ran, Restored, Said, Struck
from dr.core.errors import DrError, ToolError
from dr.core.events import (
    Aborted,
    Activity,
    Announced,
    Ended,
    Entered,
    Event,
    Injected,
    Left,
    Mark,
    Marked,
    Phase,
    Probed,
    Survived,
    Undone,
)
from dr.core.gameday import Abort
from dr.core.outages import probe_time
from dr.engine.ports import Answer, Chaos, Injection, Probes
from dr.engine.recorder import Recorder

_UNNOTICED, _LEAST = 20, 5.0  # rounds of probes, and seconds, after which the exercise goes on unnoticed
_PATIENCE = 60.0  # seconds for each part of the clean-up
Recover = Callable[[], Awaitable[str]]


class Rules(Struct, frozen=True):
    """How an exercise is led: seconds for the steady state to come, when to abort, and who recovers.

    `waits`: somebody recovers, once a probe has noticed the fault; `settles`: and once the fault is wholly in, because
    what is still being taken away cannot be put back.
    """

    within: float = 60.0
    aborts: tuple[Abort, ...] = ()
    waits: bool = False
    settles: bool = False


class NotSteady(ToolError):
    """The exercise was not begun: what it wants to disturb does not work."""


class Exercise:
    """One gameday. `recover` brings back what the fault took, and returns what is wrong with it ("" if nothing).

    `by_hand` says how people take back what the clean-up could not.
    """

    def __init__(
        self,
        announced: Announced,
        rules: Rules,
        recorder: Recorder,
        probes: Probes,
        chaos: Chaos,
        recover: Recover,
        by_hand: Callable[[], str] = lambda: "",
    ) -> None:
        self._announced = announced
        self._rules = rules
        self._recorder = recorder
        self._probes = probes
        self._chaos = chaos
        self._recover = recover
        self._by_hand = by_hand
        self._unkept: DrError | OSError | None = None
        self._samples: list[list[Probed]] = [[] for _ in announced.probes]
        self._news = asyncio.Event()
        self._abort: asyncio.Future[Aborted] = asyncio.get_running_loop().create_future()
        self._fault: Injected | None = None
        self._detected = False
        self._begun = False
        self._taken_back = False
        self._sound = True

    @property
    def clean(self) -> bool:
        """Whether nothing of the fault is left: it was never sent, or all of it was taken back."""
        return self._taken_back or not self._begun

    async def run(self) -> str:
        """Lead the exercise and clean up after it, whatever happens; return its outcome, which is written down.

        Raises NotSteady, ToolError when the experiment strikes nothing, ApiError and StoreError.
        """
        flow = asyncio.create_task(self._flow())
        tasks = (flow, asyncio.create_task(self._listen()), asyncio.create_task(self._watch_time()))
        outcome = "failed"
        try:
            await asyncio.wait((*tasks, self._abort), return_when=asyncio.FIRST_COMPLETED)
            if self._abort.done():
                self._recorder.emit(self._abort.result())
            else:
                done = next(task for task in tasks if task.done())
                outcome = "passed" if await done and done is flow else "failed"
        except asyncio.CancelledError:
            outcome = "interrupted"
            raise
        finally:
            await _all_the_same(self._wind_up(tasks, outcome))
        return outcome

    async def _wind_up(self, tasks: Sequence[asyncio.Task[bool]], outcome: str) -> None:
        """Stop what goes on, take the fault back, and write the end down; raise then what could not be written."""
        flow, *others = tasks
        flow.cancel()
        await asyncio.wait((asyncio.gather(flow, return_exceptions=True),), timeout=_PATIENCE)
        if self._begun:
            await self._clean_up()
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._keep(Ended(self._recorder.at, outcome=outcome if self.clean or outcome == "interrupted" else "failed"))
        if self._unkept:
            raise self._unkept

    def _keep(self, event: Event) -> None:
        """Write something down; what cannot be is raised at the end, since the fault counts for more than the log."""
        try:
            self._recorder.emit(event)
        except (DrError, OSError) as error:
            self._unkept = self._unkept or error

    async def _flow(self) -> bool:
        recorder = self._recorder
        recorder.enter(Phase.STEADY)
        await self._steady()
        recorder.leave(Phase.STEADY)
        recorder.enter(Phase.FAULT)
        self._begun = True
        injecting = asyncio.create_task(self._chaos.inject(self._heard))
        try:
            fault = await self._struck(injecting)
            recorder.leave(Phase.FAULT)
            deadline = self._announced.timeout - (recorder.at - fault.began)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._recovered(injecting), deadline)
                await self._count()
                return self._sound
            await self._count()
            return False
        finally:
            injecting.cancel()
            await asyncio.gather(injecting, return_exceptions=True)

    async def _steady(self) -> None:
        def steady() -> bool:
            return all(_passes(row, self._announced.consecutive) for row in self._samples)

        try:
            await asyncio.wait_for(self._until(steady), self._rules.within)
        except TimeoutError:
            failing = [
                f"{probe.name}: {row[-1].cause or 'it passes, but not often enough'}"
                if row
                else f"{probe.name}: no answer"
                for probe, row in zip(self._announced.probes, self._samples, strict=True)
                if not _passes(row, self._announced.consecutive)
            ]
            raise NotSteady(
                f"no steady state within {self._rules.within:.0f} s, so nothing was disturbed: {'; '.join(failing)}",
                "look at the probes, or give `within` more time",
            ) from None

    async def _struck(self, injecting: asyncio.Task[Injection]) -> Injected:
        """Wait until the fault is in; raises ToolError when the experiment ends without one."""
        news = asyncio.create_task(self._until(lambda: self._fault is not None))
        await asyncio.wait((injecting, news), return_when=asyncio.FIRST_COMPLETED)
        news.cancel()
        if self._fault is None:
            ended = injecting.result()
            raise ToolError(f"the experiment struck nothing: {ended.cause or ended.status}", "see experiment.log")
        return self._fault

    async def _recovered(self, injecting: asyncio.Task[Injection]) -> None:
        """See the recovery through to its hold."""
        recorder = self._recorder
        if self._rules.waits:
            recorder.enter(Phase.DETECT)
            await self._detect()
            if self._rules.settles:
                await asyncio.wait((injecting,))
            recorder.leave(Phase.DETECT)
        recorder.enter(Phase.RECOVER)
        wrong = await self._recover()
        injection = await injecting
        if not injection.sound:
            wrong = wrong or injection.cause or injection.status
            recorder.emit(Activity(recorder.at, "experiment", "experiment", injection.status, recorder.at, wrong))
        self._sound = not wrong
        recorder.leave(Phase.RECOVER)
        recorder.enter(Phase.HOLD)
        await self._until(self._held)
        recorder.leave(Phase.HOLD)

    async def _detect(self) -> None:
        """Wait for a probe to notice the fault; after a while the exercise goes on all the same."""
        patience = max(_LEAST, _UNNOTICED * max(probe.every for probe in self._announced.probes))
        try:
            await asyncio.wait_for(self._until(lambda: self._detected), patience)
        except TimeoutError:
            by = f"nobody: no probe failed in {patience:.0f} s"
            self._recorder.emit(Marked(self._recorder.at, Mark.DETECTED, by))

    def _held(self) -> bool:
        times = (
            probe_time(probe, row, self._fault, self._announced)
            for probe, row in zip(self._announced.probes, self._samples, strict=True)
        )
        count = self._announced.consecutive
        return all(_passes(row, count) for row in self._samples) and all(time.recovered for time in times)

    async def _count(self) -> None:
        """Ask what the canaries have left of what was written."""
        if any(probe.canary for probe in self._announced.probes):
            for probe, number in sorted((await self._probes.survived()).items()):
                self._recorder.emit(Survived(self._recorder.at, probe, number))

    async def _clean_up(self) -> None:
        """Take back whatever is left of the fault, and only then write that down."""
        recorder = self._recorder
        began = recorder.at
        try:
            done = await asyncio.wait_for(self._chaos.undo(), _PATIENCE)
        except Exception as error:  # noqa: BLE001 - whatever it is, the fault may still be in
            cause = str(error) or f"not done in {_PATIENCE:.0f} s"
            done = (
                Restored(self._fault.fault if self._fault else "the fault", self._recorder.clock.monotonic(), cause),
            )
        self._taken_back = not any(restored.cause for restored in done)
        self._keep(Entered(began, Phase.CLEANUP))
        for fault, at, cause in ((r.fault, recorder.since(r.at), r.cause) for r in done):
            self._keep(Undone(at, fault, "the run", cause, self._by_hand() if cause else ""))
        self._keep(Left(recorder.at, Phase.CLEANUP))
        if self._taken_back and self._fault:
            self._keep(Marked(recorder.at, Mark.CLEAN, "the run"))

    def _heard(self, said: Said) -> None:
        """Write down what the experiment says; its first fault is the exercise's, each as it was accepted."""
        since = self._recorder.since
        match said:
            case Struck(fault, began, at, targets, undo):
                event = Injected(since(at), fault, since(began), targets, undo)
                self._fault = self._fault or event
                self._recorder.emit(event)
                self._news.set()
            case Ran(name, kind, status, began, at, cause):
                self._recorder.emit(Activity(since(at), name, kind, status, since(began), cause))
            case _:
                self._recorder.emit(Undone(since(said.at), said.fault, "the experiment", said.cause))

    async def _listen(self) -> bool:
        async for answer in self._probes.samples():
            self._take(answer)
        raise ToolError("the probes have stopped", "see the run's log")

    def _take(self, answer: Answer) -> None:
        since = self._recorder.since
        began = since(answer.began)
        event = Probed(since(answer.at), answer.probe, answer.passed, began, answer.cause, answer.number)
        self._recorder.emit(event)
        row = self._samples[answer.probe]
        row.append(event)
        if self._fault and not event.passed and event.at >= self._fault.began and not self._detected:
            self._detected = True
            name = self._announced.probes[answer.probe].name
            self._recorder.emit(Marked(event.at, Mark.DETECTED, f"probe {name}", event.at - event.began))
        self._consider(answer.probe)
        self._news.set()

    def _consider(self, index: int) -> None:
        """Abort when a probe has been failing for longer than the exercise allows."""
        row, name = self._samples[index], self._announced.probes[index].name
        failing = _failing_for(row)
        for abort in self._rules.aborts:
            if self._fault and abort.probe == name and abort.failing_for and failing > abort.failing_for:
                self._stop(f"{name} failing for {abort.failing_for:g} s", row[-1].cause)

    async def _watch_time(self) -> bool:
        limits = [abort.after for abort in self._rules.aborts if abort.after]
        if not limits:
            await asyncio.Event().wait()
        await asyncio.sleep(max(0.0, min(limits) - self._recorder.at))
        self._stop(f"after {min(limits):g} s", "the exercise takes longer than it may")
        return False

    def _stop(self, condition: str, cause: str) -> None:
        if not self._abort.done():
            self._abort.set_result(Aborted(self._recorder.at, condition, cause))

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._news.clear()
            await self._news.wait()


def _passes(row: Sequence[Probed], count: int) -> bool:
    return len(row) >= count and all(sample.passed for sample in row[-count:])


def _failing_for(row: Sequence[Probed]) -> float:
    """Return the seconds from the last pass, or the first answer, to the last answer; 0 when that one passed."""
    if not row or row[-1].passed:
        return 0.0
    since = next((sample.at for sample in reversed(row) if sample.passed), row[0].began)
    return row[-1].at - since


async def _all_the_same(work: Awaitable[None]) -> None:
    """Do something to its end, also when it is cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError
