"""Graph, plan and answers as plain data for JSON: stable names, stable order, schemas in dr/schemas."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from dr.core.model import Cycle, Diagnostic, Edge, Graph, Node, Pin, Prerequisite, Ref, Where
from dr.core.plan import Plan
from dr.core.query import Paths, Reached

SCHEMA_VERSION = 1
Data = dict[str, Any]


def encode(data: Any) -> bytes:
    """Return JSON, indented for people and diffs, ending in a newline."""
    return msgspec.json.format(msgspec.json.encode(data), indent=1) + b"\n"


def compact(data: Any) -> bytes:
    """Return JSON on one line, ending in a newline."""
    return msgspec.json.encode(data) + b"\n"


def ref(value: Ref) -> Data:
    """Return an object's identity."""
    return {"apiVersion": value.api_version, "kind": value.kind, "namespace": value.namespace, "name": value.name}


def place(value: Where | None) -> Data:
    """Return a place as `file` and `line`, and `repo` where several were read."""
    if value is None:
        return {"file": "", "line": 0}
    return {"file": value.file, "line": value.line, **({"repo": value.repo} if value.repo else {})}


def pin(value: Pin) -> Data:
    """Return a repo as it was read."""
    return {
        "name": value.name,
        "location": value.location,
        "commit": value.commit,
        "time": value.time,
        "dirty": value.dirty,
    }


def _head(pins: Iterable[Pin]) -> Data:
    repos = [pin(p) for p in pins]
    first = repos[0] if repos else {"location": "", "commit": ""}
    return {"schemaVersion": SCHEMA_VERSION, "repo": first["location"], "commit": first["commit"], "repos": repos}


def node(value: Node) -> Data:
    """Return a node of the graph."""
    return {"ref": ref(value.ref), "origin": value.origin, "unit": value.unit, "env": value.env, **place(value.where)}


def edge(value: Edge) -> Data:
    """Return an edge with its reason and the line that proves it."""
    return {
        "before": value.before,
        "after": value.after,
        "strength": value.strength,
        "basis": value.basis,
        "rule": value.rule,
        "reason": value.reason,
        **place(value.where),
    }


def diagnostic(value: Diagnostic) -> Data:
    """Return a finding."""
    return {
        "code": value.code,
        "level": value.level,
        "subject": value.subject,
        "cause": value.cause,
        "remedy": value.remedy,
        **place(value.where),
    }


def prerequisite(value: Prerequisite) -> Data:
    """Return something that a restore needs from outside git."""
    return {
        "kind": value.kind,
        "name": value.name,
        "reason": value.reason,
        "remedy": value.remedy,
        "count": value.count,
        "neededBy": list(value.needed_by),
        **place(value.where),
    }


def cycle(value: Cycle) -> Data:
    """Return a cycle, by node indices of the graph."""
    return {
        "deadlock": value.deadlock,
        "proven": value.proven,
        "edges": [edge(e) for e in value.edges],
        "cut": [edge(e) for e in value.cut],
    }


def graph(value: Graph) -> Data:
    """Return the whole graph; `cut` marks the edges left out to break cycles."""
    return {
        **_head(value.pins),
        "units": [
            {
                "name": u.name,
                "kind": u.kind,
                "path": u.path,
                "env": u.env,
                **({"artifact": u.artifact} if u.artifact else {}),
            }
            for u in value.units
        ],
        "nodes": [node(n) for n in value.nodes],
        "edges": [{**edge(e), **({"cut": True} if e in value.cuts else {})} for e in value.edges],
        "cycles": [cycle(c) for c in value.cycles],
        "prerequisites": [prerequisite(p) for p in value.prerequisites],
        "diagnostics": [diagnostic(d) for d in value.diagnostics],
    }


def plan(value: Plan) -> Data:
    """Return a plan; indices in `after`, `waves` and `criticalPath` are of `steps`.

    The steps of a cycle are named by reference, since derived and missing objects are no steps.
    """
    nodes = value.graph.nodes
    artifacts = {unit.name: unit.artifact for unit in value.graph.units if unit.artifact}
    commits = {p.name: p.commit for p in value.pins}
    single = value.pins[0].commit if len(value.pins) == 1 else ""

    def step(index: int) -> Data:
        entry = nodes[value.steps[index].node]
        known: Data = {"ref": ref(entry.ref), **place(entry.where), "unit": entry.unit}
        if entry.env:
            known["env"] = entry.env
        if len(value.pins) > 1 and entry.where:
            known["commit"] = commits.get(entry.where.repo, single)
        if artifact := artifacts.get(entry.unit):
            known["artifact"] = artifact
        return {**known, "after": list(value.steps[index].after), "strength": list(value.steps[index].strengths)}

    def named(entry: Edge) -> Data:
        found = edge(entry)
        return {**found, "before": ref(nodes[entry.before].ref), "after": ref(nodes[entry.after].ref)}

    return {
        **_head(value.pins),
        "steps": [step(index) for index in range(len(value.steps))],
        "waves": [list(wave) for wave in value.waves],
        "criticalPath": [{"step": link.step, "at": link.at, "took": link.took} for link in value.critical],
        "estimateSeconds": value.estimate,
        "prerequisites": [prerequisite(p) for p in value.prerequisites],
        "diagnostics": [diagnostic(d) for d in value.diagnostics],
        "cycles": [
            {
                "deadlock": c.deadlock,
                "proven": c.proven,
                "edges": [named(e) for e in c.edges],
                "cut": [named(e) for e in c.cut],
            }
            for c in value.cycles
        ],
    }


def why(value: Graph, found: Paths) -> Data:
    """Return the paths between two objects."""

    def named(entry: Edge) -> Data:
        return {**edge(entry), "before": ref(value.nodes[entry.before].ref), "after": ref(value.nodes[entry.after].ref)}

    return {**_head(value.pins), "total": found.total, "paths": [[named(e) for e in path] for path in found.shown]}


def reached(value: Graph, found: Iterable[Reached]) -> list[Data]:
    """Return what a walk reached, nearest first."""
    return [
        {
            **node(value.nodes[r.node]),
            "distance": r.distance,
            "hard": r.hard,
            "reason": r.edge.reason,
            "strength": r.edge.strength,
            "proof": place(r.edge.where),
        }
        for r in found
    ]


def answer(value: Graph, **parts: Any) -> Data:
    """Return an answer with the head that every JSON output carries."""
    return {**_head(value.pins), **parts}
