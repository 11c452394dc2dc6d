"""What watches a platform's recovery: the metrics of the history, and rules and a dashboard that ask for nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from msgspec.structs import replace
from prometheus_client import parser as older
from prometheus_client.openmetrics import parser

from dr.core.herd import Herded, Member
from dr.core.history import Group
from dr.report.history_metrics import history_metrics
from tests.report.test_metrics import ROW

FOLDER = Path(__file__).parents[2] / "monitoring"
NEVER = replace(ROW, scenario='node "loss"\n', verdict="missed", rta=None, lost=None, objectives=())
GROUPS = (
    Group("pod-kill", "dr-a", 7, ROW.time, "2026-11-20T00:00:00+00:00"),
    Group(NEVER.scenario, "dr-a", 1, ROW.time, ""),
)
LOST = tuple(
    Member(cluster=f"c{n}", scenario="pod-kill", wave=0, state=state)
    for n, state in enumerate(("met", "missed", "failed", "skipped"))
)
HERD = Herded(
    herd="pods", run="r", time=ROW.time, title="t", waves=((),), budget=1, spent=2, verdict="stopped", members=LOST
)
LIMITS = {"pod-kill": 90 * 86400.0, "never run": 60.0}
CONTENT = history_metrics([ROW, NEVER], GROUPS, LIMITS, undelivered=2, herds=[HERD])


def families(read: Any, content: bytes = CONTENT) -> dict[str, Any]:
    return {family.name: family for family in read(content.decode())}


def values(name: str) -> dict[tuple[str, ...], float]:
    found = families(parser.text_string_to_metric_families)[name]
    return {tuple(sample.labels.values()): sample.value for sample in found.samples}


def test_the_history_is_read_alike_by_both_formats_of_prometheus() -> None:
    new, old = families(parser.text_string_to_metric_families), families(older.text_string_to_metric_families)
    assert new.keys() == old.keys()
    for name, family in new.items():
        assert family.type == old[name].type == "gauge"
        assert [(s.labels, s.value) for s in family.samples] == [(s.labels, s.value) for s in old[name].samples]


def test_the_last_run_of_each_scenario_can_be_watched() -> None:
    assert values("dr_last_run_met") == {("pod-kill", "dr-a"): 1.0, (NEVER.scenario, "dr-a"): 0.0}
    assert values("dr_last_recovery_seconds") == {("pod-kill", "dr-a"): 12.5}
    assert values("dr_last_objective_seconds") == {("pod-kill", "dr-a", "rto"): 60.0, ("pod-kill", "dr-a", "rpo"): 1.0}
    assert values("dr_runs")["pod-kill", "dr-a"] == 7.0
    assert values("dr_undelivered_notices") == {(): 2.0}


def test_a_spent_budget_of_a_herd_can_be_watched() -> None:
    assert values("dr_herd_spent")["pods",] > values("dr_herd_budget")["pods",]
    assert values("dr_herd_stopped") == {("pods",): 1.0}
    assert values("dr_herd_members")["pods", "skipped"] == 1.0
    assert sum(values("dr_herd_members").values()) == len(LOST)


def test_a_herd_that_its_canaries_stopped_within_the_herds_budget_is_warned_of() -> None:
    canary = history_metrics(
        [], (), {}, herds=[replace(HERD, budget=5, spent=1), replace(HERD, herd="b", verdict="met")]
    )
    found = families(parser.text_string_to_metric_families, canary)
    assert [(s.labels["herd"], s.value) for s in found["dr_herd_stopped"].samples] == [("pods", 1.0), ("b", 0.0)]
    (rule,) = [p.values[0] for p in asked() if p.id == "DisasterRecoveryHerdBudgetSpent"]
    assert "dr_herd_stopped == 1" in rule
    assert "dr_herd_budget" not in rule


def test_a_scenario_that_was_never_met_or_never_run_is_as_stale_as_can_be() -> None:
    met = values("dr_scenario_met_timestamp_seconds")
    assert met["pod-kill",] == 1795132800.0
    assert met[NEVER.scenario,] == met["never run",] == 0.0
    assert values("dr_scenario_stale_after_seconds") == {("never run",): 60.0, ("pod-kill",): 7776000.0}


def asked() -> Iterator[Any]:
    """Yield every expression that a rule or a panel asks, by where it stands."""
    for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            yield pytest.param(rule["expr"], id=rule["alert"])
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "grafana-dashboard.json").read_text())
    return found


@pytest.mark.parametrize("expression", list(asked()))
def test_no_rule_and_no_panel_asks_for_what_is_not_there(expression: str) -> None:
    promql_parser.parse(expression)
    known = families(parser.text_string_to_metric_families)
    for name, matchers in re.findall(r"\b(dr_\w+)(?:\{([^}]*)\})?", expression):
        assert name in known
        labels = {label for sample in known[name].samples for label in sample.labels}
        assert set(re.findall(r"(\w+)\s*=~?", matchers)) <= labels
    for words in re.findall(r"\b(?:on|by)\s*\(([^)]*)\)", expression):
        assert set(re.split(r",\s*", words)) <= {"scenario", "target"}


def test_every_metric_is_watched_by_a_rule_or_a_panel() -> None:
    said = " ".join(param.values[0] for param in asked())
    unseen = {name for name in families(parser.text_string_to_metric_families) if name not in said}
    assert unseen == {"dr_last_run_timestamp_seconds"}


def test_every_rule_says_what_to_do() -> None:
    (group,) = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    assert all(rule["annotations"].keys() == {"summary", "action"} for rule in group["rules"])


def test_no_panel_lies_on_another_or_beside_the_page() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert panel["datasource"]["uid"] == "${datasource}"
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]


def test_the_dashboards_choices_are_labels_that_are_there() -> None:
    known = families(parser.text_string_to_metric_families)
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]).groups()  # type: ignore[union-attr]
            assert label in {label for sample in known[name].samples for label in sample.labels}
