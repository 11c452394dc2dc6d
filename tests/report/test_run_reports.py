"""Reports of a run: what failed first, what it took with it, nothing that a repo's names could break."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

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
    Retried,
    Skipped,
    Started,
    Target,
    Waiting,
)
from dr.core.model import Level, Pin, Ref, Strength
from dr.core.timeline import Timeline, fold
from dr.engine.lock import HOLD
from dr.report.live import Live
from dr.report.run_data import data
from dr.report.run_junit import junit
from dr.report.run_markdown import markdown
from dr.report.run_text import lines

# A busy machine is no failure.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
        ("short.txt", text(timeline).encode()),
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
    assert said[-1] == "Next: dr why /repo Secret/shop/key"


@pytest.mark.parametrize(
    ("outcome", "embedded", "command", "hint"),
    [
        ("passed", True, "dr rehearse /repo", "dr restore /repo --to CONTEXT --dry-run"),
        ("passed", False, "dr restore /repo --to c", "dr verify /repo --to dr-x"),
        ("interrupted", False, "dr restore /repo --to c", "dr restore /repo --to c --resume"),
        ("interrupted", False, "dr restore /repo --to c --resume", "dr restore /repo --to c --resume"),
        ("interrupted", True, "dr rehearse /repo", "dr rehearse /repo"),
    ],
)
def test_the_last_line_says_what_can_be_done_next(outcome: str, embedded: bool, command: str, hint: str) -> None:
    first, *rest = run()
    assert isinstance(first, Began)
    began = replace(first, command=command, target=replace(first.target, embedded=embedded))
    said = text(fold([began, *rest[:-1], Ended(7.0, outcome=outcome, verified=3)])).splitlines()
    assert said[-1] == f"Next: {hint}"


def test_a_real_cluster_is_never_called_unreal() -> None:
    first, *rest = run()
    assert isinstance(first, Began)
    began = replace(first, simulated=("converted: x",), target=replace(first.target, embedded=False))
    said = text(fold([began, *rest]))
    assert "1 thing: --detail" in said
    assert "no node or container is real" not in said


def test_a_failure_without_a_cause_is_still_named() -> None:
    failed = fold([*run()[:5], Failed(9.0, 0, ""), Ended(9.2, outcome="failed")])
    assert "✗ Namespace shop" in text(failed)
    assert "**Namespace shop**" in markdown([failed]).decode()


def test_a_run_that_sent_nothing_lists_what_stood_in_its_way_and_not_every_object() -> None:
    stopped = fold(
        [run()[0], Checked(0.1, "rbac", Level.ERROR, "secrets", "may not create"), Ended(0.2, outcome="failed")]
    )
    assert text(stopped).splitlines()[0].endswith("none of 3 objects was sent in 0.2s")
    assert "Namespace" not in markdown([stopped]).decode().split("## How")[0]


def test_a_build_server_never_sees_parity_in_a_run_that_compared_nothing() -> None:
    for events in (run()[:9], [run()[0], Ended(0.2, outcome="failed")]):
        parity = ET.fromstring(junit(fold(events))).find("testsuite[@name='parity']")
        assert parity is not None
        assert parity.get("failures") == "1"


def test_of_a_long_message_no_report_prints_more_than_300_characters() -> None:
    events = [*run()[:5], Retried(5.0, 0, "r" * 999, 0.1), Waiting(5.0, 0, "w" * 999), Failed(9.0, 0, "f" * 999)]
    check = Checked(4.0, "c", Level.ERROR, "s", "c" * 999, "m" * 999)
    differs = Differs(9.1, Ref("v1", "X", "", "y"), "different", "p", "a" * 999, "b" * 999)
    timeline = fold([*events, check, differs, Ended(9.2, outcome="failed", verified=1)])
    live = Live()
    said = ["".join(part for part, _ in line) for event in [*events, check] for line in live.said(event)]
    content = [text(timeline, detail=True), markdown([timeline]).decode(), junit(timeline).decode(), *said]
    for written in [*content, data(timeline).decode()]:
        assert not re.search(r"([rwfcmab])\1{300}", written)


def test_many_failures_leave_a_pull_request_readable() -> None:
    first, *_ = run()
    assert isinstance(first, Began)
    steps = tuple(PlannedStep(Ref("v1", "ConfigMap", "a", f"n{n:02}"), "u") for n in range(60))
    failures = [event for n in range(60) for event in (Started(1.0, n), Failed(2.0, n, "no"))]
    content = markdown([fold([replace(first, steps=steps), *failures, Ended(3.0, outcome="failed")])]).decode()
    assert content.index("n04") < content.index("<details>") < content.index("n05") < content.index("</details>")
    assert "10 more failures" in content


@pytest.mark.parametrize("fails", [False, True])
def test_the_json_keeps_to_its_schema(fails: bool) -> None:
    jsonschema.validate(json.loads(data(fold(run(fails=fails)))), SCHEMA)
    jsonschema.validate(json.loads(data(fold([]))), SCHEMA)


@UNHURRIED
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
        # A mention is looked for when the backslashes are gone.
        assert not re.search(r"@\w", line)


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
    assert "1/3 restore" in shown[0]
    assert any("Secret shop/key" in row and "not made yet" in row for row in shown)
    assert "on chain: Secret shop/key" in shown[0]
    assert "eta –" in shown[0], "a run without an estimate promises nothing"


def test_the_live_estimate_follows_the_pace_of_the_run() -> None:
    live = Live()
    first, *rest = run()
    assert isinstance(first, Began)
    live.feed(replace(first, estimate=10.0))
    early = "".join(part for part, _ in live.frame(200, 0.0)[0])
    for event in rest[:8]:
        live.feed(event)
    assert "eta 10s" in early
    assert not any("eta –" in part for part, _ in live.frame(200, 6.0)[0])


def test_a_wait_is_said_when_it_lasts_or_its_reason_is_known() -> None:
    live = Live()
    for event in run()[:9]:
        live.feed(event)

    def said(at: float, message: str) -> bool:
        return bool(live.said(Waiting(at, 1, message)))

    assert not said(4.5, "not made yet")
    assert said(6.0, "not made yet · no StorageClass")
    assert said(12.0, "half of it")


def test_who_watches_a_run_sees_whose_hold_on_the_cluster_it_waits_for() -> None:
    live = Live()
    live.feed(run()[0])
    waits = Checked(
        0.5, HOLD, Level.INFO, "prod", "run-1 holds this cluster: waiting 15 s to see whether it still runs"
    )
    assert "run-1 holds this cluster: waiting 15 s" in live.said(waits)[0][0][0]
    assert any("run-1 holds this cluster" in part for part, _ in live.frame(200, 1.0)[0])


def test_with_detail_every_object_is_said() -> None:
    live = Live(detail=True)
    said = ["".join(part for part, _ in line) for event in run() for line in live.said(event)]
    assert any("✓ Namespace shop" in row for row in said)


def test_a_unit_whose_last_object_fails_is_said_to_have_failed() -> None:
    live = Live()
    said = ["".join(part for part, _ in line) for event in run(fails=True) for line in live.said(event)]
    assert any(row.endswith("✗ base") for row in said)


def test_without_a_terminal_units_and_failures_are_said_and_not_every_object() -> None:
    live = Live()
    said = ["".join(part for part, _ in line) for event in run(fails=True) for line in live.said(event)]
    assert any("✗ Secret shop/key: not ready in 5 s" in row for row in said)
    assert any("✗ apps" in row for row in said)
    assert not any("Namespace" in row for row in said)


@UNHURRIED
@given(st.lists(st.integers(0, 12), max_size=8))
def test_a_picture_can_be_drawn_at_any_moment_of_a_log(cut: list[int]) -> None:
    live = Live()
    for index, event in enumerate(run()):
        live.feed(event)
        if index in cut:
            rows = live.frame(40, event.at)
            assert rows
            assert all(sum(len(part) for part, _ in row) <= 40 for row in rows)
