"""Restoring a part, anew, as another, and what waits for more than itself: against the real API server."""

from __future__ import annotations

import json
import subprocess
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dr.core.events import Applied, Began, Failed, Operation, Ready, Started, Waiting
from dr.local import cluster
from tests.e2e.test_restore_real import KUBECTL, TO, call, embedded, finish, newest, of

__all__ = ["call", "embedded"]
Call = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def kubectl(embedded: cluster.Cluster) -> Callable[..., str]:
    def run(*arguments: str) -> str:
        argv = [KUBECTL, "--kubeconfig", str(embedded.folder / "kubeconfig"), *arguments]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    return run


def repo(folder: Path, **units: list[dict[str, Any]]) -> Path:
    """Write a repo with a folder for each unit."""
    for unit, bodies in units.items():
        (folder / unit).mkdir(parents=True)
        (folder / unit / "all.yaml").write_text(yaml.safe_dump_all(bodies))
    (folder / "dr.yaml").write_text("# a repo by itself\n")
    return folder


def namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def config(home: str, name: str, after: str = "", **data: str) -> dict[str, Any]:
    said = {"config.kubernetes.io/depends-on": after} if after else {}
    meta = {"name": name, "namespace": home, "annotations": said}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def deployment(home: str, name: str, startup: str = "0s") -> dict[str, Any]:
    pod = {"containers": [{"name": "c", "image": "web:1"}]}
    template = {"metadata": {"labels": {"app": name}, "annotations": {"dr.dev/startup": startup}}, "spec": pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": home},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


def names(told: tuple[Any, ...]) -> list[str]:
    steps = of(told, Began)[0].steps
    return sorted(steps[event.step].ref.name for event in of(told, Applied))


def encoded(value: str) -> str:
    return b64encode(value.encode()).decode()


def three(folder: Path, home: str) -> Path:
    first, second = f"/namespaces/{home}/ConfigMap/first", f"/namespaces/{home}/ConfigMap/second"
    return repo(
        folder,
        base=[namespace(home)],
        one=[config(home, "first")],
        two=[config(home, "second", first)],
        three=[config(home, "third", second)],
        apart=[config(home, "apart")],
    )


def test_only_the_units_that_were_named_are_restored_and_the_others_are_not_called_extra(
    call: Call, tmp_path: Path, kubectl: Callable[..., str]
) -> None:
    where = three(tmp_path / "only", "only")
    kubectl("create", "namespace", "only")
    code, out = finish(call("restore", str(where), *TO, "--yes", "--force", "--only", "one", "--only", "apart"))
    assert code == 0, out
    assert names(newest(tmp_path / "reports")) == ["apart", "first"]
    code, out = finish(call("restore", str(where), *TO, "--yes"))
    assert code == 0, out
    code, out = finish(call("restore", str(where), *TO, "--yes", "--only", "two"))
    assert code == 0, out
    assert names(newest(tmp_path / "reports")) == ["second"]
    assert "extra" not in out


def test_from_a_unit_on_restores_what_comes_after_it_and_nothing_before(
    call: Call, tmp_path: Path, kubectl: Callable[..., str]
) -> None:
    where = three(tmp_path / "since", "since")
    kubectl("create", "namespace", "since")
    code, out = finish(call("restore", str(where), *TO, "--yes", "--force", "--from", "two"))
    assert code == 0, out
    assert names(newest(tmp_path / "reports")) == ["second", "third"]
    assert "first" not in kubectl("-n", "since", "get", "configmap", "-o", "name")


def test_the_fields_belong_to_the_manager_that_was_named(
    call: Call, tmp_path: Path, kubectl: Callable[..., str]
) -> None:
    where = repo(tmp_path / "owned", all=[namespace("owned"), config("owned", "c", a="1")])
    code, out = finish(call("restore", str(where), *TO, "--yes", "--field-manager", "kustomize-controller"))
    assert code == 0, out
    found = json.loads(kubectl("-n", "owned", "get", "configmap", "c", "-o", "json", "--show-managed-fields"))
    assert [row["manager"] for row in found["metadata"]["managedFields"]] == ["kustomize-controller"]


def test_what_was_changed_by_the_second_run_is_told_from_what_was_not(
    call: Call, tmp_path: Path, kubectl: Callable[..., str]
) -> None:
    bodies = [namespace("twice"), *(config("twice", f"c-{n}", a="1") for n in range(3))]
    where = repo(tmp_path / "twice", all=bodies)
    assert finish(call("restore", str(where), *TO, "--yes"))[0] == 0
    time.sleep(2.5)  # the server's times are whole seconds
    kubectl("-n", "twice", "patch", "configmap", "c-1", "-p", '{"data":{"a":"2"}}')
    code, out = finish(call("restore", str(where), *TO, "--yes"))
    assert code == 0, out
    told = newest(tmp_path / "reports")
    steps = of(told, Began)[0].steps
    did = {steps[event.step].ref.name: event.operation for event in of(told, Applied)}
    assert {name: did[name] for name in ("c-0", "c-1", "c-2")} == {
        "c-0": Operation.UNCHANGED,
        "c-1": Operation.CONFIGURED,
        "c-2": Operation.UNCHANGED,
    }


def test_a_dry_run_shows_the_plan_and_each_change_also_what_goes_and_no_secret(
    call: Call, tmp_path: Path, kubectl: Callable[..., str]
) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "diff"}}
    before = [
        {**secret, "data": {"a": encoded("hunter2"), "b": encoded("swordfish")}},
        config("diff", "c", a="1", b="2"),
    ]
    keep = config("diff", "keep", a="1")
    where = repo(tmp_path / "before", all=[namespace("diff"), *before, keep, deployment("diff", "web")])
    assert finish(call("restore", str(where), *TO, "--yes"))[0] == 0
    web = deployment("diff", "web")
    web["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2"
    widget = {"apiVersion": "diff.example/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "diff"}}
    after = [{**secret, "data": {"a": encoded("correct horse")}}, config("diff", "c", a="1"), keep, web, widget]
    where = repo(tmp_path / "after", all=[namespace("diff"), *after])
    code, out = finish(call("restore", str(where), *TO, "--dry-run"))
    assert code == 1, out
    assert "estimate" in out
    assert "6 objects" in out
    for line in (
        'data.b: "2" → (absent)',
        'spec.template.spec.containers[name=c].image: "web:1" → "web:2"',
        "data.a: (hidden) → (hidden)",
        "data.b: (hidden) → (absent)",
        "would change 3 objects, leave as they are 2 objects, fail 1 object",
    ):
        assert line in out, out
    for word in ("hunter2", "swordfish", "correct horse"):
        assert word not in out
        assert encoded(word) not in out


def test_a_secret_that_the_server_cannot_read_fails_at_once_and_shows_nowhere_what_it_holds(
    call: Call, tmp_path: Path
) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pin", "namespace": "typed"}}
    where = repo(tmp_path / "typed", all=[namespace("typed"), {**secret, "stringData": {"pin": 4815162342}}])
    code, out = finish(call("restore", str(where), *TO, "--yes", "--detail"), 30)
    assert code == 1, out
    (failed,) = of(newest(tmp_path / "reports"), Failed)
    assert ".stringData.pin" in failed.cause
    assert failed.at < 15
    code, dry = finish(call("restore", str(where), *TO, "--dry-run", "--detail"))
    assert code == 1, dry
    written = [path.read_bytes() for path in (tmp_path / "reports").rglob("*") if path.is_file()]
    assert len(written) >= 4
    assert not any(b"4815162342" in content for content in [*written, out.encode(), dry.encode()])


def test_what_depends_on_a_service_starts_only_when_something_answers_behind_it(call: Call, tmp_path: Path) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "db", "namespace": "reach"},
        "spec": {"selector": {"app": "db"}, "ports": [{"port": 80}]},
    }
    bare = {**service, "metadata": {"name": "bare", "namespace": "reach"}, "spec": {"ports": [{"port": 80}]}}
    bodies = [
        namespace("reach"),
        service,
        bare,
        deployment("reach", "db", "2s"),
        config("reach", "app", "/namespaces/reach/Service/db"),
        config("reach", "early", "/namespaces/reach/Service/bare"),
    ]
    code, out = finish(call("restore", str(repo(tmp_path / "reach", all=bodies)), *TO, "--yes"))
    assert code == 0, out
    told = newest(tmp_path / "reports")
    steps = {step.ref.name + "/" + step.ref.kind: i for i, step in enumerate(of(told, Began)[0].steps)}

    def at(kind: type, name: str) -> float:
        found: float = next(event.at for event in of(told, kind) if event.step == steps[name])
        return found

    waits = [event.message for event in of(told, Waiting) if event.step == steps["db/Service"]]
    assert waits[:1] == ["no ready endpoints"]
    assert at(Ready, "db/Service") - at(Applied, "db/Deployment") >= 1.9
    assert at(Started, "app/ConfigMap") >= at(Ready, "db/Service")
    assert at(Started, "early/ConfigMap") < at(Ready, "db/Service")


