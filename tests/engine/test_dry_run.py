"""What a dry run says of each object is what an apply would do: create, change, leave as it is, or fail."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dr.core.errors import ApiError
from dr.core.events import Operation
from dr.core.model import Basis, Body, Edge, Graph, Node, Origin, Ref, Strength, Where
from dr.engine.dry_run import Answered, Would, dry_run
from tests.engine.fake_cluster import FakeCluster
from tests.engine.test_restore import config, plan


class Owning(FakeCluster):
    """Removes, as server-side apply does, what git no longer says, and writes down who manages what."""

    async def apply(self, body: Body, *, manager: str, dry_run: bool = False) -> tuple[Body, Operation]:
        _, operation = await super().apply(body, manager=manager, dry_run=dry_run)
        live = await self.get(Ref(body["apiVersion"], body["kind"], body["metadata"]["namespace"], "c")) or {}
        metadata = {**live.get("metadata", {}), **body["metadata"], "managedFields": [{"time": "now"}]}
        status = {"status": live["status"]} if "status" in live else {}
        return {**body, "metadata": metadata, **status}, operation


def graph(*nodes: Node, edges: tuple[Edge, ...] = ()) -> Graph:
    return Graph((), (), nodes, edges, (), frozenset(), (), ())


def answered(cluster: FakeCluster, *bodies: Body, whole: Graph | None = None) -> list[Answered]:
    rows = plan(*((body, ()) for body in bodies))
    return list(asyncio.run(dry_run(cluster, rows, whole or graph())))


def said(live: Body, wanted: Body) -> tuple[Would, dict[str, tuple[str, str]]]:
    cluster = Owning()
    cluster.put(live)
    (answer,) = answered(cluster, wanted)
    return answer.would, {change.path: (change.found, change.wanted) for change in answer.changes}


def test_what_is_the_same_is_left_as_it_is_whatever_the_server_writes() -> None:
    body = {**config("c"), "data": {"a": "1"}}
    assert said({**body, "status": {"seen": True}}, body) == (Would.KEEP, {})


def test_what_is_changed_or_added_is_a_change() -> None:
    live, wanted = {**config("c"), "data": {"a": "1"}}, {**config("c"), "data": {"a": "2", "b": "3"}}
    assert said(live, wanted) == (
        Would.CHANGE,
        {"data.a": ('"1"', '"2"'), "data.b": ("(absent)", '"3"')},
    )


def pod(*variables: str, **more: Any) -> Body:
    env = [{"name": name, "value": "x"} for name in variables]
    spec = {"containers": [{"name": "c", "image": "i", "env": env, **more}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "c", "namespace": "a"}, "spec": spec}


def test_what_is_taken_away_is_a_change_too() -> None:
    would, changes = said({**config("c"), "data": {"a": "1", "b": "3"}}, {**config("c"), "data": {"a": "1"}})
    assert (would, changes) == (Would.CHANGE, {"data.b": ('"3"', "(absent)")})
    would, changes = said(pod("A", "B", readinessProbe={"exec": {"command": ["true"]}}), pod("A"))
    assert would is Would.CHANGE
    container = "spec.containers[name=c]"
    assert list(changes) == [f"{container}.env[name=B]", f"{container}.readinessProbe.exec.command"]


@pytest.mark.parametrize(
    ("live", "wanted", "would", "paths"),
    [
        ({"a": "aHVudGVyMg=="}, {"a": "aHVudGVyMg=="}, Would.KEEP, []),
        ({"a": "aHVudGVyMg=="}, {"a": "c3dvcmRmaXNo"}, Would.CHANGE, ["data.a"]),
        ({"a": "aHVudGVyMg==", "b": "eA=="}, {"a": "aHVudGVyMg=="}, Would.CHANGE, ["data.b"]),
    ],
)
def test_a_secret_that_would_change_is_said_and_its_values_are_not(
    live: dict[str, str], wanted: dict[str, str], would: Would, paths: list[str]
) -> None:
    secret = {**config("c"), "kind": "Secret"}
    found, changes = said({**secret, "data": live}, {**secret, "data": wanted})
    assert (found, list(changes)) == (would, paths)
    assert "aHVudGVyMg" not in str(changes)
    assert "c3dvcmRmaXNo" not in str(changes)


def widget() -> Body:
    return {"apiVersion": "x.example/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "a"}}


def crd(**spec: Any) -> Body:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.x.example"},
        "spec": {"group": "x.example", **spec},
    }


def test_what_a_kind_of_the_plan_or_of_a_chart_serves_is_checked_later_and_the_rest_would_fail() -> None:
    cluster = FakeCluster()
    cluster.unserved = {"Widget"}
    assert answered(cluster, widget())[0].would is Would.REJECT
    assert answered(cluster, crd(names={"kind": "Widget"}), widget())[1].would is Would.LATER
    nodes = (
        Node(Ref("x.example/v1", "Release", "a", "r"), Origin.GIT),
        Node(Ref("x.example/v1", "Widget", "a", "w"), Origin.GIT),
    )
    edge = Edge(0, 1, Strength.READY, Basis.INFERRED, "chart-crd", "is served by chart", Where("a.yaml", 1))
    assert answered(cluster, widget(), whole=graph(*nodes, edges=(edge,)))[0].would is Would.LATER


@pytest.mark.parametrize("spec", [{}, {"names": None}, {"names": []}])
def test_a_definition_that_names_no_kind_is_the_servers_to_refuse(spec: dict[str, Any]) -> None:
    def faults(body: Body, _: int) -> None:
        raise ApiError("spec.names.kind: Required value", status=422, reason="Invalid")

    (answer,) = answered(FakeCluster(faults), crd(**spec))
    assert (answer.would, answer.cause) == (Would.REJECT, "spec.names.kind: Required value")


def test_a_server_that_stumbles_once_is_no_rejection() -> None:
    def faults(_: Body, attempt: int) -> None:
        if attempt == 1:
            raise ApiError("busy", status=429, heals=True)

    assert answered(FakeCluster(faults), config("c"))[0].would is Would.CREATE
