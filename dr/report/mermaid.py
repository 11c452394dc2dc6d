"""A graph as Mermaid flowchart text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dr.core.model import Graph, Origin, Strength
from dr.report.console import many
from dr.report.drawing import Box, Drawing, DrawingLevel, Link, draw
from dr.report.findings import safe

_ARROW = {Strength.EXISTS: "-->", Strength.READY: "==>", Strength.SOFT: "-.->"}
_CLASS = {Origin.GIT: "", Origin.DERIVED: ":::derived", Origin.MISSING: ":::missing"}
_STYLES = (
    "  classDef derived stroke-dasharray:4 3",
    "  classDef missing stroke:#c0392b,color:#c0392b",
)
_PLAIN = re.compile(r"[^\w .,/()@+=·→-]")


def mermaid(graph: Graph, level: DrawingLevel) -> str:
    """Return a graph as a Mermaid flowchart, by "units" or by "objects" (units are then subgraphs).

    Several edges between two boxes are one line with their count and the strongest one's reason.
    Up to 2,000 objects, a line is left out where a longer way at least as strong implies it
    (transitive reduction); above that and between units every line is drawn. Names may hold any
    character. Mermaid itself draws no more than its `maxEdges` (500) and `maxTextSize` allow.
    """
    drawing = draw(graph, level)
    links = [k for k in drawing.links if level == "units" or not k.implied]
    lines = ["flowchart LR"]
    lines.extend(_boxes(drawing) if level == "units" else _subgraphs(drawing))
    lines.extend(f"  n{k.before} {_arrow(k)}|{_quoted(_reason(k))}| n{k.after}" for k in links)
    lines.extend(_STYLES)
    if cut := [str(position) for position, link in enumerate(links) if link.cut]:
        lines.append(f"  linkStyle {','.join(cut)} stroke:#c0392b,stroke-dasharray:1 4")
    return "\n".join([*lines, ""])


def _boxes(drawing: Drawing) -> Iterator[str]:
    for index, box in enumerate(drawing.boxes):
        yield f"  {_box(index, box, box.note)}"


def _subgraphs(drawing: Drawing) -> Iterator[str]:
    for number, home in enumerate(drawing.homes):
        if home.members:
            yield f"  subgraph u{number}[{_quoted(home.title)}]"
            yield from (f"    {_box(index, drawing.boxes[index])}" for index in home.members)
            yield "  end"


def _box(index: int, box: Box, note: str = "") -> str:
    text = f"{box.title} · {note}" if note else box.title
    return f"n{index}[{_quoted(text)}]{_CLASS[box.origin]}"


def _arrow(link: Link) -> str:
    return "-.->" if link.cut else _ARROW[link.edge.strength]


def _reason(link: Link) -> str:
    return f"{many(link.count, 'edge')} · {link.edge.reason}" if link.count > 1 else link.edge.reason


def _quoted(text: str) -> str:
    """Return a Mermaid string: everything that Mermaid or HTML could read as syntax is a character code."""
    return '"{}"'.format(_PLAIN.sub(lambda found: f"#{ord(found[0])};", safe(text)) or " ")
