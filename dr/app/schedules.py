"""Answers `dr schedule`: when a gameday is due, what became of its slots, and what runs it."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from dr.adapters import history, slots
from dr.adapters.manifests import parse as parse_yaml
from dr.app import gamedays
from dr.app.answer import Answer
from dr.app.exercises import Options, Shown
from dr.core import timetable
from dr.core.calendar import Slot, coming, cron
from dr.core.errors import ConfigError, DrError, StoreError, UsageError
from dr.core.timetable import Schedule, Slotted
from dr.report.console import Line, line, many
from dr.report.data import SCHEMA_VERSION, encode
from dr.report.timers import systemd, unit_name


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
    gameday, _ = gamedays.read(file.parent / schedule.gameday)
    told = slots.kept(reports, schedule.title)
    good = [r.time for r in history.rows(reports, gameday.scenario) if r.verdict == "met"]
    why = timetable.stale(schedule, datetime.fromisoformat(good[-1]) if good else None, now)
    latest = tuple({one.slot: one for one in told}.values())[-10:]
    code = 1 if why else 0
    if form == "json":
        return Answer(content=encode({"schema": SCHEMA_VERSION, "stale": why, "slots": latest}), exit_code=code)
    lines: list[Line] = [line(f"{one.slot}  {one.what}  {one.cause or one.who}".rstrip()) for one in latest]
    lines.append(
        line(("✗ ", "red"), f"{gameday.scenario} is stale: {why}") if why else line(("✓ ", "green"), "not stale")
    )
    return Answer(tuple(lines), exit_code=code)


def run(file: Path, options: Options, shown: Shown, form: str, *, detail: bool) -> Answer:
    """Answer `dr schedule run`: hold the gameday if a slot is due, nobody has taken it and nothing forbids it."""
    schedule, now = read(file), datetime.now(UTC)
    zone, told = ZoneInfo(schedule.timezone), slots.kept(options.reports, schedule.title)
    names = {one.slot for one in told}
    newest = max((datetime.fromisoformat(one.slot).replace(tzinfo=zone) for one in told), default=None)
    plan = timetable.due(schedule, zone, now, names, newest and newest.astimezone(UTC))
    say = _keeper(schedule, options.reports)
    for slot in plan.missed:
        say(slot, "missed", "nobody began it in time", None)
        shown.say(f"missed: {slot.name}")
    if plan.slot is None:
        return _told(form, "", "nothing is due", plan.cause)
    if why := timetable.refused(schedule, now):
        say(plan.slot, "refused", why, None)
        raise UsageError(f"{schedule.title}: {why}", "have it approved again, and correct the file")
    if why := timetable.closed(schedule, now.astimezone(zone)):
        say(plan.slot, "skipped", why, None)
        return _told(form, plan.slot.name, "skipped", why)
    who = f"{socket.gethostname()}, process {os.getpid()}"
    mine = Slotted(schedule.title, plan.slot.name, "taken", now.isoformat(timespec="seconds"), who)
    if other := slots.take(options.reports, mine):
        return _told(form, plan.slot.name, "taken", f"by {other.who} at {other.time}")
    if plan.wait:
        shown.say(f"{plan.slot.name}: begins in {plan.wait:.0f} s")
        time.sleep(plan.wait)
    code = 130
    try:
        answer = gamedays.run(file.parent / schedule.gameday, options, shown, form, dry=False, detail=detail)
        code = answer.exit_code
    except DrError as error:
        code = error.exit_code
        raise
    finally:
        say(plan.slot, "done", "interrupted" if code == 130 else "", code)
    return answer


def _keeper(schedule: Schedule, reports: Path) -> Callable[[Slot, str, str, int | None], None]:
    def say(slot: Slot, what: str, cause: str, code: int | None) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        slots.keep(reports, Slotted(schedule.title, slot.name, what, now, cause=cause, code=code))  # type: ignore[arg-type]

    return say


def _told(form: str, slot: str, what: str, cause: str) -> Answer:
    if form == "json":
        return Answer(content=encode({"schema": SCHEMA_VERSION, "slot": slot, "what": what, "cause": cause}))
    return Answer((line(f"{slot} {what}: {cause}".strip()),))


def timers(file: Path, folder: Path, form: str) -> Answer:
    """Answer `dr schedule FILE --on systemd`: write a timer and a service."""
    schedule = read(file)
    gamedays.read(file.parent / schedule.gameday)
    command = shutil.which("dr") or str(Path(sys.executable).with_name("dr"))
    made = systemd(schedule, command, str(file.absolute()), str(file.parent.absolute()))
    _write(folder, made)
    if form == "json":
        return Answer(content=encode({"schema": SCHEMA_VERSION, "files": sorted(made)}))
    timer = f"{unit_name(schedule.title)}.timer"
    return Answer(
        (
            *(line(("✓ ", "green"), str(folder / name)) for name in sorted(made)),
            line("Next: ", f"systemctl link {folder.absolute()}/*.service && systemctl enable --now {timer}"),
        )
    )


def _write(folder: Path, made: dict[str, str]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in made.items():
            (folder / name).write_text(text, "utf-8")
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror}", "choose another folder") from None
