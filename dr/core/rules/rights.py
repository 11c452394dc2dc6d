"""What a gameday asks of an API server, by probe and by activity of an experiment: the least rights that it needs.

`{namespace}`, `{name}` and the other words in braces are the activity's arguments. `{resource}` and `{group}` are those
of the kind that it names. Checked against a real API server: the scenario passes with them, and fails without any one.
"""

from __future__ import annotations

from msgspec import Struct

HOME = "kube-system"


class Right(Struct, frozen=True, order=True):
    """Verbs on a resource in a namespace; with a `name`: on that object only."""

    namespace: str
    group: str
    resource: str
    verbs: tuple[str, ...]
    name: str = ""


_LEASES = "coordination.k8s.io"
# Who the cluster is, and the hold on it while a gameday runs.
ALWAYS = (
    Right(HOME, "", "namespaces", ("get",), HOME),
    Right(HOME, _LEASES, "leases", ("create",)),
    Right(HOME, _LEASES, "leases", ("get", "update", "delete"), "dr-gameday"),
)
_OBJECT = Right("{namespace}", "{group}", "{resource}", ("get",), "{name}")
_PODS = Right("{namespace}", "", "pods", ("list",))
# Asked for where the kind is a Deployment.
SETS = Right("{namespace}", "apps", "replicasets", ("list",))
_ENDS = Right("{namespace}", "discovery.k8s.io", "endpointslices", ("list",))
# By module.function of an activity.
ACTIVITIES: dict[str, tuple[Right, ...]] = {
    "dr.chaos.probes.workload_ready": (_OBJECT, SETS, _PODS),
    "dr.chaos.probes.service_has_endpoints": (_ENDS, _PODS),
    "dr.chaos.probes.object_exists": (_OBJECT,),
    "chaosk8s.deployment.probes.deployment_available_and_healthy": (Right("{ns}", "apps", "deployments", ("list",)),),
    "dr.chaos.actions.kill_pods": (_PODS, Right("{namespace}", "", "pods", ("delete",))),
    "dr.chaos.actions.scale_down": (
        Right("{namespace}", "{group}", "{resource}", ("get", "patch"), "{name}"),
        SETS,
        _PODS,
        _ENDS,
    ),
    "dr.chaos.actions.undo": (),
}
