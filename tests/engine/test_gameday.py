"""An exercise from steady state to verdict, with probes and an experiment that do as the test says."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
from msgspec import Struct

from dr.app.recoveries import whole
from dr.core.chaos import Restored, Said, Struck
from dr.core.errors import StoreError, ToolError
from dr.core.events import (
    Announced,
    AnyEvent,
    Began,
    Ended,
    Entered,
    Event,
    Injected,
    Left,
    Mark,
    Marked,
    Phase,
    PlannedProbe,
    Ready,
    Target,
    Undone,
)
from dr.core.gameday import Abort, Duration
from dr.core.recovery import Recovery, recovery
from dr.core.timeline import fold
from dr.engine.gameday import Exercise, NotSteady, Rules
from dr.engine.ports import Injection
from dr.engine.recorder import Recorder
from dr.report.gameday_text import wrong

EVERY = 0.02
_RULES = Rules(within=0.5)


class Answer(Struct):
    probe: int
    passed: bool
    began: float
    at: float
    cause: str = ""
    number: int | None = None
    found: int | None = None


class World:
    """A service that can be down, the probes that ask it, and the experiment that takes it down."""

    def __init__(self, *, probes: int = 1, heals_after: float = 0.1, up: bool = True) -> None:
        self.up = up
        self.count = probes
        self.heals_after = heals_after
        self.undone = 0
        self.strikes = True
        self.status = Injection("completed")
        self.undo_cause = ""
        self.hangs = False
        self.injecting = False
        self.struck = asyncio.Event()

    async def samples(self) -> AsyncIterator[Answer]:
        while True:
            for probe in range(self.count):
                now = time.monotonic()
                yield Answer(probe, self.up, now, time.monotonic(), "" if self.up else "no answer")
            await asyncio.sleep(EVERY)

    async def survived(self) -> Mapping[int, int | None]:
        return {0: 7}

    async def inject(self, heard: Callable[[Said], None]) -> Injection:
        self.injecting = True
        try:
            if self.strikes:
                began = time.monotonic()
                self.up = False
                heard(Struck("pods gone", began, time.monotonic(), ("Pod shop/web-1",)))
                self.struck.set()
            if self.hangs:
                await asyncio.sleep(3600)
            if self.strikes and self.heals_after:
                asyncio.get_running_loop().call_later(self.heals_after, self.heal)
            return self.status
        finally:
            self.injecting = False

    def heal(self) -> None:
        self.up = True

    async def undo(self) -> tuple[Restored, ...]:
        self.undone += 1
        self.up = True
        return (Restored("pods gone", time.monotonic(), self.undo_cause),)


class Log:
    def __init__(self) -> None:
        self.events: list[AnyEvent] = []
        self.full_after: type[Event] | None = None

    def append(self, event: Event) -> None:
        if self.full_after and any(isinstance(kept, self.full_after) for kept in self.events):
            raise StoreError("the log cannot be written: No space left on device", "make room")
        self.events.append(event)  # type: ignore[arg-type]


class Clock:
    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> str:
        return "2026-11-23T10:00:00+00:00"


def announced(world: World, **more: Any) -> Announced:
    probes = tuple(
        PlannedProbe(f"probe {n}", "http", "x", EVERY, 1.0, canary=more.pop("canary", False))
        for n in range(world.count)
    )
    return Announced(
        0.0, **{"title": "t", "scenario": "s", "probes": probes, "consecutive": 2, "hold": 0.05, "timeout": 3.0, **more}
    )


def exercise(
    world: World, rules: Rules = _RULES, recover: Callable[[], Any] | None = None, **more: Any
) -> tuple[str, Recovery, list[AnyEvent]]:
    """Lead an exercise; return its outcome, what was measured and every event."""
    log = Log()

    async def nothing() -> str:
        return ""

    async def lead() -> str:
        recorder = Recorder(log, Clock())
        plan = announced(world, **more)
        recorder.emit(Began(0.0, time="", run="r", command="dr gameday run", dr="0", target=Target("c", "", "u", "ca")))
        recorder.emit(plan)
        return await Exercise(plan, rules, recorder, world, world, recover or nothing).run()

    outcome = "raised"
    with contextlib.suppress(ToolError):
        outcome = asyncio.run(lead())
    found = recovery(log.events)
    assert found is not None
    return outcome, found, log.events


def test_a_service_that_comes_back_is_measured_from_the_fault_to_its_first_steady_answer() -> None:
    world = World(heals_after=0.2)
    outcome, found, _ = exercise(world)
    assert outcome == "passed"
    assert found.rta is not None
    assert 0.2 - EVERY <= found.rta <= 0.2 + 0.15
    assert found.moments[Mark.DETECTED].by == "probe probe 0"
    assert sum(part.seconds for part in found.parts) == pytest.approx(found.rta)
    assert found.verdict == "met"
    assert world.undone == 1


def test_a_service_that_stays_down_is_given_up_and_counted_and_the_fault_taken_back() -> None:
    world = World(heals_after=0.0)
    outcome, found, _ = exercise(world, timeout=0.4)
    assert outcome == "failed"
    assert found.rta is None
    assert found.censored == pytest.approx(0.4)
    assert found.verdict == "missed"
    assert world.undone == 1


def test_nothing_is_disturbed_that_does_not_work_beforehand() -> None:
    world = World(up=False)
    log_outcome, found, events = exercise(world)
    assert log_outcome == "raised"
    assert not [e for e in events if isinstance(e, Injected)]
    assert found.verdict == "not begun"
    assert world.undone == 0
    assert isinstance(events[-1], Ended)


def test_the_reason_why_nothing_was_begun_names_the_probe_and_its_cause() -> None:
    world = World(up=False)

    async def lead() -> None:
        plan = announced(world)
        await Exercise(
            plan, Rules(within=0.1), Recorder(Log(), Clock()), world, world, lambda: asyncio.sleep(0, "")
        ).run()

    with pytest.raises(NotSteady, match="probe 0: no answer"):
        asyncio.run(lead())


def test_an_experiment_that_strikes_nothing_is_no_recovery() -> None:
    world = World()
    world.strikes, world.status = False, Injection("failed", "no pod matches app=web")
    outcome, found, _ = exercise(world)
    assert outcome == "raised"
    assert found.verdict == "not begun"


def test_an_action_that_fails_after_the_fault_makes_the_verdict_no_success() -> None:
    world = World(heals_after=0.05)
    world.status = Injection("completed", "second action: refused")
    outcome, found, _ = exercise(world)
    assert outcome == "failed"
    assert any("second action" in activity.cause for activity in found.activities)


def test_an_abort_condition_stops_the_experiment_at_once_and_takes_the_fault_back() -> None:
    world = World(heals_after=0.0)
    world.hangs = True
    rules = Rules(0.5, (Abort(probe="probe 0", failing_for=Duration(0.1)),))
    _, found, events = exercise(world, rules, timeout=30.0)
    assert found.verdict == "aborted"
    assert found.aborted[0].condition == "probe 0 failing for 0.1 s"
    assert not world.injecting
    assert [e for e in events if isinstance(e, Undone)]
    assert events[-1].at < 2.0


def test_an_exercise_that_takes_longer_than_it_may_is_aborted() -> None:
    world = World(heals_after=0.0)
    _, found, _ = exercise(world, Rules(0.5, (Abort(after=Duration(0.3)),)), timeout=30.0)
    assert found.verdict == "aborted"


def test_a_fault_that_cannot_be_taken_back_is_a_failure_that_says_so() -> None:
    world = World(heals_after=0.05)
    world.undo_cause = "the API server refused"
    outcome, found, events = exercise(world)
    assert outcome == "passed"
    assert isinstance(events[-1], Ended)
    assert events[-1].outcome == "failed"
    assert found.verdict == "missed"
    assert found.undone[0].cause == "the API server refused"


def test_an_interrupted_exercise_takes_the_fault_back_and_says_that_it_was_interrupted() -> None:
    world, log = World(heals_after=0.0), Log()

    async def lead() -> None:
        recorder, plan = Recorder(log, Clock()), announced(world, timeout=30.0)
        recorder.emit(plan)
        running = asyncio.create_task(
            Exercise(plan, Rules(), recorder, world, world, lambda: asyncio.sleep(0, "")).run()
        )
        await asyncio.wait_for(world.struck.wait(), 5)
        running.cancel()
        await asyncio.sleep(0)
        running.cancel()  # an impatient second Ctrl-C must not leave the fault in
        await running

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(lead())
    assert world.undone == 1
    assert isinstance(log.events[-1], Ended)
    assert log.events[-1].outcome == "interrupted"


@pytest.mark.parametrize("after", [Injected, Marked], ids=["as the fault is in", "when it was noticed"])
def test_a_full_disk_does_not_keep_the_fault_in(after: type[Event]) -> None:
    world, log = World(heals_after=0.0), Log()
    log.full_after = after

    async def lead() -> bool:
        plan = announced(world, timeout=30.0)
        one = Exercise(plan, Rules(), Recorder(log, Clock()), world, world, lambda: asyncio.sleep(0, ""))
        with pytest.raises(StoreError, match="No space left"):
            await one.run()
        return one.clean

    assert asyncio.run(lead()), "nobody is told that the fault is gone"
    assert (world.undone, world.up) == (1, True)


def test_nobody_listening_any_more_does_not_keep_the_fault_in() -> None:
    world, log = World(heals_after=0.0), Log()

    def deaf(event: Event) -> None:
        if world.struck.is_set():
            raise BrokenPipeError

    async def lead() -> bool:
        plan = announced(world, timeout=30.0)
        one = Exercise(plan, Rules(), Recorder(log, Clock(), [deaf]), world, world, lambda: asyncio.sleep(0, ""))
        with pytest.raises(BrokenPipeError):
            await one.run()
        return one.clean

    assert asyncio.run(lead())
    assert (world.undone, world.up) == (1, True)
    assert [type(event) for event in log.events[-4:]] == [Undone, Left, Marked, Ended]


@pytest.mark.parametrize(
    "cause", ["the API server refused", OSError("No space left on device")], ids=["told", "raised"]
)
def test_what_was_not_taken_back_is_told_with_how_people_do_it(cause: str | OSError) -> None:
    world, log = World(heals_after=0.05), Log()

    async def undo() -> tuple[Restored, ...]:
        if isinstance(cause, OSError):
            raise cause
        return (Restored("pods gone", time.monotonic(), cause),)

    world.undo = undo  # type: ignore[method-assign]

    async def lead() -> bool:
        plan, recorder = announced(world), Recorder(log, Clock())
        recorder.emit(plan)
        one = Exercise(
            plan, Rules(), recorder, world, world, lambda: asyncio.sleep(0, ""), lambda: "python -m dr.chaos.undo /x"
        )
        await one.run()
        return one.clean

    assert not asyncio.run(lead())
    found = recovery(log.events)
    assert found
    assert [(u.fault, u.cause, u.remedy) for u in found.left] == [
        ("pods gone", str(cause), "python -m dr.chaos.undo /x")
    ]
    assert "python -m dr.chaos.undo /x" in "".join(entry.remedy for entry in wrong(fold(log.events), found))


IMPATIENT = """
import asyncio, signal, sys, time
from dr.app.stopping import heard_once
from dr.core.chaos import Restored
from dr.terminal import say
from tests.engine.test_gameday import Clock, Exercise, Log, Recorder, Rules, World, announced

