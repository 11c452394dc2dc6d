"""What forbids an exercise: a missing scope, a pattern, a production context, an expired approval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from dr.core.chaos import configuration, extension
from dr.core.gameday import Approval, BlastRadius, Fault, Gameday, Probe, SteadyState, TargetSpec, Tcp
from dr.core.refusals import refusals

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
NOW = "2026-11-23T10:00:00+00:00"
_ARGUMENTS = ["${namespace}", "${key_namespace}", "${selector}", "${pod_selector}"]
EXPERIMENT: dict[str, Any] = {"title": "kill", "method": [{"provider": {"func": "kill_pods", "arguments": _ARGUMENTS}}]}


def gameday(
    context: str = "staging", approvals: tuple[Approval, ...] = (), *, production: bool = False, **limits: Any
) -> Gameday:
    return Gameday(
        title="t",
        target=TargetSpec(context, "lock", production=production),
        fault=Fault("pod-kill"),
        steady_state=SteadyState((Probe("p", tcp=Tcp("a", 1)),)),
        approvals=approvals,
        blast_radius=BlastRadius(**{"namespaces": ("shop",), **limits}),
    )


def causes(
    day: Gameday, settings: dict[str, Any], experiment: dict[str, Any] = EXPERIMENT, production: tuple[str, ...] = ()
) -> list[str]:
    found = refusals(day, experiment, settings, production, NOW)
    assert all(check.remedy for check in found), "a refusal that does not say what to do"
    return [check.cause for check in found]


def test_an_exercise_within_its_limits_is_not_refused() -> None:
    assert causes(gameday(), {"namespace": "shop", "selector": "app=web"}) == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"namespace": ""}, "`namespace` is empty"),
        ({"namespace": "shop-*"}, "is the pattern shop-*"),
        ({"namespace": "*"}, "is the pattern *"),
        ({"namespace": "kube-system"}, "the cluster's own namespace"),
        ({"namespace": "pay"}, "pay is outside blast_radius.namespaces"),
        ({"key_namespace": "pay"}, "pay is outside blast_radius.namespaces"),
        ({"selector": " "}, "`selector` is empty"),
        ({"pod_selector": ""}, "`pod_selector` is empty"),
    ],
)
def test_a_fault_without_a_clear_scope_is_refused(settings: dict[str, Any], said: str) -> None:
    assert any(said in cause for cause in causes(gameday(), settings))


@pytest.mark.parametrize("function", ["remove_cluster", "lose_etcd", "stop_program"])
def test_a_fault_of_the_whole_cluster_must_be_allowed_in_so_many_words(function: str) -> None:
    experiment = {"method": [{"provider": {"func": function}}]}
    assert any("blast_radius.cluster is not true" in cause for cause in causes(gameday(), {}, experiment))
    assert causes(gameday(cluster=True), {}, experiment) == []


def test_a_context_listed_as_production_is_refused() -> None:
    assert any("listed as production (prod-*)" in c for c in causes(gameday("prod-eu"), {}, production=("prod-*",)))
    assert causes(gameday("staging"), {}, production=("prod-*",)) == []


def test_production_needs_an_approval_that_has_not_expired() -> None:
    day = gameday("prod-eu", production=True)
    assert any("needs an approval" in cause for cause in causes(day, {}, production=("prod-*",)))
    fresh = Approval("Ada", "2026-11-24T00:00:00+01:00", "CHG-1")
    assert causes(gameday("prod-eu", (fresh,), production=True), {}, production=("prod-*",)) == []


@pytest.mark.parametrize(
    ("until", "said"),
    [
        ("2026-11-23T10:59:00+01:00", "expired at"),
        ("2026-11-24T00:00:00", "has no offset"),
        ("next week", "is no time"),
    ],
)
def test_an_approval_that_does_not_hold_stops_the_exercise(until: str, said: str) -> None:
    assert any(said in cause for cause in causes(gameday(approvals=(Approval("Ada", until),)), {}))


def method(module: str, func: str, kind: str = "action", /, **arguments: Any) -> dict[str, Any]:
    provider = {"type": "python", "module": module, "func": func, "arguments": arguments}
    return {"title": "t", "method": [{"type": kind, "name": "it", "provider": provider}]}


PODS, NODES = "chaosk8s.pod.actions", "chaosk8s.node.actions"


@pytest.mark.parametrize(
    ("experiment", "said"),
    [
        (method("dr.chaos.actions", "kill_pods", namespace="payments", selector="app=web"), "payments is outside"),
        (method("dr.chaos.actions", "kill_pods", namespace="${home}", selector="app=web"), "billing is outside"),
        (method("dr.chaos.actions", "kill_pods", namespace="", selector="app=web"), "`namespace` is empty"),
        (method("dr.chaos.actions", "kill_pods", namespace="shop", selector=""), "`selector` is empty"),
        (method(PODS, "terminate_pods", ns="kube-system", all=True), "kube-system is the cluster's own namespace"),
        (method(PODS, "terminate_pods", ns="shop", all=True), "`label_selector` is empty"),
        (method(PODS, "terminate_pods", ns="shop", label_selector=" "), "`label_selector` is empty"),
        (method(PODS, "terminate_pods", label_selector="app=web"), "default is outside"),
        (method(PODS, "terminate_pods", ns=None, label_selector="app=web"), "`ns` is empty"),
        (method(PODS, "delete_pods", ns="shop"), "`label_selector` is empty"),
        (method(NODES, "delete_nodes", all=True), "`label_selector` is empty"),
        (method("chaosk8s.namespace.actions", "delete_namespace", name="payments"), "payments is outside"),
        (
            method("chaosk8s.crd.actions", "apply_from_json", resource={"metadata": {"namespace": "payments"}}),
            "payments is outside",
        ),
        (
            method(
                "chaosk8s.chaosmesh.network.actions", "add_latency", ns="shop", namespaces_selectors=["shop", "pay"]
            ),
            "pay is outside",
        ),
    ],
)
def test_a_scope_that_is_written_into_an_action_is_held_to_the_blast_radius(
    experiment: dict[str, Any], said: str
) -> None:
    found = causes(gameday(), {"home": "billing"}, experiment)
    assert any(said in cause for cause in found), found
    assert causes(gameday(namespaces=()), {"home": "billing"}, experiment), "no list, no fault"


@pytest.mark.parametrize(
    "experiment",
    [
        method("dr.chaos.actions", "kill_pods", namespace="shop", selector="app=web"),
        method(PODS, "terminate_pods", ns="shop", label_selector="app=web", all=True),
        method(PODS, "delete_pods", ns="shop", name="web-1"),
        method(NODES, "drain_nodes", name="node-1"),
        method("chaosk8s.probes", "microservice_available_and_healthy", "probe", ns="elsewhere", name="web"),
    ],
)
def test_an_action_that_says_whom_it_strikes_is_taken(experiment: dict[str, Any]) -> None:
    assert causes(gameday(), {}, experiment) == []


@pytest.mark.parametrize("file", sorted(EXPERIMENTS.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_experiments_that_come_along_stay_within_their_own_limits(file: Path) -> None:
    body = yaml.safe_load(file.read_text())
    says = extension(body, {}, file.name)
    assert says is not None
    day = replace(gameday(), blast_radius=says.limits)
    assert causes(day, configuration(body, {}), body) == []


def test_a_namespace_that_only_the_probes_look_at_needs_no_leave() -> None:
    experiment = {"method": [{"provider": {"func": "kill_pods", "arguments": {"selector": "${selector}"}}}]}
    assert causes(gameday(), {"namespace": "pay", "selector": "a=b"}, experiment) == []
