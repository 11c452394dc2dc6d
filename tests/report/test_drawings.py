from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.core.model import Basis, Edge, Graph, Node, Origin, Ref, Strength, Unit, Where
from dr.report.dot import dot
from dr.report.drawing import DrawingLevel, draw
from dr.report.mermaid import mermaid
from tests.report.sample import HOSTILE, hostile, layered, small

GOLDEN = Path(__file__).parent / "golden"
DRAWINGS = {"dot": dot, "mermaid": mermaid}
LEVELS: tuple[DrawingLevel, ...] = ("units", "objects")
_STRING = r'"(?:[^"\\]|\\.)*"'
_LABEL = r'"[^"`<>&;|\[\]{}\\]*(?:#\d+;[^"`<>&;|\[\]{}\\]*)*"'
_FORMS_OF_LINES = {
    "dot": (
        rf"digraph {_STRING} \{{",
        r"  rankdir=LR.*;|  (graph|node|edge) \[.*\];",
        r"  subgraph cluster_\d+ \{",
        rf"    label={_STRING};",
        r" *\}",
        rf" *n\d+ \[label={_STRING}(, \w+={_STRING})*\];",
        rf"  n\d+ -> n\d+ \[((label|tooltip)={_STRING}, )+style=\w+(, color={_STRING}, constraint=false)?\];",
    ),
    "mermaid": (
        "flowchart LR",
        rf"  subgraph u\d+\[{_LABEL}\]",
        "  end",
        rf" *n\d+\[{_LABEL}\](:::\w+)?",
        rf"  n\d+ (-->|==>|-\.->)\|{_LABEL}\| n\d+",
        r"  classDef [\w :,#-]+",
        r"  linkStyle [\d,]+ [\w :,#-]+",
    ),
}
_FORMS = {form: re.compile("|".join(lines)) for form, lines in _FORMS_OF_LINES.items()}


def golden(name: str, content: str) -> str:
    """Return what was agreed on; with DR_UPDATE_GOLDEN=1 the content becomes it."""
    file = GOLDEN / name
    if os.environ.get("DR_UPDATE_GOLDEN") == "1":
        file.write_text(content, "utf-8")
    return file.read_text("utf-8")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("form", DRAWINGS)
def test_the_drawing_of_a_small_graph_is_as_agreed(form: str, level: DrawingLevel) -> None:
    content = DRAWINGS[form](small(), level)
    assert content == golden(f"{level}.{form}", content)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("form", DRAWINGS)
@pytest.mark.parametrize("graph", [small(), hostile(), layered(60, 150)], ids=["small", "hostile", "layered"])
def test_no_name_leaves_its_string(form: str, level: DrawingLevel, graph: Graph) -> None:
    assert [line for line in DRAWINGS[form](graph, level).splitlines() if not _FORMS[form].fullmatch(line)] == []


@pytest.mark.parametrize("form", DRAWINGS)
@given(
    name=st.text(alphabet=st.characters(), max_size=12),
    unit=st.text(st.sampled_from(HOSTILE + "ä\udc80"), min_size=1, max_size=9),
)
def test_any_name_can_be_drawn_and_written_as_utf_8(form: str, name: str, unit: str) -> None:
    where = Where(name, 1)
    nodes = tuple(Node(Ref("v1", "Secret", "", f"{name}{i}"), Origin.GIT, unit, "", where) for i in (0, 1))
    edge = Edge(0, 1, Strength.SOFT, Basis.INFERRED, "rule", name, where)
    graph = Graph((), (Unit(unit, "folder", unit),), nodes, (edge,), (), frozenset(), (), ())
    for level in LEVELS:
        text = DRAWINGS[form](graph, level)
        assert text.encode()
        assert all(_FORMS[form].fullmatch(line) for line in text.split("\n") if line)


@pytest.mark.parametrize("form", DRAWINGS)
def test_an_empty_repo_has_an_empty_drawing(form: str) -> None:
    graph = Graph((), (), (), (), (), frozenset(), (), ())
    assert all(" n0" not in DRAWINGS[form](graph, level) for level in LEVELS)


def test_the_same_graph_gives_the_same_text_each_time() -> None:
    for form in DRAWINGS.values():
        assert form(layered(80, 200), "objects") == form(layered(80, 200), "objects")


def test_what_a_longer_way_says_is_not_drawn_twice() -> None:
    assert "n2 -> n3" in (text := dot(small(), "objects"))
    assert "n3 -> n4" in text
    assert "n2 -> n4" not in text


def test_a_cut_edge_is_red_and_dotted_and_never_left_out() -> None:
    (cut,) = small().cuts
    line = next(x for x in dot(small(), "objects").splitlines() if f"n{cut.before} -> n{cut.after} " in x)
    assert 'style=dotted, color="#c0392b"' in line
    assert "stroke:#c0392b,stroke-dasharray" in mermaid(small(), "objects").splitlines()[-1]


def test_edges_between_units_are_one_line_with_their_count_and_strongest_reason() -> None:
    lines = [line for line in dot(small(), "units").splitlines() if " -> " in line]
    assert any('label="3 edges: is served by the controller of"' in line and "style=bold" in line for line in lines)


def test_units_that_need_each_other_are_still_drawn() -> None:
    nodes = tuple(
        Node(Ref("v1", "Service", "", n), Origin.GIT, n[0], "", Where("a", 1)) for n in ("a1", "b1", "b2", "a2")
    )
    edges = (
        Edge(0, 1, Strength.READY, Basis.REFERENCE, "r", "x", Where("a", 1)),
        Edge(2, 3, Strength.READY, Basis.REFERENCE, "r", "x", Where("a", 2)),
    )
    units = (Unit("a", "folder", "a"), Unit("b", "folder", "b"))
    drawing = draw(Graph((), units, nodes, edges, (), frozenset(), (), ()), "units")
    assert [(k.before, k.after) for k in drawing.links] == [(0, 1), (1, 0)]
    assert sorted(box.depth for box in drawing.boxes) == [0, 1]
