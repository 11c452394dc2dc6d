"""What halving a step saves: recomputed through the graph, so never more than can be had."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.core.events import PlannedStep
from dr.core.model import Ref, Strength
from dr.core.timeline import StepTime, chain, satisfied
from dr.core.whatif import Saving, recomputed, savings

E, R, S = Strength.EXISTS, Strength.READY, Strength.SOFT


def step(
    started: float, applied: float, ended: float, *after: tuple[int, Strength], outcome: str = "ready"
) -> StepTime:
    planned = PlannedStep(
        Ref("v1", "ConfigMap", "shop", "x"), "u", tuple(i for i, _ in after), tuple(s for _, s in after)
    )
    return StepTime(planned, outcome, started, applied, ended)


@st.composite
def restores(draw: st.DrawFn) -> tuple[tuple[StepTime, ...], float]:
    """Draw a restore that obeyed its graph: whole and fractional times, ties, starts that lay in a queue."""
    origin = draw(st.sampled_from([0.0, 3.5]))
    times = st.one_of(st.sampled_from([0.0, 1.0, 2.0, 4.0]), st.floats(0, 100))
    steps: list[StepTime] = []
    for index in range(draw(st.integers(1, 14))):
        before = draw(st.lists(st.integers(0, index - 1), max_size=3, unique=True)) if index else []
        after = [(i, draw(st.sampled_from([E, R, S]))) for i in sorted(before)]
        since = max((satisfied(steps[i], s) or 0.0 for i, s in after), default=origin)
        started = since + draw(times)
        applied = started + draw(times)
        steps.append(step(started, applied, applied + draw(times), *after))
    return tuple(steps), origin


def played(steps: tuple[StepTime, ...], origin: float, factors: dict[int, float]) -> float:
    """Play a restore from its first step to its last, plainly."""
    after: list[tuple[float, float]] = []

    def since(one: StepTime, moments: list[tuple[float, float]]) -> float:
        pairs = zip(one.step.after, one.step.strengths, strict=True)
        return max((moments[i][1 if s is R else 0] for i, s in pairs), default=origin)

    before = [(one.applied or 0.0, one.ended or 0.0) for one in steps]
    for index, one in enumerate(steps):
        factor = factors.get(index, 1.0)
        started = since(one, after) + (one.started or 0.0) - since(one, before)
        applied = started + factor * (before[index][0] - (one.started or 0.0))
        after.append((applied, applied + factor * (before[index][1] - before[index][0])))
    return max(end for _, end in after)


def measured_end(steps: tuple[StepTime, ...]) -> float:
    return max(one.ended or 0.0 for one in steps)


@given(restores())
def test_a_restore_played_again_ends_when_it_ended(restore: tuple[tuple[StepTime, ...], float]) -> None:
    steps, origin = restore
    everything = dict.fromkeys(range(len(steps)), 1.0)
    assert recomputed(steps, origin, {}) == measured_end(steps)
    assert recomputed(steps, origin, everything) == pytest.approx(measured_end(steps), abs=1e-6)


@given(restores(), st.dictionaries(st.integers(0, 13), st.floats(0, 3), max_size=5))
def test_only_what_moved_is_computed_again_and_the_result_is_that_of_all(
    restore: tuple[tuple[StepTime, ...], float], factors: dict[int, float]
) -> None:
    steps, origin = restore
    factors = {index: factor for index, factor in factors.items() if index < len(steps)}
    assert recomputed(steps, origin, factors) == pytest.approx(played(steps, origin, factors), abs=1e-6)


@given(restores(), st.floats(0, 1))
def test_a_saving_is_never_more_than_the_time_taken_away(
    restore: tuple[tuple[StepTime, ...], float], factor: float
) -> None:
    steps, origin = restore
    found = savings(steps, origin, factor)
    assert list(found) == sorted(found, key=lambda s: -s.saved)
    for saving in found:
        assert saving.took == steps[saving.step].took
        assert 0 < saving.saved <= saving.took * (1 - factor) + 1e-6


@given(restores())
def test_no_step_off_the_chain_could_have_saved_anything(restore: tuple[tuple[StepTime, ...], float]) -> None:
    steps, origin = restore
    on_chain = {link.step for link in chain(steps, origin)}
    saved = {s.step: s.saved for s in savings(steps, origin)}
    for index in range(len(steps)):
        gain = measured_end(steps) - recomputed(steps, origin, {index: 0.5})
        assert saved.get(index, 0.0) == pytest.approx(gain, abs=1e-6)
        assert index in on_chain or gain < 1e-6


@given(restores())
def test_nothing_is_saved_by_taking_as_long(restore: tuple[tuple[StepTime, ...], float]) -> None:
    steps, origin = restore
    assert savings(steps, origin, 1.0) == ()


def test_halving_a_step_saves_only_until_the_next_longest_way_decides() -> None:
    steps = (step(0, 0, 10), step(0, 0, 8), step(10, 10, 12, (0, R), (1, R)))
    assert savings(steps, 0.0) == (Saving(0, 10, 2), Saving(2, 2, 1))


def test_an_edge_that_wants_an_object_stored_gains_by_storing_alone() -> None:
    steps = (step(0, 4, 5), step(4, 4, 100, (0, E)))
    assert savings(steps, 0.0) == (Saving(1, 96, 48), Saving(0, 5, 2))


def test_time_in_the_queue_is_not_saved_by_a_faster_step() -> None:
    steps = (step(0, 0, 10), step(50, 50, 51, (0, R)))
    assert savings(steps, 0.0) == (Saving(0, 10, 5), Saving(1, 1, 0.5))


def test_a_restore_that_failed_has_no_end_to_bring_nearer() -> None:
    steps = (step(0, 0, 10), step(10, 10, 60, (0, R), outcome="failed"))
    assert savings(steps, 0.0) == ()
    assert savings((), 0.0) == ()


def test_what_was_satisfied_after_the_start_did_not_hold_it() -> None:
    steps = (step(20, 20, 30), step(5, 5, 40, (0, R)))
    assert recomputed(steps, 0.0, {0: 0.0}) == 40
    assert savings(steps, 0.0) == (Saving(1, 35, 10),)


def test_twenty_steps_at_most_are_tried_the_longest_first() -> None:
    ends = [0.0]
    steps = []
    for index in range(60):
        ends.append(ends[-1] + index + 1)
        steps.append(step(ends[-2], ends[-2], ends[-1], *([(index - 1, R)] if index else [])))
    assert [saving.step for saving in savings(steps, 0.0)] == list(range(59, 39, -1))
