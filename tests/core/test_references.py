"""Each row of the reference table makes its edge, and only with what it names."""

from __future__ import annotations

from typing import Any

import pytest

from dr.core.graph import Source, build
from dr.core.model import Graph, Origin, Ref, Resource, Strength, Where
from dr.core.rules.builtin import CLUSTER_SCOPED
from dr.core.rules.references import GUESSES, POD_SPECS, REFERENCES
from dr.core.rules.rows import Reference
from dr.core.scan import DEEP, LIST, MAP, segments
from tests.core.build import between, codes, edges, graph

_CLUSTER_KINDS = {row.rpartition("/")[2]: row.rpartition("/")[0] for row in sorted(CLUSTER_SCOPED)}
_CLUSTER_KINDS["ValidatingAdmissionPolicy"] = "admissionregistration.k8s.io"
_DEFAULT_KIND = {
    "roleRef": "Role",
    "sourceRef": "GitRepository",
    "substituteFrom": "ConfigMap",
    "valuesFrom": "ConfigMap",
}
_HOMES = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "CronJob": "batch/v1",
    "Rollout": "argoproj.io/v1alpha1",
    "Pod": "v1",
}


def _rows() -> list[Any]:
    return [pytest.param(row, id=f"{row.kind}-{row.path}") for row in (*REFERENCES, *GUESSES)]


def _referrer(row: Reference) -> tuple[str, str, str]:
    """Return apiVersion, kind and full path of an object that the row is about."""
    if row.kind == "@pod":
        return "apps/v1", "Deployment", f"{POD_SPECS['Deployment']}.{row.path}"
    if row.kind == "?":
        return "acme.example/v1", "Widget", row.path
    group, slash, kind = row.kind.rpartition("/")
    if not slash:
        group = "networking.k8s.io" if kind == "Ingress" else "gateway.networking.k8s.io"
    return f"{group}/v1" if group else "v1", kind, row.path


def _key(part: Any) -> Any:
    if part == DEEP:
        return "anywhere"
    return f"my{part[1:]}" if isinstance(part, str) and part.startswith("*") else part


def _body(row: Reference, path: str, target_kind: str) -> dict[str, Any]:
    """Return nested mappings and lists with the name at the row's path and its siblings beside it."""
    keys = [_key(part) for part in segments(path)]
    inner: Any = "target.home" if row.namespace == "host" else "target"
    holder_done = False
    for key in reversed(keys):
        if key == LIST:
            inner = [inner]
        elif key == MAP:
            inner = {"some": inner}
        else:
            inner = {key: inner}
            if not holder_done:
                if row.when:
                    inner[row.when[0]] = row.when[1]
                elif not row.to:
                    inner[row.kind_field] = target_kind
                if row.namespace not in ("same", "host", "cluster") and not row.namespace.startswith("@"):
                    inner[row.namespace] = "home"
        holder_done = True
    assert isinstance(inner, dict)
    return inner


def _target(row: Reference) -> str:
    if row.to:
        return row.to
    if row.kind.endswith("/ClusterRoleBinding"):
        return "ClusterRole"
    return next((kind for field, kind in _DEFAULT_KIND.items() if field in row.path), "ConfigMap")


def _graph(row: Reference, *, with_target: bool) -> tuple[Graph, str, str]:
    version, kind, path = _referrer(row)
    target_kind = _target(row)
    body = _body(row, path, target_kind)
    body.update(apiVersion=version, kind=kind)
    body.setdefault("metadata", {}).update(name="referrer", namespace="home")
    home = row.namespace[1:] if row.namespace.startswith("@") else "" if target_kind in _CLUSTER_KINDS else "home"
    group = row.group or _CLUSTER_KINDS.get(target_kind, "rbac.authorization.k8s.io" if target_kind == "Role" else "")
    target = Ref(f"{group}/v1" if group else "v1", target_kind, home, "target")
    found = [Resource(Ref(version, kind, "home", "referrer"), Where("a.yaml", 1), body)]
    if with_target:
        found.append(
            Resource(
                target,
                Where("b.yaml", 1),
                {"apiVersion": target.api_version, "kind": target_kind, "metadata": {"name": "target"}},
            )
        )
    done = build(Source(tuple(found)))
    referrer = next(str(n.ref) for n in done.nodes if n.ref.name == "referrer")
    return (
        done,
        str(next((n.ref for n in done.nodes if n.ref.name == "target" and n.origin is Origin.GIT), target)),
        referrer,
    )


@pytest.mark.parametrize("row", _rows())
def test_every_row_puts_what_a_field_names_before_its_object(row: Reference) -> None:
    done, target, referrer = _graph(row, with_target=True)
    found = [e for e in between(done, target, referrer) if e.rule.startswith("reference:")]
    assert found, edges(done)
    assert row.strength in {e.strength for e in found}


