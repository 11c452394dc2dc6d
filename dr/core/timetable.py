"""schedule.yaml: which gameday is held when, and when it is not. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, date, datetime, time, tzinfo
from hashlib import sha256
from typing import Any, Literal

from msgspec import Struct

from dr.core import questions
from dr.core.calendar import DAYS, Slot, cron, newest, slots
from dr.core.gameday import Approval, Duration, Gameday, Probe, Reference, hook, lasting
from dr.core.herd import Kubernetes
from dr.core.model import Diagnostic, Document, Path
from dr.core.shape import read
from dr.core.stale import since, state

_DAY = 86_400.0
_MOST = 100  # slots that are told as missed at once


class _Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """Unknown fields are errors: a misspelt limit is no limit."""


class Hours(_Strict, frozen=True, rename={"since": "from", "until": "to"}):
    """When people are there: on these days (mon … sun), between two wall times."""

    days: tuple[str, ...] = ("mon", "tue", "wed", "thu", "fri")
    since: str = "09:00"
    until: str = "17:00"


class Freeze(_Strict, frozen=True, rename={"since": "from", "until": "to"}):
    """Days on which nothing is disturbed, both included, and why."""

    since: str
    until: str
    reason: str


class S3(_Strict, frozen=True):
    """A bucket of an S3-compatible store; without `endpoint` AWS.

    Without keys: what the machine may do by AWS_ variables, by AWS's file of credentials or by its role.
    """

    bucket: str
    endpoint: str = ""
    prefix: str = ""
    region: str = "us-east-1"
    access_key: Reference | None = None
    secret_key: Reference | None = None


class Schedule(_Strict, frozen=True):
    """The content of a schedule file.

    gameday: the file that is run, beside this one. at: five fields of cron, in `timezone`. jitter: a start is put off
    by up to that time, the same for everybody who knows the slot. within: how late a slot may still be begun; later it
    is missed. skip_when: a probe; while it passes an incident is open and the slot is skipped, as it is when nobody can
    be asked. concurrency: what becomes of a slot while an earlier one's gameday is still held: it is skipped (forbid),
    or waits for its end as long as it may still be begun (queue). stale_after: for how long the scenario's last good
    run counts. kubernetes: where `--on kubernetes` lets it run. upload: where reports are copied to; a copy that fails
    is said, and changes no verdict.
    """

    title: str
    gameday: str
    at: str
    timezone: str = "UTC"
    jitter: Duration = lasting(0.0)
    within: Duration = lasting(3600.0)
    business_hours: Hours | None = None
    freeze: tuple[Freeze, ...] = ()
    holidays: tuple[str, ...] = ()
    approval: Approval | None = None
    skip_when: Probe | None = None
    concurrency: Literal["forbid", "queue"] = "forbid"
    stale_after: Duration | None = None
    kubernetes: Kubernetes | None = None
    upload: S3 | None = None


Became = Literal["taken", "done", "skipped", "missed", "refused"]


class Slotted(Struct, frozen=True):
    """What became of a slot, as it is kept: taken, done, skipped, missed or refused; `who` took it, `cause` why not."""

    schedule: str
    slot: str
    what: Became
    time: str
    who: str = ""
    cause: str = ""
    code: int | None = None


class Due(Struct, frozen=True):
    """What there is to do: a slot to run now after some seconds, or why there is none; and slots that were missed."""

    slot: Slot | None
    cause: str = ""
    wait: float = 0.0
    missed: tuple[Slot, ...] = ()


def closed(schedule: Schedule, wall: datetime) -> str:
    """Return why nothing may be disturbed at a wall time, "" where it may."""
    day = wall.date()
    for freeze in schedule.freeze:
        if date.fromisoformat(freeze.since) <= day <= date.fromisoformat(freeze.until):
            return f"frozen until {freeze.until}: {freeze.reason}"
    if day in map(date.fromisoformat, schedule.holidays):
        return "a holiday"
    hours = schedule.business_hours
    if hours is None:
        return ""
    if DAYS[wall.isoweekday() % 7].lower() not in hours.days:
        return f"nobody is there on a {wall:%A}"
    if not time.fromisoformat(hours.since) <= wall.time() < time.fromisoformat(hours.until):
        return f"outside {hours.since} to {hours.until}"
    return ""


def put_off(schedule: Schedule, slot: Slot, zone: tzinfo) -> float:
    """Return by how many seconds a slot's start is put off: by its name, and never past the end of business hours."""
    share = int.from_bytes(sha256(f"{schedule.title} {slot.name}".encode()).digest()[:8]) / 2**64
    most = float(schedule.jitter)
    if schedule.business_hours:
        wall = slot.at.astimezone(zone)
        end = datetime.combine(wall.date(), time.fromisoformat(schedule.business_hours.until), zone)
        most = min(most, max(0.0, (end.astimezone(UTC) - slot.at).total_seconds() - 1.0))
    return share * most


