"""Custom resources come after their CRD and their controller, derived objects after what makes them."""

from __future__ import annotations

from dr.core.model import Origin
from tests.core.build import between, codes, edges, graph

OPERATOR = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: databases.db.acme.example}
spec: {group: db.acme.example, scope: Namespaced, names: {kind: Database, plural: databases}}
---
apiVersion: v1
kind: Namespace
metadata: {name: ops}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: operator, namespace: ops}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: operator}
rules:
- {apiGroups: [db.acme.example], resources: [%(resources)s], verbs: [%(verbs)s]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: operator}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: operator}
subjects: [{kind: ServiceAccount, name: operator, namespace: ops}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: operator, namespace: ops}
spec: {template: {spec: {serviceAccountName: operator, containers: []}}}
---
apiVersion: db.acme.example/v1
kind: Database
metadata: {name: orders, namespace: ops}
"""


def test_a_custom_resource_waits_until_its_crd_is_established() -> None:
    done = graph(OPERATOR % {"resources": "databases", "verbs": "get"})
    assert ("CustomResourceDefinition databases.db.acme.example", "Database ops/orders", "ready") in edges(done, "crd")


def test_the_workload_whose_role_may_write_status_is_the_controller() -> None:
    for resources, verbs in (
        ("databases/status", "patch"),
        ("databases/finalizers", "update"),
        ("databases", "watch"),
        ("'*'", "'*'"),
    ):
        done = graph(OPERATOR % {"resources": resources, "verbs": verbs})
        assert edges(done, "controller") == {("Deployment ops/operator", "Database ops/orders", "ready")}


def test_a_role_that_only_reads_makes_no_controller() -> None:
    done = graph(OPERATOR % {"resources": "databases", "verbs": "get"})
    assert not edges(done, "controller")
    assert "no-controller" in codes(done)


def test_an_administrator_is_not_taken_for_the_controller_of_everything() -> None:
    done = graph(
        OPERATOR.replace("apiGroups: [db.acme.example]", "apiGroups: ['*']") % {"resources": "'*'", "verbs": "'*'"}
    )
    assert not edges(done, "controller")


def test_a_chart_of_the_catalogue_brings_api_and_controller() -> None:
    done = graph("""
        apiVersion: helm.toolkit.fluxcd.io/v2
        kind: HelmRelease
        metadata: {name: es, namespace: kube-system}
        spec: {chart: {spec: {chart: external-secrets, sourceRef: {kind: HelmRepository, name: es}}}}
        ---
        apiVersion: source.toolkit.fluxcd.io/v1
        kind: HelmRepository
        metadata: {name: es, namespace: kube-system}
        spec: {url: "https://charts.example"}
        ---
        apiVersion: external-secrets.io/v1
        kind: ExternalSecret
        metadata: {name: token, namespace: default}
        spec: {target: {name: made}, secretStoreRef: {kind: ClusterSecretStore, name: vault}}
    """)
    assert {e.rule for e in between(done, "HelmRelease kube-system/es", "ExternalSecret default/token")} == {
        "chart-crd",
        "chart-controller",
    }
    assert ("ExternalSecret default/token", "Secret default/made", "ready") in edges(done, "derived")


def test_a_chart_named_by_its_oci_source_is_recognised() -> None:
    done = graph("""
        apiVersion: helm.toolkit.fluxcd.io/v2
        kind: HelmRelease
        metadata: {name: cm, namespace: default}
        spec: {chartRef: {kind: OCIRepository, name: src}}
        ---
        apiVersion: source.toolkit.fluxcd.io/v1
        kind: OCIRepository
        metadata: {name: src, namespace: default}
        spec: {url: "oci://registry.example/charts/cert-manager"}
        ---
        apiVersion: cert-manager.io/v1
        kind: ClusterIssuer
        metadata: {name: le}
    """)
    assert between(done, "HelmRelease default/cm", "ClusterIssuer le")


def test_a_sealed_secret_leads_to_the_pods_that_use_it_and_to_the_key_that_is_not_in_git() -> None:
    done = graph("""
        apiVersion: bitnami.com/v1alpha1
        kind: SealedSecret
        metadata: {name: slack, namespace: default}
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: bot, namespace: default}
        spec: {containers: [{name: c, envFrom: [{secretRef: {name: slack}}]}]}
    """)
    assert ("SealedSecret default/slack", "Secret default/slack", "ready") in edges(done, "derived")
    assert ("Secret default/slack", "Pod default/bot", "exists") in edges(done)
    assert next(n for n in done.nodes if n.ref.kind == "Secret").origin is Origin.DERIVED
    assert "sealing-key" in {p.kind for p in done.prerequisites}


def test_a_sealing_key_kept_in_git_is_no_prerequisite() -> None:
    done = graph("""
        apiVersion: bitnami.com/v1alpha1
        kind: SealedSecret
        metadata: {name: slack, namespace: default}
        ---
        apiVersion: v1
        kind: Secret
        metadata: {name: key, namespace: kube-system, labels: {sealedsecrets.bitnami.com/sealed-secrets-key: active}}
    """)
    assert "sealing-key" not in {p.kind for p in done.prerequisites}


def test_an_api_that_nothing_brings_is_named_once_with_how_many_need_it() -> None:
    done = graph(
        "\n---\n".join(
            f"apiVersion: acme.example/v1\nkind: Widget\nmetadata: {{name: w{i}, namespace: default}}" for i in range(5)
        )
    )
    assert [d.code for d in done.diagnostics] == ["missing-crd"]
    assert [(p.kind, p.name, p.count) for p in done.prerequisites] == [("api", "acme.example", 5)]


def test_a_gitops_engine_that_git_does_not_install_is_a_prerequisite() -> None:
    done = graph("""
        apiVersion: flux.weave.works/v1beta1
        kind: HelmRelease
        metadata: {name: x, namespace: default}
        spec: {chart: {repository: "https://charts.example", name: x}}
    """)
    assert ("engine", "flux.weave.works") in {(p.kind, p.name) for p in done.prerequisites}


def test_what_a_release_makes_by_name_comes_after_it() -> None:
    done = graph("""
        apiVersion: helm.toolkit.fluxcd.io/v2
        kind: HelmRelease
        metadata: {name: forge, namespace: default}
        spec: {chart: {spec: {chart: forge, sourceRef: {kind: HelmRepository, name: r}}}}
        ---
        apiVersion: networking.k8s.io/v1
        kind: Ingress
        metadata: {name: i, namespace: default}
        spec: {defaultBackend: {service: {name: forge-http, port: {number: 80}}}}
    """)
    assert ("HelmRelease default/forge", "Ingress default/i", "exists") in edges(done, "chart-made")
    assert not any("forge-http" in d.cause for d in done.diagnostics)


def test_a_chart_that_serves_an_api_comes_after_the_chart_that_brings_it() -> None:
    release = "{{apiVersion: helm.toolkit.fluxcd.io/v2, kind: HelmRelease, metadata: {{name: {0}, namespace: default}}, spec: {{chart: {{spec: {{chart: {0}}}}}}}}}"
    done = graph("\n---\n".join(release.format(chart) for chart in ("istiod", "base")))
    assert set(edges(done, "chart-stack")) == {("HelmRelease default/base", "HelmRelease default/istiod", "ready")}


def test_a_controller_prefers_to_start_after_the_crd_that_it_watches() -> None:
    done = graph(OPERATOR % {"resources": "databases/status", "verbs": "patch"})
    assert edges(done, "watches") == {
        ("CustomResourceDefinition databases.db.acme.example", "Deployment ops/operator", "soft")
    }
