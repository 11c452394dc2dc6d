"""Does a repo come back from nothing? Rehearsed into a real control plane, in our order and in others."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from dr.adapters import cache
from dr.adapters.store import events
from dr.core.timeline import fold
from tests.embedded import binaries

DR = str(Path(sys.executable).parent / "dr")
FIXTURES = Path(__file__).parents[1] / "fixtures"
_CACHE = cache.folder()


def rehearse(tmp_path: Path, repo: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    """Return exit code, the run as JSON, and what was said on the way."""
    binaries()
    environ = {**os.environ, "DR_STATE_DIR": str(tmp_path / "state"), "DR_CACHE_DIR": str(_CACHE)}
    argv = [DR, "rehearse", str(repo), "--reports", str(tmp_path / "reports"), "-o", "json", *options]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False, timeout=170)
    assert done.stdout, done.stderr
    assert not list((tmp_path / "state" / "clusters").glob("*")), "a cluster was left behind"
    return done.returncode, json.loads(done.stdout), done.stderr


def by_outcome(run: dict[str, Any], outcome: str) -> dict[str, str]:
    return {f"{s['object']['kind']}/{s['object']['name']}": s["cause"] for s in run["steps"] if s["outcome"] == outcome}


def test_a_real_life_platform_comes_back_whole(tmp_path: Path) -> None:
    code, run, _ = rehearse(tmp_path, FIXTURES / "platform", "--env", "production")
    assert code == 0, by_outcome(run, "failed")
    assert run["counts"]["ready"] == run["compared"] == 202
    assert not [d for d in run["differences"] if d["what"] != "extra"]
    assert any("SealingKey" in what for what in run["simulated"])
    folder = max((tmp_path / "reports").glob("*/"))
    reports = {"report.md", "report.json", "report.html", "junit.xml", "metrics.prom", "trace.json"}
    assert {path.name for path in folder.iterdir()} == {"events.jsonl", *reports}
    assert ET.parse(folder / "junit.xml").getroot().tag == "testsuites"
    assert "✓ restored" in (folder / "report.md").read_text()


def test_a_repo_that_lacks_things_fails_with_the_true_reasons(tmp_path: Path) -> None:
    code, run, _ = rehearse(tmp_path, FIXTURES / "community", "--timeout", "12")
    assert code == 1
    failed, skipped = by_outcome(run, "failed"), by_outcome(run, "skipped")
    assert 'namespaces "operators" not found' in failed["HelmRelease/sealed-secrets"]
    assert "extensions/v1beta1" in failed["Ingress/doorbell"]
    assert {"SealedSecret/chat-token", "Deployment/doorbell", "Deployment/headcount"} == set(skipped)
    checks = {check["subject"] for check in run["checks"] if check["level"] == "error"}
    assert {"SealingKey sealed-secrets-key", "Namespace operators", "Deployment.extensions/v1beta1"} <= checks
    unhealthy = {d["object"]["name"]: d["found"] for d in run["differences"] if d["what"] == "unhealthy"}
    assert "charts/meetup-app" in unhealthy["guestbook"]


def test_the_same_repo_passes_with_what_it_lacks_supplied(tmp_path: Path) -> None:
    config = FIXTURES / "community-supplied.yaml"
    code, run, _ = rehearse(tmp_path, FIXTURES / "community", "--config", str(config))
    assert code == 0, by_outcome(run, "failed")
    assert run["counts"]["ready"] == 10
    assert any("converted: Deployment default/doorbell from extensions/v1beta1" in what for what in run["simulated"])


@pytest.mark.parametrize(
    ("repo", "rejected", "hangs"),
    [
        ("deadlock", {}, {"Deployment/gate", "Deployment/till"}),
        ("crd-race", {"Parcel/first": "no matches for kind Parcel"}, set()),
        # Whichever comes first: the API that is not served yet, or the webhook whose operator is not there yet.
        ("operator-last", {"Queue/orders": "failed calling webhook|no matches for kind Queue"}, set()),
    ],
)
def test_a_wrong_order_really_ends_in_rejected_objects_and_pods_that_hang(
    tmp_path: Path, repo: str, rejected: dict[str, str], hangs: set[str]
) -> None:
    code, run, _ = rehearse(tmp_path, FIXTURES / "orders" / repo, "--against", "kubectl", "--timeout", "8")
    assert code == 0, "our order brings it back"
    assert not by_outcome(run, "failed")
    naive = json.loads(_events(tmp_path, "kubectl"))
    failed = {name: cause for name, (cause, timeout) in naive.items() if not timeout}
    assert failed.keys() == rejected.keys()
    assert [cause for name, cause in failed.items() if not re.search(rejected[name], cause)] == []
    assert {name for name, (_, timeout) in naive.items() if timeout} == hangs


def _events(tmp_path: Path, order: str) -> str:
    """Return the failures of the run in another order, as JSON: name to cause and whether it hung."""
    folder = next(path for path in (tmp_path / "reports").glob("*/") if path.name.endswith(order))
    failed = [step for step in fold(events(folder)).steps if step.outcome == "failed"]
    return json.dumps({f"{s.step.ref.kind}/{s.step.ref.name}": (s.cause, s.timeout) for s in failed})


def test_a_deadlock_names_the_webhook_that_refuses(tmp_path: Path) -> None:
    rehearse(tmp_path, FIXTURES / "orders" / "deadlock", "--against", "kubectl", "--timeout", "8")
    causes = json.loads(_events(tmp_path, "kubectl"))
    assert "pods.gate.example" in causes["Deployment/gate"][0]


def test_waiting_for_whole_waves_brings_it_back_too_and_is_compared(tmp_path: Path) -> None:
    binaries()
    environ = {**os.environ, "DR_STATE_DIR": str(tmp_path / "state")}
    argv = [DR, "rehearse", str(FIXTURES / "orders" / "operator-last"), "--reports", str(tmp_path / "reports")]
    done = subprocess.run([*argv, "--against", "waves"], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = {
        line.split()[0]: line.split()[2:] for line in done.stdout.splitlines() if line.startswith(("graph", "waves"))
    }
    assert rows["graph"] == rows["waves"] == ["9", "0", "0", "0"]


def test_ctrl_c_takes_the_cluster_down_and_says_so(tmp_path: Path) -> None:
    binaries()
    environ = {**os.environ, "DR_STATE_DIR": str(tmp_path / "state")}
    argv = [DR, "rehearse", str(FIXTURES / "community"), "--reports", str(tmp_path / "reports"), "--timeout", "60"]
    process = subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    for line in process.stderr:
        if "restore" in line:
            break
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert not list((tmp_path / "state" / "clusters").glob("*"))
    folder = max((tmp_path / "reports").glob("*/"))
    assert '"outcome":"interrupted"' in (folder / "events.jsonl").read_text()


def test_a_repo_of_several_environments_asks_for_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [DR, "rehearse", str(FIXTURES / "platform")], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 2
    assert "--env production" in done.stderr


def test_a_repo_with_a_file_that_cannot_be_read_is_never_called_restored(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "dr.yaml").write_text("# a repo by itself\n")
    (repo / "ok.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ok\n")
    (repo / "broken.yaml").write_text("a: b: c\n")
    code, run, _ = rehearse(tmp_path, repo)
    assert code == 1
    assert run["outcome"] == "failed"
    assert run["counts"]["ready"] == 1
    assert [(c["subject"], c["level"]) for c in run["checks"] if c["check"] == "read"] == [("broken.yaml:1", "error")]
