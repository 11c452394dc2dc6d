"""Every experiment against a real control plane, once where recovery succeeds and once where it cannot."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dr.adapters import cache
from dr.adapters.kube import Kube
from dr.adapters.probing.questions import Asker, Refused
from dr.adapters.store import events
from dr.app.clusters import Binaries, bring_up
from dr.app.reading import load
from dr.app.recoveries import Arena, Source, fill
from dr.app.restores import assignment_of
from dr.core.events import Activity, Injected, Probed
from dr.core.gameday import KubernetesProbe, Probe
from dr.core.model import Body, Ref
from dr.core.simulated import simulate
from dr.local import etcd
from dr.local.binaries import pinned
from dr.local.cluster import Cluster
from tests.embedded import binaries

DR = str(Path(sys.executable).parent / "dr")
ROOT = Path(__file__).parents[2]
PLATFORM = ROOT / "tests" / "fixtures" / "platform"
HEALER = "kube-scheduler"
# The experiments, by who brings back what they take.
OBSERVED = ("pod-kill", "service-pods-kill", "node-loss", "zone-loss")
FROM_GIT = ("namespace-deletion", "crd-deletion", "secret-lost", "configmap-lost", "webhook-down", "operator-down")
_HOME_CACHE = cache.folder()
# What the controller of sealed-secrets makes for itself, which no repo holds.
KEY: Body = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {
        "name": "sealed-secrets-key",
        "namespace": "sealed-secrets",
        "labels": {"sealedsecrets.bitnami.com/sealed-secrets-key": "active"},
    },
}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DR_STATE_DIR", str(folder))
        patch.setenv("DR_CACHE_DIR", str(_HOME_CACHE))
        yield folder


@pytest.fixture(scope="module")
def platform(state: Path) -> Iterator[Cluster]:
    """The sample platform, restored into an embedded cluster; the experiments of this module share it."""
    made = whole("platform")
    try:
        yield made
    finally:
        made.down()


def whole(name: str) -> Cluster:
    """Return an embedded cluster with the sample platform in it."""
    found = Binaries(pinned().kubernetes, binaries())
    loaded = load([str(PLATFORM)], "", "production", None, 32)
    config = loaded.config
    supplied = (*config.provided, *config.supply)
    simulation = simulate(loaded.graph, loaded.source.resources, supplied, config.startup, 0)
    source = Source(assignment_of(loaded), loaded.graph, config, simulation, found)

    async def filled() -> Cluster:
        made = await bring_up(name, 3, found, lambda _: None, simulation)
        try:
            await fill(Arena(made.access, made), source)
            async with Kube(made.access) as kube:
                await kube.create(KEY)
        except BaseException:
            made.down()
            raise
        return made

    return asyncio.run(filled())


def settled(platform: Cluster, private: Path) -> None:
    """Wait until what the last experiment took is back: its clean-up does not wait for every pod."""
    asker = Asker(platform.access, private)

    async def whole() -> None:
        async with Kube(platform.access) as kube:
            there = [body["metadata"] for body in await kube.list("apps/v1", "Deployment")]
        for meta in there:
            asked = KubernetesProbe(workload=f"Deployment/{meta['namespace']}/{meta['name']}")
            for tried in range(601):
                try:
                    await asker.ask(Probe("it", kubernetes=asked))
                    break
                except Refused:
                    assert tried < 600, asked
                    await asyncio.sleep(0.1)

    asyncio.run(whole())


def run(tmp_path: Path, name: str, *words: str) -> tuple[int, dict[str, Any], str]:
    """Return exit code, report and what was said of a run of an experiment."""
    return answered(tmp_path, "chaos", "run", name, *words)


def answered(tmp_path: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    """Return the same of any command that leads an exercise."""
    argv = [DR, *words, "--yes", "--reports", str(tmp_path / "reports"), "-o", "json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=170, env=os.environ)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def folder(tmp_path: Path) -> Path:
    return max((tmp_path / "reports").glob("*/"))


GIT = ("--repo", str(PLATFORM), "--env", "production")


@pytest.mark.parametrize("name", [*OBSERVED, *FROM_GIT, "api-server-down"])
def test_an_experiment_recovers_and_its_time_is_measured(platform: Cluster, tmp_path: Path, name: str) -> None:
    more: tuple[str, ...] = GIT if name in FROM_GIT else ()
    if name == "api-server-down":
        more = ("--with", "seconds=3")
    code, report, said = run(tmp_path, name, "--to", "local:platform", "--rto", "100", *more)
    assert code == 0, said
    recovery = report["gameday"]
    assert recovery["verdict"] == "met"
    assert recovery["rta"] >= 0
    if name == "pod-kill":
        # A pod of this workload takes two seconds to start, and its controller a moment to notice.
        assert recovery["rta"] - recovery["error"] < 3.5
        assert recovery["rta"] >= 2.0
    assert sum(part["seconds"] for part in recovery["parts"]) == pytest.approx(recovery["rta"], abs=1e-5)
    assert not etcd.held(platform.folder), "a program is still held down"


@pytest.mark.parametrize("name", [*OBSERVED, *FROM_GIT])
def test_an_experiment_that_nothing_heals_is_given_up_and_missed(platform: Cluster, tmp_path: Path, name: str) -> None:
    more: tuple[str, ...] = GIT if name in FROM_GIT else ()
    settled(platform, tmp_path)
    # Pods that are placed nowhere never come back. What needs none is given less time than it takes.
    held, limit = ((), 1) if name in ("namespace-deletion", "crd-deletion") else ((HEALER,), 8)
    if held:
        etcd.hold(platform.folder, held)
    try:
        code, report, said = run(tmp_path, name, "--to", "local:platform", "--timeout", str(limit), *more)
    finally:
        etcd.release(platform.folder, held)
    assert code == 1, said
    recovery = report["gameday"]
    assert recovery["verdict"] == "missed"
    assert recovery["rta"] is None
    assert recovery["censored"] >= limit


def test_an_api_server_that_stays_away_for_longer_than_is_waited_is_missed_and_comes_back(
    platform: Cluster, tmp_path: Path
) -> None:
    code, report, said = run(
        tmp_path, "api-server-down", "--to", "local:platform", "--with", "seconds=30", "--timeout", "3"
    )
    assert code == 1, said
    assert report["gameday"]["rta"] is None
    assert not etcd.held(platform.folder), "the clean-up has left the API server down"


@pytest.mark.parametrize(("vault", "verdict", "code"), [(True, "met", 0), (False, "missed", 1)])
def test_a_lost_sealing_key_comes_back_from_the_vault_and_not_from_git(
    platform: Cluster, tmp_path: Path, vault: bool, verdict: str, code: int
) -> None:
    over = threading.Event()

    async def person() -> None:
        """Do what a person with the vault does: see that the key is gone, and put it back."""
        async with Kube(platform.access) as kube:
            while not over.is_set():
                if await kube.get(Ref("v1", "Secret", "sealed-secrets", "sealed-secrets-key")) is None:
                    await asyncio.sleep(1)
                    await kube.create(KEY)
                    return
                await asyncio.sleep(0.1)

    at_work = threading.Thread(target=lambda: asyncio.run(person()) if vault else None)
    at_work.start()
    try:
        found, report, said = run(tmp_path, "sealing-key-lost", "--to", "local:platform", "--timeout", "25", *GIT)
    finally:
        over.set()
        at_work.join()
    assert found == code, said
    assert report["gameday"]["verdict"] == verdict


def test_a_token_that_was_typed_is_in_no_file_of_the_run(platform: Cluster, tmp_path: Path) -> None:
    says = {
        "name": "dr",
        "scenario": "a call",
        "blast_radius": "nothing",
        "undo": "nothing",
        "steady_state": {"hold": "1s", "probes": [{"name": "api", "kubernetes": {"exists": "Namespace/default"}}]},
    }
    call = {"type": "process", "path": "echo", "arguments": "${token}"}
    body = {
        "title": "A call",
        "description": "With a token.",
        "configuration": {"token": ""},
        "extensions": [says],
        "method": [{"type": "action", "name": "call", "provider": call}],
    }
    (tmp_path / "call.yaml").write_text(json.dumps(body))
    token = "hunter2-hunter2"  # noqa: S105 - what must never be told
    code, report, said = run(
        tmp_path, str(tmp_path / "call.yaml"), "--to", "local:platform", "--with", f"token={token}"
    )
    assert code == 0, said
    assert "--with 'token=(secret)'" in report["command"]
    files = [path for path in (tmp_path / "reports").rglob("*") if path.is_file()]
    assert {"events.jsonl", "experiment-journal.json", "report.html"} <= {path.name for path in files}
    for path in files:
        assert token.encode() not in path.read_bytes(), path
    assert token not in said + json.dumps(report)


@pytest.mark.parametrize(("timeout", "verdict", "code"), [(120, "met", 0), (1, "missed", 1)])
def test_a_cluster_that_is_removed_is_rebuilt_from_git_or_given_up(
    state: Path, tmp_path: Path, timeout: int, verdict: str, code: int
) -> None:
    binaries()
    found, report, said = run(
        tmp_path, "cluster-removed", "--embedded", *GIT, "--timeout", str(timeout), "--rto", "100"
    )
    assert found == code, said
    assert report["gameday"]["verdict"] == verdict
    assert not list((state / "clusters").glob("*[0-9]*")), "a cluster was left behind"


BY_HAND = """
title: The API server is down, and people follow the runbook
target: {{context: "local:platform", lock: {lock}}}
steady_state:
  every: 250ms
  hold: 1s
  probes: [{{name: api, kubernetes: {{exists: Namespace/default}}}}]
