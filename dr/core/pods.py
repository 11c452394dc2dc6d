"""Which pods really serve: not those that end, have ended, or stand on a node that is gone."""

from __future__ import annotations

from collections.abc import Collection

from dr.core.body import get, items, mapping, text
from dr.core.model import Body


def alive(pod: Body) -> bool:
    """Return whether a pod is meant to go on."""
    return "deletionTimestamp" not in mapping(pod, "metadata") and text(pod, "status", "phase") not in (
        "Succeeded",
        "Failed",
    )


def ready(body: Body) -> bool:
    """Return whether a pod or node says that it is Ready."""
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in items(body, "status", "conditions"))


def serving(pod: Body, nodes: Collection[str] | None) -> bool:
    """Return whether a pod is ready and will stay; `nodes` are those that are Ready, None where none may be read.

    For most of a minute the API server calls a pod ready whose node is gone.
    """
    return alive(pod) and ready(pod) and (nodes is None or text(pod, "spec", "nodeName") in nodes)


def labels_of(selector: object) -> str:
    """Return a `matchLabels` and `matchExpressions` selector as the API's query takes it."""
    words = [f"{key}={value}" for key, value in sorted(mapping(selector, "matchLabels").items())]
    for row in items(selector, "matchExpressions"):
        key, operator, values = text(row, "key"), text(row, "operator"), ",".join(map(str, items(row, "values")))
        words.append({"Exists": key, "DoesNotExist": f"!{key}"}.get(operator) or f"{key} {operator.lower()} ({values})")
    return ",".join(words)


def wanted(workload: Body) -> int:
    """Return how many pods a workload should have: a DaemonSet's are as many as its nodes."""
    if text(workload, "kind") == "DaemonSet":
        found = get(workload, "status", "desiredNumberScheduled")
    else:
        found = get(workload, "spec", "replicas")
    return found if isinstance(found, int) else 1
