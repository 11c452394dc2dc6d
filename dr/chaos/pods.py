"""Which pods of a workload, and which ends of a Service, the API server has."""

from __future__ import annotations

from dr.chaos.api import Api, uid_of
from dr.core.body import get, items, mapping, text
from dr.core.errors import ApiError
from dr.core.model import Body, Ref
from dr.core.pods import labels_of, ready, serving, wanted

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
APPS = "apps/v1"


def ready_nodes(api: Api) -> frozenset[str] | None:
    """Return the names of the nodes that are Ready; None where nodes may not be read."""
    try:
        return frozenset(text(node, "metadata", "name") for node in api.list("v1", "Node") if ready(node))
    except ApiError as error:
        if error.status == 403:
            return None
        raise


def of_workload(api: Api, workload: Body) -> tuple[Body, ...]:
    """Return the pods that a workload's own controller made, a Deployment's by way of its ReplicaSets."""
    home, labels = text(workload, "metadata", "namespace"), labels_of(get(workload, "spec", "selector"))
    makers = {uid_of(workload)}
    if text(workload, "kind") == "Deployment":
        makers = {uid_of(each) for each in api.list(APPS, "ReplicaSet", home, labels) if makers & _controllers(each)}
    return tuple(pod for pod in api.list("v1", "Pod", home, labels) if makers & _controllers(pod))


def _controllers(body: Body) -> set[str]:
    return {text(owner, "uid") for owner in items(body, "metadata", "ownerReferences") if owner.get("controller")}


def ready_pods(api: Api, ref: Ref) -> tuple[int, int]:
    """Return how many pods of a workload serve and how many should; (0, 0) where it is not there, or wants none."""
    workload = api.get(ref)
    if workload is None or "deletionTimestamp" in mapping(workload, "metadata"):
        return 0, 0
    nodes = ready_nodes(api)
    return sum(serving(pod, nodes) for pod in of_workload(api, workload)), wanted(workload)


def endpoints(api: Api, namespace: str, service: str = "") -> tuple[str, ...]:
    """Return the UIDs of what stands behind a Service, or behind all of a namespace, and is said to be ready."""
    labels = f"kubernetes.io/service-name={service}" if service else ""
    slices = api.list("discovery.k8s.io/v1", "EndpointSlice", namespace, labels)
    ends = [end for each in slices for end in items(each, "endpoints") if get(end, "conditions", "ready") is not False]
    return tuple(text(end, "targetRef", "uid") for end in ends)
