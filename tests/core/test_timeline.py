"""What a run's events tell: times that add up, and a chain that is what happened."""

from __future__ import annotations

from collections import defaultdict
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dr.core.events import (
    AnyEvent,
    Applied,
    Began,
    Checked,
    Ended,
    Entered,
    Failed,
    Left,
    Operation,
    Phase,
    PlannedStep,
    Ready,
    Resumed,
    Retried,
    Skipped,
    Started,
    Target,
    Waiting,
)
from dr.core.model import Level, Ref, Strength
from dr.core.timeline import blame, chain, fold, idle, roots, slowest

# A busy machine is no failure.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
READY, EXISTS, SOFT = Strength.READY, Strength.EXISTS, Strength.SOFT


def planned(*after: tuple[int, Strength], name: str = "x", unit: str = "u") -> PlannedStep:
    return PlannedStep(Ref("v1", "ConfigMap", "a", name), unit, tuple(b for b, _ in after), tuple(s for _, s in after))


def began(*steps: PlannedStep) -> Began:
    return Began(0.0, time="t", run="r", command="dr", dr="0", target=Target("c", "s", "u", "ca"), steps=steps)


def done(step: int, started: float, applied: float, ready: float) -> list[AnyEvent]:
    return [Started(started, step), Applied(applied, step, Operation.CREATED), Ready(ready, step)]


@st.composite
def runs(draw: st.DrawFn) -> list[AnyEvent]:
    """A run as the engine makes it: steps start when their predecessors allow, some fail, some are skipped."""
    count = draw(st.integers(1, 10))
    steps: list[PlannedStep] = []
    events: list[AnyEvent] = []
    ends: list[tuple[str, float, float]] = []
    for index in range(count):
        before = draw(st.lists(st.integers(0, index - 1), unique=True, max_size=3)) if index else []
        pairs = [(b, draw(st.sampled_from([READY, EXISTS, SOFT]))) for b in sorted(before)]
        steps.append(planned(*pairs, name=f"n{index}"))
        lost = [
            b
            for b, s in pairs
            if (s is READY and ends[b][0] != "ready") or (s is EXISTS and ends[b][0] in ("skipped", "rejected"))
        ]
        free = max((ends[b][2] if s is READY else ends[b][1] for b, s in pairs), default=1.0)
        if lost:
            events.append(Skipped(free, index, lost[0]))
            ends.append(("skipped", free, free))
            continue
        start = free + draw(st.floats(0, 1))
        applied = start + draw(st.floats(0, 1))
        ready = applied + draw(st.floats(0, 5))
        outcome = draw(st.sampled_from(["ready", "ready", "ready", "hung", "rejected"]))
        events.append(Started(start, index))
        if outcome != "rejected":
            events.append(Applied(applied, index, Operation.CREATED))
        events.append(Ready(ready, index) if outcome == "ready" else Failed(ready, index, "no"))
        ends.append((outcome, applied if outcome != "rejected" else ready, ready))
    ordered = sorted(events, key=lambda event: event.at)
    last = ordered[-1].at
    return [
        began(*steps),
        Entered(0.5, Phase.PREFLIGHT),
        Left(1.0, Phase.PREFLIGHT),
        Entered(1.0, Phase.RESTORE),
        *ordered,
        Left(last, Phase.RESTORE),
        Ended(last, outcome="failed"),
    ]


@UNHURRIED
@given(runs())
def test_the_parts_of_the_chain_sum_to_the_whole(events: list[AnyEvent]) -> None:
    timeline = fold(events)
    if timeline.chain:
        last = timeline.steps[timeline.chain[-1].step]
        assert sum(link.took for link in timeline.chain) == pytest.approx((last.ended or 0.0) - 1.0)
        assert all(part >= 0 for link in timeline.chain for part in (link.queued, link.applying, link.becoming))


@UNHURRIED
@given(runs())
def test_each_link_of_the_chain_waited_for_the_one_before(events: list[AnyEvent]) -> None:
    timeline = fold(events)
    for before, after in zip(timeline.chain, timeline.chain[1:], strict=False):
        direct = timeline.steps[after.step].step.after
        skipped = [timeline.steps[i].because for i in direct if timeline.steps[i].outcome == "skipped"]
        assert before.step in (*direct, *skipped)
        assert after.at == pytest.approx(before.at + before.took)


