"""When a gameday is held by a schedule, and when it is not: nothing runs twice, nothing is forgotten in silence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.core.calendar import Slot, cron, slots
from dr.core.gameday import Approval, Duration
from dr.core.history import Group
from dr.core.model import Document
from dr.core.stale import board
from dr.core.timetable import Freeze, Hours, Schedule, closed, due, parse, put_off, refused, stale

BERLIN = ZoneInfo("Europe/Berlin")
WEEKLY = Schedule("weekly", "pod-kill.yaml", "30 10 * * TUE", "Europe/Berlin", within=Duration(4 * 3600.0))
TUESDAY = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)  # 10:30 in Berlin


def at(hours: float) -> datetime:
    return TUESDAY + timedelta(hours=hours)


def test_a_slot_is_due_until_it_is_too_late_and_never_twice() -> None:
    assert due(WEEKLY, BERLIN, at(0.5), (), None).slot == Slot(TUESDAY, "2026-11-24T10:30")
    assert "too late" in due(WEEKLY, BERLIN, at(4.1), (), None).cause
    assert "dealt with" in due(WEEKLY, BERLIN, at(0.5), {"2026-11-24T10:30"}, TUESDAY).cause


def test_slots_that_nobody_began_are_missed_and_the_one_that_is_due_is_not() -> None:
    before = TUESDAY - timedelta(weeks=3)
    plan = due(WEEKLY, BERLIN, at(1), {"2026-11-03T10:30"}, before)
    assert [slot.name for slot in plan.missed] == ["2026-11-10T10:30", "2026-11-17T10:30"]
    assert plan.slot
    late = due(WEEKLY, BERLIN, at(9), {"2026-11-03T10:30"}, before)
    assert [slot.name for slot in late.missed][-1] == "2026-11-24T10:30"
    assert late.slot is None


@given(st.lists(st.floats(0, 400), min_size=1, max_size=30))
def test_however_often_it_is_asked_a_slot_has_one_end(hours: list[float]) -> None:
    ended: dict[str, str] = {}
    for moment in sorted(hours):
        known = set(ended)
        newest = max(
            (datetime.fromisoformat(name).replace(tzinfo=BERLIN).astimezone(UTC) for name in known), default=None
        )
        plan = due(WEEKLY, BERLIN, at(moment), known, newest)
        found = [*((slot, "missed") for slot in plan.missed), *([(plan.slot, "done")] if plan.slot else [])]
        for slot, what in found:
            assert slot.name not in ended
            ended[slot.name] = what
    if ended:
        first = datetime.fromisoformat(min(ended)).replace(tzinfo=BERLIN) - timedelta(minutes=1)
        last = at(max(hours)) - timedelta(hours=4)
        expected = {slot.name for slot in slots(cron(WEEKLY.at), BERLIN, first.astimezone(UTC), last)}
        assert expected <= set(ended), "none is forgotten in silence"


@pytest.mark.parametrize(
    ("changes", "wall", "said"),
    [
        (
            {"freeze": (Freeze("2026-11-20", "2026-11-24", "sale"),)},
            "2026-11-24T23:59",
            "frozen until 2026-11-24: sale",
        ),
        ({"freeze": (Freeze("2026-11-20", "2026-11-24", "sale"),)}, "2026-11-25T00:00", ""),
        ({"holidays": ("2026-12-25",)}, "2026-12-25T10:00", "a holiday"),
        ({"holidays": ("20261225",)}, "2026-12-25T10:00", "a holiday"),
        ({"business_hours": Hours()}, "2026-11-22T10:00", "nobody is there on a Sunday"),
        ({"business_hours": Hours()}, "2026-11-24T17:00", "outside 09:00 to 17:00"),
        ({"business_hours": Hours()}, "2026-11-24T16:59", ""),
    ],
)
def test_nothing_is_disturbed_when_nobody_may_or_can_help(changes: dict[str, Any], wall: str, said: str) -> None:
    schedule = Schedule("t", "g.yaml", "@daily", **changes)
    assert closed(schedule, datetime.fromisoformat(wall).replace(tzinfo=BERLIN)) == said


@given(st.integers(0, 10**6), st.floats(0, 10**5))
def test_a_start_is_put_off_alike_for_all_and_never_into_the_night(week: int, jitter: float) -> None:
    schedule = Schedule("t", "g.yaml", "@daily", jitter=Duration(jitter), business_hours=Hours())
    slot = Slot(TUESDAY, f"slot {week}")
    wait = put_off(schedule, slot, BERLIN)
    assert wait == put_off(schedule, slot, BERLIN)
    assert 0 <= wait <= jitter
    assert not closed(schedule, (TUESDAY + timedelta(seconds=wait)).astimezone(BERLIN))


def test_an_approval_that_has_ended_and_a_result_that_is_too_old_are_said() -> None:
    approved = Schedule(
        "t", "g", "@daily", approval=Approval("ada", "2026-11-24T00:00:00+01:00"), stale_after=Duration(86400.0)
    )
    assert refused(approved, TUESDAY) == "the approval of ada ended on 2026-11-24T00:00:00+01:00"
    assert refused(approved, TUESDAY - timedelta(days=1)) == refused(WEEKLY, TUESDAY) == ""
    assert stale(approved, "", TUESDAY) == "it was never met"
    assert "3 days ago" in stale(approved, (TUESDAY - timedelta(days=3)).isoformat(), TUESDAY)
    assert stale(approved, TUESDAY.isoformat(), TUESDAY) == stale(WEEKLY, "", TUESDAY) == ""


@given(st.floats(0, 400), st.floats(1, 400))
def test_a_schedule_and_the_board_call_the_same_stale(days: float, limit: float) -> None:
    met = (TUESDAY - timedelta(days=days)).isoformat()
    schedule = Schedule("t", "g", "@daily", stale_after=Duration(limit * 86400.0))
    (standing,) = board([Group("s", "eu", 1, met, met)], {"s": limit * 86400.0}, TUESDAY)
    assert bool(stale(schedule, met, TUESDAY)) == (standing.state == "stale")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"at": "61 * * * *"}, "at: '61' is no minute"),
        ({"timezone": "Mars/Olympus"}, "timezone: `Mars/Olympus` is no zone"),
        (
            {"freeze": [{"from": "2026-12-02", "to": "2026-12-01", "reason": "x"}]},
            "freeze.0: `from` and `to` are dates",
        ),
        ({"holidays": ["2026-02-30"]}, "holidays.0"),
        ({"business_hours": {"from": "17:00", "to": "09:00"}}, "business_hours: `from` and `to` are times"),
        ({"business_hours": {"from": "09:00+02:00"}}, "business_hours: `from` and `to` are times of `timezone`"),
        ({"business_hours": {"from": "09:00+02:00", "to": "17:00+02:00"}}, "business_hours: `from` and `to` are times"),
        ({"business_hours": {"from": "17:00", "to": "1700"}}, "business_hours: `from` and `to` are times"),
        ({"business_hours": {"days": ["monday"]}}, "are some of mon"),
        ({"approval": {"by": "ada", "until": "2026-12-31T00:00:00"}}, "with its offset"),
        ({"upload": {"bucket": "b", "access_key": {"env": "A"}}}, "upload: `access_key` and `secret_key` go together"),
        (
            {"upload": {"bucket": "b", "access_key": {"env": "A"}, "secret_key": {"env": "A B: ${{ x }}"}}},
            "upload: a reference names either",
        ),
        ({"stale_after": "90 days"}, "no duration"),
        ({"skip_when": {"name": "an incident", "http": {"url": "status"}}}, "skip_when.http.url: is no URL"),
        ({"skip_when": {"name": "an incident", "tcp": {"host": "a", "port": 0}}}, "skip_when.tcp.port: 0 is no port"),
        ({"jiter": "5m"}, "there is no field `jiter`"),
    ],
)
def test_what_cannot_be_meant_is_said_with_its_field(changes: dict[str, Any], said: str) -> None:
    body = {"title": "t", "gameday": "g.yaml", "at": "@daily", **changes}
    found, wrong = parse(Document(body, 1), "s.yaml", available_timezones())
    assert found is None
    assert any(said in f"{d.subject}: {d.cause}" for d in wrong), wrong
