"""The runbook that is kept in this repo is the one that its command writes."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from dr.core.runbook import steps

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "runbooks" / "platform.md"
DR = str(Path(sys.executable).parent / "dr")
_BESIDE = Path(sys.executable).with_name("kubectl")
KUBECTL = str(_BESIDE) if _BESIDE.exists() else shutil.which("kubectl") or "kubectl"
COMMAND = ("runbook", "tests/fixtures/platform", "--env", "production")


def said(*words: str, inside: Path = ROOT) -> str:
    done = subprocess.run([DR, *words], cwd=inside, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return the folder that holds a copy of the platform outside git, so that no runbook names a commit."""
    shutil.copytree(ROOT / COMMAND[1], tmp_path / "platform")
    return tmp_path


def test_the_runbook_that_is_kept_is_up_to_date(copy: Path) -> None:
    made = said("runbook", "platform", *COMMAND[2:], inside=copy)
    if os.environ.get("DR_UPDATE_GOLDEN") == "1":
        KEPT.write_text(made)
    assert made == KEPT.read_text(), "runbooks/README.md says how to make it anew"


def test_the_runbook_that_is_kept_can_be_followed_every_file_is_there_and_every_folder_builds(copy: Path) -> None:
    commands = [c for step in steps(KEPT.read_text()) for block in step.commands for c in block.split("\n")]
    folder = copy / "platform"
    built = set()
    for words in map(shlex.split, commands):
        for option, place in pairwise(words):
            if option == "-f" and place != "-":
                assert (folder / place).is_file(), place
            if option == "-k":
                run = [KUBECTL, "kustomize", place]
                done = subprocess.run(run, cwd=folder, capture_output=True, check=False, timeout=60)
                assert done.returncode == 0, done.stderr
                built.add(place)
    assert len(built) == 8


def test_each_step_that_waits_for_people_says_what_to_do_before_the_units_begin() -> None:
    keys = [task["key"] for task in json.loads(said(*COMMAND, "-o", "json"))["before"]]
    assert [key.removeprefix("need ") for key in keys] == [
        "begin",
        "namespace",
        "engine",
        "sealing-key",
        "deploy-key",
        "registry",
        "load-balancer",
        "dns-name",
    ]


def test_a_program_can_read_the_runbook_too() -> None:
    found = json.loads(said(*COMMAND, "-o", "json"))
    titles = [task["title"] for part in ("before", "units", "after") for task in found[part]]
    assert titles == [step.title for step in steps(said(*COMMAND))]
    assert titles[-1] == "Verify the whole"


def test_an_environment_must_be_chosen_where_there_are_several() -> None:
    done = subprocess.run([DR, *COMMAND[:2]], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert "choose one: --env" in done.stderr
