"""Faults in workloads: pods that are killed, operators and webhooks' backends that are down."""

from typing import Any

from dr.chaos import guard
from dr.chaos.api import uid_of
from dr.chaos.bodies import owned, saved
from dr.chaos.guard import Given, allow, bound, existing, refuse
from dr.chaos.pods import APPS, endpoints, of_workload
from dr.chaos.strike import activity, seen, strike
from dr.chaos.undo import record
from dr.core.body import text
from dr.core.chaos import PutBack, Scale
from dr.core.model import Body, Ref
from dr.core.pods import alive, wanted

_SCALED = ("Deployment", "StatefulSet", "ReplicaSet")


@activity
def kill_pods(
    namespace: str,
    selector: str,
    count: str = "1",
    grace: int = -1,
    timeout: float = 60.0,
    configuration: Given = None,
    secrets: Given = None,
) -> dict[str, Any]:
    """Kill pods of a namespace by label selector, and wait until no Service sends traffic to them.

    Blast radius: `count` pods ("all", or a number; the first by name), each with `grace` seconds to end (-1: its own).
    Undone by their controllers, which make new ones; a pod without a controller is put back.
    """
    home, labels = guard.namespace(namespace), guard.selector(selector)
    found = bound(configuration, secrets)
    pods = _chosen([pod for pod in found.api.list("v1", "Pod", home, labels) if alive(pod)], str(count))
    allow(found, home=home, objects=len(pods))
    alone = [pod for pod in pods if not owned(pod)]
    if alone:
        record(PutBack("kill pods", saved(alone)), found.undo)
    calls = [
        (f"Pod {home}/{_name(pod)}", lambda pod=pod: found.api.delete(_pod(pod), uid=uid_of(pod), grace=_grace(grace)))
        for pod in pods
    ]
    killed = strike("kill pods", calls, "their controllers make new ones")
    uids = {uid_of(pod) for pod in pods}

    def over() -> bool:
        left = [pod for pod in found.api.list("v1", "Pod", home, labels) if uid_of(pod) in uids and alive(pod)]
        return not left and not uids & set(endpoints(found.api, home))

    seen(over, timeout, "the end of the pods")
    return {"killed": list(killed)}


def _chosen(pods: list[Body], count: str) -> list[Body]:
    if count == "all":
        return pods
    if not count.isdecimal() or int(count) < 1:
        raise refuse(f'count is "{count}"', "Give a number from 1, or all")
    if pods and len(pods) < int(count):
        raise refuse(f"{count} pods were to be killed, {len(pods)} are there", "Lower count, or say all")
    return pods[: int(count)]


def _grace(seconds: float) -> int | None:
    return None if int(seconds) < 0 else int(seconds)


def _name(body: Body) -> str:
    return text(body, "metadata", "name")


def _pod(body: Body) -> Ref:
    return Ref("v1", "Pod", text(body, "metadata", "namespace"), _name(body))


@activity
def scale_down(
    kind: str,
    namespace: str,
    name: str,
    timeout: float = 60.0,
    configuration: Given = None,
    secrets: Given = None,
) -> dict[str, Any]:
    """Take an operator, a webhook's backend or any other workload down to no replicas, and wait until none serves.

    Blast radius: the pods of one Deployment, StatefulSet or ReplicaSet, and whatever needs them to answer.
    Undone by giving it the replicas that it had, unless it has some again by then.
    """
    home = guard.namespace(namespace)
    if kind not in _SCALED:
        raise refuse(f'a workload of kind "{kind}" has no replicas', f"Name one of {', '.join(_SCALED)}")
    found = bound(configuration, secrets)
    ref = Ref(APPS, kind, home, name)
    workload = existing(found, ref)
    pods, replicas = of_workload(found.api, workload), wanted(workload)
    if not replicas:
        raise refuse(f"{ref} wants no replicas as it is", "Bring it up first: what is down cannot go down")
    allow(found, home=home, objects=max(len(pods), replicas))
    record(Scale("scale down", ref, replicas), found.undo)
    call = (str(ref), lambda: bool(found.api.patch(ref, {"spec": {"replicas": 0}})))
    strike("scale down", [call], f"it gets its {replicas} replicas again")
    uids = {uid_of(pod) for pod in pods}

    def over() -> bool:
        live = found.api.get(ref)
        left = [pod for pod in of_workload(found.api, live) if alive(pod)] if live else []
        return not left and not uids & set(endpoints(found.api, home))

    seen(over, timeout, f"{ref} without pods")
    return {"scaled down": str(ref), "replicas before": replicas}
