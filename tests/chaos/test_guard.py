"""What a fault refuses, and that nothing was done then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chaoslib.exceptions import ActivityFailed

from dr.chaos import actions, probes
from dr.local import cluster
from tests.chaos.shop import inventory, kubectl, objects

WEB: dict[str, Any] = {"namespace": "shop", "selector": "app=web"}
WHOLE = '{"objects": 100, "nodes": 3, "cluster": true}'


MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "no node": (actions.lose_nodes, "not named in exactly one way"),
    "a node and a zone": (lambda: actions.lose_nodes("node-1", zone="zone-a"), "not named in exactly one way"),
    "a node too many": (lambda: actions.lose_nodes("node-1,node-9"), "there is no node node-9"),
    "no such zone": (lambda: actions.lose_nodes(zone="zone-x"), "nothing matches"),
    "no such mode": (lambda: actions.lose_nodes("node-1", mode="burn"), 'mode is "burn"'),
    "two nodes": (lambda: actions.lose_nodes("node-1,node-2"), "2 nodes would be lost, 1 are allowed"),
    "namespaces by pattern": (lambda: actions.delete_namespace("default-*"), "no name of a namespace"),
    "kube-system": (lambda: actions.delete_namespace("kube-system"), "belongs to Kubernetes itself"),
    "no such namespace": (lambda: actions.delete_namespace("ghost"), "Namespace ghost is not there"),
    "no definition": (lambda: actions.delete_crd(""), "no CustomResourceDefinition was named"),
    "no such definition": (lambda: actions.delete_crd("ghosts.example"), "is not there"),
    "no such workload": (lambda: actions.scale_down("Deployment", "shop", "ghost"), "shop/ghost is not there"),
    "no workload at all": (lambda: actions.scale_down("CronJob", "shop", "web"), "has no replicas"),
    "any Secret": (lambda: actions.delete_objects("Secret", "v1", "shop"), "not named in exactly one way"),
    "Secrets of none": (lambda: actions.delete_objects("Secret", "v1", "shop", selector="a=b"), "nothing matches"),
    "no such Secret": (lambda: actions.delete_objects("Secret", "v1", "shop", "ghost"), "is not there"),
    "a node as object": (lambda: actions.delete_objects("Node", "v1", "shop", "node-1"), "Node is not in a namespace"),
    "the API server": (lambda: actions.stop_program("kube-apiserver", 1), "the whole cluster would be struck"),
    "etcd": (actions.lose_etcd, "the whole cluster would be struck"),
    "everything": (actions.remove_cluster, "the whole cluster would be struck"),
}


def uids(made: cluster.Cluster) -> set[str]:
    return {body["metadata"]["uid"] for body in objects(made, "pods,nodes,namespaces,secrets,crds", "-A")}


@pytest.fixture(scope="module")
def untouched(town: cluster.Cluster) -> Iterator[None]:
    before = uids(town), inventory(town)
    yield
    assert (uids(town), inventory(town)) == before


@pytest.fixture
def unrecorded(meant: Path) -> Iterator[None]:
    yield
    assert not list(meant.glob("*")), "a record of something that was not done"


def refused(act: Callable[[], object], because: str) -> None:
    with pytest.raises(ActivityFailed, match="refused, nothing was done") as error:
        act()
    assert because in str(error.value)


@pytest.mark.usefixtures("untouched", "unrecorded")
class TestRefusals:
    def test_the_current_context_of_a_kubeconfig_is_never_struck(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("KUBERNETES_CONTEXT")
        refused(lambda: actions.kill_pods(**WEB), "no context was named")
        refused(lambda: probes.workload_ready("Deployment", "shop", "web"), "no context was named")

    def test_a_context_may_be_named_in_configuration_or_secrets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("KUBERNETES_CONTEXT")
        for given in (
            {"configuration": {"KUBERNETES_CONTEXT": "dr-town"}},
            {"secrets": {"KUBERNETES_CONTEXT": "dr-town"}},
        ):
            assert probes.workload_ready("Deployment", "shop", "web", **given)  # type: ignore[arg-type]

    def test_a_context_that_is_not_in_the_kubeconfig_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KUBERNETES_CONTEXT", "elsewhere")
        with pytest.raises(ActivityFailed, match='"elsewhere" cannot be used'):
            actions.kill_pods(**WEB)
        refused(lambda: probes.api_ready(timeout=20), '"elsewhere" cannot be used')

    def test_no_lock_strikes_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DR_LOCK")
        refused(lambda: actions.kill_pods(**WEB), "no lock says which cluster dr-town must be")

    @pytest.mark.parametrize("lock", ["deadbeef", "{uid}/000000000000", "{uid}/", "*"])
    def test_another_cluster_than_the_lock_says_is_not_struck(
        self, monkeypatch: pytest.MonkeyPatch, town: cluster.Cluster, lock: str
    ) -> None:
        uid = kubectl(town, "get", "ns", "kube-system", "-o", "jsonpath={.metadata.uid}")
        monkeypatch.setenv("DR_LOCK", lock.format(uid=uid))
        refused(lambda: actions.kill_pods(**WEB), "not the cluster of the lock")

    @pytest.mark.parametrize(
        ("given", "because"),
        [
            ({"namespace": ""}, "no namespace was named"),
            ({"namespace": None}, "no namespace was named"),
            ({"namespace": "*"}, '"*" is no name of a namespace'),
            ({"namespace": "sh?p"}, "no name of a namespace"),
            ({"namespace": "shop,gate"}, "no name of a namespace"),
            ({"namespace": "kube-system"}, "kube-system belongs to Kubernetes itself"),
            ({"namespace": "kube-public"}, "belongs to Kubernetes itself"),
            ({"namespace": "kube-node-lease"}, "belongs to Kubernetes itself"),
            ({"selector": ""}, "selects everything"),
            ({"selector": "  "}, "selects everything"),
            ({"selector": "*"}, "selects everything"),
            ({"selector": "app=nobody"}, "nothing matches"),
            ({"namespace": "ghost"}, "nothing matches"),
            ({"count": "0"}, 'count is "0"'),
            ({"count": "most"}, 'count is "most"'),
            ({"count": "9"}, "9 pods were to be killed, 3 are there"),
        ],
    )
    def test_a_scope_that_was_not_meant_kills_no_pod(self, given: dict[str, Any], because: str) -> None:
        refused(lambda: actions.kill_pods(**{**WEB, **given}), because)

    @pytest.mark.parametrize(
        ("limits", "because"),
        [
            ("", "the blast radius lists no namespace, so not shop either"),
            ('{"objects": 9}', "the blast radius lists no namespace, so not shop either"),
            ('{"namespaces": ["shop"], "objects": 2}', "3 objects would be struck, 2 are allowed"),
            ('{"namespaces": ["gate"]}', "namespace shop is not one of gate"),
            ('{"obejcts": 2}', "DR_LIMITS is no blast radius"),
            ("many", "DR_LIMITS is no blast radius"),
        ],
    )
    def test_a_fault_beyond_its_limits_kills_no_pod(
        self, monkeypatch: pytest.MonkeyPatch, limits: str, because: str
    ) -> None:
        monkeypatch.setenv("DR_LIMITS", limits)
        refused(lambda: actions.kill_pods(**WEB, count="all"), because)

    @pytest.mark.parametrize("patterns", ["dr-town", "prod-*, dr-*"])
    def test_production_is_not_struck_unless_somebody_approved(
        self, monkeypatch: pytest.MonkeyPatch, patterns: str
    ) -> None:
        monkeypatch.setenv("DR_PRODUCTION", patterns)
        refused(lambda: actions.kill_pods(**WEB, count="all"), "nobody has approved")
        monkeypatch.setenv("DR_APPROVED", "Ada, CHG-17")
        monkeypatch.setenv("DR_LIMITS", '{"namespaces": ["shop"], "objects": 1}')
        refused(lambda: actions.kill_pods(**WEB, count="all"), "1 are allowed")

    @pytest.mark.parametrize("mistake", list(MISTAKES))
    def test_no_other_fault_strikes_what_was_not_meant(self, mistake: str) -> None:
        act, because = MISTAKES[mistake]
        refused(act, because)

    def test_all_nodes_are_the_whole_cluster(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DR_LIMITS", '{"nodes": 3}')
        refused(lambda: actions.lose_nodes(selector="kubernetes.io/os=linux"), "the whole cluster would be struck")

    def test_a_cluster_that_only_calls_itself_embedded_is_not_removed(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("DR_LIMITS", WHOLE)
        monkeypatch.setenv("DR_STATE_DIR", str(tmp_path / "other"))
        for act in (actions.remove_cluster, actions.lose_etcd, actions.snapshot_etcd, actions.stop_program):
            refused(act, "is no embedded cluster")

    def test_a_program_that_is_not_there_is_not_stopped(self, monkeypatch: pytest.MonkeyPatch, meant: Path) -> None:
        monkeypatch.setenv("DR_LIMITS", WHOLE)
        with pytest.raises(ActivityFailed, match='has no program "kubelet"'):
            actions.stop_program("kubelet", 1)

    @pytest.mark.parametrize("least", [0, -1, "none"])
    def test_a_probe_never_asks_for_none_at_least(self, least: Any) -> None:
        refused(lambda: probes.nodes_ready(at_least=least), "is asked for at least")
        refused(lambda: probes.custom_resources("Till", "shop.example/v1", at_least=least), "is asked for at least")
