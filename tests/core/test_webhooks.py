"""Admission webhooks come after their backend and before what they intercept; their deadlocks are named."""

from __future__ import annotations

import pytest

from tests.core.build import codes, edges, graph

PLATFORM = """
apiVersion: v1
kind: Namespace
metadata: {name: guard, labels: {guarded: "no"}}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {guarded: "yes"}}
---
apiVersion: v1
kind: Service
metadata: {name: guard, namespace: guard}
spec: {selector: {app: guard}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: guard, namespace: guard}
spec: {template: {metadata: {labels: {app: guard}}, spec: {containers: []}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop, labels: {tier: web}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web}}, spec: {containers: []}}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: guard}
webhooks:
- name: guard.acme.example
  clientConfig: {service: {name: guard, namespace: guard}}
  %s
"""
CONFIGMAPS = 'rules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [configmaps]}]'
PODS = 'rules: [{operations: ["*"], apiGroups: [""], apiVersions: [v1], resources: [pods]}]'


def test_a_webhook_waits_for_its_service_and_the_pods_behind_it() -> None:
    done = graph(PLATFORM % CONFIGMAPS)
    assert ("Service guard/guard", "ValidatingWebhookConfiguration guard", "ready") in edges(done)
    assert ("Deployment guard/guard", "ValidatingWebhookConfiguration guard", "ready") in edges(done, "service-backend")


@pytest.mark.parametrize(
    ("extra", "intercepted"),
    [
        ("", {"ConfigMap shop/settings"}),
        ("namespaceSelector: {matchLabels: {guarded: 'yes'}}", {"ConfigMap shop/settings"}),
        ("namespaceSelector: {matchLabels: {guarded: 'no'}}", set()),
        (
            "namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [shop]}]}",
            set(),
        ),
        ("namespaceSelector: {matchExpressions: [{key: guarded, operator: Exists}]}", {"ConfigMap shop/settings"}),
        ("namespaceSelector: {matchExpressions: [{key: guarded, operator: DoesNotExist}]}", set()),
        ("objectSelector: {matchLabels: {tier: web}}", {"ConfigMap shop/settings"}),
        ("objectSelector: {matchLabels: {tier: db}}", set()),
    ],
)
def test_exactly_what_the_selectors_match_comes_after_the_webhook(extra: str, intercepted: set[str]) -> None:
    done = graph(PLATFORM % (CONFIGMAPS + (f"\n  {extra}" if extra else "")))
    assert {after for _, after, _ in edges(done, "webhook")} == intercepted


def test_a_webhook_on_pods_intercepts_the_workloads_that_make_them() -> None:
    done = graph(PLATFORM % (PODS + "\n  namespaceSelector: {matchLabels: {guarded: 'yes'}}"))
    assert edges(done, "webhook") == {("ValidatingWebhookConfiguration guard", "Deployment shop/web", "soft")}
    assert "webhook-deadlock" not in codes(done)


def test_a_webhook_that_guards_its_own_backend_is_a_deadlock_to_come() -> None:
    done = graph(PLATFORM % PODS)
    assert "webhook-deadlock" in codes(done)
    assert "deadlock" not in codes(done)
    assert [len(cycle.cut) for cycle in done.cycles] == [1]


def test_a_webhook_that_fails_open_is_no_deadlock() -> None:
    done = graph(PLATFORM % (PODS + "\n  failurePolicy: Ignore"))
    assert "webhook-deadlock" not in codes(done)


def test_only_creation_matters_to_a_restore() -> None:
    done = graph(PLATFORM % CONFIGMAPS.replace("CREATE", "DELETE"))
    assert not edges(done, "webhook")


def test_the_scope_of_a_rule_is_respected() -> None:
    everything = (
        'rules: [{operations: [CREATE], apiGroups: ["*"], apiVersions: ["*"], resources: ["*"], scope: Cluster}]'
    )
    done = graph(PLATFORM % everything)
    assert {after for _, after, _ in edges(done, "webhook")} == {"Namespace shop"}
