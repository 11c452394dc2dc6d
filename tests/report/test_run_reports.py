"""Reports of a run: what failed first, what it took with it, nothing that a repo's names could break."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.core.events import (
    AnyEvent,
    Applied,
    Began,
    Checked,
    Differs,
    Ended,
    Entered,
    Failed,
    Left,
    Operation,
    Phase,
    PlannedStep,
    Ready,
    Skipped,
    Started,
    Target,
    Waiting,
)
from dr.core.model import Level, Pin, Ref, Strength
from dr.core.timeline import Timeline, fold
from dr.report.live import Live
from dr.report.run_data import data
from dr.report.run_junit import junit
from dr.report.run_markdown import markdown
from dr.report.run_text import lines

GOLDEN = Path(__file__).parent / "golden"
SCHEMA = json.loads((Path(__file__).parents[2] / "dr/schemas/run.schema.json").read_text())


def run(*, fails: bool = False, name: str = "shop", order: str = "graph") -> list[AnyEvent]:
    steps = (
        PlannedStep(Ref("v1", "Namespace", "", name), "base", (), (), "base.yaml:1"),
        PlannedStep(Ref("v1", "Secret", name, "key"), "base", (0,), (Strength.EXISTS,), "base.yaml:5"),
        PlannedStep(Ref("apps/v1", "Deployment", name, "web"), "apps", (1,), (Strength.READY,), "apps.yaml:1"),
    )
    events: list[AnyEvent] = [
        Began(
            0.0,
            time="2026-11-23T08:00:00+00:00",
            run="run-1",
            command=f"dr rehearse {name}",
            dr="0.1.0",
            target=Target("dr-x", "https://127.0.0.1:1", "uid", "ca", "v1.37.2", embedded=True),
            pins=(Pin(name, "/repo", "0123456789abcdef"),),
            order=order,
            simulated=("nodes",),
            steps=steps,
        ),
        Entered(0.0, Phase.PROVISION),
        Left(4.0, Phase.PROVISION),
        Entered(4.0, Phase.RESTORE),
        Started(4.0, 0),
        Applied(4.1, 0, Operation.CREATED),
        Ready(4.1, 0),
        Started(4.1, 1),
        Applied(4.3, 1, Operation.CREATED),
    ]
    if fails:
        return [
            *events,
            Checked(4.0, "prerequisite", Level.ERROR, f"Secret {name}", "is not there", "supply it"),
            Waiting(4.4, 1, "not made yet"),
            Failed(9.0, 1, f"not ready in 5 s: {name}", timeout=True),
            Skipped(9.0, 2, 1),
            Left(9.0, Phase.RESTORE),
            Differs(9.1, Ref("v1", "Namespace", "", name), "different", "metadata.labels", f'"{name}"', "(absent)"),
            Ended(9.2, outcome="failed", verified=3),
        ]
    return [
        *events,
        Ready(4.3, 1),
        Started(4.5, 2),
        Applied(4.6, 2, Operation.CREATED),
        Ready(6.6, 2),
        Left(6.6, Phase.RESTORE),
        Ended(7.0, outcome="passed", verified=3),
    ]


def text(timeline: Timeline, *others: Timeline, detail: bool = False) -> str:
    found = lines(timeline, detail=detail, against=others)
    return "\n".join("".join(part for part, _ in line) for line in found) + "\n"


@pytest.mark.parametrize("name", ["passed", "failed"])
def test_a_report_reads_as_it_did(name: str) -> None:
    timeline = fold(run(fails=name == "failed"))
    other = fold(run(fails=True, order="kubectl"))
    for suffix, content in (
        ("txt", text(timeline, other, detail=True).encode()),
        ("md", markdown([timeline, other])),
        ("xml", junit(timeline)),
        ("json", data(timeline)),
    ):
        golden = GOLDEN / f"run-{name}.{suffix}"
        assert content.decode() == golden.read_text(), f"{golden} says otherwise"


def test_the_verdict_is_the_first_line_and_failures_come_before_all_else() -> None:
    said = text(fold(run(fails=True))).splitlines()
    assert said[0].startswith("✗ not restored")
    assert said[1].startswith("✗ Secret shop/key")
    assert "1 object that needs it" in said[1]


@pytest.mark.parametrize("fails", [False, True])
def test_the_json_keeps_to_its_schema(fails: bool) -> None:
    jsonschema.validate(json.loads(data(fold(run(fails=fails)))), SCHEMA)
    jsonschema.validate(json.loads(data(fold([]))), SCHEMA)


@given(st.text(max_size=40))
def test_no_name_breaks_a_report_or_drives_a_terminal(name: str) -> None:
    timeline = fold(run(fails=True, name=name))
    written = [text(timeline, detail=True), markdown([timeline]).decode(), junit(timeline).decode()]
    for content in written:
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\x9b]", content)
    ET.fromstring(junit(timeline))
    json.loads(data(timeline))


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "[x](javascript:y)", "@everyone", "a|b", "`x`", "**b**"])
def test_no_name_becomes_markup_in_a_pull_request(name: str) -> None:
    content = markdown([fold(run(fails=True, name=name))]).decode()
    for line in content.splitlines():
        # Outside of a code span each special character of the name has a backslash before it.
        assert not re.search(r"(?<!\\)" + re.escape(name), line)


def test_a_build_server_sees_a_failure_for_what_failed_and_a_skip_for_what_hung_on_it() -> None:
    root = ET.fromstring(junit(fold(run(fails=True))))
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert cases["Secret shop/key"].find("failure") is not None
    assert cases["Deployment shop/web"].find("skipped") is not None
    assert cases["Namespace shop"].find("failure") is None


def test_the_live_picture_shows_what_is_waited_for_and_why() -> None:
    live = Live()
    for event in run(fails=True):
        if isinstance(event, Failed):
            break
        live.feed(event)
    shown = ["".join(part for part, _ in line) for line in live.frame(80, 5.0)]
    assert "1/3 objects" in shown[0]
    assert any("Secret shop/key" in row and "not made yet" in row for row in shown)
    assert any("on the chain" in row and "Secret shop/key" in row for row in shown)


def test_without_a_terminal_units_and_failures_are_said_and_not_every_object() -> None:
    live = Live()
    said = ["".join(part for part, _ in line) for event in run(fails=True) for line in live.said(event)]
    assert any("✗ Secret shop/key: not ready in 5 s" in row for row in said)
    assert any("✗ apps" in row for row in said)
    assert not any("Namespace" in row for row in said)


@given(st.lists(st.integers(0, 12), max_size=8))
def test_a_picture_can_be_drawn_at_any_moment_of_a_log(cut: list[int]) -> None:
    live = Live()
    for index, event in enumerate(run()):
        live.feed(event)
        if index in cut:
            assert live.frame(40, event.at)
