"""When a schedule's slots are, whatever clocks and calendars do: cron expressions in a time zone. Pure.

Source of the syntax: POSIX crontab, with the ranges, steps and names that cron implementations share.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo

from msgspec import Struct

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, DAYS),
)
_NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
_ENTRY = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d+))?")
_ALL_DAYS, _WEEK = frozenset(range(1, 32)), frozenset(range(7))
_WALL = "%Y-%m-%dT%H:%M"
_AHEAD = 366 * 5  # days for which changes of clocks are looked up
_FAR = 366 * 9  # days: 29 February comes after eight years at most


class Cron(Struct, frozen=True):
    """A cron expression: which values fit. `either`: a day fits by the month or by the week, as both are restricted."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool

    def fits(self, day: date) -> bool:
        """Return whether there are slots on a day."""
        month, week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and (month or week if self.either else month and week)


class Slot(Struct, frozen=True, order=True):
    """A time at which an exercise is due: the instant (UTC), and the wall time by which it is known."""

    at: datetime
    name: str


def cron(text: str) -> Cron:
    """Return what a cron expression of five fields means; raises ValueError, with the field that is wrong."""
    fields = _NAMED.get(text.strip(), text).split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"{text!r} has {len(fields)} fields: minute, hour, day, month and day of the week are needed")
    found = [_values(said, *field) for said, field in zip(fields, _FIELDS, strict=True)]
    days, weekdays = frozenset(found[2]), frozenset(value % 7 for value in found[4])
    either = not (fields[2].startswith("*") or fields[4].startswith("*"))
    if either and (days == _ALL_DAYS or weekdays == _WEEK):  # one of them fits always, and so does every day
        days, weekdays, either = _ALL_DAYS, _WEEK, False
    made = Cron(tuple(sorted(found[0])), tuple(sorted(found[1])), days, frozenset(found[3]), weekdays, either)
    first = date(2000, 1, 1)  # a leap year, so that every date comes
    if not any(made.fits(first + timedelta(days)) for days in range(_FAR)):
        raise ValueError(f"{text!r} never comes: no month has that day")
    return made


def written(rule: Cron) -> str:
    """Return a cron expression of numbers and lists alone, which every cron reads as the same or as more."""
    fields = (rule.minutes, rule.hours, rule.days, rule.months, rule.weekdays)
    return " ".join(listed(values, whole) for values, whole in zip(fields, (60, 24, 31, 12, 7), strict=True))


def listed(values: Iterable[int], whole: int) -> str:
    """Return a field of a cron expression; `whole` is how many values it can have."""
    found = sorted(values)
    return "*" if len(found) == whole else ",".join(map(str, found))


def _values(said: str, name: str, least: int, most: int, names: tuple[str, ...]) -> set[int]:
    found: set[int] = set()
    for entry in said.split(","):
        match = _ENTRY.fullmatch(entry)
        if not match:
            raise ValueError(f"{entry!r} is no {name}")
        every, first, last, step = match.groups()
        low = least if every else _number(first, name, least, names)
        # `5/10` means from 5 on, as in most crons.
        high = most if every or (step and not last) else _number(last or first, name, least, names)
        if not (least <= low <= high <= most) or step == "0":
            raise ValueError(f"{entry!r} is no {name}: it is from {least} to {most}")
        found.update(range(low, high + 1, int(step or 1)))
    return found


def _number(said: str, name: str, least: int, names: tuple[str, ...]) -> int:
    if said.upper() in names:
        return names.index(said.upper()) + least
    if not (said.isascii() and said.isdigit()):
        raise ValueError(f"{said!r} is no {name}")
    return int(said)


def slots(rule: Cron, zone: tzinfo, after: datetime, until: datetime) -> Iterator[Slot]:
    """Yield the slots later than `after` and not later than `until`, in order.

    A wall time that does not exist (clocks go forward) counts as the next one that does; one that comes twice (clocks
    go back) counts once, the first time. Two slots that fall on one instant are one.
    """
    seen: datetime | None = None
    # A zone may be a day ahead, and may skip one.
    day, last = after.astimezone(zone).date() - timedelta(2), until.astimezone(zone).date() + timedelta(1)
    while day <= last:
        if rule.fits(day):
            for hour in rule.hours:
                for minute in rule.minutes:
                    wall = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
                    at = existing(wall)
                    if after < at <= until and (seen is None or at > seen):
                        seen = at
                        yield Slot(at, wall.strftime(_WALL))
        day += timedelta(1)


def existing(wall: datetime) -> datetime:
    """Return the instant (UTC) of a wall time: the first; of one that does not exist, that of the next that does."""
    while True:
        at = wall.replace(fold=0).astimezone(UTC)
        if at.astimezone(wall.tzinfo).replace(fold=0, tzinfo=None) == wall.replace(fold=0, tzinfo=None):
            return at
        wall = wall.replace(fold=0) + timedelta(minutes=1)


def after_gaps(rule: Cron, zone: tzinfo, now: datetime) -> Cron | None:
    """Return when else to wake so that no slot is lost to clocks that go forward; None where none can be.

    What runs a cron or a calendar event leaves a time out that does not exist: its slot comes at the next that does.
    Looks at the changes of the next years.
    """
    woken: set[datetime] = set()
    for day in (now + timedelta(days) for days in range(_AHEAD)):
        after = day + timedelta(1)
        if (after.astimezone(zone).utcoffset() or timedelta()) <= (day.astimezone(zone).utcoffset() or timedelta()):
            continue
        walls = ((slot.name, slot.at.astimezone(zone)) for slot in slots(rule, zone, day, after))
        woken |= {wall for name, wall in walls if wall.strftime(_WALL) != name and not _at(rule, wall)}
    if not woken:
        return None
    return Cron(
        tuple(sorted({wall.minute for wall in woken})),
        tuple(sorted({wall.hour for wall in woken})),
        _ALL_DAYS,
        frozenset(wall.month for wall in woken),
        frozenset(wall.isoweekday() % 7 for wall in woken),
        either=False,
    )


def _at(rule: Cron, wall: datetime) -> bool:
    return rule.fits(wall.date()) and wall.hour in rule.hours and wall.minute in rule.minutes


def newest(rule: Cron, zone: tzinfo, now: datetime) -> Slot | None:
    """Return the last slot that has come, None if there was none in nine years."""
    span = timedelta(days=1)
    while span <= timedelta(days=2 * _FAR):
        if found := list(slots(rule, zone, now - span, now)):
            return found[-1]
        span *= 4
    return None


def coming(rule: Cron, zone: tzinfo, now: datetime) -> Iterator[Slot]:
    """Yield the slots that are still to come, without end."""
    span = timedelta(days=32)
    while True:
        yield from slots(rule, zone, now, now + span)
        now += span
