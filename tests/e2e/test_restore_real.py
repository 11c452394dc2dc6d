"""Restoring into a real API server that is killed, that fails, that is taken by another: what a user must be able to rely on."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from aiohttp import web

from dr.adapters.kube import Kube
from dr.adapters.store import events
from dr.app import restores
from dr.core.events import AnyEvent, Applied, Began, Differs, Failed, Operation, Ready, Retried, Skipped, Started
from dr.core.model import Ref
from dr.core.simulated import Brought, Served, Simulation
from dr.local import cluster
from tests.e2e.faulty import Faulty, Killing, proxied
from tests.embedded import running

DR = str(Path(sys.executable).parent / "dr")
KUBECTL = str(Path(sys.executable).parent / "kubectl")


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Cluster]:
    with running(tmp_path_factory.mktemp("state"), "real") as made:
        yield made


@pytest.fixture
def call(embedded: cluster.Cluster, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Return what starts `dr` with its reports under the test's folder."""
    environ = {
        **os.environ,
        "DR_STATE_DIR": str(embedded.folder.parent.parent),
        "DR_CACHE_DIR": str(tmp_path / "cache"),
    }

    def start(*arguments: str, prefix: tuple[str, ...] = (), **more: str) -> subprocess.Popen[str]:
        options = ["--reports", str(tmp_path / "reports")] if arguments[0] != "verify" else []
        return subprocess.Popen(
            [*prefix, DR, *arguments, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**environ, **more},
        )

    return start


def finish(process: subprocess.Popen[str], seconds: float = 90) -> tuple[int, str]:
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out + err


TO = ("--to", "local:real")


def newest(reports: Path) -> tuple[AnyEvent, ...]:
    return events(max(reports.glob("*/"), key=lambda folder: folder.name))


def applying(process: subprocess.Popen[str], reports: Path) -> None:
    """Wait until a run has applied something."""
    while not any(of(events(folder), Applied) for folder in reports.glob("*/") if (folder / "events.jsonl").exists()):
        assert process.poll() is None, finish(process)
        time.sleep(0.01)


def of(told: tuple[AnyEvent, ...], kind: type) -> list[Any]:
    return [event for event in told if isinstance(event, kind)]


def definition(group: str, kind: str, version: str) -> dict[str, Any]:
    """Return the definition of a custom kind that takes anything."""
    plural = f"{kind.lower()}s"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    served: dict[str, Any] = {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    served["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [served],
        },
    }


def platform(folder: Path, name: str, extra: list[dict[str, Any]] | None = None, links: int = 20) -> Path:
    """Write a repo: a namespace, a CRD and its resources, and a chain of ConfigMaps that say what they depend on."""
    folder.mkdir()
    group = f"{name}.example"
    bodies: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}},
        definition(group, "Thing", "v1"),
    ]
    for n in range(10):
        meta = {"name": f"thing-{n}", "namespace": name}
        bodies.append({"apiVersion": f"{group}/v1", "kind": "Thing", "metadata": meta, "spec": {"number": n}})
        bodies.append({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"password": "hunter2"}})
    for n in range(links):
        said = {"config.kubernetes.io/depends-on": f"/namespaces/{name}/ConfigMap/link-{n - 1}"} if n else {}
        own = {"name": f"link-{n}", "namespace": name, "annotations": said}
        bodies.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": own, "data": {"number": str(n)}})
    (folder / "all.yaml").write_text(yaml.safe_dump_all([*bodies, *(extra or [])]))
    (folder / "dr.yaml").write_text("# a repo by itself\n")
    return folder


OBJECTS = 42


class Found(NamedTuple):
    """An object as it is in the cluster; `version` only where no controller writes into it."""

    uid: str
    generation: int
    version: str
    data: dict[str, str]


