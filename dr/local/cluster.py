"""Embedded clusters by name: brought up in seconds, listed, asked, and taken down without a trace."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from dr.adapters.kube import Access, Kube
from dr.core.errors import ApiError, NotFound, ToolError, UsageError
from dr.core.model import Ref
from dr.core.simulated import Simulation
from dr.local.control_plane import Layout, prepare, programs

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_SOCKET_PATH = 90  # of the 108 bytes that the kernel gives a socket's path
_UP_SECONDS = 60.0
_UNDERSTAND_SECONDS = 20.0
_ZONES = ("zone-a", "zone-b", "zone-c")
SIMULATED = (
    "nodes and containers (KWOK): no image is pulled and nothing runs",
    "the kubelet's wait for ConfigMaps, Secrets and volumes",
    "controllers of custom resources, and what they make",
    "admission webhooks: they answer while their workload is ready, and say yes",
    "volumes and load-balancer addresses",
)


class Record(Struct, frozen=True):
    """What is written down of a cluster (`cluster.json`)."""

    name: str
    version: str
    server: str
    created: str
    nodes: int
    sockets: str


class Status(Struct, frozen=True):
    """A cluster as it is: `running` programs and those that are `down`."""

    record: Record
    running: Mapping[str, int]
    down: tuple[str, ...]
    kept: bool


class Cluster:
    """A running embedded cluster that this process has brought up."""

    def __init__(self, record: Record, folder: Path, supervisor: subprocess.Popen[bytes]) -> None:
        self.record = record
        self.folder = folder
        self._supervisor = supervisor

    @property
    def access(self) -> Access:
        """How to reach it."""
        return access(self.folder, self.record)

    def keep(self) -> None:
        """Let it live on when this process ends."""
        if self._supervisor.stdin:
            self._supervisor.stdin.write(b"stay\n")
            self._supervisor.stdin.close()
        while not (self.folder / "stay").exists() and self._supervisor.poll() is None:
            time.sleep(0.02)

    def down(self) -> None:
        """End every process of it and remove its folder."""
        if self._supervisor.stdin:
            self._supervisor.stdin.close()
        self._supervisor.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.record.sockets, ignore_errors=True)


def access(folder: Path, record: Record) -> Access:
    """Return the administrator's access to a cluster."""
    pki = folder / "pki"
    return Access(
        f"dr-{record.name}", record.server, str(pki / "ca.crt"), str(pki / "dr-admin.crt"), str(pki / "dr-admin.key")
    )


def home(state: Path, name: str) -> Path:
    """Return the folder of a cluster of this name; raises UsageError for what is none, such as a path."""
    if not _NAME.fullmatch(name):
        raise UsageError(f'"{name}" cannot name a cluster', "use up to 40 lower-case letters, digits and hyphens")
    return state / "clusters" / name


async def up(
    name: str,
    state: Path,
    binaries: Mapping[str, Path],
    *,
    version: str,
    nodes: int = 3,
    report: Callable[[str], None] = lambda _: None,
) -> Cluster:
    """Bring up a cluster and wait until its nodes are Ready.

    It ends with this process unless `keep` is called. Raises UsageError for a bad or taken name, ToolError with the
    end of the log of what does not come up.
    """
    folder = home(state, name)
    if not 1 <= nodes <= 1000:
        raise UsageError(f"{nodes} nodes are not possible", "from 1 to 1000")
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
    except OSError as error:
        if folder.is_dir():
            remedy = f"dr cluster down {name} removes it; another name makes another"
            raise UsageError(f'there is a cluster "{name}" already', remedy) from None
        raise _unwritable(folder, error) from None
    sockets = folder if len(str(folder)) < _SOCKET_PATH else Path(tempfile.mkdtemp(prefix="dr-"))
    port = _reserved_port()
    layout = Layout(folder, sockets, port.getsockname()[1])
    record = Record(name, version, layout.server, datetime.now(UTC).isoformat(timespec="seconds"), nodes, str(sockets))
    supervisor: subprocess.Popen[bytes] | None = None
    try:
        prepare(layout, name)
        shutil.copy(Path(__file__).with_name("nodes.yaml"), folder / "config" / "nodes.yaml")
        (folder / "programs.json").write_text(json.dumps(programs(layout, binaries)))
        (folder / "cluster.json").write_bytes(msgspec.json.encode(record))
        supervisor = _supervise(folder, port)
        cluster = Cluster(record, folder, supervisor)
        await asyncio.wait_for(_come_up(cluster, nodes, report), _UP_SECONDS)
    except BaseException as error:
        tails = _tails(folder)
        if supervisor:
            Cluster(record, folder, supervisor).down()
        for left_over in (folder, sockets):
            shutil.rmtree(left_over, ignore_errors=True)
        if isinstance(error, TimeoutError):
            raise ToolError(f"the cluster did not come up in {_UP_SECONDS:.0f} s", tails) from None
        if isinstance(error, OSError):
            raise _unwritable(folder, error) from None
        raise
    finally:
        port.close()
    return cluster


def _unwritable(folder: Path, error: OSError) -> ToolError:
    cause = f"{error.filename or folder} cannot be written: {error.strerror or error}"
    return ToolError(cause, "make room there, or have DR_STATE_DIR name another folder")


