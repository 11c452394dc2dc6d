"""What leads a herd from within its management cluster: a Job, and the rights that it and its workers need. Pure."""

from __future__ import annotations

from collections import defaultdict

from dr.core.herd import Kubernetes
from dr.core.herding import Plan, short
from dr.core.jobs import IN_CLUSTER, REPORTS, kept_body, worker
from dr.core.model import Body

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
    All is named for the run and has its label, so that no herd takes another's rights; only the account of the workers
    is called as the file says.
    """
    name = short(plan.run, plan.herd.name)
    rules = [_rule(group, resource, verbs) for group, resource, verbs in _LEADS]
    rules.append(_rule("", "configmaps", ("get", "patch"), [name]))
    secrets: dict[str, list[str]] = defaultdict(list)
    for cluster in plan.clusters:
        if cluster.secret:
            namespace, _, secret = cluster.secret.partition("/")
            secrets[namespace].append(secret)
    leader, workers = f"{name}-leader", home.service_account
    kept = kept_body(plan, content, home)
    where, own = {"namespace": home.namespace}, {"labels": kept["metadata"]["labels"]}
    return (
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": leader, **where, **own}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": workers, **where}},
        *_granted(leader, home, {"name": leader, **where, **own}, rules),
        *(
            body
            for namespace, names in sorted(secrets.items())
            for body in _granted(
                workers,
                home,
                {"name": name, "namespace": namespace, **own},
                [_rule("", "secrets", ("get",), sorted(names))],
            )
        ),
        kept,
        _job(home, name, leader, own),
    )


def _rule(group: str, resource: str, verbs: tuple[str, ...], names: list[str] | None = None) -> Body:
    rule: Body = {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
    return rule | ({"resourceNames": names} if names else {})


def _granted(who: str, home: Kubernetes, metadata: Body, rules: list[Body]) -> tuple[Body, Body]:
    subject = {"kind": "ServiceAccount", "name": who, "namespace": home.namespace}
    refers = {"apiGroup": _RBAC, "kind": "Role", "name": metadata["name"]}
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


def _job(home: Kubernetes, name: str, leader: str, own: Body) -> Body:
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
        "metadata": {"name": leader, "namespace": home.namespace, **own},
        "spec": {
            "backoffLimit": _TRIES,
            "ttlSecondsAfterFinished": int(home.keep),
            "podFailurePolicy": {"rules": rules},
            "template": {"spec": {**spec, "serviceAccountName": leader}},
        },
    }
