"""Graphs for the tests of drawings: a small hand-made one with everything in it, a hostile one, and large ones."""

from __future__ import annotations

import random

from dr.core.cycles import resolve
from dr.core.model import (
    Basis,
    Diagnostic,
    Edge,
    Graph,
    Level,
    Node,
    Origin,
    Pin,
    Prerequisite,
    Ref,
    Strength,
    Unit,
    Where,
)

HOSTILE = '</script><img src=x onerror="window.broken=1"><!--\u2028]"\'`\n\\N&amp;#35;|{'


def small() -> Graph:
    """Return a graph with each strength and origin, a cut cycle, an implied edge, findings and a prerequisite."""
    ready, exists, soft = Strength.READY, Strength.EXISTS, Strength.SOFT
    nodes = (
        _node("Namespace", "", "shop", "platform", 1),
        _node("HelmRelease", "kube-system", "sealed-secrets", "platform", 12),
        _node("SealedSecret", "shop", "db", "shop", 3),
        Node(Ref("v1", "Secret", "shop", "db"), Origin.DERIVED, "shop"),
        _node("Deployment", "shop", "web", "shop", 20),
        _node("Deployment", "shop", "cart", "shop", 60),
        Node(Ref("storage.k8s.io/v1", "StorageClass", "", "fast"), Origin.MISSING),
    )
    edges = tuple(
        sorted(
            (
                _edge(0, 2, exists, "lives in Namespace", 4),
                _edge(0, 4, exists, "lives in Namespace", 21),
                _edge(1, 2, ready, "is served by the controller of", 3, Basis.INFERRED),
                _edge(2, 3, ready, "sealed-secrets unseals it", 3),
                _edge(3, 4, exists, "environment from Secret", 31),
                _edge(2, 4, exists, "comes after, as dr.dev/depends-on says", 22, Basis.DECLARED),
                _edge(4, 5, soft, "calls at run time", 66, Basis.INFERRED),
                _edge(5, 4, soft, "calls at run time", 33, Basis.INFERRED),
                _edge(6, 4, exists, "claims StorageClass", 40),
            )
        )
    )
    return _graph(nodes, edges)


def hostile() -> Graph:
    """Return a graph whose every text tries to break out of where it is written."""
    where = Where(HOSTILE, 1, HOSTILE)
    nodes = tuple(
        Node(Ref(HOSTILE, HOSTILE, HOSTILE, f"{HOSTILE}{i}"), Origin.GIT, HOSTILE, HOSTILE, where) for i in (1, 2)
    )
    edge = Edge(0, 1, Strength.READY, Basis.REFERENCE, HOSTILE, HOSTILE, where)
    return Graph(
        (Pin(HOSTILE, HOSTILE, HOSTILE, HOSTILE, dirty=True),),
        (Unit(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE),),
        nodes,
        (edge,),
        (),
        frozenset(),
        (Prerequisite(HOSTILE, HOSTILE, HOSTILE, HOSTILE, 2, (HOSTILE,), where),),
        (Diagnostic(where, HOSTILE, Level.ERROR, HOSTILE, HOSTILE, HOSTILE),),
    )


def layered(count: int, edge_count: int) -> Graph:
    """Return a graph of so many objects and edges in units of 14, the same one each time."""
    chance = random.Random(count)
    kinds = ("Namespace", "CustomResourceDefinition", "ConfigMap", "Secret", "Service", "Deployment", "Ingress")
    nodes = tuple(
        _node(chance.choice(kinds), f"team-{i // 140}", f"object-{i}", f"unit-{i // 14}", chance.randint(1, 300))
        for i in range(count)
    )
    edges: dict[tuple[int, int], Edge] = {}
    while len(edges) < edge_count:
        after = chance.randrange(1, count)
        before = chance.randrange(after) if chance.random() < 0.5 else chance.randrange(min(after, 40))
        if before % 11 < after % 11:
            strength = chance.choice(tuple(Strength))
            edges[before, after] = _edge(before, after, strength, f"needs {nodes[before].ref.kind}", after % 300 + 1)
    return _graph(nodes, tuple(sorted(edges.values())))


def _node(kind: str, namespace: str, name: str, unit: str, line: int) -> Node:
    return Node(Ref("v1", kind, namespace, name), Origin.GIT, unit, "", Where(f"apps/{unit}/{kind.lower()}.yaml", line))


def _edge(before: int, after: int, strength: Strength, reason: str, line: int, basis: Basis = Basis.REFERENCE) -> Edge:
    return Edge(before, after, strength, basis, "rule", reason, Where("apps/shop/deployment.yaml", line))


def _graph(nodes: tuple[Node, ...], edges: tuple[Edge, ...]) -> Graph:
    cycles, cuts = resolve(len(nodes), edges)
    units = tuple(Unit(name, "folder", f"apps/{name}") for name in sorted({node.unit for node in nodes} - {""}))
    where = Where("apps/shop/deployment.yaml", 40)
    return Graph(
        (
            Pin(
                "shop-config",
                "/srv/shop-config",
                "9f3c0a1be77d4455a0f0d2c1b3e4f5a6b7c8d9e0",
                "2026-11-20T09:14:03+01:00",
                dirty=True,
            ),
        ),
        units,
        nodes,
        edges,
        cycles,
        cuts,
        (
            Prerequisite(
                "StorageClass",
                "fast",
                "claims StorageClass",
                "make it with the cluster",
                1,
                (str(nodes[4].ref),),
                where,
            ),
        ),
        (
            Diagnostic(
                where, "cycle", Level.WARNING, str(nodes[5].ref), "use each other", "restored by leaving one out"
            ),
            Diagnostic(
                where,
                "dangling",
                Level.ERROR,
                str(nodes[4].ref),
                "claims StorageClass fast, which is nowhere",
                "define it",
            ),
        ),
    )
