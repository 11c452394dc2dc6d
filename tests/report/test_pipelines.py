"""A schedule as a workflow and as a job: accepted by the forges' own schemas, and awake whenever a slot is due."""

from __future__ import annotations

import subprocess
import sys
from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dr.core.calendar import cron, slots
from dr.core.gameday import Reference
from dr.core.timetable import S3, Schedule
from dr.report.pipelines import github, gitlab, utc

CHECK = Path(sys.executable).parent / "check-jsonschema"
NASTY = 'Kill "pods": $(rm -rf /)\n# and & more'
SCHEDULES = [
    Schedule("Pod kill, weekly", "gameday.yaml", "30 10 * * TUE", "Europe/Berlin"),
    Schedule(NASTY, "gameday.yaml", "*/20 0-3 1 * *", "Asia/Kolkata"),
]


def offsets(zone: str, year: int = 2026) -> set[timedelta]:
    start = datetime(year, 1, 1, tzinfo=UTC)
    found = {(start + timedelta(days=day)).astimezone(ZoneInfo(zone)).utcoffset() for day in range(366)}
    return {offset for offset in found if offset is not None}


def commands(body: dict[str, Any]) -> list[str]:
    """Return everything that a workflow's or a job's shell is given."""
    if "jobs" in body:
        return [step["run"] for job in body["jobs"].values() for step in job["steps"] if "run" in step]
    return [line for job in body.values() for line in job["script"]]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=["weekly", "nasty"])
@pytest.mark.parametrize("forge", ["github", "gitlab"])
def test_what_is_written_is_what_the_forge_reads(tmp_path: Path, forge: str, schedule: Schedule) -> None:
    file = "schedules/pod's kill.yaml"
    if forge == "github":
        content = github(schedule, "dr-kill", file, utc(cron(schedule.at), offsets(schedule.timezone)))
        check = ["--builtin-schema", "vendor.github-workflows"]
    else:
        content = gitlab(schedule, "dr-kill", file)
        check = ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"]
    written = tmp_path / "written.yml"
    written.write_text(content)
    done = subprocess.run([CHECK, *check, str(written)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    body = yaml.safe_load(content)
    said = yaml.safe_dump(body, width=10_000)
    assert "dr schedule run" in said
    assert all("rm -rf" not in run for run in commands(body))
    assert said.count("rm -rf") == (1 if forge == "github" and schedule.title == NASTY else 0), "as its title"


@given(
    minute=st.sampled_from(["0", "30", "*/20", "5,55"]),
    hour=st.sampled_from(["0", "2", "9-11", "23", "*/6"]),
    day=st.sampled_from(["*", "1", "15,31"]),
    month=st.sampled_from(["*", "3", "10"]),
    week=st.sampled_from(["*", "SUN", "MON-FRI"]),
    zone=st.sampled_from(
        ["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Auckland", "Asia/Kolkata", "Pacific/Kiritimati"]
    ),
)
def test_github_wakes_dr_at_every_slot_in_summer_and_in_winter(
    minute: str, hour: str, day: str, month: str, week: str, zone: str
) -> None:
    rule = cron(f"{minute} {hour} {day} {month} {week}")
    rules = [cron(said) for said in utc(rule, offsets(zone))]
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    due = {slot.at for slot in slots(rule, ZoneInfo(zone), begin, begin + timedelta(days=365))}
    end = begin + timedelta(days=366)
    woken = sorted({slot.at for one in rules for slot in slots(one, UTC, begin, end)})
    # In an hour that clocks skip a slot comes a little sooner: `within` covers that.
    assert all(woken[bisect_left(woken, at)] - at <= timedelta(hours=1) for at in due)


def test_a_forge_installs_and_hands_over_what_a_copy_of_the_reports_needs() -> None:
    place = S3("kept", access_key=Reference(env="S3_ID"), secret_key=Reference(env="S3_KEY"))
    schedule = replace(SCHEDULES[0], upload=place)
    workflow = yaml.safe_load(github(schedule, "dr-kill", "s.yaml", ("0 0 * * *",), ("S3_ID", "S3_KEY")))
    steps = workflow["jobs"]["gameday"]["steps"]
    assert [step for step in steps if "pip install 'dr-gameday[s3]'" in step.get("run", "")]
    (held,) = [step for step in steps if "dr schedule run" in step.get("run", "")]
    assert held["env"]["S3_ID"] == "${{ secrets.S3_ID }}"
    assert held["env"]["S3_KEY"] == "${{ secrets.S3_KEY }}"
    job = gitlab(schedule, "dr-kill", "s.yaml", ("S3_ID", "S3_KEY"))
    assert "pip install --quiet 'dr-gameday[s3]'" in job
    assert "# S3_ID, S3_KEY: masked" in job
    assert "[s3]" not in gitlab(SCHEDULES[0], "dr-kill", "s.yaml")


GH = """#!/bin/sh
echo "$@" >> "$CALLS"
case $1 in
  api) [ "$FOUND" != error ] && echo "$FOUND" ;;
  run) mkdir -p reports && echo '{}' > reports/slots.jsonl ;;
esac
"""


@pytest.mark.parametrize(
    ("found", "code", "known"),
    [("4711", 0, True), ("", 0, False), ("error", 1, False)],
    ids=["there", "first", "broken"],
)
def test_a_workflow_knows_its_slots_from_its_last_run_however_long_ago_or_holds_nothing(
    tmp_path: Path, found: str, code: int, known: bool
) -> None:
    text = github(SCHEDULES[0], "dr-kill", "s.yaml", ("0 0 1 1 *",))
    assert "actions/cache" not in text, "GitHub removes what nobody used for a week"
    workflow = yaml.safe_load(text)
    assert workflow["permissions"]["actions"] == "read"
    assert {"cron": "17 4 1 * *"} in workflow[True]["schedule"], "an artifact ends after 90 days"
    steps = workflow["jobs"]["gameday"]["steps"]
    fetched, held = (
        next(n for n, s in enumerate(steps) if what in s.get("run", "")) for what in ("gh api", "dr schedule")
    )
    assert fetched < held
    kept = next(step["with"] for step in steps if "upload-artifact" in step.get("uses", ""))
    assert (kept["name"], kept["retention-days"]) == ("dr-kill", 90)
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "CALLS": str(tmp_path / "calls"), "FOUND": found}
    environ["GITHUB_REPOSITORY"] = "us/platform"
    # As GitHub runs a step.
    done = subprocess.run(["bash", "-e", "-c", steps[fetched]["run"]], env=environ, cwd=tmp_path, check=False)
    assert done.returncode == code
    assert (tmp_path / "reports" / "slots.jsonl").exists() is known
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0].startswith("api repos/us/platform/actions/artifacts?per_page=100&name=dr-kill --jq [.artifacts[]")
    assert calls[1:] == (["run download 4711 --name dr-kill --dir reports"] if known else [])


def test_an_hourly_schedule_stays_one_line() -> None:
    assert utc(cron("15 * * * *"), {timedelta(hours=2), timedelta(hours=1)}) != ()
    assert utc(cron("30 10 * * TUE"), {timedelta(0)}) == ("30 10 * * 2",)
    assert utc(cron("30 1 * * TUE"), {timedelta(hours=2)}) == ("30 23 * * 1",)
