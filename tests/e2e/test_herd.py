"""A herd against a real API server: Jobs, indexes, retries and budgets are real; pods run as processes."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from dr.adapters.kube import Kube, from_kubeconfig, kubeconfig
from dr.app import herd_work, herds
from dr.core.body import items, mapping, text
from dr.core.errors import ApiError
from dr.core.herd import Argo, Capi
from dr.core.model import Body, Ref
from dr.local import cluster
from tests.embedded import running
from tests.pod_runner import LABEL, PodRunner, running_pods

HOME = "herds"
# What a member does in place of a gameday: says when it began, waits where it is told to, and ends as its name says.
MEMBER = """#!/bin/sh
echo "begin $DR_CLUSTER" >> "$DR_TEST/log"
while [ -e "$DR_TEST/hold-$DR_CLUSTER" ]; do sleep 0.05; done
case "$DR_CLUSTER" in
*-bad) echo '{"rta": 90, "cause": "RTO 60 s: 90 s"}'; code=1 ;;
*) echo '{"rta": 2.5, "error": 0.1}'; code=0 ;;
esac
echo "end $DR_CLUSTER" >> "$DR_TEST/log"
exit $code
"""


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Cluster]:
    with running(tmp_path_factory.mktemp("herd"), "herd", nodes=1) as made:
        yield made


@pytest.fixture
def place(tmp_path: Path, town: cluster.Cluster, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "member.sh").write_text(MEMBER)
    (tmp_path / "member.sh").chmod(0o755)
    (tmp_path / "log").touch()
    (tmp_path / "kubeconfig").write_bytes(kubeconfig(town.access))
    monkeypatch.setenv("DR_TEST", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    return tmp_path


def herd(place: Path, name: str, clusters: list[str], **more: Any) -> Path:
    listed = [
        {"name": c, "context": "none", "lock": "x", "labels": {"region": "us" if c.endswith("bad") else "eu"}}
        for c in clusters
    ]
    body = {
        "title": "Every cluster survives a lost pod",
        "name": name,
        "clusters": {"list": listed},
        "scenarios": [{"name": "pod-kill", "command": [str(place / "member.sh")]}],
        "waves": [{"name": "canaries", "clusters": clusters[:2], "budget": 0}, {"max_parallel": 5}],
        **more,
    }
    file = place / f"{name}.yaml"
    file.write_text(yaml.safe_dump(body))
    return file


def on_kubernetes(place: Path, name: str, clusters: list[str], **more: Any) -> Path:
    kubernetes = {
        "namespace": HOME,
        "image": "registry.example/dr:1",
        "command": [sys.executable, "-m", "dr"],
        "node_selector": {LABEL: "true"},
    }
    return herd(place, name, clusters, home="dr-herd", kubernetes=kubernetes, **more)


def dr(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "dr", *arguments], capture_output=True, text=True, check=False)


@asynccontextmanager
async def ready(town: cluster.Cluster, place: Path) -> AsyncIterator[tuple[Kube, PodRunner]]:
    """A management cluster with a namespace under the strictest Pod Security Standard, and a node that runs pods."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    async with Kube(town.access) as kube, running_pods(town.access, place) as runner:
        home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME, "labels": labels}}
        await kube.apply(home, manager="test")
        yield kube, runner


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - another process makes it true
            await asyncio.sleep(0.05)


def said(place: Path) -> list[str]:
    return (place / "log").read_text().splitlines()


def worker_of(runner: PodRunner, name: str, index: int) -> str:
    return next(pod for pod in runner.processes if pod.startswith(f"{name}-{index}-"))


async def ended(kube: Kube, name: str, kept: Ref) -> Mapping[str, Any]:
    """Wait until the leader's Job has ended; return the herd as it is kept in the cluster."""
    async with asyncio.timeout(120):
        while True:
            job = await kube.get(Ref("batch/v1", "Job", HOME, f"{name}-leader"))
            found = {text(c, "type") for c in items(job, "status", "conditions") if text(c, "status") == "True"}
            if found & {"Complete", "Failed"}:
                break
            await asyncio.sleep(0.2)
    body = await kube.get(kept)
    found_: Mapping[str, Any] = json.loads(gzip.decompress(base64.b64decode(text(body, "binaryData", "herd.json"))))
    return found_