def test_verify_leaves_an_autoscalers_replicas_and_a_claim_that_no_pod_uses_alone(
    call: Call, tmp_path: Path, kubectl: Callable[..., str]
) -> None:
    web = deployment("scaled", "web")
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "scaled"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 2,
            "maxReplicas": 4,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
                }
            ],
        },
    }
    storage = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "late"},
        "provisioner": "simulated.dr.dev",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "scaled"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "late",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    where = repo(tmp_path / "scaled", all=[namespace("scaled"), web, scaler, storage, claim])
    code, out = finish(call("restore", str(where), *TO, "--yes"))
    assert code == 0, out
    assert kubectl("-n", "scaled", "get", "pvc", "data", "-o", "jsonpath={.status.phase}") == "Pending"
    until = time.monotonic() + 60
    while kubectl("-n", "scaled", "get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}") != "2":
        assert time.monotonic() < until, "the autoscaler did nothing"
        time.sleep(0.2)
    code, out = finish(call("verify", str(where), *TO))
    assert code == 0, out
    kubectl("-n", "scaled", "set", "image", "deployment/web", "c=web:2")
    kubectl("-n", "scaled", "rollout", "status", "deployment/web", "--timeout=30s")
    code, out = finish(call("verify", str(where), *TO))
    assert code == 1, out
    assert "containers[name=c].image" in out
    assert "replicas" not in out
