"""Makes a Flux repo whose true order is known, so that inferring it can be marked."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Literal, NamedTuple

import networkx as nx
import yaml

from bench.flux_units import (
    HOME,
    UNITS_PER_OPERATOR,
    Body,
    Unit,
    app_unit,
    chart_units,
    make,
    operator_units,
    shared_units,
    team_units,
)

# Of the declared dependencies that objects show, so many more are added that nothing shows, and that others imply.
UNSEEN_SHARE = 0.10
REDUNDANT_SHARE = 0.10
_UNITS_PER_TEAM = 25


class Dependency(NamedTuple):
    """A declared dependsOn: `after` names `before`, both as "Kind namespace/name".

    why: "visible" if an object of `after` needs one of `before`; "redundant" if others imply it;
        "unseen" if nothing in git shows a reason.
    """

    before: str
    after: str
    why: Literal["visible", "redundant", "unseen"]


def flux_platform(root: Path, units: int = 150, seed: int = 0) -> list[Dependency]:
    """Write a Flux repo of `units` Kustomizations and HelmReleases (some 60 at least) and return what they declare.

    Operators bring CRDs that later units use; namespaces, issuers, secret stores, gateways, ConfigMaps and
    databases' Secrets are used by apps. The declared order is the transitive reduction of what the objects
    show, and of it 10 % redundant and 10 % unseen dependencies besides. The list is written to
    `<root>.truth.json` too. Raises FileExistsError if `root` is there already, ValueError for too few units.
    """
    rng = random.Random(seed)
    platform = [*chart_units(), *operator_units(units), *shared_units()]
    teams = max(2, units // _UNITS_PER_TEAM)
    for team in range(teams):
        platform += team_units(rng, team, max(2, units // UNITS_PER_OPERATOR))
    releases = [body for unit in platform for body in unit.objects if body["kind"] == "HelmRelease"]
    apps = units - len(platform) - len(releases)
    if apps < teams:
        raise ValueError(f"{units} units are too few: {len(platform) + len(releases) + teams} is the least")
    platform += [app_unit(rng, number, teams) for number in range(apps)]
    truth = [*_declare_units(rng, platform), *_declare_releases(rng, releases)]
    _write(root, platform, truth)
    root.with_name(f"{root.name}.truth.json").write_text(json.dumps([d._asdict() for d in truth], indent=1) + "\n")
    return truth


def _declare_units(rng: random.Random, platform: Sequence[Unit]) -> list[Dependency]:
    """Choose what the Kustomizations declare: all that is visible and not implied, and the two shares."""
    shown: nx.DiGraph[str] = nx.DiGraph()
    shown.add_nodes_from(unit.name for unit in platform)
    shown.add_edges_from((need, unit.name) for unit in platform for need in sorted(unit.needs))
    visible = sorted(nx.transitive_reduction(shown).edges)
    implied = sorted(set(nx.transitive_closure_dag(shown).edges) - set(visible))
    redundant = rng.sample(implied, round(len(visible) * REDUNDANT_SHARE))
    order: nx.DiGraph[str] = nx.DiGraph(visible)
    unseen: list[tuple[str, str]] = []
    names = [unit.name for unit in platform]
    while len(unseen) < round(len(visible) * UNSEEN_SHARE):
        before, after = rng.choice(names), rng.choice(names)
        if before == after or not {before, after} <= set(order) or _implies(order, before, after, [*visible, *unseen]):
            continue
        unseen.append((before, after))
        order.add_edge(before, after)
    kinds: list[tuple[Literal["visible", "redundant", "unseen"], list[tuple[str, str]]]] = [
        ("visible", visible),
        ("redundant", sorted(redundant)),
        ("unseen", sorted(unseen)),
    ]
    return [
        Dependency(f"Kustomization {HOME}/{before}", f"Kustomization {HOME}/{after}", why)
        for why, pairs in kinds
        for before, after in pairs
    ]


def _implies(order: nx.DiGraph[str], before: str, after: str, needed: Sequence[tuple[str, str]]) -> bool:
    """Return whether *before → after* is known already, closes a cycle, or would make a needed pair redundant."""
    if nx.has_path(order, before, after) or nx.has_path(order, after, before):
        return True
    sources = {before, *nx.ancestors(order, before)}
    targets = {after, *nx.descendants(order, after)}
    return not set(product(sources, targets)).isdisjoint(needed)


def _declare_releases(rng: random.Random, releases: Sequence[Body]) -> list[Dependency]:
    """Chain each team's releases by what shows: a namespace that a chart creates, a sealed Secret of values."""
    named = {f"{body['metadata']['namespace']}/{body['metadata']['name']}": body for body in releases}
    found: list[Dependency] = []
    for name, body in named.items():
        team = body["metadata"]["namespace"]
        before = {"cache-ui": f"{team}/cache", "worker": "sealed-secrets/sealed-secrets"}.get(body["metadata"]["name"])
        if before:
            found.append(Dependency(f"HelmRelease {before}", f"HelmRelease {name}", "visible"))
    teams = sorted({name.split("/")[0] for name in named if name.endswith("/worker")})
    unseen = rng.sample(teams, max(1, round(len(found) * UNSEEN_SHARE)))
    found += [Dependency(f"HelmRelease {team}/cache", f"HelmRelease {team}/worker", "unseen") for team in unseen]
    return sorted(found)


