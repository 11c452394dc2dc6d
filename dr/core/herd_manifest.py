"""What leads a herd from within its management cluster: a Job, and the rights that it and its workers need. Pure."""

from __future__ import annotations

from collections import defaultdict

from dr.core.herd import Kubernetes
from dr.core.herding import Plan, short
from dr.core.jobs import IN_CLUSTER, REPORTS, kept_body, worker
from dr.core.model import Body

LEADER = "dr-herd-leader"
_RBAC = "rbac.authorization.k8s.io"
# What the leader asks for (apiGroup, resource, verbs); `get`, `patch` of what it keeps by that one's name.
_LEADS = (
    ("batch", "jobs", ("create", "get", "list", "watch")),
    ("", "pods", ("list", "watch")),
    ("", "configmaps", ("create",)),
)
_TRIES = 20  # of the leader: each goes on where the last one stopped


def bodies(plan: Plan, home: Kubernetes, content: dict[str, str]) -> tuple[Body, ...]:
    """Return the objects to apply; `content` is what `kept_body` keeps.

    Workers may read the Secrets of this herd's clusters, by name, and nothing else; without any they may do nothing.
    """
    name = short(plan.run, plan.herd.name)
    rules = [_rule(group, resource, verbs) for group, resource, verbs in _LEADS]
    rules.append(_rule("", "configmaps", ("get", "patch"), [name]))
    secrets: dict[str, list[str]] = defaultdict(list)
    for cluster in plan.clusters:
        if cluster.secret:
            namespace, _, secret = cluster.secret.partition("/")
            secrets[namespace].append(secret)
    accounts = (
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": who, "namespace": home.namespace}}
        for who in (LEADER, home.service_account)
    )
    return (
        *accounts,
        *_granted(LEADER, home, home.namespace, rules),
        *(
            body
            for namespace, names in sorted(secrets.items())
            for body in _granted(home.service_account, home, namespace, [_rule("", "secrets", ("get",), sorted(names))])
        ),
        kept_body(plan, content, home),
        _job(home, name),
    )


def _rule(group: str, resource: str, verbs: tuple[str, ...], names: list[str] | None = None) -> Body:
    rule: Body = {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
    return rule | ({"resourceNames": names} if names else {})


def _granted(who: str, home: Kubernetes, namespace: str, rules: list[Body]) -> tuple[Body, Body]:
    metadata = {"name": who, "namespace": namespace}
    subject = {"kind": "ServiceAccount", "name": who, "namespace": home.namespace}
    refers = {"apiGroup": _RBAC, "kind": "Role", "name": who}
    return (
        {"apiVersion": f"{_RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": rules},
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": refers,
            "subjects": [subject],
        },
    )


def _job(home: Kubernetes, name: str) -> Body:
    claimed = {"persistentVolumeClaim": {"claimName": home.claim}} if home.claim else {"emptyDir": {}}
    argv = [*home.command, "herd", "lead", f"{home.namespace}/{name}", "--to", IN_CLUSTER, "--reports", REPORTS]
    spec = worker("leader", argv, home, {"reports": (REPORTS, claimed)}, 0.0)
    # A leader waits for all the others: only its Job's own end is its.
    del spec["activeDeadlineSeconds"]
    # 1: an objective was missed. To lead the herd again would change nothing.
    rules = [
        {"action": "FailJob", "onExitCodes": {"containerName": "leader", "operator": "In", "values": [1, 2]}},
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"{name}-leader", "namespace": home.namespace},
        "spec": {
            "backoffLimit": _TRIES,
            "ttlSecondsAfterFinished": int(home.keep),
            "podFailurePolicy": {"rules": rules},
            "template": {"spec": {**spec, "serviceAccountName": LEADER}},
        },
    }