fault: {{experiment: api-server-down, with: {{seconds: 2}}}}
recovery: {{by: runbook, runbook: book.md, timeout: 60s}}
blast_radius: {{namespaces: [storefront], cluster: true}}
"""
BOOK = "# Ours\n\n### 1. Call the vendor\n\nNumber in the safe.\n\n### 2. Look again\n\n```sh\nkubectl get nodes\n```\n"


@pytest.mark.parametrize("attended", [True, False])
def test_people_are_led_through_a_runbook_and_each_step_is_timed(
    platform: Cluster, tmp_path: Path, attended: bool
) -> None:
    settled(platform, tmp_path)
    lock = subprocess.run([DR, "lock", "local:platform"], capture_output=True, text=True, check=True).stdout.split()[-1]
    (tmp_path / "gameday.yaml").write_text(BY_HAND.format(lock=lock))
    (tmp_path / "book.md").write_text(BOOK)
    argv = [DR, "gameday", "run", "gameday.yaml", "--yes", "--reports", "reports", "-o", "json"]
    people, terminal = pty.openpty()
    os.write(people, b"called\n\n")
    done = subprocess.run(
        argv,
        cwd=tmp_path,
        stdin=terminal if attended else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    os.close(people)
    os.close(terminal)
    if not attended:
        assert done.returncode == 2
        assert "someone to confirm each step" in done.stderr
        assert not list(tmp_path.glob("reports/*"))
        return
    assert done.returncode == 0, done.stderr
    assert "Number in the safe." in done.stderr
    steps = json.loads(done.stdout)["gameday"]["confirmed"]
    assert [(step["step"], step["note"]) for step in steps] == [("Call the vendor", "called"), ("Look again", "")]
    assert all(step["by"] for step in steps)


@pytest.mark.parametrize(("timeout", "verdict", "code"), [(120, "met", 0), (1, "missed", 1)])
def test_what_etcd_lost_since_its_snapshot_is_counted(
    state: Path, tmp_path: Path, timeout: int, verdict: str, code: int
) -> None:
    binaries()
    found, report, said = run(tmp_path, "etcd-lost", "--embedded", *GIT, "--timeout", str(timeout), "--with", "age=2")
    assert found == code, said
    assert report["gameday"]["verdict"] == verdict
    if code == 0:
        (loss,) = report["gameday"]["losses"]
        assert 1.5 < loss["rpa"] < 6
        # Counted anew, from what the canary was told and when the snapshot was made, and not from the report.
        told = events(folder(tmp_path))
        fault = next(event.at for event in told if isinstance(event, Injected))
        shot = next(event.began for event in told if isinstance(event, Activity) and event.name == "snapshot-etcd")
        acknowledged = {
            e.number: e.at for e in told if isinstance(e, Probed) and e.number and e.passed and e.at <= fault
        }
        gone = [number for number in acknowledged if number > loss["survived"]]
        assert (loss["written"], loss["lost"]) == (max(acknowledged), len(gone))
        assert shot - 1.5 < acknowledged[loss["survived"]] < min(acknowledged[number] for number in gone)
        assert min(acknowledged[number] for number in gone) > shot


@pytest.mark.parametrize(
    ("file", "survives"), [("etcd-from-snapshot", True), ("etcd-from-git", False)], ids=["snapshot", "git"]
)
def test_both_recoveries_of_etcd_are_measured_and_tell_what_each_loses(
    state: Path, tmp_path: Path, file: str, survives: bool
) -> None:
    binaries()
    found, report, said = answered(tmp_path, "gameday", "run", str(ROOT / "experiments" / "gamedays" / f"{file}.yaml"))
    assert found == 0, said
    recovery = report["gameday"]
    (loss,) = recovery["losses"]
    assert (recovery["verdict"], loss["survived"] is not None) == ("met", survives)
    assert 0 < loss["lost"] <= loss["written"]
    assert (loss["lost"] == loss["written"]) == (not survives), "what is not in git cannot come back from it"
    assert not list((state / "clusters").glob("*[0-9]*")), "a cluster was left behind"


# A Secret that is in no repo: what needs it waits for it for ever.
KNOWN = "            - configMapRef:\n                name: features\n"
LACKING = KNOWN + "            - secretRef:\n                name: only-in-the-vault\n"


def test_a_cluster_that_git_cannot_bring_back_whole_is_given_up(state: Path, tmp_path: Path) -> None:
    repo = tmp_path / "lacking"
    shutil.copytree(PLATFORM, repo)
    workload = repo / "apps" / "base" / "storefront" / "web.yaml"
    text = workload.read_text()
    assert KNOWN in text
    workload.write_text(text.replace(KNOWN, LACKING))
    made = whole("doomed")
    try:
        words = ("--to", "local:doomed", "--repo", str(repo), "--env", "production", "--timeout", "25", "--rto", "100")
        found, report, said = run(tmp_path, "cluster-removed", *words)
    finally:
        made.down()
    assert found == 1, said
    recovery = report["gameday"]
    assert (recovery["verdict"], recovery["rta"]) == ("missed", None)
    assert recovery["censored"] == pytest.approx(25.0)
    assert [objective["met"] for objective in recovery["objectives"]] == [False]
    assert [probe["downtime"] for probe in recovery["probes"]] == [None, None]
    assert not list((state / "clusters").glob("recovered-*")), "a cluster was left behind"
