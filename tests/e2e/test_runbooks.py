"""The runbook that is kept in this repo is the one that its command writes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dr.core.runbook import steps

ROOT = Path(__file__).parents[2]
DR = str(Path(sys.executable).parent / "dr")
COMMAND = ("runbook", "tests/fixtures/platform", "--env", "production")


def said(*words: str) -> str:
    done = subprocess.run([DR, *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def without_commit(text: str) -> str:
    """Return a runbook without the commit that it was made from, which is another one with each change."""
    text = re.sub(r"\b[0-9a-f]{40}\b|\b[0-9a-f]{9}\b", "COMMIT", text)
    return re.sub(r", with changes that were not committed| \+ uncommitted changes", "", text)


def test_the_runbook_that_is_kept_is_up_to_date() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout, so a runbook made here names no commit")
    kept = (ROOT / "runbooks" / "platform.md").read_text()
    assert without_commit(kept) == without_commit(said(*COMMAND)), f"dr {' '.join(COMMAND)} > runbooks/platform.md"


def test_a_program_can_read_the_runbook_too() -> None:
    found = json.loads(said(*COMMAND, "-o", "json"))
    titles = [task["title"] for part in ("before", "units", "after") for task in found[part]]
    assert titles == [step.title for step in steps(said(*COMMAND))]
    assert titles[-1] == "Verify the whole"


def test_an_environment_must_be_chosen_where_there_are_several() -> None:
    done = subprocess.run([DR, *COMMAND[:2]], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert "choose one: --env" in done.stderr
