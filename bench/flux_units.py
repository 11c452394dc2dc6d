"""The units of a made-up platform in Flux, and which of them each unit's objects need."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]
HOME = "flux-system"
# Well-known charts, and the release's name and namespace.
_CHARTS = {
    "cert-manager": "cert-manager",
    "external-secrets": "external-secrets",
    "sealed-secrets": "sealed-secrets",
    "cloudnative-pg": "cnpg-system",
    "kube-prometheus-stack": "monitoring",
}
_GATEWAY_KINDS = {"GatewayClass": "Cluster", "Gateway": "Namespaced", "HTTPRoute": "Namespaced"}
_DATABASES_PER_TEAM = 3
UNITS_PER_OPERATOR = 15


@dataclass
class Unit:
    """A Flux Kustomization: its objects, and the units that they need."""

    name: str
    objects: list[Body]
    needs: set[str] = field(default_factory=set)


def make(version: str, kind: str, name: str, namespace: str = "", **rest: Any) -> Body:
    """Return a Kubernetes object; `rest` are its further top-level fields."""
    place = {"namespace": namespace} if namespace else {}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **place}, **rest}


def _release(name: str, namespace: str, chart: str, **spec: Any) -> Body:
    source = {"kind": "HelmRepository", "name": "charts", "namespace": HOME}
    body = {"interval": "1h", "chart": {"spec": {"chart": chart, "version": "1.x", "sourceRef": source}}, **spec}
    return make("helm.toolkit.fluxcd.io/v2", "HelmRelease", name, namespace, spec=body)


def chart_units() -> Iterable[Unit]:
    """Yield operators that come as well-known charts."""
    for chart, namespace in _CHARTS.items():
        yield Unit(chart, [make("v1", "Namespace", namespace), _release(chart, namespace, chart)])


def _crd(group: str, kind: str, scope: str) -> Body:
    plural = f"{kind.lower()}{'es' if kind.endswith('s') else 's'}"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    spec = {
        "group": group,
        "scope": scope,
        "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema, "subresources": {"status": {}}}],
    }
    return make("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"{plural}.{group}", spec=spec)


def _operator(name: str, group: str, kinds: dict[str, str]) -> Unit:
    crds = [_crd(group, kind, scope) for kind, scope in kinds.items()]
    plurals = [crd["spec"]["names"]["plural"] for crd in crds]
    served = [*plurals, *(f"{plural}/status" for plural in plurals)]
    rules = [{"apiGroups": [group], "resources": served, "verbs": ["get", "list", "watch", "update", "patch"]}]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subjects = [{"kind": "ServiceAccount", "name": name, "namespace": name}]
    rbac = "rbac.authorization.k8s.io/v1"
    objects = [
        make("v1", "Namespace", name),
        *crds,
        make("v1", "ServiceAccount", name, name),
        make(rbac, "ClusterRole", name, rules=rules),
        make(rbac, "ClusterRoleBinding", name, roleRef=role, subjects=subjects),
        _deployment(name, name, account=name),
    ]
    return Unit(name, objects)


def operator_units(units: int) -> Iterable[Unit]:
    """Yield operators as plain manifests, with CRDs of their own; the Gateway API's too."""
    yield _operator("gateway-api", "gateway.networking.k8s.io", _GATEWAY_KINDS)
    for number in range(max(2, units // UNITS_PER_OPERATOR)):
        kind = f"Store{number:02}"
        yield _operator(f"operator-{number:02}", f"op{number:02}.example.com", {kind: "Namespaced"})


def shared_units() -> Iterable[Unit]:
    """Yield what all teams use: the issuer, the secret store, the gateway."""
    acme = {"server": "https://acme.example.com/directory", "privateKeySecretRef": {"name": "letsencrypt-account"}}
    issuer = make("cert-manager.io/v1", "ClusterIssuer", "letsencrypt", spec={"acme": acme})
    yield Unit("issuers", [issuer], {"cert-manager"})
    provider = {"vault": {"server": "https://vault.example.com", "path": "secret"}}
    store = make("external-secrets.io/v1", "ClusterSecretStore", "vault", spec={"provider": provider})
    yield Unit("secret-store", [store], {"external-secrets"})
    version = "gateway.networking.k8s.io/v1"
    certificate = {"secretName": "wildcard", "issuerRef": {"kind": "ClusterIssuer", "name": "letsencrypt"}}
    listener = {"name": "https", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "wildcard"}]}}
    objects = [
        make("v1", "Namespace", "gateway"),
        make(version, "GatewayClass", "public", spec={"controllerName": "example.com/gateway"}),
        make("cert-manager.io/v1", "Certificate", "wildcard", "gateway", spec=certificate),
        make(version, "Gateway", "public", "gateway", spec={"gatewayClassName": "public", "listeners": [listener]}),
    ]
    yield Unit("gateway", objects, {"gateway-api", "issuers", "cert-manager"})


