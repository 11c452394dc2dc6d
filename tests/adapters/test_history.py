"""The history: what was added is there, whatever becomes of the index or of a single line."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dr.adapters import history
from dr.adapters.history import HISTORY, INDEX, add, problems, rebuild, rows
from dr.core.errors import StoreError
from dr.core.history import Outcome, Point, Row


def row(number: int, scenario: str = "pod-kill", time: str = "") -> Row:
    return Row(
        run=f"run-{number}",
        time=time or f"2026-11-{number:02}T08:00:00.000+00:00",
        kind="gameday",
        scenario=scenario,
        title="A pod dies",
        verdict="met",
        rta=float(number),
        parts={"detect": 1.5},
        objectives=(Outcome("rto", "", 60.0, float(number), met=True),),
    )


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    for number in (3, 1, 2):
        add(tmp_path, row(number, "node-loss" if number == 2 else "pod-kill"))
    return tmp_path


def test_runs_come_back_whole_and_oldest_first(reports: Path) -> None:
    assert rows(reports) == (row(1), row(2, "node-loss"), row(3))
    assert problems(reports) == ()


def test_runs_are_chosen_by_scenario_and_period_with_both_ends(reports: Path) -> None:
    assert [r.run for r in rows(reports, "pod-kill")] == ["run-1", "run-3"]
    assert [r.run for r in rows(reports, since="2026-11-02", until="2026-11-02")] == ["run-2"]
    assert [r.run for r in rows(reports, until="2026-11")] == ["run-1", "run-2", "run-3"]
    assert rows(reports, "no-such") == ()


def test_the_newest_runs_are_shown_where_all_are_too_many(reports: Path) -> None:
    assert [r.run for r in rows(reports, limit=2)] == ["run-2", "run-3"]
    assert [r.run for r in rows(reports, limit=1, skip=1)] == ["run-2"]
    assert history.count(reports) == 3
    assert history.count(reports, "pod-kill") == 2


def test_each_scenario_on_each_target_has_its_last_run_and_its_last_good_one(reports: Path) -> None:
    add(reports, replace(row(9), verdict="missed", target="b"))
    add(reports, replace(row(8), verdict="missed"))
    assert [(r.scenario, r.target, r.run) for r in history.latest(reports)] == [
        ("node-loss", "", "run-2"),
        ("pod-kill", "", "run-8"),
        ("pod-kill", "b", "run-9"),
    ]
    known = {(g.scenario, g.target): (g.runs, g.last[:10], g.met[:10]) for g in history.groups(reports)}
    assert known["pod-kill", ""] == (3, "2026-11-08", "2026-11-03")
    assert known["pod-kill", "b"] == (1, "2026-11-09", "")


def test_runs_are_chosen_by_verdict_and_by_having_restored_something(reports: Path) -> None:
    add(reports, replace(row(4), verdict="missed", rta=None, censored=9.0, commit="c", folder="f"))
    add(reports, replace(row(5), objects=7, objectives=()))
    assert [r.run for r in rows(reports, verdict="missed")] == ["run-4"]
    assert [r.run for r in rows(reports, restored=True)] == ["run-5"]
    assert (history.count(reports, verdict="missed"), history.count(reports, restored=True)) == (1, 1)


def test_a_trend_is_told_by_the_index_as_by_the_rows(reports: Path) -> None:
    add(reports, replace(row(4), verdict="missed", rta=None, censored=9.0, commit="c", folder="f"))
    add(reports, replace(row(5), target="b", objectives=()))
    found = history.points(reports)
    assert [p.run for p in found] == ["run-2", "run-1", "run-3", "run-4", "run-5"]
    assert found == tuple(
        Point(r.scenario, r.target, r.time, r.run, r.verdict, r.folder, r.commit, r.rta, r.censored, r.promised)
        for r in sorted(rows(reports), key=lambda r: (r.scenario, r.target, r.time))
    )
    assert [p.promised for p in history.points(reports, "pod-kill", "b")] == [None]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 6), st.booleans()), max_size=8))
def test_what_is_added_between_questions_is_seen_by_the_next(tmp_path: Path, adds: list[tuple[int, bool]]) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    known: dict[str, Row] = {}
    for number, asked in adds:
        add(folder, row(number))
        known[f"run-{number}"] = row(number)
        if asked:
            assert {r.run: r for r in rows(folder)} == known
    assert {r.run: r for r in rows(folder)} == known


def test_no_history_is_no_error_and_leaves_no_file(tmp_path: Path) -> None:
    assert rows(tmp_path / "none") == ()
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_was_resumed_counts_once_with_its_later_row(reports: Path) -> None:
    add(reports, row(1, time="2026-11-09T00:00:00+00:00"))
    assert [r.run for r in rows(reports)] == ["run-2", "run-3", "run-1"]


@pytest.mark.parametrize("harm", ["missing", "damaged", "older", "foreign", "not a database", "a folder"])
def test_an_index_that_cannot_be_trusted_is_made_anew(reports: Path, harm: str) -> None:
    index = reports / INDEX
    rebuild(reports)
    content = index.read_bytes()
    if harm == "damaged":
        index.write_bytes(content[: len(content) // 2] + b"\xff" * (len(content) - len(content) // 2))
    elif harm == "older":
        add(reports, row(4))
    elif harm == "not a database":
        index.write_bytes(b"hello")
    else:
        index.unlink()
    if harm == "foreign":
        subprocess.run(
            [sys.executable, "-c", f"import sqlite3; sqlite3.connect({str(index)!r}).execute('PRAGMA user_version=9')"],
            check=True,
        )
    if harm == "a folder":
        index.mkdir()
    expected = (row(1), row(2, "node-loss"), row(3), *([row(4)] if harm == "older" else []))
    assert rows(reports) == expected
    assert history._current(index, (reports / HISTORY).read_bytes()) is (harm != "a folder")
    assert sorted(p.name for p in reports.iterdir()) == [HISTORY, INDEX]


def test_an_index_that_is_sound_is_left_as_it_is(reports: Path) -> None:
    rows(reports)
    before = (reports / INDEX).stat().st_ino
    assert rows(reports)
    assert (reports / INDEX).stat().st_ino == before


def test_a_broken_line_costs_itself_and_is_named(reports: Path) -> None:
    path = reports / HISTORY
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b'{"run": \xff 1}\n' + b"".join(lines[1:]))
    assert [r.run for r in rows(reports)] == ["run-1", "run-2", "run-3"]
    assert [(p.where.line, p.code) for p in problems(reports)] == [(2, "unreadable")]


def test_a_half_written_row_does_not_take_the_next_one_with_it(reports: Path) -> None:
    path = reports / HISTORY
    path.write_bytes(path.read_bytes() + b'{"run":"run-9","ti')
    add(reports, row(4))
    assert [r.run for r in rows(reports)] == ["run-1", "run-2", "run-3", "run-4"]
    assert [p.where.line for p in problems(reports)] == [4]


def test_rows_that_are_added_at_once_are_all_there(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from dr.adapters.history import add; from dr.core.history import Row\n"
        "for n in range(20): add(Path(sys.argv[1]), Row(sys.argv[2] + str(n), 't' * 9000, 'gameday', 's', 't', 'met'))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    writers = [subprocess.Popen([*command, name]) for name in ("a", "b", "c")]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert len(rows(tmp_path)) == 60
    assert problems(tmp_path) == ()


def test_where_nothing_can_be_written_the_error_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=HISTORY):
        add(tmp_path / "file", row(1))


@given(st.binary(max_size=300))
def test_no_content_of_the_file_gives_a_traceback(content: bytes) -> None:
    broken = [read for _, read in history._decoded(content.split(b"\n")) if isinstance(read, str)]
    assert len(broken) <= content.count(b"\n") + 1