def _supervise(folder: Path, port: socket.socket) -> subprocess.Popen[bytes]:
    """Start the supervisor; it inherits the port's reservation, and so holds it for as long as the cluster lives."""
    with (folder / "logs" / "supervisor.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "dr.local.supervisor", str(folder)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(port.fileno(),),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )


async def _come_up(cluster: Cluster, nodes: int, report: Callable[[str], None]) -> None:
    async with Kube(cluster.access) as kube:
        report("waiting for the API server")
        while True:
            try:
                await kube.call("GET", "/readyz", headers={"Accept": "*/*"})
                await kube.call("GET", "/api/v1/namespaces/default")
                break
            except ApiError as error:
                if not error.heals and error.status != 404:
                    raise
                await asyncio.sleep(0.05)
        report(f"waiting for {nodes} nodes")
        labelled = {"metadata": {"labels": {"dr.dev/embedded": cluster.record.name}}}
        await kube.patch(Ref("v1", "Namespace", "", "kube-system"), labelled)
        await asyncio.gather(*(kube.create(_node(number)) for number in range(1, nodes + 1)))
        ready: set[str] = set()
        async for change in kube.watch("v1", "Node"):
            conditions = change.body.get("status", {}).get("conditions", ())
            if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
                ready.add(change.body["metadata"]["name"])
            if len(ready) == nodes:
                break
        await _service_accounts(kube)


async def _service_accounts(kube: Kube) -> None:
    """Wait for the first ServiceAccount: before it no pod can be made, as on a cluster that is a second old."""
    async for change in kube.watch("v1", "ServiceAccount"):
        if change.body["metadata"]["namespace"] == "default":
            return


def _node(number: int) -> dict[str, Any]:
    name = f"node-{number}"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "topology.kubernetes.io/region": "embedded",
                "topology.kubernetes.io/zone": _ZONES[(number - 1) % len(_ZONES)],
            },
        },
    }


async def simulate(folder: Path, simulation: Simulation) -> None:
    """Tell a cluster's stand-ins what to play and wait until they have understood; raises ToolError."""
    content = msgspec.json.encode(simulation)
    partial = folder / "simulation.json.new"
    partial.write_bytes(content)
    partial.replace(folder / "simulation.json")
    wanted = hashlib.sha256(content).hexdigest()
    until = time.monotonic() + _UNDERSTAND_SECONDS
    while time.monotonic() < until:
        try:
            if (folder / "simulation.ack").read_text().strip() == wanted:
                return
        except OSError:
            pass
        await asyncio.sleep(0.02)
    raise ToolError("the stand-ins of the cluster do not answer", _tails(folder))


def listed(state: Path) -> tuple[Status, ...]:
    """Return every cluster that has a folder, by name, whether it runs or was left over."""
    found = []
    for file in sorted((state / "clusters").glob("*/cluster.json")):
        try:
            record = msgspec.json.decode(file.read_bytes(), type=Record)
        except (OSError, msgspec.MsgspecError):
            continue
        found.append(_status(file.parent, record))
    return tuple(found)


def left(state: Path) -> tuple[str, ...]:
    """Return the names of all folders of clusters, also of those that a crash left without a record."""
    return tuple(path.name for path in sorted((state / "clusters").glob("*/")) if _NAME.fullmatch(path.name))


def find(state: Path, name: str) -> tuple[Path, Record]:
    """Return a cluster's folder and record; raises UsageError for what is no name, NotFound."""
    folder = home(state, name)
    for status in listed(state):
        if status.record.name == name:
            return folder, status.record
    there = ", ".join(s.record.name for s in listed(state))
    raise NotFound(f'there is no embedded cluster "{name}"', f"there are {there}" if there else f"dr cluster up {name}")


def _status(folder: Path, record: Record) -> Status:
    try:
        pids = json.loads((folder / "pids.json").read_text())
        wanted = [row["name"] for row in json.loads((folder / "programs.json").read_text())]
    except (OSError, ValueError):
        pids, wanted = {}, []
    running = {name: pid for name, pid in pids.items() if _ours(pid, folder)}
    return Status(record, running, tuple(name for name in wanted if name not in running), (folder / "stay").exists())


def _ours(pid: int, folder: Path) -> bool:
    """Return whether a process belongs to the cluster of this folder: its number may be another's by now."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return False
    return str(folder) in command


def remove(state: Path, name: str) -> None:
    """Take a cluster down, or clear away what a crash left of it.

    Raises UsageError for what is no name, NotFound, ToolError where the folder stays.
    """
    folder = home(state, name)
    if not folder.is_dir():
        find(state, name)
    record = next((s.record for s in listed(state) if s.record.name == name), None)
    pids = dict(_status(folder, record).running) if record else {}
    for wanted, seconds in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        supervisor = {"supervisor": pids["supervisor"]} if "supervisor" in pids else pids
        for pid in (supervisor if wanted is signal.SIGTERM else pids).values():
            _signal(pid, wanted)
        until = time.monotonic() + seconds
        while any(_ours(pid, folder) for pid in pids.values()) and time.monotonic() < until:
            time.sleep(0.02)
    shutil.rmtree(folder, ignore_errors=True)
    if record and record.sockets != str(folder):
        shutil.rmtree(record.sockets, ignore_errors=True)
    if folder.exists():
        raise ToolError(f"{folder} cannot be removed", "its processes are ended; remove it as its owner")


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _reserved_port() -> socket.socket:
    """Return a socket that keeps a port of loopback from everybody else, for an API server that shares it.

    It never listens, so all connections are the API server's, and while that is away there are none.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(("127.0.0.1", 0))
    return held


def _tails(folder: Path) -> str:
    """Return the last line of each log, for an error message."""
    lines = []
    for log in sorted((folder / "logs").glob("*.log")):
        last = log.read_text(errors="replace").splitlines()[-1:]
        lines += [f"{log.stem}: {line[:300]}" for line in last]
    return "\n    ".join(lines)
