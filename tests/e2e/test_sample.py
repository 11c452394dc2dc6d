"""The sample report that is kept in git is what its command wrote, and says what this version would say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
