"""Answers as lines for a terminal: names first, detail when asked for. Styles are hints, never needed to read."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from dr.core.model import Edge, Graph, Node, Origin, Pin, Prerequisite, Strength
from dr.core.plan import Plan
from dr.core.query import Paths, Reached
from dr.report.findings import safe

Line = tuple[tuple[str, str], ...]
_MARK = {Origin.GIT: "●", Origin.DERIVED: "○", Origin.MISSING: "✗"}
_STYLE = {Origin.GIT: "", Origin.DERIVED: "dim", Origin.MISSING: "red"}
_FORCE = {Strength.READY: 0, Strength.EXISTS: 1, Strength.SOFT: 2}
_SHOWN = 6


def line(*parts: str | tuple[str, str]) -> Line:
    """Make a line of plain and styled parts."""
    return tuple((safe(part), "") if isinstance(part, str) else (safe(part[0]), part[1]) for part in parts)


def seconds(value: float) -> str:
    """Return a duration in seconds as people write it.

    >>> seconds(0.4), seconds(75), seconds(3700)
    ('0.4s', '1m15s', '1h01m')
    """
    if value < 10:
        return f"{value:.1f}s"
    whole = round(value)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def pins(values: Iterable[Pin]) -> str:
    """Return repos and commits in one phrase."""
    return ", ".join(
        f"{p.name} {p.commit[:9] or 'outside git'}{' + uncommitted changes' if p.dirty else ''}" for p in values
    )


def many(count: int, word: str) -> str:
    """Return a count with its noun: `1 object`, `3 objects`."""
    plural = f"{word[:-1]}ies" if word.endswith("y") and word[-2:-1] not in "aeiou" else f"{word}s"
    return f"{count} {word if count == 1 else plural}"


def label(node: Node) -> str:
    """Return an object's name with its environment where there are several."""
    return f"{node.ref} [{node.env}]" if node.env else str(node.ref)


def graph_units(plan: Plan) -> Iterator[Line]:
    """Yield the tree of units in restore order, each with the units it comes after and the first reason."""
    graph = plan.graph
    count = Counter(node.unit for node in graph.nodes if node.origin is Origin.GIT)
    yield line(
        (f"{pins(plan.pins)}", "bold"),
        f" · {many(sum(count.values()), 'object')} in {many(len(count), 'unit')} · {many(len(graph.edges), 'edge')}",
    )
    between: dict[str, dict[str, list[Edge]]] = defaultdict(lambda: defaultdict(list))
    for edge in graph.edges:
        before, after = graph.nodes[edge.before].unit, graph.nodes[edge.after].unit
        if before and after and before != after and edge not in graph.cuts:
            between[after][before].append(edge)
    kinds = {unit.name: unit for unit in graph.units}
    for name in dict.fromkeys(plan.node(index).unit for index in range(len(plan.steps))):
        unit = kinds.get(name)
        back = f" · comes back at {unit.artifact}" if unit and unit.artifact else ""
        yield line((f"● {name}", "bold"), f"  {unit.kind if unit else ''} · {many(count[name], 'object')}{back}")
        entries = sorted(between[name].items(), key=lambda item: (min(_FORCE[e.strength] for e in item[1]), item[0]))
        for position, (other, edges) in enumerate(entries):
            best = min(edges, key=lambda e: (_FORCE[e.strength], e))
            more = f" · {len(edges) - 1} more" if len(edges) > 1 else ""
            arm = "└─" if position == len(entries) - 1 else "├─"
            reason = f"  {best.strength} · {graph.nodes[best.after].ref} {best.reason} ({best.where}){more}"
            yield line(f"  {arm} after ", (other, "cyan"), (reason, "dim"))
    yield from _absent(graph)


def _absent(graph: Graph) -> Iterator[Line]:
    for node in graph.nodes:
        if node.origin is Origin.MISSING:
            yield line((f"✗ {label(node)}", "red"), "  not in git")


def graph_resources(plan: Plan) -> Iterator[Line]:
    """Yield every object in restore order with all edges into it."""
    graph = plan.graph
    into: dict[int, list[Edge]] = defaultdict(list)
    for edge in graph.edges:
        into[edge.after].append(edge)
    order = [step.node for step in plan.steps]
    others = [i for i, node in enumerate(graph.nodes) if node.origin is not Origin.GIT]
    yield line((pins(plan.pins), "bold"), f" · {many(len(order), 'object')} · {many(len(graph.edges), 'edge')}")
    for index in (*others, *order):
        node = graph.nodes[index]
        where = f"  {node.where}" if node.where else f"  {node.origin}"
        yield line((f"{_MARK[node.origin]} {label(node)}", _STYLE[node.origin] or "bold"), (where, "dim"))
        for edge in into[index]:
            cut = " · cut" if edge in graph.cuts else ""
            yield line(
                "  ← ",
                (label(graph.nodes[edge.before]), "cyan"),
                (f"  {edge.strength} · {edge.reason} ({edge.where}){cut}", "dim"),
            )