def test_a_herd_of_twenty_is_whole_after_its_leader_and_three_workers_were_lost(
    town: cluster.Cluster, place: Path
) -> None:
    names = [f"c{i:02}" for i in range(20)]
    file = on_kubernetes(place, "whole", names)
    made = dr("herd", "manifest", str(file))
    assert made.returncode == 0, made.stderr
    bodies: list[Body] = list(yaml.safe_load_all(made.stdout))
    kept = next(b for b in bodies if b["kind"] == "ConfigMap")["metadata"]["name"]
    for name in names[2:5]:
        (place / f"hold-{name}").touch()

    async def go() -> Mapping[str, Any]:
        async with ready(town, place) as (kube, runner):
            for body in bodies:
                await kube.apply(body, manager="test")
            await until(lambda: sum(line.startswith("begin") for line in said(place)) >= 5)
            await until(lambda: {f"begin {name}" for name in names[2:5]} <= set(said(place)))
            # Two workers die, a third is evicted, and so does the leader.
            for index in (0, 1):
                runner.processes[worker_of(runner, f"{kept}-1", index)].send_signal(signal.SIGKILL)
            evicted = worker_of(runner, f"{kept}-1", 2)
            eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": evicted, "namespace": HOME}}
            path = f"/api/v1/namespaces/{HOME}/pods/{evicted}/eviction"
            await kube.call("POST", path, eviction, {"Content-Type": "application/json"})
            leader = next(pod for pod in runner.processes if "-leader-" in pod)
            runner.processes[leader].send_signal(signal.SIGKILL)
            for name in names[2:5]:
                (place / f"hold-{name}").unlink()
            herded = await ended(kube, kept, Ref("v1", "ConfigMap", HOME, kept))
            assert sum("-leader-" in pod for pod in runner.began) == 2
            return herded

    herded = asyncio.run(go())
    assert herded["verdict"] == "met", herded
    assert {m["cluster"]: (m["state"], m["rta"]) for m in herded["members"]} == dict.fromkeys(names, ("met", 2.5))
    # What a disruption took is no attempt of the member's; what died is.
    assert [m["attempts"] for m in herded["members"]] == [1, 1, 2, 2, *[1] * 16]
    first_of_the_rest = min(said(place).index(f"begin {name}") for name in names[2:])
    assert all(said(place).index(f"end {name}") < first_of_the_rest for name in names[:2])


def test_a_spent_budget_stops_the_rest_and_says_why(town: cluster.Cluster, place: Path) -> None:
    names = [f"c{i:02}" + ("-bad" if i in (4, 5, 6) else "") for i in range(20)]
    file = on_kubernetes(place, "budget", names, budget=2)

    async def go() -> subprocess.CompletedProcess[str]:
        async with ready(town, place):
            argv = ("herd", str(file), "--yes", "-o", "json", "--reports", str(place / "reports"))
            return await asyncio.to_thread(dr, *argv)

    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "dr-herd", "namespace": HOME}}

    async def prepared() -> None:
        async with Kube(town.access) as kube:
            await kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME}}, manager="test")
            await kube.apply(account, manager="test")

    asyncio.run(prepared())
    done = asyncio.run(go())
    assert done.returncode == 1, done.stderr
    herded = json.loads(done.stdout)
    states = [m["state"] for m in herded["members"]]
    assert herded["verdict"] == "stopped"
    assert herded["spent"] == states.count("missed") == 3
    assert states.count("skipped") > 0
    assert not {f"begin {name}" for name in names[-3:]} & set(said(place))
    report = next((place / "reports").glob("*/report.md")).read_text()
    assert "RTO 60 s: 90 s" in report


def test_a_canary_that_misses_keeps_all_others_from_harm(place: Path) -> None:
    names = ["c00", "c01-bad", "c02", "c03"]
    done = dr("herd", str(herd(place, "canary", names, budget="50%")), "--yes", "--reports", str(place / "reports"))
    assert done.returncode == 1, done.stderr
    assert {line.split()[1] for line in said(place)} <= {"c00", "c01-bad"}
    assert "stopped: the budget was spent" in done.stdout


