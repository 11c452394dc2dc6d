"""What a gameday's events say of its recovery, whatever they are: figures that hold the truth, parts that sum up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.core.events import (
    Aborted,
    Announced,
    AnyEvent,
    Began,
    Ended,
    Entered,
    Injected,
    Left,
    Mark,
    Marked,
    Objective,
    Phase,
    PlannedProbe,
    PlannedStep,
    Probed,
    Ready,
    Started,
    Survived,
    Target,
)
from dr.core.model import Ref
from dr.core.recovery import PARTS, Recovery, recovery

WEB, WRITES = PlannedProbe("web", "http", "web", 0.5, 2.0), PlannedProbe("writes", "canary", "n", 0.5, 2.0, canary=True)
BEGAN = Began(0.0, time="", run="r", command="dr gameday run", dr="0", target=Target("c", "", "u", "ca"))
PASSED = Ended(1000.0, outcome="passed")


def told(*events: AnyEvent, **more: Any) -> Recovery:
    """Return what is told of an exercise with one probe, unless `probes` names others."""
    plan = {"title": "t", "scenario": "s", "probes": (WEB,), "consecutive": 2, "hold": 1.0, "timeout": 500.0, **more}
    found = recovery([BEGAN, Announced(0.0, **plan), *events])
    assert found
    return found


def samples(down: float, up: float, grid: Sequence[float], latency: float, probe: int = 0) -> list[Probed]:
    """Return the answers of a probe that asks on a grid; each is decided halfway between question and answer."""
    found = []
    for began in grid:
        seen = began + latency / 2
        found.append(Probed(began + latency, probe, not down <= seen < up, began))
    return found


def grid(every: float, offset: float, until: float) -> list[float]:
    return [offset + every * n for n in range(int((until - offset) / every) + 1)]


@given(
    st.floats(0.05, 2.0),
    st.floats(0.0, 1.0),
    st.floats(0.001, 0.9),
    st.floats(0.0, 60.0),
    st.floats(0.0, 0.5),
)
def test_each_figure_holds_the_truth_within_its_error(
    every: float, offset: float, share: float, length: float, accepted: float
) -> None:
    down, up = 10.0, 10.0 + length
    answers = samples(down, up, grid(every, offset, up + 20.0), every * share)
    fault = Injected(down + accepted / 2, "f", down - accepted / 2)
    found = told(*answers, fault, PASSED)
    assert found.rta is not None
    if found.impact:
        assert found.rta - found.error <= up - down + 1e-9
        assert found.rta >= up - down - 1e-9, "a figure is never too good"
        (web,) = found.probes
        assert web.downtime is not None
        assert web.downtime - web.error - 1e-9 <= length <= web.downtime + 1e-9
    else:
        # What no question saw is at most as long as the questions are apart.
        assert length <= every * (1 + share) + 1e-9
        assert found.rta == 0.0
        assert found.error >= 0.0


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0.0, 100.0), st.floats(0.0, 2.0)), max_size=40),
    st.dictionaries(
        st.sampled_from([m for m in Mark if m not in (Mark.FAULT, Mark.IMPACT, Mark.RECOVERED)]), st.floats(0.0, 120.0)
    ),
    st.floats(0.0, 50.0),
)
def test_the_parts_sum_to_the_whole_whatever_was_marked(
    answers: list[tuple[bool, float, float]], marks: dict[Mark, float], fault: float
) -> None:
    events: list[AnyEvent] = [Probed(began + took, 0, ok, began) for ok, began, took in answers]
    events += [Marked(at, mark, "somebody") for mark, at in marks.items()]
    found = told(*events, Injected(fault, "f", fault), PASSED)
    assert all(part.seconds >= 0.0 for part in found.parts)
    if found.rta is not None:
        assert [part.name for part in found.parts] == [name for name, _, _ in PARTS]
        assert sum(part.seconds for part in found.parts) == pytest.approx(found.rta)
        assert found.censored is None
    else:
        assert found.censored == pytest.approx(500.0), "it was given up at its timeout, whenever the log ends"
        assert found.verdict == "missed"


@given(st.permutations(samples(10.0, 17.0, grid(0.5, 0.0, 25.0), 0.1)))
def test_the_order_in_which_answers_arrive_changes_no_figure(answers: list[Probed]) -> None:
    fault = Injected(10.0, "f", 10.0)
    expected = told(*samples(10.0, 17.0, grid(0.5, 0.0, 25.0), 0.1), fault, PASSED)
    found = told(*answers, fault, PASSED)
    assert (found.rta, found.error, found.probes, found.moments) == (
        expected.rta,
        expected.error,
        expected.probes,
        expected.moments,
    )


def test_an_answer_to_a_question_from_before_the_fault_shows_no_recovery() -> None:
    answers = [Probed(10.0 + n, 0, passed=True, began=9.0 - n / 10) for n in range(4)]
    found = told(*answers, Injected(9.5, "f", 9.4), PASSED)
    assert found.rta is None


def test_one_that_passes_and_fails_again_has_not_recovered_until_it_holds() -> None:
    rows = [(10.5, False), (11.0, True), (11.5, True), (12.0, False), (13.0, True), (13.5, True), (14.2, True)]
    answers = [Probed(at, 0, ok, at - 0.1) for at, ok in rows]
    found = told(*answers, Injected(10.0, "f", 10.0), PASSED)
    assert found.rta == pytest.approx(3.0)
    assert len(found.probes[0].outages) == 2


def test_a_run_of_passes_shorter_than_the_hold_is_no_recovery() -> None:
    answers = [Probed(10.5, 0, passed=False, began=10.4), Probed(11.0, 0, passed=True, began=10.9)]
    answers.append(Probed(11.5, 0, passed=True, began=11.4))
    found = told(*answers, Injected(10.0, "f", 10.0), Ended(12.0, outcome="failed"))
    assert found.rta is None
    assert found.censored == pytest.approx(2.0)
    assert found.verdict == "missed"


def test_the_slowest_of_several_services_decides_when_all_is_well() -> None:
    fast = samples(10.0, 12.0, grid(0.5, 0.0, 30.0), 0.1)
    slow = samples(10.0, 18.0, grid(0.5, 0.0, 30.0), 0.1, probe=1)
    probes = (WEB, PlannedProbe("pay", "http", "pay", 0.5, 2.0))
    found = told(*fast, *slow, Injected(10.0, "f", 10.0), PASSED, probes=probes)
    assert found.moments[Mark.RECOVERED].by == "pay"
    assert found.rta == pytest.approx(8.1)


def test_without_an_impact_the_workloads_say_when_redundancy_was_back() -> None:
    answers = samples(0.0, 0.0, grid(0.5, 0.0, 30.0), 0.1)
    marked = Marked(14.0, Mark.WORKLOADS, "dr: every object is ready")
    found = told(*answers, Injected(10.0, "f", 10.0), marked, PASSED)
    assert not found.impact
    assert found.rta == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("survived", "lost", "rpa"),
    [(20, 0, 0.0), (15, 5, 2.4), (25, 0, 0.0), (0, 20, None), (None, 20, None)],
    ids=["all survive", "five are lost", "what was written later survives too", "none", "the store is gone"],
)
def test_what_was_lost_is_counted_from_what_survived(survived: int | None, lost: int, rpa: float | None) -> None:
    writes = [Probed(n * 0.5 + 0.1, 0, passed=True, began=n * 0.5, number=n) for n in range(1, 21)]
    after = [Probed(20.0 + n, 0, passed=True, began=19.9 + n, number=20 + n) for n in range(5)]
    events: list[AnyEvent] = [*writes, Injected(10.0, "f", 9.9), *after, Survived(30.0, 0, survived), PASSED]
    # The last write was acknowledged at 10.1, after the fault: nobody was promised anything about it.
    found = told(*events, probes=(WRITES,), objectives=(Objective("rpo", "", 3.0),))
    (loss,) = found.losses
    assert loss.written == 19
    assert loss.lost == (max(0, lost - 1) if survived is not None or lost else lost)
    assert loss.rpa == (pytest.approx(rpa) if rpa is not None else None)
    assert found.objectives[0].met == (rpa is not None)


CANARIES = (WRITES, PlannedProbe("orders", "canary", "o", 0.5, 2.0, canary=True))


@pytest.mark.parametrize("counted", [(), (0,), (0, 1)], ids=["none", "one of two", "both"])
def test_no_rpo_is_met_while_a_canary_was_not_counted(counted: tuple[int, ...]) -> None:
    rows = [
        Probed(n * 0.5 + 0.1, probe, passed=True, began=n * 0.5, number=n) for n in range(1, 60) for probe in (0, 1)
    ]
    found = told(
        *(row for row in rows if row.at < 10.0),
        Injected(10.0, "f", 9.9),
        *(row for row in rows if row.at > 10.0),
        *(Survived(30.0, probe, 60) for probe in counted),
        PASSED,
        probes=CANARIES,
        objectives=(Objective("rpo", "", 3.0), Objective("lost", "", 0.0)),
    )
    whole = len(counted) == 2
    assert [j.met for j in found.objectives] == [whole, whole]
    assert (found.rpa, found.lost) == ((0.0, 0) if whole else (None, None))
    assert found.verdict == ("met" if whole else "missed")
    assert [loss.counted for loss in found.losses] == [probe in counted for probe in (0, 1)]


DOWN_FOR_60 = [Probed(10.5 + n / 2, 0, 10.4 + n / 2 >= 71.0, 10.4 + n / 2, "no") for n in range(150)]


@pytest.mark.parametrize(
    ("end", "censored", "verdict"),
    [
        ((Entered(70.1, Phase.CLEANUP),), 60.0, "missed"),
        ((Aborted(20.0, "web failing for 9 s", "no"), Entered(20.1, Phase.CLEANUP)), 10.0, "aborted"),
        ((), 60.0, "interrupted"),
    ],
    ids=["given up", "aborted", "the log ends where it was killed"],
)
def test_what_the_clean_up_heals_has_not_recovered(end: tuple[AnyEvent, ...], censored: float, verdict: str) -> None:
    # The service works from 71 s on: the clean-up takes the fault back, and the probes see it.
    stop = end[0].at if end else 70.1
    before = [row for row in DOWN_FOR_60 if row.at < stop]
    after = [row for row in DOWN_FOR_60 if row.at > stop]
    ended = [] if verdict == "interrupted" else [Ended(90.0, outcome="failed")]
    found = told(
        Injected(10.0, "f", 10.0),
        *before,
        *end,
        *after,
        *ended,
        timeout=60.0,
        objectives=(Objective("rto", "", 100.0),),
    )
    assert (found.rta, found.objectives[0].met, found.verdict) == (None, False, verdict)
    assert found.censored == pytest.approx(censored)
    assert found.probes[0].downtime is None


def test_a_recovery_that_was_held_is_not_lost_by_a_failure_in_the_clean_up() -> None:
    answers = samples(10.0, 12.0, grid(0.5, 0.0, 20.0), 0.1)
    late = Probed(20.5, 0, passed=False, began=20.4, cause="the clean-up restarts it")
    held, cleaning = Left(20.2, Phase.HOLD), Entered(20.3, Phase.CLEANUP)
    found = told(Injected(10.0, "f", 10.0), *answers, held, cleaning, late, PASSED)
    assert (found.verdict, found.probes[0].failed) == ("met", 4)
    assert found.rta == pytest.approx(2.1)


@pytest.mark.parametrize(
    ("ready", "at", "error", "by"),
    [(11.0, 12.1, 0.6, "web"), (12.0, 12.1, 0.1, "web"), (14.0, 14.0, 0.0, "dr")],
    ids=["ready long before", "ready a moment before", "ready after"],
)
def test_users_are_served_and_workloads_ready_before_it_counts_as_recovered(
    ready: float, at: float, error: float, by: str
) -> None:
    answers = samples(10.0, 12.0, grid(0.5, 0.0, 30.0), 0.1)
    found = told(*answers, Injected(10.0, "f", 10.0), Marked(ready, Mark.WORKLOADS, "dr"), PASSED)
    moment = found.moments[Mark.RECOVERED]
    assert (moment.at, moment.error) == pytest.approx((at, error))
    assert moment.by == by
    assert found.moments[Mark.WORKLOADS].at == ready
    verify = next(part for part in found.parts if part.name == "verify")
    assert verify.seconds == pytest.approx(max(0.0, 12.1 - ready))


def test_a_unit_is_judged_by_its_own_objective() -> None:
    ref = Ref("v1", "ConfigMap", "a", "b")
    began = BEGAN.__class__(
        0.0,
        time="",
        run="r",
        command="dr gameday run",
        dr="0",
        target=BEGAN.target,
        steps=(PlannedStep(ref, "payments"), PlannedStep(ref, "batch")),
    )
    wanted = (Objective("rto", "tier one", 5.0, ("payments",)), Objective("rto", "batch", 5.0, ("batch",)))
    plan = Announced(0.0, title="t", scenario="s", probes=(WEB,), consecutive=2, hold=1.0, objectives=wanted)
    answers = samples(10.0, 12.0, grid(0.5, 0.0, 40.0), 0.1)
    steps: list[AnyEvent] = [Started(11.0, 0), Ready(13.0, 0), Started(11.0, 1), Ready(19.0, 1)]
    found = recovery([began, plan, *answers, Injected(10.0, "f", 10.0), *steps, PASSED])
    assert found
    assert [(j.objective.subject, j.met) for j in found.objectives] == [("tier one", True), ("batch", False)]
    assert [j.actual for j in found.objectives] == pytest.approx([3.0, 9.0])
    assert found.verdict == "missed"


@pytest.mark.parametrize(
    ("events", "verdict"),
    [
        ([PASSED], "met"),
        ([Ended(1000.0, outcome="failed")], "missed"),
        ([Ended(1000.0, outcome="interrupted")], "interrupted"),
        ([], "interrupted"),
        ([Aborted(20.0, "web failing for 9 s", "no"), Ended(1000.0, outcome="failed")], "aborted"),
    ],
)
def test_a_good_time_alone_is_no_success(events: list[AnyEvent], verdict: str) -> None:
    answers = samples(10.0, 12.0, grid(0.5, 0.0, 30.0), 0.1)
    assert told(*answers, Injected(10.0, "f", 10.0), *events).verdict == verdict


def test_what_was_not_disturbed_has_no_verdict() -> None:
    assert told(PASSED).verdict == "not begun"
    assert recovery([BEGAN]) is None
