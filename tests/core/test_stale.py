"""The staleness board: nothing that nobody exercised may look fresh."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from dr.core.history import Group
from dr.core.stale import STATES, board, since

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = 86_400.0


def met(scenario: str, days: float, target: str = "eu") -> Group:
    when = (NOW - timedelta(days=days)).isoformat()
    return Group(scenario, target, 3, when, when)


def test_what_was_never_met_and_what_never_ran_is_stale_and_comes_first() -> None:
    found = board(
        [Group("lost", "eu", 2, NOW.isoformat(), ""), met("fine", 1)],
        dict.fromkeys(("lost", "new", "fine"), DAY * 9),
        NOW,
    )
    assert [(s.scenario, s.state, s.age) for s in found] == [
        ("lost", "stale", None),
        ("new", "stale", None),
        ("fine", "fresh", DAY),
    ]


def test_a_scenario_is_as_old_as_its_newest_good_run_and_the_worst_cluster_is_named() -> None:
    (found,) = board([met("kill", 80, "eu"), met("kill", 3, "us")], {"kill": 90 * DAY}, NOW)
    assert (found.state, found.age, found.oldest, found.runs, found.clusters) == ("fresh", 3 * DAY, "eu", 6, 2)


def test_it_is_said_before_a_limit_is_over_and_without_a_limit_nothing_is_promised() -> None:
    found = board([met("a", 89), met("b", 91), met("c", 400)], {"a": 90 * DAY, "b": 90 * DAY}, NOW)
    assert [(s.scenario, s.state) for s in found] == [("b", "stale"), ("a", "soon"), ("c", "no limit")]
    assert [s.left for s in found] == [-DAY, DAY, None]


@given(st.floats(0, 1000), st.floats(0.01, 1000))
def test_stale_is_what_is_older_than_its_limit_and_nothing_else(days: float, limit: float) -> None:
    (found,) = board([met("a", days)], {"a": limit * DAY}, NOW)
    assert found.age is not None
    assert (found.state == "stale") == (found.age > limit * DAY)
    assert found.state in STATES


def test_times_with_and_without_an_offset_are_told_apart_from_what_is_no_time() -> None:
    assert since("2026-11-23T13:00:00+02:00", NOW) == 3600
    assert since("2026-11-23T11:00:00", NOW) == 3600
    assert since("", NOW) is since("soon", NOW) is None