def test_a_leader_on_a_laptop_is_killed_and_another_goes_on_without_running_anybody_twice(place: Path) -> None:
    names = [f"c{i}" for i in range(6)]
    (place / "hold-c2").touch()
    file = herd(place, "laptop", names)
    argv = [sys.executable, "-m", "dr", "herd", str(file), "--yes", "--reports", str(place / "reports")]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as leader:
        assert leader.stderr
        for line in leader.stderr:
            if "c5" in line and "met" in line:
                break
        leader.kill()
    run = next((place / "reports").glob("*/plan.json")).parent.name
    (place / "hold-c2").unlink()
    done = dr("herd", "lead", run, "--reports", str(place / "reports"), "-o", "json")
    assert done.returncode == 0, done.stderr
    assert {m["cluster"]: m["state"] for m in json.loads(done.stdout)["members"]} == dict.fromkeys(names, "met")
    assert sorted(line for line in said(place) if line.startswith("begin")) == [f"begin {name}" for name in names]


def test_a_gameday_of_the_herd_finds_its_cluster_by_a_secret_and_is_bound_to_it(
    town: cluster.Cluster, place: Path
) -> None:
    lock = dr("lock", "dr-herd", "-o", "json")
    assert lock.returncode == 0, lock.stderr
    meant = json.loads(lock.stdout)["lock"]
    (place / "gameday.yaml").write_text(
        yaml.safe_dump(
            {
                "title": "A pod dies",
                "scenario": "pod-kill",
                "target": {"context": "replaced", "lock": "replaced"},
                "fault": {
                    "experiment": "pod-kill",
                    "with": {"namespace": "web", "service": "web", "workload": "web", "selector": "app=web"},
                },
                "steady_state": {
                    "probes": [{"name": "web", "kubernetes": {"workload": "Deployment/web/web"}}],
                    "hold": 1,
                },
                "objectives": {"rto": 60},
                "blast_radius": {"namespaces": ["web"]},
            }
        )
    )
    from tests.chaos.shop import deployment, service  # noqa: PLC0415

    secret: Body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "eu-1",
            "namespace": HOME,
            "labels": {"herd": "yes"},
            "annotations": {"dr.dev/lock": meant},
        },
        "data": {"kubeconfig": base64.b64encode(kubeconfig(town.access)).decode()},
    }
    other = {**secret, "metadata": {**secret["metadata"], "name": "eu-2", "annotations": {"dr.dev/lock": "another"}}}

    async def made() -> None:
        async with Kube(town.access) as kube:
            for home in (HOME, "web"):
                await kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": home}}, manager="test")
            for body in (secret, other, deployment("web", "web", 1), service("web", "web")):
                await kube.apply(body, manager="test")
            async for change in kube.watch("apps/v1", "Deployment", namespace="web"):
                if mapping(change.body, "status").get("readyReplicas") == 1:
                    break

    asyncio.run(made())
    body = {
        "title": "By Secrets",
        "name": "secrets",
        "home": "dr-herd",
        "clusters": {"secrets": {"namespace": HOME, "selector": "herd=yes"}},
        "scenarios": [{"name": "pod-kill", "gameday": "gameday.yaml"}],
        "attempts": 1,
        "budget": 1,
    }
    (place / "secrets.yaml").write_text(yaml.safe_dump(body))
    done = dr("herd", str(place / "secrets.yaml"), "--yes", "-o", "json", "--reports", str(place / "reports"))
    found = {m["cluster"]: m for m in json.loads(done.stdout)["members"]}
    assert found["eu-1"]["state"] == "met", (found, done.stderr)
    assert found["eu-1"]["rta"] is not None
    assert (place / "reports" / found["eu-1"]["run"] / "report.html").exists()
    assert found["eu-2"]["state"] == "failed"
    assert "lock" in found["eu-2"]["cause"]
    assert done.returncode == 3


