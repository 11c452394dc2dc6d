"""A run that is killed leaves no fault behind, and a report that says it was interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dr.adapters.store import events
from dr.core.events import Ended, Entered, Injected, Phase
from dr.local import etcd
from dr.local.cluster import Cluster
from tests.e2e.test_experiments import DR, platform, state

__all__ = ["platform", "state"]


def entered(folder: Path, phase: Phase) -> bool:
    return any(isinstance(event, Entered) and event.phase is phase for event in events(folder))


def begun(reports: Path) -> Path | None:
    found = sorted(reports.glob("*/events.jsonl"))
    return found[0].parent if found else None


def until(holds: object, seconds: float = 60.0) -> None:
    assert callable(holds)
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.parametrize("phase", [Phase.PREFLIGHT, Phase.STEADY, Phase.FAULT, Phase.RECOVER, Phase.HOLD])
@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=["kill -9", "SIGTERM", "Ctrl-C"]
)
def test_a_run_that_is_stopped_in_any_phase_takes_its_fault_back(
    platform: Cluster, tmp_path: Path, phase: Phase, number: signal.Signals
) -> None:
    reports = tmp_path / "reports"
    argv = [DR, "chaos", "run", "api-server-down", "--to", "local:platform", "--yes", "--reports", str(reports)]
    seconds = "1" if phase is Phase.HOLD else "60"
    process = subprocess.Popen(
        [*argv, "--with", f"seconds={seconds}", "--timeout", "90"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        until(lambda: begun(reports) is not None or process.poll() is not None)
        folder = begun(reports)
        assert folder, process.communicate()
        until(lambda: entered(folder, phase) or process.poll() is not None)
        process.send_signal(number)
        process.communicate(timeout=60)
    finally:
        process.kill()
    until(lambda: any(isinstance(event, Ended) for event in events(folder)))
    until(lambda: not etcd.held(platform.folder))
    found = events(folder)
    ended = [event for event in found if isinstance(event, Ended)]
    assert [event.outcome for event in ended] == ["interrupted"], found[-4:]
    until((folder / "report.json").exists)
    verdict = json.loads((folder / "report.json").read_text())["gameday"]["verdict"]
    assert verdict == "interrupted"
    if number is not signal.SIGKILL:
        assert process.returncode == 130
    if phase in (Phase.RECOVER, Phase.HOLD):
        assert any(isinstance(event, Injected) for event in found)
    assert _private(tmp_path) == []
    assert os.environ["DR_STATE_DIR"]
    assert sys.executable


def _private(_: Path) -> list[Path]:
    runs = Path(os.environ["DR_STATE_DIR"]) / "runs"
    until(lambda: not list(runs.glob("*")), 30)
    return list(runs.glob("*"))
