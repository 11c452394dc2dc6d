"""A plan may be applied as it is: order respects edges, input order changes nothing, waves and critical path agree."""

from __future__ import annotations

import random as _random
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dr.core.graph import Source, build
from dr.core.model import Basis, Edge, Graph, Node, Origin, Ref, Strength, Where
from dr.core.plan import Plan, order
from dr.core.rules.order import APPLY_SECONDS, READY_SECONDS
from tests.core.build import graph, objects

_KINDS = ("ConfigMap", "Deployment", "CustomResourceDefinition", "Job")
_ORIGINS = (Origin.GIT, Origin.GIT, Origin.GIT, Origin.DERIVED, Origin.MISSING)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Draw an acyclic graph of git, derived and missing nodes."""
    count = draw(st.integers(1, 12))
    nodes = tuple(
        Node(
            Ref("v1", draw(st.sampled_from(_KINDS)), "ns", f"n{i}"),
            draw(st.sampled_from(_ORIGINS)),
            where=Where("f", i),
        )
        for i in range(count)
    )
    pairs = draw(
        st.sets(
            st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda p: p[0] < p[1]), max_size=20
        )
    )
    edges = tuple(
        Edge(a, b, draw(st.sampled_from(list(Strength))), Basis.REFERENCE, "r", "why", Where("f", 1))
        for a, b in sorted(pairs)
        if nodes[b].origin is not Origin.MISSING
    )
    return Graph((), (), nodes, edges, (), frozenset(), (), ())


@given(graphs())
def test_every_step_comes_after_all_it_needs(drawn: Graph) -> None:
    plan = order(drawn)
    place = {step.node: index for index, step in enumerate(plan.steps)}
    assert set(place) == {i for i, n in enumerate(drawn.nodes) if n.origin is Origin.GIT}
    for edge in drawn.edges:
        if edge.before in place and edge.after in place:
            assert place[edge.before] < place[edge.after]
            assert place[edge.before] in plan.steps[place[edge.after]].after
    assert all(before < index for index, step in enumerate(plan.steps) for before in step.after)


@given(graphs())
def test_waves_hold_every_step_once_and_after_the_waves_of_what_it_needs(drawn: Graph) -> None:
    plan = order(drawn)
    wave = {step: number for number, steps in enumerate(plan.waves) for step in steps}
    assert sorted(wave) == list(range(len(plan.steps)))
    assert all(wave[before] < wave[index] for index, step in enumerate(plan.steps) for before in step.after)


@given(graphs())
def test_who_needs_a_derived_object_waits_for_what_makes_it(drawn: Graph) -> None:
    plan = order(drawn)
    place = {step.node: index for index, step in enumerate(plan.steps)}
    for first in drawn.edges:
        for second in drawn.edges:
            if (
                first.after == second.before
                and drawn.nodes[first.after].origin is Origin.DERIVED
                and {first.before, second.after} <= set(place)
            ):
                step = plan.steps[place[second.after]]
                strength = step.strengths[step.after.index(place[first.before])]
                assert strength is Strength.READY or second.strength is Strength.SOFT


@given(graphs())
def test_the_critical_path_is_a_chain_that_adds_up_to_the_estimate(drawn: Graph) -> None:
    plan = order(drawn)
    links = plan.critical
    assert bool(links) == bool(plan.steps)
    for before, after in pairwise(links):
        assert before.step in plan.steps[after.step].after
        assert after.at <= before.at + before.took + 1e-6
    if links:
        assert abs(links[-1].at + links[-1].took - plan.estimate) < 1e-6
        assert (
            plan.estimate
            >= max(APPLY_SECONDS + READY_SECONDS.get(plan.node(i).ref.kind, 0) for i in range(len(plan.steps))) - 1e-6
        )


def _named(plan: Plan) -> Sequence[object]:
    return [(plan.node(i).ref, [plan.node(b).ref for b in s.after], s.strengths) for i, s in enumerate(plan.steps)]


TEXT = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, envFrom: [{secretRef: {name: s}}], args: ["api:80"]}]}}}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {selector: {app: api}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec: {template: {metadata: {labels: {app: api}}, spec: {containers: [{name: c, args: ["web:80"]}]}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: shop}
spec: {defaultBackend: {service: {name: web, port: {number: 80}}}, tls: [{secretName: nowhere}]}
"""


@given(st.integers(0, 10_000))
def test_the_order_of_the_files_changes_nothing(seed: int) -> None:
    found = list(objects(TEXT))
    _random.Random(seed).shuffle(found)
    shuffled = build(Source(tuple(found)))
    assert shuffled == build(Source(objects(TEXT)))
    assert _named(order(shuffled)) == _named(order(graph(TEXT)))


def test_kinds_go_in_their_usual_order_where_nothing_else_decides() -> None:
    kinds = [order(graph(TEXT)).node(i).ref.kind for i in range(7)]
    assert kinds[0] == "Namespace"
    assert kinds[-1] == "Ingress"
    assert kinds.index("Secret") < kinds.index("Service") < kinds.index("Deployment")


def test_a_soft_dependency_orders_but_delays_nothing() -> None:
    plan = order(graph(TEXT))
    assert plan.estimate < 2 * READY_SECONDS["Deployment"]


def test_a_team_can_state_how_long_its_kinds_take() -> None:
    assert order(graph(TEXT), {"Deployment": 300}).estimate > 300
