"""A small shop on an embedded cluster: one of each thing that a fault can take away."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from dr.core.chaos import Said, heard
from dr.local import cluster

KUBECTL = str(Path(sys.executable).parent / "kubectl")
CHAOS = str(Path(sys.executable).parent / "chaos")
EXPERIMENTS = Path(__file__).parents[2] / "experiments"
PASSWORD = "hunter2-and-more"  # noqa: S105 - what must never be told
Body = dict[str, Any]


def deployment(home: str, name: str, replicas: int = 2, **spec: Any) -> Body:
    labels = {"app": name}
    container = {"name": name, "image": "registry.example/shop"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], **spec}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": home},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def service(home: str, name: str, port: int = 80) -> Body:
    spec = {"selector": {"app": name}, "ports": [{"port": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": home}, "spec": spec}


def named(kind: str, name: str, home: str = "", version: str = "v1", **more: Any) -> Body:
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, **({"namespace": home} if home else {})},
        **more,
    }


def shop() -> list[Body]:
    """Return a shop with its Secret and ConfigMap, an operator's API, and a webhook that every pod has to pass."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    versions = [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]
    names = {"kind": "Till", "plural": "tills", "singular": "till", "listKind": "TillList"}
    hook = {
        "name": "pods.gate.example",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"service": {"namespace": "gate", "name": "gate", "path": "/"}},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}],
    }
    room = {"storage": "1Gi"}
    volume = {"capacity": room, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/nowhere"}}
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "",
        "volumeName": "till",
        "resources": {"requests": room},
    }
    volume["persistentVolumeReclaimPolicy"] = "Delete"
    reads = [{"secretRef": {"name": "login"}}, {"configMapRef": {"name": "web"}}]
    web = deployment("shop", "web", 3)
    web["spec"]["template"]["spec"]["containers"][0]["envFrom"] = reads
    return [
        named("Namespace", "shop"),
        named("Namespace", "gate"),
        deployment("gate", "gate"),
        service("gate", "gate", 443),
        named("Secret", "login", "shop", stringData={"password": PASSWORD}),
        named("ConfigMap", "web", "shop", data={"THEME": "autumn"}),
        web,
        service("shop", "web"),
        named("PersistentVolume", "till", spec=volume),
        named("PersistentVolumeClaim", "till", "shop", spec=claim),
        named("Pod", "alone", "shop", spec={"containers": [{"name": "alone", "image": "registry.example/alone"}]}),
        named(
            "CustomResourceDefinition",
            "tills.shop.example",
            version="apiextensions.k8s.io/v1",
            spec={"group": "shop.example", "scope": "Namespaced", "names": names, "versions": versions},
        ),
        *(named("Till", f"till-{n}", "shop", "shop.example/v1", spec={"number": n}) for n in range(3)),
        named("ValidatingWebhookConfiguration", "gate", version="admissionregistration.k8s.io/v1", webhooks=[hook]),
    ]


def kubectl(made: cluster.Cluster, *words: str, stdin: str = "") -> str:
    argv = [KUBECTL, "--kubeconfig", str(made.folder / "kubeconfig"), "--request-timeout=20s", *words]
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(made: cluster.Cluster, kinds: str, *words: str) -> list[Body]:
    found: list[Body] = json.loads(kubectl(made, "get", kinds, "-o", "json", *words))["items"]
    return found


def inventory(made: cluster.Cluster, home: str = "shop") -> dict[str, Any]:
    """Return what a namespace holds, by kind and name, with what somebody wants of it."""
    kinds = "secrets,configmaps,deployments,services,serviceaccounts,tills.shop.example"
    return {
        f"{body['kind']}/{body['metadata']['name']}": {
            key: value for key, value in body.items() if key not in ("metadata", "status")
        }
        for body in objects(made, kinds, "-n", home)
    }


def password(made: cluster.Cluster) -> str:
    return base64.b64decode(
        kubectl(made, "-n", "shop", "get", "secret", "login", "-o", "jsonpath={.data.password}")
    ).decode()


def claimed(made: cluster.Cluster) -> bool:
    return kubectl(made, "-n", "shop", "get", "pvc", "till", "-o", "jsonpath={.status.phase}") == "Bound"


def soon(question: Callable[[], bool], seconds: float = 30.0) -> bool:
    until = time.monotonic() + seconds
    while not question():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def answers(made: cluster.Cluster) -> bool:
    argv = [KUBECTL, "--kubeconfig", str(made.folder / "kubeconfig"), "--request-timeout=2s", "get", "--raw", "/readyz"]
    return subprocess.run(argv, capture_output=True, check=False, timeout=30).returncode == 0


def opened(made: cluster.Cluster) -> None:
    """Put the shop in and wait until it is open; the webhook last, once there is somebody to answer for it."""
    *most, crds, one, two, three, hook = shop()
    kubectl(made, "apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all([crds, *most]))
    kubectl(made, "wait", "--for=condition=Established", "crd/tills.shop.example", "--timeout=20s")
    kubectl(made, "-n", "gate", "rollout", "status", "deployment/gate", "--timeout=30s")
    kubectl(made, "apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all([one, two, three, hook]))
    kubectl(made, "-n", "shop", "rollout", "status", "deployment/web", "--timeout=30s")
    assert soon(lambda: claimed(made))


def environment(made: cluster.Cluster, folder: Path) -> dict[str, str]:
    """Return what an experiment against this cluster needs in its environment, once it answers: another had its turn."""
    assert soon(lambda: answers(made))
    return {
        "KUBECONFIG": str(made.folder / "kubeconfig"),
        "KUBERNETES_CONTEXT": f"dr-{made.record.name}",
        "DR_LOCK": kubectl(made, "get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"),
        "DR_STATE_DIR": str(made.folder.parents[1]),
        "DR_UNDO": str(folder / "undo"),
    }


class Run:
    """One experiment under the stock `chaos run`, with what it says on the channel."""

    def __init__(self, name: str, environ: Mapping[str, str], folder: Path, **settings: object) -> None:
        reading, writing = os.pipe()
        self.journal_file, self._log = folder / f"{name}-journal.json", folder / f"{name}.log"
        words = [word for key, value in settings.items() for word in ("--var", f"{key}={value}")]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    CHAOS,
                    "--no-version-check",
                    "run",
                    "--journal-path",
                    str(self.journal_file),
                    *words,
                    str(EXPERIMENTS / f"{name}.yaml"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env={**_plain(os.environ), **environ, "DR_CHANNEL": str(writing)},
                pass_fds=(writing,),
            )
        os.close(writing)
        self._stream = os.fdopen(reading, "rb")
        self.lines: list[bytes] = []

    def said(self) -> Iterator[Said]:
        """Yield what is said, as it is said, until the process ends."""
        for line in self._stream:
            self.lines.append(line)
            found = heard(line)
            assert found is not None, line
            yield found

    def end(self, seconds: float = 90.0) -> tuple[int, Body]:
        """Return its exit code and its journal."""
        list(self.said())
        self._stream.close()
        code = self.process.wait(seconds)
        assert self.journal_file.exists(), self.log
        journal: Body = json.loads(self.journal_file.read_text())
        return code, journal

    def stop(self) -> None:
        """End it, if it has not ended."""
        self.process.kill()
        self.process.wait()
        self._stream.close()

    @property
    def log(self) -> str:
        return self._log.read_text()


def _plain(environ: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in environ.items() if not key.startswith(("DR_", "KUBE", "CHAOS"))}


def outcomes(rows: list[Body]) -> dict[str, str]:
    return {row["activity"]["name"]: row["status"] for row in rows}