def team_units(rng: random.Random, team: int, operators: int) -> Iterable[Unit]:
    """Yield a team's namespace, settings, databases and chart releases; `operators` is how many it may choose from."""
    namespace, home = f"team-{team}", f"namespace-team-{team}"
    quota = make("v1", "ResourceQuota", "quota", namespace, spec={"hard": {"pods": "200"}})
    yield Unit(home, [make("v1", "Namespace", namespace), quota])
    settings = make("v1", "ConfigMap", "settings", namespace, data={"LOG_LEVEL": "info", "REGION": "north"})
    yield Unit(f"config-team-{team}", [settings], {home})
    for number in range(_DATABASES_PER_TEAM):
        name = f"db-{team}-{number}"
        operator = rng.randrange(operators)
        if number == 0:
            version, kind, server = "postgresql.cnpg.io/v1", "Cluster", "cloudnative-pg"
        else:
            version, kind, server = f"op{operator:02}.example.com/v1", f"Store{operator:02}", f"operator-{operator:02}"
        database = make(version, kind, name, namespace, spec={"instances": 2})
        wanted = {
            "secretStoreRef": {"kind": "ClusterSecretStore", "name": "vault"},
            "target": {"name": f"{name}-credentials"},
            "dataFrom": [{"extract": {"key": name}}],
        }
        secret = make("external-secrets.io/v1", "ExternalSecret", f"{name}-credentials", namespace, spec=wanted)
        yield Unit(name, [database, secret], {home, server, "secret-store", "external-secrets"})
    cache = f"{namespace}-cache"
    sealed = make(
        "bitnami.com/v1alpha1",
        "SealedSecret",
        "worker-values",
        namespace,
        spec={"encryptedData": {"values.yaml": "AgBy"}},
    )
    releases = [
        _release("cache", namespace, "house-cache", targetNamespace=cache, install={"createNamespace": True}),
        _release("cache-ui", namespace, "house-cache-ui", targetNamespace=cache),
        _release("worker", namespace, "house-worker", valuesFrom=[{"kind": "Secret", "name": "worker-values"}]),
    ]
    yield Unit(f"charts-team-{team}", [sealed, *releases], {home, "sealed-secrets"})


def _deployment(name: str, namespace: str, account: str = "default", **container: Any) -> Body:
    labels = {"app": name}
    spec = {
        "serviceAccountName": account,
        "containers": [{"name": "main", "image": f"registry.example.com/{name}:1", **container}],
    }
    template = {"metadata": {"labels": labels}, "spec": spec}
    return make(
        "apps/v1", "Deployment", name, namespace, spec={"selector": {"matchLabels": labels}, "template": template}
    )


def app_unit(rng: random.Random, number: int, teams: int) -> Unit:
    """Return an app; some have a database, a route, a monitor, or call an app of the team that was made before."""
    team = number % teams
    name, namespace = f"app-{number:03}", f"team-{team}"
    needs = {f"namespace-team-{team}"}
    env: list[Body] = []
    container: Body = {"env": env}
    labels = {"app": name}
    service = {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
    objects = [
        make("v1", "ServiceAccount", name, namespace),
        make("v1", "Service", name, namespace, spec=service),
    ]
    if rng.random() < 0.6:
        container["envFrom"] = [{"configMapRef": {"name": "settings"}}]
        needs.add(f"config-team-{team}")
    if rng.random() < 0.6:
        database = f"db-{team}-{rng.randrange(_DATABASES_PER_TEAM)}"
        key = {"name": f"{database}-credentials", "key": "password"}
        env.append({"name": "PASSWORD", "valueFrom": {"secretKeyRef": key}})
        needs.add(database)
    if rng.random() < 0.4:
        parents = [{"name": "public", "namespace": "gateway"}]
        rules = [{"backendRefs": [{"name": name, "port": 80}]}]
        route = {"parentRefs": parents, "hostnames": [f"{name}.example.com"], "rules": rules}
        objects.append(make("gateway.networking.k8s.io/v1", "HTTPRoute", name, namespace, spec=route))
        needs |= {"gateway", "gateway-api"}
    if rng.random() < 0.3:
        monitor = {"selector": {"matchLabels": labels}, "endpoints": [{"port": "http"}]}
        objects.append(make("monitoring.coreos.com/v1", "ServiceMonitor", name, namespace, spec=monitor))
        needs.add("kube-prometheus-stack")
    earlier = range(team, number, teams)
    if earlier and rng.random() < 0.2:
        called = f"app-{rng.choice(earlier):03}"
        env.append({"name": "UPSTREAM_URL", "value": f"http://{called}.{namespace}.svc.cluster.local"})
        needs.add(called)
    objects.append(_deployment(name, namespace, name, **container))
    return Unit(name, objects, needs)
