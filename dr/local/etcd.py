"""Programs of an embedded cluster held and let go, and its data: kept aside, lost, and put back.

A program is held by a file `hold-NAME` in the cluster's folder, which the supervisor looks for before it starts one.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from dr.adapters.kube import Access, Kube
from dr.core.errors import ApiError, NotFound, ToolError
from dr.core.model import Ref
from dr.local import cluster

STORE = ("etcd", "kube-apiserver")
_DATA, _SNAPSHOT, _LOST = "etcd", "etcd-snapshot", "etcd-lost"
_PAUSE = 0.05
_QUIET = 0.3  # three looks of the supervisor: it has seen the hold, and started nothing since
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")


def hold(
    folder: Path, programs: Iterable[str], struck: Callable[[], None] = lambda: None, timeout: float = 10.0
) -> None:
    """Kill programs of the cluster in `folder` and keep them down until they are released; raises ToolError.

    `struck` is called once the first kill is sent; never where none of them runs.
    """
    wanted = _known(folder, programs)
    for name in wanted:
        (folder / f"hold-{name}").touch(mode=0o600)
    until = time.monotonic() + timeout
    quiet, waiting = time.monotonic(), [struck]
    while time.monotonic() < quiet + _QUIET:
        alive = [pid for name, pid in _running(folder).items() if name in wanted]
        for pid in alive:
            _signal(pid, signal.SIGKILL)
        if alive:
            quiet = time.monotonic()
            while waiting:
                waiting.pop()()
        if time.monotonic() > until:
            raise ToolError(f"{', '.join(wanted)} did not end in {timeout:g} s", f"dr cluster down {folder.name}")
        time.sleep(_PAUSE)


def release(folder: Path, programs: Iterable[str]) -> None:
    """Let held programs run again; what is not held is left alone."""
    for name in programs:
        (folder / f"hold-{name}").unlink(missing_ok=True)


def held(folder: Path) -> tuple[str, ...]:
    """Return the programs that are held."""
    return tuple(sorted(path.name.removeprefix("hold-") for path in folder.glob("hold-*")))


def snapshot(folder: Path) -> Path:
    """Copy etcd's data as a crash at this moment would leave it; return the copy, which replaces an earlier one.

    etcd stands still meanwhile, so no write is half in the copy that a crash could not have left half-done.
    Raises ToolError when etcd does not run.
    """
    made, partial = folder / _SNAPSHOT, folder / f"{_SNAPSHOT}.new"
    pid = _running(folder).get("etcd")
    if pid is None:
        raise ToolError(f"etcd of the cluster {folder.name} does not run", f"dr cluster status {folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    with _standing(pid):
        shutil.copytree(folder / _DATA, partial)
    shutil.rmtree(made, ignore_errors=True)
    partial.rename(made)
    return made


def lose(folder: Path, struck: Callable[[], None] = lambda: None, timeout: float = 60.0) -> None:
    """Lose all of etcd's data, as when the disks of the control plane are gone; return when an empty cluster serves.

    `struck` is called when they are killed. Machines outlive etcd, so the nodes register again. Raises ToolError.
    """
    until = time.monotonic() + timeout
    with _whole_control_plane_down(folder, struck) as programs:
        (folder / _LOST).touch(mode=0o600)
        shutil.rmtree(folder / _DATA, ignore_errors=True)
        _serve(folder, programs, until)
    asyncio.run(_register(folder, until))


def put_back(folder: Path, timeout: float = 60.0) -> None:
    """Replace etcd's data by the newest snapshot; return when the API server serves it. Raises NotFound, ToolError."""
    kept = folder / _SNAPSHOT
    if not kept.is_dir():
        raise NotFound(f"there is no snapshot of the cluster {folder.name}", "the action snapshot_etcd makes one")
    until = time.monotonic() + timeout
    with _whole_control_plane_down(folder) as programs:
        shutil.rmtree(folder / _DATA, ignore_errors=True)
        shutil.copytree(kept, folder / _DATA)
        _serve(folder, programs, until)
    (folder / _LOST).unlink(missing_ok=True)


