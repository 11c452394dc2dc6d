"""The rights of each scenario that a pod can hold: they are enough, and without any one of them it fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dr.adapters.kube import Access, kubeconfig
from dr.chaos.bodies import cleaned
from dr.core.body import text
from dr.core.model import Body
from dr.local import cluster
from tests.chaos.shop import deployment, kubectl, named, objects, opened, shop
from tests.embedded import running
from tests.rights import without

HOME = "gamedays"
WEB = {"namespace": "shop", "workload": "web"}
POD = {**WEB, "service": "web", "selector": "app=web"}
TILL = {"kind": "Till", "api_version": "shop.example/v1"}
KEY = {"key": "key", "key_selector": "sealing=active"}
# By experiment: what it is set to. Each strikes a part of the shop.
SCENARIOS: dict[str, tuple[str, dict[str, Any]]] = {
    "pods": ("service-pods-kill", POD),
    "configmap": ("configmap-lost", {**POD, "name": "web"}),
    "secret": ("secret-lost", {**POD, "kind": "Secret", "api_version": "v1", "name": "login", "secret": "login"}),
    "secret and what it is made of": ("secret-lost", {**POD, **TILL, "name": "till-0", "secret": "made"}),
    "key": ("sealing-key-lost", {**WEB, **KEY, "selector": "app=web"}),
    "operator": ("operator-down", {**TILL, "namespace": "gate", "workload": "gate"}),
    "webhook": ("webhook-down", {**POD, "webhook_namespace": "gate", "webhook": "gate"}),
    "definition": (
        "crd-deletion",
        {
            **TILL,
            "crd": "tills.shop.example",
            "resources": 3,
            "namespace": "gate",
            "workload": "gate",
            "resource_namespace": "shop",
            "resource": "till-0",
        },
    ),
    "node": ("node-loss", {**WEB, "service": "web", "nodes": "node-2"}),
    "drained node": ("node-loss", {**WEB, "service": "web", "nodes": "node-2", "mode": "drain"}),
}
NODES: list[Body] = []  # as they were
# What the probe of the workload asks, which all of them have: left out once.
COMMON = ("shop: get deployments", "shop: list replicasets", "shop: list pods")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Cluster]:
    with running(tmp_path_factory.mktemp("rights"), "rights", nodes=3) as made:
        opened(made)
        kubectl(made, "-n", "shop", "delete", "pod", "alone", "--force", "--grace-period=0")  # nobody makes it anew
        NODES.extend(cleaned(node) for node in objects(made, "nodes"))
        whole(made)
        yield made


def extra(town: cluster.Cluster) -> list[Body]:
    """Return a sealing key, a Secret that a till has made, which goes with it, and what stands on one node only."""
    till = next(body for body in objects(town, "tills", "-n", "shop") if body["metadata"]["name"] == "till-0")
    owner = {"apiVersion": "shop.example/v1", "kind": "Till", "name": "till-0", "uid": till["metadata"]["uid"]}
    key, made = (named("Secret", name, "shop", stringData={"a": "b"}) for name in ("key", "made"))
    key["metadata"]["labels"] = {"sealing": "active"}
    made["metadata"]["ownerReferences"] = [owner]
    pinned = deployment("gate", "pinned", 1, nodeSelector={"kubernetes.io/hostname": "node-2"})
    return [named("Namespace", HOME), key, made, pinned]


def whole(town: cluster.Cluster) -> None:
    """Bring back all of the shop, as what keeps a cluster as git says would."""
    *most, crds, one, two, three, hook = shop()
    kept = [body for body in most if body["kind"] not in ("Pod", "PersistentVolume", "PersistentVolumeClaim")]
    words = ("apply", "--server-side", "--force-conflicts", "-f", "-")
    kubectl(town, *words, stdin=yaml.safe_dump_all([*NODES, crds, *kept]))
    kubectl(town, "wait", "--for=condition=Established", "crd/tills.shop.example", "--timeout=20s")
    kubectl(town, *words, stdin=yaml.safe_dump_all([one, two, three, hook]))
    kubectl(town, *words, stdin=yaml.safe_dump_all(extra(town)))
    kubectl(town, "uncordon", "node-1", "node-2", "node-3")
    ready(town)


def ready(town: cluster.Cluster) -> None:
    for home, name in (("gate", "gate"), ("gate", "pinned"), ("shop", "web")):
        kubectl(town, "-n", home, "rollout", "status", f"deployment/{name}", "--timeout=30s")


def dr(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "dr", *arguments]
    return subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, **environ})


def written(town: cluster.Cluster, folder: Path, experiment: str, given: dict[str, Any]) -> list[Body]:
    """Write a gameday and its schedule; return what `dr schedule --on kubernetes` makes of them."""
    probe = {"ready": "Till/shop/till-0", "api_version": "shop.example/v1"}
    probes = [{"name": "shop", "kubernetes": {"workload": "Deployment/shop/web"}}]
    probes += [{"name": "tills", "kubernetes": probe}] if experiment == "crd-deletion" else []
    gameday = {
        "title": experiment,
        "scenario": experiment,
        "target": {
            "context": "in-cluster",
            "lock": kubectl(town, "get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"),
        },
        "steady_state": {"every": 0.1, "timeout": 2, "hold": 0, "consecutive": 1, "within": 4, "probes": probes},
        "fault": {"experiment": experiment, "with": {**given, "recovery_seconds": 1}},
        "recovery": {"timeout": 1},
        "blast_radius": {"namespaces": ["shop", "gate"], "nodes": 1},
    }
    schedule = {
        "title": experiment,
        "gameday": "day.yaml",
        "at": "@yearly",
        "kubernetes": {"namespace": HOME, "image": "registry.example/dr:1", "claim": "reports"},
    }
    (folder / "day.yaml").write_text(yaml.safe_dump(gameday))
    (folder / "schedule.yaml").write_text(yaml.safe_dump(schedule))
    done = dr("schedule", str(folder / "schedule.yaml"), "--on", "kubernetes", "--into", str(folder))
    assert done.returncode == 0, done.stderr
    return [body for body in yaml.safe_load_all((folder / f"dr-{experiment}.yaml").read_text()) if body]


def applied(town: cluster.Cluster, *bodies: Body) -> None:
    kubectl(town, "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump_all(bodies))


def account(town: cluster.Cluster, name: str, folder: Path) -> str:
    """Return a kubeconfig with the rights of a schedule's service account."""
    token = kubectl(town, "-n", HOME, "create", "token", name).strip()
    access = Access("in-cluster", town.access.server, town.access.ca, token=token)
    (folder / "account").write_bytes(kubeconfig(access))
    return str(folder / "account")


