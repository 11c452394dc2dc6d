"""Gamedays on a schedule: what a timer runs is run once, and what it is made of is accepted by systemd."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from dr.adapters import history, slots
from dr.app import gamedays, schedules
from dr.cli import main
from dr.core import calendar as calendars
from dr.core.calendar import Cron, cron
from dr.core.history import Row
from dr.core.timetable import Slotted
from dr.report.timers import calendar
from tests.lacking import lacking

SHIPPED = Path(__file__).parents[2] / "experiments" / "schedules" / "pod-kill-weekly.yaml"
PASSWORD = "hunter2-and-more"  # noqa: S105 - what must never be told
DR = str(Path(sys.executable).parent / "dr")
# A gameday that refuses by itself, which is enough to see that it was begun.
GAMEDAY = {
    "title": "Cluster loss",
    "scenario": "cluster loss",
    "target": {"context": "no-such-context", "lock": "uid"},
    "fault": {"experiment": "pod-kill"},
    "steady_state": {"probes": [{"name": "shop", "tcp": {"host": "127.0.0.1", "port": 1}}]},
}


def written(folder: Path, **changes: Any) -> Path:
    (folder / "gameday.yaml").write_text(yaml.safe_dump(GAMEDAY))
    file = folder / "schedule.yaml"
    body = {"title": "Every minute", "gameday": "gameday.yaml", "at": "* * * * *", **changes}
    file.write_text(yaml.safe_dump(body))
    return file


def dr(*words: str) -> Any:
    done = CliRunner().invoke(main, ["schedule", *words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_what_another_scenario_met_does_not_make_this_one_fresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(GAMEDAY, "scenario", "")  # it is kept under its experiment's name
    file, now = written(tmp_path, stale_after="90d"), datetime.now(UTC).isoformat()
    words = ("check", str(file), "--reports", str(tmp_path / "reports"))
    history.add(tmp_path / "reports", Row("run-1", now, "gameday", "node-loss", "t", "met"))
    assert dr(*words).exit_code == 1
    assert "pod-kill is stale: it was never met" in dr(*words).stdout
    history.add(tmp_path / "reports", Row("run-2", now, "gameday", "pod-kill", "t", "missed"))
    assert dr(*words).exit_code == 1
    history.add(tmp_path / "reports", Row("run-3", now, "gameday", "pod-kill", "t", "met"))
    assert dr(*words).exit_code == 0


def test_what_is_to_come_is_shown_with_what_will_be_skipped() -> None:
    found = json.loads(dr("next", str(SHIPPED), "-n", "12", "-o", "json").stdout)["slots"]
    assert len(found) == 12
    assert any("end of the year" in slot["skipped"] for slot in found)
    assert all(datetime.fromisoformat(slot["at"]) > datetime.now(UTC) for slot in found)


def test_of_many_runners_one_holds_the_gameday_and_the_others_say_who(tmp_path: Path) -> None:
    # Once a year, with a year to begin: whatever the minute, there is one slot.
    file, reports = written(tmp_path, at="@yearly", within="400d"), tmp_path / "reports"
    done = together(file, reports)
    assert sorted(one.returncode for one in done)[:3] == [0, 0, 0], [one.stderr for one in done]
    (held,) = [one for one in done if one.returncode]
    assert "not to begin" in held.stderr, "it was begun, and its gameday refused"
    told = slots.kept(reports, "Every minute")
    assert [one.what for one in told] == ["taken", "done"]
    assert told[1].code == held.returncode
    assert "dealt with" in together(file, reports, 1)[0].stdout


def test_a_slot_is_given_to_one_of_many_that_ask_at_once(tmp_path: Path) -> None:
    def take(number: int) -> Slotted | None:
        return slots.take(tmp_path, Slotted("s", "2026-11-24T10:30", "taken", "t", f"runner {number}"))

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(take, range(64)))
    (winner,) = [number for number, other in enumerate(found) if other is None]
    assert {other.who for other in found if other} == {f"runner {winner}"}
    assert len(slots.kept(tmp_path, "s")) == 1


@pytest.mark.parametrize(
    ("changes", "code", "what"),
    [
        (
            {"holidays": [(datetime.now(UTC) + timedelta(days)).strftime("%Y-%m-%d") for days in (-1, 0, 1)]},
            0,
            "skipped",
        ),
        ({"approval": {"by": "ada", "until": "2026-01-01T00:00:00+00:00"}}, 2, "refused"),
    ],
)
def test_what_may_not_be_held_is_kept_with_its_reason(
    tmp_path: Path, changes: dict[str, Any], code: int, what: str
) -> None:
    file = written(tmp_path, at="@yearly", within="400d", **changes)
    words = ["run", str(file), "--reports", str(tmp_path)]
    assert dr(*words).exit_code == code
    assert [one.what for one in slots.kept(tmp_path, "Every minute")] == ["taken", what]
    assert "dealt with" in dr(*words).output
    stale = dr("check", str(written(tmp_path, stale_after="90d")), "--reports", str(tmp_path))
    assert stale.exit_code == 1
    assert "never met" in stale.output
    assert what in stale.output


def together(file: Path, reports: Path, count: int = 4) -> list[subprocess.CompletedProcess[str]]:
    """Run as many runners of a schedule at once."""
    words = [DR, "schedule", "run", str(file), "--reports", str(reports), "--yes"]

    def run(_: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_of_many_runners_one_says_that_a_slot_is_skipped(tmp_path: Path) -> None:
    days = [(datetime.now(UTC) + timedelta(days)).strftime("%Y-%m-%d") for days in (-1, 0, 1)]
    done = together(written(tmp_path, at="@yearly", within="400d", holidays=days), tmp_path / "reports")
    assert [one.returncode for one in done] == [0] * 4, [one.stderr for one in done]
    assert [one.what for one in slots.kept(tmp_path / "reports", "Every minute")] == ["taken", "skipped"]


def test_of_many_runners_one_says_that_a_slot_was_missed(tmp_path: Path) -> None:
    now, reports = datetime.now(UTC), tmp_path / "reports"
    long_ago = (now - timedelta(days=9)).strftime("%Y-%m-%dT12:00")
    slots.keep(reports, Slotted("Every minute", long_ago, "done", long_ago))
    # Noon of each day, of which the last is too long ago unless it is noon in this very second.
    done = together(written(tmp_path, at="0 12 * * *", within="0.001s"), reports)
    assert [one.returncode for one in done] == [0] * 4, [one.stderr for one in done]
    told = [one.slot for one in slots.kept(reports, "Every minute")]
    assert len(told) == len(set(told))
    assert len(told) in (9, 10)
    assert sum(one.stderr.count("missed: ") for one in done) == len(told) - 1


def test_an_incident_that_begins_while_a_start_is_put_off_is_not_made_worse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    with answering(404) as server:

        def sleep(seconds: float) -> None:
            assert seconds > 60
            server.status = 200

        monkeypatch.setattr(schedules, "time", SimpleNamespace(sleep=sleep))
        probe = {"name": "incidents", "http": {"url": f"http://127.0.0.1:{server.server_port}/open"}}
        file = written(tmp_path, jitter="90d", within="2h", at=f"{now.minute} {now.hour} * * *", skip_when=probe)
        found = dr("run", str(file), "--yes", "--reports", str(tmp_path / "reports"))
    assert "an incident is open" in found.stdout
    assert [one.what for one in slots.kept(tmp_path / "reports", "Every minute")] == ["taken", "skipped"]


@pytest.mark.parametrize(("concurrency", "last"), [("forbid", "skipped"), ("queue", "done")])
def test_a_slot_that_comes_while_the_last_gameday_is_held_does_what_its_schedule_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, concurrency: str, last: str
) -> None:
    file, reports = written(tmp_path, at="@yearly", within="400d", concurrency=concurrency), tmp_path / "reports"
    with slots.alone(reports, "Every minute", 0.0) as free:
        assert free
        if concurrency == "forbid":
            assert "is still held" in dr("run", str(file), "--yes", "--reports", str(reports)).stdout
        else:
            argv = [DR, "schedule", "run", str(file), "--yes", "--reports", str(reports)]
            waiting = subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
            while not slots.kept(reports, "Every minute"):
                time.sleep(0.05)
            time.sleep(0.5)
            assert waiting.poll() is None
    if concurrency == "queue":
        waiting.communicate(timeout=30)
    assert [one.what for one in slots.kept(reports, "Every minute")] == ["taken", last]


def test_a_file_that_is_wrong_says_all_of_it(tmp_path: Path) -> None:
    done = dr("next", str(written(tmp_path, at="* *", timezone="Nowhere")))
    assert done.exit_code == 2
    assert "2 errors in the schedule file" in done.output


def analyze(*words: str) -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        lacking("no systemd-analyze here: the units are not verified")
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    keys = {"access_key": {"env": "S3_ID"}, "secret_key": {"env": "S3_SECRET"}}
    more = {"timezone": "Europe/Berlin", "upload": {"bucket": "kept", **keys}}
    file = written(folder, title='100 % of "it"', at="30 10 1 * TUE", **more)
    done = dr(str(file), "--on", "systemd", "--into", str(tmp_path / "units"))
    assert done.exit_code == 0, done.output
    units = sorted((tmp_path / "units").iterdir())
    assert [unit.name for unit in units] == ["dr-100-of-it.service", "dr-100-of-it.timer"]
    said = analyze("verify", *map(str, units))
    assert not [line for line in said.splitlines() if "dr-100-of-it" in line]
    service = units[0].read_text().splitlines()
    assert "ProtectSystem=strict" in service
    assert {"StateDirectory=dr", "CacheDirectory=dr"} <= set(service), "what a run keeps of its own can be written"
    assert "Environment=DR_STATE_DIR=%S/dr DR_CACHE_DIR=%C/dr" in service
    assert "EnvironmentFile=/etc/dr/dr-100-of-it.env" in service


def test_a_gameday_that_breaks_is_kept_as_broken_and_not_as_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise RuntimeError(PASSWORD)

    monkeypatch.setattr(gamedays, "run", breaks)
    file = written(tmp_path, at="@yearly", within="400d")
    done = CliRunner().invoke(main, ["schedule", "run", str(file), "--yes", "--reports", str(tmp_path)])
    assert isinstance(done.exception, RuntimeError)
    last = slots.kept(tmp_path, "Every minute")[-1]
    assert (last.what, last.code, last.cause) == ("done", 3, "an error of dr: RuntimeError")


@pytest.mark.parametrize("forge", ["github", "gitlab"])
def test_a_forge_is_told_where_the_schedule_is_in_its_repo_and_not_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forge: str
) -> None:
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    (tmp_path / "repo" / "drills").mkdir()
    (tmp_path / "elsewhere").mkdir()
    file = written(tmp_path / "repo" / "drills")
    monkeypatch.chdir(tmp_path / "elsewhere")
    for said in (file, Path("../repo/drills/schedule.yaml")):
        done = dr(str(said), "--on", forge, "--into", str(tmp_path / "out"))
        assert done.exit_code == 0, done.output
        (made,) = (tmp_path / "out").iterdir()
        assert "dr schedule run drills/schedule.yaml --yes" in made.read_text()
        assert str(tmp_path) not in made.read_text()


@pytest.mark.parametrize("forge", ["github", "gitlab"])
def test_what_a_forge_would_not_have_is_refused(tmp_path: Path, forge: str) -> None:
    done = dr(str(written(tmp_path)), "--on", forge, "--into", str(tmp_path / "out"))
    assert done.exit_code == 2
    assert "schedule.yaml is not in a git repo" in done.output
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    outside = written(tmp_path / "repo", gameday="../gameday.yaml")
    done = dr(str(outside), "--on", forge, "--into", str(tmp_path / "out"))
    assert done.exit_code == 2
    assert "gameday.yaml is not in the repo" in done.output
    assert not (tmp_path / "out").exists()


FIELD = st.sampled_from(["*", "0", "5", "*/7", "1-3", "2,4"])
ELAPSE = re.compile(r"(?:Next elapse|Iter\. #\d+): \w+ ([\d-]+ [\d:]+) UTC")


def elapses(rule: Cron, zone: str, base: datetime, count: int) -> tuple[set[datetime], datetime]:
    """Return when systemd wakes for a rule after a time, and up to when that is all."""
    found, until = set[datetime](), datetime.max.replace(tzinfo=UTC)
    for event in calendar(rule):
        since = f"--base-time={base:%Y-%m-%d %H:%M:%S} UTC"
        said = ELAPSE.findall(analyze("calendar", f"{event} {zone}", since, f"--iterations={count}"))
        times = [datetime.fromisoformat(one).replace(tzinfo=UTC) for one in said]
        assert times
        until = min(until, max(times)) if len(times) == count else until
        found |= set(times)
    return found, until


@settings(max_examples=30, deadline=None)
@given(
    FIELD,
    FIELD,
    FIELD.filter(lambda f: f != "0"),
    FIELD.filter(lambda f: f != "0"),
    st.sampled_from(["*", "MON", "0-2", "FRI-SAT", "5-7"]),
)
def test_a_timer_means_what_the_schedule_does(minute: str, hour: str, day: str, month: str, week: str) -> None:
    rule, base = cron(f"{minute} {hour} {day} {month} {week}"), datetime(2026, 1, 1, tzinfo=UTC)
    found, until = elapses(rule, "UTC", base, 12)
    assert {at for at in found if at <= until} == {slot.at for slot in calendars.slots(rule, UTC, base, until)}


@pytest.mark.parametrize("text", ["30 2 * * *", "*/20 2 * * SUN", "15 2 25-31 3 SUN"])
def test_a_timer_wakes_for_the_slot_that_clocks_skip(text: str) -> None:
    rule, zone, base = cron(text), ZoneInfo("Europe/Berlin"), datetime(2026, 3, 28, tzinfo=UTC)
    skipped = datetime(2026, 3, 29, 1, tzinfo=UTC)  # 02:30 does not exist, 03:00 does
    assert skipped in {slot.at for slot in calendars.slots(rule, zone, base, skipped)}
    also = calendars.after_gaps(rule, zone, base)
    assert also
    assert skipped not in elapses(rule, "Europe/Berlin", base, 3)[0], "systemd leaves it out, as it always did"
    assert skipped in elapses(also, "Europe/Berlin", base, 1)[0]


def test_systemd_understands_every_kind_of_calendar_event() -> None:
    for text in ("30 10 * * TUE", "*/20 0-6 1,15 * *", "0 12 24 12 MON-FRI", "@yearly"):
        for event in calendar(cron(text)):
            assert "Next elapse" in analyze("calendar", f"{event} Europe/Berlin")


class _Answers(BaseHTTPRequestHandler):
    """Answers each request with the server's status, and keeps what was put."""

    def do_GET(self) -> None:
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        told = self.headers["Authorization"]
        self.server.put.append((self.path, told, body))  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.send_header("ETag", '"0"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering(status: int) -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    server.status, server.put = status, []
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "said"),
    [(200, "an incident is open: incidents says so"), (404, ""), (0, "incidents could not be asked")],
    ids=["open", "none", "nobody answers"],
)
def test_while_an_incident_is_open_or_nobody_can_say_nothing_is_disturbed(
    tmp_path: Path, status: int, said: str
) -> None:
    with answering(status) as server:
        url = f"http://127.0.0.1:{server.server_port if status else 1}/open"
        file = written(tmp_path, within="1h", skip_when={"name": "incidents", "http": {"url": url}})
        found = dr("run", str(file), "--yes", "--reports", str(tmp_path / "reports"))
    kept = slots.kept(tmp_path / "reports", "Every minute")
    if said:
        assert said in found.stdout
        assert [one.what for one in kept] == ["taken", "skipped"]
    else:
        assert [one.what for one in kept] == ["taken", "done"]


