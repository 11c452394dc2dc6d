"""Answers the commands that only read: graph, plan, why, impact, lint."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from dr.app.answer import Answer
from dr.app.reading import load
from dr.core import query
from dr.core.model import Graph, Level
from dr.report import console, data


def graph(
    repos: Sequence[str], form: str, *, resources: bool, path: str, env: str, config: Path | None, max_file_size: int
) -> Answer:
    """Answer `dr graph`."""
    done = load(repos, path, env, config, max_file_size)
    level: Literal["objects", "units"] = "objects" if resources else "units"
    if form == "json":
        return Answer(content=data.encode(data.graph(done.graph)))
    if form == "text":
        shown = console.graph_resources(done.plan) if resources else console.graph_units(done.plan)
        return Answer(tuple(shown), notes=_notes(done.graph))
    from dr.report.dot import dot
    from dr.report.graph_html import html
    from dr.report.mermaid import mermaid

    if form == "html":
        return Answer(content=html(done.graph, console.pins(done.graph.pins)))
    return Answer(content=(dot if form == "dot" else mermaid)(done.graph, level).encode())


def plan(
    repos: Sequence[str], form: str, *, detail: bool, path: str, env: str, config: Path | None, max_file_size: int
) -> Answer:
    """Answer `dr plan`."""
    done = load(repos, path, env, config, max_file_size)
    if form == "json":
        return Answer(content=data.compact(data.plan(done.plan)))
    return Answer(tuple(console.plan_lines(done.plan, detail=detail)), notes=_notes(done.graph))


def why(
    repo: str,
    a: str,
    b: str,
    more: Sequence[str],
    form: str,
    *,
    limit: int,
    detail: bool,
    path: str,
    env: str,
    config: Path | None,
    max_file_size: int,
) -> Answer:
    """Answer `dr why`: the paths from A to B, or all around A."""
    graph = load((repo, *more), path, env, config, max_file_size).graph
    needed = query.find(graph, a)
    if b:
        found = query.paths(graph, needed, query.find(graph, b), limit)
        if form == "json":
            return Answer(content=data.encode(data.why(graph, found)))
        return Answer(tuple(console.why_lines(graph, found)))
    below, above = query.needs(graph, needed), query.impact(graph, needed)
    if form == "json":
        return Answer(
            content=data.encode(
                data.answer(graph, needs=data.reached(graph, below), neededBy=data.reached(graph, above))
            )
        )
    name = console.label(graph.nodes[needed[0]]) if len(needed) == 1 else a
    lines = (
        *console.reached_lines(graph, f"{name} needs {console.many(len(below), 'object')}", below, detail=detail),
        *console.reached_lines(
            graph, f"{name} is needed by {console.many(len(above), 'object')}", above, detail=detail
        ),
    )
    return Answer(lines)


def impact(
    repo: str,
    a: str,
    more: Sequence[str],
    form: str,
    *,
    detail: bool,
    path: str,
    env: str,
    config: Path | None,
    max_file_size: int,
) -> Answer:
    """Answer `dr impact`: what stops working if A is lost."""
    graph = load((repo, *more), path, env, config, max_file_size).graph
    found = query.impact(graph, query.find(graph, a))
    if form == "json":
        return Answer(content=data.encode(data.answer(graph, impact=data.reached(graph, found))))
    return Answer(
        tuple(console.reached_lines(graph, f"without {a}: {console.many(len(found), 'object')}", found, detail=detail))
    )


def lint(
    repos: Sequence[str],
    form: str,
    fail_on: str,
    *,
    detail: bool,
    path: str,
    env: str,
    config: Path | None,
    max_file_size: int,
) -> Answer:
    """Answer `dr lint`: the findings, and exit code 1 when one reaches `fail_on`."""
    from dr.report import findings
    from dr.report.junit import junit
    from dr.report.sarif import sarif

    graph = load(repos, path, env, config, max_file_size).graph
    level = None if fail_on == "never" else Level(fail_on)
    code = 1 if findings.fails(graph.diagnostics, level) else 0
    title = console.pins(graph.pins)
    if form == "text":
        lines = (
            *map(console.line, findings.as_text(graph.diagnostics, detail=detail)),
            console.line((findings.summary(graph.diagnostics), "bold")),
        )
        return Answer(lines, exit_code=code)
    content = {
        "json": lambda: data.encode(data.answer(graph, findings=[data.diagnostic(d) for d in graph.diagnostics])),
        "sarif": lambda: sarif(graph.diagnostics, graph.pins, version("dr-gameday")),
        "junit": lambda: junit(graph.diagnostics, level, title),
    }[form]()
    return Answer(content=content, exit_code=code)


def _notes(graph: Graph) -> tuple[str, ...]:
    errors = sum(1 for d in graph.diagnostics if d.level is Level.ERROR)
    warnings = sum(1 for d in graph.diagnostics if d.level is Level.WARNING)
    if not errors and not warnings:
        return ()
    found = f"{console.many(errors, 'error')} and {console.many(warnings, 'warning')}"
    where = graph.pins[0].location if graph.pins else "REPO"
    return (f"{found} against a cold restore: dr lint {where}",)
