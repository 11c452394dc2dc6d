"""Use at run time is seen and stays soft: addresses, selectors, permissions."""

from __future__ import annotations

import pytest

from dr.core.plan import order
from tests.core.build import codes, edges, graph

CALLER = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, %s}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}}
---
apiVersion: v1
kind: Service
metadata: {name: bank, namespace: money}
spec: {selector: {app: bank}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec: {template: {metadata: {labels: {app: cart}}, spec: {containers: []}}}
"""


@pytest.mark.parametrize(
    ("container", "service"),
    [
        ('env: [{name: CART_ADDR, value: "cart:7070"}]', "Service shop/cart"),
        ('env: [{name: URL, value: "http://cart/api"}]', "Service shop/cart"),
        ('env: [{name: URL, value: "postgres://user:pw@cart/db"}]', "Service shop/cart"),
        ('env: [{name: URL, value: "cart.shop.svc.cluster.local"}]', "Service shop/cart"),
        ('env: [{name: BANK, value: "bank.money:80"}]', "Service money/bank"),
        ('env: [{name: BANKS, value: "a:1,bank.money.svc:80"}]', "Service money/bank"),
        ('args: ["--cart=cart:7070"]', "Service shop/cart"),
        ('env: [{name: WORD, value: "cart"}]', None),
        ('env: [{name: OTHER, value: "cart.example.com:80"}]', None),
        ('env: [{name: LONGER, value: "my-cart:80"}]', None),
        ('env: [{name: BANK, value: "bank:80"}]', None),
    ],
)
def test_an_address_in_the_environment_is_a_use_and_a_mere_word_is_not(container: str, service: str | None) -> None:
    found = edges(graph(CALLER % container), "service-host")
    assert found == ({(service, "Deployment shop/web", "soft")} if service else set())


def test_the_workload_behind_a_called_service_is_used_too() -> None:
    done = graph(CALLER % 'env: [{name: CART_ADDR, value: "cart:7070"}]')
    assert ("Deployment shop/cart", "Deployment shop/web", "soft") in edges(done, "service-backend")


def test_two_services_that_call_each_other_still_have_an_order() -> None:
    one = CALLER % 'env: [{name: CART_ADDR, value: "cart:7070"}]'
    both = one.replace(
        "{app: cart}}, spec: {containers: []}", "{app: cart}}, spec: {containers: [{name: c, args: ['web:80']}]}"
    )
    done = graph(
        both
        + "\n---\napiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {selector: {app: web}}"
    )
    assert {e.rule for e in done.cuts} == {"service-backend"}
    assert "cycle" in codes(done)
    assert order(done).steps


def test_selected_workloads_come_before_what_selects_them() -> None:
    done = graph("""
        apiVersion: policy/v1
        kind: PodDisruptionBudget
        metadata: {name: b, namespace: shop}
        spec: {selector: {matchLabels: {app: web}}}
        ---
        apiVersion: monitoring.coreos.com/v1
        kind: ServiceMonitor
        metadata: {name: m, namespace: shop}
        spec: {selector: {matchLabels: {scrape: me}}}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: s, namespace: shop, labels: {scrape: me}}
        ---
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: web, namespace: shop}
        spec: {template: {metadata: {labels: {app: web}}, spec: {containers: []}}}
        ---
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: other, namespace: shop}
        spec: {template: {metadata: {labels: {app: other}}, spec: {containers: []}}}
    """)
    assert edges(done, "selector") == {
        ("Deployment shop/web", "PodDisruptionBudget shop/b", "soft"),
        ("Service shop/s", "ServiceMonitor shop/m", "soft"),
    }


def test_a_workload_prefers_to_start_with_its_permissions() -> None:
    done = graph("""
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: web, namespace: shop}
        spec: {template: {spec: {serviceAccountName: web, containers: []}}}
        ---
        apiVersion: rbac.authorization.k8s.io/v1
        kind: RoleBinding
        metadata: {name: b, namespace: shop}
        roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
        subjects: [{kind: ServiceAccount, name: web, namespace: shop}]
    """)
    assert edges(done, "permissions") == {("RoleBinding shop/b", "Deployment shop/web", "soft")}
