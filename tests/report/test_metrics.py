"""Metrics of a run, read back by a real parser: figures with their labels, and no sample for what is not known."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from prometheus_client.openmetrics import parser

from dr.core.events import PlannedProbe
from dr.core.history import Outcome, Row
from dr.core.outages import Outage, ProbeTime
from dr.core.recovery import Recovery, recovery
from dr.report.metrics import metrics
from tests.report.test_gameday_reports import gameday

parsed: Any = parser.text_string_to_metric_families
ROW = Row(
    run="2026-11-23-pod-kill",
    time="2026-11-23T08:00:00.250+00:00",
    kind="gameday",
    scenario="pod-kill",
    title="A pod dies",
    verdict="met",
    repo="shop",
    commit="0123456789abcdef",
    target="dr-a",
    rta=12.5,
    error=0.5,
    rpa=2.0,
    lost=3,
    parts={"detect": 0.5, "verify": 12.0},
    units={"web": 11.25},
    objectives=(Outcome("rto", "", 60.0, 12.5, met=True), Outcome("rpo", "", 1.0, 2.0, met=False)),
)


def samples(content: bytes) -> dict[tuple[str, ...], float]:
    """Return each sample's value by its name and its labels beyond those of the run."""
    assert content.endswith(b"# EOF\n")
    common = {"scenario", "kind", "run", "repo", "commit", "target"}
    return {
        (s.name, *(value for label, value in sorted(s.labels.items()) if label not in common)): s.value
        for family in parsed(content.decode())
        for s in family.samples
    }


def measured() -> Recovery:
    found = recovery(gameday())
    assert found
    return found


def test_every_figure_of_a_run_can_be_scraped() -> None:
    assert samples(metrics(ROW)) == {
        ("dr_run_timestamp_seconds",): 1795420800.25,
        ("dr_run_met",): 1.0,
        ("dr_recovery_seconds",): 12.5,
        ("dr_recovery_error_seconds",): 0.5,
        ("dr_data_loss_seconds",): 2.0,
        ("dr_lost_writes",): 3.0,
        ("dr_objective_seconds", "rto", ""): 60.0,
        ("dr_objective_seconds", "rpo", ""): 1.0,
        ("dr_objective_met", "rto", ""): 1.0,
        ("dr_objective_met", "rpo", ""): 0.0,
        ("dr_part_seconds", "detect"): 0.5,
        ("dr_part_seconds", "verify"): 12.0,
        ("dr_unit_recovery_seconds", "web"): 11.25,
    }


def test_each_sample_names_its_run_and_each_metric_its_unit() -> None:
    families = list(parsed(metrics(ROW).decode()))
    assert all(f.type == "gauge" and f.documentation for f in families)
    assert {f.unit for f in families if f.name.endswith("_seconds")} == {"seconds"}
    labels = families[0].samples[0].labels
    assert (labels["scenario"], labels["run"], labels["commit"]) == ("pod-kill", ROW.run, "0123456789ab")


def test_probes_of_a_gameday_have_their_downtime_and_one_that_is_still_down_has_none() -> None:
    found = measured()
    told = samples(metrics(ROW, found))
    downtime = found.probes[0].downtime
    assert downtime is not None
    assert told["dr_probe_downtime_seconds", "front"] == downtime
    assert told["dr_probe_recovered", "front"] == 1.0
    still = ProbeTime(PlannedProbe("dead", "tcp", "x:1", 1.0, 1.0), 9, 9, (Outage(1.0, 0.0, 8.0, None),), None)
    told = samples(metrics(ROW, replace(found, probes=(still,))))
    assert ("dr_probe_downtime_seconds", "dead") not in told
    assert told["dr_probe_recovered", "dead"] == 0.0


def test_a_run_that_was_given_up_has_no_recovery_time_but_says_after_how_long() -> None:
    told = samples(metrics(replace(ROW, rta=None, censored=300.0, verdict="missed")))
    assert ("dr_recovery_seconds",) not in told
    assert ("dr_recovery_error_seconds",) not in told
    assert told["dr_recovery_censored_seconds",] == 300.0
    assert told["dr_run_met",] == 0.0


def test_where_a_tier_and_a_unit_share_a_name_the_missed_promise_is_told_once() -> None:
    twice = (Outcome("rto", "web", 5.0, 9.0, met=False), Outcome("rto", "web", 60.0, 9.0, met=True))
    for order in (twice, twice[::-1]):
        told = samples(metrics(replace(ROW, objectives=order)))
        assert told["dr_objective_met", "rto", "web"] == 0.0
        assert told["dr_objective_seconds", "rto", "web"] == 5.0


@settings(deadline=None)
@given(name=st.text(max_size=40), unit=st.text(max_size=40), value=st.floats(allow_nan=True, allow_infinity=True))
def test_whatever_a_name_holds_it_comes_back_from_the_parser(name: str, unit: str, value: float) -> None:
    told = list(parsed(metrics(replace(ROW, scenario=name, units={unit: 1.0}, rta=value)).decode()))
    found = next(s for f in told for s in f.samples if s.name == "dr_unit_recovery_seconds")
    assert (found.labels["scenario"], found.labels["unit"]) == (name, unit)
