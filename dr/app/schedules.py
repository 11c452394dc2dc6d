"""Answers `dr schedule`: when a gameday is due, what became of its slots, and the gameday of the slot that is due."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from dr.adapters import history, s3, slots, store
from dr.adapters.kube import Access
from dr.adapters.manifests import parse as parse_yaml
from dr.adapters.probing.questions import Asker, Refused, Unasked
from dr.app import experiments, gamedays
from dr.app.answer import Answer
from dr.app.exercises import Options, Shown
from dr.app.notices import secret
from dr.app.places import target
from dr.core import timetable
from dr.core.calendar import Slot, coming, cron
from dr.core.errors import ConfigError, DrError, ToolError, UsageError
from dr.core.gameday import Probe
from dr.core.timetable import Became, Schedule, Slotted
from dr.report.console import Line, line, many
from dr.report.data import SCHEMA_VERSION, encode

_NOBODY = Access("none", "http://127.0.0.1:1")
_PATIENCE = 10.0  # seconds for an answer whether an incident is open


def read(file: Path) -> Schedule:
    """Return a schedule file's content; raises ConfigError with everything that is wrong with it."""
    try:
        parsed = parse_yaml(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}", "give a schedule file: docs/concepts/schedules.md") from None
    problems = [f"{file}:{problem.line}: {problem.cause}" for problem in parsed.problems]
    if problems or not parsed.documents:
        raise ConfigError("\n    ".join(problems) or f"{file} is empty", "correct the file")
    found, wrong = timetable.parse(parsed.documents[0], str(file), available_timezones())
    if found is None:
        said = "\n    ".join(f"{d.where}: {d.subject}: {d.cause}" for d in wrong)
        raise ConfigError(f"{many(len(wrong), 'error')} in the schedule file\n    {said}", wrong[0].remedy)
    return found


def stale_after(file: Path) -> tuple[str, float] | None:
    """Return a schedule's scenario and after how many seconds it is stale; None where it says nothing of that."""
    schedule = read(file)
    return None if schedule.stale_after is None else (_scenario(schedule, file), float(schedule.stale_after))


def _scenario(schedule: Schedule, file: Path) -> str:
    """Return the word under which the history keeps a schedule's gameday."""
    beside = file.parent / schedule.gameday
    gameday, _ = gamedays.read(beside)
    fault = gameday.fault
    return gameday.scenario or experiments.load(fault.experiment, fault.settings, beside.parent).file.stem


def coming_up(file: Path, count: int, form: str) -> Answer:
    """Answer `dr schedule next`: the slots that are to come, and which of them will be skipped."""
    schedule = read(file)
    zone = ZoneInfo(schedule.timezone)
    found = list(islice(coming(cron(schedule.at), zone, datetime.now(UTC)), count))
    rows = [(slot, timetable.closed(schedule, slot.at.astimezone(zone))) for slot in found]
    if form == "json":
        told = [{"slot": slot.name, "at": slot.at.isoformat(), "skipped": why} for slot, why in rows]
        return Answer(content=encode({"schema": SCHEMA_VERSION, "timezone": schedule.timezone, "slots": told}))
    return Answer(
        tuple(
            line(("✗ ", "yellow") if why else ("✓ ", "green"), f"{slot.name} {schedule.timezone}", f"  {why}".rstrip())
            for slot, why in rows
        )
    )


def check(file: Path, reports: Path, form: str) -> Answer:
    """Answer `dr schedule check`: what became of the last slots, and whether the scenario is stale (exit code 1)."""
    schedule, now = read(file), datetime.now(UTC)
    told, scenario = slots.kept(reports, schedule.title), _scenario(schedule, file)
    good = history.rows(reports, scenario, verdict="met", limit=1)
    why = timetable.stale(schedule, good[0].time if good else "", now)
    latest = tuple({one.slot: one for one in told}.values())[-10:]
    code = 1 if why else 0
    if form == "json":
        return Answer(content=encode({"schema": SCHEMA_VERSION, "stale": why, "slots": latest}), exit_code=code)
    lines: list[Line] = [line(f"{one.slot}  {one.what}  {_became(one)}".rstrip()) for one in latest]
    said = (("✗ ", "red"), f"{scenario} is stale: {why}") if why else (("✓ ", "green"), f"{scenario} is not stale")
    lines.append(line(*said))
    return Answer(tuple(lines), exit_code=code)


def _became(slot: Slotted) -> str:
    """Return what there is to say of a slot; one that is only taken has a holder who never said how it ended."""
    if slot.what == "taken":
        return f"by {slot.who} at {slot.time}, under way or never ended"
    return slot.cause or slot.who


