"""Why something is not ready: from a workload to the pod that cannot start, from there to what it lacks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from itertools import islice

from dr.core.body import dig, get, items, mapping, text
from dr.core.errors import ApiError
from dr.core.health import State, health
from dr.core.model import Body
from dr.core.rules.readiness import NAMING_EVENTS
from dr.core.scan import segments
from dr.engine.ports import Cluster

_WITH_PODS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"})
_EVENTS = 50
_EVERY, _AT_ONCE = 1.0, 8


async def explaining(
    cluster: Cluster, late: Callable[[], Iterable[tuple[int, Body]]], told: Callable[[int, str], None]
) -> None:
    """Find out, again and again, what lies behind the waits that last: `late` names them, `told` hears what."""
    while True:
        await asyncio.sleep(_EVERY)
        for step, body in list(islice(late(), _AT_ONCE)):
            try:
                more = await explain(cluster, body)
            except ApiError:
                continue
            told(step, more)


async def explain(cluster: Cluster, body: Body) -> str:
    """Return what stands behind an object's wait, in a phrase; "" where nothing more is to be found.

    Raises ApiError.
    """
    kind, namespace = text(body, "kind"), text(body, "metadata", "namespace")
    if kind not in _WITH_PODS:
        return await _event(cluster, body) if kind in ("PersistentVolumeClaim", "Pod") else ""
    for condition in items(body, "status", "conditions"):
        if text(condition, "type") == "ReplicaFailure" and text(condition, "status") == "True":
            return text(condition, "message")
    labels = mapping(body, "spec", "selector", "matchLabels")
    if not labels:
        return ""
    selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    pods = await cluster.list("v1", "Pod", namespace=namespace, labels=selector)
    for pod in sorted(pods, key=lambda pod: text(pod, "metadata", "name")):
        verdict = health(pod)
        if verdict.state is not State.CURRENT:
            return f"pod {text(pod, 'metadata', 'name')}: {await _event(cluster, pod) or verdict.message}"
    return "" if pods else await _event(cluster, body)


async def _event(cluster: Cluster, body: Body) -> str:
    """Return the newest warning about an object; a program's own words (probes, hooks) may hold secrets and are not."""
    if list(dig(body, segments("status.containerStatuses[].state.waiting.message"))):
        return ""
    found = await cluster.list("v1", "Event", namespace=text(body, "metadata", "namespace"))
    uid = text(body, "metadata", "uid")
    own = [e for e in found[-_EVENTS * 20 :] if get(e, "involvedObject", "uid") == uid and text(e, "type") == "Warning"]
    newest = max(own, key=lambda e: text(e, "lastTimestamp") or text(e, "eventTime"), default=None)
    if newest is None:
        return ""
    reason = text(newest, "reason")
    return f"{reason}: {text(newest, 'message')}" if reason in NAMING_EVENTS else reason
