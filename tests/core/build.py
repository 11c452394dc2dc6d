"""Builds small graphs for tests: YAML text in, edges by name out."""

from __future__ import annotations

from textwrap import dedent

from dr.adapters.manifests import parse
from dr.core.config import Config
from dr.core.graph import Source, build
from dr.core.layout import Deployment
from dr.core.model import Edge, Graph, Resource, Unit, Where
from dr.core.objects import resources


def objects(text: str, *, unit: str = "unit", env: str = "", file: str = "all.yaml") -> tuple[Resource, ...]:
    """Return the objects in YAML text as one unit deploys them."""
    documents = parse(dedent(text).encode()).documents
    deployment = Deployment(Unit(unit, "folder", "", env))
    found = resources(deployment, ((Where(file, d.line), d) for d in documents), {})
    return tuple(item for item in found if isinstance(item, Resource))


def graph(text: str, config: Config | None = None) -> Graph:
    """Return the graph of YAML text."""
    return build(Source(objects(text)), config)


def name(graph: Graph, index: int) -> str:
    """Return a node as `Kind namespace/name`."""
    return str(graph.nodes[index].ref)


def edges(graph: Graph, rule: str = "") -> set[tuple[str, str, str]]:
    """Return (before, after, strength) of the edges, of one rule if given."""
    return {
        (name(graph, e.before), name(graph, e.after), str(e.strength))
        for e in graph.edges
        if not rule or e.rule == rule
    }


def between(graph: Graph, before: str, after: str) -> list[Edge]:
    """Return the edges between two objects by name."""
    return [e for e in graph.edges if name(graph, e.before) == before and name(graph, e.after) == after]


def codes(graph: Graph) -> set[str]:
    """Return the codes of all findings."""
    return {d.code for d in graph.diagnostics}
