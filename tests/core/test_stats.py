"""What is said of n runs: figures that a textbook gives, and nothing that the runs given up leave open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from random import Random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.core.stats import median_ranks, regression, summary

TIMES = st.floats(0.001, 1e6)
RUNS = st.lists(TIMES, max_size=40)
# Few different times, so that ties are common, and runs that did not recover.
SMALL = st.lists(st.sampled_from([1.0, 2.0, 3.0, 5.0, 8.0, 13.0, math.inf]), min_size=1, max_size=6)


def high(value: float | None) -> float:
    return math.inf if value is None else value


def test_five_runs_give_no_interval_and_six_give_their_whole_range() -> None:
    five, six = summary([3, 1, 2, 5, 4]), summary([3, 1, 2, 5, 4, 6])
    assert (five.minimum, five.median, five.maximum) == (1, 3, 5)
    assert (five.low, five.high, five.confidence, five.p95) == (None, None, None, None)
    assert (six.median, six.low, six.high, six.confidence) == (3.5, 1, 6, 0.96875)


@pytest.mark.parametrize(
    ("n", "rank", "confidence"), [(6, 1, 0.969), (8, 1, 0.992), (9, 2, 0.961), (20, 6, 0.959), (30, 10, 0.957)]
)
def test_the_intervals_ends_are_those_of_the_sign_tests_table(n: int, rank: int, confidence: float) -> None:
    found, reached = median_ranks(n)
    assert (found, round(reached, 3)) == (rank, confidence)
    runs = summary(range(1, n + 1))
    assert (runs.low, runs.high) == (rank, n + 1 - rank)


def test_a_95th_percentile_is_given_from_20_runs_on_and_is_one_of_them() -> None:
    assert summary(range(1, 20)).p95 is None
    assert summary(range(1, 21)).p95 == 19
    assert summary(range(1, 101)).p95 == 95


def test_no_runs_say_nothing() -> None:
    runs = summary([])
    assert (runs.n, runs.minimum, runs.median, runs.maximum) == (0, None, None, None)


def test_a_run_given_up_is_counted_and_the_greatest_time_is_then_unknown() -> None:
    runs = summary([10, 20, 30], [60])
    assert (runs.n, runs.censored, runs.minimum, runs.median, runs.maximum) == (4, 1, 10, 25, None)


def test_a_median_among_the_runs_given_up_is_unknown_not_the_timeout() -> None:
    assert summary([10, 20], [60, 60, 60]).median is None
    runs = summary([10, 20, 30, 40], [60] * 6)
    assert (runs.median, runs.low, runs.high) == (None, 20, None)
    assert runs.confidence is not None


def test_a_run_given_up_early_leaves_open_what_it_may_have_been() -> None:
    runs = summary([10, 20, 30], [5])
    assert (runs.minimum, runs.median, runs.maximum) == (None, None, None)


def test_a_percentile_that_falls_among_the_runs_given_up_is_unknown() -> None:
    assert summary(range(1, 20), [60]).p95 == 19
    assert summary(range(1, 19), [60, 60]).p95 is None


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not a number"):
        summary([1.0, math.nan])
    with pytest.raises(ValueError, match="6 are needed"):
        median_ranks(5)


@given(RUNS, RUNS, st.randoms(use_true_random=False))
def test_the_order_of_the_runs_changes_nothing(values: list[float], censored: list[float], random: Random) -> None:
    mixed, others = list(values), list(censored)
    random.shuffle(mixed)
    random.shuffle(others)
    assert summary(mixed, others) == summary(values, censored)
    if values and censored:
        assert regression(mixed, others) == regression(values, censored)


@given(RUNS, RUNS, st.integers(-20, 20))
def test_the_unit_of_time_changes_nothing(values: list[float], censored: list[float], exponent: int) -> None:
    factor = 2.0**exponent  # exact in binary, so that no tie comes or goes
    one = summary(values, censored)
    other = summary([v * factor for v in values], [c * factor for c in censored])
    assert other.confidence == one.confidence
    for name in ("minimum", "median", "maximum", "low", "high", "p95"):
        there = getattr(one, name)
        assert getattr(other, name) == (None if there is None else there * factor)
    if values and censored:
        assert regression([v * factor for v in values], [c * factor for c in censored]) == regression(values, censored)


@given(RUNS, RUNS)
def test_figures_stand_in_their_order_and_the_interval_holds_the_median(
    values: list[float], censored: list[float]
) -> None:
    runs = summary(values, censored)
    known = [v for v in (runs.minimum, runs.median, runs.p95, runs.maximum) if v is not None]
    assert known == sorted(known)
    if runs.confidence is not None:
        assert runs.confidence >= 0.95
        assert runs.low is not None
        assert runs.low <= high(runs.high)
        if runs.median is not None:
            assert runs.low <= runs.median <= high(runs.high)


@given(RUNS, RUNS, RUNS)
def test_a_run_more_that_was_given_up_never_makes_recovery_look_faster(
    values: list[float], censored: list[float], more: list[float]
) -> None:
    without, with_more = summary(values, censored), summary(values, [*censored, *more])
    assert high(with_more.median) >= high(without.median) or without.median is None
    assert high(with_more.maximum) >= high(without.maximum)


@given(RUNS, st.lists(st.tuples(TIMES, TIMES), max_size=10))
def test_what_is_said_holds_whatever_the_runs_given_up_would_have_taken(
    values: list[float], given_up: list[tuple[float, float]]
) -> None:
    said = summary(values, [after for after, _ in given_up])
    true = summary([*values, *(after + more for after, more in given_up)])
    for name in ("minimum", "median", "maximum", "p95"):
        assert getattr(said, name) in {None, getattr(true, name)}
    if said.confidence is not None and true.low is not None:
        assert said.low is not None
        assert said.low <= true.low
        assert high(said.high) >= high(true.high)


def by_all_choices(before: Sequence[float], after: Sequence[float]) -> float:
    """Return the share of all ways to call as many runs "after" in which they win as many pairs or more."""

    def won(chosen: Sequence[int]) -> float:
        rest = [i for i in range(len(pooled)) if i not in chosen]
        pairs = [(pooled[a], pooled[b]) for a in chosen for b in rest]
        return sum(a > b for a, b in pairs) + sum(a == b for a, b in pairs) / 2

    pooled = [*before, *after]
    seen = won(range(len(before), len(pooled)))
    counts = [won(chosen) >= seen for chosen in combinations(range(len(pooled)), len(after))]
    return sum(counts) / len(counts)


@given(SMALL, SMALL)
def test_the_exact_p_is_that_of_all_choices_with_ties_and_without(before: list[float], after: list[float]) -> None:
    assert regression(before, after).p == pytest.approx(by_all_choices(before, after), rel=1e-12)


@given(st.lists(TIMES, min_size=1, max_size=5, unique=True), st.lists(TIMES, min_size=1, max_size=5, unique=True))
def test_the_exact_p_is_that_of_all_choices_for_any_times(before: list[float], after: list[float]) -> None:
    assert regression(before, after).p == pytest.approx(by_all_choices(before, after), rel=1e-12)


def test_the_normal_approximation_carries_on_where_counting_ends() -> None:
    random = Random(5)
    before = [random.lognormvariate(0, 0.2) for _ in range(30)]
    after = [random.lognormvariate(0.08, 0.2) for _ in range(30)]
    counted, approximated = regression(before, after), regression([*before, median(before)], after)
    assert approximated.p == pytest.approx(counted.p, rel=0.05)


def test_all_runs_alike_are_no_regression_however_many() -> None:
    found = regression([5.0] * 50, [5.0] * 50)
    assert (found.flagged, found.p, found.ratio) == (False, 1.0, 1.0)


def test_a_clear_but_small_change_is_not_flagged() -> None:
    before, after = [100 + i / 100 for i in range(20)], [105 + i / 100 for i in range(20)]
    found = regression(before, after)
    assert (found.flagged, found.p < 1e-6) == (False, True)
    assert regression(before, after, effect=0.04).flagged


def test_one_seeded_regression_of_30_percent_is_flagged_and_the_noise_of_its_runs_is_not() -> None:
    random = Random(5)
    before, again = ([random.lognormvariate(math.log(100), 0.1) for _ in range(10)] for _ in range(2))
    assert not regression(before, again).flagged
    found = regression(before, [1.3 * time for time in again])
    assert (found.flagged, found.p < 0.001) == (True, True)


@pytest.mark.parametrize("spread", [0.05, 0.10, 0.15])
def test_of_seeded_groups_of_20_few_alarms_are_false_and_few_regressions_of_30_percent_are_missed(
    spread: float,
) -> None:
    random, trials = Random(f"7 {spread}"), 300
    false = missed = 0
    for _ in range(trials):
        before, again = ([random.lognormvariate(math.log(100), spread) for _ in range(20)] for _ in range(2))
        false += regression(before, again).flagged
        missed += not regression(before, [1.3 * time for time in again]).flagged
    assert false <= trials * 0.05
    assert missed <= trials * 0.10


def test_a_great_change_that_may_be_chance_is_not_flagged() -> None:
    found = regression([10, 100, 20, 90, 30], [15, 95, 60, 70, 25])
    assert found.ratio is not None
    assert (found.ratio > 1.1, found.p > 0.05, found.flagged) == (True, True, False)


def test_two_runs_a_side_are_never_enough_and_three_are() -> None:
    two = regression([1, 2], [10, 20])
    assert (two.flagged, two.enough, two.p) == (False, False, 1 / 6)
    three = regression([1, 2, 3], [10, 20, 30])
    assert (three.flagged, three.enough, three.p) == (True, True, 0.05)
    assert not regression([], [1, 2, 3]).enough


def test_runs_that_no_longer_recover_are_flagged_and_those_that_never_did_are_not() -> None:
    lost = regression([10, 11, 12, 13], [math.inf] * 4)
    assert (lost.flagged, lost.ratio) == (True, math.inf)
    never = regression([math.inf] * 4, [math.inf] * 4)
    assert (never.flagged, never.ratio) == (False, None)
    assert not regression([math.inf] * 4, [10, 11, 12, 13]).flagged


@given(SMALL, SMALL)
def test_faster_runs_are_never_a_regression(before: list[float], after: list[float]) -> None:
    one, other = regression(before, after), regression(after, before)
    assert not (one.flagged and other.flagged)
    assert one.p + other.p >= 1
