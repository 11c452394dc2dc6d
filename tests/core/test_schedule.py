"""The restore's state machine: nothing starts too early, nothing is forgotten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dr.core.events import PlannedStep
from dr.core.model import Ref, Strength
from dr.core.schedule import Schedule, urgency

REF = Ref("v1", "ConfigMap", "a", "b")


def step(*after: tuple[int, Strength]) -> PlannedStep:
    return PlannedStep(REF, "", tuple(b for b, _ in after), tuple(s for _, s in after))


@st.composite
def plans(draw: st.DrawFn) -> list[PlannedStep]:
    count = draw(st.integers(1, 12))
    steps = []
    for index in range(count):
        before = draw(st.lists(st.integers(0, index - 1), unique=True, max_size=4)) if index else []
        steps.append(step(*((b, draw(st.sampled_from(list(Strength)))) for b in sorted(before))))
    return steps


class World:
    """Plays a cluster that a schedule is told about: each runnable step fails or passes as drawn."""

    def __init__(self, steps: list[PlannedStep], fates: list[str]) -> None:
        self.steps, self.fates = steps, fates
        self.schedule = Schedule(steps)
        self.applied: set[int] = set()
        self.ready: set[int] = set()
        self.failed: set[int] = set()
        self.skipped: dict[int, int] = {}
        self.started: list[int] = []

    def play(self, choose: st.DataObject) -> None:
        todo = [("start", i) for i in self.schedule.first]
        while todo:
            what, index = todo.pop(choose.draw(st.integers(0, len(todo) - 1)))
            if what == "start":
                self.check(index)
                self.started.append(index)
                if self.fates[index] == "rejected":
                    self.failed.add(index)
                    moved = self.schedule.failed(index)
                else:
                    self.applied.add(index)
                    moved = self.schedule.applied(index)
                    todo.append(("end", index))
            elif self.fates[index] == "hangs":
                self.failed.add(index)
                moved = self.schedule.failed(index)
            else:
                self.ready.add(index)
                moved = self.schedule.ready(index)
            self.skipped.update(dict(moved.skipped))
            todo += [("start", i) for i in moved.runnable]

    def check(self, index: int) -> None:
        for before, strength in zip(self.steps[index].after, self.steps[index].strengths, strict=True):
            if strength is Strength.READY:
                assert before in self.ready
            elif strength is Strength.EXISTS:
                assert before in self.applied
            else:
                assert before in self.applied | self.failed | set(self.skipped)


FATES = st.lists(st.sampled_from(["passes", "hangs", "rejected"]), min_size=12, max_size=12)


@given(plans(), FATES, st.data())
def test_no_step_starts_before_what_it_needs_and_none_twice(
    steps: list[PlannedStep], fates: list[str], data: st.DataObject
) -> None:
    world = World(steps, fates)
    world.play(data)
    assert len(world.started) == len(set(world.started))


@given(plans(), FATES, st.data())
def test_every_step_ends_ready_failed_or_skipped(
    steps: list[PlannedStep], fates: list[str], data: st.DataObject
) -> None:
    world = World(steps, fates)
    world.play(data)
    assert world.schedule.done
    assert not world.schedule.unsettled
    assert world.ready | world.failed | set(world.skipped) == set(range(len(steps)))
    assert not world.ready & world.failed
    assert not set(world.skipped) & (world.ready | world.failed)


@given(plans(), FATES, st.data())
def test_a_skipped_step_hangs_on_the_failure_that_is_blamed(
    steps: list[PlannedStep], fates: list[str], data: st.DataObject
) -> None:
    world = World(steps, fates)
    world.play(data)
    for index, blamed in world.skipped.items():
        assert blamed in world.failed
        assert any(
            before in world.failed or before in world.skipped
            for before, strength in zip(steps[index].after, steps[index].strengths, strict=True)
            if strength is not Strength.SOFT
        )


@given(plans(), FATES, st.data(), st.data())
def test_what_becomes_of_a_step_does_not_depend_on_who_was_faster(
    steps: list[PlannedStep], fates: list[str], one: st.DataObject, other: st.DataObject
) -> None:
    first, second = World(steps, fates), World(steps, fates)
    first.play(one)
    second.play(other)
    # A step that is stored but never healthy takes only those with it that want it healthy; the set is the same.
    assert (first.ready, first.failed, set(first.skipped)) == (second.ready, second.failed, set(second.skipped))


def test_a_failure_skips_what_needs_it_and_lets_the_rest_go_on() -> None:
    steps = [step(), step((0, Strength.READY)), step((1, Strength.EXISTS)), step((0, Strength.SOFT)), step()]
    schedule = Schedule(steps)
    assert schedule.first == (0, 4)
    moved = schedule.failed(0)
    assert moved.skipped == ((1, 0), (2, 0))
    assert moved.runnable == (3,)


def test_an_object_that_is_stored_but_never_healthy_still_counts_as_existing() -> None:
    schedule = Schedule([step(), step((0, Strength.EXISTS)), step((0, Strength.READY))])
    assert schedule.applied(0).runnable == (1,)
    assert schedule.failed(0).skipped == ((2, 0),)


def test_telling_twice_changes_nothing() -> None:
    schedule = Schedule(
        [
            step(),
            step(
                (0, Strength.READY),
            ),
            step((0, Strength.EXISTS)),
        ]
    )
    assert schedule.ready(0).runnable == (2, 1)
    assert not schedule.ready(0).runnable
    assert not schedule.applied(0).runnable
    assert not schedule.failed(0).skipped


def test_the_step_with_the_longest_chain_behind_it_is_the_most_urgent() -> None:
    steps = [step(), step(), step((0, Strength.READY)), step((2, Strength.READY)), step((1, Strength.EXISTS))]
    assert urgency(steps, [1.0, 5.0, 2.0, 3.0, 1.0]) == (6.0, 5.0, 5.0, 3.0, 1.0)