def test_an_interrupted_herd_tells_its_members_to_stop_and_keeps_what_it_knows(place: Path) -> None:
    names = ["c0", "c1", "c2"]
    (place / "hold-c2").touch()
    file = herd(place, "stop", names)
    argv = [sys.executable, "-m", "dr", "herd", str(file), "--yes", "--reports", str(place / "reports")]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as leader:
        assert leader.stderr
        for line in leader.stderr:
            if "c2" in line and "running" in line:
                break
        leader.send_signal(signal.SIGINT)
        try:
            leader.communicate(timeout=60)
        finally:
            leader.kill()
    assert leader.returncode == 130
    herded = json.loads(next((place / "reports").glob("*/herd.json")).read_text())
    assert herded["verdict"] == "interrupted"
    assert [m["state"] for m in herded["members"]][:2] == ["met", "met"]
    assert "end c2" not in said(place)


def cluster_kind(*versions: str) -> Body:
    """Return the definition of Cluster API's Clusters as far as a herd asks for them, served in these versions."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "clusters.cluster.x-k8s.io"},
        "spec": {
            "group": "cluster.x-k8s.io",
            "scope": "Namespaced",
            "names": {"kind": "Cluster", "plural": "clusters", "singular": "cluster", "listKind": "ClusterList"},
            "versions": [
                {"name": v, "served": v in versions, "storage": v == "v1beta1", "schema": schema}
                for v in ("v1beta1", "v1beta2")
                if v in versions or v == "v1beta1"  # as it is stored, it stays
            ],
        },
    }


async def served(town: cluster.Cluster, *versions: str) -> None:
    """Have the API server serve Clusters in these versions, and wait until it says so."""
    async with Kube(town.access) as kube:
        await kube.apply(cluster_kind(*versions), manager="test")
        async with asyncio.timeout(30):
            for version in ("v1beta1", "v1beta2"):
                while await known(kube, version) != (version in versions):  # noqa: ASYNC110 - the server's answer
                    await asyncio.sleep(0.1)


async def known(kube: Kube, version: str) -> bool:
    try:
        await kube.call("GET", f"/apis/cluster.x-k8s.io/{version}/clusters")
    except ApiError as error:
        if error.status not in (404, 429, 503):
            raise
        return False
    return True


def test_clusters_of_cluster_api_and_argo_cd_are_found_where_they_are_kept_and_reached_from_there(
    town: cluster.Cluster, place: Path
) -> None:
    lock = json.loads(dr("lock", "dr-herd", "-o", "json").stdout)["lock"]
    access = town.access
    told = {"caData": access.ca, "certData": access.certificate, "keyData": access.key}
    encoded = {name: base64.b64encode(Path(path).read_bytes()).decode() for name, path in told.items() if path}
    config = {"tlsClientConfig": encoded, **({"bearerToken": access.token} if access.token else {})}

    def listed(kind: str, name: str, env: str, **more: Any) -> Body:
        labels = {"env": env, **({"argocd.argoproj.io/secret-type": "cluster"} if kind == "Secret" else {})}
        metadata = {"name": name, "namespace": "fleet", "labels": labels, "annotations": {"dr.dev/lock": lock}}
        version = "v1" if kind == "Secret" else "cluster.x-k8s.io/v1beta1"
        return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}

    argo = {"server": access.server, "config": json.dumps(config)}
    bodies = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "fleet"}},
        listed("Secret", "argo-1", "staging", stringData=argo),
        listed("Secret", "argo-2", "production", stringData=argo),
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "no-cluster", "namespace": "fleet"}},
    ]
    kept = {"value": base64.b64encode(kubeconfig(access)).decode()}
    capi = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "capi-1-kubeconfig", "namespace": "fleet"},
        "data": kept,
    }
    file = place / "sources.yaml"
    sources = {"argo": {"namespace": "fleet", "selector": "env=staging"}, "capi": {"namespace": "fleet"}}
    # What a member reaches with the access that it was given: the cluster that its lock names, or nothing.
    asks = [
        sys.executable,
        "-c",
        f"""import os, subprocess, sys, json
