"""Pods that take a known time to start: what a series measures of them, against a second pair of eyes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from dr.adapters.kube import Access, Kube
from dr.core.body import get, items
from dr.core.model import Body
from tests.chaos.shop import deployment, kubectl, named, service
from tests.embedded import running

DR = str(Path(sys.executable).parent / "dr")
STARTUP, RUNS = 2.0, 5
GAMEDAY = {
    "title": "A pod with a known start-up time is killed",
    "steady_state": {
        "every": "100ms",
        "timeout": "1s",
        "hold": "1s",
        "probes": [{"name": "web", "kubernetes": {"workload": "Deployment/shop/web"}}],
    },
    "fault": {"experiment": "pod-kill", "with": {"namespace": "shop", "selector": "app=web"}},
    "recovery": {"timeout": "60s"},
    "blast_radius": {"namespaces": ["shop"], "objects": 1},
}


class Eyes:
    """Looks at the pods all the time, and notes each turn between ready and not."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self.looks: list[tuple[float, bool]] = []
        self.over = threading.Event()

    async def look(self) -> None:
        async with Kube(self._access) as kube:
            while not self.over.is_set():
                pods = await kube.list("v1", "Pod", namespace="shop", labels="app=web")
                self.looks.append((time.monotonic(), any(_ready(pod) for pod in pods)))
                await asyncio.sleep(0.01)

    def outages(self) -> list[tuple[float, float]]:
        """Return the least and the most that each outage can have lasted, in seconds."""
        turns = [(before, after) for before, after in pairwise(self.looks) if before[1] != after[1]]
        assert [after[1] for _, after in turns] == [False, True] * (len(turns) // 2)
        downs, ups = turns[::2], turns[1::2]
        return [(up[0][0] - down[1][0], up[1][0] - down[0][0]) for down, up in zip(downs, ups, strict=True)]


def _ready(pod: Body) -> bool:
    conditions = {row["type"]: row["status"] for row in items(pod, "status", "conditions")}
    return conditions.get("Ready") == "True" and get(pod, "metadata", "deletionTimestamp") is None


@contextmanager
def watched(access: Access) -> Iterator[Eyes]:
    eyes = Eyes(access)
    thread = threading.Thread(target=lambda: asyncio.run(eyes.look()))
    thread.start()
    try:
        yield eyes
    finally:
        eyes.over.set()
        thread.join()


def test_a_known_start_up_time_is_measured_within_the_error_that_is_stated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DR_STATE_DIR", str(tmp_path / "state"))
    web = deployment("shop", "web", 1)
    web["spec"]["template"]["metadata"]["annotations"] = {"dr.dev/startup": f"{STARTUP:g}s"}
    with running(tmp_path / "state", "known") as made:
        stdin = yaml.safe_dump_all([named("Namespace", "shop"), web, service("shop", "web")])
        kubectl(made, "apply", "--server-side", "-f", "-", stdin=stdin)
        kubectl(made, "-n", "shop", "rollout", "status", "deployment/web", "--timeout=30s")
        lock = subprocess.run([DR, "lock", "local:known"], capture_output=True, text=True, check=True).stdout.split()[
            -1
        ]
        file = tmp_path / "day.yaml"
        file.write_text(yaml.safe_dump({**GAMEDAY, "target": {"context": "local:known", "lock": lock}}))
        argv = [DR, "gameday", "run", str(file), "--yes", "--repeat", str(RUNS), "--reports", str(tmp_path / "reports")]
        with watched(made.access) as eyes:
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = [
        json.loads(report.read_text())["gameday"] for report in sorted((tmp_path / "reports").glob("*/report.json"))
    ]
    truth = eyes.outages()
    assert len(found) == len(truth) == RUNS
    for measured, (least, most) in zip(found, truth, strict=True):
        rta, error = measured["rta"], measured["error"]
        assert error < 1.0, "an error that says nothing"
        assert rta >= STARTUP, "a pod was ready before it could be"
        assert rta - error <= most, (measured, least, most)
        # The pod was gone at some moment of the call; t0 is its end.
        (fault,) = measured["injected"]
        assert rta >= least - (fault["at"] - fault["began"]), (measured, least, most)
        assert sum(part["seconds"] for part in measured["parts"]) == pytest.approx(rta, abs=1e-5)
