"""What is recorded outlives the process that struck: undone from another one, once, and never on another cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dr.chaos import actions, probes
from dr.chaos.api import Api
from dr.chaos.guard import connect
from dr.chaos.undo import pending, record, undo_all
from dr.core.chaos import Delete, Patch, PutBack, Release, Restored, Scale, heard
from dr.core.model import Ref
from dr.local import cluster
from tests.chaos.shop import environment, kubectl, named, soon

GATE = Ref("apps/v1", "Deployment", "gate", "gate")


def undo(folder: Path, **changes: str) -> tuple[int, str, list[Restored]]:
    """Run `python -m dr.chaos.undo`; return its exit code, its errors and what it said on the channel."""
    reading, writing = os.pipe()
    argv = [sys.executable, "-m", "dr.chaos.undo", str(folder)]
    done = subprocess.run(
        argv,
        env={**os.environ, "DR_CHANNEL": str(writing), **changes},
        pass_fds=(writing,),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = [found for line in stream if isinstance(found := heard(line), Restored)]
    return done.returncode, done.stderr, said


def api(town: cluster.Cluster) -> Api:
    return connect(f"dr-{town.record.name}")[0]


def test_what_was_struck_is_never_undone_on_another_cluster(meant: Path) -> None:
    record(Scale("scale down", GATE, 2), meant)
    status, errors, said = undo(meant, DR_LOCK="deadbeef")
    assert status == 3
    assert "not the cluster of the lock deadbeef" in errors
    assert "not the cluster" in said[0].cause
    assert len(pending(meant)) == 1, "it stays to be undone"
    assert undo(meant, KUBERNETES_CONTEXT="")[0] == 3
    assert undo(meant)[0] == 0


def test_what_cannot_be_undone_keeps_nothing_else_from_it(town: cluster.Cluster, meant: Path) -> None:
    ghost = Ref("apps/v1", "Deployment", "gate", "ghost")
    put_back = PutBack("delete objects", (named("ConfigMap", "again", "gate", data={"a": "b"}),))
    for entry in (
        put_back,
        Scale("scale down", ghost, 1),
        Patch("lose nodes", GATE, {"metadata": {"labels": {"x": "y"}}}),
    ):
        record(entry, meant)
    (meant / "004.json").write_text("{")
    done = undo_all(meant, api(town).client, timeout=2)
    assert [(message.fault, bool(message.cause)) for message in done] == [
        ("004.json", True),
        ("lose nodes", False),
        ("scale down", True),
        ("delete objects", False),
    ]
    assert "ghost is not there" in done[2].cause
    assert [path.name for path in pending(meant)] == ["004.json", "002.json"]
    assert kubectl(town, "-n", "gate", "get", "configmap", "again", "-o", "jsonpath={.data.a}") == "b"
    assert api(town).get(GATE)["metadata"]["labels"]["x"] == "y"  # type: ignore[index]
    for path in pending(meant):
        path.unlink()
    record(Delete("guest", Ref("v1", "ConfigMap", "gate", "again")), meant)
    record(Delete("guest", Ref("v1", "ConfigMap", "gate", "again")), meant)
    assert [message.cause for message in undo_all(meant, api(town).client)] == ["", ""]
    assert not probes.object_exists("ConfigMap", "v1", "again", "gate")


def test_programs_run_again_before_the_cluster_is_asked_for_anything(meant: Path, tmp_path: Path) -> None:
    for entry in (
        Release("stop program", "/a", "kwok"),
        Scale("scale down", GATE, 2),
        Release("lose etcd", "/a", "etcd"),
    ):
        record(entry, meant)
    record(Scale("scale down", GATE, 3), meant)
    assert [path.name for path in pending(meant)] == ["003.json", "001.json", "004.json", "002.json"]


def test_records_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "undo"
    folder.mkdir(mode=0o755)
    first = record(PutBack("x", (named("Secret", "s", "shop", data={"p": "cA=="}),)), folder)
    second = record(PutBack("x", ()), folder)
    assert (first.name, second.name) == ("001.json", "002.json")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_without_a_folder_records_are_kept_by_the_cluster_that_was_meant(
    town: cluster.Cluster, meant: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DR_UNDO")
    uid = environment(town, tmp_path)["DR_LOCK"]
    actions.scale_down("Deployment", "gate", "gate")
    assert len(pending(town.folder.parents[1] / "undo" / uid)) == 1
    assert actions.undo() == {"undone": ["scale down"]}
    assert probes.workload_ready("Deployment", "gate", "gate", timeout=30)


def test_a_removed_cluster_leaves_nothing_to_let_run(tmp_path: Path) -> None:
    folder = tmp_path / "undo"
    record(Release("stop program", str(tmp_path / "gone"), "kube-apiserver"), folder)
    began = time.monotonic()
    status, errors, _ = undo(folder, KUBERNETES_CONTEXT="", DR_LOCK="")
    assert (status, errors) == (0, ""), "no cluster is needed for it"
    assert time.monotonic() > began
    assert not list(folder.iterdir())


def test_killed_in_the_middle_of_a_fault_another_process_undoes_it(
    town: cluster.Cluster, meant: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "from dr.chaos import actions; actions.stop_program('kube-apiserver', seconds=600)"
    assert probes.api_ready(), "a context that never answered is a mistake, not an outage"
    environ = {**os.environ, "DR_LIMITS": '{"cluster": true}'}
    process = subprocess.Popen([sys.executable, "-c", code], env=environ)
    assert soon(lambda: (town.folder / "hold-kube-apiserver").exists() and not probes.api_ready(), 20)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not probes.api_ready(timeout=1.0), "nobody lets it run again"
    status, errors, said = undo(meant)
    assert (status, errors) == (0, "")
    assert [message.fault for message in said] == ["stop program"]
    assert probes.api_ready(timeout=30)
    assert undo(meant) == (0, "", []), "the second time there is nothing to do"


def test_killed_in_the_middle_of_a_snapshot_etcd_goes_on(town: cluster.Cluster, meant: Path) -> None:
    code = (
        "import shutil, signal; from dr.chaos import actions\n"
        "shutil.copytree = lambda *_: signal.pause()\n"
        "actions.snapshot_etcd()"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    assert soon(lambda: not probes.api_ready(), 20), "etcd stands still while it is copied"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not probes.api_ready(timeout=1.0), "nobody lets it go on"
    status, errors, said = undo(meant)
    assert (status, errors) == (0, "")
    assert [message.fault for message in said] == ["snapshot etcd"]
    assert probes.api_ready(timeout=30)
    actions.snapshot_etcd()
    assert not pending(meant), "one that ends well leaves no record"
