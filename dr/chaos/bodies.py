"""Objects as they can be created anew: without what the server wrote into them, in an order that works."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from dr.core.body import items, mapping, text
from dr.core.model import Body
from dr.core.rules.order import KIND_ORDER

_METADATA = ("name", "namespace", "labels", "annotations", "finalizers", "ownerReferences")
# What a server or controller writes into an object of a kind and what must not come back with it.
_WRITTEN: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "Namespace": (("spec",),),
    "PersistentVolumeClaim": (
        ("spec", "volumeName"),
        ("metadata", "annotations", "pv.kubernetes.io/bind-completed"),
        ("metadata", "annotations", "pv.kubernetes.io/bound-by-controller"),
        ("metadata", "annotations", "volume.kubernetes.io/selected-node"),
    ),
    "PersistentVolume": (("spec", "claimRef", "uid"), ("spec", "claimRef", "resourceVersion")),
    "Pod": (("spec", "nodeName"),),
    "Secret": (("metadata", "annotations", "kubernetes.io/service-account.uid"),),
    "ServiceAccount": (("secrets",),),
}
_JOB_LABELS = ("controller-uid", "batch.kubernetes.io/controller-uid")
_OF_NODES = "node.kubernetes.io/"
_RANK = {kind: rank for rank, kind in enumerate(KIND_ORDER)}


def cleaned(body: Body) -> Body:
    """Return an object as it can be created again; its owners stay, by names that may have new UIDs by then."""
    made = deepcopy({key: value for key, value in body.items() if key != "status"})
    made["metadata"] = {key: value for key, value in mapping(made, "metadata").items() if key in _METADATA}
    kind = text(made, "kind")
    for *path, last in _WRITTEN.get(kind, ()):
        mapping(made, *path).pop(last, None)
    if kind == "Node":
        taints = [t for t in items(made, "spec", "taints") if not text(t, "key").startswith(_OF_NODES)]
        made["spec"] = {**mapping(made, "spec"), "taints": taints}
    if kind == "Job" and not mapping(made, "spec").get("manualSelector"):
        mapping(made, "spec").pop("selector", None)
        for labels in (mapping(made, "metadata", "labels"), mapping(made, "spec", "template", "metadata", "labels")):
            for name in _JOB_LABELS:
                labels.pop(name, None)
    return made


def owned(body: Body) -> bool:
    """Return whether a controller made the object, and will make it again."""
    return any(owner.get("controller") for owner in _owners(body))


def _owners(body: Body) -> Iterator[Mapping[str, Any]]:
    yield from (owner for owner in items(body, "metadata", "ownerReferences") if isinstance(owner, dict))


def saved(bodies: Iterable[Body]) -> tuple[Body, ...]:
    """Return what must be created to have these objects back, in an order that works: owners before what they own."""
    return tuple(sorted((cleaned(body) for body in bodies), key=_place))


def _place(body: Body) -> tuple[bool, int, str, str, str]:
    rank = _RANK.get(text(body, "kind"), _RANK[""])
    name = text(body, "metadata", "namespace"), text(body, "metadata", "name")
    return any(_owners(body)), rank, text(body, "kind"), *name
