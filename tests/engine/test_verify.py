"""What a verification counts as missing, different, unhealthy and extra, and what it leaves alone."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec.structs import replace

from dr.core.errors import ApiError
from dr.core.events import Differs
from dr.core.model import Basis, Body, Edge, Graph, Node, Origin, Ref, Strength, Where
from dr.core.work import Assignment
from dr.engine.recorder import Recorder
from dr.engine.verify import verify
from tests.engine.fake_cluster import FakeCluster
from tests.engine.test_restore import (
    AVAILABLE,
    READY,
    Clock,
    Memory,
    config,
    deployment,
    plan,
    service,
    slices,
    workload,
)


def graph(nodes: tuple[Node, ...] = (), edges: tuple[Edge, ...] = ()) -> Graph:
    return Graph((), (), nodes, edges, (), frozenset(), (), ())


def verified(
    assignment: Assignment, cluster: FakeCluster, whole: Graph | None = None, patience: float = 0.0
) -> set[tuple[str, str, str]]:
    async def go() -> tuple[int, tuple[Differs, ...]]:
        return await verify(cluster, assignment, whole or graph(), Recorder(Memory(), Clock()), (), patience)

    return {(difference.ref.name, difference.what, difference.path) for difference in asyncio.run(go())[1]}


def hpa(name: str) -> Body:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": "a"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": name}},
    }


def scaled_and_changed(cluster: FakeCluster) -> None:
    """Put a Deployment that an autoscaler has grown to 3 and somebody has paused."""
    status = {**AVAILABLE, **dict.fromkeys(("replicas", "readyReplicas", "availableReplicas", "updatedReplicas"), 3)}
    cluster.put({**deployment("web"), "spec": {**deployment("web")["spec"], "replicas": 3, "x": 2}, "status": status})


def test_an_autoscalers_replicas_are_no_drift_also_where_another_field_is() -> None:
    cluster = FakeCluster()
    scaled_and_changed(cluster)
    cluster.put(hpa("web"))
    wanted = {**deployment("web"), "spec": {**deployment("web")["spec"], "x": 1}}
    found = verified(plan((wanted, ()), (hpa("web"), ())), cluster)
    assert found == {("web", "different", "spec.x")}


def test_an_autoscaler_of_a_unit_that_is_left_out_counts_too() -> None:
    cluster = FakeCluster()
    scaled_and_changed(cluster)
    nodes = (
        Node(Ref("apps/v1", "Deployment", "a", "web"), Origin.GIT, "apps"),
        Node(Ref("autoscaling/v2", "HorizontalPodAutoscaler", "a", "web"), Origin.GIT, "scaling"),
    )
    edge = Edge(0, 1, Strength.EXISTS, Basis.REFERENCE, "scale", "scales target", Where("a.yaml", 1))
    wanted = {**deployment("web"), "spec": {**deployment("web")["spec"], "x": 1}}
    assert verified(plan((wanted, ())), cluster, graph(nodes, (edge,))) == {("web", "different", "spec.x")}


def claim() -> Body:
    spec = {"storageClassName": "late", "accessModes": ["ReadWriteOnce"]}
    meta = {"name": "data", "namespace": "a"}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


def test_a_claim_that_binds_at_its_first_consumer_is_healthy_for_verify_as_it_is_for_restore() -> None:
    cluster = FakeCluster()
    cluster.put({**claim(), "status": {"phase": "Pending"}})
    storage: dict[str, Any] = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "late"}}
    cluster.put({**storage, "volumeBindingMode": "Immediate"})
    assert verified(plan((claim(), ())), cluster) == {("data", "unhealthy", "")}
    cluster.put({**storage, "volumeBindingMode": "WaitForFirstConsumer"})
    assert verified(plan((claim(), ())), cluster) == set()


def test_a_custom_resource_that_somebody_awaits_and_nobody_has_reported_on_is_unhealthy() -> None:
    cluster = FakeCluster()
    conditions: Body = {"properties": {"status": {"properties": {"conditions": {"type": "array"}}}}}
    cluster.put(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.x.example"},
            "spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": conditions}}]},
        }
    )
    widget: Body = {"apiVersion": "x.example/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "a"}}
    cluster.put(widget)
    rows = plan((widget, ()))
    assert verified(rows, cluster) == set()
    awaited = Assignment(rows.steps, tuple(replace(work, awaited=True) for work in rows.work))
    assert verified(awaited, cluster) == {("w", "unhealthy", "")}


def test_a_service_that_must_lead_somewhere_and_does_not_is_unhealthy() -> None:
    cluster = FakeCluster()
    rows = plan((service("db"), ()), (workload("db"), ()), (config("app"), [(0, READY)]))
    for work in rows.work:
        cluster.put({**work.body, "status": AVAILABLE} if work.body["kind"] == "Deployment" else work.body)
    cluster.put(slices("db", ready=False))
    assert verified(rows, cluster) == {("db", "unhealthy", "")}

    class Answers(FakeCluster):
        async def get(self, ref: Ref) -> Body | None:
            self.put(slices("db", ready=True))
            return await super().get(ref)

    later = Answers()
    later.objects = cluster.objects
    assert verified(rows, later, patience=3.0) == set()


def test_what_git_holds_beside_the_units_that_were_chosen_is_not_called_extra() -> None:
    cluster = FakeCluster()
    for name in ("mine", "another-units", "by-hand"):
        cluster.put(config(name))
    nodes = tuple(Node(Ref("v1", "ConfigMap", "a", name), Origin.GIT) for name in ("mine", "another-units"))
    assert verified(plan((config("mine"), ())), cluster, graph(nodes)) == {("by-hand", "extra", "")}


def test_a_list_that_fails_once_does_not_end_a_verification() -> None:
    class Busy(FakeCluster):
        asked = 0

        async def list(self, *positional: Any, **named: Any) -> tuple[Body, ...]:
            self.asked += 1
            if self.asked == 1:
                raise ApiError("busy", status=500, heals=True)
            return await super().list(*positional, **named)

    cluster = Busy()
    cluster.put(config("c"))
    assert verified(plan((config("c"), ())), cluster) == set()
    assert cluster.asked == 2
