"""Answers `dr schedule FILE --on …`: what runs a schedule, as files."""

from __future__ import annotations

import os
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from dr.adapters import manifests
from dr.app import experiments, gamedays
from dr.app.answer import Answer
from dr.app.schedules import read
from dr.core.calendar import Cron, after_gaps, cron
from dr.core.cron_job import CLOCKS, bodies, unfit
from dr.core.errors import StoreError, UsageError
from dr.core.gameday import Gameday
from dr.core.rights import rights
from dr.core.timetable import Schedule, referred
from dr.report.console import line
from dr.report.data import SCHEMA_VERSION, encode
from dr.report.pipelines import KUBECONFIG, github, gitlab, utc
from dr.report.timers import systemd, unit_name

_LONGEST = 52 - len(CLOCKS)  # characters of a CronJob's name


def written(file: Path, on: str, folder: Path, form: str) -> Answer:
    """Answer `dr schedule FILE --on …`: write what runs it, and say what is next."""
    schedule, file = read(file), file.resolve()
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


def _systemd(schedule: Schedule, gameday: Gameday, file: Path, name: str) -> Made:
    command = shutil.which("dr") or str(Path(sys.executable).with_name("dr"))
    made = systemd(schedule, command, str(file), str(file.parent), _named(schedule, gameday), _also(schedule))
    return made, f"systemctl link {{folder}}/*.service && systemctl enable --now {name}.timer"


def _kubernetes(schedule: Schedule, gameday: Gameday, file: Path, name: str) -> Made:
    """Return the objects of a CronJob; raises UsageError with why a pod cannot run it."""
    home = schedule.kubernetes
    if home is None:
        raise UsageError(f"{file} has no `kubernetes`", "say there in which namespace, and with which image")
    if not home.claim:
        remedy = "name a PersistentVolumeClaim of its namespace; ReadWriteOnce is enough"
        raise UsageError(f"{file} has no `kubernetes.claim`: a pod would forget its slots, and hold one twice", remedy)
    if why := unfit(schedule, gameday, home):
        raise UsageError(f"{schedule.gameday}: {why}", "docs/concepts/schedules.md says what runs where")
    beside = file.parent / schedule.gameday
    found = experiments.load(gameday.fault.experiment, gameday.fault.settings, beside.parent)
    paths = [file, beside.resolve()]
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
    made = bodies(schedule, gameday, home, name, files, str(file.relative_to(base)), needed, _also(schedule))
    content = "---\n".join(manifests.written(body) for body in made)
    return {f"{name}.yaml": content}, f"kubectl apply --server-side -f {{folder}}/{name}.yaml"


def _github(schedule: Schedule, gameday: Gameday, file: Path, name: str) -> Made:
    zone, now = ZoneInfo(schedule.timezone), datetime.now(UTC)
    offsets = {(now + timedelta(days=day)).astimezone(zone).utcoffset() or timedelta() for day in range(366)}
    crons = utc(cron(schedule.at), offsets)
    made = github(schedule, name, _in_repo(schedule, file), crons, _variables(schedule, gameday))
    return {f"{name}.yml": made}, f"move it to .github/workflows/, and keep the kubeconfig as the secret {KUBECONFIG}"


def _gitlab(schedule: Schedule, gameday: Gameday, file: Path, name: str) -> Made:
    made = {
        f"{name}.gitlab-ci.yml": gitlab(
            schedule, name, _in_repo(schedule, file), _variables(schedule, gameday), _also(schedule)
        )
    }
    return made, "include it in .gitlab-ci.yml, and make the pipeline schedule that its first lines tell"


def _named(schedule: Schedule, gameday: Gameday) -> tuple[str, ...]:
    """Return the environment variables that a schedule's secrets are in."""
    return tuple(sorted({one.env for one in referred(schedule, gameday) if one.env}))


def _variables(schedule: Schedule, gameday: Gameday) -> tuple[str, ...]:
    """Return the same for a forge's job; raises UsageError where a secret is in a file, which such a job has not."""
    files = sorted(one.file for one in referred(schedule, gameday) if one.file)
    if files:
        raise UsageError(f"a forge's job has no file {files[0]}", "refer to a variable: {env: NAME}")
    return _named(schedule, gameday)


def _in_repo(schedule: Schedule, file: Path) -> str:
    """Return where a schedule is in its repo; raises UsageError where a forge would not have it, or its gameday."""
    root = next((folder for folder in file.parents if (folder / ".git").exists()), None)
    for path in (file, (file.parent / schedule.gameday).resolve()):
        if root is None or not path.is_relative_to(root):
            where = f"in the repo {root}" if root else "in a git repo"
            raise UsageError(
                f"{path} is not {where}: a forge's job would not find it", "commit it to the repo that runs"
            )
    return file.relative_to(root or "/").as_posix()


_RUNNERS = {"systemd": _systemd, "kubernetes": _kubernetes, "github": _github, "gitlab": _gitlab}


def _write(folder: Path, made: dict[str, str]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in made.items():
            (folder / name).write_text(text, "utf-8")
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror}", "choose another folder") from None
