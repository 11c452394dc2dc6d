"""`dr report` as people and pipelines use it: which run is meant, whether its record can be trusted, what runs tell."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace
from prometheus_client.openmetrics import parser

from dr.adapters import history
from dr.adapters.history import HISTORY
from dr.adapters.store import EVENTS, EventLog
from dr.app import records, reports
from dr.app.finish import write
from dr.cli import main
from dr.core.events import Announced, AnyEvent, Began, Probed
from dr.core.history import Row, by_target
from dr.core.model import Pin
from tests.report.test_gameday_reports import gameday

NAMES = ("report.html", "report.md", "report.json", "junit.xml", "metrics.prom", "trace.json")


def dr(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["report", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def keep(
    folder: Path,
    day: str,
    outcome: str = "met",
    *,
    scenario: str = "cluster-removed",
    slower: float = 0.0,
    commit: str = "a" * 40,
    target: str = "",
) -> Path:
    """Write a run and its reports; `slower`: seconds by which it came back later."""
    run = folder / f"{day}-080000-{scenario}"
    run.mkdir(parents=True)
    _log(run, _changed(gameday(outcome), day, scenario, slower, commit, run.name, target))
    write(run)
    return run


def _changed(
    events: list[AnyEvent], day: str, scenario: str, slower: float, commit: str, name: str, target: str = ""
) -> Iterable[AnyEvent]:
    for event in events:
        match event:
            case Began():
                pins = (Pin("shop", "/repo", commit),)
                struck = replace(event.target, context=target or event.target.context)
                yield replace(event, time=f"{day}T08:00:00.000+00:00", run=name, pins=pins, target=struck)
            case Announced():
                yield replace(event, scenario=scenario)
            case Probed(at, _, _, began) if at > 41:
                yield replace(event, at=at + slower, began=began + slower)
            case _:
                yield replace(event, at=event.at + slower) if event.at > 41 else event


def _log(run: Path, events: Iterable[AnyEvent]) -> None:
    with EventLog(run) as log:
        for event in events:
            log.append(event)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "reports"
    keep(folder, "2026-10-05", commit="b" * 40)
    keep(folder, "2026-10-20", "lost")
    keep(folder, "2026-11-23", slower=4.0)
    keep(folder, "2026-11-24", scenario="pod-kill")
    return folder


def said(*arguments: str, code: int = 0) -> str:
    result = dr(*arguments)
    assert result.exit_code == code, result.output
    return result.output


def test_every_report_of_a_run_is_beside_its_events(runs: Path) -> None:
    run = runs / "2026-11-24-080000-pod-kill"
    assert {path.name for path in run.iterdir()} == {EVENTS, *NAMES}
    assert json.loads((run / "report.json").read_bytes())["gameday"]["verdict"] == "met"
    assert ET.fromstring((run / "junit.xml").read_bytes()).tag == "testsuites"
    parsed: Any = parser.text_string_to_metric_families
    assert list(parsed((run / "metrics.prom").read_text()))
    assert json.loads((run / "trace.json").read_bytes())["traceEvents"]


def test_a_run_is_found_by_its_folder_its_name_the_start_of_one_and_latest(runs: Path) -> None:
    at = ("--reports", str(runs))
    for run in (str(runs / "2026-11-24-080000-pod-kill"), "2026-11-24-080000-pod-kill", "2026-11-24", "latest"):
        assert "2026-11-24-080000-pod-kill" in said("show", run, *at)


def test_a_sample_that_is_kept_beside_the_runs_is_never_the_latest(runs: Path) -> None:
    (runs / "2026-10-20-080000-cluster-removed").rename(runs / "sample")
    assert records.find("latest", runs).name == "2026-11-24-080000-pod-kill"


@pytest.mark.parametrize(
    ("run", "error", "remedy"),
    [
        ("2026-1", "'2026-1' fits 4 runs", "write more of the name"),
        ("2025", "holds no run '2025'", "the latest are"),
    ],
)
def test_a_run_that_is_not_clear_is_refused_with_those_there_are(runs: Path, run: str, error: str, remedy: str) -> None:
    output = said("show", run, "--reports", str(runs), code=2)
    assert error in output
    assert remedy in output


def test_without_any_run_the_error_says_where_none_is(tmp_path: Path) -> None:
    assert f"{tmp_path} holds no runs" in said("show", "--reports", str(tmp_path), code=2)
    assert "no runs yet" in said("list", "--reports", str(tmp_path))


@pytest.mark.parametrize("form", ["json", "junit", "markdown"])
def test_show_gives_what_the_file_of_that_form_holds(runs: Path, form: str) -> None:
    name = {"json": "report.json", "junit": "junit.xml", "markdown": "report.md"}[form]
    file = runs / "2026-11-23-080000-cluster-removed" / name
    assert said("show", "2026-11-23", "--reports", str(runs), "-o", form) == file.read_text()


def test_the_list_has_every_run_oldest_first_also_one_that_was_killed(runs: Path) -> None:
    killed = runs / "2026-11-22-080000-node-loss"
    killed.mkdir()
    _log(killed, _changed(gameday("interrupted"), "2026-11-22", "node-loss", 0.0, "a" * 40, killed.name))
    found = json.loads(said("list", "--reports", str(runs), "-o", "json"))["runs"]
    assert [(row["time"][:10], row["verdict"]) for row in found] == [
        ("2026-10-05", "met"),
        ("2026-10-20", "missed"),
        ("2026-11-22", "interrupted"),
        ("2026-11-23", "met"),
        ("2026-11-24", "met"),
    ]
    assert len(said("list", "--reports", str(runs)).splitlines()) == 5
    assert len(said("list", "--reports", str(runs), "--scenario", "pod-kill").splitlines()) == 1


def test_two_runs_stand_side_by_side_with_their_ratios(runs: Path) -> None:
    output = said("compare", "2026-10-05", "2026-11-23", "--reports", str(runs))
    rows = {line[:30].strip(): line[30:].split() for line in output.splitlines()}
    assert rows["commit"] == ["b" * 9, "a" * 9]
    assert rows["recovery"] == ["31s", "35s", "1.13×"]
    assert rows["part restore"][-1] == "1.00×"
    assert rows["RTO"][0] == "✓"
    assert len(json.loads(said("compare", "2026-10-05", "latest", "--reports", str(runs), "-o", "json"))["runs"]) == 2


def test_the_trend_keeps_runs_that_were_given_up(runs: Path) -> None:
    output = said("trend", "cluster-removed", "--reports", str(runs))
    assert "n=3, 1 given up" in output
    assert "too few runs to tell a regression" in output


def test_a_scenario_that_never_ran_is_refused_with_those_that_did(runs: Path) -> None:
    assert "there are cluster-removed, pod-kill" in said("trend", "nothing", "--reports", str(runs), code=2)


@pytest.mark.parametrize(("slower", "code"), [(10.0, 1), (0.0, 0)])
def test_a_regression_after_a_commit_is_the_exit_code_and_noise_is_not(
    tmp_path: Path, slower: float, code: int
) -> None:
    for number in range(12):
        day = (date(2026, 10, 1) + timedelta(days=number)).isoformat()
        noise = 2.0 + 1.5 * math.sin(7.0 * number)
        after = number >= 6
        keep(tmp_path, day, slower=noise + (slower if after else 0.0), commit=("b" if after else "a") * 40)
    output = said("trend", "cluster-removed", "--reports", str(tmp_path), code=code)
    assert ("✗ a regression" in output) == bool(code)
    found = json.loads(said("trend", "cluster-removed", "--reports", str(tmp_path), "-o", "json", code=code))
    assert (found["split"], found["before"]["n"], found["after"]["n"]) == ("b" * 9, 6, 6)
    other = said("trend", "cluster-removed", "--reports", str(tmp_path), "--split", "2026-10-12", "-o", "json")
    assert json.loads(other)["before"]["n"] == 11


def test_runs_on_different_clusters_are_no_regression_of_each_other(tmp_path: Path) -> None:
    for number in range(12):
        day = (date(2026, 10, 1) + timedelta(days=number)).isoformat()
        noise = 2.0 + 1.5 * math.sin(7.0 * number)
        target, commit = ("slow", "b" * 40) if number >= 6 else ("fast", "a" * 40)
        keep(tmp_path, day, slower=noise + (10.0 if target == "slow" else 0.0), commit=commit, target=target)
    output = said("trend", "cluster-removed", "--reports", str(tmp_path))
    assert "cluster-removed on fast  6 runs" in output
    assert "cluster-removed on slow  6 runs" in output
    assert "nothing to compare" in output
    found = json.loads(said("trend", "cluster-removed", "--reports", str(tmp_path), "-o", "json"))
    assert (found["target"], [other["target"] for other in found["others"]]) == ("slow", ["fast"])


def test_throw_away_clusters_are_alike_and_others_with_a_number_are_not() -> None:
    row = Row("r", "2026-10-01", "gameday", "s", "t", "met")
    names = (("dr-gameday-71", True), ("dr-gameday-4", True), ("dr-shop-1", True), ("dr-gameday-4", False))
    rows = [replace(row, target=name, embedded=embedded) for name, embedded in names]
    found = {where: len(own) for where, own in by_target(rows).items()}
    assert found == {"dr-gameday": 2, "dr-shop-1": 1, "dr-gameday-4": 1}


def test_blame_names_what_took_longest_first(runs: Path) -> None:
    lines = said("blame", "2026-11-23", "--reports", str(runs)).splitlines()
    assert "StatefulSet shop/db" in lines[0]
    assert json.loads(said("blame", "--reports", str(runs), "-o", "json"))["steps"][0]["seconds"] == 14.7


def test_the_chain_is_shown_last_first_with_what_halving_a_link_saves(runs: Path) -> None:
    lines = said("critical-chain", "2026-11-23", "--reports", str(runs)).splitlines()
    assert [line.split(" @")[0] for line in lines] == ["Deployment shop/web", "StatefulSet shop/db", "Namespace shop"]
    assert "halving it saves 7.3s" in lines[1] or "halving it saves 7.4s" in lines[1]
    links = json.loads(said("critical-chain", "2026-11-23", "--reports", str(runs), "-o", "json"))["chain"]
    assert [link["object"] for link in links] == ["Namespace shop", "StatefulSet shop/db", "Deployment shop/web"]


def test_a_record_as_it_was_written_verifies(runs: Path) -> None:
    output = said("verify", "--reports", str(runs))
    assert output.startswith("✓ 2026-11-24-080000-pod-kill: ")
    assert json.loads(said("verify", "--reports", str(runs), "-o", "json"))["verified"] is True


def test_a_changed_line_is_named_and_is_the_exit_code(runs: Path) -> None:
    path = runs / "2026-11-24-080000-pod-kill" / EVENTS
    lines = path.read_bytes().splitlines(keepends=True)
    number = next(n for n, line in enumerate(lines, 1) if b"refused" in line)
    lines[number - 1] = lines[number - 1].replace(b'"passed":false', b'"passed":true')
    path.write_bytes(b"".join(lines))
    output = said("verify", "--reports", str(runs), code=1)
    assert f"{EVENTS}:{number}  was changed" in output
    found = json.loads(said("verify", "--reports", str(runs), "-o", "json", code=1))
    assert {"file": EVENTS, "line": number} in [{k: f[k] for k in ("file", "line")} for f in found["faults"]]


@pytest.mark.parametrize("without", [(), ("report.json",), (HISTORY,)])
def test_an_end_that_was_cut_off_shows_by_what_was_kept_elsewhere(runs: Path, without: tuple[str, ...]) -> None:
    run = runs / "2026-11-24-080000-pod-kill"
    for name in without:
        (runs / name if name == HISTORY else run / name).unlink()
    path = run / EVENTS
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    assert "it is not what the run ended with" in said("verify", "--reports", str(runs), code=1)


def test_figures_that_were_made_better_afterwards_are_named(runs: Path) -> None:
    report = runs / "2026-10-20-080000-cluster-removed" / "report.json"
    report.write_bytes(report.read_bytes().replace(b'"verdict": "missed"', b'"verdict": "met"'))
    output = said("verify", "2026-10-20", "--reports", str(runs), code=1)
    assert 'report.json  gameday.verdict is "met", the events say "missed"' in output


def test_a_row_of_the_history_that_was_changed_is_named(runs: Path) -> None:
    path = runs / HISTORY
    path.write_bytes(path.read_bytes().replace(b'"scenario":"pod-kill"', b'"scenario":"all-is-well"'))
    output = said("verify", "--reports", str(runs), code=1)
    assert 'scenario is "all-is-well", the events say "pod-kill"' in output


def test_a_head_that_was_forged_in_one_place_only_is_named_there(runs: Path) -> None:
    report = runs / "2026-11-24-080000-pod-kill" / "report.json"
    head = json.loads(report.read_bytes())["head"]
    report.write_bytes(report.read_bytes().replace(head.encode(), b"f" * 64))
    assert "report.json  names another head" in said("verify", "--reports", str(runs), code=1)


def test_what_cannot_be_checked_is_said(runs: Path) -> None:
    (runs / "2026-11-24-080000-pod-kill" / "report.json").unlink()
    (runs / HISTORY).unlink()
    assert "whether the end was cut off cannot be seen" in said("verify", "--reports", str(runs))


@pytest.mark.parametrize("harm", [b"{", b"[]", b"\xff", b"null", b'{"head": 5, "gameday": []}'])
def test_a_broken_report_is_a_fault_and_no_traceback(runs: Path, harm: bytes) -> None:
    (runs / "2026-11-24-080000-pod-kill" / "report.json").write_bytes(harm)
    assert "report.json" in said("verify", "--reports", str(runs), code=1)


def test_evidence_has_the_runs_of_the_period_with_deviations_follow_up_and_what_is_stale(runs: Path) -> None:
    todo = runs / "2026-10-20-080000-cluster-removed" / "follow-up.yaml"
    todo.write_text("- {what: pin the image, owner: ada, due: 2026-11-01, retest: 2026-11-15}\n")
    at = ("--reports", str(runs))
    found = json.loads(said("evidence", "--period", "2026-Q4", *at, "--scenario", "zone-loss", "-o", "json"))
    assert [run["verified"] for run in found["runs"]] == [True] * 4
    assert found["runs"][1]["deviations"][0] == "not recovered within 30 s"
    assert [(a["what"], a["due"], a["retested"]) for a in found["followUp"]] == [
        ("pin the image", "2026-11-01", "2026-11-23")
    ]
    assert [(s["scenario"], s["days"]) for s in found["staleness"]] == [
        ("zone-loss", None),
        ("cluster-removed", 38),
        ("pod-kill", 37),
    ]
    assert "# Evidence for recovery" in said("evidence", "--period", "2026-10", *at, "-o", "markdown")
    assert "2 runs, 1 met, 2 on simulated clusters" in said("evidence", "--period", "2026-10", *at)


def test_evidence_names_a_record_that_was_changed(runs: Path) -> None:
    path = runs / "2026-10-05-080000-cluster-removed" / EVENTS
    path.write_bytes(path.read_bytes().replace(b"refused", b"replied", 1))
    assert "record NOT verified: events.jsonl:" in said("evidence", "--period", "2026", "--reports", str(runs))


def test_a_follow_up_file_that_is_wrong_is_said_and_stops_nothing(runs: Path) -> None:
    todo = runs / "2026-10-20-080000-cluster-removed" / "follow-up.yaml"
    for content in ("- {what: x}\n", "a: [\n", "- {what: x, owner: y, duo: z}\n", ""):
        todo.write_text(content)
        actions, wrong = records.follow_up(todo.parent)
        assert actions == ()
        assert bool(wrong) == bool(content)
    todo.write_text("- {what: x}\n")
    assert "follow-up.yaml" in dr("evidence", "--period", "2026-Q4", "--reports", str(runs)).stderr


def test_what_is_no_period_is_refused_with_examples(runs: Path) -> None:
    assert "write 2026-Q4" in said("evidence", "--period", "last year", "--reports", str(runs), code=2)


def test_after_a_repeated_run_the_answer_sums_them_up(runs: Path) -> None:
    folders = [runs / "2026-10-05-080000-cluster-removed", runs / "2026-11-23-080000-cluster-removed"]
    answer = reports.after(folders, "text", detail=False)
    output = "\n".join("".join(part for part, _ in line) for line in answer.lines)
    assert "n=2: min 31s, median 33s, max 35s" in output
    assert output.endswith(f"Report: {folders[-1] / 'report.html'}")
    assert answer.exit_code == 0
    assert reports.after([*folders, runs / "2026-10-20-080000-cluster-removed"], "json", detail=False).exit_code == 1


def test_the_history_is_written_for_prometheus_in_one_piece(tmp_path: Path) -> None:
    history.add(
        tmp_path, Row("run-1", "2026-11-23T08:00:00+00:00", "gameday", "pod-kill", "A pod dies", "met", rta=2.0)
    )
    file = tmp_path / "dr.prom"
    words = ["report", "metrics", "--reports", str(tmp_path), "--stale", "pod-kill=90"]
    done = CliRunner().invoke(main, [*words, "--textfile", str(file)])
    assert done.exit_code == 0, done.output
    assert file.read_text() == CliRunner().invoke(main, words).output
    assert 'dr_scenario_stale_after_seconds{scenario="pod-kill"} 7776000.0' in file.read_text()
    assert not list(tmp_path.glob(".dr.prom*")), "nothing half written is left"
    assert CliRunner().invoke(main, ["report", "metrics", "--stale", "pod-kill"]).exit_code == 2
