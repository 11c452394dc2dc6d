"""What a gameday asks of an API server, by probe and by activity of an experiment: the least rights that it needs.

`{namespace}`, `{name}` and the other words in braces are the activity's arguments. `{resource}` and `{group}` are those
of the kind that it names. Checked against a real API server, for the scenarios of tests/e2e/test_rights.py: each passes
with them, and fails without any one.
"""

from __future__ import annotations

from msgspec import Struct

HOME = "kube-system"


class Right(Struct, frozen=True, order=True):
    """Verbs on a resource in a namespace ("": in all, and on what is in none); with a `name`: on that object only."""

    namespace: str
    group: str
    resource: str
    verbs: tuple[str, ...]
    name: str = ""


class When(Struct, frozen=True):
    """Rights that are needed where an argument is one of these values only."""

    argument: str
    values: tuple[str, ...]
    rights: tuple[Right, ...]


_LEASES, _CRDS = "coordination.k8s.io", "apiextensions.k8s.io"
# Who the cluster is, and the hold on it while a gameday runs.
ALWAYS = (
    Right(HOME, "", "namespaces", ("get",), HOME),
    Right(HOME, _LEASES, "leases", ("create",)),
    Right(HOME, _LEASES, "leases", ("get", "update", "delete"), "dr-gameday"),
)
_OBJECT = Right("{namespace}", "{group}", "{resource}", ("get",), "{name}")
_PODS = Right("{namespace}", "", "pods", ("list",))
_SETS = When("kind", ("Deployment",), (Right("{namespace}", "apps", "replicasets", ("list",)),))
_ENDS = Right("{namespace}", "discovery.k8s.io", "endpointslices", ("list",))
_ALL = Right("{namespace}", "{group}", "{resource}", ("list",))
# Whether objects are named or selected, and whether their kind is one of a team's own: words of ours, not arguments.
BY, OWN = "by", "own"
# What is there when an argument is not given.
DEFAULTS = {"mode": "delete", "namespace": ""}
# By module.function of an activity.
ACTIVITIES: dict[str, tuple[Right | When, ...]] = {
    "dr.chaos.probes.workload_ready": (_OBJECT, _SETS, _PODS),
    "dr.chaos.probes.service_has_endpoints": (_ENDS, _PODS),
    "dr.chaos.probes.object_exists": (When(BY, ("name",), (_OBJECT,)), When(BY, ("selector",), (_ALL,))),
    "dr.chaos.probes.custom_resources": (_ALL,),
    "dr.chaos.probes.nodes_ready": (Right("", "", "nodes", ("list",)),),
    # A dry run asks for the right to do it.
    "dr.chaos.probes.admission_works": (Right("{namespace}", "", "pods", ("create",)),),
    "chaosk8s.deployment.probes.deployment_available_and_healthy": (Right("{ns}", "apps", "deployments", ("list",)),),
    "dr.chaos.actions.kill_pods": (_PODS, _ENDS, Right("{namespace}", "", "pods", ("delete",))),
    "dr.chaos.actions.scale_down": (
        Right("{namespace}", "{group}", "{resource}", ("get", "patch"), "{name}"),
        _SETS,
        _PODS,
        _ENDS,
    ),
    "dr.chaos.actions.delete_objects": (
        When(BY, ("name",), (Right("{namespace}", "{group}", "{resource}", ("get", "delete"), "{name}"),)),
        When(BY, ("selector",), (Right("{namespace}", "{group}", "{resource}", ("list", "get", "delete")),)),
        # What is made of the objects goes with them: it is looked for, and of a team's own kinds it is a Secret.
        Right("{namespace}", "", "secrets", ("list",)),
        Right("{namespace}", "", "configmaps", ("list",)),
        When(OWN, ("yes",), (Right("{namespace}", "", "secrets", ("get", "create")),)),
        # To put them back, unless their namespace is going.
        Right("{namespace}", "{group}", "{resource}", ("create",)),
        Right("{namespace}", "", "namespaces", ("get",), "{namespace}"),
    ),
    "dr.chaos.actions.delete_crd": (
        Right("", _CRDS, "customresourcedefinitions", ("get", "delete"), "{name}"),
        Right("", _CRDS, "customresourcedefinitions", ("create",)),
        # In whatever namespaces they are.
        Right("", "{crd_group}", "{crd_resource}", ("list", "get", "create")),
        Right("", "", "namespaces", ("get",)),
    ),
    "dr.chaos.actions.lose_nodes": (
        Right("", "", "nodes", ("list",)),
        Right("", "", "pods", ("list",)),
        When("mode", ("delete",), (Right("", "", "nodes", ("get", "delete"), "{names}"),)),
        When("mode", ("delete",), (Right("", "", "nodes", ("create",)),)),
        When("mode", ("drain", "cordon"), (Right("", "", "nodes", ("get", "patch"), "{names}"),)),
        When("mode", ("drain",), (Right("", "", "pods/eviction", ("create",)),)),
    ),
    "dr.chaos.actions.undo": (),
}
_PROGRAMS = "a pod cannot reach the programs of its control plane: use an embedded cluster"
# What no pod of the cluster that is struck can do, and why.
REFUSED = {
    "dr.chaos.actions.delete_namespace": "its Roles would go with the namespace, and to put back what that held wants "
    "rights over everything",
    "dr.chaos.actions.remove_cluster": "the pod that is to tell of it would be gone with the cluster",
    **{
        f"dr.chaos.actions.{name}": _PROGRAMS
        for name in ("stop_program", "lose_etcd", "put_back_etcd", "snapshot_etcd")
    },
}
