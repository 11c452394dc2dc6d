"""The cutover of a forklift, cut off anywhere: whoever goes on loses no write, and leaves no side half open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dr.adapters.probing.words import Sample
from dr.core.errors import ToolError, UsageError
from dr.core.events import Aborted, AnyEvent, Event, PlannedProbe, Returned, Staged, Switched
from dr.core.forklift import Cutover as Plan
from dr.core.forklift import Traffic, TrafficCommand
from dr.core.gameday import Duration
from dr.core.progress import progress
from dr.engine import cutover
from dr.engine.cutover import Ask, Cutover, alike
from dr.engine.ports import Answer, Counted
from dr.engine.recorder import Recorder
from dr.engine.users import Users

OTHER = {"from": "to", "to": "from"}
THERE, BACK = 7, 13  # acts of a whole cutover, and of one that goes back at 100 %


class Cut(BaseException):
    """The process is killed."""


class World:
    """A store on two sides, traffic, and users who write before each act of the cutover.

    `cut`: the act before (or `late`: after) which the process is killed. `breaks_at`: the weight from which on users
    are not served. `fails`: acts that fail, by name.
    """

    def __init__(self) -> None:
        self.rows: dict[str, set[int]] = {"from": set(), "to": set()}
        self.open = {"from": True, "to": False}
        self.copied_to = "to"
        self.weight, self.writer = 0, "from"
        self.acknowledged: set[int] = set()
        self.acts = 0
        self.cut: int | None = None
        self.late = False
        self.breaks_at = 101
        self.fails: set[str] = set()

    def write(self) -> None:
        if self.open[self.writer]:
            number = len(self.acknowledged) + 1
            self.rows[self.writer].add(number)
            self.acknowledged.add(number)

    async def act(self, name: str, change: Callable[[], None]) -> None:
        self.write()
        self.acts += 1
        mine = self.acts == self.cut
        if mine and not self.late:
            raise Cut
        await asyncio.sleep(0)
        if name in self.fails:
            raise ToolError(f"{name} fails", "mend it")
        change()
        if mine:
            raise Cut
        self.write()

    # The store.

    @property
    def follows(self) -> bool:
        return True

    async def check(self) -> None:
        raise NotImplementedError

    async def copy(self) -> None:
        raise NotImplementedError

    async def count(self, side: str) -> Counted:
        return Counted({"rows": len(self.rows[side])})

    async def freeze(self, side: str) -> None:
        await self.act("freeze", lambda: self.open.update({side: False}))

    async def settle(self, side: str) -> None:
        def follow() -> None:
            if self.copied_to == OTHER[side]:
                self.rows[OTHER[side]] |= self.rows[side]

        await self.act("settle", follow)

    async def turn(self, side: str) -> None:
        def turned() -> None:
            self.copied_to = OTHER[side]

        await self.act(f"turn {side}", turned)

    async def thaw(self, side: str) -> None:
        await self.act("thaw", lambda: self.open.update({side: True}))

    async def end(self) -> None:
        raise NotImplementedError

    # The hooks, and who looks at what they did.

    async def tell(self, hook: Traffic, weight: int, side: str) -> None:
        def told() -> None:
            self.weight, self.writer = weight, side

        await self.act("tell", told)

    # The users.

    @property
    def well(self) -> bool:
        return self.open[self.writer] and self.weight < self.breaks_at

    @property
    def trouble(self) -> str:
        return "" if self.weight < self.breaks_at else "the shop fails"

    @property
    def failing(self) -> str:
        return "" if self.well else "the shop fails"

    gone = ""

    def forgive(self) -> None:
        pass

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():  # noqa: ASYNC110 - what is waited for is a plain value here
            await asyncio.sleep(0.001)


class Log:
    def __init__(self) -> None:
        self.events: list[AnyEvent] = []

    def append(self, event: Event) -> None:
        self.events.append(cast("AnyEvent", event))


class Clock:
    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def now(self) -> str:
        return "2026-11-23T10:00:00+00:00"


HOOK = Traffic(command=TrafficCommand(("true",)))
PLAN = Plan(traffic=(HOOK,), writer=(HOOK,), steps=(50, 100), hold=Duration(0.0), switch_within=Duration(2.0))


AT_ONCE = replace(PLAN, steps=(100,))  # the switch comes before anything was steered
FIRST = replace(PLAN, steps=(10, 100), writes_at=10)


async def agree(title: str) -> tuple[str, str]:
    return "ada", title


def run(world: World, log: Log, plan: Plan = PLAN, ask: Ask = agree) -> str:
    """Cut over, or go on with it; return why users are back on the old side. Raises Cut."""

    async def go() -> str:
        recorder = Recorder(log, Clock())
        users = cast("Users", world)
        work: Awaitable[str] = Cutover(
            plan, recorder, users, world, None, {"rows": world}, ask, progress(log.events)
        ).run()
        return await asyncio.wait_for(work, 5)

    return asyncio.run(go())


def sound(world: World, side: str) -> None:
    """Hold that `side` serves, alone, and has all that was acknowledged."""
    world.write()
    assert (world.writer, world.open[side], world.weight) == (side, True, 100 if side == "to" else 0)
    assert not world.open[OTHER[side]]
    assert world.acknowledged <= world.rows[side], f"{world.acknowledged - world.rows[side]} are gone"
    assert world.acknowledged, "nobody wrote"


@pytest.fixture(autouse=True, scope="module")
def hasty() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutover, "_LONGEST", 0.1)
        yield


def cuts(most: int) -> list[Any]:
    return [
        pytest.param(n + 1, late, id=f"{'after' if late else 'before'} {n + 1}") for n in range(most) for late in (0, 1)
    ]


@pytest.mark.parametrize(("breaks_at", "acts"), [(101, THERE), (100, BACK)])
def test_every_act_of_a_cutover_is_among_those_that_are_cut(breaks_at: int, acts: int) -> None:
    world = World()
    world.breaks_at = breaks_at
    run(world, Log())
    assert world.acts == acts


@pytest.mark.parametrize(("act", "late"), cuts(THERE))
def test_no_write_is_lost_when_a_cutover_is_killed_at_any_act(act: int, late: int) -> None:
    world, log = World(), Log()
    world.cut, world.late = act, bool(late)
    with pytest.raises(Cut):
        run(world, log)
    assert run(world, log) == ""
    sound(world, "to")


@pytest.mark.parametrize(("act", "late"), cuts(BACK))
def test_no_write_is_lost_when_a_way_back_is_killed_at_any_act(act: int, late: int) -> None:
    world, log = World(), Log()
    world.breaks_at, world.cut, world.late = 100, act, bool(late)
    with pytest.raises(Cut):
        run(world, log)
    assert "the shop fails" in run(world, log)
    sound(world, "from")


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.integers(1, BACK), st.booleans()), max_size=4),
    st.sampled_from([50, 100, 101]),
    st.sets(st.sampled_from(["freeze", "settle", "turn to", "turn from", "tell", "thaw"]), max_size=2),
    st.sampled_from([PLAN, AT_ONCE, FIRST]),
)
def test_a_move_that_is_killed_and_hindered_again_and_again_loses_nothing_in_the_end(
    kills: list[tuple[int, bool]], breaks_at: int, fails: set[str], plan: Plan
) -> None:
    world, log = World(), Log()
    world.breaks_at, world.fails = breaks_at, fails
    for act, late in kills:
        world.cut, world.late = world.acts + act, late
        with suppress(Cut, ToolError):
            if run(world, log, plan):
                sound(world, "from")
                log.append(Staged(0, "cutover", "returned", ""))  # as its stage says
    world.cut, world.fails = None, set()
    back = run(world, log, plan)
    sound(world, "from" if back else "to")


@pytest.mark.parametrize("fault", ["freeze", "settle", "turn to", "tell"])
def test_old_side_serves_again_when_a_switch_cannot_be_made(fault: str) -> None:
    world, log = World(), Log()
    world.fails = {fault}
    try:
        assert fault in run(world, log)
    except ToolError:
        assert fault == "tell", "nobody can steer users without a hook"
        world.fails = set()
        assert run(world, log)
    sound(world, "from")


def test_what_fails_twice_and_is_mended_is_taken_up_where_it_was_left() -> None:
    world, log = World(), Log()
    world.fails = {"turn to", "turn from"}
    with pytest.raises(ToolError, match="turn from fails"):
        run(world, log)
    assert world.weight == 0, "users are on the old side at once"
    world.fails = set()
    assert run(world, log)
    sound(world, "from")
    assert [e.side for e in log.events if isinstance(e, Switched)][-1] == "from"


@pytest.mark.parametrize("plan", [AT_ONCE, FIRST])
@pytest.mark.parametrize("fault", ["thaw", "tell", "freeze", "settle", "turn to"])
def test_nobody_is_said_to_be_back_who_is_not_when_the_first_step_is_the_switch(plan: Plan, fault: str) -> None:
    world, log = World(), Log()
    world.fails = {fault}
    try:
        back = run(world, log, plan)
    except ToolError:
        assert not any(isinstance(e, Returned) for e in log.events)
        world.fails = set()
        back = run(world, log, plan)
    assert fault in back
    sound(world, "from")
    assert [e for e in log.events if isinstance(e, Aborted)]
    assert [e for e in log.events if isinstance(e, Returned)]


def test_users_go_back_when_a_pause_cannot_be_asked_after_traffic_was_moved() -> None:
    async def nobody(title: str) -> tuple[str, str]:
        raise UsageError(f"nobody is there for {title}", "")

    world, log = World(), Log()
    assert "nobody is there" in run(world, log, replace(PLAN, pause=(100,)), nobody)
    sound(world, "from")


class Falling:
    """Probes that pass until the process that asks them is gone."""

    def __init__(self, answers: int) -> None:
        self._answers = answers

    async def samples(self) -> AsyncIterator[Answer]:
        for _ in range(self._answers):
            at = asyncio.get_running_loop().time()
            yield cast("Answer", Sample(0, True, at, at))
            await asyncio.sleep(0.002)
        raise ToolError("the probes' process is gone (exit code -9): it said nothing", "")


@pytest.mark.parametrize("answers", [0, 20])
def test_users_go_back_when_nobody_can_say_any_more_whether_they_are_served(answers: int) -> None:
    world, log = World(), Log()

    async def go() -> str:
        recorder = Recorder(log, Clock())
        users = Users((PlannedProbe("shop", "http", "", 0.1, 1.0),), cast("Any", Falling(answers)), recorder, 2.0, 3, 3)
        listening = asyncio.create_task(users.listen())
        plan = replace(PLAN, hold=Duration(0.2))
        work = Cutover(plan, recorder, users, world, None, {"rows": world}, agree, progress(log.events)).run()
        try:
            return await asyncio.wait_for(work, 5)
        finally:
            await listening

    said = asyncio.run(go())
    assert "the probes' process is gone" in said
    world.write()
    assert (world.weight, world.writer, world.open["from"]) == (0, "from", True)
    returned = [e for e in log.events if isinstance(e, Returned)]
    assert bool(returned) == bool(answers)
    assert all("is gone" in e.left for e in returned), "it is said that nobody saw them being served again"


def test_what_nobody_counted_is_never_called_the_same() -> None:
    assert alike(Counted({"orders": 3}), Counted({"orders": 3})) == (True, "")
    assert alike(Counted({"orders": 3}), Counted({"orders": 2})) == (False, "orders has 3 rows and 2")
    assert alike(Counted(), Counted()) == (False, "neither side holds anything that could be counted")
    assert alike(Counted(comparable=False), Counted(comparable=False)) == (None, "")
    assert alike(Counted(checksums={"a": "1"}), Counted()) == (False, "they do not count the same things")
