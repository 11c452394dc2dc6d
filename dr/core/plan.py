"""The graph → a plan: steps in an order that may be applied as it is, waves for people, the critical path."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush

from msgspec import Struct

from dr.core.model import Cycle, Diagnostic, Edge, Graph, Node, Origin, Pin, Prerequisite, Strength, Unit
from dr.core.rules.order import APPLY_SECONDS, KIND_ORDER, READY_SECONDS

_RANK = {kind: rank for rank, kind in enumerate(KIND_ORDER)}
_FORCE = {Strength.SOFT: 0, Strength.EXISTS: 1, Strength.READY: 2}


class Step(Struct, frozen=True):
    """One object to apply: its node, the earlier steps it comes after, and what each of them must be."""

    node: int
    after: tuple[int, ...]
    strengths: tuple[Strength, ...]


class Link(Struct, frozen=True):
    """A step of the critical path: when it may start and how long it takes to be ready, in seconds (assumed)."""

    step: int
    at: float
    took: float


class Plan(Struct, frozen=True):
    """The order of a restore: steps, waves (step indices by depth), critical path and its length in seconds."""

    graph: Graph
    steps: tuple[Step, ...]
    waves: tuple[tuple[int, ...], ...]
    critical: tuple[Link, ...]
    estimate: float

    @property
    def pins(self) -> tuple[Pin, ...]:
        """The repos and commits that the plan was made from."""
        return self.graph.pins

    @property
    def cycles(self) -> tuple[Cycle, ...]:
        """The cycles of the graph and what was cut."""
        return self.graph.cycles

    @property
    def prerequisites(self) -> tuple[Prerequisite, ...]:
        """What the restore needs from outside git."""
        return self.graph.prerequisites

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """The findings of the graph."""
        return self.graph.diagnostics

    def node(self, step: int) -> Node:
        """Return the graph's node of a step."""
        return self.graph.nodes[self.steps[step].node]


def order(graph: Graph, estimates: Mapping[str, float] | None = None) -> Plan:
    """Order a graph.

    `estimates` overrides the assumed seconds to readiness by kind. Derived objects are no steps:
    who needs one waits for what it is derived from. Objects outside git are prerequisites, not steps.
    """
    preds = _direct(graph)
    sequence = _sequence(graph, preds)
    position = {node: step for step, node in enumerate(sequence)}
    steps = []
    for node in sequence:
        links = sorted((position[before], strength) for before, strength in preds[node].items())
        steps.append(Step(node, tuple(step for step, _ in links), tuple(strength for _, strength in links)))
    critical, estimate = _critical(graph, steps, {**READY_SECONDS, **(estimates or {})})
    return Plan(graph, tuple(steps), _waves(steps), critical, estimate)


def _direct(graph: Graph) -> dict[int, dict[int, Strength]]:
    """Return, for each object of git, the objects of git before it and the strongest strength of each."""
    into: dict[int, list[Edge]] = defaultdict(list)
    nodes = graph.nodes
    derived: set[int] = set()
    preds: dict[int, dict[int, Strength]] = {i: {} for i, node in enumerate(nodes) if node.origin is Origin.GIT}
    for edge in graph.edges:
        if edge in graph.cuts:
            continue
        if nodes[edge.after].origin is Origin.DERIVED:
            into[edge.after].append(edge)
        elif nodes[edge.before].origin is Origin.DERIVED:
            derived.add(edge.after)
            into[edge.after].append(edge)
        elif nodes[edge.before].origin is Origin.GIT:
            _strengthen(preds[edge.after], edge.before, edge.strength)
    for node in derived:
        for edge in into[node]:
            for before in _sources(edge.before, into, nodes):
                if before != node:
                    _strengthen(
                        preds[node], before, Strength.SOFT if edge.strength is Strength.SOFT else Strength.READY
                    )
    return preds


def _sources(derived: int, into: Mapping[int, Sequence[Edge]], nodes: Sequence[Node]) -> set[int]:
    found: set[int] = set()
    seen, stack = {derived}, [derived]
    while stack:
        for edge in into.get(stack.pop(), ()):
            if nodes[edge.before].origin is Origin.GIT:
                found.add(edge.before)
            elif nodes[edge.before].origin is Origin.DERIVED and edge.before not in seen:
                seen.add(edge.before)
                stack.append(edge.before)
    return found


def _strengthen(known: dict[int, Strength], before: int, strength: Strength) -> None:
    current = known.get(before)
    if current is None or _FORCE[strength] > _FORCE[current]:
        known[before] = strength


def _sequence(graph: Graph, preds: Mapping[int, Mapping[int, Strength]]) -> list[int]:
    """Return the nodes in a topological order; among the free ones by kind, then by name."""
    middle = _RANK[""]
    keys = {i: (_RANK.get(n.ref.kind, middle), n.env, n.ref, n.where) for i, n in enumerate(graph.nodes) if i in preds}
    rank = {node: place for place, node in enumerate(sorted(preds, key=keys.__getitem__))}
    by_rank = sorted(preds, key=rank.__getitem__)
    pending = {node: len(before) for node, before in preds.items()}
    following: dict[int, list[int]] = defaultdict(list)
    for node, before in preds.items():
        for other in before:
            following[other].append(node)
    free = [rank[node] for node, count in pending.items() if not count]
    heapify(free)
    sequence = []
    while free:
        node = by_rank[heappop(free)]
        sequence.append(node)
        for after in following[node]:
            pending[after] -= 1
            if not pending[after]:
                heappush(free, rank[after])
    if len(sequence) != len(preds):
        raise ValueError("the graph has a cycle that was not cut")
    return sequence


def _waves(steps: Sequence[Step]) -> tuple[tuple[int, ...], ...]:
    depth: list[int] = []
    waves: dict[int, list[int]] = defaultdict(list)
    for index, step in enumerate(steps):
        depth.append(1 + max((depth[before] for before in step.after), default=-1))
        waves[depth[-1]].append(index)
    return tuple(tuple(waves[level]) for level in sorted(waves))


def _critical(graph: Graph, steps: Sequence[Step], seconds: Mapping[str, float]) -> tuple[tuple[Link, ...], float]:
    """Return the chain that decides the end, as the longest path over assumed times, and its length.

    A step may start once what must exist is applied and what must be ready is ready; a soft
    dependency delays nothing. Source: the critical path method on a graph with two kinds of arcs.
    """
    start: list[float] = []
    ready: list[float] = []
    came: list[int] = []
    for step in steps:
        begin, cause = 0.0, -1
        for before, strength in zip(step.after, step.strengths, strict=True):
            if strength is Strength.SOFT:
                continue
            moment = ready[before] if strength is Strength.READY else start[before] + APPLY_SECONDS
            if moment > begin:
                begin, cause = moment, before
        start.append(begin)
        came.append(cause)
        ready.append(begin + APPLY_SECONDS + seconds.get(graph.nodes[step.node].ref.kind, 0.0))
    if not steps:
        return (), 0.0
    last = max(range(len(steps)), key=lambda index: (ready[index], -index))
    chain, index = [], last
    while index >= 0:
        chain.append(Link(index, round(start[index], 3), round(ready[index] - start[index], 3)))
        index = came[index]
    return tuple(reversed(chain)), round(ready[last], 3)


def units_of(plan: Plan) -> dict[str, Unit]:
    """Return the plan's units by name."""
    return {unit.name: unit for unit in plan.graph.units}
