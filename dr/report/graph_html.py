"""A graph as one HTML page that needs no network, and no JavaScript to be read."""

from __future__ import annotations

from base64 import b64encode
from collections import defaultdict
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Any

import msgspec
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from msgspec import Struct

from dr.core.model import LEVELS, Basis, Edge, Graph, Level, Node, Origin, Strength, Where
from dr.report.console import label, many
from dr.report.drawing import Box, Drawing, draw
from dr.report.findings import safe

Row = list[int]
_STRENGTHS, _BASES, _ORIGINS = tuple(Strength), tuple(Basis), tuple(Origin)
_CUT, _IMPLIED = 1, 2
# What could end the element that holds the data, or a line of script in an old browser.
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


class Need(Struct, frozen=True):
    """A line of the list: what an object needs, why, and where that is proven."""

    edge: Edge
    node: Node
    cut: bool
    proof: str


def html(graph: Graph, title: str, *, judged: bool = True) -> bytes:
    """Return a graph as one HTML file with everything in it.

    Without `judged` it is a run's plan, of which nothing is said whether it comes back.
    The page lists units, objects, what each needs with reason and file:line, findings and
    prerequisites; a script adds the drawing. Its Content-Security-Policy allows the page's own
    style and script by hash and nothing else, so it can send and load nothing.
    """
    assets = files("dr.report") / "assets"
    style, *scripts = ((assets / name).read_text("utf-8") for name in ("graph.css", "layout.js", "graph.js"))
    script = "".join(scripts)
    units, objects = draw(graph, "units"), draw(graph, "objects")
    needs: dict[int, list[Need]] = defaultdict(list)
    for edge in graph.edges:
        needs[edge.after].append(Need(edge, graph.nodes[edge.before], edge in graph.cuts, _proof(edge, graph)))
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, finalize=printable
    )
    page = environment.from_string((assets / "graph.html.j2").read_text("utf-8")).render(
        title=title,
        graph=graph,
        units=units.boxes,
        needs=needs,
        findings=sorted(graph.diagnostics, key=lambda d: (-LEVELS.index(d.level), d)),
        index={str(node.ref): i for i, node in reversed(list(enumerate(graph.nodes)))},
        judged=judged,
        comes_back=comes_back(graph),
        verdict=verdict(graph),
        many=many,
        label=label,
        depth=max((box.depth for box in objects.boxes), default=-1) + 1,
        data=Markup(_data(graph, units, objects)),  # noqa: S704 - escaped by _ESCAPES
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        style_hash=hashed(style),
        script_hash=hashed(script),
    )
    return page.encode()


def comes_back(graph: Graph) -> bool:
    """Return whether a repo comes back from nothing: no deadlock and no finding that is an error."""
    return not any(c.deadlock for c in graph.cycles) and all(d.level is not Level.ERROR for d in graph.diagnostics)


def verdict(graph: Graph) -> str:
    """Return what else there is to say in one sentence about whether a repo comes back."""
    deadlocks = sum(1 for cycle in graph.cycles if cycle.deadlock)
    errors = sum(1 for d in graph.diagnostics if d.level is Level.ERROR)
    parts = [many(deadlocks, "deadlock")] if deadlocks else []
    parts.append(many(len(graph.diagnostics), "finding") + (f", {many(errors, 'error')} among them" if errors else ""))
    if graph.prerequisites:
        parts.append(
            f"{many(len(graph.prerequisites), 'thing')} needed that {_are(len(graph.prerequisites))} not in git"
        )
    return " · ".join(parts)


def _proof(edge: Edge, graph: Graph) -> str:
    """Return file:line without the folders where the object's own file, which stands beside it, is meant."""
    own, where = graph.nodes[edge.after].where, edge.where
    same = own is not None and (own.repo, own.file) == (where.repo, where.file)
    return str(Where(where.file.rpartition("/")[2], where.line)) if same else str(where)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def printable(value: Any) -> Any:
    """Return text without what a terminal or a browser would act on, as jinja2's `finalize`."""
    return safe(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def hashed(text: str) -> str:
    """Return the source by which a Content-Security-Policy allows just this style or script."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


class _Strings:
    """Gives every text a number, so that each is written once."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        return self.known.setdefault(safe(text), len(self.known))


def _data(graph: Graph, units: Drawing, objects: Drawing) -> str:
    """Return the data of the drawing as JSON that may stand in a script element.

    A box is [kind, namespace, name, note, file, unit, origin, depth, line, objects]; a link is
    [before, after, rule, reason, file, strength, basis, line, flags, edges]. Words are numbers of `texts`.
    """
    text = _Strings()
    spare = {(k.before, k.after) for k in objects.links if k.implied}
    edges = [
        _link(text, e.before, e.after, e, _CUT if e in graph.cuts else _IMPLIED * ((e.before, e.after) in spare), 1)
        for e in graph.edges
    ]
    sums = [_link(text, k.before, k.after, k.edge, _CUT * k.cut + _IMPLIED * k.implied, k.count) for k in units.links]
    paths = {unit.name: (unit.kind, unit.path) for unit in graph.units}
    content = {
        "units": {"boxes": [_unit(text, box, paths) for box in units.boxes], "links": sums},
        "objects": {"boxes": [_object(text, graph, box) for box in objects.boxes], "links": edges},
        "words": {"strength": _STRENGTHS, "basis": _BASES, "origin": _ORIGINS},
        "texts": list(text.known),
    }
    return msgspec.json.encode(content).decode().translate(_ESCAPES)


def _unit(text: _Strings, box: Box, paths: Mapping[str, tuple[str, str]]) -> Row:
    kind, path = paths.get(box.title, ("", ""))
    return [*map(text, (kind, "", box.title, box.note, path)), *_numbers(box), 0, len(box.members)]


def _object(text: _Strings, graph: Graph, box: Box) -> Row:
    node = graph.nodes[box.members[0]]
    ref, where = node.ref, node.where or Where("")
    note = f"{ref.api_version} [{node.env}]" if node.env else ref.api_version
    return [*map(text, (ref.kind, ref.namespace, ref.name, note, _file(where))), *_numbers(box), where.line, 1]


def _numbers(box: Box) -> Row:
    return [box.home, _ORIGINS.index(box.origin), box.depth]


def _link(text: _Strings, before: int, after: int, edge: Edge, flags: int, count: int) -> Row:
    words = map(text, (edge.rule, edge.reason, _file(edge.where)))
    kinds = (_STRENGTHS.index(edge.strength), _BASES.index(edge.basis))
    return [before, after, *words, *kinds, edge.where.line, flags, count]


def _file(where: Where) -> str:
    return str(Where(where.file, 0, where.repo))
