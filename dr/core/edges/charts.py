"""Releases of opaque charts: which chart an object installs, and what the catalogue says it brings."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from msgspec import Struct

from dr.core.body import items, mapping, text
from dr.core.model import Resource
from dr.core.rules.charts import CHARTS
from dr.core.rules.rows import Chart
from dr.core.world import World

_CATALOGUE: dict[str, Chart] = {name: chart for chart in CHARTS for name in chart.names}


class Release(Struct, frozen=True):
    """An object that installs a chart: its node id, the chart's name, and path and repo where it is a folder."""

    index: int
    chart: str
    path: str
    repo: str
    namespace: str
    creates_namespace: bool
    known: Chart | None


def releases(world: World) -> tuple[Release, ...]:
    """Return every Helm release of git: HelmRelease of v1 to v2, Argo CD Application, k3s HelmChart."""
    found = []
    for kind, groups, read in (
        ("HelmRelease", ("flux.weave.works", "helm.fluxcd.io"), _helm_operator),
        ("HelmRelease", ("helm.toolkit.fluxcd.io",), _helm_controller),
        ("Application", ("argoproj.io",), _application),
        ("HelmChart", ("helm.cattle.io",), _k3s),
    ):
        for index in world.of_kind(kind, groups):
            resource = world.resources[index]
            for chart, path, repo, namespace, creates in read(world, resource):
                name = (chart or path).rstrip("/").rpartition("/")[2].lower()
                # An Application's folder is a chart only if it says so; its last segment may be any word.
                is_chart = chart or kind != "Application" or mapping(resource.body, "spec", "source", "helm")
                known = _CATALOGUE.get(name) if is_chart else None
                found.append(Release(index, name, path, repo, namespace, creates, known))
    return tuple(sorted(found, key=lambda release: (release.index, release.chart)))


_Row = tuple[str, str, str, str, bool]


def _helm_operator(_: World, resource: Resource) -> Iterator[_Row]:
    spec = mapping(resource.body, "spec")
    chart = mapping(spec, "chart")
    yield (
        text(chart, "name"),
        text(chart, "path"),
        text(chart, "git"),
        text(spec, "targetNamespace") or resource.ref.namespace,
        False,
    )


def _helm_controller(world: World, resource: Resource) -> Iterator[_Row]:
    spec = mapping(resource.body, "spec")
    namespace = text(spec, "targetNamespace") or text(spec, "storageNamespace") or resource.ref.namespace
    creates = bool(mapping(spec, "install").get("createNamespace"))
    chart = mapping(spec, "chart", "spec")
    if named := text(chart, "chart"):
        source = mapping(chart, "sourceRef")
        in_repo = text(source, "kind") in ("GitRepository", "Bucket")
        yield (
            ("" if in_repo else named),
            (named if in_repo else ""),
            _address(world, resource, source),
            namespace,
            creates,
        )
    elif reference := mapping(spec, "chartRef"):
        yield _address(world, resource, reference) or text(reference, "name"), "", "", namespace, creates


def _address(world: World, resource: Resource, source: dict[str, object]) -> str:
    home = text(source, "namespace") or resource.ref.namespace
    for index in world.find(resource.env, text(source, "kind"), home, text(source, "name")):
        if index < len(world.resources):
            body = world.resources[index].body
            return text(body, "spec", "url") or text(body, "spec", "chart")
    return ""


def _application(_: World, resource: Resource) -> Iterator[_Row]:
    spec = mapping(resource.body, "spec")
    creates = "CreateNamespace=true" in items(spec, "syncPolicy", "syncOptions")
    namespace = text(spec, "destination", "namespace")
    for source in [mapping(spec, "source"), *items(spec, "sources")]:
        if chart := text(source, "chart"):
            yield chart, "", text(source, "repoURL"), namespace, creates
        elif path := text(source, "path"):
            yield "", path, text(source, "repoURL"), namespace, creates


def _k3s(_: World, resource: Resource) -> Iterator[_Row]:
    spec = mapping(resource.body, "spec")
    namespace = text(spec, "targetNamespace") or resource.ref.namespace
    yield text(spec, "chart"), "", text(spec, "repo"), namespace, bool(spec.get("createNamespace"))


def brings(chart: Chart, group: str) -> bool:
    """Return whether the chart installs the CRDs of an API group (`*` in a row matches)."""
    return any(fnmatchcase(group, pattern) for pattern in chart.crds)


def serves(chart: Chart, group: str) -> bool:
    """Return whether the chart's controller acts on objects of an API group."""
    return any(fnmatchcase(group, pattern) for pattern in chart.serves)
