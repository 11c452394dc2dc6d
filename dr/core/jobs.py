"""A herd's round as an Indexed Job of Kubernetes, and what its pods and its status say of each index. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from dr.core.body import get, items, mapping, text
from dr.core.herd import Kubernetes, Result
from dr.core.herding import SILENT, Cluster, Limits, Plan, Round, Seen, short
from dr.core.model import Body

IN_CLUSTER = "in-cluster"
RUN, INDEX = "dr.dev/herd-run", "batch.kubernetes.io/job-completion-index"
SHEET, WORKER = "/etc/dr/herd", "worker"
REPORTS, SECRETS = "/reports", "/etc/dr/secrets"
_TMP = "/tmp"  # noqa: S108 - a volume of the pod's own
MET, MISSED, WRONG = 0, 1, 2
_TRIED = "batch.kubernetes.io/job-index-failure-count"
_GRACE = 120  # seconds in which a stopped gameday cleans up
_SPARE = 300.0  # seconds beyond its timeout until a pod that does not end by itself is ended
# What ends a Job before all its indexes have ended, and was meant to.
_MEANT = frozenset({"MaxFailedIndexesExceeded", "FailedIndexes"})


class Sheet(Struct, frozen=True):
    """What the workers of a round are told: a cluster for each index, and the same scenario for all.

    `files`: the gameday file and what stands beside it, by relative path; `gameday` is the one to run. `timeout` in
    seconds. `home`: the management cluster, where the clusters' Secrets are. `run`: the herd's.
    """

    run: str
    scenario: str
    clusters: tuple[Cluster, ...]
    timeout: float
    home: str = ""
    gameday: str = ""
    files: dict[str, str] = {}
    command: tuple[str, ...] = ()


def sheet(plan: Plan, found: Round, home: str) -> Sheet:
    """Return what the workers of a round are told; `home` is the management cluster as they call it."""
    by_name = {cluster.name: cluster for cluster in plan.clusters}
    scenario = next(s for s in plan.herd.scenarios if s.name == found.scenario)
    return Sheet(
        plan.run,
        scenario.name,
        tuple(by_name[plan.members[i].cluster] for i in found.members),
        float(plan.herd.timeout),
        home,
        scenario.gameday,
        plan.files if scenario.gameday else {},
        scenario.command,
    )


def named(plan: Plan, found: Round) -> str:
    """Return the name of a round's Job and of its sheet."""
    return f"{short(plan.run, plan.herd.name)}-{found.number}"


def sheet_body(plan: Plan, found: Round, home: Kubernetes) -> Body:
    """Return the ConfigMap that a round's workers read."""
    content = msgspec.json.encode(sheet(plan, found, IN_CLUSTER)).decode()
    return {"apiVersion": "v1", "kind": "ConfigMap", **_own(plan, named(plan, found), home), "data": {"sheet": content}}


def kept_body(plan: Plan, content: Mapping[str, str], home: Kubernetes) -> Body:
    """Return the ConfigMap from which another coordinator goes on; `content` is base64 by name."""
    own = _own(plan, short(plan.run, plan.herd.name), home)
    return {"apiVersion": "v1", "kind": "ConfigMap", **own, "binaryData": dict(content)}


def _own(plan: Plan, name: str, home: Kubernetes) -> Body:
    labels = {"app.kubernetes.io/managed-by": "dr", RUN: short(plan.run, plan.herd.name)}
    return {"metadata": {"name": name, "namespace": home.namespace, "labels": labels}}


def job_body(plan: Plan, found: Round, limits: Limits, home: Kubernetes, owner: Body) -> Body:
    """Return a round's Job. `owner` is the ConfigMap of `kept_body` as stored: deleting it ends the herd.

    An index that missed its objective, or was given wrong input, is not tried again: that would hide it. What a
    disruption of the management cluster took does not count. Source of the rules:
    https://kubernetes.io/docs/concepts/workloads/controllers/job/ (backoff limit per index, success policy, pod failure
    policy; stable since 1.33).
    """
    count, herd = len(found.members), plan.herd
    own = _own(plan, named(plan, found), home)
    refers = {key: text(owner, key) for key in ("apiVersion", "kind")}
    refers |= {key: text(owner, "metadata", key) for key in ("name", "uid")}
    rules = [
        {
            "action": "FailIndex",
            "onExitCodes": {"containerName": WORKER, "operator": "In", "values": [MISSED, WRONG]},
        },
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]
    enough = {"successPolicy": {"rules": [{"succeededCount": limits.enough}]}} if limits.enough else {}
    turns = -(-count // limits.parallel)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {**own["metadata"], "ownerReferences": [refers]},
        "spec": {
            "completionMode": "Indexed",
            "completions": count,
            "parallelism": limits.parallel,
            "backoffLimitPerIndex": herd.attempts - 1,
            "maxFailedIndexes": min(limits.failures, count),
            "activeDeadlineSeconds": int(turns * herd.attempts * (herd.timeout + _SPARE)),
            "ttlSecondsAfterFinished": int(home.keep),
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": rules},
            **enough,
            "template": {"metadata": {"labels": own["metadata"]["labels"]}, "spec": pod_spec(plan, found, home)},
        },
    }


