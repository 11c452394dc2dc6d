"""The runbook of a move names every command: the move can be made by hand when `dr` cannot be used."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dr.app.forklift_runbook import runbook
from dr.app.forklifts import Options
from tests.app.test_adopting import repo  # noqa: F401 - a fixture

FILE = """\
title: Shop to green
repos: [{url: platform}]
from: {context: blue}
to: {context: green}
data:
  - name: files
    of: PersistentVolumeClaim/shop/files
    volume: {claim: shop/files, class: csi-snapshots, driver: ebs.csi.aws.com, read_only: true}
  - {name: orders, of: StatefulSet/shop/db, postgres: {from: OLD_URL, to: NEW_URL}}
steady_state: {probes: [{name: shop, tcp: {host: shop.example, port: 443}}]}
cutover:
  pause: [100]
  traffic:
    - annotation: {object: Service/shop/front, key: routing.lunar.tech/weight}
    - command: {argv: [weigh, "{weight}"]}
  seen: {url: "https://shop.example/", from: blue, to: green}
"""


@pytest.fixture
def tasks(repo: Path) -> dict[str, list[str]]:  # noqa: F811
    file = repo.parent / "move.yaml"
    file.write_text(FILE)
    answer = runbook([str(file)], Options(), "json")
    found: dict[str, Any] = json.loads(answer.content or "")
    return {task["title"]: [c for block in task["commands"] for c in block] for task in found["tasks"]}


def test_a_volume_is_moved_by_commands_that_make_its_snapshot_known_to_the_new_cluster(
    tasks: dict[str, list[str]],
) -> None:
    commands = tasks["Move the data files"]
    for command in commands:
        subprocess.run(["sh", "-n", "-c", command], check=True)
    bodies = []
    for command in commands:
        if command.startswith("echo"):
            told = subprocess.run(["sh", "-c", command.partition(" |")[0]], capture_output=True, text=True, check=True)
            bodies.append((json.loads(told.stdout), "blue" if "--context blue" in command else "green"))
    assert [(body["kind"], side) for body, side in bodies] == [
        ("VolumeSnapshot", "blue"),
        ("VolumeSnapshotContent", "green"),
        ("VolumeSnapshot", "green"),
    ]
    assert bodies[0][0]["spec"]["source"] == {"persistentVolumeClaimName": "files"}
    assert bodies[1][0]["spec"]["driver"] == "ebs.csi.aws.com"


def test_each_step_of_the_traffic_has_its_commands_and_so_has_the_way_back(tasks: dict[str, list[str]]) -> None:
    assert "weigh 50" in tasks["Move 50 % of the traffic"]
    assert any("routing.lunar.tech/weight=50" in command for command in tasks["Move 50 % of the traffic"])
    assert "weigh 0" in tasks["Only if users are not served: go back to the old cluster"]
    assert any(command.startswith("pg_dump") for command in tasks["Move the data orders"])