context = json.load(open(os.environ["KUBECONFIG"]))["current-context"]
said = subprocess.run([sys.executable, "-m", "dr", "lock", context, "-o", "json"], capture_output=True, text=True)
sys.exit(json.loads(said.stdout)["lock"] != {lock!r})""",
    ]
    body = {"title": "t", "name": "sources", "home": "dr-herd", "clusters": sources}
    file.write_text(yaml.safe_dump({**body, "scenarios": [{"name": "reach", "command": asks}]}))

    def planned() -> list[str]:
        done = dr("herd", str(file), "--dry-run", "-o", "json", "--reports", str(place / "reports"))
        assert done.returncode == 0, done.stderr
        return [m["cluster"] for m in json.loads(done.stdout)["members"]]

    async def add(*wanted: Body) -> None:
        async with Kube(access) as kube:
            for one in wanted:
                await kube.apply(one, manager="test")

    asyncio.run(add(*bodies))
    refused = dr("herd", str(file), "--dry-run")
    assert (refused.returncode, "serves no Clusters of Cluster API" in refused.stderr) == (2, True), refused.stderr
    asyncio.run(served(town, "v1beta1"))
    asyncio.run(add(listed("Cluster", "capi-1", "staging"), capi))
    assert planned() == ["argo-1", "capi-1"]
    asyncio.run(served(town, "v1beta2"))
    assert planned() == ["argo-1", "capi-1"]
    done = dr("herd", str(file), "--yes", "-o", "json", "--reports", str(place / "reports"))
    found = {m["cluster"]: (m["state"], m["cause"]) for m in json.loads(done.stdout)["members"]}
    assert found == {"argo-1": ("met", ""), "capi-1": ("met", "")}, done.stderr


def test_once_enough_have_met_the_rest_is_not_exercised_and_that_is_no_failure(
    town: cluster.Cluster, place: Path
) -> None:
    names = [f"c{i:02}" for i in range(8)]
    for name in names[3:]:
        (place / f"hold-{name}").touch()
    # One attempt only: who is stopped because enough were met has not failed it.
    file = on_kubernetes(place, "enough", names, attempts=1, waves=[{"max_parallel": 4, "enough": 3}])

    async def go() -> subprocess.CompletedProcess[str]:
        async with ready(town, place) as (kube, _):
            account = {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": "dr-herd", "namespace": HOME},
            }
            await kube.apply(account, manager="test")
            argv = ("herd", str(file), "--yes", "-o", "json", "--reports", str(place / "reports"))
            return await asyncio.to_thread(dr, *argv)

    try:
        done = asyncio.run(go())
    finally:
        for held in place.glob("hold-*"):
            held.unlink()
    herded = json.loads(done.stdout)
    states = [(m["state"], m["cause"]) for m in herded["members"]]
    assert states == [("met", "")] * 3 + [("skipped", "not needed: enough were met")] * 5, done.stderr
    assert (done.returncode, herded["verdict"], herded["spent"]) == (0, "met", 0)
    assert f"begin {names[3]}" in said(place)


def test_clusters_of_cluster_api_and_argo_cd_are_found_by_name_lock_and_labels() -> None:
    metadata = {"name": "eu-1", "namespace": "fleet", "labels": {"env": "dev"}, "annotations": {"dr.dev/lock": "x"}}
    capi = herds._cluster(Capi(), {"metadata": metadata})
    argo = herds._cluster(Argo(), {"metadata": metadata})
    assert (capi.secret, capi.key, capi.form) == ("fleet/eu-1-kubeconfig", "value", "kubeconfig")
    assert (argo.secret, argo.form) == ("fleet/eu-1", "argo")
    assert {(c.name, c.lock, c.labels["env"]) for c in (capi, argo)} == {("eu-1", "x", "dev")}


def test_what_argo_cd_knows_of_a_cluster_is_a_kubeconfig_that_leads_there(tmp_path: Path) -> None:
    config = {"bearerToken": "of-the-herd", "tlsClientConfig": {"insecure": True}}
    data = {"server": b"https://198.51.100.7:6443", "config": json.dumps(config).encode()}
    (tmp_path / "kubeconfig").write_bytes(herd_work._from_argo(data))
    access = from_kubeconfig("herd", tmp_path / "kubeconfig")
    assert (access.server, access.token, access.insecure) == ("https://198.51.100.7:6443", "of-the-herd", True)
