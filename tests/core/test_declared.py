"""Orders that a team has written down are followed, and compared with what the objects show."""

from __future__ import annotations

from itertools import pairwise

import pytest

from dr.core.edges.declared import parse_dependency
from dr.core.graph import Source, build
from dr.core.model import Graph, Ref, Unit
from tests.core.build import codes, edges, graph, objects


def _flux(*kustomizations: str, contents: dict[str, str]) -> Graph:
    """Return the graph of Flux Kustomizations (YAML of spec by name) and their contents."""
    owners = "\n---\n".join(
        f"apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: {name}, namespace: default}}\nspec: {spec}"
        for name, spec in (entry.split(" ", 1) for entry in kustomizations)
    )
    found = list(objects(owners, unit="clusters", file="clusters.yaml"))
    units = [Unit("clusters", "folder", "")]
    for name, text in contents.items():
        found.extend(objects(text, unit=name, file=f"{name}.yaml"))
        units.append(
            Unit(
                name,
                "Kustomization",
                name,
                owner=Ref("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "default", name),
            )
        )
    return build(Source(tuple(found), tuple(units)))


CONFIG_MAP = "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {0}, namespace: default}}}}"


def test_all_that_depends_on_a_kustomization_waits_for_all_it_applies() -> None:
    done = _flux(
        "infra {wait: true}",
        "apps {dependsOn: [{name: infra}]}",
        contents={"infra": CONFIG_MAP.format("i"), "apps": CONFIG_MAP.format("a")},
    )
    assert ("ConfigMap default/i", "Kustomization default/infra", "ready") in edges(done, "unit")
    assert edges(done, "dependsOn") == {
        ("Kustomization default/infra", "ConfigMap default/a", "ready"),
        ("Kustomization default/infra", "Kustomization default/apps", "ready"),
    }


def test_without_wait_a_kustomization_is_complete_when_its_objects_are_stored() -> None:
    done = _flux("infra {}", contents={"infra": CONFIG_MAP.format("i")})
    assert edges(done, "unit") == {("ConfigMap default/i", "Kustomization default/infra", "exists")}


def test_a_depends_on_that_names_nothing_is_an_error() -> None:
    done = _flux("apps {dependsOn: [{name: ghost}]}", contents={"apps": CONFIG_MAP.format("a")})
    assert [d.where.line for d in done.diagnostics if d.code == "unknown-dependency"] == [4]


def test_kustomizations_that_wait_for_each_other_are_a_deadlock() -> None:
    done = _flux(
        "a {wait: true, dependsOn: [{name: b}]}", "b {wait: true, dependsOn: [{name: a}]}",
        contents={"a": CONFIG_MAP.format("a"), "b": CONFIG_MAP.format("b")},
    )  # fmt: skip
    assert "deadlock" in codes(done)
    assert any(cycle.deadlock for cycle in done.cycles)


def test_a_declared_dependency_that_another_implies_is_called_redundant() -> None:
    pod = "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: default}, spec: {containers: [{name: c, envFrom: [{configMapRef: {name: %s}}]}]}}"
    done = _flux(
        "a {}", "b {dependsOn: [{name: a}]}", "c {dependsOn: [{name: b}, {name: a}]}",
        contents={"a": CONFIG_MAP.format("a"), "b": CONFIG_MAP.format("b") + "\n---\n" + (pod % "a").replace("name: p,", "name: q,"), "c": pod % "b"},
    )  # fmt: skip
    assert [
        (d.subject, "already implied" in d.cause) for d in done.diagnostics if d.code == "redundant-dependency"
    ] == [("Kustomization c", True)]


def test_a_declared_dependency_without_a_visible_reason_is_said_to_be_so() -> None:
    done = _flux(
        "a {}", "b {dependsOn: [{name: a}]}", contents={"a": CONFIG_MAP.format("a"), "b": CONFIG_MAP.format("b")}
    )
    assert ["no reason" in d.cause for d in done.diagnostics if d.code == "redundant-dependency"] == [True]


def test_a_dependency_that_nobody_declared_is_missing() -> None:
    pod = "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: default}, spec: {containers: [{name: c, envFrom: [{configMapRef: {name: b}}]}]}}"
    done = _flux(
        "a {}", "b {dependsOn: [{name: a}]}", "c {dependsOn: [{name: a}]}",
        contents={"a": CONFIG_MAP.format("a"), "b": CONFIG_MAP.format("b"), "c": pod},
    )  # fmt: skip
    assert [d.subject for d in done.diagnostics if d.code == "missing-dependency"] == ["Kustomization c"]


def test_helm_releases_wait_for_what_they_declare() -> None:
    done = graph("""
        apiVersion: helm.toolkit.fluxcd.io/v2
        kind: HelmRelease
        metadata: {name: app, namespace: default}
        spec: {dependsOn: [{name: db, namespace: data}]}
        ---
        apiVersion: helm.toolkit.fluxcd.io/v2
        kind: HelmRelease
        metadata: {name: db, namespace: data}
    """)
    assert ("HelmRelease data/db", "HelmRelease default/app", "ready") in edges(done, "reference:spec.dependsOn[].name")


@pytest.mark.parametrize("key", ["config.kubernetes.io/depends-on", "dr.dev/depends-on"])
@pytest.mark.parametrize(
    "value", ["/namespaces/default/ConfigMap/a", "/namespaces/default/ConfigMap/b, /namespaces/default/ConfigMap/a"]
)
def test_depends_on_annotations_are_followed(key: str, value: str) -> None:
    done = graph(f"""
        {{apiVersion: v1, kind: ConfigMap, metadata: {{name: z, namespace: default, annotations: {{"{key}": "{value}"}}}}}}
        ---
        {{apiVersion: v1, kind: ConfigMap, metadata: {{name: a, namespace: default}}}}
        ---
        {{apiVersion: v1, kind: ConfigMap, metadata: {{name: b, namespace: default}}}}
    """)
    assert ("ConfigMap default/a", "ConfigMap default/z", "ready") in edges(done, "depends-on")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("apps/namespaces/shop/Deployment/db", "Deployment shop/db"),
        ("/namespaces/shop/ConfigMap/c", "ConfigMap shop/c"),
        ("namespaces/shop/ConfigMap/c", "ConfigMap shop/c"),
        ("rbac.authorization.k8s.io/ClusterRole/view", "ClusterRole view"),
        ("/Namespace/shop", "Namespace shop"),
        ("Deployment/shop/db", "Deployment shop/db"),
        ("Deployment/db", "Deployment here/db"),
        ("nonsense", "None"),
    ],
)
def test_every_form_of_a_dependency_is_understood(value: str, expected: str) -> None:
    assert str(parse_dependency(value, "here")) == expected


