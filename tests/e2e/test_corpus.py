"""Real config repos: what each is known for is found, and none of them breaks the reading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dr.cli import main

FOLDERS = (
    "argocd-example-apps",
    "billimek-k8s-gitops",
    "flux2-kustomize-helm-example",
    "gitops-istio",
    "k8s-config-repo",
    "k8s-config-repo-2019",
    "kapp-examples",
    "microservices-demo",
    "release-manager-e2e",
)


def dr(*arguments: str, code: int = 0) -> Any:
    """Run a command and return its JSON, or its text where it asked for none."""
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == code, result.output
    return json.loads(result.stdout) if "json" in arguments else result.stdout


def _edges(graph: Any, rule: str = "") -> list[tuple[str, str]]:
    names = [f"{n['ref']['kind']}/{n['ref']['name']}" for n in graph["nodes"]]
    return [(names[e["before"]], names[e["after"]]) for e in graph["edges"] if not rule or e["rule"] == rule]


def _codes(findings: Any, code: str) -> list[Any]:
    return [f for f in findings["diagnostics"] if f["code"] == code]


def test_the_chain_from_the_sealing_controller_to_the_pods_is_shown(corpus: Path) -> None:
    repo = str(corpus / "k8s-config-repo")
    for deployment in ("stats-api", "slack-invite-automation"):
        text = dr("why", repo, "HelmRelease/flux/sealed-secrets", f"Deployment/default/{deployment}")
        names = [line.split("  ")[1].strip() for line in text.splitlines()[1:]]
        assert names == [
            "HelmRelease flux/sealed-secrets",
            "→ SealedSecret default/slack",
            "→ Secret default/slack (made by its controller)",
            f"→ Deployment default/{deployment}",
        ]


def test_the_demo_repo_of_the_field_cannot_come_back_and_each_reason_is_named(corpus: Path) -> None:
    plan = dr("plan", str(corpus / "k8s-config-repo"), "-o", "json")
    assert {"sealing-key", "namespace", "engine"} <= {p["kind"] for p in plan["prerequisites"]}
    assert [f["subject"] for f in _codes(plan, "missing-namespace")] == ["HelmRelease flux/sealed-secrets"]
    assert [f["subject"] for f in _codes(plan, "missing-chart")] == ["HelmRelease default/slack-invite-automation"]
    assert any("letsencrypt-prod" in f["cause"] for f in _codes(plan, "missing-reference"))
    assert {f["subject"].split()[0] for f in _codes(plan, "removed-api")} == {"Deployment", "Ingress"}
    assert any("private key" in f["cause"] for f in _codes(plan, "prerequisite"))
    dr("lint", str(corpus / "k8s-config-repo"), code=1)


def test_the_service_edges_that_only_environments_show_are_all_seen(corpus: Path) -> None:
    graph = dr("graph", str(corpus / "microservices-demo"), "-o", "json")
    edges = [e for e in graph["edges"] if e["rule"] == "service-host"]
    assert len(edges) == 17
    assert {e["strength"] for e in edges} == {"soft"}


def test_every_external_secret_comes_after_the_release_that_serves_it(corpus: Path) -> None:
    graph = dr("graph", str(corpus / "billimek-k8s-gitops"), "-o", "json")
    served = {
        after
        for before, after in _edges(graph)
        if before == "HelmRelease/external-secrets" and after.startswith("ExternalSecret/")
    }
    assert len(served) == sum(1 for n in graph["nodes"] if n["ref"]["kind"] == "ExternalSecret") == 36


def test_no_reference_of_the_large_examples_is_broken_by_the_order(corpus: Path) -> None:
    plan = dr("plan", str(corpus / "kapp-examples"), "-o", "json")
    assert not [c for c in plan["cycles"] if c["deadlock"]]
    graph = dr("graph", str(corpus / "kapp-examples"), "-o", "json")
    place = {json.dumps(s["ref"], sort_keys=True): i for i, s in enumerate(plan["steps"])}
    checked = 0
    for edge in graph["edges"]:
        before, after = (
            place.get(json.dumps(graph["nodes"][edge[end]]["ref"], sort_keys=True)) for end in ("before", "after")
        )
        if before is not None and after is not None and edge["basis"] == "reference" and edge["strength"] != "soft":
            assert before < after, edge
            checked += 1
    assert checked > 450


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("command", ["graph", "plan", "lint"])
def test_every_command_answers_for_every_repo(corpus: Path, folder: str, command: str) -> None:
    arguments = [command, str(corpus / folder), "-o", "json", *(["--fail-on", "never"] if command == "lint" else [])]
    assert dr(*arguments)["schemaVersion"] == 1


@pytest.mark.parametrize("folder", FOLDERS)
def test_steps_stand_in_an_order_that_may_be_applied_as_it_is(corpus: Path, folder: str) -> None:
    plan = dr("plan", str(corpus / folder), "-o", "json")
    assert plan["steps"]
    assert all(before < index for index, step in enumerate(plan["steps"]) for before in step["after"])
    assert sorted(i for wave in plan["waves"] for i in wave) == list(range(len(plan["steps"])))