world = World(heals_after=0.0)

async def undo():
    print("undoing", flush=True)
    await asyncio.sleep(1.0)
    print("undone", flush=True)
    return (Restored("pods gone", time.monotonic()),)

async def lead():
    world.undo = undo
    plan, recorder = announced(world, timeout=60.0), Recorder(Log(), Clock())
    asyncio.get_running_loop().call_later(0.5, print, "struck")
    with heard_once(say):
        await Exercise(plan, Rules(), recorder, world, world, lambda: asyncio.sleep(3600, "")).run()

signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
try:
    asyncio.run(lead())
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(130)
"""


@pytest.mark.parametrize("reads", [True, False], ids=["somebody reads", "the terminal is gone"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_impatience_does_not_keep_the_fault_in(number: signal.Signals, *, reads: bool) -> None:
    argv = [sys.executable, "-u", "-c", IMPATIENT]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        if not reads:
            process.stderr.close()
        assert process.stdout.readline() == "struck\n", process.communicate()
        process.send_signal(number)
        assert process.stdout.readline() == "undoing\n"
        for _ in range(3):
            process.send_signal(number)
            time.sleep(0.1)
        assert process.stdout.read().splitlines() == ["undone", "interrupted"]
        if reads:
            said = process.stderr.read()
            assert "what was begun is cleaned up first" in said
            assert "still cleaning up" in said
        assert process.wait(10) == 130


def test_a_recovery_by_somebody_begins_when_a_probe_has_noticed_the_fault() -> None:
    world = World(heals_after=0.0)
    began: list[bool] = []

    async def recover() -> str:
        began.append(not world.up)
        await asyncio.sleep(0.1)
        world.heal()
        return ""

    outcome, found, events = exercise(world, Rules(0.5, waits=True), recover)
    assert (outcome, began) == ("passed", [True])
    detected = next(e for e in events if isinstance(e, Marked) and e.mark is Mark.DETECTED)
    assert found.moments[Mark.FAULT].at <= detected.at


def test_a_recovery_that_is_not_whole_is_no_success_even_when_the_probes_pass() -> None:
    async def recover() -> str:
        return "two objects failed"

    outcome, found, _ = exercise(World(heals_after=0.05), recover=recover)
    assert outcome == "failed"
    assert found.rta is not None
    assert found.verdict == "missed"


def test_what_a_canary_lost_is_asked_before_anything_is_cleaned_up() -> None:
    _, found, events = exercise(World(heals_after=0.05), canary=True)
    kinds = [type(e).__name__ for e in events]
    assert kinds.index("Survived") < kinds.index("Undone")
    assert found.losses[0].survived == 7


def test_a_fault_that_no_probe_sees_is_said_to_have_had_no_impact() -> None:
    world = World()

    async def unharmed(heard: Callable[[Said], None]) -> Injection:
        heard(Struck("a node gone", time.monotonic(), time.monotonic()))
        return Injection("completed")

    world.inject = unharmed  # type: ignore[method-assign]
    outcome, found, _ = exercise(world)
    assert outcome == "passed"
    assert not found.impact
    assert found.rta == 0.0
    assert found.error > 0


def test_workloads_are_ready_when_the_last_of_them_is_and_not_when_they_were_compared_with_git() -> None:
    world, ready = World(heals_after=0.0), []

    async def lead() -> Recovery:
        log, plan = Log(), announced(world, consecutive=1)
        recorder = Recorder(log, Clock())
        recorder.emit(plan)

        async def restore() -> str:
            with recorder.heard(whole(2, recorder)):
                for step in (1, 0):
                    await asyncio.sleep(0.1)
                    ready.append(recorder.at)
                    recorder.emit(Ready(ready[-1], step))
                world.heal()
                recorder.enter(Phase.VERIFY)
                await asyncio.sleep(0.4)
                recorder.leave(Phase.VERIFY)
            recorder.emit(Ready(recorder.at, 0))
            return ""

        await Exercise(plan, Rules(0.5, waits=True), recorder, world, world, restore).run()
        found = recovery(log.events)
        assert found
        return found

    found = asyncio.run(lead())
    assert found.moments[Mark.WORKLOADS].at == ready[-1]
    assert found.moments[Mark.RECOVERED].at < ready[-1] + 0.2, "the comparison counts as downtime"


def test_every_phase_that_was_entered_is_left_in_an_exercise_that_passes() -> None:
    _, _, events = exercise(World(heals_after=0.05))
    entered = [e.phase for e in events if isinstance(e, Entered)]
    left = [e.phase for e in events if isinstance(e, Left)]
    assert sorted(entered) == sorted(left)
    assert entered == [Phase.STEADY, Phase.FAULT, Phase.RECOVER, Phase.HOLD, Phase.CLEANUP]