@UNHURRIED
@given(runs())
def test_every_step_has_one_outcome_and_the_counts_sum_to_all(events: list[AnyEvent]) -> None:
    timeline = fold(events)
    assert sum(timeline.count(o) for o in ("ready", "failed", "skipped", "unfinished")) == len(timeline.steps)
    assert sum(unit.objects for unit in timeline.units) == len(timeline.steps)


@UNHURRIED
@given(runs(), st.integers(0, 60))
def test_the_beginning_of_a_log_is_read_as_far_as_it_goes(events: list[AnyEvent], cut: int) -> None:
    timeline = fold(events[:cut])
    assert timeline.duration == (max(event.at for event in events[:cut]) if events[:cut] else 0.0)


def test_the_chain_is_what_happened_and_not_the_longest_path() -> None:
    steps = (planned(name="slow"), planned(name="quick"), planned((0, EXISTS), (1, READY), name="end"))
    events: list[AnyEvent] = [began(*steps), *done(0, 0, 1, 9), *done(1, 0, 1, 4), *done(2, 4, 5, 10)]
    timeline = fold(sorted(events, key=lambda event: event.at))
    assert [timeline.steps[link.step].step.ref.name for link in timeline.chain] == ["quick", "end"]
    assert [link.took for link in timeline.chain] == [4, 6]


def test_a_failed_run_names_what_each_failure_took_with_it() -> None:
    steps = (planned(name="root"), planned((0, READY)), planned((1, READY)), planned())
    timeline = fold(
        [began(*steps), Started(0, 0), Failed(3, 0, "no"), Skipped(3, 1, 0), Skipped(3, 2, 0), *done(3, 0, 1, 1)]
    )
    assert blame(timeline.steps) == {0: 2}
    assert (timeline.count("failed"), timeline.count("skipped"), timeline.count("ready")) == (1, 2, 1)


def test_what_was_interrupted_and_done_again_counts_once() -> None:
    first: list[AnyEvent] = [
        began(planned(), planned()),
        Started(0, 0),
        Applied(1, 0, Operation.CREATED),
        Started(1, 1),
    ]
    second: list[AnyEvent] = [
        Resumed(10, time="t"),
        Ready(11, 0),
        *done(1, 11, 12, 13),
        Ended(14, outcome="passed", verified=2),
    ]
    timeline = fold([*first, *second])
    assert timeline.count("ready") == 2
    assert timeline.resumed == 1
    assert timeline.steps[1].started == 11
    assert timeline.passed


def test_retries_are_counted_and_the_last_cause_is_why_it_is_not_ready() -> None:
    events: list[AnyEvent] = [began(planned()), Started(0, 0), Retried(1, 0, "busy", 0.1), Retried(2, 0, "full", 0.2)]
    step = fold(events).steps[0]
    assert (step.retries, step.retried, step.why) == (2, "full", "full")
    healed = fold([*events, Applied(3, 0, Operation.CREATED), Ready(3, 0)]).steps[0]
    assert (healed.retries, healed.retried, healed.cause, healed.why) == (2, "full", "", "")


def test_what_was_waited_for_and_why_it_failed_are_both_kept() -> None:
    events: list[AnyEvent] = [
        began(planned()),
        Started(0, 0),
        Waiting(1, 0, "0 of 1"),
        Failed(5, 0, "too late", timeout=True),
    ]
    step = fold(events).steps[0]
    assert (step.waiting, step.cause, step.timeout, step.outcome) == ("0 of 1", "too late", True, "failed")


def test_a_failure_that_a_resumed_run_heals_is_forgotten() -> None:
    first: list[AnyEvent] = [
        began(planned()),
        Started(0, 0),
        Applied(0, 0, Operation.CREATED),
        Failed(5, 0, "late", timeout=True),
    ]
    step = fold([*first, Resumed(9, time="t"), Ready(10, 0)]).steps[0]
    assert (step.outcome, step.cause, step.timeout, step.ended) == ("ready", "", False, 10)