def undo(folder: Path, timeout: float = 60.0) -> None:
    """Let all held programs run, and put lost data back unless somebody has built something in its place."""
    release(folder, held(folder))
    # A snapshot that was killed has left it standing.
    if pid := _running(folder).get("etcd"):
        _signal(pid, signal.SIGCONT)
    if (folder / _LOST).exists() and (folder / _SNAPSHOT).is_dir():
        asyncio.run(_ready(folder, time.monotonic() + timeout))
        if not asyncio.run(_built(folder)):
            put_back(folder, timeout)


@contextmanager
def _whole_control_plane_down(folder: Path, struck: Callable[[], None] = lambda: None) -> Iterator[tuple[str, ...]]:
    """Hold everything for a block: whoever watches holds revisions that other data does not have."""
    programs = _known(folder, ())
    hold(folder, programs, struck)
    try:
        yield programs
    finally:
        release(folder, programs)


def _serve(folder: Path, programs: Iterable[str], until: float) -> None:
    """Start etcd and the API server, and the others once it is ready: they would only fail and wait longer."""
    release(folder, STORE)
    asyncio.run(_ready(folder, until))
    asyncio.run(_forget_leases(folder))
    release(folder, programs)


async def _ready(folder: Path, until: float) -> None:
    async with Kube(_access(folder)) as kube:
        while True:
            try:
                await kube.call("GET", "/readyz", headers={"Accept": "*/*"})
                await kube.call("GET", "/api/v1/namespaces/kube-system")
            except ApiError as error:
                if not (error.heals or error.status in (403, 404)):
                    raise
            else:
                return
            if time.monotonic() > until:
                raise ToolError("the API server is not ready again", f"dr cluster logs {folder.name}")
            await asyncio.sleep(_PAUSE)


async def _forget_leases(folder: Path) -> None:
    """Delete the nodes' leases: a new KWOK waits for 40 s where the data says that another holds one."""
    async with Kube(_access(folder)) as kube:
        for lease in await kube.list("coordination.k8s.io/v1", "Lease", namespace="kube-node-lease"):
            await kube.delete(Ref("coordination.k8s.io/v1", "Lease", "kube-node-lease", lease["metadata"]["name"]))


async def _register(folder: Path, until: float) -> None:
    """Give an empty cluster its mark and its nodes, as when it was brought up."""
    record = _record(folder)
    mark = {"metadata": {"labels": {"dr.dev/embedded": record.name}}}
    async with Kube(_access(folder)) as kube:
        await kube.patch(Ref("v1", "Namespace", "", "kube-system"), mark)
        for number in range(1, record.nodes + 1):
            await kube.create(cluster._node(number))  # noqa: SLF001 - the same nodes as `up` makes
        while not await kube.get(Ref("v1", "ServiceAccount", "default", "default")):
            if time.monotonic() > until:
                raise ToolError("the controllers do not run again", f"dr cluster logs {folder.name}")
            await asyncio.sleep(_PAUSE)


async def _built(folder: Path) -> bool:
    """Return whether any workload is there: stand-ins make namespaces and Secrets by themselves."""
    async with Kube(_access(folder)) as kube:
        return any([await kube.list("apps/v1", kind) for kind in _WORKLOADS])


@contextmanager
def _standing(pid: int) -> Iterator[None]:
    _signal(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(pid, signal.SIGCONT)


def _known(folder: Path, programs: Iterable[str]) -> tuple[str, ...]:
    """Return these programs, or all, of the cluster in `folder`; raises NotFound."""
    try:
        there = [row["name"] for row in json.loads((folder / "programs.json").read_text())]
    except (OSError, ValueError):
        raise NotFound(f"{folder} is no embedded cluster", "dr cluster list") from None
    wanted = tuple(programs) or tuple(there)
    for name in wanted:
        if name not in there:
            raise NotFound(f'an embedded cluster has no program "{name}"', f"there are {', '.join(there)}")
    return wanted


def _running(folder: Path) -> dict[str, int]:
    found = next((s for s in cluster.listed(folder.parents[1]) if s.record.name == folder.name), None)
    return dict(found.running) if found else {}


def _record(folder: Path) -> cluster.Record:
    return msgspec.json.decode((folder / "cluster.json").read_bytes(), type=cluster.Record)


def _access(folder: Path) -> Access:
    return cluster.access(folder, _record(folder))


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