@pytest.mark.parametrize("row", _rows())
def test_every_row_reports_a_name_that_is_nowhere_exactly_if_it_says_so(row: Reference) -> None:
    done, _, referrer = _graph(row, with_target=False)
    missing = [n for n in done.nodes if n.origin is Origin.MISSING and n.ref.name == "target"]
    expected = row.missing and row.strength is not Strength.SOFT
    if row.kind == "?" and row.to not in (
        "",
        "Secret",
        "ConfigMap",
        "PersistentVolumeClaim",
        "StorageClass",
        "ClusterIssuer",
        "Issuer",
    ):
        expected = False
    assert bool(missing) == expected, referrer


@pytest.mark.parametrize("kind", sorted(set(POD_SPECS) - {"serving.knative.dev/Service"}))
def test_every_kind_with_a_pod_template_waits_for_its_secret(kind: str) -> None:
    body: Any = {
        "containers": [
            {"name": "c", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "target", "key": "k"}}}]}
        ]
    }
    for part in reversed(POD_SPECS[kind].split(".")):
        body = {part: body}
    version = _HOMES.get(kind, "v1")
    body.update(apiVersion=version, kind=kind, metadata={"name": "w", "namespace": "home"})
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "target", "namespace": "home"}}
    done = build(
        Source(
            (
                Resource(Ref(version, kind, "home", "w"), Where("a", 1), body),
                Resource(Ref("v1", "Secret", "home", "target"), Where("b", 1), secret),
            )
        )
    )
    assert ("Secret home/target", f"{kind} home/w", "exists") in edges(done)


def test_an_optional_reference_never_blocks_a_restore() -> None:
    done = graph("""
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: a, namespace: shop}
        spec:
          template:
            spec:
              containers:
              - name: c
                envFrom:
                - configMapRef: {name: there, optional: true}
                - configMapRef: {name: nowhere, optional: true}
        ---
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: there, namespace: shop}
    """)
    assert edges(done, "reference:spec.template.spec.containers[].envFrom[].configMapRef.name") == {
        ("ConfigMap shop/there", "Deployment shop/a", "soft"),
    }
    assert "missing-reference" not in codes(done)


def test_an_edge_points_at_the_line_that_proves_it() -> None:
    done = graph("""\
        apiVersion: v1
        kind: Pod
        metadata: {name: p, namespace: shop}
        spec:
          serviceAccountName: robot
          containers:
          - name: c
            env:
            - name: TOKEN
              valueFrom:
                secretKeyRef:
                  key: token
                  name: token
        ---
        apiVersion: v1
        kind: Secret
        metadata: {name: token, namespace: shop}
        ---
        apiVersion: v1
        kind: ServiceAccount
        metadata: {name: robot, namespace: shop}
    """)
    lines = {e.reason: e.where.line for e in done.edges}
    assert lines["takes an environment variable from Secret token"] == 13
    assert lines["runs as ServiceAccount robot"] == 5


def test_a_reference_stays_within_its_namespace() -> None:
    done = graph("""
        apiVersion: v1
        kind: Pod
        metadata: {name: p, namespace: shop}
        spec: {serviceAccountName: robot, containers: []}
        ---
        apiVersion: v1
        kind: ServiceAccount
        metadata: {name: robot, namespace: other}
    """)
    assert not between(done, "ServiceAccount other/robot", "Pod shop/p")
    assert "missing-reference" in codes(done)


def test_what_every_cluster_has_is_never_missed() -> None:
    done = graph("""
        apiVersion: v1
        kind: Pod
        metadata: {name: p, namespace: kube-system}
        spec:
          serviceAccountName: default
          priorityClassName: system-cluster-critical
          containers: [{name: c, envFrom: [{configMapRef: {name: kube-root-ca.crt}}]}]
        ---
        apiVersion: rbac.authorization.k8s.io/v1
        kind: ClusterRoleBinding
        metadata: {name: b}
        roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:auth-delegator"}
    """)
    assert not codes(done)


def test_a_variable_without_a_value_is_named_and_not_called_missing() -> None:
    done = graph("""
        apiVersion: v1
        kind: Pod
        metadata: {name: p, namespace: shop}
        spec: {serviceAccountName: "${account}", containers: []}
    """)
    assert "unresolved-variable" in codes(done)
    assert "missing-reference" not in codes(done)


def test_the_api_group_tells_kinds_of_the_same_name_apart() -> None:
    done = graph("""
        apiVersion: networking.istio.io/v1
        kind: VirtualService
        metadata: {name: v, namespace: shop}
        spec: {gateways: [front, mesh-ns/other], hosts: [x]}
        ---
        apiVersion: gateway.networking.k8s.io/v1
        kind: Gateway
        metadata: {name: front, namespace: shop}
        ---
        apiVersion: networking.istio.io/v1
        kind: Gateway
        metadata: {name: other, namespace: mesh-ns}
    """)
    assert [done.nodes[e.before].origin for e in between(done, "Gateway shop/front", "VirtualService shop/v")] == [
        Origin.MISSING
    ]
    assert between(done, "Gateway mesh-ns/other", "VirtualService shop/v")
