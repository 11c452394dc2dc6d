"""Answers `dr gameday init`: asks what is to be exercised and writes a gameday file that says it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from dr.adapters.git import parse_spec
from dr.adapters.manifests import parse as parse_yaml
from dr.app import experiments
from dr.app.answer import Answer
from dr.app.places import target
from dr.app.restores import lock_of
from dr.core import gameday as gamedays
from dr.core.errors import UsageError
from dr.report.console import line
from dr.report.invitation import written

# Each question: its name for --set, what is asked, and the answer that is taken when none is given.
QUESTIONS = (
    ("title", "What is exercised, in a sentence?", "The whole cluster is gone"),
    ("experiment", "Which experiment (a file, or a name of `dr chaos list`)?", "cluster-removed"),
    ("target", "Which target (a context, local:NAME, or `create` for a throw-away cluster)?", "create"),
    ("lock", "Its lock (`dr lock TARGET`)?", ""),
    ("repo", "Which config repo (a path or URL, REPO@REV)?", "."),
    ("env", "Which of its environments?", ""),
    ("probe", "Which service must answer (namespace/name)?", ""),
    ("recovery", "Who recovers: observe, restore, runbook or snapshot?", ""),
    ("rto", "Recovered within (15m, 90s)?", "15m"),
    ("rpo", "At most so much data lost (empty: no canary)?", ""),
    ("owner", "Who leads the exercise?", ""),
)


def init(file: Path, given: Sequence[str], question: Callable[[str, str], str]) -> Answer:
    """Ask each question that `given` (NAME=VALUE) does not answer, and write the file.

    Raises UsageError when the file is there already, or the answers make no gameday.
    """
    if file.exists():
        raise UsageError(f"{file} is there already", "give another name; nothing was written")
    answers = {name: str(value) for name, value in experiments.settings(given).items()}
    known = {name for name, _, _ in QUESTIONS}
    if unknown := sorted(answers.keys() - known):
        raise UsageError(f"there is no question {', '.join(unknown)}", f"there are {', '.join(sorted(known))}")
    for name, prompt, default in QUESTIONS:
        if name not in answers and not (name == "lock" and answers.get("target") == "create"):
            answers[name] = question(prompt, _default(name, default, answers))
    content = written(
        {**answers, **_repo(answers["repo"], file.parent)}, experiments.load(answers["experiment"], {}).says
    )
    found, wrong = gamedays.parse(parse_yaml(content.encode()).documents[0], str(file))
    if found is None:
        said = "\n    ".join(f"{d.subject}: {d.cause}" for d in wrong)
        raise UsageError(f"these answers make no gameday\n    {said}", "answer otherwise; nothing was written")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    return Answer((line("wrote ", (str(file), "bold"), f"; next: dr gameday run {file} --dry-run"),))


def _repo(said: str, beside: Path) -> dict[str, str]:
    """Return a repo and its revision as the file names them: a path is relative to the file, not to where we are."""
    spec = parse_spec(said, lambda place: Path(place).exists())
    there = bool(spec.location) and Path(spec.location).exists()
    return {"repo": os.path.relpath(spec.location, beside) if there else spec.location, "rev": spec.rev}


def _default(name: str, default: str, answers: dict[str, str]) -> str:
    """Return what is offered: what the experiment itself says, and the lock of the target that was named."""
    if name == "recovery":
        says = experiments.load(answers["experiment"], {}).says
        return says.recovery.by if says else "observe"
    if name == "lock":
        return _lock(answers["target"])
    return default


def _lock(to: str) -> str:
    import asyncio

    from dr.adapters.kube import Kube
    from dr.core.errors import DrError

    async def ask() -> str:
        async with Kube(target(to)) as cluster:
            return lock_of(await cluster.identity())

    try:
        return asyncio.run(ask())
    except DrError:
        return ""
