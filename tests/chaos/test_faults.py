"""Each fault against a real API server: what it strikes, what it says, what it leaves, and that all of it is undone."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest
from chaoslib.exceptions import ActivityFailed, InterruptExecution

from dr.chaos import actions, probes
from dr.core.chaos import Restored, Struck
from dr.local import cluster, etcd
from tests.chaos.conftest import Channel
from tests.chaos.shop import PASSWORD, claimed, inventory, kubectl, objects, password, soon

WHOLE = '{"namespaces": ["shop"], "objects": 100, "nodes": 3, "cluster": true}'


@pytest.fixture(autouse=True)
def ready(town: cluster.Cluster, meant: Path) -> None:
    """Begin each test with the shop open; `meant` has named its cluster."""
    assert probes.namespace_restored("shop", timeout=30)
    assert probes.admission_works("shop", timeout=30)


def struck(channel: Channel) -> Struck:
    said = [message for message in channel.said() if isinstance(message, Struck)]
    assert len(said) == 1
    assert said[0].began <= said[0].at <= time.monotonic()
    return said[0]


def pods(town: cluster.Cluster) -> set[str]:
    return {body["metadata"]["uid"] for body in objects(town, "pods", "-n", "shop", "-l", "app=web")}


def records(meant: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted(meant.glob("*.json"))]


def test_one_pod_is_killed_and_the_others_are_left_alone(town: cluster.Cluster, meant: Path, channel: Channel) -> None:
    before = pods(town)
    done = actions.kill_pods("shop", "app=web", grace=0)
    assert len(done["killed"]) == 1
    assert struck(channel).targets == tuple(done["killed"])
    assert len(before & pods(town)) == 2
    assert not records(meant), "its controller makes a new one: there is nothing to undo"
    assert probes.workload_ready("Deployment", "shop", "web", timeout=30)


def test_a_service_without_its_pods_has_no_endpoints_until_new_ones_are_ready(town: cluster.Cluster) -> None:
    before = pods(town)
    assert len(actions.kill_pods("shop", "app=web", count="all")["killed"]) == 3
    assert not before & pods(town)
    assert probes.service_has_endpoints("shop", "web", at_least=3, timeout=30)


def test_a_pod_that_nobody_makes_again_is_put_back(town: cluster.Cluster, meant: Path) -> None:
    kubectl(town, "-n", "shop", "label", "pod", "alone", "app=alone", "--overwrite")
    actions.kill_pods("shop", "app=alone")
    assert not probes.object_exists("Pod", "v1", "alone", "shop")
    assert [record["fault"] for record in records(meant)] == ["kill pods"]
    assert actions.undo() == {"undone": ["kill pods"]}
    assert probes.object_exists("Pod", "v1", "alone", "shop")


def test_a_webhook_without_its_backend_lets_no_pod_be_made_until_it_is_undone(meant: Path, channel: Channel) -> None:
    assert actions.scale_down("Deployment", "gate", "gate")["replicas before"] == 2
    assert struck(channel).targets == ("Deployment gate/gate",)
    assert not probes.admission_works("shop")
    assert not probes.workload_ready("Deployment", "gate", "gate"), "a workload that wants no pods is not ready"
    with pytest.raises(ActivityFailed, match="what is down cannot go down"):
        actions.scale_down("Deployment", "gate", "gate")
    assert actions.undo() == {"undone": ["scale down"]}
    assert probes.admission_works("shop", timeout=30)
    assert isinstance(channel.said()[0], Restored)
    assert not records(meant)


def test_replicas_that_somebody_chose_since_are_left(town: cluster.Cluster) -> None:
    actions.scale_down("Deployment", "shop", "web")
    kubectl(town, "-n", "shop", "scale", "deployment/web", "--replicas=1")
    actions.undo()
    assert kubectl(town, "-n", "shop", "get", "deployment", "web", "-o", "jsonpath={.spec.replicas}") == "1"
    kubectl(town, "-n", "shop", "scale", "deployment/web", "--replicas=3")


def test_a_lost_secret_comes_back_with_its_value_which_is_told_nowhere(
    town: cluster.Cluster,
    meant: Path,
    channel: Channel,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with caplog.at_level(logging.DEBUG):
        done = actions.delete_objects("Secret", "v1", "shop", name="login")
        said = [str(message) for message in channel.said()]
        assert not probes.object_exists("Secret", "v1", "login", "shop")
        assert {file.stat().st_mode & 0o777 for file in meant.glob("*.json")} == {0o600}
        assert meant.stat().st_mode & 0o777 == 0o700
        undone = actions.undo()
    assert password(town) == PASSWORD
    out, err = capfd.readouterr()
    told = " ".join([str(done), str(undone), *said, caplog.text, out, err])
    for value in (PASSWORD, "aHVudGVyMi1hbmQtbW9yZQ"):
        assert value not in told
    assert not list(meant.iterdir()), "the value is kept no longer than it is needed"


def test_a_namespace_comes_back_with_its_volumes_and_everything_that_was_made_by_hand(
    town: cluster.Cluster, meant: Path, channel: Channel
) -> None:
    before = inventory(town)
    with pytest.raises(ActivityFailed, match="1 volumes of shop would be deleted with it, and with them their data"):
        actions.delete_namespace("shop")
    assert not records(meant)
    kubectl(town, "patch", "pv", "till", "-p", '{"spec": {"persistentVolumeReclaimPolicy": "Retain"}}')
    assert actions.delete_namespace("shop")["objects"] > 10
    assert struck(channel).targets == ("Namespace shop",)
    assert not probes.object_exists("Namespace", "v1", "shop")
    assert not probes.namespace_restored("shop")
    assert actions.undo() == {"undone": ["delete namespace", "delete namespace"]}
    assert probes.namespace_restored("shop", timeout=30)
    assert password(town) == PASSWORD
    assert soon(lambda: inventory(town).keys() == before.keys())
    after = inventory(town)
    assert all(after[name] == before[name] for name in before if not name.startswith("Deployment"))
    assert soon(lambda: claimed(town)), "the volume with its data is bound again"


def test_a_definition_takes_its_resources_along_and_brings_them_back(town: cluster.Cluster, channel: Channel) -> None:
    before = {b["metadata"]["name"]: b["spec"] for b in objects(town, "tills.shop.example", "-n", "shop")}
    assert actions.delete_crd("tills.shop.example")["custom resources"] == len(before) == 3
    assert struck(channel).undo == "every object is put back as it was"
    assert not probes.custom_resources("Till", "shop.example/v1")
    actions.undo()
    assert probes.custom_resources("Till", "shop.example/v1", at_least=3)
    assert {b["metadata"]["name"]: b["spec"] for b in objects(town, "tills.shop.example", "-n", "shop")} == before


@pytest.mark.parametrize("mode", ["cordon", "drain"])
def test_a_closed_node_is_opened_again(town: cluster.Cluster, mode: str) -> None:
    def left() -> list[str]:
        found = objects(town, "pods", "-A", "--field-selector=spec.nodeName=node-2")
        return [body["metadata"]["name"] for body in found if body["metadata"].get("ownerReferences")]

    actions.lose_nodes("node-2", mode=mode)
    (node,) = objects(town, "nodes", "-l", "kubernetes.io/hostname=node-2")
    assert node["spec"]["unschedulable"]
    assert mode == "cordon" or not left()
    actions.undo()
    (node,) = objects(town, "nodes", "-l", "kubernetes.io/hostname=node-2")
    assert "unschedulable" not in node["spec"]


def test_a_fault_that_cannot_be_seen_in_time_fails_and_is_still_undone(
    monkeypatch: pytest.MonkeyPatch, meant: Path, channel: Channel
) -> None:
    for_ever = {"metadata": {"name": "gate-1", "uid": "1"}}
    monkeypatch.setattr("dr.chaos.workloads.of_workload", lambda *_: (for_ever,))
    with pytest.raises(ActivityFailed, match="the fault was sent, but Deployment gate/gate without pods was not seen"):
        actions.scale_down("Deployment", "gate", "gate", timeout=0)
    assert struck(channel).fault == "scale down"
    assert actions.undo() == {"undone": ["scale down"]}


def test_the_api_server_is_away_as_long_as_was_said(
    monkeypatch: pytest.MonkeyPatch, meant: Path, channel: Channel
) -> None:
    monkeypatch.setenv("DR_LIMITS", WHOLE)
    actions.stop_program("kube-apiserver", seconds=1.5)
    ended = time.monotonic()
    assert not probes.api_ready()
    assert 1.5 <= ended - struck(channel).at < 5
    assert not records(meant), "it has been let go"
    assert probes.api_ready(timeout=30)


def test_sigterm_lets_a_stopped_program_run_again_and_ends_the_method(
    monkeypatch: pytest.MonkeyPatch, town: cluster.Cluster, meant: Path
) -> None:
    def terminated(_: float) -> None:
        monkeypatch.undo()
        raise InterruptExecution("SIGTERM")

    monkeypatch.setenv("DR_LIMITS", WHOLE)
    monkeypatch.setattr("dr.chaos.control_planes.time.sleep", terminated)
    with pytest.raises(SystemExit):
        actions.stop_program("kube-scheduler", seconds=600)
    assert not list(town.folder.glob("hold-*"))


def test_lost_data_is_put_back_from_the_snapshot_and_what_was_written_since_is_lost(
    monkeypatch: pytest.MonkeyPatch, town: cluster.Cluster, channel: Channel
) -> None:
    monkeypatch.setenv("DR_LIMITS", WHOLE)
    before = inventory(town)
    kubectl(town, "create", "configmap", "early")
    assert actions.snapshot_etcd()["seconds"] < 5
    kubectl(town, "create", "configmap", "late")
    actions.lose_etcd()
    assert struck(channel).fault == "lose etcd"
    assert not probes.object_exists("Namespace", "v1", "shop"), "an empty cluster serves"
    assert probes.nodes_ready(3, timeout=30), "machines outlive etcd"
    with pytest.raises(ActivityFailed, match="not the cluster of the lock"):
        actions.kill_pods("shop", "app=web")
    assert actions.undo() == {"undone": ["lose etcd"]}
    assert probes.object_exists("ConfigMap", "v1", "early", "default")
    assert not probes.object_exists("ConfigMap", "v1", "late", "default")
    assert inventory(town) == before
    assert probes.namespace_restored("shop", timeout=30)
    actions.kill_pods("shop", "app=web")
    assert probes.workload_ready("Deployment", "shop", "web", timeout=30), "the controllers work on what is there now"


def test_what_was_built_after_a_loss_is_not_replaced_by_the_snapshot(town: cluster.Cluster) -> None:
    etcd.snapshot(town.folder)
    kubectl(town, "create", "configmap", "rebuilt")
    (town.folder / "etcd-lost").touch()
    etcd.undo(town.folder)
    assert probes.object_exists("ConfigMap", "v1", "rebuilt", "default")
    (town.folder / "etcd-lost").unlink()