def _write(root: Path, platform: Sequence[Unit], truth: Sequence[Dependency]) -> None:
    wanted: dict[str, list[Body]] = {}
    for before, after, _ in sorted(truth, key=lambda item: (item.after, item.before)):
        namespace, name = before.split()[1].split("/")
        entry = {"name": name} if after.startswith("Kustomization") else {"name": name, "namespace": namespace}
        wanted.setdefault(after, []).append(entry)
    root.mkdir(parents=True)
    cluster = root / "clusters/prod"
    (cluster / "flux-system").mkdir(parents=True)
    version = "kustomize.toolkit.fluxcd.io/v1"
    for unit in platform:
        folder = root / "platform" / unit.name
        folder.mkdir(parents=True)
        for body in unit.objects:
            meta = body["metadata"]
            if declared := wanted.get(f"{body['kind']} {meta.get('namespace')}/{meta['name']}"):
                body["spec"]["dependsOn"] = declared
        _dump(folder / "objects.yaml", *unit.objects)
        _kustomization(folder, ["objects.yaml"])
        spec = _spec(f"./platform/{unit.name}")
        if declared := wanted.get(f"Kustomization {HOME}/{unit.name}"):
            spec["dependsOn"] = declared
        _dump(cluster / f"{unit.name}.yaml", make(version, "Kustomization", unit.name, HOME, spec=spec))
    url = {"interval": "1h", "url": "https://git.example.com/platform.git", "ref": {"branch": "main"}}
    charts = {"interval": "1h", "url": "https://charts.example.com"}
    _dump(
        cluster / "flux-system/sync.yaml",
        make("source.toolkit.fluxcd.io/v1", "GitRepository", HOME, HOME, spec=url),
        make("source.toolkit.fluxcd.io/v1", "HelmRepository", "charts", HOME, spec=charts),
        make(version, "Kustomization", HOME, HOME, spec=_spec("./clusters/prod")),
    )
    _kustomization(cluster, ["flux-system/sync.yaml", *sorted(f"{unit.name}.yaml" for unit in platform)])


def _spec(path: str) -> Body:
    return {
        "interval": "10m",
        "path": path,
        "prune": True,
        "wait": path.startswith("./platform"),
        "sourceRef": {"kind": "GitRepository", "name": HOME},
    }


def _kustomization(folder: Path, resources: list[str]) -> None:
    body = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": resources}
    _dump(folder / "kustomization.yaml", body)


def _dump(path: Path, *bodies: Body) -> None:
    # Copies, since what YAML may write as an alias is a finding of its own.
    texts = (yaml.safe_dump(json.loads(json.dumps(body)), sort_keys=False) for body in bodies)
    path.write_text("---\n".join(texts))
