"""Slots of a schedule: each comes once, whatever clocks do, and none that calendars do not have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.core.calendar import after_gaps, coming, cron, existing, newest, slots, written

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = st.sampled_from(sorted(available_timezones())).map(ZoneInfo)
FIRST, LAST = datetime(1995, 1, 1), datetime(2037, 1, 1)  # noqa: DTZ001 - Hypothesis wants them so
TIMES = st.datetimes(FIRST, LAST).map(lambda t: t.replace(tzinfo=UTC, microsecond=0))


def due(text: str, zone: str, since: str, days: float) -> list[str]:
    start = datetime.fromisoformat(since).replace(tzinfo=UTC)
    return [s.at.strftime("%m-%d %H:%M") for s in slots(cron(text), ZoneInfo(zone), start, start + timedelta(days))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30 2 * * *", ["11-23 02:30", "11-24 02:30"]),
        ("*/30 9-10 * * MON", ["11-23 09:00", "11-23 09:30", "11-23 10:00", "11-23 10:30"]),
        ("0 12 24 * *", ["11-24 12:00"]),
        ("0 12 24 * MON", ["11-23 12:00", "11-24 12:00"]),
        (
            "5/25 0 * nov 1,2",
            ["11-23 00:05", "11-23 00:30", "11-23 00:55", "11-24 00:05", "11-24 00:30", "11-24 00:55"],
        ),
        ("@daily", ["11-24 00:00", "11-25 00:00"]),
        ("0 0 * * 7", []),
    ],
)
def test_an_expression_means_what_cron_means(text: str, expected: list[str]) -> None:
    assert due(text, "UTC", "2026-11-23T00:00:00", 2) == [e for e in expected if e]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("* * * *", "has 4 fields"),
        ("60 * * * *", "from 0 to 59"),
        ("* 9-5 * * *", "from 0 to 23"),
        ("*/0 * * * *", "minute"),
        ("* * 0 * *", "day of the month"),
        ("* * * FEBRUARY *", "is no month"),
        ("* * * * MON-", "day of the week"),
        ("0 0 30 2 *", "never comes"),
        ("0 0 ² * *", "day of the month"),
    ],
)
def test_an_expression_that_cannot_be_meant_says_which_field(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        cron(text)


@given(st.text(max_size=20) | st.from_regex(r"[\d*,/A-Z -]{1,25}", fullmatch=True))
def test_no_text_is_more_than_wrong(text: str) -> None:
    try:
        cron(text)
    except ValueError:
        return


def test_a_time_that_clocks_skip_comes_once_at_the_next_that_there_is() -> None:
    assert due("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00", 3) == ["03-28 01:30", "03-29 01:00", "03-30 00:30"]
    assert due("*/20 2 * * *", "Europe/Berlin", "2026-03-29T00:00:00", 0.5) == ["03-29 01:00"]


def test_a_time_that_comes_twice_comes_once() -> None:
    assert due("30 2 * * *", "Europe/Berlin", "2026-10-24T00:00:00", 3) == ["10-24 00:30", "10-25 00:30", "10-26 01:30"]


def test_a_day_that_a_zone_leaves_out_is_made_up_for_on_the_next() -> None:
    # Samoa went from 29 to 31 December 2011.
    assert due("0 9 * * *", "Pacific/Apia", "2011-12-29T00:00:00", 3.5) == [
        "12-29 19:00",
        "12-30 10:00",
        "12-30 19:00",
        "12-31 19:00",
    ]


@given(ZONES, TIMES, st.integers(0, 23), st.integers(0, 59))
def test_a_daily_slot_comes_once_for_each_day_in_every_zone(
    zone: ZoneInfo, start: datetime, hour: int, minute: int
) -> None:
    found = list(slots(cron(f"{minute} {hour} * * *"), zone, start, start + timedelta(days=370)))
    assert 368 <= len(found) <= 372
    assert len({slot.name for slot in found}) == len(found)
    assert all(timedelta() < b.at - a.at <= timedelta(hours=48) for a, b in pairwise(found))
    assert [s.at for s in found] == sorted(s.at for s in found)


@given(ZONES, TIMES)
def test_a_wall_time_has_one_instant_that_shows_it_or_the_next(zone: ZoneInfo, when: datetime) -> None:
    wall = when.replace(tzinfo=zone, second=0)
    at = existing(wall)
    assert timedelta() <= at.astimezone(zone).replace(tzinfo=None) - wall.replace(tzinfo=None) <= timedelta(days=1)


@given(ZONES, TIMES, st.sampled_from(["0 3 * * *", "*/7 * * * *", "0 0 29 2 *", "15 4 1 */3 *", "0 12 * * SUN"]))
def test_what_is_to_come_goes_on_from_what_has_come(zone: ZoneInfo, now: datetime, text: str) -> None:
    rule = cron(text)
    last, (first, second) = newest(rule, zone, now), islice(coming(rule, zone, now), 2)
    assert last
    assert last.at <= now < first.at < second.at
    assert [*slots(rule, zone, last.at, first.at)] == [first], "none is left out between"


FIELD = st.sampled_from(["*", "*/7", "1-3", "5"])


@given(FIELD, FIELD, st.sampled_from(["*", "*/2", "1-31", "15"]), FIELD, st.sampled_from(["*", "7", "0-6", "MON-FRI"]))
def test_what_is_written_for_other_crons_means_the_same(
    minute: str, hour: str, day: str, month: str, week: str
) -> None:
    rule = cron(f"{minute} {hour} {day} {month} {week}")
    again = cron(written(rule))
    first = datetime(2026, 1, 1, tzinfo=UTC)
    days = {(first + timedelta(n)).date() for n in range(366)}
    # Of a step in the days some crons make a choice, so what is written may come more often, never less.
    assert {d for d in days if rule.fits(d)} <= {d for d in days if again.fits(d)}
    assert (rule.minutes, rule.hours, rule.months) == (again.minutes, again.hours, again.months)
    assert set(written(rule)) <= set("0123456789,* ")


def test_a_day_that_fits_always_is_not_lost_to_a_weekday() -> None:
    assert written(cron("0 9 1-31 * MON")) == written(cron("0 9 1 * 0-7")) == "0 9 * * *"
    assert written(cron("0 9 1 * MON")) == "0 9 1 * 1"


@given(ZONES, st.sampled_from(["30 2 * * *", "*/20 2 * * *", "15 0 * * SUN", "0 3 * * *", "45 * * * *", "0 0 1 * *"]))
def test_no_slot_is_lost_to_clocks_that_go_forward(zone: ZoneInfo, text: str) -> None:
    start, rule = datetime(2026, 1, 1, tzinfo=UTC), cron(text)
    also = after_gaps(rule, zone, start)
    rules = [rule, *([also] if also else [])]
    for slot in slots(rule, zone, start, start + timedelta(days=3 * 365)):
        wall = slot.at.astimezone(zone)
        woken = any(r.fits(wall.date()) and wall.hour in r.hours and wall.minute in r.minutes for r in rules)
        assert woken, slot


def test_where_no_slot_is_skipped_nobody_is_woken_for_nothing() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert after_gaps(cron("30 2 * * *"), ZoneInfo("UTC"), now) is None
    assert after_gaps(cron("30 10 * * TUE"), BERLIN, now) is None
    assert after_gaps(cron("*/30 * * * *"), BERLIN, now) is None
    also = after_gaps(cron("30 2 * * *"), BERLIN, now)
    assert also
    assert written(also) == "0 3 * 3 0"
