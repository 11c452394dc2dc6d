"""Answers `dr forklift runbook`: the move for people, the restore order in the middle of it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from dr.app.answer import Answer
from dr.app.forklifts import Options, located
from dr.app.forklifts import described as read
from dr.app.reading import load
from dr.core.hostnames import hostnames
from dr.core.moving_byhand import after, before
from dr.core.runbook import runbook as made
from dr.report import data
from dr.report.runbook_markdown import markdown


def runbook(what: Sequence[str], options: Options, form: str) -> Answer:
    """Answer `dr forklift runbook`; neither cluster is asked for anything."""
    move, _, _, folder = read(what, options)
    place = move.repos[0]
    loaded = load([located(repo, folder) for repo in move.repos], place.path, options.env or place.env, None, 32)
    book = made(loaded.graph, loaded.plan, hostnames(loaded.source.resources))
    book = replace(
        book,
        title=move.title,
        before=(*before(move), *book.before),
        after=(*book.after, *after(move, loaded.plan)),
    )
    if form == "json":
        rows = [{"title": t.title, "notes": t.notes, "commands": [b.commands for b in t.blocks]} for t in book.tasks]
        return Answer(content=data.encode({"schema": 1, "title": book.title, "tasks": rows}))
    return Answer(content=markdown(book, loaded.graph.pins))
