"""Answers `dr schedule`: when a gameday is due, what became of its slots, and what runs it."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from msgspec.structs import replace

from dr.adapters import history, manifests, s3, slots, store
from dr.adapters.kube import Access
from dr.adapters.manifests import parse as parse_yaml
from dr.adapters.probing.questions import Asker, Refused, Unasked
from dr.app import experiments, gamedays
from dr.app.answer import Answer
from dr.app.exercises import Options, Shown
from dr.app.notices import secret
from dr.app.places import target
from dr.core import timetable
from dr.core.calendar import Cron, Slot, after_gaps, coming, cron
from dr.core.cron_job import CLOCKS, bodies, unfit
from dr.core.errors import ConfigError, DrError, StoreError, ToolError, UsageError
from dr.core.gameday import Gameday, Probe
from dr.core.rights import rights
from dr.core.timetable import Schedule, Slotted
from dr.report.console import Line, line, many
from dr.report.data import SCHEMA_VERSION, encode
from dr.report.pipelines import KUBECONFIG, github, gitlab, utc
from dr.report.timers import systemd, unit_name

_NOBODY = Access("none", "http://127.0.0.1:1")
_LONGEST = 52 - len(CLOCKS)  # characters of a CronJob's name
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
    gameday, _ = gamedays.read(file.parent / schedule.gameday)
    return None if schedule.stale_after is None else (gameday.scenario, float(schedule.stale_after))


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
    lines: list[Line] = [line(f"{one.slot}  {one.what}  {_became(one)}".rstrip()) for one in latest]
    scenario = gameday.scenario or schedule.gameday
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
    if why := _incident(schedule, file):
        say(plan.slot, "skipped", why, None)
        return _told(form, plan.slot.name, "skipped", why)
    who = f"{socket.gethostname()}, process {os.getpid()}"
    mine = Slotted(schedule.title, plan.slot.name, "taken", now.isoformat(timespec="seconds"), who)
    if other := slots.take(options.reports, mine):
        return _told(form, plan.slot.name, "taken", f"by {other.who} at {other.time}")
    if plan.wait:
        shown.say(f"{plan.slot.name}: begins in {plan.wait:.0f} s")
        time.sleep(plan.wait)
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
        say(plan.slot, "done", cause, code)
        upload(schedule, file.parent, options.reports, before, shown.say)
    return answer


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


def _keeper(schedule: Schedule, reports: Path) -> Callable[[Slot, str, str, int | None], None]:
    def say(slot: Slot, what: str, cause: str, code: int | None) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        slots.keep(reports, Slotted(schedule.title, slot.name, what, now, cause=cause, code=code))  # type: ignore[arg-type]

    return say


def _told(form: str, slot: str, what: str, cause: str) -> Answer:
    if form == "json":
        return Answer(content=encode({"schema": SCHEMA_VERSION, "slot": slot, "what": what, "cause": cause}))
    return Answer((line(f"{slot} {what}: {cause}".strip()),))


def written(file: Path, on: str, folder: Path, form: str) -> Answer:
    """Answer `dr schedule FILE --on …`: write what runs it, and say what is next."""
    schedule = read(file)
    gameday, _ = gamedays.read(file.parent / schedule.gameday)
    name = unit_name(schedule.title)
    made, following = _RUNNERS[on](schedule, gameday, file, name)
    _write(folder, made)
    if form == "json":
        return Answer(content=encode({"schema": SCHEMA_VERSION, "files": sorted(made)}))
    shown = (line(("✓ ", "green"), str(folder / path)) for path in sorted(made))
    return Answer((*shown, line("Next: ", following.format(folder=folder.absolute()))))


Made = tuple[dict[str, str], str]


def _also(schedule: Schedule) -> Cron | None:
    return after_gaps(cron(schedule.at), ZoneInfo(schedule.timezone), datetime.now(UTC))


def _systemd(schedule: Schedule, _: Gameday, file: Path, name: str) -> Made:
    command = shutil.which("dr") or str(Path(sys.executable).with_name("dr"))
    made = systemd(schedule, command, str(file.absolute()), str(file.parent.absolute()), _also(schedule))
    return made, f"systemctl link {{folder}}/*.service && systemctl enable --now {name}.timer"


def _kubernetes(schedule: Schedule, gameday: Gameday, file: Path, name: str) -> Made:
    """Return the objects of a CronJob; raises UsageError with why a pod cannot run it."""
    home = schedule.kubernetes
    if home is None:
        raise UsageError(f"{file} has no `kubernetes`", "say there in which namespace, and with which image")
    if why := unfit(gameday):
        raise UsageError(f"{schedule.gameday}: {why}", "docs/concepts/schedules.md says what runs where")
    beside = file.parent / schedule.gameday
    found = experiments.load(gameday.fault.experiment, gameday.fault.settings, beside.parent)
    paths = [file.absolute(), beside.resolve()]
    if experiments.folder().resolve() not in found.file.resolve().parents:
        paths.append(found.file.resolve())
    base = Path(os.path.commonpath([path.parent for path in paths]))
    files = {str(path.relative_to(base)): path.read_text("utf-8") for path in paths}
    probes = (*gameday.steady_state.probes, *((schedule.skip_when,) if schedule.skip_when else ()))
    asked = replace(gameday, steady_state=replace(gameday.steady_state, probes=probes))
    try:
        needed = rights(asked, found.body, found.settings)
    except ValueError as error:
        raise UsageError(
            f"its rights are not known: {error}", "write its Role by hand, or let github, gitlab or systemd run it"
        ) from None
    name = name[:_LONGEST].rstrip("-")
    made = bodies(schedule, gameday, home, name, files, str(file.absolute().relative_to(base)), needed, _also(schedule))
    content = "---\n".join(manifests.written(body) for body in made)
    return {f"{name}.yaml": content}, f"kubectl apply --server-side -f {{folder}}/{name}.yaml"


def _github(schedule: Schedule, _: Gameday, file: Path, name: str) -> Made:
    zone, now = ZoneInfo(schedule.timezone), datetime.now(UTC)
    offsets = {(now + timedelta(days=day)).astimezone(zone).utcoffset() or timedelta() for day in range(366)}
    crons = utc(cron(schedule.at), offsets)
    made = github(schedule, name, str(file), crons)
    return {f"{name}.yml": made}, f"move it to .github/workflows/, and keep the kubeconfig as the secret {KUBECONFIG}"


def _gitlab(schedule: Schedule, _: Gameday, file: Path, name: str) -> Made:
    made = {f"{name}.gitlab-ci.yml": gitlab(schedule, name, str(file), _also(schedule))}
    return made, "include it in .gitlab-ci.yml, and make the pipeline schedule that its first lines tell"


_RUNNERS = {"systemd": _systemd, "kubernetes": _kubernetes, "github": _github, "gitlab": _gitlab}


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


def _write(folder: Path, made: dict[str, str]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in made.items():
            (folder / name).write_text(text, "utf-8")
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror}", "choose another folder") from None