@pytest.mark.parametrize(("status", "said"), [(200, "put into kept"), (403, "the reports were not copied")])
def test_reports_are_copied_and_a_copy_that_fails_changes_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, said: str
) -> None:
    monkeypatch.setenv("S3_ID", "an-id")
    monkeypatch.setenv("S3_SECRET", PASSWORD)
    keys = {"access_key": {"env": "S3_ID"}, "secret_key": {"env": "S3_SECRET"}}
    base, reports = schedules.read, tmp_path / "reports"
    lines: list[str] = []
    with answering(status) as server:
        place = {"bucket": "kept", "endpoint": f"http://127.0.0.1:{server.server_port}", "prefix": "a/b", **keys}
        schedule = base(written(tmp_path, upload=place))
        (reports / "2026-11-24-run").mkdir(parents=True)
        (reports / "2026-11-24-run" / "report.json").write_text("{}")
        (reports / "2026-11-24-run" / "passwd").symlink_to("/etc/passwd")
        schedules.upload(schedule, tmp_path, reports, frozenset({"old"}), lines.append)
        put = list(server.put)
    assert said in lines[0]
    assert {path for path, _, _ in put} == {"/kept/a/b/2026-11-24-run/report.json"}
    assert all("Credential=an-id/" in told for _, told, _ in put)
    assert PASSWORD not in repr((put, lines))


