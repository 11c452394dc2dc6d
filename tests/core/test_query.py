"""A person's question finds the object meant, every path, and all that stops with it."""

from __future__ import annotations

import pytest
from hypothesis import given

from dr.core.errors import NotFound
from dr.core.model import Graph, Strength
from dr.core.query import find, impact, needs, paths
from tests.core.build import graph, name
from tests.core.test_plan import TEXT, graphs


@pytest.mark.parametrize(
    "asked", ["Secret/shop/s", "secret/shop/s", "Secret/s", "shop/s", "s", "Secret shop/s", "Secret s"]
)
def test_every_usual_way_to_name_an_object_finds_it(asked: str) -> None:
    done = graph(TEXT)
    assert [name(done, i) for i in find(done, asked)] == ["Secret shop/s"]


def test_a_unit_stands_for_all_its_objects() -> None:
    assert len(find(graph(TEXT), "unit")) == 7


def test_a_name_of_several_objects_is_refused_with_the_choices() -> None:
    with pytest.raises(
        NotFound, match="may be any of 3 objects: Deployment/shop/web, Ingress/shop/web, Service/shop/web"
    ):
        find(graph(TEXT), "web")


def test_a_misspelt_name_gets_a_suggestion() -> None:
    with pytest.raises(NotFound) as caught:
        find(graph(TEXT), "Deployment/shop/appi")
    assert "Deployment/shop/api" in caught.value.remedy or "Service/shop/api" in caught.value.remedy


def test_a_path_names_every_edge_on_the_way() -> None:
    done = graph(TEXT)
    found = paths(done, find(done, "Namespace/shop"), find(done, "Ingress/shop/web"), 50)
    walks = {tuple(name(done, e.before) for e in path) for path in found.shown}
    assert ("Namespace shop",) in walks
    assert ("Namespace shop", "Service shop/web") in walks
    assert found.total == len(found.shown)


def test_the_number_of_paths_is_exact_even_where_not_all_are_shown() -> None:
    layers = 12
    parts = []
    for layer in range(layers):
        for side in "ab":
            after = ", ".join(f"/namespaces/default/ConfigMap/{s}{layer - 1}" for s in "ab") if layer else ""
            note = f'annotations: {{dr.dev/depends-on: "{after}"}}' if after else ""
            parts.append(
                f"{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {side}{layer}, namespace: default, {note}}}}}"
            )
    done = graph("\n---\n".join(parts))
    found = paths(done, find(done, "a0"), find(done, f"a{layers - 1}"), 5)
    assert found.total == 2 ** (layers - 2)
    assert len(found.shown) == 5


@given(graphs())
def test_paths_exist_exactly_to_what_impact_reaches(drawn: Graph) -> None:
    reached = {r.node for r in impact(drawn, [0])}
    for node in range(1, len(drawn.nodes)):
        assert bool(paths(drawn, [0], [node], 3).total) == (node in reached)
        assert (0 in {r.node for r in needs(drawn, [node])}) == (node in reached)


@given(graphs())
def test_losing_an_object_is_hard_exactly_along_hard_edges(drawn: Graph) -> None:
    hard = {r.node for r in impact(drawn, [0]) if r.hard}
    seen, stack = set(), [0]
    while stack:
        node = stack.pop()
        for edge in drawn.edges:
            if edge.before == node and edge.strength is not Strength.SOFT and edge.after not in seen:
                seen.add(edge.after)
                stack.append(edge.after)
    assert hard == seen - {0}