class Account:
    """The service account of one scenario's schedule, and gamedays held as it."""

    def __init__(self, town: cluster.Cluster, folder: Path, scenario: str) -> None:
        self._town, self._folder = town, folder
        self.bodies = written(town, folder, *SCENARIOS[scenario])
        applied(town, *(body for body in self.bodies if body["kind"] != "CronJob"))
        self._kubeconfig = account(town, text(self.bodies[0], "metadata", "name"), folder)
        self.state = folder / "state" / "runs"

    def hold(self) -> str:
        """Hold the gameday; return what it says."""
        ready(self._town)
        argv = ("gameday", "run", str(self._folder / "day.yaml"), "--yes", "--detail")
        environ = {"KUBECONFIG": self._kubeconfig, "DR_STATE_DIR": str(self.state.parent)}
        done = dr(*argv, "--reports", str(self._folder / "reports"), **environ)
        assert done.returncode in (0, 1, 3), done.stderr
        return (done.stdout + done.stderr).lower()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_rights_of_a_scenario_are_enough(town: cluster.Cluster, tmp_path: Path, scenario: str) -> None:
    found = Account(town, tmp_path, scenario)
    said = found.hold()
    assert "forbidden" not in said, said
    assert "fault: " in said, said
    assert not list(found.state.iterdir()), "all of it is undone"


# A gameday for each right of each scenario takes ten minutes: `make exhaustive` holds them all.
@pytest.mark.parametrize(
    "scenario",
    [pytest.param(name, marks=() if name in ("pods", "secret") else pytest.mark.exhaustive) for name in SCENARIOS],
)
def test_none_of_a_scenarios_rights_can_be_left_out(town: cluster.Cluster, tmp_path: Path, scenario: str) -> None:
    found = Account(town, tmp_path, scenario)
    passed = []
    for role in [body for body in found.bodies if body["kind"] in ("Role", "ClusterRole")]:
        if role["metadata"].get("namespace") == "kube-system":
            continue  # of every gameday: test_cron_job.py leaves each of these out
        for what, less in without(role):
            if what in COMMON and scenario != "pods":
                continue
            applied(town, less)
            if "forbidden" not in found.hold():
                passed.append(what)
            if list(found.state.iterdir()):  # what was not undone
                shutil.rmtree(found.state)
                whole(town)
        applied(town, role)
    assert passed == []