def due(schedule: Schedule, zone: tzinfo, now: datetime, known: Collection[str], since: datetime | None) -> Due:
    """Return what there is to do now.

    known: the slots of which something is kept. since: the newest of them; slots after it that were never begun are
    missed. `now` and `since` in UTC.
    """
    rule = cron(schedule.at)
    last = newest(rule, zone, now)
    if last is None:
        return Due(None, "no slot has come yet")
    passed = list(slots(rule, zone, since, now))[-_MOST:] if since else []
    late = (now - last.at).total_seconds()
    runs = last.name not in known and late <= float(schedule.within)
    missed = tuple(slot for slot in passed if slot.name not in known and not (runs and slot == last))
    if last.name in known:
        return Due(None, f"the slot {last.name} was dealt with", missed=missed)
    if not runs:
        return Due(None, f"the last slot, {last.name}, is {late:.0f} s ago: too late", missed=missed)
    return Due(last, "", max(0.0, put_off(schedule, last, zone) - late), missed)


def refused(schedule: Schedule, now: datetime) -> str:
    """Return why the schedule's approval does not hold any more, "" where it does or none is needed."""
    approval = schedule.approval
    if approval is None or datetime.fromisoformat(approval.until) > now:
        return ""
    return f"the approval of {approval.by} ended on {approval.until}"


def stale(schedule: Schedule, met: str, now: datetime) -> str:
    """Return why the scenario is stale, "" where it is not. `met`: when its last good run began, "" for never."""
    age = since(met, now)
    if state(age, schedule.stale_after) != "stale":
        return ""
    return "it was never met" if age is None else f"it was last met {int(age // _DAY)} days ago, on {met[:10]}"


def referred(schedule: Schedule, gameday: Gameday) -> Iterator[Reference]:
    """Yield the secrets that whoever runs a schedule has to have, by reference."""
    place = schedule.upload
    named = [place.access_key, place.secret_key] if place else []
    for told in gameday.notifications:
        named += [one for one in (told.webhook, told.slack, told.sign) if isinstance(one, Reference)]
        named += [told.email.password] if told.email else []
    yield from dict.fromkeys(one for one in named if one)


def parse(document: Document, file: str, zones: Collection[str]) -> tuple[Schedule | None, tuple[Diagnostic, ...]]:
    """Read a schedule file; `zones` are the names of time zones that there are.

    Returns the schedule, None when any error was found, and everything that is wrong with the file, by line.
    """
    return read(document, file, Schedule, "schedule", hook, lambda schedule: sense(schedule, zones))


def sense(schedule: Schedule, zones: Collection[str]) -> Iterator[tuple[Path, str]]:
    """Yield what is well formed and cannot be meant: where in the file, and why."""
    hours, approval, place = schedule.business_hours, schedule.approval, schedule.upload
    week = {name.lower() for name in DAYS}
    if cause := _cron_of(schedule.at):
        yield ("at",), cause
    rows: tuple[tuple[object, Path, str], ...] = (
        (schedule.timezone not in zones, ("timezone",), f"`{schedule.timezone}` is no zone, such as Europe/Berlin"),
        *(
            (not _ordered([f.since, f.until], date.fromisoformat), ("freeze", i), "`from` and `to` are dates, in order")
            for i, f in enumerate(schedule.freeze)
        ),
        *(
            (not _ordered([day], date.fromisoformat), ("holidays", i), f"`{day}` is no date, such as 2026-12-25")
            for i, day in enumerate(schedule.holidays)
        ),
        (
            hours and (not _ordered([hours.since, hours.until], _wall) or _wall(hours.since) == _wall(hours.until)),
            ("business_hours",),
            "`from` and `to` are times of `timezone` (09:00), in order",
        ),
        (
            hours and (not hours.days or set(hours.days) - week),
            ("business_hours", "days"),
            "are some of mon, tue, wed, thu, fri, sat, sun",
        ),
        (
            schedule.skip_when and (not schedule.skip_when.kind or schedule.skip_when.canary),
            ("skip_when",),
            "is one of http, tcp, kubernetes, command and prometheus",
        ),
        (
            place and any(key and not key.meant for key in (place.access_key, place.secret_key)),
            ("upload",),
            "a reference names either `env` (letters, digits and _) or `file`",
        ),
        (
            place and bool(place.access_key) != bool(place.secret_key),
            ("upload",),
            "`access_key` and `secret_key` go together",
        ),
        (
            approval and not _ordered([approval.until], datetime.fromisoformat, aware=True),
            ("approval", "until"),
            "is a time with its offset: 2026-12-31T00:00:00+01:00",
        ),
    )
    yield from ((path, cause) for wrong, path, cause in rows if wrong)
    if schedule.skip_when and schedule.skip_when.kind:
        yield from ((("skip_when", *field.split(".")), cause) for field, cause in questions.wrong(schedule.skip_when))


def _cron_of(text: str) -> str:
    try:
        cron(text)
    except ValueError as error:
        return str(error)
    return ""


def _wall(said: str) -> time:
    found = time.fromisoformat(said)
    if found.tzinfo:
        raise ValueError(said)
    return found


def _ordered(said: Sequence[str], read: Any, *, aware: bool = False) -> bool:
    try:
        values = [read(one) for one in said]
    except ValueError:
        return False
    return values == sorted(values) and (not aware or all(value.tzinfo for value in values))