def plan_lines(plan: Plan, *, detail: bool) -> Iterator[Line]:
    """Yield a plan for people: waves by name, the critical path, what is not in git, findings."""
    units = {plan.node(index).unit for index in range(len(plan.steps))}
    head = f"  {many(len(units), 'unit')} · {many(len(plan.waves), 'wave')} · {many(len(plan.steps), 'object')}"
    yield line(
        ("Plan", "bold"),
        f" {pins(plan.pins)}",
        head,
        f" · estimate {seconds(plan.estimate)} (assumed times, none measured yet)",
    )
    for number, wave in enumerate(plan.waves):
        if detail:
            yield line((f"wave {number}", "bold"))
            for index in wave:
                yield from _step(plan, index)
        else:
            yield line((f"  wave {number:<3}", "bold"), _wave(plan, wave, by_kind=len(units) == 1))
    if plan.critical:
        yield line(("critical path", "bold"), f"  {seconds(plan.estimate)} of assumed times")
        for link in reversed(plan.critical):
            yield line(f"  {label(plan.node(link.step))}", (f"  @{seconds(link.at)} +{seconds(link.took)}", "dim"))
    yield from prerequisite_lines(plan.prerequisites, detail=detail)


def _step(plan: Plan, index: int) -> Iterator[Line]:
    step, node = plan.steps[index], plan.node(index)
    after = ", ".join(
        f"{plan.node(before).ref} ({strength})" for before, strength in zip(step.after, step.strengths, strict=True)
    )
    yield line(f"  {label(node)}", (f"  {node.where}" + (f"  after {after}" if after else ""), "dim"))


def _wave(plan: Plan, wave: Iterable[int], *, by_kind: bool) -> str:
    nodes = [plan.node(index) for index in wave]
    names = Counter(node.ref.kind if by_kind else node.unit for node in nodes)
    shown = [f"{name}({count})" for name, count in names.most_common(_SHOWN)]
    more = f" … and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return " ".join(shown) + more


def prerequisite_lines(values: Iterable[Prerequisite], *, detail: bool) -> Iterator[Line]:
    """Yield what a restore needs from outside git."""
    found = list(values)
    if found:
        yield line(("not in git, needed before or during the restore", "bold"))
    for value in found:
        users = (
            f"{value.needed_by[0]}" + (f" and {value.count - 1} more" if value.count > 1 else "")
            if value.needed_by
            else ""
        )
        yield line("  ✗ ", (value.name, "yellow"), f"  {value.kind}", (f"  for {users} ({value.where})", "dim"))
        if detail:
            yield line((f"      {value.remedy}", "dim"))


def why_lines(graph: Graph, found: Paths) -> Iterator[Line]:
    """Yield the paths by which one object needs another, edge by edge."""
    if not found.total:
        yield line("no path: neither needs the other in this direction")
    for number, path in enumerate(found.shown, 1):
        yield line((f"path {number} of {found.total}", "bold"))
        yield line(f"  {label(graph.nodes[path[0].before])}")
        for edge in path:
            node = graph.nodes[edge.after]
            made = " (made by its controller)" if node.origin is Origin.DERIVED else ""
            yield line(f"  → {label(node)}{made}", (f"  {edge.strength} · {edge.reason} ({edge.where})", "dim"))
    if found.total > len(found.shown):
        yield line(f"… {found.total - len(found.shown)} more paths (--limit shows more)")


def reached_lines(graph: Graph, title: str, found: Iterable[Reached], *, detail: bool) -> Iterator[Line]:
    """Yield what a walk reached, hard before soft, nearest first."""
    reached = list(found)
    hard = sum(1 for r in reached if r.hard)
    yield line((title, "bold"), f"  {hard} by hard edges, {len(reached) - hard} only at run time")
    for r in reached:
        node = graph.nodes[r.node]
        proof = (
            f"  {r.edge.strength} · {graph.nodes[r.edge.after].ref} {r.edge.reason} ({r.edge.where})"
            if detail or r.distance == 1
            else ""
        )
        yield line(
            f"  {'  ' * (min(r.distance, 8) - 1)}{_MARK[node.origin]} ",
            (label(node), "" if r.hard else "dim"),
            (proof, "dim"),
        )
