"""A graph as Graphviz text."""

from __future__ import annotations

from collections.abc import Iterator

from dr.core.model import Graph, Origin, Strength
from dr.report.console import label, many, pins
from dr.report.drawing import Drawing, DrawingLevel, Link, draw
from dr.report.findings import safe

_HEAD = (
    '  rankdir=LR; newrank=true; ranksep=0.9; nodesep=0.15; charset="UTF-8";',
    '  graph [fontname="Helvetica", fontsize=11, color="#c4cad3", fontcolor="#444b57"];',
    '  node [shape=box, style="filled", fillcolor="#f7f8fa", color="#5b6573", fontname="Helvetica", fontsize=10];',
    '  edge [color="#7a8594", fontname="Helvetica", fontsize=8, fontcolor="#5b6573", arrowsize=0.6];',
)
_BOX = {
    Origin.GIT: "",
    Origin.DERIVED: ', style="filled,dashed"',
    Origin.MISSING: ', color="#c0392b", fontcolor="#c0392b"',
}
_LINE = {Strength.EXISTS: "style=solid", Strength.READY: "style=bold", Strength.SOFT: "style=dashed"}
_CUT = 'style=dotted, color="#c0392b", constraint=false'


def dot(graph: Graph, level: DrawingLevel) -> str:
    """Return a graph in the DOT language, by "units" or by "objects" (units are then clusters).

    Several edges between two boxes are one line with their count and the strongest one's reason.
    Up to 2,000 objects, a line is left out where a longer way at least as strong implies it
    (transitive reduction); above that and between units every line is drawn. Names may hold any character.
    """
    drawing = draw(graph, level)
    lines = [f"digraph {_quoted(pins(graph.pins) or 'graph')} {{", *_HEAD]
    lines.extend(_boxes(drawing) if level == "units" else _clusters(drawing))
    lines.extend(
        f"  n{k.before} -> n{k.after} [{_line(graph, k, level)}];"
        for k in drawing.links
        if level == "units" or not k.implied
    )
    return "\n".join([*lines, "}", ""])


def _boxes(drawing: Drawing) -> Iterator[str]:
    for index, box in enumerate(drawing.boxes):
        yield f"  n{index} [label={_quoted(box.title, box.note)}{_BOX[box.origin]}];"


def _clusters(drawing: Drawing) -> Iterator[str]:
    for number, home in enumerate(drawing.homes):
        yield f"  subgraph cluster_{number} {{"
        yield f"    label={_quoted(home.title, home.note)};"
        for index in home.members:
            box = drawing.boxes[index]
            yield f"    n{index} [label={_quoted(box.title)}{_BOX[box.origin]}];"
        yield "  }"


def _line(graph: Graph, link: Link, level: DrawingLevel) -> str:
    edge = link.edge
    reason = f"{many(link.count, 'edge')}: {edge.reason}" if link.count > 1 else edge.reason
    proof = f"{label(graph.nodes[edge.after])} {edge.reason} ({edge.where})"
    shown = f"label={_quoted(reason)}, " if level == "units" else ""
    return f"{shown}tooltip={_quoted(proof)}, {_CUT if link.cut else _LINE[edge.strength]}"


def _quoted(*rows: str) -> str:
    """Return a DOT string: Graphviz reads backslash escapes and HTML entities in a label, so both are escaped."""
    texts = (safe(row).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"') for row in rows)
    return '"{}"'.format("\\n".join(texts))
