"""A platform moves to another cluster under a user who reads and writes all the time; and what stops it, and how."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dr.adapters.store import events
from dr.core.events import AnyEvent, Carried, Stage, Steered, Switched
from dr.core.move import Move, move
from dr.core.progress import STAGES
from tests.e2e.moving import User, World, asked, repository, until, world
from tests.embedded import binaries


@pytest.fixture
def moving(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def told(found: World) -> tuple[AnyEvent, ...]:
    logs = sorted((found.folder / "reports").glob("*/events.jsonl"))
    return events(logs[-1].parent) if logs else ()


def measured(found: World) -> Move:
    known = move(told(found))
    assert known
    return known


def kept(user: User, rows: set[int]) -> None:
    lost = set(user.acknowledged) - rows
    assert len(user.acknowledged) > 10, "the user was hardly there"
    assert not lost, f"{len(lost)} acknowledged writes are gone"


def test_users_are_moved_with_their_data_and_nothing_that_was_acknowledged_is_lost(moving: World) -> None:
    file = moving.write()
    with User(moving.door) as user:
        time.sleep(1)
        done = moving.dr("forklift", str(file), "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        time.sleep(1)
    kept(user, moving.rows("to"))
    found = measured(moving)
    assert found.verdict == "moved"
    assert found.lost == 0
    assert [s.weight for s in found.steered] == [10, 50, 100]
    compared = next(c for c in found.carried if c.what == "compare")
    assert compared.same
    assert compared.before == compared.after
    assert found.downtime is not None
    # What the user saw for himself, asking half as often: within a question and its answer of what is reported.
    seen = user.longest(user.writes)
    assert abs(seen - found.downtime) < 1.5, (seen, found.downtime)
    assert {d.ref.kind for d in found.drained} == {"Deployment", "StatefulSet"}
    assert found.came_back[0].trailers == (("Release", "7"),)
    assert "served by to" in (asked(moving.door) or "")
    replicas = moving.kubectl("from", "-n", "shop", "get", "deployment", "web", "-o", "jsonpath={.spec.replicas}")
    assert replicas == "0", "the old cluster is drained"

    wrong = moving.dr("forklift", "retire", str(file), "--name", "dr-to")
    assert wrong.returncode == 2
    assert "not " in wrong.stderr
    assert moving.dr("forklift", "retire", str(file), "--name", "dr-from").returncode == 0
    assert not moving.clusters["from"].folder.exists()
    assert asked(moving.door) is not None


def test_users_are_back_on_the_old_cluster_at_once_when_the_new_one_fails(moving: World) -> None:
    file = moving.write(cutover={**_cutover(moving), "hold": 4})
    before = moving.state_of("from")
    with User(moving.door) as user:
        process = moving.start("forklift", str(file), "--yes")
        until(lambda: any(isinstance(e, Steered) and e.weight == 50 for e in told(moving)))
        moving.broken["to"].touch()
        output, _ = process.communicate(timeout=120)
        time.sleep(0.5)
    assert process.returncode == 1, output
    found = measured(moving)
    assert found.verdict == "returned"
    assert found.recovery
    assert found.downtime is not None
    # Three failed answers count, and half of them fail; then all go back at once.
    assert found.downtime < 5.0, output
    assert found.returned[0].at - found.returned[0].began < 4.0
    assert found.returned[0].left == ""
    assert moving.state_of("from") == before, "the old cluster is as it was"
    assert "back on the old cluster" in output
    kept(user, moving.rows("from"))
    moving.broken["to"].unlink()
    assert moving.dr("forklift", str(file), "--yes").returncode == 0, "it can be tried again"


def test_users_are_back_when_what_serves_them_on_the_new_cluster_is_gone(moving: World) -> None:
    file = moving.write(cutover={**_cutover(moving), "hold": 4})
    with User(moving.door) as user:
        process = moving.start("forklift", str(file), "--yes")
        until(lambda: any(isinstance(e, Steered) and e.weight == 50 for e in told(moving)))
        moving.apps["to"].kill()
        output, _ = process.communicate(timeout=120)
        time.sleep(0.5)
    assert process.returncode == 1, output
    found = measured(moving)
    assert found.verdict == "returned"
    assert found.downtime is not None
    assert found.downtime < 5.0, output
    assert found.lost == 0
    kept(user, moving.rows("from"))


def _cutover(found: World) -> dict[str, Any]:
    cutover: dict[str, Any] = yaml.safe_load(found.write().read_text())["cutover"]
    return cutover


def _reached(found: World, what: str) -> bool:
    """Return whether a move has come to a moment: a stage, a step of the data, or one of the traffic."""
    for event in told(found):
        match event:
            case Stage(stage=stage) if stage == what:
                return True
            case Carried(what=done) if done == what:
                return True
            case Steered(weight=weight) if f"{weight} %" == what:
                return True
            case Switched() if what == "switched":
                return True
    return False


@pytest.mark.parametrize("moment", ["bootstrap", "freeze", "switched"])
def test_a_move_that_is_killed_goes_on_to_the_same_end(moving: World, moment: str) -> None:
    file = moving.write()
    with User(moving.door) as user:
        process = moving.start("forklift", str(file), "--yes")
        until(lambda: _reached(moving, moment) or process.poll() is not None, 120)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        done = moving.dr("forklift", str(file), "--yes")
        assert done.returncode in (0, 1), done.stdout + done.stderr
        time.sleep(0.5)
    found = measured(moving)
    assert found.verdict in ("moved", "missed"), done.stdout + done.stderr
    assert found.lost == 0
    kept(user, moving.rows("to"))
    assert json.loads(moving.dr("forklift", "parity", str(file), "-o", "json").stdout)["compared"] == 6


def test_what_cannot_be_meant_is_refused_before_anything_is_changed(moving: World) -> None:
    file = moving.write()
    swapped = moving.dr("forklift", str(file), "--from", "local:to", "--to", "local:from", "--yes")
    assert swapped.returncode == 3
    assert "swapped" in swapped.stderr
    unlocked = moving.write(**{"from": {"context": "local:to"}, "to": {"context": "local:from"}})
    refused = moving.dr("forklift", str(unlocked), "--yes")
    assert refused.returncode == 1
    assert "are `from` and `to` swapped" in refused.stdout
    assert "is not empty" in refused.stdout
    assert not json.loads(moving.kubectl("to", "get", "namespaces", "shop", "--ignore-not-found", "-o", "json") or "{}")
    same = moving.dr("forklift", str(moving.write()), "--to", "local:from")
    assert same.returncode == 2
    moving.kubectl("to", "create", "namespace", "old-things")
    moving.kubectl("to", "-n", "old-things", "create", "configmap", "mine")
    full = moving.dr("forklift", "preflight", str(moving.write()))
    assert full.returncode == 1
    assert "ConfigMap old-things/mine" in full.stdout
    assert moving.dr("forklift", "cutover", str(file), "--yes").returncode == 2, "nothing passed yet"


def test_a_hook_that_lies_or_data_that_hangs_stops_before_anything_that_cannot_be_undone(moving: World) -> None:
    liar = {**_cutover(moving), "traffic": [{"command": {"argv": ["true"]}}]}
    liar["seen"] = {**liar["seen"], "within": 2}
    with User(moving.door) as user:
        done = moving.dr("forklift", str(moving.write(cutover=liar)), "--yes")
        time.sleep(0.5)
    assert done.returncode == 1
    assert "the traffic is not where the hook says" in done.stdout
    found = measured(moving)
    assert found.verdict == "returned"
    assert not any(isinstance(event, Switched) for event in told(moving))
    assert found.downtime == 0
    assert user.longest(user.reads) == 0
    kept(user, moving.rows("from"))


def test_data_that_hangs_fails_its_step_and_what_needs_it_is_not_started(moving: World) -> None:
    data = {
        "name": "orders",
        "of": "StatefulSet/shop/db",
        "timeout": "2s",
        "command": {"copy": ["sleep", "600"], "count": ["echo", "{}"]},
    }
    done = moving.dr("forklift", str(moving.write(data=[data])), "--yes")
    assert done.returncode == 1
    assert "not done in 2 s" in done.stdout + done.stderr, done.stdout + done.stderr
    found = measured(moving)
    assert found.verdict == "stopped"
    there = moving.kubectl("to", "-n", "shop", "get", "deployments", "-o", "name")
    assert there == "", "what reads the data is not there before it"
    assert "served by from" in (asked(moving.door) or "")


def test_a_data_hook_that_fails_or_hangs_leaves_users_and_their_writes_on_the_old_cluster(moving: World) -> None:
    def file(**steps: list[str]) -> str:
        dump = 'pg_dump --clean --if-exists "$FROM_DATABASE" | psql -q "$TO_DATABASE"'
        command = {"copy": ["sh", "-c", dump], "count": ["echo", '{"rows": 1}'], "freeze": ["true"], **steps}
        data = {"name": "orders", "of": "StatefulSet/shop/db", "timeout": "5s", "command": command}
        return str(moving.write(data=[data]))

    with User(moving.door) as user:
        broken = file(copy=["sh", "-c", "echo disk full >&2; exit 3"])
        done = moving.dr("forklift", broken, "--yes")
        assert done.returncode == 1, done.stdout + done.stderr
        assert "disk full" in done.stdout
        refused = moving.dr("forklift", "cutover", broken, "--yes")
        assert (refused.returncode, "cutover comes after bootstrap" in refused.stderr) == (2, True)
        for settle, said in ((["sh", "-c", "echo no route >&2; exit 1"], "no route"), (["sleep", "600"], "in 5 s")):
            done = moving.dr("forklift", file(settle=settle), "--yes")
            assert done.returncode == 1, done.stdout + done.stderr
            assert said in done.stdout
            assert measured(moving).verdict == "returned"
            assert [weight.weight for weight in measured(moving).steered][-3:] == [10, 50, 0]
        time.sleep(0.5)
    assert {event.side for event in told(moving) if isinstance(event, Switched)} == {"from"}
    assert "served by from" in (asked(moving.door) or "")
    assert user.longest(user.reads) == 0
    kept(user, moving.rows("from"))


def test_what_was_found_is_put_into_git_and_until_the_cutover_the_old_cluster_is_only_read(moving: World) -> None:
    file = str(moving.write())
    moving.kubectl("from", "-n", "shop", "create", "configmap", "by-hand", "--from-literal=a=b")
    old, new = moving.versions_of("from"), moving.versions_of("to")
    assert old["Deployment/shop/web"], "nothing was looked at"
    plan, dry = moving.dr("forklift", "plan", file), moving.dr("forklift", file, "--dry-run", "--yes")
    assert (plan.returncode, dry.returncode, dry.stdout) == (0, 0, plan.stdout), plan.stderr + dry.stderr
    for said in ("move orders (postgres) with StatefulSet/shop/db", "10 % of the traffic", "nothing was touched"):
        assert said in plan.stdout
    planned = json.loads(moving.dr("forklift", "plan", file, "-o", "json").stdout)
    assert [stage["stage"] for stage in planned["stages"]] == [name for name in STAGES if name != "data"]
    assert moving.versions_of("to") == new
    assert not (moving.folder / "reports").exists(), "a plan is no run"

    found = moving.dr("forklift", "preflight", file, "--adopt", "found.patch")
    assert (found.returncode, "by-hand" in found.stdout) == (1, True), found.stderr
    moving.git("apply", "--index", "../found.patch")
    moving.git("commit", "-qm", "Keep what was made by hand")
    assert "this one begins anew" in moving.dr("forklift", "plan", file).stdout
    for stage in ("preflight", "bootstrap", "verify", "data", "parity"):
        yes = () if stage in ("preflight", "verify", "parity") else ("--yes",)
        done = moving.dr("forklift", stage, file, *yes)
        assert done.returncode == 0, f"{stage}: {done.stdout}{done.stderr}"
    assert moving.versions_of("from") == old, "the old cluster was written to"


def test_after_the_switch_nothing_goes_over_users_writes_and_a_drain_can_be_undone(moving: World) -> None:
    file = str(moving.write(retire={"after": 3600}))
    before = moving.state_of("from")
    with User(moving.door) as user:
        done = moving.dr("forklift", file, "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        for stage in ("data", "bootstrap"):
            refused = moving.dr("forklift", stage, file, "--yes")
            assert (refused.returncode, "over what users have written" in refused.stderr) == (2, True), stage
        back = moving.dr("forklift", "cutover", file, "--yes")
        assert (back.returncode, "the drain of `from` has begun" in back.stderr) == (2, True)
        early = moving.dr("forklift", "retire", file, "--name", "dr-from")
        assert (early.returncode, "`retire.after` is 3600 s" in early.stderr) == (2, True), early.stderr

        undone = moving.dr("forklift", "drain", file, "--undo", "--yes")
        assert (undone.returncode, "2 workloads" in undone.stderr) == (0, True), undone.stdout + undone.stderr
        assert moving.state_of("from") == before
        assert measured(moving).verdict == "moved"
        refused = moving.dr("forklift", "retire", file, "--name", "dr-from")
        assert (refused.returncode, "retire comes after drain" in refused.stderr) == (2, True)
        assert moving.dr("forklift", file, "--yes").returncode == 0
        time.sleep(0.5)
    replicas = moving.kubectl("from", "-n", "shop", "get", "deployment", "web", "-o", "jsonpath={.spec.replicas}")
    assert replicas == "0", "it is drained again"
    kept(user, moving.rows("to"))


def test_a_rehearsal_moves_everything_but_what_the_file_names_beyond_its_clusters(tmp_path: Path) -> None:
    binaries()
    found = World(tmp_path)
    repository(tmp_path / "repo")
    touch = ["touch", str(tmp_path / "touched")]
    file = tmp_path / "move.yaml"
    move = {
        "title": "Move the shop",
        "repos": [{"url": "repo"}],
        "from": {"context": "production"},
        "to": {"context": "production-2"},
        "data": [{"name": "orders", "of": "StatefulSet/shop/db", "command": {"copy": touch, "count": touch}}],
        "steady_state": {"probes": [{"name": "shop", "command": {"argv": touch}}]},
        "cutover": {
            "traffic": [{"command": {"argv": touch}}],
            "seen": {"url": "https://shop.example/", "from": "old", "to": "new"},
            "hold": 0.5,
        },
    }
    file.write_text(yaml.safe_dump(move))
    done = found.dr("forklift", "rehearse", str(file), "--nodes", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "touched").exists()
    assert [stage.name for stage in measured(found).stages if stage.outcome == "passed"] == [
        *("preflight", "bootstrap", "verify", "parity", "cutover", "drain", "retire")
    ]
    (report,) = (tmp_path / "reports").glob("*/report.json")
    assert any("orders: not moved" in thing for thing in json.loads(report.read_text())["simulated"])
    assert json.loads(found.dr("cluster", "list", "-o", "json").stdout)["clusters"] == []


def test_the_file_to_copy_from_can_be_meant(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[2] / "experiments" / "forklifts" / "blue-to-green.yaml"
    done = World(tmp_path).dr("forklift", "validate", str(shipped))
    assert done.returncode == 0, done.stdout
