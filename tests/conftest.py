"""What every test may ask for: the corpus of real repos, and git repos made to order."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings

# What runs in the background of a shell ignores an interrupt, and so would all that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says more of the machine than of the code.
settings.register_profile("dr", deadline=None)
settings.load_profile("dr")

# Each commit is a file's content by path; None removes the file.
Commit = Mapping[str, str | bytes | None]
_FIRST = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Return the folder of real config repos; skip where there is none."""
    folder = Path(os.environ.get("DR_CORPUS") or Path(__file__).parents[2] / "shared/corpus")
    if not folder.is_dir():
        pytest.skip(f"no corpus at {folder}: DR_CORPUS names it")
    return folder


@pytest.fixture
def git_repo(tmp_path: Path) -> Callable[..., Path]:
    """Return a factory: each mapping of path to content is a commit, a day apart from 2026-01-01 on.

    With `bare=True` the repo has no work tree. Git's user and system configuration have no say.
    """
    numbers = count()

    def make(*commits: Commit, bare: bool = False) -> Path:
        repo = tmp_path / f"repo-{next(numbers)}"
        repo.mkdir()
        _git(repo, "init", "--quiet", "--initial-branch=main")
        for day, files in enumerate(commits):
            for path, content in files.items():
                _put(repo / path, content)
            when = (_FIRST + timedelta(days=day)).isoformat()
            _git(repo, "add", "--all")
            _git(repo, "commit", "--quiet", "--allow-empty", "--message", f"commit {day}", when=when)
        if not bare:
            return repo
        clone = tmp_path / f"{repo.name}.git"
        _git(tmp_path, "clone", "--quiet", "--bare", str(repo), str(clone))
        return clone

    return make


def _put(path: Path, content: str | bytes | None) -> None:
    if content is None:
        path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def _git(folder: Path, *arguments: str, when: str = "") -> None:
    person = {f"GIT_{role}_{field}": value for role in ("AUTHOR", "COMMITTER") for field, value in _PERSON.items()}
    dates = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when} if when else {}
    outside = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    subprocess.run(["git", *arguments], cwd=folder, check=True, env={**environment, **person, **dates, **outside})


_PERSON = {"NAME": "Ada", "EMAIL": "ada@example.com"}
