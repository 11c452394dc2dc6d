"""Whether the new cluster has room for a platform: classes of volumes, nodes, quotas. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dr.core.body import get, items, mapping, text
from dr.core.census import Census
from dr.core.model import Body, Level, Resource
from dr.core.moving_row import Row
from dr.core.parity import quantity

_DEFAULT = "storageclass.kubernetes.io/is-default-class"


def room(old: Census, new: Census, resources: Sequence[Resource]) -> Iterator[Row]:
    """Yield the classes, nodes and quotas that the new cluster lacks for the commit."""
    classes = {text(body, "metadata", "name"): body for body in new.of("StorageClass")}
    ours = {r.ref.name for r in resources if r.ref.kind == "StorageClass"}
    default = any(_is_default(body) for body in (*classes.values(), *(r.body for r in resources)))
    for resource, claim in _claims(resources):
        name = get(claim, "spec", "storageClassName")
        if name and name not in classes and name not in ours:
            yield Row("classes", Level.ERROR, str(resource.ref), f"wants StorageClass {name}, which `to` lacks",
                      "make it there, or put it into git")  # fmt: skip
        elif name is None and not default:
            yield Row("classes", Level.ERROR, str(resource.ref), "wants the default StorageClass, and `to` has none",
                      "mark one as the default")  # fmt: skip
    wanted, there = _requests(resources), _allocatable(new.of("Node"))
    for what in sorted(wanted):
        if wanted[what] > there.get(what, 0.0):
            have = there.get(what, 0.0)
            cause = f"the commit's workloads ask for {wanted[what]:g} of {what}, and its nodes have {have:g}"
            yield Row("room", Level.ERROR, "to", cause, "add nodes first, or let its autoscaler do so and wait")
    yield from _quotas(new, resources)
    limits = {text(body, "metadata", "namespace") for body in old.of("ResourceQuota")}
    if limits and not any(r.ref.kind == "ResourceQuota" for r in resources):
        cause = f"`from` has quotas in {', '.join(sorted(limits))}, git has none"
        yield Row("room", Level.INFO, "quotas", cause, "put them into git if they are meant")


def _is_default(body: Body) -> bool:
    return text(body, "kind") == "StorageClass" and mapping(body, "metadata", "annotations").get(_DEFAULT) == "true"


def _requests(resources: Iterable[Resource]) -> dict[str, float]:
    total: dict[str, float] = {}
    for resource in resources:
        if resource.ref.kind not in ("Deployment", "StatefulSet"):
            continue
        count = get(resource.body, "spec", "replicas")
        pods = count if isinstance(count, int) else 1
        for container in items(resource.body, "spec", "template", "spec", "containers"):
            for what in ("cpu", "memory"):
                value = get(container, "resources", "requests", what)
                total[what] = total.get(what, 0.0) + pods * (quantity(value) if value is not None else 0.0)
    return {what: value for what, value in total.items() if value}


def _allocatable(nodes: Iterable[Body]) -> dict[str, float]:
    total: dict[str, float] = {}
    for node in nodes:
        for what, value in mapping(node, "status", "allocatable").items():
            total[what] = total.get(what, 0.0) + quantity(value)
    return total


def _claims(resources: Iterable[Resource]) -> Iterator[tuple[Resource, Body]]:
    """Yield what claims a volume: claims, and the templates of those that StatefulSets make."""
    for resource in resources:
        if resource.ref.kind == "PersistentVolumeClaim":
            yield resource, resource.body
        elif resource.ref.kind == "StatefulSet":
            yield from ((resource, claim) for claim in items(resource.body, "spec", "volumeClaimTemplates"))


def _quotas(new: Census, resources: Sequence[Resource]) -> Iterator[Row]:
    for body in new.of("ResourceQuota"):
        home, name = text(body, "metadata", "namespace"), text(body, "metadata", "name")
        wanted = _requests(r for r in resources if r.ref.namespace == home)
        hard = mapping(body, "spec", "hard")
        for what, value in sorted(wanted.items()):
            most = hard.get(f"requests.{what}", hard.get(what))
            if most is not None and value > quantity(most):
                cause = f"of `to` allows {quantity(most):g} of {what}, and the commit's workloads ask for {value:g}"
                yield Row("room", Level.ERROR, f"ResourceQuota {home}/{name}", cause, "raise it there first")