def run(file: Path, options: Options, shown: Shown, form: str, *, detail: bool) -> Answer:
    """Answer `dr schedule run`: hold the gameday if a slot is due, nobody has taken it and nothing forbids it."""
    schedule, now = read(file), datetime.now(UTC)
    zone, told = ZoneInfo(schedule.timezone), slots.kept(options.reports, schedule.title)
    names = {one.slot for one in told}
    newest = max((datetime.fromisoformat(one.slot).replace(tzinfo=zone) for one in told), default=None)
    plan = timetable.due(schedule, zone, now, names, newest and newest.astimezone(UTC))
    for slot in plan.missed:
        if _take(schedule, options.reports, slot, "missed", "nobody began it in time") is None:
            shown.say(f"missed: {slot.name}")
    if plan.slot is None:
        return _told(form, "", "nothing is due", plan.cause)
    # Taken before anything is decided: of a slot one runner alone says what becomes of it.
    if other := _take(schedule, options.reports, plan.slot, "taken", ""):
        return _told(form, plan.slot.name, "taken", f"by {other.who} at {other.time}")
    if plan.wait:
        if stopped := _stopped(schedule, file, plan.slot, options.reports, form):
            return stopped
        shown.say(f"{plan.slot.name}: begins in {plan.wait:.0f} s")
        time.sleep(plan.wait)
    rest = plan.slot.at + timedelta(seconds=float(schedule.within)) - datetime.now(UTC)
    patience = rest.total_seconds() if schedule.concurrency == "queue" else 0.0
    with slots.alone(options.reports, schedule.title, patience) as free:
        if not free:
            cause = "the gameday of an earlier slot is still held"
            _keep(schedule, options.reports, plan.slot, "skipped", cause)
            return _told(form, plan.slot.name, "skipped", cause)
        # Asked now, however long it took to get here.
        if stopped := _stopped(schedule, file, plan.slot, options.reports, form):
            return stopped
        return _held(schedule, file, plan.slot, options, shown, form, detail=detail)


def _held(
    schedule: Schedule, file: Path, slot: Slot, options: Options, shown: Shown, form: str, *, detail: bool
) -> Answer:
    """Hold the gameday of a slot that is taken, and keep how it ended."""
    code, cause, before = 130, "interrupted", store.folders(options.reports)
    try:
        answer = gamedays.run(file.parent / schedule.gameday, options, shown, form, dry=False, detail=detail)
        code, cause = answer.exit_code, ""
    except DrError as error:
        code, cause = error.exit_code, error.cause.splitlines()[0]
        raise
    except Exception as error:
        code, cause = 3, f"an error of dr: {type(error).__name__}"
        raise
    finally:
        _keep(schedule, options.reports, slot, "done", cause, code)
        upload(schedule, file.parent, options.reports, before, shown.say)
    return answer


def _stopped(schedule: Schedule, file: Path, slot: Slot, reports: Path, form: str) -> Answer | None:
    """Keep and return that a slot that is taken may not be held now, None where it may; raises UsageError."""
    now = datetime.now(UTC)
    if why := timetable.refused(schedule, now):
        _keep(schedule, reports, slot, "refused", why)
        raise UsageError(f"{schedule.title}: {why}", "have it approved again, and correct the file")
    if why := timetable.closed(schedule, now.astimezone(ZoneInfo(schedule.timezone))) or _incident(schedule, file):
        _keep(schedule, reports, slot, "skipped", why)
        return _told(form, slot.name, "skipped", why)
    return None


def _take(schedule: Schedule, reports: Path, slot: Slot, what: Became, cause: str) -> Slotted | None:
    """Take a slot and keep what became of it; return None, or who has it."""
    who = f"{socket.gethostname()}, process {os.getpid()}"
    return slots.take(reports, Slotted(schedule.title, slot.name, what, _now(), who, cause))


def _keep(schedule: Schedule, reports: Path, slot: Slot, what: Became, cause: str, code: int | None = None) -> None:
    slots.keep(reports, Slotted(schedule.title, slot.name, what, _now(), cause=cause, code=code))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def upload(schedule: Schedule, beside: Path, reports: Path, before: frozenset[str], say: Callable[[str], None]) -> None:
    """Copy the reports of new runs to where the schedule says; a failure is said and nothing else."""
    place = schedule.upload
    new = sorted(store.folders(reports) - before - {slots.TAKEN})
    if place is None or not new:
        return
    try:
        keys = (secret(key, beside) if key else "" for key in (place.access_key, place.secret_key))
        count = s3.put(s3.Store(place.bucket, place.endpoint, place.prefix, place.region, *keys), reports, new)
        say(f"{many(count, 'file')} put into {place.bucket}")
    except ToolError as error:
        say(f"the reports were not copied: {error.cause}; {error.remedy}")


def _told(form: str, slot: str, what: str, cause: str) -> Answer:
    if form == "json":
        return Answer(content=encode({"schema": SCHEMA_VERSION, "slot": slot, "what": what, "cause": cause}))
    return Answer((line(f"{slot} {what}: {cause}".strip()),))


def _incident(schedule: Schedule, file: Path) -> str:
    """Return why the slot is skipped because of an incident: one is open, or nobody can be asked; "" where none is."""
    probe = schedule.skip_when
    if probe is None:
        return ""
    gameday, _ = gamedays.read(file.parent / schedule.gameday)
    place = gameday.target.context
    if probe.kubernetes and not place:
        return f"{probe.name} asks a cluster, and the gameday makes its own"
    return asyncio.run(_asked(probe, target(place) if probe.kubernetes else _NOBODY))


async def _asked(probe: Probe, access: Access) -> str:
    with tempfile.TemporaryDirectory(prefix="dr-") as private:
        try:
            async with asyncio.timeout(probe.timeout or _PATIENCE):
                await Asker(access, Path(private)).ask(probe)
        except Unasked as unasked:
            return f"{probe.name} could not be asked: {unasked}"
        except Refused:
            return ""
        except TimeoutError:
            return f"{probe.name} could not be asked: no answer"
    return f"an incident is open: {probe.name} says so"
