"""Edges of the running system: service addresses in environments, selectors, permissions. All soft."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from dr.core.body import dig, get, items, mapping, text
from dr.core.edges.references import where
from dr.core.model import Basis, Body, Edge, Path, Strength
from dr.core.scan import segments
from dr.core.world import World

# host:port, scheme://host…, user@host…, or a name that ends in .svc: a bare word alone is no address.
_ADDRESS = re.compile(
    r"(?:^|[\s,;=@/'\"(])(?P<host>[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*)"
    r"(?P<port>:\d{2,5})?(?![-a-z0-9.@])",
)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://(?:[^@/\s]*@)?$")
_CONTAINERS = ("initContainers", "containers")


def service_hosts(world: World) -> Iterator[Edge]:
    """Yield a soft edge from each Service whose address stands in a container's environment or arguments."""
    for index, template in world.pods.items():
        resource = world.resources[index]
        base: Path = ("spec",) if template is resource.body else _template_path(resource.body, template)
        for path, value in _texts(template):
            for service in sorted(set(_services(world, resource.env, resource.ref.namespace, value))):
                name = world.nodes[service].ref.name
                reason = f"uses Service {name} by {_variable(template, path)}"
                yield Edge(
                    service,
                    index,
                    Strength.SOFT,
                    Basis.INFERRED,
                    "service-host",
                    reason,
                    where(resource, (*base, *path)),
                )


def _template_path(body: Body, template: Body) -> Path:
    for path in (("spec", "template"), ("spec", "jobTemplate", "spec", "template"), ("template",)):
        if get(body, *path) is template:
            return (*path, "spec")
    return ()


def _texts(template: Body) -> Iterator[tuple[Path, str]]:
    for group in _CONTAINERS:
        for number, container in enumerate(items(template, "spec", group)):
            for position, variable in enumerate(items(container, "env")):
                if value := text(variable, "value"):
                    yield (group, number, "env", position, "value"), value
            for field in ("command", "args"):
                for position, value in enumerate(items(container, field)):
                    if isinstance(value, str):
                        yield (group, number, field, position), value


def _variable(template: Body, path: Path) -> str:
    container = items(template, "spec", str(path[0]))[int(path[1])]
    name = text(container, "name")
    if path[2] == "env":
        variable = items(container, "env")[int(path[3])]
        return f"environment variable {text(variable, 'name')} of container {name}"
    return f"{path[2]} of container {name}"


def _services(world: World, env: str, namespace: str, value: str) -> Iterator[int]:
    for match in _ADDRESS.finditer(value[:4096]):
        labels = match["host"].split(".")
        if match["port"] or "svc" in labels[2:3] or _SCHEME.search(value[: match.start("host")]):
            if len(labels) > 1 and "svc" not in labels[2:3] and len(labels) != 2:
                continue
            yield from world.find(env, "Service", labels[1] if len(labels) > 1 else namespace, labels[0], "")


def selectors(world: World) -> Iterator[Edge]:
    """Yield soft edges from what a PodDisruptionBudget or a ServiceMonitor selects."""
    for index in world.of_kind("PodDisruptionBudget"):
        resource = world.resources[index]
        for target in world.selected(
            resource.env, resource.ref.namespace, mapping(resource.body, "spec", "selector", "matchLabels")
        ):
            yield _soft(world, target, index, "selector", "limits the disruption of", ("spec", "selector"))
    for index in world.of_kind("PodMonitor", "monitoring.coreos.com"):
        resource = world.resources[index]
        for target in world.selected(
            resource.env, resource.ref.namespace, mapping(resource.body, "spec", "selector", "matchLabels")
        ):
            yield _soft(world, target, index, "selector", "scrapes", ("spec", "selector"))
    yield from _service_monitors(world)


def _service_monitors(world: World) -> Iterator[Edge]:
    services: dict[tuple[str, str, str], set[int]] = defaultdict(set)
    monitors = world.of_kind("ServiceMonitor", "monitoring.coreos.com")
    for index in world.of_kind("Service", "") if monitors else ():
        resource = world.resources[index]
        for key, value in mapping(resource.body, "metadata", "labels").items():
            services[resource.ref.namespace, key, str(value)].add(index)
    for index in monitors:
        resource = world.resources[index]
        wanted = mapping(resource.body, "spec", "selector", "matchLabels")
        named = items(resource.body, "spec", "namespaceSelector", "matchNames") or [resource.ref.namespace]
        for namespace in filter(lambda name: isinstance(name, str), named):
            sets = [services.get((namespace, key, str(value)), set()) for key, value in wanted.items()]
            for target in sorted(set.intersection(*sets)) if sets else ():
                yield _soft(world, target, index, "selector", "scrapes", ("spec", "selector"))


def permissions(world: World) -> Iterator[Edge]:
    """Yield soft edges from each binding to the workloads that run as its ServiceAccount."""
    granted: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index in (*world.of_kind("RoleBinding"), *world.of_kind("ClusterRoleBinding")):
        resource = world.resources[index]
        for subject in items(resource.body, "subjects"):
            if text(subject, "kind") == "ServiceAccount":
                granted[text(subject, "namespace") or resource.ref.namespace, text(subject, "name")].append(index)
    for index, template in world.pods.items() if granted else ():
        resource = world.resources[index]
        account = next((a for a in dig(template, segments("spec.serviceAccountName")) if isinstance(a, str)), "default")
        for binding in granted.get((resource.ref.namespace, account), ()):
            if resource.env == world.nodes[binding].env or not resource.env or not world.nodes[binding].env:
                reason = f"has the permissions of its ServiceAccount {account} from {world.nodes[binding].ref.kind}"
                yield Edge(
                    binding, index, Strength.SOFT, Basis.INFERRED, "permissions", reason, world.resources[binding].where
                )


def _soft(world: World, before: int, after: int, rule: str, reason: str, path: Path) -> Edge:
    target = world.nodes[before].ref
    place = where(world.resources[after], path)
    return Edge(before, after, Strength.SOFT, Basis.INFERRED, rule, f"{reason} {target.kind} {target.name}", place)
