"""Embedded clusters: up in seconds, alone with themselves, gone without a trace however dr ends."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from dr.adapters.kube import Access, Kube
from dr.core.errors import ApiError, NotFound, ToolError, UsageError
from dr.core.model import Ref
from dr.core.simulated import Simulation
from dr.local import cluster
from tests.embedded import binaries, running

DR = str(Path(sys.executable).parent / "dr")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Cluster]:
    with running(tmp_path_factory.mktemp("state"), "one", nodes=4) as found:
        yield found


def pids(folder: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((folder / "pids.json").read_text())
    return found


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def gone(numbers: list[int], seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while any(map(alive, numbers)) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(map(alive, numbers))


def test_a_cluster_is_up_with_its_nodes_ready_in_three_zones(made: cluster.Cluster) -> None:
    async def go() -> list[dict[str, str]]:
        async with Kube(made.access) as kube:
            return [node["metadata"]["labels"] for node in await kube.list("v1", "Node")]

    labels = asyncio.run(go())
    assert [row["topology.kubernetes.io/zone"] for row in labels] == ["zone-a", "zone-b", "zone-c", "zone-a"]
    assert not cluster.listed(made.folder.parent.parent)[0].down


def test_nobody_else_may_read_its_folder_or_its_keys(made: cluster.Cluster) -> None:
    assert stat.S_IMODE(made.folder.stat().st_mode) == 0o700
    keys = [made.folder / "kubeconfig", *(made.folder / "pki").glob("*.key")]
    assert len(keys) > 5
    assert all(stat.S_IMODE(key.stat().st_mode) == 0o600 for key in keys)


def test_it_listens_on_loopback_only(made: cluster.Cluster) -> None:
    mine = set(pids(made.folder).values())
    rows = [row.split() for name in ("tcp", "tcp6") for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    listening = {row[9]: row[1] for row in rows if row[3] == "0A"}
    addresses = []
    for pid in mine:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = str(link.readlink())
            except OSError:
                continue
            inode = target.removeprefix("socket:[").removesuffix("]")
            if target.startswith("socket:[") and inode in listening:
                addresses.append(listening[inode].split(":")[0])
    assert addresses
    assert set(addresses) <= {"0100007F", "0000000000000000FFFF00000100007F"}


def test_who_has_no_certificate_of_its_own_ca_is_refused(made: cluster.Cluster) -> None:
    async def go(access: Access) -> ApiError:
        async with Kube(access) as kube:
            with pytest.raises(ApiError) as caught:
                await kube.list("v1", "Secret")
            return caught.value

    nobody = Access("x", made.access.server, made.access.ca)
    assert asyncio.run(go(nobody)).status == 401
    stranger = Access("x", made.access.server, "", made.access.certificate, made.access.key)
    assert "cannot be reached" in asyncio.run(go(stranger)).cause


def test_rbac_is_on(made: cluster.Cluster) -> None:
    config = made.folder / "config" / "scheduler"
    user = json.loads(config.read_text())["users"][0]["user"]
    access = Access("x", made.access.server, made.access.ca, user["client-certificate"], user["client-key"])

    async def go() -> None:
        async with Kube(access) as kube:
            assert await kube.list("v1", "Node")
            with pytest.raises(ApiError, match="forbidden"):
                await kube.list("v1", "Secret")

    asyncio.run(go())


def test_a_program_that_dies_is_started_again(made: cluster.Cluster) -> None:
    before = pids(made.folder)["kube-scheduler"]
    os.kill(before, signal.SIGKILL)
    until = time.monotonic() + 10
    while pids(made.folder).get("kube-scheduler", before) == before and time.monotonic() < until:
        time.sleep(0.05)
    assert pids(made.folder)["kube-scheduler"] != before


def test_a_name_is_taken_once_and_must_be_a_name(made: cluster.Cluster) -> None:
    state = made.folder.parent.parent
    for name, what in (("one", "already"), ("Über", "cannot name"), ("../x", "cannot name"), ("", "cannot name")):
        with pytest.raises(UsageError, match=what):
            asyncio.run(cluster.up(name, state, binaries(), version="v"))


def test_clusters_stand_side_by_side_and_go_alone(made: cluster.Cluster, tmp_path: Path) -> None:
    with running(tmp_path, "two", nodes=1) as other:
        assert other.access.server != made.access.server
        assert other.access.fingerprint() != made.access.fingerprint()
        numbers = list(pids(other.folder).values())
    assert gone(numbers)
    assert not other.folder.exists()
    assert all(map(alive, pids(made.folder).values()))


SCRIPT = """
import asyncio, sys, time
from pathlib import Path
from tests.embedded import binaries
from dr.local import cluster
made = asyncio.run(cluster.up("crash", Path(sys.argv[1]), binaries(), version="v", nodes=1))
if sys.argv[2] == "keep":
    made.keep()
