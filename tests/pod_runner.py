"""A node whose pods really run, as processes of this machine: what a kubelet does, without images.

What a kubelet and a container runtime enforce is not: a pod's user, its read-only root and its limits. That pods ask
for them is looked at by the API server, which admits them by the Pod Security Standard.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from dr.adapters.kube import Access, Kube, kubeconfig
from dr.adapters.workers import RESULT
from dr.core.body import get, items, mapping, text
from dr.core.errors import ApiError
from dr.core.model import Body, Ref

NODE, LABEL = "runner", "dr.dev/runner"
_LEASE = 10.0


class PodRunner:
    """`processes`: by pod, what runs; `began`: the pods that were begun, in that order."""

    def __init__(self, kube: Kube, folder: Path) -> None:
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self.began: list[str] = []
        self._kube = kube
        self._folder = folder
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def node(self) -> None:
        """Register the node, and say it is alive every few seconds."""
        labels = {LABEL: "true", "kubernetes.io/hostname": NODE}
        await self._kube.apply(
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": labels}}, manager="runner"
        )
        room = {"cpu": "64", "memory": "256Gi", "pods": "2000"}
        while True:
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            ready = {"type": "Ready", "status": "True", "reason": "Runs", "lastHeartbeatTime": now[:19] + "Z"}
            status = {"capacity": room, "allocatable": room, "conditions": [ready]}
            await self._kube.patch(Ref("v1", "Node", "", NODE), {"status": status}, subresource="status")
            lease = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": NODE, "namespace": "kube-node-lease"},
                "spec": {"holderIdentity": NODE, "leaseDurationSeconds": 40, "renewTime": now},
            }
            await self._kube.apply(lease, manager="runner")
            await asyncio.sleep(_LEASE)

    async def pods(self) -> None:
        """Run what is bound to the node, and end what is deleted."""
        async for change in self._kube.watch("v1", "Pod"):
            pod, uid = change.body, text(change.body, "metadata", "uid")
            if change.gone or text(pod, "spec", "nodeName") != NODE:
                continue
            name = text(pod, "metadata", "name")
            if uid not in self._tasks and text(pod, "status", "phase") == "Pending" and not _going(pod):
                self._tasks[uid] = asyncio.create_task(self._run(pod, name))
            elif _going(pod) and (process := self.processes.get(name)):
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
            elif _going(pod):
                await self._gone(pod)

    async def _run(self, pod: Body, name: str) -> None:
        with tempfile.TemporaryDirectory(dir=self._folder) as made:
            home = Path(made)
            container = items(pod, "spec", "containers")[0]
            paths = await self._mounted(pod, container, home)
            argv = [_moved(part, paths) for part in [*container.get("command", ()), *container.get("args", ())]]
            left = home / "termination-log"
            environ = {**os.environ, "KUBECONFIG": await self._account(pod, home), RESULT: str(left)}
            for row in container.get("envFrom", ()):
                environ |= await self._secret(pod, text(row, "secretRef", "name"))
            for row in container.get("env", ()):
                field = text(row, "valueFrom", "fieldRef", "fieldPath")
                where, _, key = field.removeprefix("metadata.").removesuffix("']").partition("['")
                environ[row["name"]] = text(pod, "metadata", where, key) if field else str(row.get("value", ""))
            log = (self._folder / f"{name}.log").open("ab")
            process = await asyncio.create_subprocess_exec(*argv, env=environ, stdout=log, stderr=log)
            self.processes[name] = process
            self.began.append(name)
            state: Body = {"running": {"startedAt": _now()}}
            await self._tell(pod, "Running", state)
            code = await process.wait()
            log.close()
            del self.processes[name]
            message = left.read_text() if left.exists() else ""
            ended = code if code >= 0 else 128 - code
            state = {
                "terminated": {"exitCode": ended, "message": message, "reason": "Completed" if not ended else "Error"}
            }
            await self._tell(pod, "Failed" if ended else "Succeeded", state)
            known = await self._kube.get(Ref("v1", "Pod", text(pod, "metadata", "namespace"), name))
            if known and _going(known):
                await self._gone(pod)

    async def _mounted(self, pod: Body, container: Body, home: Path) -> dict[str, str]:
        """Make the volumes that are files; return where each of the container's paths is on this machine."""
        paths = {}
        for mount in container.get("volumeMounts", ()):
            volume = next(v for v in items(pod, "spec", "volumes") if v["name"] == mount["name"])
            if name := text(volume, "configMap", "name"):
                place = home / mount["name"]
                place.mkdir()
                found = await self._kube.get(Ref("v1", "ConfigMap", text(pod, "metadata", "namespace"), name))
                rows = items(volume, "configMap", "items") or [{"key": k, "path": k} for k in mapping(found, "data")]
                for row in rows:
                    (place / row["path"]).parent.mkdir(parents=True, exist_ok=True)
                    (place / row["path"]).write_text(text(found, "data", row["key"]))
            elif name := text(volume, "secret", "secretName"):
                place = home / mount["name"]
                place.mkdir()
                for key, value in (await self._secret(pod, name)).items():
                    (place / key).write_text(value)
            elif name := text(volume, "persistentVolumeClaim", "claimName"):
                place = self._folder / f"claim-{name}"  # what one pod leaves there the next one finds
                place.mkdir(exist_ok=True)
            elif "emptyDir" in volume and mount["mountPath"] != tempfile.gettempdir():
                place = home / mount["name"]
                place.mkdir()
            else:
                continue
            paths[mount["mountPath"]] = str(place)
        return paths

    async def _secret(self, pod: Body, name: str) -> dict[str, str]:
        path = f"/api/v1/namespaces/{text(pod, 'metadata', 'namespace')}/secrets/{name}"
        _, found = await self._kube.call("GET", path)
        return {key: base64.b64decode(value).decode() for key, value in mapping(found, "data").items()}

    async def _account(self, pod: Body, home: Path) -> str:
        """Return a kubeconfig with the rights of the pod's service account, as a pod's token has them."""
        namespace, name = text(pod, "metadata", "namespace"), text(pod, "spec", "serviceAccountName")
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        _, made = await self._kube.call("POST", path, asked, {"Content-Type": "application/json"})
        known = self._kube.access
        access = Access("in-cluster", known.server, known.ca, token=text(made, "status", "token"))
        file = home / "kubeconfig"
        file.write_bytes(kubeconfig(access))
        return str(file)

    async def _tell(self, pod: Body, phase: str, state: Body) -> None:
        name = items(pod, "spec", "containers")[0]["name"]
        status = {"name": name, "image": "none", "imageID": "", "ready": False, "restartCount": 0, "state": state}
        ref = Ref("v1", "Pod", text(pod, "metadata", "namespace"), text(pod, "metadata", "name"))
        with contextlib.suppress(ApiError):
            await self._kube.patch(
                ref, {"status": {"phase": phase, "containerStatuses": [status]}}, subresource="status"
            )

    async def _gone(self, pod: Body) -> None:
        path = f"/api/v1/namespaces/{text(pod, 'metadata', 'namespace')}/pods/{text(pod, 'metadata', 'name')}"
        with contextlib.suppress(ApiError):
            await self._kube.call("DELETE", path, gracePeriodSeconds="0")

    async def end(self) -> None:
        """End what still runs."""
        for process in tuple(self.processes.values()):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        for task in self._tasks.values():
            task.cancel()
        for error in await asyncio.gather(*self._tasks.values(), return_exceptions=True):
            if isinstance(error, Exception):
                raise error


@asynccontextmanager
async def running_pods(access: Access, folder: Path, kind: type[PodRunner] = PodRunner) -> AsyncIterator[PodRunner]:
    """Have a node that runs its pods for a block; what its watch or its heartbeat raises is raised in the end."""
    async with Kube(access) as kube:
        runner = kind(kube, folder)
        tasks = [asyncio.create_task(work) for work in (runner.node(), runner.pods())]
        try:
            yield runner
        finally:
            await runner.end()
            for task in tasks:
                task.cancel()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            await kube.delete(Ref("v1", "Node", "", NODE))
        for error in found:
            if isinstance(error, Exception):
                raise error


def _going(pod: Body) -> bool:
    return get(pod, "metadata", "deletionTimestamp") is not None


def _moved(part: str, paths: dict[str, str]) -> str:
    for path, place in paths.items():
        if part == path or part.startswith(f"{path}/"):
            return place + part.removeprefix(path)
    return part


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
