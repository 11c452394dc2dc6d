"""The sample report that is kept in git is what its command wrote, and says what this version would say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dr.adapters.store import events
from dr.core.events import Entered, Mark, Marked, Phase, Ready

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "reports" / "sample"


def test_the_sample_is_what_was_written() -> None:
    argv = [str(Path(sys.executable).parent / "dr"), "report", "verify", str(SAMPLE)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_sample_has_every_report() -> None:
    wanted = {"events.jsonl", "report.html", "report.md", "report.json", "junit.xml", "metrics.prom", "trace.json"}
    assert {path.name for path in SAMPLE.iterdir()} == wanted
    assert "recovered" in (SAMPLE / "report.md").read_text().splitlines()[0]


def test_the_sample_counts_no_comparison_with_git_as_downtime() -> None:
    told = events(SAMPLE)
    ready = next(event.at for event in told if isinstance(event, Marked) and event.mark is Mark.WORKLOADS)
    compared = next(event.at for event in told if isinstance(event, Entered) and event.phase is Phase.VERIFY)
    assert ready == max(event.at for event in told if isinstance(event, Ready))
    assert ready < compared