print("up", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("moment", ["coming-up", "up"])
def test_kill_9_of_dr_leaves_no_process_and_no_folder(tmp_path: Path, moment: str) -> None:
    binaries()
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path), ""], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    folder = tmp_path / "clusters" / "crash"
    if moment == "up":
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
    else:
        while not (folder / "pids.json").exists():
            time.sleep(0.01)
    numbers = list(pids(folder).values())
    process.kill()
    process.communicate()
    assert gone(numbers)
    until = time.monotonic() + 5
    while folder.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not folder.exists()


def test_a_supervisor_that_is_killed_takes_its_programs_along_and_down_clears_the_rest(tmp_path: Path) -> None:
    with running(tmp_path, "orphan", nodes=1) as found:
        numbers = pids(found.folder)
        os.kill(numbers["supervisor"], signal.SIGKILL)
        assert gone(list(numbers.values()))
        assert not cluster.listed(tmp_path)[0].running
        cluster.remove(tmp_path, "orphan")
        assert not found.folder.exists()


def test_a_kept_cluster_lives_on_and_down_all_ends_it(tmp_path: Path) -> None:
    binaries()
    environ = {**os.environ, "DR_STATE_DIR": str(tmp_path)}

    def dr(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([DR, "cluster", *arguments], env=environ, capture_output=True, text=True, check=False)

    done = dr("up", "kept", "--nodes", "1", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["running"]["etcd"]
    numbers = list(pids(tmp_path / "clusters" / "kept").values())
    assert all(map(alive, numbers))
    assert "running, 1 nodes" in dr("list").stdout
    assert dr("status", "kept").returncode == 0
    assert json.loads(dr("kubeconfig", "kept").stdout)["kind"] == "Config"
    assert "kwok" in dr("logs", "kept").stdout
    assert dr("down").returncode == 2
    assert dr("down", "--all").returncode == 0
    assert gone(numbers)
    assert dr("list").stdout == ""


def test_a_cluster_that_is_not_there_is_named_with_those_that_are(made: cluster.Cluster) -> None:
    with pytest.raises(NotFound, match='"three"') as caught:
        cluster.find(made.folder.parent.parent, "three")
    assert "one" in caught.value.remedy


@pytest.mark.parametrize("name", ["", ".", "..", "../clusters/one", "{victim}"])
@pytest.mark.parametrize("act", [cluster.remove, cluster.find])
def test_what_is_no_name_takes_no_folder_away(tmp_path: Path, name: str, act: Callable[[Path, str], object]) -> None:
    victim, other = tmp_path / "victim", tmp_path / "state" / "clusters" / "one"
    for folder in (victim, other):
        folder.mkdir(parents=True)
        (folder / "precious").touch()
    with pytest.raises(UsageError, match="cannot name a cluster"):
        act(tmp_path / "state", name.format(victim=victim))
    assert (victim / "precious").exists()
    assert (other / "precious").exists()


def up(state: Path) -> None:
    asyncio.run(cluster.up("one", state, {}, version="v"))


def test_a_state_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ToolError, match="file/clusters cannot be written: Not a directory") as caught:
        up(tmp_path / "file")
    assert "DR_STATE_DIR" in caught.value.remedy


def test_a_full_disk_leaves_no_half_made_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "apiserver.key")

    monkeypatch.setattr(cluster, "prepare", full)
    with pytest.raises(ToolError, match=r"apiserver\.key cannot be written: No space left on device"):
        up(tmp_path)
    assert not list((tmp_path / "clusters").iterdir())


def test_a_folder_that_stays_is_not_said_to_be_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "clusters" / "one"
    folder.mkdir(parents=True)
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)
    with pytest.raises(ToolError, match="one cannot be removed"):
        cluster.remove(tmp_path, "one")


