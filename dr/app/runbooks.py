"""Answers `dr runbook`: the restore order for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dr.app.answer import Answer
from dr.app.reading import load
from dr.core.byhand import Task
from dr.core.errors import UsageError
from dr.core.hostnames import hostnames
from dr.core.runbook import Runbook
from dr.core.runbook import runbook as made
from dr.report import console, data
from dr.report.runbook_markdown import markdown


def runbook(repos: Sequence[str], form: str, reading: Mapping[str, Any]) -> Answer:
    """Answer `dr runbook`: as Markdown, which is also the text, or as JSON.

    `reading`: path, env, config and max_file_size, as `load` takes them. Raises UsageError where the repos hold several
    environments and none was chosen, and what `load` raises.
    """
    loaded = load(repos, **reading)
    plan = loaded.plan
    envs = sorted({plan.node(index).env for index in range(len(plan.steps))} - {""})
    if len(envs) > 1:
        raise UsageError(f"this repo holds {', '.join(envs)}", f"choose one: --env {envs[0]}")
    book = made(loaded.graph, plan, hostnames(loaded.source.resources))
    if form == "json":
        return Answer(content=data.encode(data.answer(loaded.graph, **_data(book))))
    notes = tuple(
        f"{console.many(len(book.troubles), 'known trouble')}: see the end of the runbook" for _ in book.troubles[:1]
    )
    return Answer(content=markdown(book, loaded.graph.pins), notes=notes)


def _data(book: Runbook) -> dict[str, Any]:
    def task(value: Task) -> dict[str, Any]:
        return {
            "key": value.key,
            "title": value.title,
            "notes": list(value.notes),
            "blocks": [{"says": block.says, "commands": list(block.commands)} for block in value.blocks],
        }

    return {
        "title": book.title,
        "before": [task(value) for value in book.before],
        "units": [task(value) for value in book.units],
        "after": [task(value) for value in book.after],
        "troubles": [{"title": trouble.title, "notes": list(trouble.notes)} for trouble in book.troubles],
    }
