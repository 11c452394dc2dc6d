"""The time of a refusal tells nothing of the right token."""

from __future__ import annotations

from bench.timing import SURE, control, measured, telling


def test_no_wrong_token_is_told_from_another_by_the_time_it_takes_to_refuse_it() -> None:
    assert control(1000)[-1][2] > SURE
    for what, (limit, found) in measured(2000).items():
        assert telling(limit, found) == [], (what, found)
