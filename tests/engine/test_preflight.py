"""What is said of a cluster before anything is changed: no false alarm about what is there, and no surprise later."""

from __future__ import annotations

import asyncio

import pytest

from dr.core.events import Checked
from dr.core.model import Body, Graph, Level, Node, Origin, Ref
from dr.core.work import Assignment
from dr.engine.preflight import preflight
from dr.engine.recorder import Recorder
from tests.engine.fake_cluster import FakeCluster
from tests.engine.test_restore import READY, Clock, Memory, config, plan, service, workload


def checked(cluster: FakeCluster, assignment: Assignment, *missing: Ref) -> tuple[Checked, ...]:
    nodes = tuple(Node(ref, Origin.MISSING) for ref in missing)
    graph = Graph((), (), nodes, (), (), frozenset(), (), ())

    async def go() -> tuple[Checked, ...]:
        return await preflight(cluster, assignment, graph, Recorder(Memory(), Clock()))

    return asyncio.run(go())


def found(cluster: FakeCluster, ref: Ref) -> list[Level]:
    return [c.level for c in checked(cluster, plan((config("c"), ())), ref) if c.check == "prerequisite"]


GATEWAY: Body = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "GatewayClass",
    "metadata": {"name": "istio", "namespace": ""},
}
ISSUER: Body = {"apiVersion": "cert-manager.io/v1beta9", "kind": "ClusterIssuer", "metadata": {"name": "le"}}


@pytest.mark.parametrize(
    ("body", "ref"),
    [
        (GATEWAY, Ref("", "GatewayClass", "", "istio")),
        (ISSUER, Ref("", "ClusterIssuer", "", "le")),
        (ISSUER, Ref("cert-manager.io/v1", "ClusterIssuer", "", "le")),
        (config("c"), Ref("", "ConfigMap", "a", "c")),
        ({**ISSUER, "kind": "StorageClass"}, Ref("", "StorageClass", "", "le")),
    ],
)
def test_a_prerequisite_that_is_there_is_not_called_missing_for_its_group_is_not_written_down(
    body: Body, ref: Ref
) -> None:
    cluster = FakeCluster()
    cluster.put(body)
    assert found(cluster, ref) == [Level.INFO]
    cluster.objects.clear()
    cluster.serves = {(body["apiVersion"], body["kind"])}
    assert found(cluster, ref) == [Level.ERROR]


def test_what_has_the_name_of_a_kind_of_kubernetes_is_not_taken_for_it() -> None:
    cluster = FakeCluster()
    cluster.put(
        {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "s", "namespace": "a"}}
    )
    cluster.serves = {("v1", "Service")}
    assert found(cluster, Ref("", "Service", "a", "s")) == [Level.ERROR]


def test_of_a_kind_that_is_not_served_nothing_is_claimed() -> None:
    assert found(FakeCluster(), Ref("", "GatewayClass", "", "istio")) == []


class Reviewing(FakeCluster):
    """Forbids what `forbidden` says, as `verb resource namespace`."""

    def __init__(self, *forbidden: str) -> None:
        super().__init__()
        self.forbidden = forbidden

    async def create(self, body: Body) -> Body:
        row = body["spec"]["resourceAttributes"]
        asked = f"{row['verb']} {row['resource']} {row['namespace']} {row['name']}".strip()
        return {**body, "status": {"allowed": asked not in self.forbidden}}


@pytest.mark.parametrize(
    ("forbidden", "said"),
    [
        ("watch secrets", "watch secrets"),
        ("list endpointslices", "list endpointslices.discovery.k8s.io"),
        ("update leases kube-system dr-restore", "update leases.coordination.k8s.io"),
        ("create leases kube-system", "create leases.coordination.k8s.io"),
        ("patch configmaps", "patch configmaps"),
    ],
)
def test_a_permission_that_a_run_will_need_later_is_asked_for_before_it_begins(forbidden: str, said: str) -> None:
    rows = plan(
        (service("db"), ()),
        (workload("db"), ()),
        (config("app"), [(0, READY)]),
        makes={2: Ref("v1", "Secret", "a", "made")},
    )
    errors = [c for c in checked(Reviewing(forbidden), rows) if c.level is Level.ERROR]
    assert [(c.check, c.subject) for c in errors] == [("permissions", said)]
    assert ("kube-system" in errors[0].cause) == ("leases" in forbidden)
