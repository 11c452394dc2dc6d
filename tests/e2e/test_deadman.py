"""A run that is killed leaves no fault behind, and a report that says it was interrupted."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dr.adapters.kube import Kube
from dr.adapters.store import events
from dr.app.deadman import by_hand
from dr.core.events import AnyEvent, Ended, Entered, Injected, Phase, Undone
from dr.local import etcd
from dr.local.cluster import Cluster
from tests.e2e.test_experiments import DR, GIT, platform, settled, state
from tests.embedded import binaries

__all__ = ["platform", "state"]


def entered(folder: Path, phase: Phase) -> bool:
    return any(isinstance(event, Entered) and event.phase is phase for event in events(folder))


def begun(reports: Path) -> Path | None:
    found = sorted(reports.glob("*/events.jsonl"))
    return found[0].parent if found else None


def until(holds: object, seconds: float = 60.0) -> None:
    assert callable(holds)
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.parametrize("phase", [Phase.PREFLIGHT, Phase.STEADY, Phase.FAULT, Phase.RECOVER, Phase.HOLD])
@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=["kill -9", "SIGTERM", "Ctrl-C"]
)
def test_a_run_that_is_stopped_in_any_phase_takes_its_fault_back(
    platform: Cluster, tmp_path: Path, phase: Phase, number: signal.Signals
) -> None:
    reports = tmp_path / "reports"
    argv = [DR, "chaos", "run", "api-server-down", "--to", "local:platform", "--yes", "--reports", str(reports)]
    seconds = "1" if phase is Phase.HOLD else "60"
    process = subprocess.Popen(
        [*argv, "--with", f"seconds={seconds}", "--timeout", "90"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        until(lambda: begun(reports) is not None or process.poll() is not None)
        folder = begun(reports)
        assert folder, process.communicate()
        until(lambda: entered(folder, phase) or process.poll() is not None)
        process.send_signal(number)
        process.communicate(timeout=60)
    finally:
        process.kill()
    until(lambda: any(isinstance(event, Ended) for event in events(folder)))
    until(lambda: not etcd.held(platform.folder))
    found = events(folder)
    ended = [event for event in found if isinstance(event, Ended)]
    assert [event.outcome for event in ended] == ["interrupted"], found[-4:]
    until((folder / "report.json").exists)
    verdict = json.loads((folder / "report.json").read_text())["gameday"]["verdict"]
    assert verdict == "interrupted"
    if number is not signal.SIGKILL:
        assert process.returncode == 130
    if phase in (Phase.RECOVER, Phase.HOLD):
        assert any(isinstance(event, Injected) for event in found)
    assert _private(tmp_path) == []
    assert os.environ["DR_STATE_DIR"]
    assert sys.executable


def killed(reports: Path, when: Callable[[Path], bool], *argv: str) -> tuple[Path, tuple[AnyEvent, ...]]:
    """Run dr until something is so, and kill it; return the run's folder and its events once the dead man is done."""
    process = subprocess.Popen(
        [DR, *argv, "--yes", "--reports", str(reports)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        until(lambda: begun(reports) is not None or process.poll() is not None)
        folder = begun(reports)
        assert folder, process.communicate()
        until(lambda: when(folder) or process.poll() is not None)
        assert process.poll() is None, process.communicate()
    finally:
        process.kill()
        process.communicate()
    until(lambda: any(isinstance(event, Ended) for event in events(folder)))
    until((folder / "report.json").exists)
    assert _private(reports) == []
    return folder, events(folder)


def outcomes(found: tuple[AnyEvent, ...]) -> list[str]:
    return [event.outcome for event in found if isinstance(event, Ended)]


async def _objects(platform: Cluster) -> dict[str, object]:
    """Return what a fault in objects can take: which there are, how many replicas are wanted, where pods may go."""
    found: dict[str, object] = {}
    async with Kube(platform.access) as kube:
        for api, kind in (("v1", "ConfigMap"), ("v1", "Secret"), ("apps/v1", "Deployment"), ("v1", "Node")):
            for body in await kube.list(api, kind):
                meta = body["metadata"]
                spec = {key: body.get("spec", {}).get(key) for key in ("replicas", "unschedulable")}
                found[f"{kind} {meta.get('namespace', '')}/{meta['name']}"] = spec
    return found


@pytest.mark.parametrize(
    ("name", "phase"),
    [("configmap-lost", Phase.DETECT), ("secret-lost", Phase.FAULT), ("operator-down", Phase.DETECT)],
)
def test_objects_that_a_killed_run_has_taken_are_put_back(
    platform: Cluster, tmp_path: Path, name: str, phase: Phase
) -> None:
    settled(platform, tmp_path)
    before = asyncio.run(_objects(platform))

    def struck(folder: Path) -> bool:
        return entered(folder, phase) and any(isinstance(event, Injected) for event in events(folder))

    _, found = killed(tmp_path / "reports", struck, "chaos", "run", name, "--to", "local:platform", *GIT)
    assert outcomes(found) == ["interrupted"]
    undone = [event for event in found if isinstance(event, Undone)]
    assert undone
    assert not any(event.cause for event in undone)
    assert asyncio.run(_objects(platform)) == before


def test_a_run_that_is_killed_while_it_cleans_up_leaves_no_fault(platform: Cluster, tmp_path: Path) -> None:
    settled(platform, tmp_path)
    before = asyncio.run(_objects(platform))

    def cleaning(_: Path) -> bool:
        return any((Path(os.environ["DR_STATE_DIR"]) / "runs").glob("*/undo.log"))

    argv = ("chaos", "run", "configmap-lost", "--to", "local:platform", "--timeout", "1", *GIT)
    _, found = killed(tmp_path / "reports", cleaning, *argv)
    assert any(isinstance(event, Injected) for event in found)
    assert asyncio.run(_objects(platform)) == before


@pytest.mark.parametrize("phase", [Phase.PROVISION, Phase.RESTORE])
def test_a_killed_run_leaves_no_throw_away_cluster(state: Path, tmp_path: Path, phase: Phase) -> None:
    binaries()
    before = {path.name for path in (state / "clusters").glob("*")}
    argv = ("chaos", "run", "cluster-removed", "--embedded", *GIT)
    _, found = killed(tmp_path / "reports", lambda folder: entered(folder, phase), *argv)
    assert outcomes(found) == ["interrupted"]
    until(lambda: {path.name for path in (state / "clusters").glob("*")} == before)
    until(lambda: not _running(state, before))


def _running(state: Path, known: set[str]) -> list[str]:
    """Return the command lines of processes that work in a cluster's folder which is not one of the known."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(state / "clusters") in line and not any(f"clusters/{name}" in line for name in known):
            found.append(line)
    return found


CORDONED = """
title: A node takes no more pods
description: By the actions of others, with a rollback of their own.
configuration: {KUBERNETES_CONTEXT: {type: env, key: KUBERNETES_CONTEXT}}
method:
  - {type: action, name: cordon, provider: {type: python, module: chaosk8s.node.actions, func: cordon_node, arguments: {name: NODE}}}
rollbacks:
  - {type: action, name: uncordon, provider: {type: python, module: chaosk8s.node.actions, func: uncordon_node, arguments: {name: NODE}}}
"""
TWICE = """
title: Something that is taken back at the second try
description: What is put back last is needed first.
method: [{type: action, name: strike, provider: {type: process, path: "true"}}]
rollbacks:
  - {type: action, name: last, provider: {type: python, module: os, func: rename, arguments: {src: FOLDER/b, dst: FOLDER/c}}}
  - {type: action, name: first, provider: {type: python, module: os, func: rename, arguments: {src: FOLDER/a, dst: FOLDER/b}}}
"""
GAMEDAY = """
title: By the actions of others
target: {context: "local:platform", lock: LOCK}
steady_state:
  every: 250ms
  hold: HOLD
  probes: [{name: api, kubernetes: {exists: Namespace/default}}, {name: writes, canary: {config_map: default/dr-canary}}]
fault: {experiment: experiment.yaml}
recovery: {timeout: 60s}
blast_radius: {namespaces: [storefront]}
"""


def written(folder: Path, experiment: str, hold: str) -> str:
    """Write a gameday file around an experiment; return its path."""
    lock = subprocess.run([DR, "lock", "local:platform"], capture_output=True, text=True, check=True).stdout.split()[-1]
    (folder / "experiment.yaml").write_text(experiment)
    (folder / "gameday.yaml").write_text(GAMEDAY.replace("LOCK", lock).replace("HOLD", hold))
    return str(folder / "gameday.yaml")


def test_a_killed_run_has_the_rollbacks_of_others_played_and_its_canary_taken_away(
    platform: Cluster, tmp_path: Path
) -> None:
    settled(platform, tmp_path)
    before = asyncio.run(_objects(platform))
    node = next(name for name in before if name.startswith("Node")).rpartition("/")[2]
    file = written(tmp_path, CORDONED.replace("NODE", node), "60s")
    seen: list[dict[str, object]] = []

    def held(folder: Path) -> bool:
        if entered(folder, Phase.HOLD):
            seen.append(asyncio.run(_objects(platform)))
        return bool(seen)

    _, found = killed(tmp_path / "reports", held, "gameday", "run", file)
    assert seen[0][f"Node /{node}"] != before[f"Node /{node}"]
    assert "ConfigMap default/dr-canary" in seen[0]
    assert [(event.fault, event.cause) for event in found if isinstance(event, Undone)] == [("uncordon", "")]
    assert asyncio.run(_objects(platform)) == before


def test_what_the_run_cannot_take_back_the_dead_man_does(platform: Cluster, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    reports = tmp_path / "reports"
    file = written(tmp_path, TWICE.replace("FOLDER", str(tmp_path)), "1s")
    argv = [DR, "gameday", "run", file, "--yes", "--reports", str(reports)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "the dead man's process tries once more" in done.stderr
    folder = begun(reports)
    assert folder
    told = [(event.fault, event.by, bool(event.cause)) for event in events(folder) if isinstance(event, Undone)]
    assert told == [("last", "the run", True), ("first", "the run", False), ("last", "the dead man's process", False)]
    assert (tmp_path / "c").exists()
    assert "not taken back" not in done.stdout
    assert subprocess.run([DR, "report", "verify", str(folder)], check=False, capture_output=True).returncode == 0
    assert _private(tmp_path) == []


def test_what_nobody_could_take_back_is_told_with_the_folder_and_the_command(tmp_path: Path) -> None:
    known = {"KUBECONFIG": str(tmp_path / "a b"), "KUBERNETES_CONTEXT": "c", "DR_LOCK": "u/f", "DR_UNDO": str(tmp_path)}
    assert "rollbacks.log" in by_hand(known)
    (tmp_path / "001.json").write_text("{}")
    words = shlex.split(by_hand(known))
    assert words[:3] == [f"KUBECONFIG={tmp_path}/a b", "KUBERNETES_CONTEXT=c", "DR_LOCK=u/f"]
    assert words[3:7] == ["python", "-m", "dr.chaos.undo", str(tmp_path)]


@pytest.mark.parametrize("reads", [True, False], ids=["somebody reads", "tee has ended"])
def test_a_second_signal_does_not_keep_a_fault_in(platform: Cluster, tmp_path: Path, *, reads: bool) -> None:
    reports = tmp_path / "reports"
    argv = [DR, "chaos", "run", "api-server-down", "--to", "local:platform", "--yes", "--reports", str(reports)]
    with subprocess.Popen([*argv, "--with", "seconds=60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr
        assert process.stdout
        try:
            until(lambda: (folder := begun(reports)) is not None and entered(folder, Phase.RECOVER))
            if not reads:
                process.stderr.close()
                process.stdout.close()
            for _ in range(3):
                process.send_signal(signal.SIGINT)
                time.sleep(0.3)
            assert process.wait(90) == 130
        finally:
            process.kill()
    folder = begun(reports)
    assert folder
    assert outcomes(events(folder)) == ["interrupted"]
    assert not [event for event in events(folder) if isinstance(event, Undone) and event.cause]
    assert not etcd.held(platform.folder)
    assert _private(tmp_path) == []


def _private(_: Path) -> list[Path]:
    runs = Path(os.environ["DR_STATE_DIR"]) / "runs"
    until(lambda: not list(runs.glob("*")), 30)
    return list(runs.glob("*"))