def pod_spec(plan: Plan, found: Round, home: Kubernetes) -> Body:
    """Return how a worker runs: as the `restricted` Pod Security Standard wants it."""
    claimed = {"persistentVolumeClaim": {"claimName": home.claim}} if home.claim else {"emptyDir": {}}
    argv = [*home.command, "herd", "work", "--sheet", f"{SHEET}/sheet", "--reports", REPORTS]
    return worker(
        WORKER,
        argv,
        home,
        {"sheet": (SHEET, {"configMap": {"name": named(plan, found)}}), "reports": (REPORTS, claimed)},
        plan.herd.timeout + _SPARE,
    )


def worker(name: str, argv: list[str], home: Kubernetes, mounts: dict[str, tuple[str, Body]], lasts: float) -> Body:
    """Return the spec of a pod with one container that is ended after `lasts` seconds.

    `mounts`: by a volume's name its path and its source. What `home` says of Secrets is there as variables and files.
    """
    secrets = {
        f"secret-{n}": (f"{SECRETS}/{secret}", {"secret": {"secretName": secret}})
        for n, secret in enumerate(home.secrets)
    }
    mounts = {**mounts, **secrets, "tmp": (_TMP, {"emptyDir": {}})}
    resources = home.resources
    return {
        "restartPolicy": "Never",
        "serviceAccountName": home.service_account,
        "terminationGracePeriodSeconds": _GRACE,
        "activeDeadlineSeconds": int(lasts),
        "nodeSelector": home.node_selector,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": name,
                "image": home.image,
                "command": argv,
                "env": [{"name": "HOME", "value": _TMP}],
                "envFrom": [{"secretRef": {"name": secret}} for secret in home.secrets],
                "resources": {
                    "requests": {"cpu": resources.cpu, "memory": resources.memory},
                    "limits": {"memory": resources.memory_limit},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [{"name": volume, "mountPath": path} for volume, (path, _) in mounts.items()],
            }
        ],
        "volumes": [{"name": volume, **source} for volume, (_, source) in mounts.items()],
    }


def of_pod(pod: Body, attempts: int) -> Seen | None:
    """Return what a worker's pod says of its index, of which there may be so many attempts; None: it has not begun."""
    said = text(pod, "metadata", "annotations", INDEX)
    phase = text(pod, "status", "phase")
    if not said.isdigit() or phase in ("", "Pending"):
        return None
    index, tried = int(said), int(text(pod, "metadata", "annotations", _TRIED) or 0) + 1
    if phase not in ("Succeeded", "Failed"):
        return Seen(index, "running", tried)
    code, result = _ended(pod)
    if phase == "Succeeded":
        # A worker that did its work says so: a pod that nobody ran may succeed as well.
        return Seen(index, "met" if result else "failed", tried, result)
    true = {text(c, "type") for c in items(pod, "status", "conditions") if text(c, "status") == "True"}
    if code in (MISSED, WRONG):
        return Seen(index, "missed" if code == MISSED else "failed", tried, result)
    final = tried >= attempts and "DisruptionTarget" not in true
    cause = Result("failed", cause=text(pod, "status", "message") or SILENT)
    return Seen(index, "failed", tried, result or cause) if final else Seen(index, "running", tried)


def _ended(pod: Body) -> tuple[int | None, Result | None]:
    """Return the worker's exit code and the result that it left."""
    for status in items(pod, "status", "containerStatuses"):
        ended = mapping(status, "state", "terminated")
        if text(status, "name") == WORKER and ended:
            code = ended.get("exitCode")
            return (code if isinstance(code, int) else None), result_of(text(ended, "message"))
    return None, None


def result_of(said: str) -> Result | None:
    """Return the result that a worker left; None where it left none that can be read."""
    try:
        return msgspec.json.decode(said, type=Result)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None


def over(job: Body) -> bool:
    """Return whether a Job has come to its end, pods and all."""
    return any(text(c, "type") in ("Complete", "Failed") and text(c, "status") == "True" for c in _conditions(job))


def of_job(job: Body, count: int) -> Iterator[Seen]:
    """Yield what a Job's status says of each index, for those whose pods nobody saw; its own end as well."""
    for index in _within(text(job, "status", "completedIndexes"), count):
        yield Seen(index, "met", 1)
    for index in _within(text(job, "status", "failedIndexes"), count):
        yield Seen(index, "failed", 1)
    broken = [c for c in _conditions(job) if text(c, "type") == "Failed" and text(c, "status") == "True"]
    if broken and text(broken[0], "reason") not in _MEANT:
        cause = f"the Job failed: {text(broken[0], 'message') or text(broken[0], 'reason')}"
        for index in range(count):
            yield Seen(index, "failed", 0, Result("failed", cause=cause))


def _conditions(job: Body) -> tuple[Any, ...]:
    return tuple(items(job, "status", "conditions"))


def _within(said: str, count: int) -> Iterator[int]:
    """Yield the numbers of `0-3,7` below `count`."""
    for part in said.split(",") if said else ():
        first, _, last = part.partition("-")
        if first.isdigit() and (last.isdigit() or not last):
            yield from range(int(first), min(int(last or first) + 1, count))


def waiting(pod: Body) -> str:
    """Return why a pod does not begin, as the kubelet or the scheduler says; "" where nobody says."""
    for status in items(pod, "status", "containerStatuses"):
        if reason := text(status, "state", "waiting", "reason"):
            return f"{reason}: {text(status, 'state', 'waiting', 'message')}".removesuffix(": ")
    bound = [c for c in items(pod, "status", "conditions") if text(c, "type") == "PodScheduled"]
    said = next((text(c, "message") for c in bound if get(c, "status") == "False"), "")
    return f"not scheduled: {said}" if said else ""