def live(made: cluster.Cluster, name: str) -> dict[str, Found]:
    """Return what the platform `name` has in the cluster."""
    kubectl = [KUBECTL, "--kubeconfig", str(made.folder / "kubeconfig"), "-n", name, "get", "-o", "json"]
    found: list[dict[str, Any]] = []
    for kind in ("configmap", "secret", "deployment", "sealedsecrets.bitnami.com", f"things.{name}.example"):
        done = subprocess.run([*kubectl, kind], check=False, capture_output=True, text=True)
        assert done.returncode == 0 or "doesn't have a resource type" in done.stderr, done.stderr
        found += json.loads(done.stdout)["items"] if done.returncode == 0 else []
    return {
        f"{b['kind']}/{b['metadata']['name']}": Found(
            b["metadata"]["uid"],
            b["metadata"].get("generation", 0),
            "" if "status" in b or b["kind"] in ("Deployment", "SealedSecret") else b["metadata"]["resourceVersion"],
            b.get("data", {}),
        )
        for b in found
        if b["metadata"]["name"] != "kube-root-ca.crt"
    }


def rich(name: str) -> list[dict[str, Any]]:
    """Return a Deployment that takes its time, a SealedSecret whose Secret it needs, and what comes after both."""
    meta = {"name": "sealed", "namespace": name}
    reference = {"name": "K", "valueFrom": {"secretKeyRef": {"name": "sealed", "key": "k"}}}
    pod = {"containers": [{"name": "web", "image": "web:1", "env": [reference]}]}
    template = {"metadata": {"labels": {"app": "web"}, "annotations": {"dr.dev/startup": "200ms"}}, "spec": pod}
    said = {"config.kubernetes.io/depends-on": f"apps/namespaces/{name}/Deployment/web"}
    return [
        {"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "metadata": meta, "spec": {"encryptedData": {}}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": name},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template},
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "last", "namespace": name, "annotations": said},
            "data": {"number": "last"},
        },
    ]


def unsealing(names: list[str]) -> Simulation:
    """Return stand-ins that have the sealing key, serve SealedSecrets and unseal those of some namespaces."""
    refs = [Ref("bitnami.com/v1alpha1", "SealedSecret", name, "sealed") for name in names]
    served = []
    for ref in refs:
        meta = {"name": ref.name, "namespace": ref.namespace}
        served.append(
            Served(ref, (), ({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"k": "eA=="}},))
        )
    labels = {"sealedsecrets.bitnami.com/sealed-secrets-key": "active", "dr.dev/simulated": "true"}
    key_meta = {"name": "sealed-secrets-key", "namespace": "kube-system", "labels": labels}
    key = {"apiVersion": "v1", "kind": "Secret", "metadata": key_meta}
    return Simulation(tuple(served), (Brought(definition("bitnami.com", "SealedSecret", "v1alpha1")),), (key,))


LINKS, KILLS = 60, 30


