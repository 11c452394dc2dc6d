"""Reports of a forklift: whether everybody was moved, what users saw, what was not in git, what each unit came back at."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from playwright.sync_api import Browser

from dr.core.events import (
    Announced,
    AnyEvent,
    Began,
    CameBack,
    Carried,
    Checked,
    Confirmed,
    Drained,
    Ended,
    Injected,
    Moving,
    Objective,
    Parity,
    PlannedProbe,
    Probed,
    Returned,
    Stage,
    Staged,
    Steered,
    Survived,
    Switched,
    Target,
    Twinned,
)
from dr.core.model import Level, Pin, Ref
from dr.core.move import Move, judged, move
from dr.core.moving import LIVE_ONLY
from dr.core.timeline import fold
from dr.report.gameday_data import data
from dr.report.gameday_junit import junit
from dr.report.move_markdown import markdown
from dr.report.move_text import lines, result
from dr.report.run_html import html
from tests.report.sample import HOSTILE
from tests.report.test_gameday_reports import SCHEMAS

GOLDEN = Path(__file__).parent / "golden"
OLD = Target("blue", "https://blue.example", "uid-blue", "ca", "v1.36.1")
NEW = Target("green", "https://green.example", "uid-green", "ca", "v1.37.2")
TIME = "2026-11-23T08:00:{:02d}.000+00:00"
OUTCOMES = ("moved", "returned", "stopped", "interrupted")


def forklift(outcome: str = "moved", *, name: str = "shop") -> list[AnyEvent]:
    """Make the events of a move whose writes stop from 24 to 26 s; `returned`: it goes back at 26 s."""
    head: list[AnyEvent] = [
        Began(
            0.0,
            time=TIME.format(0),
            run="2026-11-23-080000-forklift",
            command=f"dr forklift {name}.yaml",
            dr="0.1.0",
            target=NEW,
            pins=(Pin(name, "/repo", "0123456789abcdef"),),
        ),
        Announced(
            0.0,
            title=f"Move the {name}",
            scenario="forklift",
            file=f"{name}.yaml",
            digest="d" * 64,
            fault="users are moved",
            blast_radius="",
            recovery="forklift",
            probes=(
                PlannedProbe("front", "http", f"https://{name}.example", 1.0, 2.0),
                PlannedProbe("orders", "canary", f"{name}/orders", 1.0, 2.0, canary=True),
            ),
            objectives=(Objective("downtime", "", 10.0), Objective("lost", "", 0.0)),
        ),
        Moving(0.0, old=OLD, new=NEW, steps=(50, 100), data=("orders",)),
        *_stage(0.2, 2.0, "preflight", "failed" if outcome == "stopped" else "passed", "1 finding stands against it"),
    ]
    head[4:4] = [
        Checked(1.0, LIVE_ONLY, Level.WARNING, f"ConfigMap {name}/flags", "made by hand by kubectl-edit", "adopt it"),
        Checked(1.0, LIVE_ONLY, Level.INFO, f"Endpoints {name}/web", "made again by its controller"),
        Checked(1.0, "version", Level.ERROR if outcome == "stopped" else Level.INFO, "green", "is older", "upgrade it"),
    ]
    if outcome == "stopped":
        return [*head, Ended(2.1, outcome="failed")]
    read = [
        *_stage(2.0, 14.0, "bootstrap"),
        Carried(13.0, "orders", "copy", 8.0, {"public.orders": 120}, {"public.orders": 118}, same=False),
        *_stage(14.0, 15.0, "verify"),
        Stage(15.0, "parity", TIME.format(15)),
        Parity(15.5, Ref("apps/v1", "Deployment", name, "web"), "spec.replicas", "3", "2", "from"),
        Parity(15.5, Ref("v1", "ConfigMap", name, "where"), "data.cluster", "blue", "green", "", allowed=True),
        Twinned(15.9, 42),
        Staged(16.0, "parity", "passed", TIME.format(16)),
    ]
    if outcome == "interrupted":
        return [*head, *read, Stage(16.0, "cutover", TIME.format(16))]
    gone = range(24, 28) if outcome == "returned" else range(24, 26)
    asked = [
        Probed(at + 0.1, probe, at not in gone, float(at), "status 503" if at in gone else "", at if probe else None)
        for at in range(17, 40)
        for probe in (0, 1)
    ]
    cut: list[AnyEvent] = [
        Stage(16.0, "cutover", TIME.format(16)),
        Confirmed(16.5, "50 % of the traffic", "grace", 16.1, "looks well"),
        Injected(17.5, "users are moved", 17.4, ("users",), "traffic goes back"),
        Steered(20.2, 50, 17.4, 60, 48.3),
        Carried(24.2, "orders", "freeze", 24.0),
        Carried(25.2, "orders", "compare", 24.9, {"public.orders": 130}, {"public.orders": 130}, same=True),
        Carried(25.6, "orders", "thaw", 25.5),
        Switched(25.7, "to"),
    ]
    if outcome == "returned":
        cut += [
            Steered(26.0, 100, 25.8, cause="the traffic is not where the hook says"),
            Switched(27.4, "from"),
            Returned(27.9, 26.1, "front fails for 2.0 s: status 503"),
            Staged(31.0, "cutover", "returned", TIME.format(31), "front fails for 2.0 s: status 503"),
            Survived(31.5, 1, 39),
            Ended(39.2, outcome="failed"),
        ]
    else:
        cut += [
            Steered(28.6, 100, 25.8, 60, 100.0),
            Staged(31.0, "cutover", "passed", TIME.format(31)),
            *_stage(31.0, 34.0, "drain"),
            Drained(32.0, Ref("apps/v1", "Deployment", name, "web"), 3),
            Survived(33.5, 1, 39),
            CameBack(34.1, "apps", "fedcba98", TIME.format(0), "Ada", "Sell tea", f"{name}-7", (("Release", "7"),)),
            Ended(39.2, outcome="passed"),
        ]
    return sorted([*head, *read, *asked, *cut], key=lambda event: event.at)


def _stage(began: float, ended: float, name: str, outcome: str = "passed", cause: str = "") -> list[AnyEvent]:
    times = TIME.format(int(began)), TIME.format(int(ended))
    return [Stage(began, name, times[0]), Staged(ended, name, outcome, times[1], "" if outcome == "passed" else cause)]


def measured(events: Sequence[AnyEvent]) -> Move:
    found = move(events)
    assert found
    return found


def text(found: Move, *, detail: bool = False) -> str:
    return "\n".join("".join(part for part, _ in line) for line in lines(found, detail=detail)) + "\n"


def content(outcome: str) -> Any:
    events = forklift(outcome)
    found = measured(events)
    return json.loads(data(fold(events), judged(found), head="a" * 64, moved=found))


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_report_of_a_move_reads_as_it_did(outcome: str) -> None:
    found = measured(forklift(outcome))
    assert found.verdict == outcome
    for suffix, said in (("txt", text(found, detail=True).encode()), ("md", markdown(found))):
        golden = GOLDEN / f"move-{outcome}.{suffix}"
        if os.environ.get("DR_UPDATE_GOLDEN"):
            golden.write_bytes(said)
        assert said.decode() == golden.read_text(), f"{golden} says otherwise"


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_json_of_a_move_is_valid_by_its_schema(outcome: str) -> None:
    found = content(outcome)
    jsonschema.validate(found, json.loads((SCHEMAS / "gameday-run.schema.json").read_text()))
    assert found["forklift"]["verdict"] == outcome


def test_what_a_user_missed_and_what_was_stopped_are_counted() -> None:
    found = content("moved")["forklift"]
    assert found["downtime"] == pytest.approx(3.1 - 1.0, abs=1.1)
    assert found["frozen"] == pytest.approx(1.6)
    assert found["lost"] == 0
    assert [step["weight"] for step in found["traffic"]] == [50, 100]


def test_a_build_server_sees_that_users_had_to_go_back() -> None:
    events = forklift("returned")
    found = judged(measured(events))
    assert found
    assert b'name="verdict" tests="1" failures="1"' in junit(fold(events), found)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_the_page_of_a_move_shows_what_users_saw_and_what_was_not_in_git(
    browser: Browser, tmp_path: Path, outcome: str
) -> None:
    events = forklift(outcome)
    found = measured(events)
    (tmp_path / "report.html").write_bytes(html(fold(events), judged(found), moved=found))
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((tmp_path / "report.html").as_uri())
    body = page.inner_text("body")
    page.close()
    assert said == []
    assert "kubectl-edit" in body
    if outcome in ("moved", "returned"):
        assert "spec.replicas" in body
        assert "130 rows" in body
    if outcome == "moved":
        assert "Release: 7" in body


def test_no_name_of_what_moves_becomes_an_element() -> None:
    events = forklift(name=HOSTILE)
    found = measured(events)
    page = html(fold(events), judged(found), moved=found).decode()
    assert HOSTILE not in page
    assert "<script>alert" not in markdown(found).decode()


def test_a_drain_that_was_undone_is_not_shown_as_done() -> None:
    events = [*forklift("moved"), Staged(40.0, "drain", "undone", TIME.format(40)), Ended(41.0, outcome="passed")]
    found = measured(events)
    assert next(stage.outcome for stage in found.stages if stage.name == "drain") == "undone"
    assert "drain 3.0s (undone)" in text(found)
    said = json.loads(data(fold(events), judged(found), head="a" * 64, moved=found))
    jsonschema.validate(said, json.loads((SCHEMAS / "gameday-run.schema.json").read_text()))


def test_data_that_cannot_be_compared_is_never_shown_as_the_same() -> None:
    compared = Carried(1.0, "files", "compare", 0.5)
    assert result(compared) == "cannot be compared"
    assert result(msgspec.structs.replace(compared, what="freeze")) == ""
    assert result(msgspec.structs.replace(compared, same=True)) == "the same on both sides"
