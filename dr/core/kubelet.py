"""What a pod wants from its namespace before a kubelet starts it: ConfigMaps, Secrets with their keys, claims."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from dr.core.body import get, items, mapping, text
from dr.core.model import Body

_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
# How a source of environment variables or of a volume names its object: (field, field of the name, kind).
_ENV = (("configMapKeyRef", "name", "ConfigMap"), ("secretKeyRef", "name", "Secret"))
_ENV_FROM = (("configMapRef", "name", "ConfigMap"), ("secretRef", "name", "Secret"))
_VOLUMES = (
    ("configMap", "name", "ConfigMap"),
    ("secret", "secretName", "Secret"),
    ("persistentVolumeClaim", "claimName", "PersistentVolumeClaim"),
)
_PROJECTED = (("configMap", "name", "ConfigMap"), ("secret", "name", "Secret"))


class Wish(Struct, frozen=True, order=True):
    """An object of the pod's namespace that it cannot start without, and the keys that it takes from it.

    `mounted` things keep the pod in ContainerCreating when they are missing, the others in CreateContainerConfigError.
    """

    kind: str
    name: str
    keys: tuple[str, ...] = ()
    mounted: bool = False


def wishes(spec: Body) -> tuple[Wish, ...]:
    """Return what a pod's spec refers to and cannot do without; what is `optional: true` is left out.

    Source: pkg/kubelet of Kubernetes, as far as it waits. Image pull secrets are not waited for.
    """
    return tuple(sorted(set(_wishes(spec))))


def _wishes(spec: Body) -> Iterator[Wish]:
    for group in _CONTAINERS:
        for container in items(spec, group):
            yield from _container(container)
    for volume in items(spec, "volumes"):
        for field, named, kind in _VOLUMES:
            yield from _named(mapping(volume, field), named, kind, _keys(mapping(volume, field)), mounted=True)
        for source in items(volume, "projected", "sources"):
            for field, named, kind in _PROJECTED:
                yield from _named(mapping(source, field), named, kind, _keys(mapping(source, field)), mounted=True)


def _container(container: Body) -> Iterator[Wish]:
    for variable in items(container, "env"):
        source = mapping(variable, "valueFrom")
        for field, named, kind in _ENV:
            key = text(source, field, "key")
            yield from _named(mapping(source, field), named, kind, (key,) if key else ())
    for source in items(container, "envFrom"):
        for field, named, kind in _ENV_FROM:
            yield from _named(mapping(source, field), named, kind)


def _named(source: Body, named: str, kind: str, keys: tuple[str, ...] = (), *, mounted: bool = False) -> Iterator[Wish]:
    if text(source, named) and get(source, "optional") is not True:
        yield Wish(kind, text(source, named), keys, mounted)


def _keys(source: Body) -> tuple[str, ...]:
    return tuple(sorted({text(item, "key") for item in items(source, "items")} - {""}))


def asked_keys(pods: Iterator[tuple[str, Body]]) -> dict[tuple[str, str, str], set[str]]:
    """Return, by (kind, namespace, name), the keys that pods of `(namespace, spec)` take; the empty set for any."""
    found: dict[tuple[str, str, str], set[str]] = {}
    for namespace, spec in pods:
        for wish in wishes(spec):
            found.setdefault((wish.kind, namespace, wish.name), set()).update(wish.keys)
    return found


def owner_of(pod: Body) -> tuple[str, str]:
    """Return kind and name of the workload that a pod belongs to: the Deployment for a ReplicaSet's."""
    owner: Any = next(iter(items(pod, "metadata", "ownerReferences")), {})
    kind, name = text(owner, "kind"), text(owner, "name")
    digest = text(pod, "metadata", "labels", "pod-template-hash")
    if kind == "ReplicaSet" and digest and name.endswith(f"-{digest}"):
        return "Deployment", name.removesuffix(f"-{digest}")
    return kind or "Pod", name or text(pod, "metadata", "name")
