"""Resources → the restore-order graph: every rule applied, cycles resolved, all in one canonical order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from dr.core.config import Config
from dr.core.cycles import resolve
from dr.core.edges import charts, custom, declared, references, runtime, webhooks
from dr.core.lint import findings
from dr.core.missing import charts_in_git, missing, namespaces, sealed
from dr.core.model import Basis, Cycle, Diagnostic, Edge, Graph, Level, Node, Pin, Resource, Unit
from dr.core.rules.builtin import BUILTIN_GROUPS
from dr.core.rules.references import GUESSES, REFERENCES
from dr.core.scan import RuleBook
from dr.core.world import Found, Need, World

_MADE_BY_CHARTS = frozenset({"ConfigMap", "Secret", "Service", "ServiceAccount"})


class Source(Struct, frozen=True):
    """Everything that was read: objects, units, the folders of all repos, pins, and what could not be read."""

    resources: tuple[Resource, ...] = ()
    units: tuple[Unit, ...] = ()
    folders: frozenset[str] = frozenset()
    pins: tuple[Pin, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()


def build(source: Source, config: Config | None = None) -> Graph:
    """Build the graph of what was read.

    The result depends on the set of resources only, not on their order. Bad references become
    diagnostics; nothing raises. Cycles are resolved as `cycles.resolve` says.
    """
    config = config or Config()
    world = World(resource for resource in source.resources if not declared.is_hook(resource))
    book = RuleBook((*config.references(), *REFERENCES), GUESSES, BUILTIN_GROUPS)
    releases = charts.releases(world)
    units = tuple(sorted(source.units))
    found: list[Found] = [
        *world.derived_edges,
        *namespaces(world),
        *references.references(world, book),
        *custom.custom_resources(world, releases),
        *sealed(world),
        *declared.units_in_order(world, units),
        *declared.depends_on_annotations(world),
        *declared.waves(world),
        *declared.change_rules(world),
        *runtime.service_hosts(world),
        *runtime.selectors(world),
        *runtime.permissions(world),
    ]
    edges = [item for item in found if isinstance(item, Edge)]
    edges.extend(declared.handed_down(world, units, edges))
    edges.extend(references.through_services(world, edges))
    hooked, hook_cycles = webhooks.webhooks(world, edges)
    edges.extend(item for item in hooked if isinstance(item, Edge))
    needs = [item for item in found if isinstance(item, Need)]
    provided = frozenset(config.provided)
    owned = declared.owned_units(world, units)
    met = list(_met_by_charts(needs, world, releases, owned))
    edges.extend(item for item in met if isinstance(item, Edge))
    lacking = missing(world, (item for item in met if isinstance(item, Need)), provided)
    edges.extend(lacking.edges)
    ordered = _unique(edges)
    cycles, cuts = resolve(len(world.nodes) + len(lacking.nodes), ordered)
    names = frozenset(pin.name for pin in source.pins)
    own = (replace(node, unit=owned[i]) if i in owned else node for i, node in enumerate(world.nodes))
    nodes = (*own, *lacking.nodes)
    diagnostics = [
        *source.diagnostics,
        *world.diagnostics,
        *(item for item in (*found, *hooked) if isinstance(item, Diagnostic)),
        *lacking.diagnostics,
        *charts_in_git(world, releases, source.folders, names, provided),
        *findings(world, units, ordered, cuts),
        *(_explained(cycle, nodes) for cycle in cycles),
    ]
    kept = sorted({d for d in diagnostics if d.code not in config.ignore})
    return Graph(
        tuple(sorted(source.pins, key=lambda pin: pin.name)) if len(source.pins) < 2 else source.pins,
        units,
        nodes,
        ordered,
        (*cycles, *hook_cycles),
        cuts,
        lacking.prerequisites,
        tuple(kept),
    )


def _met_by_charts(
    needs: Iterable[Need], world: World, releases: Iterable[charts.Release], owned: Mapping[int, str]
) -> Iterator[Edge | Need]:
    """Turn the needs that an installed chart meets into edges from its release; yield the others as they are.

    A chart meets the classes that the catalogue lists, the namespace it is told to create, and
    objects named after the release, as charts name what they make by convention. What the release
    makes for the objects of its own unit comes with them, and is no order.
    """
    releases = list(releases)
    for need in needs:
        env = world.nodes[need.after].env
        makers = [
            r
            for r in releases
            if r.index != need.after and (not env or world.nodes[r.index].env in (env, "")) and _makes(world, r, need)
        ]
        unit = world.nodes[need.after].unit.split(":", 1)[0]
        for release in (maker for maker in makers if owned.get(maker.index) != unit):
            reason = f"{need.reason} {need.name}, which release {world.nodes[release.index].ref.name} makes"
            yield Edge(release.index, need.after, need.strength, Basis.INFERRED, "chart-made", reason, need.where)
        if not makers and not any(r.index == need.after and _makes(world, r, need) for r in releases):
            yield need


def _makes(world: World, release: charts.Release, need: Need) -> bool:
    if need.kind == "Namespace":
        return release.creates_namespace and release.namespace == need.name != world.nodes[release.index].ref.namespace
    if release.known and any(kind == need.kind and name in (need.name, "*") for kind, name in release.known.classes):
        return True
    name = world.nodes[release.index].ref.name
    named = need.name == name or need.name.startswith(f"{name}-")
    return (
        named and need.kind in _MADE_BY_CHARTS and need.namespace == release.namespace and "existing" not in need.rule
    )


def _unique(edges: Iterable[Edge]) -> tuple[Edge, ...]:
    """Sort edges and keep one of those that differ only in where they are proven."""
    first: dict[tuple[int, int, str, str], Edge] = {}
    for edge in sorted(edges):
        if edge.before != edge.after:
            first.setdefault((edge.before, edge.after, edge.strength, edge.reason), edge)
    return tuple(first.values())


def _explained(cycle: Cycle, nodes: tuple[Node, ...]) -> Diagnostic:
    chain = " → ".join(str(nodes[edge.before].ref) for edge in cycle.edges)
    first = cycle.edges[0]
    subject = str(nodes[first.before].ref)
    steps = "; ".join(f"{nodes[e.after].ref} {e.reason} ({e.where})" for e in cycle.edges)
    if cycle.deadlock:
        remedy = "no edge of it may be cut: take one of the references out, or move its object to an earlier unit"
        return Diagnostic(
            first.where, "deadlock", Level.ERROR, subject, f"{chain} → {subject} need each other: {steps}", remedy
        )
    cut = ", ".join(f"{nodes[e.before].ref} → {nodes[e.after].ref}" for e in cycle.cut)
    remedy = f"restored by leaving out {cut}" + ("" if cycle.proven else " (a small cut, not shown to be the smallest)")
    return Diagnostic(
        first.where, "cycle", Level.WARNING, subject, f"{chain} → {subject} use each other: {steps}", remedy
    )
