"""Reports of a gameday: the verdict first, objectives with their figures, what was lost, nothing that a name could break."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dr.core.events import (
    Aborted,
    Activity,
    Announced,
    AnyEvent,
    Applied,
    Approved,
    Began,
    Ended,
    Entered,
    Failed,
    Injected,
    Left,
    Mark,
    Marked,
    Objective,
    Operation,
    Phase,
    PlannedProbe,
    PlannedStep,
    Probed,
    Ready,
    Started,
    Survived,
    Target,
    Undone,
)
from dr.core.history import Row, row
from dr.core.model import Pin, Ref, Strength
from dr.core.recovery import Recovery, recovery
from dr.core.timeline import Timeline, fold
from dr.report.gameday_data import data
from dr.report.gameday_junit import junit
from dr.report.gameday_markdown import markdown
from dr.report.gameday_text import bottleneck, lines, measured

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=40)
GOLDEN = Path(__file__).parent / "golden"
SCHEMAS = Path(__file__).parents[2] / "dr" / "schemas"
CLUSTER = Target("dr-a", "https://127.0.0.1:1", "uid-a", "ca", "v1.37.2", embedded=True)
DOWN = range(10, 41)  # seconds of the run in which the shop does not answer


def gameday(outcome: str = "met", *, name: str = "shop", steps: bool = True) -> list[AnyEvent]:
    """Make the events of a whole-cluster loss at 10 s that is recovered from git at 41 s, asked once a second."""
    planned = (
        PlannedStep(Ref("v1", "Namespace", "", name), "base", (), (), "base.yaml:1"),
        PlannedStep(Ref("apps/v1", "StatefulSet", name, "db"), "data", (0,), (Strength.EXISTS,), "data.yaml:1"),
        PlannedStep(Ref("apps/v1", "Deployment", name, "web"), "apps", (1,), (Strength.READY,), "apps.yaml:1"),
    )
    probes = (
        PlannedProbe("front", "http", f"https://{name}.example", 1.0, 2.0),
        PlannedProbe("orders", "canary", f"{name}/orders", 1.0, 2.0, canary=True),
    )
    objectives = (
        Objective("rto", "", 900.0),
        Objective("rpo", "", 1.0 if outcome == "late" else 5.0),
        Objective("rto", name, 20.0 if outcome == "late" else 60.0, ("apps",)),
    )
    head: list[AnyEvent] = [
        Began(
            0.0,
            time="2026-11-23T08:00:00.000+00:00",
            run="2026-11-23-080000-cluster-removed",
            command=f"dr gameday run {name}.yaml",
            dr="0.1.0",
            target=CLUSTER,
            pins=(Pin(name, "/repo", "0123456789abcdef"),),
            simulated=("nodes", "containers") if steps else (),
            steps=planned if steps else (),
        ),
        Announced(
            0.0,
            title=f"{name} loses its cluster",
            scenario="cluster-removed",
            file=f"{name}.yaml",
            digest="d" * 64,
            fault="Remove the whole cluster",
            blast_radius="the cluster",
            recovery="restore" if steps else "observe",
            probes=probes,
            objectives=objectives if steps else (),
            hold=2.0,
            timeout=120.0,
            roles={"leader": "ada"},
        ),
        Approved(0.1, by="grace", until="2026-12-01T00:00:00+00:00", reference="CHG-7"),
        Entered(0.2, Phase.STEADY),
    ]
    if outcome == "not begun":
        return [*head, Left(3.0, Phase.STEADY), Ended(3.0, outcome="failed")]
    up = [
        Probed(at + 0.1, probe, at not in DOWN, float(at), "refused" if at in DOWN else "", at if probe else None)
        for at in range(1, 46)
        for probe in (0, 1)
    ]
    struck: list[AnyEvent] = [
        Left(3.0, Phase.STEADY),
        Entered(9.7, Phase.FAULT),
        Injected(9.9, "removed", 9.8, (f"Cluster {name}", "Node a", "Node b", "Node c"), "none: it is gone"),
        Activity(9.9, "Remove the cluster", "action", "succeeded", 9.7),
        Left(9.9, Phase.FAULT),
        Marked(10.1, Mark.DETECTED, "probe front", 0.1),
    ]
    if outcome == "aborted":
        stop: list[AnyEvent] = [
            Aborted(20.0, "front failing for 5 s", "refused"),
            Undone(20.1, "removed", "the run", "no"),
        ]
        return [*head, *_woven(up, struck, 20.0), *stop, Ended(20.2, outcome="failed")]
    if outcome == "interrupted":
        return [*head, *_woven(up, struck, 20.0)]
    if outcome == "lost":
        lost: list[AnyEvent] = [
            Marked(11.0, Mark.DECIDED, "dr"),
            Entered(12.0, Phase.RESTORE),
            Started(12.0, 0),
            Applied(12.2, 0, Operation.CREATED),
            Ready(12.2, 0),
            Started(12.3, 1),
            Failed(30.0, 1, f"image of {name} not found"),
            Left(30.0, Phase.RESTORE),
        ]
        return [*head, *_woven(up, [*struck, *lost], 40.0), Survived(40.1, 1, None), Ended(40.2, outcome="failed")]
    restored: list[AnyEvent] = [
        Marked(11.0, Mark.DECIDED, "dr"),
        Marked(15.0, Mark.INFRASTRUCTURE, "embedded"),
        Marked(18.0, Mark.CONTROL_PLANE, "/readyz"),
        Entered(18.0, Phase.RESTORE),
        Started(18.0, 0),
        Applied(18.2, 0, Operation.CREATED),
        Ready(18.2, 0),
        Started(18.3, 1),
        Applied(18.5, 1, Operation.CREATED),
        Ready(33.0, 1),
        Started(33.1, 2),
        Applied(33.2, 2, Operation.CREATED),
        Ready(38.0, 2),
        Left(38.0, Phase.RESTORE),
        Marked(38.0, Mark.WORKLOADS, "dr"),
    ]
    told = [*struck, *restored] if steps else struck
    end: list[AnyEvent] = [
        Survived(45.2, 1, 7),
        Undone(45.3, "removed", "the run"),
        Marked(45.3, Mark.CLEAN, "the run"),
        Ended(45.4, outcome="passed", verified=3 if steps else 0),
    ]
    return [*head, *_woven(up, told, 46.0), *(end if steps else [end[-1]])]


def _woven(samples: list[Probed], others: list[AnyEvent], until: float) -> list[AnyEvent]:
    return sorted((e for e in [*samples, *others] if e.at < until), key=lambda e: e.at)


def measure(events: list[AnyEvent]) -> tuple[Timeline, Recovery]:
    found = recovery(events)
    assert found
    return fold(events), found


def text(timeline: Timeline, found: Recovery, *earlier: Row, detail: bool = False) -> str:
    said = lines(timeline, found, earlier, detail=detail)
    return "\n".join("".join(part for part, _ in line) for line in said) + "\n"


def valid(content: bytes) -> Any:
    found = json.loads(content)
    jsonschema.validate(found, json.loads((SCHEMAS / "gameday-run.schema.json").read_text()))
    return found


OUTCOMES = ("met", "late", "lost", "aborted", "interrupted", "not begun")


@pytest.mark.parametrize("outcome", ["met", "late", "lost", "aborted"])
def test_a_report_reads_as_it_did(outcome: str) -> None:
    timeline, found = measure(gameday(outcome))
    earlier = replace(row(timeline, found, head="", folder="x"), rta=30.0, censored=None)
    for suffix, content in (
        ("txt", text(timeline, found, earlier, detail=True).encode()),
        ("short.txt", text(timeline, found).encode()),
        ("md", markdown(timeline, found, [earlier])),
        ("xml", junit(timeline, found)),
        ("json", data(timeline, found, head="a" * 64)),
    ):
        golden = GOLDEN / f"gameday-{outcome}.{suffix}"
        if os.environ.get("DR_UPDATE_GOLDEN") == "1":
            golden.write_bytes(content)
        assert content.decode() == golden.read_text(), f"{golden} says otherwise"


@pytest.mark.parametrize(
    ("outcome", "first"),
    [
        ("met", "✓ recovered shop loses its cluster: in 31s, as promised"),
        ("late", "✗ too late shop loses its cluster: in 31s, 2 objectives missed"),
        ("lost", "✗ not recovered shop loses its cluster: given up after 30s"),
        ("aborted", "✗ aborted shop loses its cluster: front failing for 5 s"),
        ("interrupted", "✗ interrupted shop loses its cluster: after 19s"),
        ("not begun", "✗ not begun shop loses its cluster: nothing was disturbed"),
    ],
)
def test_the_first_line_is_the_verdict(outcome: str, first: str) -> None:
    assert text(*measure(gameday(outcome))).splitlines()[0] == first


def test_objectives_stand_with_what_was_measured_and_by_how_much_it_may_be_less() -> None:
    said = text(*measure(gameday("late"))).splitlines()
    assert said[1].startswith("RTO      ✓ 31s ≤ 15m")
    assert said[2].startswith("RPO      ✗ 2.8s > 1.0s")
    assert said[3].startswith("RTO shop ✗ 28s > 20s")


def test_a_miss_by_a_hair_is_not_shown_as_equal() -> None:
    timeline, found = measure(gameday())
    first = found.objectives[0]
    close = replace(first, objective=replace(first.objective, seconds=31.4), actual=31.41, met=False)
    assert "31.410s > 31.400s" in text(timeline, replace(found, objectives=(close,)))


def test_a_run_that_was_given_up_names_the_probe_that_still_failed_and_loses_no_figure() -> None:
    timeline, found = measure(gameday("lost"))
    assert bottleneck(timeline, found) == "front was still failing at the end: refused"
    said = text(timeline, found)
    assert "RTO      ✗ not recovered after 30s; promised 15m00s" in said
    assert "RPO      ✗ nothing survived; promised 5.0s" in said
    assert "StatefulSet shop/db" in said


def test_the_sentence_about_the_bottleneck_names_the_part_and_the_unit() -> None:
    assert bottleneck(*measure(gameday())) == (
        "restore took 20s of 31s (64 %), most of it in data (15s of the chain that decided the end)"
    )


def test_the_parts_that_are_shown_sum_to_the_whole() -> None:
    _, found = measure(gameday())
    assert sum(took for _, took in measured(found)) == pytest.approx(found.rta)


def test_a_fault_that_nobody_noticed_is_said_to_have_had_no_impact() -> None:
    events = [replace(e, passed=True, cause="") if isinstance(e, Probed) else e for e in gameday(steps=False)]
    said = text(*measure(events))
    assert "no probe noticed the fault: impact 0" in said.splitlines()[0]
    assert "nothing was promised" in said


def test_a_fault_that_could_not_be_taken_back_is_the_first_thing_after_an_abort() -> None:
    said = text(*measure(gameday("aborted")))
    assert "! not taken back: removed  no" in said


def test_a_fault_that_was_taken_back_at_last_is_not_complained_of() -> None:
    events = gameday("aborted")
    timeline, found = measure([*events[:-1], Undone(20.15, "removed", "the dead man's process"), events[-1]])
    assert "not taken back" not in text(timeline, found)


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("steps", [True, False])
def test_json_is_valid_by_its_schema_whatever_came_of_the_run(outcome: str, steps: bool) -> None:
    timeline, found = measure(gameday(outcome, steps=steps))
    content = valid(data(timeline, found, head="a" * 64))
    assert content["gameday"]["verdict"] == found.verdict
    assert content["head"] == "a" * 64
    assert content["gameday"]["phases"]["steady state"] > 0


def test_a_run_that_is_no_gameday_keeps_its_schema() -> None:
    content = json.loads(data(fold(gameday()), None, head="b" * 64))
    jsonschema.validate(content, json.loads((SCHEMAS / "run.schema.json").read_text()))


def test_what_every_run_has_is_described_alike_for_a_gameday() -> None:
    ours, others = (json.loads((SCHEMAS / f"{n}.schema.json").read_text()) for n in ("gameday-run", "run"))
    assert {name: ours["properties"][name] for name in others["properties"]} == others["properties"]
    assert set(ours["properties"]) - set(others["properties"]) == {"gameday", "head", "forklift"}


def test_a_build_server_sees_the_verdict_each_objective_and_each_probe() -> None:
    root = ET.fromstring(junit(*measure(gameday("lost"))))
    counts = {suite.get("name"): (suite.get("tests"), suite.get("failures")) for suite in root}
    assert counts["verdict"] == ("1", "1")
    assert counts["objectives"] == ("3", "3")
    assert counts["probes"] == ("2", "2")
    assert counts["experiment"] == ("1", "0")
    assert counts["data"] == ("1", "1")
    assert "parity" not in counts


def test_a_run_that_met_everything_fails_nothing() -> None:
    root = ET.fromstring(junit(*measure(gameday(steps=True))))
    assert not root.findall(".//failure")
    assert {suite.get("name") for suite in root} >= {"verdict", "objectives", "probes", "experiment", "base", "parity"}


def test_what_was_simulated_is_named_and_its_absence_too() -> None:
    assert "simulated  2 things, no node or container is real: --detail" in text(*measure(gameday()))
    assert b"* simulated: containers\n" in markdown(*measure(gameday()))
    assert b"* nothing was simulated\n" in markdown(*measure(gameday(steps=False)))


@UNHURRIED
@given(
    name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30), outcome=st.sampled_from(OUTCOMES)
)
def test_no_name_breaks_a_report(name: str, outcome: str) -> None:
    timeline, found = measure(gameday(outcome, name=name))
    said = text(timeline, found, detail=True)
    assert all(c.isprintable() or c == "\n" for c in said)
    valid(data(timeline, found, head=""))
    ET.fromstring(junit(timeline, found))
    rows = [line for line in markdown(timeline, found).decode().split("\n") if line.startswith("| ")]
    assert rows
    assert all(line.endswith(" |") for line in rows)
