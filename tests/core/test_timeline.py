"""What a run's events tell: times that add up, and a chain that is what happened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.core.events import (
    AnyEvent,
    Applied,
    Began,
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
)
from dr.core.model import Ref, Strength
from dr.core.timeline import blame, chain, fold

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


@given(runs())
def test_the_parts_of_the_chain_sum_to_the_whole(events: list[AnyEvent]) -> None:
    timeline = fold(events)
    if timeline.chain:
        last = timeline.steps[timeline.chain[-1].step]
        assert sum(link.took for link in timeline.chain) == pytest.approx((last.ended or 0.0) - 1.0)
        assert all(part >= 0 for link in timeline.chain for part in (link.queued, link.applying, link.becoming))


@given(runs())
def test_each_link_of_the_chain_waited_for_the_one_before(events: list[AnyEvent]) -> None:
    timeline = fold(events)
    for before, after in zip(timeline.chain, timeline.chain[1:], strict=False):
        assert before.step in timeline.steps[after.step].step.after
        assert after.at == pytest.approx(before.at + before.took)


@given(runs())
def test_every_step_has_one_outcome_and_the_counts_sum_to_all(events: list[AnyEvent]) -> None:
    timeline = fold(events)
    assert sum(timeline.count(o) for o in ("ready", "failed", "skipped", "unfinished")) == len(timeline.steps)
    assert sum(unit.objects for unit in timeline.units) == len(timeline.steps)


@given(runs(), st.integers(0, 60))
def test_the_beginning_of_a_log_is_read_as_far_as_it_goes(events: list[AnyEvent], cut: int) -> None:
    timeline = fold(events[:cut])
    assert timeline.duration == (max(event.at for event in events[:cut]) if events[:cut] else 0.0)


def test_the_chain_is_what_happened_and_not_the_longest_path() -> None:
    steps = (planned(name="slow"), planned(name="quick"), planned((0, EXISTS), (1, READY), name="end"))
    events = [began(*steps), *done(0, 0, 1, 9), *done(1, 0, 1, 4), *done(2, 4, 5, 10)]
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
    first = [began(planned(), planned()), Started(0, 0), Applied(1, 0, Operation.CREATED), Started(1, 1)]
    second = [Resumed(10, time="t"), Ready(11, 0), *done(1, 11, 12, 13), Ended(14, outcome="passed", verified=2)]
    timeline = fold([*first, *second])
    assert timeline.count("ready") == 2
    assert timeline.resumed == 1
    assert timeline.steps[1].started == 11
    assert timeline.passed


def test_retries_are_counted_and_their_cause_kept_until_it_is_ready() -> None:
    events: list[AnyEvent] = [began(planned()), Started(0, 0), Retried(1, 0, "busy", 0.1), Retried(2, 0, "busy", 0.2)]
    assert (fold(events).steps[0].retries, fold(events).steps[0].cause) == (2, "busy")
    assert fold([*events, Applied(3, 0, Operation.CREATED), Ready(3, 0)]).steps[0].cause == ""


def test_ten_thousand_steps_are_folded_without_walking_them_again_and_again() -> None:
    steps = [planned(*([(n - 1, READY)] if n else []), name=f"n{n}") for n in range(10_000)]
    events = [event for n in range(10_000) for event in done(n, n, n + 0.5, n + 1)]
    timeline = fold([began(*steps), *events])
    assert len(timeline.chain) == 10_000
    assert chain(timeline.steps) == timeline.chain
