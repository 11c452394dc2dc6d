"""Faults in machines: nodes that are gone, drained or closed to new pods."""

from collections.abc import Collection, Sequence
from typing import Any

from dr.chaos.api import Api, ref_of, uid_of
from dr.chaos.bodies import owned, saved
from dr.chaos.guard import Bound, Given, allow, bound, refuse
from dr.chaos.strike import activity, seen, strike
from dr.chaos.undo import record
from dr.core.body import get, items, text
from dr.core.chaos import Patch, PutBack
from dr.core.errors import ApiError
from dr.core.model import Body, Ref
from dr.core.pods import alive, ready

_ZONE = "topology.kubernetes.io/zone"
_MODES = ("delete", "drain", "cordon")


@activity
def lose_nodes(
    names: str = "",
    selector: str = "",
    zone: str = "",
    mode: str = "delete",
    timeout: float = 120.0,
    configuration: Given = None,
    secrets: Given = None,
) -> dict[str, Any]:
    """Lose nodes by name (several with commas), by label selector, or all of a zone.

    `mode`: delete removes their Node objects, as a cloud does with machines that are gone, and waits until no pod of
    theirs is left (Kubernetes takes up to a minute to notice); drain evicts their pods; cordon only closes them.
    Blast radius: these nodes and all pods on them. Undone by putting the Node objects back, or by opening the
    nodes; their pods have controllers that make new ones, and those that have none are put back.
    """
    if mode not in _MODES:
        raise refuse(f'mode is "{mode}"', f"Give one of {', '.join(_MODES)}")
    if sum(bool(each) for each in (names, selector, zone)) != 1:
        raise refuse("the nodes are not named in exactly one way", "Give names, a selector or a zone")
    found = bound(configuration, secrets)
    everything = found.api.list("v1", "Node")
    nodes = _selected(found.api, everything, names, f"{_ZONE}={zone}" if zone else selector)
    allow(found, nodes=len(nodes))
    if len(nodes) == len(everything):
        allow(found, cluster=True)
    struck = _deleted(found, nodes, timeout) if mode == "delete" else _closed(found, nodes, mode, timeout)
    return {"mode": mode, "nodes": list(struck)}


def _selected(api: Api, everything: Sequence[Body], names: str, labels: str) -> list[Body]:
    if labels:
        return list(api.list("v1", "Node", labels=labels))
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    lacking = sorted(set(wanted) - {text(node, "metadata", "name") for node in everything})
    if lacking:
        raise refuse(f"there is no node {', '.join(lacking)}", "Check its name: kubectl get nodes")
    return [node for node in everything if text(node, "metadata", "name") in wanted]


def _deleted(found: Bound, nodes: Sequence[Body], timeout: float) -> tuple[str, ...]:
    names = {text(node, "metadata", "name") for node in nodes}
    record(PutBack("lose nodes", saved([*nodes, *_alone(found.api, names)])), found.undo)
    calls = [(str(_ref(node)), lambda node=node: found.api.delete(_ref(node), uid=uid_of(node))) for node in nodes]
    struck = strike("lose nodes", calls, "their Node objects are put back")

    def over() -> bool:
        return not any(alive(pod) and ready(pod) for pod in _on(found.api, names))

    seen(over, timeout, "the end of the pods on the lost nodes")
    return struck


def _closed(found: Bound, nodes: Sequence[Body], mode: str, timeout: float) -> tuple[str, ...]:
    names = {text(node, "metadata", "name") for node in nodes}
    for node in nodes:
        if not get(node, "spec", "unschedulable"):
            record(Patch("lose nodes", _ref(node), {"spec": {"unschedulable": None}}), found.undo)
    if mode == "drain" and (alone := _alone(found.api, names)):
        record(PutBack("lose nodes", saved(alone)), found.undo)
    closed = {"spec": {"unschedulable": True}}
    calls = [(str(_ref(node)), lambda node=node: bool(found.api.patch(_ref(node), closed))) for node in nodes]
    struck = strike("lose nodes", calls, "they take pods again")
    if mode == "drain":
        seen(lambda: _drained(found.api, names), timeout, "the end of the pods on the drained nodes")
    return struck


def _drained(api: Api, names: Collection[str]) -> bool:
    """Evict what stands on these nodes and is not a node's own; return whether nothing is left.

    Not chaosk8s' `drain_nodes`: it fails at the first pod without volumes, with the nodes closed.
    """
    left = [pod for pod in _on(api, names) if alive(pod) and not _belongs(pod)]
    for pod in left:
        ref = ref_of(pod)
        named = {"name": ref.name, "namespace": ref.namespace}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": named}
        try:
            api.call("POST", f"{api.path(ref)}/eviction", eviction)
        except ApiError as error:
            if not (error.heals or error.status == 404):  # 429: a disruption budget says not now
                raise
    return not left


def _belongs(pod: Body) -> bool:
    """Return whether a pod is its node's own, as a DaemonSet's and a static one are."""
    return any(owner.get("kind") in ("DaemonSet", "Node") for owner in items(pod, "metadata", "ownerReferences"))


def _on(api: Api, names: Collection[str]) -> list[Body]:
    return [pod for pod in api.list("v1", "Pod") if text(pod, "spec", "nodeName") in names]


def _alone(api: Api, names: Collection[str]) -> list[Body]:
    """Return the pods on these nodes that nobody will make again."""
    return [pod for pod in _on(api, names) if alive(pod) and not owned(pod)]


def _ref(node: Body) -> Ref:
    return Ref("v1", "Node", "", text(node, "metadata", "name"))
