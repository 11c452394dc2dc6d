"""Evidence of a period: every run of it, what deviated, what is left to do, and which scenario nobody exercised."""

from __future__ import annotations

import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dr.core.evidence import Evidence, Period, evidence, period
from dr.core.gameday import FollowUp
from dr.core.history import Outcome, Row
from dr.report.evidence import data, markdown

Q4 = Period(date(2026, 10, 1), date(2026, 12, 31))


def row(
    day: str, scenario: str = "pod-kill", verdict: str = "met", rta: float | None = 10.0, promised: float = 60.0
) -> Row:
    met = rta is not None and rta <= promised
    return Row(
        run=f"{day}-{scenario}",
        time=f"{day}T08:00:00.000+00:00",
        kind="gameday",
        scenario=scenario,
        title=f"The {scenario} exercise",
        verdict=verdict,
        repo="shop",
        commit="0123456789abcdef",
        target="prod",
        rta=rta,
        censored=None if rta is not None else 300.0,
        objectives=(Outcome("rto", "", promised, rta, met),),
        head="a" * 64,
        folder=f"{day}-{scenario}",
    )


def found(*rows: Row, actions: dict[str, list[FollowUp]] | None = None, known: tuple[str, ...] = ()) -> Evidence:
    return evidence(rows, Q4, actions or {}, {r.run: () for r in rows}, known)


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("2026", "2026-01-01", "2026-12-31"),
        ("2026-Q1", "2026-01-01", "2026-03-31"),
        ("2026-Q4", "2026-10-01", "2026-12-31"),
        ("2028-02", "2028-02-01", "2028-02-29"),
        ("2026-10-05", "2026-10-05", "2026-10-05"),
        ("2026-10-01..2026-12-31", "2026-10-01", "2026-12-31"),
        ("2025-Q4..2026-Q1", "2025-10-01", "2026-03-31"),
    ],
)
def test_a_period_is_what_people_write(text: str, since: str, until: str) -> None:
    assert period(text) == Period(date.fromisoformat(since), date.fromisoformat(until))


@pytest.mark.parametrize("text", ["", "Q4", "2026-Q5", "2026-13", "2026-12..2026-01", "..", "last year", "0000"])
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        period(text)


def test_the_first_and_the_last_day_of_a_period_count() -> None:
    days = ("2026-09-30", "2026-10-01", "2026-12-31", "2027-01-01")
    told = found(*(row(day) for day in days))
    assert [entry.row.time[:10] for entry in told.entries] == ["2026-10-01", "2026-12-31"]


@pytest.mark.parametrize(
    ("changed", "deviation"),
    [
        (row("2026-10-02", verdict="missed", rta=90.0), "RTO missed: 90.0 s, promised 60 s"),
        (row("2026-10-02", verdict="missed", rta=None), "not recovered within 300 s"),
        (row("2026-10-02", verdict="aborted", rta=None), "aborted"),
        (row("2026-10-02", verdict="interrupted", rta=None), "interrupted"),
        (row("2026-10-02", verdict="not begun", rta=None), "not begun"),
        (replace(row("2026-10-02"), impact=False), "no impact"),
        (replace(row("2026-10-02", verdict="missed")), "recovered, but not clean"),
    ],
)
def test_every_way_in_which_a_run_was_not_as_planned_is_a_deviation(changed: Row, deviation: str) -> None:
    (entry,) = found(changed).entries
    assert any(said.startswith(deviation) for said in entry.deviations), entry.deviations


def test_a_run_as_planned_has_no_deviation() -> None:
    assert found(row("2026-10-02")).entries[0].deviations == ()


def test_a_scenario_that_never_met_its_promise_stands_first_and_the_stalest_next() -> None:
    told = found(
        row("2026-11-01", "fresh"),
        row("2025-12-31", "old"),
        row("2026-11-02", "broken", verdict="missed", rta=None),
        row("2027-02-01", "later"),
        known=("never", "fresh"),
    )
    assert [(s.scenario, s.days, s.runs) for s in told.staleness] == [
        ("broken", None, 1),
        ("never", None, 0),
        ("old", 365, 1),
        ("fresh", 60, 1),
    ]


def test_follow_up_stays_open_until_its_scenario_is_met_again() -> None:
    todo = FollowUp("pin the image", "ada", "2026-10-20", "2026-11-01")
    missed = row("2026-10-02", verdict="missed", rta=None)
    told = found(missed, actions={missed.run: [todo]})
    assert [(a.retested, a.overdue) for a in told.actions] == [("", True)]
    told = found(missed, row("2026-12-01"), actions={missed.run: [todo]})
    assert [(a.retested, a.overdue) for a in told.actions] == [("2026-12-01", False)]


def test_what_an_earlier_period_left_to_do_is_not_forgotten() -> None:
    before = row("2026-08-01", verdict="missed", rta=None)
    todo = {before.run: [FollowUp("order disks", "grace")]}
    assert [a.action.what for a in found(before, actions=todo).actions] == ["order disks"]
    assert found(before, row("2026-09-01"), actions=todo).actions == ()


def test_recovery_by_service_gives_the_worst_and_a_run_that_never_recovered_is_worse_than_any() -> None:
    told = found(row("2026-10-01", rta=10.0), row("2026-10-02", rta=50.0), row("2026-10-03", rta=20.0))
    (service,) = told.services
    assert (service.runs, service.missed, service.worst, service.latest) == (3, 0, 50.0, 20.0)
    (service,) = found(row("2026-10-01"), row("2026-10-02", verdict="missed", rta=None)).services
    assert (service.missed, service.worst, service.latest) == (1, None, None)


def test_a_record_that_does_not_verify_or_is_gone_is_named() -> None:
    bad, gone = row("2026-10-01"), row("2026-10-02")
    told = evidence([bad, gone], Q4, {}, {bad.run: ("events.jsonl:5 was changed",)})
    assert [(e.verified, e.faults) for e in told.entries] == [
        (False, ("events.jsonl:5 was changed",)),
        (False, ("its events are gone",)),
    ]
    assert b"NOT verified: events.jsonl:5 was changed" in markdown(told)


def test_the_document_claims_evidence_and_never_compliance() -> None:
    content = markdown(found(row("2026-10-01"), replace(row("2026-10-02"), embedded=True)))
    assert content.startswith(b"# Evidence for recovery, 2026-10-01 to 2026-12-31")
    assert b"complian" not in content
    assert b"1 of them ran on embedded clusters" in content
    assert b"| embedded cluster (simulated) |" in content


def test_a_period_without_runs_says_so() -> None:
    assert b"0 runs of 0 scenarios" in markdown(found())
    assert json.loads(data(found()))["runs"] == []


@given(st.permutations([row(f"2026-1{n % 3}-0{n + 1}", f"s{n % 4}") for n in range(8)]))
def test_the_order_of_the_rows_changes_nothing(rows: list[Row]) -> None:
    told = found(*rows)
    assert data(told) == data(found(*sorted(rows, key=lambda r: r.time)))
    assert markdown(told) == markdown(found(*sorted(rows, key=lambda r: r.time)))


@given(name=st.text(max_size=30))
def test_no_name_breaks_the_tables(name: str) -> None:
    told = replace(row("2026-10-01"), scenario=name, title=name, repo=name, run=name)
    content = markdown(found(told, actions={name: [FollowUp(name, name, name, name)]})).decode()
    rows = [line for line in content.split("\n") if line.startswith("| ")]
    assert all(line.endswith(" |") for line in rows)
    assert len(rows) == 8
