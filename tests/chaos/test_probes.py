"""No probe is satisfied by nothing, and none by what only looks well."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chaoslib.exceptions import ActivityFailed

from dr.chaos import probes
from dr.chaos.bodies import cleaned, saved
from dr.chaos.strike import activity
from dr.core.pods import labels_of, serving, wanted
from dr.local import cluster
from tests.chaos.shop import deployment, kubectl, objects

NOTHING: dict[str, Callable[[], bool]] = {
    "a workload that is not there": lambda: probes.workload_ready("Deployment", "shop", "ghost"),
    "a workload of no namespace": lambda: probes.workload_ready("Deployment", "ghost", "web"),
    "a service that is not there": lambda: probes.service_has_endpoints("shop", "ghost"),
    "an object that is not there": lambda: probes.object_exists("Secret", "v1", "ghost", "shop"),
    "objects that nothing selects": lambda: probes.object_exists("Secret", "v1", "", "shop", selector="a=b"),
    "a kind that is not served": lambda: probes.object_exists("Ghost", "ghosts.example/v1", "one", "shop"),
    "resources of no definition": lambda: probes.custom_resources("Ghost", "ghosts.example/v1"),
    "more resources than there are": lambda: probes.custom_resources("Till", "shop.example/v1", at_least=4),
    "nodes that nothing selects": lambda: probes.nodes_ready(selector="zone=nowhere"),
    "more nodes than there are": lambda: probes.nodes_ready(at_least=4),
    "pods in no namespace": lambda: probes.admission_works("ghost"),
    "a namespace that is not there": lambda: probes.namespace_restored("ghost"),
    "a namespace without workloads": lambda: probes.namespace_restored("default"),
}


@pytest.mark.usefixtures("meant")
@pytest.mark.parametrize("nothing", list(NOTHING))
def test_nothing_is_never_well(nothing: str) -> None:
    assert NOTHING[nothing]() is False


@pytest.mark.usefixtures("meant")
def test_a_cluster_that_cannot_be_reached_is_not_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert probes.api_ready(timeout=10)
    entry = {"server": "https://127.0.0.1:1"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "gone", "cluster": entry}],
        "users": [{"name": "gone", "user": {"token": "none"}}],
        "contexts": [{"name": "gone", "context": {"cluster": "gone", "user": "gone"}}],
    }
    (tmp_path / "gone").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "gone"))
    monkeypatch.setenv("KUBERNETES_CONTEXT", "gone")
    assert not probes.api_ready()
    assert not probes.workload_ready("Deployment", "shop", "web", timeout=0.3)
    (tmp_path / "gone").unlink()
    assert not probes.api_ready(), "a removed cluster takes its kubeconfig along"


def test_a_workload_without_replicas_is_not_ready(town: cluster.Cluster, meant: Path) -> None:
    kubectl(town, "apply", "-f", "-", stdin=json.dumps(deployment("gate", "idle", 0)))
    assert not probes.workload_ready("Deployment", "gate", "idle")
    assert not probes.namespace_restored("gate")
    kubectl(town, "-n", "gate", "delete", "deployment", "idle")


def test_a_pod_whose_node_is_gone_does_not_count(town: cluster.Cluster, meant: Path) -> None:
    assert probes.workload_ready("Deployment", "shop", "web", timeout=20)
    node = objects(town, "pods", "-n", "shop", "-l", "app=web")[0]["spec"]["nodeName"]
    body = kubectl(town, "get", "node", node, "-o", "json")
    kubectl(town, "delete", "node", node)
    ready = probes.workload_ready("Deployment", "shop", "web"), probes.nodes_ready(3)
    known = json.loads(body)
    fresh = {**known, "metadata": {key: known["metadata"][key] for key in ("name", "labels", "annotations")}}
    kubectl(town, "create", "-f", "-", stdin=json.dumps(fresh))
    assert ready == (False, False), "the API server calls it ready for most of a minute"
    assert probes.workload_ready("Deployment", "shop", "web", timeout=30)


@pytest.mark.usefixtures("meant")
def test_a_question_without_sense_fails_instead_of_passing() -> None:
    with pytest.raises(ActivityFailed, match='"CronJob" is no kind of workload'):
        probes.workload_ready("CronJob", "shop", "web")
    with pytest.raises(ActivityFailed, match="not named in exactly one way"):
        probes.object_exists("Secret", "v1")
    with pytest.raises(ActivityFailed, match="no name of a namespace"):
        probes.admission_works("*")


def pod(phase: str = "Running", ready: str = "True", node: str = "node-1", **metadata: str) -> dict[str, object]:
    status = {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}
    return {"metadata": {"name": "one", **metadata}, "spec": {"nodeName": node}, "status": status}


@pytest.mark.parametrize(
    ("body", "serves"),
    [
        (pod(), True),
        (pod(ready="False"), False),
        (pod(phase="Failed"), False),
        (pod(phase="Succeeded"), False),
        (pod(deletionTimestamp="2026-01-01T00:00:00Z"), False),
        (pod(node="node-9"), False),
    ],
)
def test_only_a_pod_that_will_stay_serves(body: dict[str, object], serves: bool) -> None:
    assert serving(body, {"node-1"}) is serves
    assert serving(pod(node="node-9"), None), "where nodes may not be read they have no say"


def test_selectors_with_expressions_select_what_they_say() -> None:
    rows = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "old", "operator": "DoesNotExist"},
        {"key": "new", "operator": "Exists"},
        {"key": "env", "operator": "NotIn", "values": ["dev"]},
    ]
    assert (
        labels_of({"matchLabels": {"app": "web"}, "matchExpressions": rows})
        == "app=web,tier in (a,b),!old,new,env notin (dev)"
    )


def test_a_daemon_set_wants_as_many_pods_as_it_has_nodes() -> None:
    assert wanted({"kind": "DaemonSet", "status": {"desiredNumberScheduled": 0}}) == 0
    assert wanted({"kind": "Deployment", "spec": {}}) == 1


def test_what_the_server_wrote_does_not_come_back() -> None:
    body = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "data",
            "namespace": "shop",
            "uid": "1",
            "resourceVersion": "2",
            "managedFields": [{}],
            "deletionTimestamp": "2026-01-01T00:00:00Z",
            "annotations": {"pv.kubernetes.io/bind-completed": "yes", "team": "till"},
        },
        "spec": {"volumeName": "pv-1", "storageClassName": "fast"},
        "status": {"phase": "Bound"},
    }
    made = cleaned(body)
    assert made["metadata"] == {"name": "data", "namespace": "shop", "annotations": {"team": "till"}}
    assert made["spec"] == {"storageClassName": "fast"}
    assert "status" not in made
    assert body["status"] == {"phase": "Bound"}, "what was read is left as it is"


def test_owners_are_put_back_before_what_they_own() -> None:
    owner = [{"apiVersion": "x/v1", "kind": "Sealed", "name": "a", "uid": "1"}]
    secret = {"kind": "Secret", "metadata": {"name": "a", "ownerReferences": owner}}
    sealed, home = {"kind": "Sealed", "metadata": {"name": "a"}}, {"kind": "Namespace", "metadata": {"name": "a"}}
    definition = {"kind": "CustomResourceDefinition", "metadata": {"name": "a"}}
    order = [body["kind"] for body in saved([secret, sealed, home, definition])]
    assert order == ["CustomResourceDefinition", "Namespace", "Sealed", "Secret"]


@pytest.mark.parametrize("said", [30, "30.0"])
def test_a_timeout_may_be_text_as_the_command_line_gives_it(said: Any) -> None:
    assert activity(lambda timeout: timeout + 1)(timeout=said) == 31.0
    with pytest.raises(ActivityFailed, match='timeout is "soon"'):
        activity(lambda timeout: timeout)(timeout="soon")