def test_killed_at_thirty_moments_and_resumed_the_end_is_the_same(
    embedded: cluster.Cluster, call: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    dice = random.Random(30)
    interrupted = waited = 0
    names = [f"kill-{number}" for number in range(KILLS)]
    asyncio.run(cluster.simulate(embedded.folder, unsealing(names)))
    for number, name in enumerate(names):
        repo = platform(tmp_path / name, name, rich(name), links=LINKS)
        reports = tmp_path / "reports"
        before = set(reports.glob("*/"))
        process = call("restore", str(repo), *TO, "--yes", "-o", "json")
        steps = OBJECTS - 20 + LINKS + 3
        sent = dice.randrange(steps)
        # Earlier than its first event there is nothing to resume; the last steps wait for what takes its time.
        while told_so_far(set(reports.glob("*/")) - before, b'"applied"') < sent:
            time.sleep(0.002)
            assert process.poll() is None, finish(process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        mine = max(set(reports.glob("*/")) - before)
        halfway = live(embedded, name)
        assert of(events(mine), Began)
        if not any(event.__class__.__name__ == "Ended" for event in events(mine)):
            interrupted += 1
            waited += not of(events(mine), Ready) or len(of(events(mine), Applied)) > len(of(events(mine), Ready))
            code, said = finish(call("restore", str(repo), *TO, "--yes", "--resume", "-o", "json"))
            assert code == 0, said
            told = events(mine)
            created = [event.step for event in of(told, Applied) if event.operation is Operation.CREATED]
            assert len(created) == len(set(created)), "an object was created twice"
            assert len(of(told, Began)[0].steps) == steps
            assert {event.step for event in of(told, Ready)} == set(range(steps))
        after = live(embedded, name)
        assert len(after) == steps - 2 + 1, "with the Secret that was unsealed"
        assert {key: after[key] for key in halfway} == halfway, "what was there was changed or made anew"
        assert {after[f"ConfigMap/link-{n}"].data.get("number") for n in range(LINKS)} == {str(n) for n in range(LINKS)}
        if number % 5 == 0:
            code, said = finish(call("verify", str(repo), *TO))
            assert code == 0, said
    assert interrupted >= 25, "the runs were too quick to be interrupted"
    assert waited >= 5, "no run was interrupted while it waited"


def told_so_far(folders: set[Path], what: bytes) -> int:
    """Return how many events of a kind a run has written; -1 before its first event."""
    files = [folder / "events.jsonl" for folder in folders if (folder / "events.jsonl").exists()]
    content = files[0].read_bytes() if files else b""
    return content.count(what) if content else -1


def test_an_api_server_that_is_killed_in_the_middle_does_not_end_the_run(
    embedded: cluster.Cluster, call: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    repo = platform(tmp_path / "reboot", "reboot", links=200)
    reports = tmp_path / "reports"
    process = call("restore", str(repo), *TO, "--yes", "-o", "json", "--concurrency", "1")
    applying(process, reports)
    pids = json.loads((embedded.folder / "pids.json").read_text())
    os.kill(pids["kube-apiserver"], signal.SIGKILL)
    code, said = finish(process)
    assert code == 0, said
    assert of(newest(reports), Retried), "nobody noticed that the API server was away"


def test_a_second_run_on_the_same_cluster_refuses_and_names_the_first(
    call: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    stuck = claim("busy")
    first = call(
        "restore", str(platform(tmp_path / "busy", "busy", [stuck])), *TO, "--yes", "--force", "--timeout", "8"
    )
    reports = tmp_path / "reports"
    applying(first, reports)
    code, said = finish(call("restore", str(platform(tmp_path / "late", "late")), *TO, "--yes"))
    assert code == 3
    assert "another run is restoring into this cluster: " in said
    assert min(folder.name for folder in reports.glob("*/")) in said
    assert finish(first)[0] == 1


def claim(home: str) -> dict[str, Any]:
    """Return a claim of a class that is not there: it stays pending for ever."""
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}}
    meta = {"name": "data", "namespace": home}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


def test_an_object_that_never_becomes_ready_costs_only_what_hangs_on_it(
    call: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    said = {"config.kubernetes.io/depends-on": "/namespaces/never/PersistentVolumeClaim/data"}
    needs: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "needs", "namespace": "never", "annotations": said},
    }
    repo = platform(tmp_path / "never", "never", [claim("never"), needs])
    code, out = finish(call("restore", str(repo), *TO, "--yes", "--force", "--timeout", "3"))
    assert code == 1, out
    told = newest(tmp_path / "reports")
    steps = of(told, Began)[0].steps
    assert [steps[event.step].ref.kind for event in of(told, Failed)] == ["PersistentVolumeClaim"]
    assert [steps[event.step].ref.name for event in of(told, Skipped)] == ["needs"]
    assert len(of(told, Ready)) == OBJECTS
    assert "PersistentVolumeClaim never/data" in out


def test_a_preflight_that_finds_something_missing_stops_before_anything_is_changed(
    embedded: cluster.Cluster, call: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    repo = platform(tmp_path / "short", "short", [claim("short")])
    code, out = finish(call("restore", str(repo), *TO, "--yes"))
    assert code == 1
    assert "StorageClass gold" in out
    argv = [KUBECTL, "--kubeconfig", str(embedded.folder / "kubeconfig"), "get", "namespace", "short"]
    assert subprocess.run(argv, check=False, capture_output=True).returncode == 1


def test_a_log_that_is_full_stops_the_run_before_the_next_request(
    embedded: cluster.Cluster, call: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    repo = platform(tmp_path / "full", "full")
    limited = ("bash", "-c", 'ulimit -f 9; exec "$@"', "limited")
    code, out = finish(call("restore", str(repo), *TO, "--yes", "--concurrency", "4", prefix=limited))
    assert code == 3, out
    assert "nothing more was sent to the cluster" in out
    assert "--resume" in out
    told = newest(tmp_path / "reports")
    assert 0 < len(of(told, Started)) < OBJECTS
    kinds = {"ConfigMap", "Secret", "Thing"}
    steps = of(told, Began)[0].steps
    begun = [event for event in of(told, Started) if steps[event.step].ref.kind in kinds]
    assert len(live(embedded, "full")) <= len(begun)
    assert finish(call("restore", str(repo), *TO, "--yes", "--resume"))[0] == 0
    assert len(live(embedded, "full")) == OBJECTS - 2


def test_verify_finds_what_was_changed_deleted_and_added_by_hand_and_shows_no_secret(
    embedded: cluster.Cluster, call: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    repo = platform(tmp_path / "drift", "drift")
    assert finish(call("restore", str(repo), *TO, "--yes"))[0] == 0
    code, out = finish(call("verify", str(repo), *TO, "-o", "json"))
    assert code == 0, out
    kubectl = [KUBECTL, "--kubeconfig", str(embedded.folder / "kubeconfig"), "-n", "drift"]
    for change in (
        ["delete", "configmap", "link-3"],
        ["patch", "configmap", "link-4", "-p", '{"data":{"number":"forty"}}'],
        ["patch", "secret", "thing-1", "-p", '{"stringData":{"password":"swordfish"}}'],
        ["create", "configmap", "by-hand"],
        ["label", "configmap", "link-5", "more=1"],
    ):
        subprocess.run([*kubectl, *change], check=True, capture_output=True)
    code, out = finish(call("verify", str(repo), *TO, "-o", "json"))
    assert code == 1
    found = {(d["ref"]["name"], d["what"], d["path"]) for d in json.loads(out[: out.rindex("}") + 1])["differences"]}
    assert ("link-3", "missing", "") in found
    assert ("link-4", "different", "data.number") in found
    assert ("by-hand", "extra", "") in found
    assert any(name == "thing-1" and what == "different" for name, what, _ in found)
    assert not any(name == "link-5" for name, _, _ in found), "what git does not set is nobody's drift"
    assert "hunter2" not in out
    assert "swordfish" not in out


def test_a_dry_run_changes_nothing_and_says_what_it_would(
    embedded: cluster.Cluster, call: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    repo = platform(tmp_path / "dry", "dry")
    code, out = finish(call("restore", str(repo), *TO, "--dry-run", "-o", "json"))
    assert code == 0, out
    would = {row["object"]: row["would"] for row in json.loads(out[: out.rindex("}") + 1])["objects"]}
    assert would["Namespace dry"] == "create"
    assert would["ConfigMap dry/link-0"] == "later"
    argv = [KUBECTL, "--kubeconfig", str(embedded.folder / "kubeconfig"), "get", "namespace", "dry"]
    assert subprocess.run(argv, check=False, capture_output=True).returncode == 1


def test_no_secret_is_in_anything_that_a_run_leaves_behind(
    call: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    code, out = finish(call("restore", str(platform(tmp_path / "hush", "hush")), *TO, "--yes", "--detail"))
    assert code == 0, out
    written = [path.read_bytes() for path in (tmp_path / "reports").rglob("*") if path.is_file()]
    assert len(written) >= 4
    assert not any(b"hunter2" in content or b"aHVudGVyMg" in content for content in [*written, out.encode()])


def listing(request: web.Request) -> bool:
    """Return whether the final comparison asks for its first kind that nobody watches."""
    return request.path == "/api/v1/configmaps" and "watch" not in request.query


def reviewing(request: web.Request) -> bool:
    return request.path.endswith("/selfsubjectaccessreviews")


@pytest.mark.parametrize("when", [listing, reviewing])
def test_an_api_server_that_is_killed_before_or_after_the_restore_does_not_end_the_run(
    embedded: cluster.Cluster, call: Callable[..., subprocess.Popen[str]], tmp_path: Path, when: Any
) -> None:
    name = when.__name__
    repo = platform(tmp_path / name, name)
    with Killing(embedded, when) as proxy:
        config = proxied(tmp_path, proxy)
        code, out = finish(call("restore", str(repo), "--to", "proxied", "--yes", KUBECONFIG=str(config)))
        assert code == 0, out
        assert proxy.injected == 1
    assert len(of(newest(tmp_path / "reports"), Ready)) == OBJECTS


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_conflicts_overload_errors_dropped_connections_and_lost_watches_heal(
    embedded: cluster.Cluster, call: Callable[..., subprocess.Popen[str]], tmp_path: Path, seed: int
) -> None:
    name = f"faults-{seed}"
    repo = platform(tmp_path / name, name)
    with Faulty(embedded, seed) as proxy:
        config = proxied(tmp_path, proxy)
        code, out = finish(call("restore", str(repo), "--to", "proxied", "--yes", KUBECONFIG=str(config)))
        assert code == 0, out
        assert proxy.injected >= 20
        told = newest(tmp_path / "reports")
        assert len(of(told, Retried)) > 5
        proxy.injected = 0
        code, out = finish(call("verify", str(repo), "--to", "proxied", KUBECONFIG=str(config)))
        assert code == 0, out
        code, out = finish(call("restore", str(repo), "--to", "proxied", "--dry-run", KUBECONFIG=str(config)))
        assert code == 0, out
        assert "leave as they are 42 objects" in out
        assert proxy.injected >= 10
    assert {event.what for event in of(told, Differs)} <= {"extra"}
    assert len(live(embedded, name)) == OBJECTS - 2


def test_a_context_that_was_pointed_elsewhere_between_plan_and_apply_is_refused(
    embedded: cluster.Cluster, call: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    repo = platform(tmp_path / "moved", "moved")
    config = tmp_path / "kubeconfig"

    def point(made: cluster.Cluster) -> None:
        content = json.loads((made.folder / "kubeconfig").read_text())
        content["contexts"][0]["name"] = "prod"
        config.write_text(json.dumps(content))

    point(embedded)
    code, out = finish(call("restore", str(repo), "--to", "prod", "--dry-run", "-o", "json", KUBECONFIG=str(config)))
    assert code == 0, out
    lock = json.loads(out[: out.rindex("}") + 1])["lock"]
    with running(tmp_path / "state", "other", nodes=1) as other:
        point(other)
        code, out = finish(call("restore", str(repo), "--to", "prod", "--yes", "--lock", lock, KUBECONFIG=str(config)))
        assert code == 3
        assert lock in out
        assert "nothing was changed" in out.replace("\n", " ")

        # Pointed elsewhere while the name was being typed.
        point(embedded)
        reading = {"path": "", "env": "", "config": None, "max_file_size": 32}
        os.environ["KUBECONFIG"] = str(config)

        async def label() -> None:
            for made in (embedded, other):
                async with Kube(made.access) as kube:
                    body = {"metadata": {"labels": {"dr.dev/embedded": None}}}
                    await kube.patch(Ref("v1", "Namespace", "", "kube-system"), body)

        asyncio.run(label())
        with pytest.raises(Exception, match="leads to another cluster"):
            restores.restore(
                [str(repo)],
                "prod",
                "text",
                restores.Options(reports=tmp_path / "reports"),
                reading,
                dry=False,
                resume=False,
                detail=False,
                confirm=lambda _: point(other),
                watching=restores.silent,
            )
        del os.environ["KUBECONFIG"]
        argv = [KUBECTL, "--kubeconfig", str(other.folder / "kubeconfig"), "get", "namespace", "moved"]
        assert subprocess.run(argv, check=False, capture_output=True).returncode == 1
