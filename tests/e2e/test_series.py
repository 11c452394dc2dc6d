"""A series of exercises: what it waits for, and what ends it before another fault is sent."""

from __future__ import annotations

import asyncio
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from dr.adapters.store import SystemClock, events
from dr.app import gamedays, series
from dr.app.exercises import Options, Prepared, Shown
from dr.app.experiments import load
from dr.app.finish import Finished
from dr.app.recoveries import Arena
from dr.core.errors import DrError
from dr.core.events import Announced, Ended
from dr.core.gameday import Approval
from dr.local.cluster import Cluster
from dr.terminal import say, watching
from tests.adapters.test_probing import NOWHERE
from tests.e2e.test_experiments import DR, platform, settled, state

__all__ = ["platform", "state"]

GAMEDAY = """
title: The API server is away for a moment
target: {context: "local:platform", lock: LOCK}
steady_state:
  every: 200ms
  hold: 1s
  probes: [{name: api, kubernetes: {exists: Namespace/default}}]
fault: {experiment: api-server-down, with: {seconds: SECONDS}}
recovery: {timeout: 60s}
abort: [{probe: api, failing_for: 5s}]
blast_radius: {namespaces: [storefront], cluster: true}
cool_down: 4s
"""


def held(platform: Cluster, folder: Path, seconds: str, repeat: str) -> subprocess.CompletedProcess[str]:
    settled(platform, folder)
    lock = subprocess.run([DR, "lock", "local:platform"], capture_output=True, text=True, check=True).stdout.split()[-1]
    file = folder / "gameday.yaml"
    file.write_text(GAMEDAY.replace("LOCK", lock).replace("SECONDS", seconds))
    argv = [DR, "gameday", "run", str(file), "--yes", "--repeat", repeat, "--reports", str(folder / "reports")]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=150)


def test_a_series_cools_down_between_its_runs(platform: Cluster, tmp_path: Path) -> None:
    done = held(platform, tmp_path, "1", "2")
    assert done.returncode == 0, done.stderr
    first, second = (path.parent for path in sorted((tmp_path / "reports").glob("*/events.jsonl")))
    plans = [next(e for e in events(run) if isinstance(e, Announced)) for run in (first, second)]
    assert [(plan.repetition, plan.repetitions) for plan in plans] == [(1, 2), (2, 2)]
    assert second.joinpath("events.jsonl").stat().st_ctime > first.joinpath("events.jsonl").stat().st_ctime + 4.0
    assert "2 runs" in done.stdout


def test_a_series_ends_with_a_run_that_was_aborted(platform: Cluster, tmp_path: Path) -> None:
    done = held(platform, tmp_path, "60", "3")
    assert done.returncode == 1, done.stderr
    assert "the series ended after run 1 of 3: it was aborted, api failing for 5 s" in done.stderr
    (run,) = (path.parent for path in (tmp_path / "reports").glob("*/events.jsonl"))
    assert [event.outcome for event in events(run) if isinstance(event, Ended)] == ["failed"]


def test_an_approval_that_runs_out_ends_the_series_before_the_next_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is put forward by an hour after each run."""
    begun, now = datetime.now(UTC), [datetime.now(UTC)]

    async def once(*given: Any) -> Finished:
        (given[2] / "events.jsonl").touch()
        now[0] += timedelta(hours=1)
        return Finished(None, None, None)  # type: ignore[arg-type]

    async def arena(*_: Any) -> Arena:
        return Arena(NOWHERE)

    monkeypatch.setattr(series, "once", once)
    monkeypatch.setattr(series, "arena_of", arena)
    monkeypatch.setattr(SystemClock, "now", lambda _: now[0].isoformat())
    file = tmp_path / "gameday.yaml"
    file.write_text(GAMEDAY.replace("LOCK", "7e2c/0af1").replace("SECONDS", "1").replace("4s", "0s"))
    gameday, digest = gamedays.read(file)
    until = (begun + timedelta(minutes=90)).isoformat()
    gameday = replace(gameday, approvals=(Approval("grace", until),))
    ready = Prepared(gameday, file, digest, load("api-server-down", {"seconds": 1}), ())
    shown = Shown(say, watching, lambda _: None, lambda _: ("", ""))

    async def lead() -> tuple[list[Path], DrError | None]:
        return await series.repeated(ready, Options(repeat=5, reports=tmp_path / "reports"), shown)

    folders, error = asyncio.run(lead())
    assert len(folders) == 2
    assert error
    assert error.exit_code == 2
    assert "approval: grace: expired at" in error.cause