def test_sync_waves_and_phases_come_one_after_the_other() -> None:
    template = "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {0}, namespace: default, annotations: {{{1}}}}}}}"
    done = graph(
        "\n---\n".join(
            template.format(name, annotations)
            for name, annotations in {
                "pre": "argocd.argoproj.io/hook: PreSync",
                "early": 'argocd.argoproj.io/sync-wave: "-5"',
                "plain": "",
                "late": 'argocd.argoproj.io/sync-wave: "5"',
                "post": "argocd.argoproj.io/hook: PostSync",
                "failed": "argocd.argoproj.io/hook: SyncFail",
            }.items()
        )
    )
    chain = ["pre", "early", "plain", "late", "post"]
    expected = {(f"ConfigMap default/{a}", f"ConfigMap default/{b}", "ready") for a, b in pairwise(chain)}
    assert edges(done, "sync-wave") == expected
    assert "failed" not in {n.ref.name for n in done.nodes}


def test_numbered_files_of_a_unit_come_in_their_order() -> None:
    found = [
        *objects(CONFIG_MAP.format("late"), file="prod/releases/shop/web/40-deployment.yaml"),
        *objects(CONFIG_MAP.format("early"), file="prod/releases/shop/web/01-config.yaml"),
    ]
    done = build(Source(tuple(found)))
    assert edges(done, "file-prefix") == {("ConfigMap default/early", "ConfigMap default/late", "exists")}


def test_kapp_change_rules_are_followed() -> None:
    done = graph("""
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: db, namespace: default, annotations: {kapp.k14s.io/change-group: acme/db}}
        ---
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: app, namespace: default, annotations: {kapp.k14s.io/change-rule: upsert after upserting acme/db}}
        ---
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: first, namespace: default, annotations: {kapp.k14s.io/change-rule.1: upsert before upserting acme/db}}
    """)
    assert edges(done, "change-rule") == {
        ("ConfigMap default/db", "ConfigMap default/app", "ready"),
        ("ConfigMap default/first", "ConfigMap default/db", "ready"),
    }


APPLICATION = """
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {{name: {0}, namespace: default, annotations: {{argocd.argoproj.io/sync-wave: "{1}"}}}}
spec: {{project: default, source: {{path: {0}}}, destination: {{namespace: {0}}}, syncPolicy: {{syncOptions: [CreateNamespace=true]}}}}
"""


def _applications() -> Graph:
    found = [
        *objects(
            "---".join(APPLICATION.format(name, wave) for wave, name in enumerate(("db", "web"))),
            unit="apps",
            file="apps.yaml",
        )
    ]
    units = [Unit("apps", "folder", "")]
    for name in ("db", "web"):
        found.extend(
            objects(
                CONFIG_MAP.format("c").replace("namespace: default", f"namespace: {name}"),
                unit=name,
                file=f"{name}.yaml",
            )
        )
        units.append(Unit(name, "Application", name, owner=Ref("argoproj.io/v1alpha1", "Application", "default", name)))
    return build(Source(tuple(found), tuple(units)))


def test_an_application_that_makes_its_own_namespace_is_no_deadlock() -> None:
    assert not codes(_applications()) & {"deadlock", "cycle", "missing-namespace", "missing-reference"}


def test_what_a_later_application_applies_waits_for_the_earlier_one() -> None:
    assert ("Application default/db", "ConfigMap web/c", "ready") in edges(_applications(), "sync-wave")