def test_stand_ins_refuse_a_cluster_that_is_not_embedded(tmp_path: Path) -> None:
    record = cluster.Record("x", "v", "https://10.1.2.3:6443", "", 1, str(tmp_path))
    (tmp_path / "cluster.json").write_bytes(msgspec.json.encode(record))
    argv = [sys.executable, "-m", "dr.local.simulated", str(tmp_path), str(tmp_path / "s")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode != 0
    assert "never run against another" in done.stderr


def test_a_long_path_does_not_break_its_sockets(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    with running(deep, "deep", nodes=1) as found:
        sockets = Path(found.record.sockets)
        assert sockets != found.folder
        assert stat.S_ISSOCK((sockets / "etcd.sock").stat().st_mode)
    assert not sockets.exists()


def refuses(host: str, port: int, seconds: float = 10) -> bool:
    """Return whether nobody takes connections there, at the latest once a killed process has ended wholly."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            socket.create_connection((host, port), timeout=2).close()
        except ConnectionRefusedError:
            return True
        time.sleep(0.05)
    return False


def test_nobody_takes_the_port_of_an_api_server_that_is_away_for_a_moment(made: cluster.Cluster) -> None:
    host, port = made.record.server.removeprefix("https://").split(":")
    hold = made.folder / "hold-kube-apiserver"
    hold.touch()
    try:
        number = pids(made.folder)["kube-apiserver"]
        os.kill(number, signal.SIGKILL)
        assert gone([number])
        with socket.socket() as stranger:
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="Address already in use"):
                stranger.bind((host, int(port)))
        assert refuses(host, int(port)), "the reservation takes connections itself"
    finally:
        hold.unlink()

    async def answers() -> None:
        async with Kube(made.access) as kube:
            while True:
                try:
                    await kube.call("GET", "/readyz", headers={"Accept": "*/*"})
                    break
                except ApiError:
                    await asyncio.sleep(0.05)

    asyncio.run(asyncio.wait_for(answers(), 30))


def test_a_port_is_kept_from_its_choice_on_and_free_once_given_back(made: cluster.Cluster) -> None:
    with cluster._reserved_port() as reserved:
        place = reserved.getsockname()
        assert str(place[1]) not in made.access.server
        with socket.socket() as stranger, pytest.raises(OSError, match="Address already in use"):
            stranger.bind(place)
    with socket.socket() as probe:
        probe.bind(place)


def pod(name: str, **spec: object) -> dict[str, object]:
    containers = [
        {"name": "c", "image": "x", "env": [{"name": "K", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}}]}
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "annotations": {"dr.dev/startup": "1s"}},
        "spec": {"containers": containers, **spec},
    }


def test_a_pod_starts_when_its_secret_has_the_key_and_takes_its_time(made: cluster.Cluster) -> None:
    async def go() -> None:
        async with Kube(made.access) as kube:
            await kube.create(pod("gated"))
            ref = Ref("v1", "Pod", "default", "gated")
            secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "gated", "namespace": "default"}}
            state = await until(kube, ref, "waiting")
            assert state["reason"] == "CreateContainerConfigError"
            assert "gated" in state["message"]
            await kube.apply({**secret, "stringData": {"other": "x"}}, manager="t")
            await asyncio.sleep(0.5)
            assert await until(kube, ref, "waiting")
            began = time.monotonic()
            await kube.apply({**secret, "stringData": {"k": "x"}}, manager="t")
            await until(kube, ref, "running")
            assert time.monotonic() - began >= 1.0

    asyncio.run(asyncio.wait_for(go(), 30))


async def until(kube: Kube, ref: Ref, state: str) -> dict[str, str]:
    while True:
        found = await kube.get(ref)
        for row in (found or {}).get("status", {}).get("containerStatuses", ()):
            if state in row["state"]:
                result: dict[str, str] = row["state"][state]
                return result
        await asyncio.sleep(0.05)


def test_a_simulation_is_taken_up_at_once_and_what_it_supplies_is_there(made: cluster.Cluster) -> None:
    supplied = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "supplied"}}

    async def go() -> None:
        await cluster.simulate(made.folder, Simulation(objects=(supplied,)))
        async with Kube(made.access) as kube:
            assert await kube.get(Ref("v1", "Namespace", "", "supplied"))

    asyncio.run(asyncio.wait_for(go(), 30))
