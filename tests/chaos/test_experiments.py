"""The experiments under the stock `chaos run`, as they are, against the sample platform and a cluster without nodes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from chaoslib.discovery.package import get_discover_function
from chaoslib.experiment import ensure_experiment_is_valid

import dr
from dr.adapters import cache
from dr.core.chaos import Ran, Restored, Struck, extension
from dr.core.gameday import PROBES, planned
from dr.local import cluster
from tests.chaos.shop import CHAOS, EXPERIMENTS, Run, environment, kubectl, objects, opened, outcomes, soon
from tests.embedded import binaries, running

DR = str(Path(sys.executable).parent / "dr")
PLATFORM = Path(__file__).parents[1] / "fixtures" / "platform"
FILES = sorted(EXPERIMENTS.glob("*.yaml"))
_CACHE = cache.folder()
KEY: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {
        "name": "sealed-secrets-key",
        "namespace": "sealed-secrets",
        "labels": {"sealedsecrets.bitnami.com/sealed-secrets-key": "active"},
    },
}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Cluster]:
    """Return a cluster with the sample platform, restored from git as `dr rehearse --keep` leaves it."""
    binaries()
    folder = tmp_path_factory.mktemp("platform")
    environ = {**os.environ, "DR_STATE_DIR": str(folder / "state"), "DR_CACHE_DIR": str(_CACHE)}
    words = [DR, "rehearse", str(PLATFORM), "--env", "production", "--keep", "--reports", str(folder / "reports")]
    subprocess.run(words, env=environ, check=True, capture_output=True, timeout=120)
    (status,) = cluster.listed(folder / "state")
    made = cluster.Cluster(status.record, folder / "state" / "clusters" / status.record.name, None)  # type: ignore[arg-type]
    yield made
    cluster.remove(folder / "state", status.record.name)


@pytest.fixture
def chaos(platform: cluster.Cluster, tmp_path: Path) -> Callable[..., Run]:
    """Return what runs an experiment against the platform."""
    environ = environment(platform, tmp_path)

    def run(name: str, **settings: object) -> Run:
        return Run(name, environ, tmp_path, **settings)

    return run


@pytest.fixture
def restore(platform: cluster.Cluster, tmp_path: Path) -> Callable[[], None]:
    """Return what restores the platform from git into the cluster that is there."""

    def run() -> None:
        environ = {**os.environ, "DR_STATE_DIR": str(platform.folder.parents[1]), "DR_CACHE_DIR": str(_CACHE)}
        to = ["--to", f"local:{platform.record.name}", "--yes", "--force", "--reports", str(tmp_path / "reports")]
        done = subprocess.run(
            [DR, "restore", str(PLATFORM), "--env", "production", *to],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode in (0, 1), done.stderr

    return run


@pytest.fixture(scope="module")
def hamlet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[cluster.Cluster, Run, Path]]:
    """Return a second cluster, on which a node is lost all the while: Kubernetes takes a minute to notice."""
    folder = tmp_path_factory.mktemp("hamlet")
    with running(folder / "state", "hamlet") as made:
        opened(made)
        where = {"namespace": "shop", "service": "web", "workload": "web", "nodes": "node-3"}
        run = Run("node-loss", environment(made, folder), folder, **where)
        yield made, run, folder
        run.stop()  # where the test that waits for its end ran elsewhere, or not at all


@pytest.fixture(scope="module")
def thorp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[cluster.Cluster, Run]]:
    """Return a third cluster, which loses a zone all the while."""
    folder = tmp_path_factory.mktemp("thorp")
    with running(folder / "state", "thorp") as made:
        opened(made)
        where = {"namespace": "shop", "service": "web", "workload": "web", "zone": "zone-b"}
        run = Run("zone-loss", environment(made, folder), folder, **where)
        yield made, run
        run.stop()


def after_the_fault(run: Run) -> Struck:
    return next(said for said in run.said() if isinstance(said, Struck))


@pytest.mark.usefixtures("hamlet", "thorp")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_experiment_is_valid_and_says_what_it_does(file: Path) -> None:
    body = yaml.safe_load(file.read_text())
    ensure_experiment_is_valid(body)
    said = extension(body, {}, file.name)
    assert said is not None
    for words in (said.scenario, said.blast_radius, said.undo, said.incident):
        assert words
        assert "${" not in words
    assert planned(said.steady_state)
    assert all(probe.kind in PROBES for probe in said.steady_state.probes)
    assert body["rollbacks"][0]["provider"]["func"] == "undo"
    assert body["runtime"]["rollbacks"]["strategy"] == "always"
    waits = [
        p["provider"].get("arguments", {})
        for p in body["steady-state-hypothesis"]["probes"]
        if p["provider"]["module"].startswith("dr.")
    ]
    assert all("timeout" in arguments for arguments in waits), "the stock run has no other way to wait"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_stock_tools_take_an_experiment_as_it_is(file: Path, tmp_path: Path) -> None:
    words = [CHAOS, "--no-version-check", "validate", str(file)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_extension_offers_every_action_and_probe_with_its_documentation() -> None:
    found = {row["name"]: row for row in get_discover_function(dr)()["activities"]}
    used = {row["provider"]["func"] for file in FILES for row in _activities(yaml.safe_load(file.read_text()))}
    assert used - {"deployment_available_and_healthy"} <= found.keys()
    actions = [row for row in found.values() if row["type"] == "action"]
    assert all("Blast radius:" in row["doc"] for row in actions)
    assert all("ndone" in row["doc"] or "undo" in row["doc"] for row in actions)
    assert found["kill_pods"]["arguments"][0] == {"name": "namespace", "type": "string"}


def _activities(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [*body["steady-state-hypothesis"]["probes"], *body["method"], *body["rollbacks"]]


def test_a_killed_pod_is_made_again(chaos: Callable[..., Run]) -> None:
    run = chaos("pod-kill")
    said = list(run.said())
    code, journal = run.end()
    assert (code, journal["status"], journal["deviated"]) == (0, "completed", False), run.log
    assert outcomes(journal["run"]) == {"kill-pods": "succeeded"}
    assert journal["steady_states"]["after"]["steady_state_met"]
    (fault,) = [message for message in said if isinstance(message, Struck)]
    ran = {message.name: message for message in said if isinstance(message, Ran)}
    assert ran["kill-pods"].began <= fault.began <= fault.at <= ran["kill-pods"].at


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({"selector": "app=nobody"}, "interrupted"),
        ({"count": "all", "selector": "pod-template-hash"}, "interrupted"),
        ({"workload": "ghost"}, "failed"),
    ],
    ids=["nothing matches", "more than its own limits", "not steady to begin with"],
)
def test_an_experiment_that_did_not_take_place_never_ends_well(
    chaos: Callable[..., Run], settings: dict[str, str], status: str
) -> None:
    code, journal = chaos("pod-kill", recovery_seconds=1, **settings).end()
    assert (code, journal["status"]) == (1, status)


def test_a_lost_secret_that_nobody_restores_deviates_and_is_put_back(
    chaos: Callable[..., Run], platform: cluster.Cluster
) -> None:
    run = chaos("secret-lost", recovery_seconds=2)
    said = list(run.said())
    code, journal = run.end()
    assert (code, journal["status"], journal["deviated"]) == (1, "completed", True)
    assert outcomes(journal["run"]) == {"delete-secret": "succeeded", "restart-readers": "succeeded"}
    assert not journal["steady_states"]["after"]["steady_state_met"]
    assert outcomes(journal["rollbacks"]) == {"undo": "succeeded"}
    assert [message.cause for message in said if isinstance(message, Restored)] == [""]
    kubectl(platform, "-n", "orders", "rollout", "status", "deployment/payment", "--timeout=30s")


def test_a_lost_secret_comes_back_from_git(chaos: Callable[..., Run], restore: Callable[[], None]) -> None:
    run = chaos("secret-lost")
    after_the_fault(run)
    restore()
    code, journal = run.end()
    assert (code, journal["deviated"]) == (0, False), run.log


def test_a_webhook_without_its_backend_deviates_until_it_is_undone(
    chaos: Callable[..., Run], platform: cluster.Cluster
) -> None:
    code, journal = chaos("webhook-down", recovery_seconds=2).end()
    assert (code, journal["deviated"]) == (1, True)
    outputs = {row["activity"]["name"]: row["output"] for row in journal["run"]}
    assert outputs["can-pods-be-created"] is False
    kubectl(platform, "-n", "storefront", "rollout", "status", "deployment/web", "--timeout=60s")


def test_a_webhooks_backend_comes_back_from_git(chaos: Callable[..., Run], restore: Callable[[], None]) -> None:
    run = chaos("webhook-down")
    after_the_fault(run)
    restore()
    code, journal = run.end()
    assert (code, journal["deviated"]) == (0, False), run.log


def test_a_namespace_comes_back_from_git(
    chaos: Callable[..., Run], restore: Callable[[], None], platform: cluster.Cluster
) -> None:
    run = chaos("namespace-deletion")
    after_the_fault(run)
    assert soon(lambda: not any(b["metadata"]["name"] == "storefront" for b in objects(platform, "namespaces")))
    restore()
    code, journal = run.end()
    assert (code, journal["deviated"]) == (0, False), run.log
    kubectl(platform, "-n", "storefront", "rollout", "status", "deployment/web", "--timeout=60s")


def test_the_api_server_is_down_and_comes_back(chaos: Callable[..., Run]) -> None:
    code, journal = chaos("api-server-down", seconds=2).end()
    assert (code, journal["deviated"]) == (0, False)
    assert outcomes(journal["run"]) == {"stop-api-server": "succeeded"}


def test_sigterm_within_an_action_stops_the_method_and_leaves_no_fault(
    chaos: Callable[..., Run], platform: cluster.Cluster
) -> None:
    run = chaos("api-server-down", seconds=600)
    after_the_fault(run)
    began = time.monotonic()
    run.process.send_signal(signal.SIGTERM)
    code, journal = run.end(30)
    assert time.monotonic() - began < 20
    assert (code, journal["status"]) == (1, "interrupted")
    assert not list(platform.folder.glob("hold-*"))


def test_all_pods_of_a_service_are_made_again(chaos: Callable[..., Run]) -> None:
    run = chaos("service-pods-kill")
    assert len(after_the_fault(run).targets) > 1
    code, journal = run.end()
    assert (code, journal["deviated"]) == (0, False), run.log


@pytest.mark.parametrize(
    ("name", "method", "home", "workload"),
    [
        ("configmap-lost", ("delete-configmap", "restart-readers"), "orders", "payment"),
        ("operator-down", ("operator-down",), "pg-operator", "pg-operator"),
        ("crd-deletion", ("delete-crd",), "pg-operator", "pg-operator"),
        ("sealing-key-lost", ("delete-key", "restart-controller"), "sealed-secrets", "sealed-secrets"),
    ],
)
def test_what_nobody_restores_deviates_and_is_put_back(
    chaos: Callable[..., Run], platform: cluster.Cluster, name: str, method: tuple[str, ...], home: str, workload: str
) -> None:
    if name == "sealing-key-lost":  # its controller makes it, which is a stand-in here
        kubectl(platform, "apply", "--server-side", "-f", "-", stdin=json.dumps(KEY))
    kinds = "databases.db.quillmoor.example,configmaps,secrets"
    before = {_name(body) for body in objects(platform, kinds, "-A")}
    code, journal = chaos(name, recovery_seconds=3).end()
    assert (code, journal["status"], journal["deviated"]) == (1, "completed", True)
    assert outcomes(journal["run"]) == dict.fromkeys(method, "succeeded")
    assert not journal["steady_states"]["after"]["steady_state_met"]
    assert outcomes(journal["rollbacks"]) == {"undo": "succeeded"}
    kubectl(platform, "-n", home, "rollout", "status", f"deployment/{workload}", "--timeout=60s")
    assert soon(lambda: {_name(body) for body in objects(platform, kinds, "-A")} >= before)


def _name(body: dict[str, Any]) -> tuple[str, str, str]:
    return body["kind"], body["metadata"]["namespace"], body["metadata"]["name"]


def test_a_lost_node_is_noticed_before_the_experiment_passes(hamlet: tuple[cluster.Cluster, Run, Path]) -> None:
    made, run, _ = hamlet
    code, journal = run.end()
    assert (code, journal["deviated"]) == (0, False), run.log
    assert outcomes(journal["rollbacks"]) == {"undo": "succeeded"}
    pods = objects(made, "pods", "-n", "shop", "-l", "app=web")
    assert {body["spec"]["nodeName"] for body in pods} <= {"node-1", "node-2"}
    assert soon(lambda: len(objects(made, "nodes")) == 3), "it is put back"


def test_a_lost_zone_is_noticed_before_the_experiment_passes(thorp: tuple[cluster.Cluster, Run]) -> None:
    made, run = thorp
    code, journal = run.end()
    assert (code, journal["deviated"]) == (0, False), run.log
    assert outcomes(journal["run"]) == {"lose-zone": "succeeded"}
    assert outcomes(journal["rollbacks"]) == {"undo": "succeeded"}
    assert soon(lambda: len(objects(made, "nodes")) == 3), "it is put back"


def test_lost_data_of_etcd_deviates_and_its_snapshot_is_put_back(
    chaos: Callable[..., Run], platform: cluster.Cluster
) -> None:
    code, journal = chaos("etcd-lost", **{"recovery_seconds": 30, "age:float": 0.5}).end()
    assert (code, journal["deviated"]) == (1, True), "an empty cluster is not what was there"
    assert outcomes(journal["run"]) == {"snapshot-etcd": "succeeded", "lose-etcd": "succeeded"}
    assert outcomes(journal["rollbacks"]) == {"undo": "succeeded"}
    kubectl(platform, "-n", "storefront", "rollout", "status", "deployment/web", "--timeout=60s")


def test_a_removed_cluster_is_gone_with_its_folder(hamlet: tuple[cluster.Cluster, Run, Path]) -> None:
    made, _, folder = hamlet
    where = {"namespace": "shop", "service": "web", "workload": "web", "recovery_seconds": 2}
    code, journal = Run("cluster-removed", environment(made, folder), folder, **where).end()
    assert (code, journal["deviated"]) == (1, True), "nobody made another"
    assert outcomes(journal["run"]) == {"remove-cluster": "succeeded"}
    assert not made.folder.exists()


def test_every_experiment_is_run_here() -> None:
    said = Path(__file__).read_text()
    assert [file.stem for file in FILES if f'("{file.stem}"' not in said] == []