def test_without_keys_a_copy_is_made_with_what_the_machine_may_do_and_never_unsigned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports, lines = tmp_path / "reports", list[str]()
    (reports / "run").mkdir(parents=True)
    (reports / "run" / "report.json").write_text("{}")
    monkeypatch.setenv("HOME", str(tmp_path))
    with answering(200) as server:
        where = f"http://127.0.0.1:{server.server_port}"
        schedule = schedules.read(written(tmp_path, upload={"bucket": "kept", "endpoint": where}))

        def put() -> list[Any]:
            server.put.clear()
            schedules.upload(schedule, tmp_path, reports, frozenset(), lines.append)
            return list(server.put)

        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "an-id")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PASSWORD)
        assert [told for _, told, _ in put() if "Credential=an-id/" in told]
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/")
        assert put() == []
        assert "the reports were not copied" in lines[-1]
    assert PASSWORD not in repr(lines)


def test_a_slot_whose_holder_was_killed_is_not_run_again_and_is_told(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    file = written(tmp_path, jitter="90d", within="2h", at=f"{now.minute} {now.hour} * * *")
    argv = [DR, "schedule", "run", str(file), "--yes", "--reports", str(tmp_path / "reports")]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as holder:
        assert holder.stderr
        assert "begins in" in holder.stderr.readline()
        holder.kill()
    again = dr("run", str(file), "--yes", "--reports", str(tmp_path / "reports"))
    assert "was dealt with" in again.stdout
    checked = dr("check", str(file), "--reports", str(tmp_path / "reports"))
    assert "taken" in checked.stdout
    assert "never ended" in checked.stdout
