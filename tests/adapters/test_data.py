"""Volumes on their way, and what commands move: what is lost or left running if it goes wrong."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import pytest

from dr.adapters.data import states
from dr.core.body import text
from dr.core.errors import ApiError, ToolError, UsageError
from dr.core.forklift import Data, DataCommand, Postgres, Velero, Volume
from dr.core.gameday import Duration
from dr.core.model import Body, Ref
from dr.engine.cutover import alike
from dr.engine.ports import Cluster, State


def soon(true: Callable[[], bool], seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < until:
        time.sleep(0.05)
    return found


def failing(step: Coroutine[Any, Any, Any]) -> ToolError:
    with pytest.raises(ToolError) as caught:
        asyncio.run(step)
    assert caught.value.remedy
    return caught.value


def test_all_that_is_missing_is_named_at_once_and_no_url_is_shown(tmp_path: Path) -> None:
    specs = [
        Data("one", "Pod/a/b", postgres=Postgres("ONE", "TWO", seen_from_to="THREE")),
        Data("two", "Pod/a/c", postgres=Postgres("ONE", "FOUR")),
    ]
    with pytest.raises(UsageError) as caught:
        states(specs, {}, {"PATH": str(tmp_path), "TWO": "mysql://me:secret@h/d", "FOUR": "postgresql://u:secr/et?x=1"})
    for named in (
        "pg_dump",
        "psql",
        "ONE is not set",
        "TWO is no postgresql",
        "THREE is not set",
        "FOUR",
    ):
        assert named in caught.value.cause
    assert "secr" not in caught.value.cause


def command(tmp_path: Path, timeout: float = 5.0, **scripts: str) -> State:
    steps = {"copy": "true", "count": "echo {}"} | scripts
    spec = DataCommand(**{name: ("sh", "-c", script) for name, script in steps.items()})
    return states([Data("files", "Pod/a/b", command=spec, timeout=Duration(timeout))], {}, os.environ, tmp_path)[
        "files"
    ]


def test_a_command_is_told_its_side_and_where_to_run(tmp_path: Path) -> None:
    state = command(
        tmp_path, copy="echo c$DR_SIDE >> log", freeze="echo f{side} >> log", settle="echo s$DR_SIDE >> log",
        count='echo \'{"rows": 3, "hash": "ab"}\'',
    )  # fmt: skip

    async def move() -> None:
        await state.copy()
        await state.freeze("from")
        await state.settle("from")
        await state.thaw("to")
        await state.turn("to")
        await state.end()
        found = await state.count("to")
        assert (found.rows, found.checksums) == ({"rows": 3}, {"hash": "ab"})

    asyncio.run(move())
    assert (tmp_path / "log").read_text().split() == ["cfrom", "ffrom", "sfrom"]


def test_without_a_command_to_settle_only_the_way_there_is_open(tmp_path: Path) -> None:
    state = command(tmp_path, copy="echo copied >> log")
    asyncio.run(state.settle("from"))
    assert (tmp_path / "log").read_text() == "copied\n"
    assert "no way back" in failing(state.settle("to")).cause


def test_a_command_that_fails_says_why_in_its_own_words(tmp_path: Path) -> None:
    error = failing(command(tmp_path, copy="echo first >&2; echo disk full >&2; exit 3").copy())
    assert error.cause == "files: `copy` of from failed: disk full"
    assert "status 4" in failing(command(tmp_path, copy="exit 4").copy()).cause
    spec = DataCommand(copy=("no-such-program",), count=("true",))
    assert "no-such-program" in failing(states([Data("x", "Pod/a/b", command=spec)], {}, os.environ)["x"].copy()).cause


def test_a_program_that_is_missing_is_known_before_the_move(tmp_path: Path) -> None:
    asyncio.run(command(tmp_path).check())
    spec = DataCommand(copy=("true",), count=("./no-such-program",))
    state = states([Data("x", "Pod/a/b", command=spec)], {}, os.environ, tmp_path)["x"]
    assert "there is no program ./no-such-program" in failing(state.check()).cause
    (tmp_path / "no-such-program").touch(0o755)
    asyncio.run(state.check())


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    error = failing(command(tmp_path, timeout=0.5, copy="sleep 60 & echo $! > child; wait").copy())
    assert error.cause == "files: the copy was not done in 0.5 s"
    child = Path("/proc") / (tmp_path / "child").read_text().strip() / "stat"
    assert soon(lambda: not child.exists() or child.read_text().rpartition(")")[2].split()[0] == "Z")


@pytest.mark.parametrize("said", ["nothing", "[1]", '{"rows": 1.5}', '{"rows": true}', ""])
def test_a_count_that_is_none_is_no_count(tmp_path: Path, said: str) -> None:
    error = failing(command(tmp_path, count=f"echo '{said}'").count("to"))
    assert "`count` of to did not print a JSON object of numbers" in error.cause


# Snapshots


class Fake:
    """A cluster in memory, and what its controllers would make of what is created."""

    def __init__(self, *bodies: Body, controller: Callable[[Fake, Body], None] = lambda _, __: None) -> None:
        self.objects: dict[tuple[str, str, str], Body] = {}
        self._controller = controller
        for body in bodies:
            self.objects[self._key(body)] = body

    @staticmethod
    def _key(body: Body) -> tuple[str, str, str]:
        return body["kind"], text(body, "metadata", "namespace"), text(body, "metadata", "name")

    async def get(self, ref: Ref) -> Body | None:
        return self.objects.get((ref.kind, ref.namespace, ref.name))

    async def create(self, body: Body) -> Body:
        if self._key(body) in self.objects:
            raise ApiError("it is there", status=409, reason="AlreadyExists")
        self.objects[self._key(body)] = body
        asyncio.get_running_loop().call_later(0.05, self._controller, self, body)
        return body

    async def apply(self, body: Body, *, manager: str, dry_run: bool = False) -> tuple[Body, bool]:
        return await self.create(body), True

    async def list(self, api_version: str, kind: str, *, namespace: str = "", **_: Any) -> tuple[Body, ...]:
        return tuple(body for key, body in self.objects.items() if key[:2] == (kind, namespace))


def csi(fake: Fake, body: Body) -> None:
    """Snapshot as a driver does; one that is told of a snapshot does not learn its size."""
    if body["kind"] != "VolumeSnapshot":
        return
    told = text(body, "spec", "source", "volumeSnapshotContentName")
    if told:
        handle = fake.objects["VolumeSnapshotContent", "", told]["spec"]["source"]["snapshotHandle"]
        fake.objects["VolumeSnapshotContent", "", told]["status"] = {"snapshotHandle": handle}
    else:
        fake.objects["VolumeSnapshotContent", "", "content-1"] = {
            "status": {"snapshotHandle": "snap-1", "restoreSize": 1024}
        }
    body["status"] = {"readyToUse": True, "boundVolumeSnapshotContentName": told or "content-1"}


def out_of_space(fake: Fake, body: Body) -> None:
    body["status"] = {"readyToUse": False, "error": {"message": "no space"}}


def claim() -> Body:
    return {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"namespace": "shop", "name": "files"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "volumeName": "pv-1",
                 "resources": {"requests": {"storage": "1Ki"}}},
    }  # fmt: skip


MARK, MARK_ALL = (hashlib.sha256(f"\0{name}".encode()).hexdigest()[:8] for name in ("files", "All of it"))


def volume(old: Fake, new: Fake, timeout: float = 5.0, run: str = "", *, read_only: bool = True) -> State:
    moved = Volume("shop/files", "snaps", "csi.example.org", read_only)
    spec = Data("files", "PersistentVolumeClaim/shop/files", volume=moved, timeout=Duration(timeout))
    return states([spec], clusters(old, new), os.environ, run=run)["files"]


def pod(name: str, phase: str = "Running", *, read_only: bool = False, mounted_so: bool = False) -> Body:
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "name": name}, "status": {"phase": phase},
        "spec": {
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "files", "readOnly": read_only}}],
            "containers": [{"name": "c", "volumeMounts": [{"name": "v", "readOnly": mounted_so}]}],
        },
    }  # fmt: skip


def snapshots_of(driver: str = "csi.example.org") -> Body:
    return {"kind": "VolumeSnapshotClass", "metadata": {"name": "snaps"}, "driver": driver}


def clusters(old: Any, new: Any) -> Mapping[str, Cluster]:
    return {"from": old, "to": new}


def test_a_volume_is_claimed_on_the_new_side_from_the_snapshot_of_the_old() -> None:
    old, new = Fake(claim(), controller=csi), Fake(controller=csi)
    state = volume(old, new)

    async def move() -> None:
        with pytest.raises(ToolError, match="is not there"):
            await state.count("to")
        for _ in range(2):
            await state.copy()
        for side in ("from", "to"):
            found = await state.count(side)
            assert alike(found, found)[0] is None, "what is in a volume cannot be compared"
            await state.freeze(side)
            await state.settle(side)
            await state.turn(side)
            await state.thaw(side)
        await state.end()

    asyncio.run(move())
    made = new.objects["PersistentVolumeClaim", "shop", "files"]["spec"]
    named = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": f"dr-files-{MARK}"}
    assert made["dataSource"] == named
    assert (made["storageClassName"], "volumeName" in made) == ("fast", False)
    content = new.objects["VolumeSnapshotContent", "", f"dr-shop-files-{MARK}"]["spec"]
    assert (content["deletionPolicy"], content["source"]) == ("Retain", {"snapshotHandle": "snap-1"})
    assert state.follows, "nothing writes to it, so the way back is open"
    assert not volume(old, new, read_only=False).follows


@pytest.mark.parametrize("harmless", [pod("w", "Succeeded"), pod("w", read_only=True), pod("w", mounted_so=True)])
def test_a_volume_that_something_writes_to_is_not_taken_for_one_that_stays_as_it_was(harmless: Body) -> None:
    objects = claim(), snapshots_of()
    old, new = Fake(*objects, pod("writer"), controller=csi), Fake(controller=csi)
    for step in (volume(old, new).check, volume(old, new).copy, lambda: volume(old, new).freeze("from")):
        assert "may be written to by shop/writer" in failing(step()).cause
    assert not new.objects
    quiet = Fake(*objects, harmless, controller=csi)
    asyncio.run(volume(quiet, new).check())
    asyncio.run(volume(quiet, new).copy())
    new.objects["Pod", "shop", "w"] = pod("w")  # the way back would lose what that writes
    assert "on `to`" in failing(volume(quiet, new).freeze("to")).cause


def test_a_volume_that_cannot_be_moved_is_known_before_the_move() -> None:
    assert "there is no PersistentVolumeClaim" in failing(volume(Fake(), Fake()).check()).cause
    assert "is not there" in failing(volume(Fake(claim()), Fake()).check()).cause
    assert "is of other, not" in failing(volume(Fake(claim(), snapshots_of("other")), Fake()).check()).cause


def test_a_snapshot_of_an_earlier_move_is_not_taken_for_this_ones() -> None:
    old, new = Fake(claim(), controller=csi), Fake(controller=csi)
    asyncio.run(volume(old, new, run="first").copy())
    assert "not filled from the snapshot of this move" in failing(volume(old, new, run="second").copy()).cause
    assert len([key for key in old.objects if key[0] == "VolumeSnapshot"]) == 2


def test_a_volume_that_was_made_empty_is_not_taken_for_a_copy() -> None:
    error = failing(volume(Fake(claim(), controller=csi), Fake(claim(), controller=csi)).copy())
    assert "PersistentVolumeClaim shop/files is on `to` already, and was not filled" in error.cause


def test_a_snapshot_that_fails_or_never_comes_ends_the_copy() -> None:
    assert "no space" in failing(volume(Fake(claim(), controller=out_of_space), Fake()).copy()).cause
    assert "was not done in 0.2 s" in failing(volume(Fake(claim()), Fake(), timeout=0.2).copy()).cause
    assert "there is no PersistentVolumeClaim shop/files" in failing(volume(Fake(), Fake()).copy()).cause


def velero(phase: str, **status: str) -> Callable[[Fake, Body], None]:
    def controller(_: Fake, body: Body) -> None:
        body["status"] = {"phase": phase, **status}

    return controller


def backup(old: Fake, new: Fake) -> State:
    spec = Data("All of it", "Namespace//shop", velero=Velero(("shop",), read_only=True), timeout=Duration(5.0))
    return states([spec], clusters(old, new), os.environ)["All of it"]


def test_a_backup_is_restored_once_the_new_side_has_seen_it() -> None:
    old, new = Fake(claim(), controller=velero("Completed")), Fake(controller=velero("Completed"))
    state, key = backup(old, new), ("Backup", "velero", f"dr-all-of-it-{MARK_ALL}")

    async def move() -> None:
        copy = asyncio.create_task(state.copy())
        await asyncio.sleep(0.7)
        assert ("Restore", "velero", f"dr-all-of-it-{MARK_ALL}") not in new.objects
        new.objects[key] = old.objects[key]
        await copy
        await state.copy()
        assert (await state.count("from")).rows == {"claims of shop": 1}
        assert (await state.count("to")).rows == {"claims of shop": 0}
        same = await state.count("from")
        assert alike(same, await state.count("to"))[0] is False, "a claim is missing"
        assert alike(same, same)[0] is None, "claims say nothing of what is in them"

    asyncio.run(move())
    assert (
        new.objects["Restore", "velero", f"dr-all-of-it-{MARK_ALL}"]["spec"]["backupName"] == f"dr-all-of-it-{MARK_ALL}"
    )
    assert old.objects[key]["spec"]["includedResources"] == ["persistentvolumeclaims", "persistentvolumes"]


def test_a_namespace_that_something_writes_to_is_not_backed_up() -> None:
    state = backup(Fake(claim(), pod("writer")), Fake())
    for step in (state.check, state.copy):
        assert "may be written to by shop/writer" in failing(step()).cause


@pytest.mark.parametrize("phase", ["Failed", "PartiallyFailed", "FailedValidation"])
def test_a_backup_that_failed_is_not_restored(phase: str) -> None:
    error = failing(backup(Fake(controller=velero(phase, failureReason="bucket is gone")), Fake()).copy())
    assert f"is {phase}: bucket is gone" in error.cause