def test_a_check_that_a_resumed_run_passes_is_no_longer_an_error() -> None:
    before = Checked(0.1, "rbac", Level.ERROR, "s", "no")
    after = Checked(9.1, "rbac", Level.INFO, "s", "yes")
    timeline = fold([began(), before, Resumed(9, time="t"), Entered(9, Phase.PREFLIGHT), after])
    assert timeline.checks == (after,)


def test_the_time_that_dr_was_not_running_is_not_restoring_and_does_not_break_the_chain() -> None:
    steps = (planned(name="a"), planned((0, READY), name="b"))
    first: list[AnyEvent] = [
        began(*steps),
        Entered(0, Phase.RESTORE),
        *done(0, 0, 1, 2),
        Started(2, 1),
        Applied(3, 1, Operation.CREATED),
    ]
    second: list[AnyEvent] = [
        Resumed(100, time="t"),
        Entered(100, Phase.RESTORE),
        Ready(101, 0),
        Ready(101, 1),
        Left(102, Phase.RESTORE),
    ]
    timeline = fold([*first, *second])
    assert timeline.seconds(Phase.RESTORE) == 5
    assert timeline.steps[0].ended == 2, "it was ready all along"
    assert [link.step for link in timeline.chain] == [0, 1]


def test_the_chain_of_a_failed_run_leads_to_the_failure_that_took_most_with_it() -> None:
    steps = (planned(name="root"), planned((0, READY)), planned(name="late"), planned(name="small"))
    failing: list[AnyEvent] = [Started(0, 0), Failed(1, 0, "no"), Skipped(1, 1, 0), Started(0, 3), Failed(7, 3, "no")]
    timeline = fold([began(*steps), *failing, *done(2, 0, 1, 9)])
    assert [link.step for link in timeline.chain] == [0]
    assert roots(timeline.steps) == ((0, 1), (3, 0))


def test_what_merely_comes_after_a_skipped_step_waited_for_the_failure_behind_it() -> None:
    lost, after = planned((0, READY), name="lost"), planned((1, SOFT), name="after")
    steps = (planned(name="root"), lost, after, planned((2, READY)), planned((2, READY)))
    events: list[AnyEvent] = [began(*steps), Started(0, 0), Failed(4, 0, "no"), Skipped(4, 1, 0), Started(4, 2)]
    found = fold([*events, Failed(6, 2, "no"), Skipped(6, 3, 2), Skipped(6, 4, 2)]).chain
    assert [(link.step, link.at, link.took) for link in found] == [(0, 0, 4), (2, 4, 2)]


def test_what_nobody_worked_on_is_a_gap_and_what_overlaps_is_none() -> None:
    steps = fold(
        [began(planned(), planned(), planned()), *done(0, 1, 2, 3), *done(1, 2, 3, 4), *done(2, 6, 7, 8)]
    ).steps
    assert [(gap.began, gap.ended) for gap in idle(steps, 1, 9)] == [(4, 6), (8, 9)]


def test_the_slowest_come_first_and_equals_keep_their_order() -> None:
    steps = fold(
        [began(planned(), planned(), planned()), *done(0, 0, 1, 2), *done(1, 0, 1, 5), *done(2, 0, 1, 2)]
    ).steps
    assert slowest(steps, 2) == (1, 0)


@UNHURRIED
@given(runs(), st.randoms(use_true_random=False))
def test_events_that_arrive_in_another_order_change_no_outcome(events: list[AnyEvent], random: Random) -> None:
    queues: dict[int, list[AnyEvent]] = defaultdict(list)
    for event in events:
        queues[getattr(event, "step", -1)].append(event)
    first, rest = queues.pop(-1), []
    while queues:
        step = random.choice(sorted(queues))
        rest.append(queues[step].pop(0))
        if not queues[step]:
            del queues[step]
    mixed = fold([*first, *rest])
    assert mixed.steps == fold(events).steps
    assert mixed.chain == fold(events).chain


def test_ten_thousand_steps_are_folded_without_walking_them_again_and_again() -> None:
    steps = [planned(*([(n - 1, READY)] if n else []), name=f"n{n}") for n in range(10_000)]
    events: list[AnyEvent] = [event for n in range(10_000) for event in done(n, n, n + 0.5, n + 1)]
    timeline = fold([began(*steps), *events])
    assert len(timeline.chain) == 10_000
    assert chain(timeline.steps) == timeline.chain
