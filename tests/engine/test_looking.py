"""A hook that lies about traffic is found out, an honest one is believed: as often as the concept says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.shares import CASES, rates, table
from dr.core.forklift import Seen
from dr.core.gameday import Duration
from dr.core.shares import WINDOWS
from dr.engine.looking import Look, look


class Crowd:
    """Users of whom each is answered by who `by` says, from how many were asked before and the seconds that passed."""

    def __init__(self, by: Callable[[int, float], str]) -> None:
        self.asked = 0
        self._by, self._began = by, time.monotonic()

    async def ask(self) -> str:
        self.asked += 1
        return self._by(self.asked, time.monotonic() - self._began)


class Clock:
    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> str:
        return ""


def seen(crowd: Crowd, weight: int, samples: int = 60, within: float = 0.8) -> Look:
    plan = Seen("http://shop", "old", "new", samples, Duration(within))
    return asyncio.run(look(plan, crowd, weight, Clock()))


def test_a_hook_that_does_nothing_at_the_first_step_is_found_out() -> None:
    assert "0 % of 100 users reach the new cluster, and 10 % should" in seen(Crowd(lambda *_: "from"), 10, 100).cause


def test_a_hook_is_not_tested_until_it_happens_to_fit() -> None:
    crowd = Crowd(lambda n, _: "to" if n % 4 == 0 else "from")
    assert "25 % of 60" in seen(crowd, 50, within=3).cause
    assert crowd.asked == 60 * len(WINDOWS), "windows have no question in common, and are few"


def test_traffic_that_takes_a_while_to_arrive_is_waited_for() -> None:
    found = seen(Crowd(lambda _, at: "to" if at > 0.5 else "from"), 100, within=8)
    assert (found.cause, found.samples, found.share) == ("", 60, 100.0)


@pytest.mark.parametrize(("answers", "said"), [(5, "5 of 60 questions were answered"), (0, "0 of 60 questions")])
def test_a_few_answers_prove_nothing(answers: int, said: str) -> None:
    found = seen(Crowd(lambda n, _: ("to" if n == 1 else "from") if n <= answers else ""), 10, within=0.3)
    assert said in found.cause


def test_the_concept_states_how_often_a_hook_is_wrongly_believed_or_called_a_liar() -> None:
    said = (Path(__file__).parents[2] / "docs" / "concepts" / "forklift.md").read_text()
    for row in table():
        assert row in said, "docs/concepts/forklift.md: python -m bench.shares prints the table"
    for case in CASES:
        believed = rates(case)
        assert believed >= 0.97 if case.honest else believed <= 0.3, case
