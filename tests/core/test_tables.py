"""The rule tables are sane: sorted, without duplicates, and true of what they are most used for."""

from __future__ import annotations

import os
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from dr.core.rules import derivations
from dr.core.rules.builtin import (
    BUILTIN_GROUPS,
    BUILTIN_KINDS,
    CLUSTER_SCOPED,
    EVERYWHERE,
    GITOPS_GROUPS,
    NOT_FOR_A_CLUSTER,
)
from dr.core.rules.charts import CHARTS
from dr.core.rules.derivations import DERIVATIONS
from dr.core.rules.removals import CRD_REMOVALS, REMOVALS
from dr.core.rules.rows import Chart, Derivation, Removal
from dr.core.scan import segments

NEWEST = 37
LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
DNS = re.compile(rf"{LABEL}(\.{LABEL})+")
PATTERN = re.compile(rf"(\*\.)?{LABEL}(\.{LABEL})+")
KIND = re.compile(r"[A-Za-z][A-Za-z0-9]*")
BY_NAME = {name: chart for chart in CHARTS for name in chart.names}
CORPUS = Path(os.environ.get("DR_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))
# A custom resource of this group is served by the machines' operating system, not by a chart.
UNCOVERED = {"talos.dev"}


def _brings(chart: Chart, group: str) -> bool:
    return any(fnmatchcase(group, pattern) for pattern in chart.crds)


def _serves(chart: Chart, group: str) -> bool:
    return any(fnmatchcase(group, pattern) for pattern in chart.serves)


def _name(row: Chart | Derivation | Removal) -> str:
    match row:
        case Chart():
            return row.names[0]
        case Derivation():
            return f"{row.group}/{row.kind}-{row.to}-{row.name[0]}"
        case Removal():
            return f"{row.api_version}-{'-'.join(row.kinds)}"


def test_a_reader_finds_a_chart_by_its_first_name() -> None:
    names = [chart.names[0] for chart in CHARTS]
    assert names == sorted(names)


def test_no_chart_name_stands_for_two_rows() -> None:
    names = [name for chart in CHARTS for name in chart.names]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("chart", CHARTS, ids=_name)
def test_a_chart_row_is_well_formed_and_says_something(chart: Chart) -> None:
    assert all(re.fullmatch(LABEL, name) for name in chart.names)
    assert list(chart.names) == sorted(chart.names)
    for groups in (chart.crds, chart.serves):
        assert list(groups) == sorted(set(groups))
        assert all(PATTERN.fullmatch(group) for group in groups)
        assert not set(groups) & BUILTIN_GROUPS
    assert list(chart.classes) == sorted(set(chart.classes))
    assert chart.crds or chart.serves or chart.classes


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("cert-manager", "cert-manager.io"),
        ("cert-manager", "certmanager.k8s.io"),
        ("cloudnative-pg", "postgresql.cnpg.io"),
        ("eck-operator", "elasticsearch.k8s.elastic.co"),
        ("external-secrets", "external-secrets.io"),
        ("flagger", "flagger.app"),
        ("flux-operator", "fluxcd.controlplane.io"),
        ("gatekeeper", "constraints.gatekeeper.sh"),
        ("gateway-helm", "gateway.networking.k8s.io"),
        ("grafana-operator", "grafana.integreatly.org"),
        ("helm-operator", "flux.weave.works"),
        ("keda", "keda.sh"),
        ("kube-prometheus-stack", "monitoring.coreos.com"),
        ("kyverno", "kyverno.io"),
        ("longhorn", "longhorn.io"),
        ("metallb", "metallb.io"),
        ("postgres-operator", "acid.zalan.do"),
        ("prometheus-operator", "monitoring.coreos.com"),
        ("rook-ceph", "ceph.rook.io"),
        ("sealed-secrets", "bitnami.com"),
        ("snapshot-controller", "snapshot.storage.k8s.io"),
        ("strimzi-kafka-operator", "kafka.strimzi.io"),
        ("tigera-operator", "operator.tigera.io"),
        ("traefik", "traefik.containo.us"),
        ("trust-manager", "trust.cert-manager.io"),
        ("velero", "velero.io"),
        ("volsync", "volsync.backube"),
    ],
)
def test_a_well_known_operator_comes_before_its_custom_resources(name: str, group: str) -> None:
    assert _brings(BY_NAME[name], group)
    assert _serves(BY_NAME[name], group)


@pytest.mark.parametrize(
    "name", ["base", "eck-operator-crds", "linkerd-crds", "prometheus-operator-crds", "spire-crds"]
)
def test_a_chart_of_crds_alone_is_not_taken_for_a_controller(name: str) -> None:
    assert BY_NAME[name].crds
    assert not BY_NAME[name].serves


def test_istiod_serves_what_base_brings() -> None:
    assert _brings(BY_NAME["base"], "networking.istio.io")
    assert _serves(BY_NAME["istiod"], "networking.istio.io")
    assert not _brings(BY_NAME["istiod"], "networking.istio.io")


@pytest.mark.parametrize("name", ["app-template", "common", "gateway", "grafana", "operator", "podinfo", "raw", "web"])
def test_an_application_chart_provides_nothing(name: str) -> None:
    assert name not in BY_NAME


def test_the_sealing_key_is_asked_for_with_sealed_secrets() -> None:
    assert BY_NAME["sealed-secrets"].prerequisites == ("sealing-key",)


@pytest.mark.parametrize(
    "repo", ["billimek-k8s-gitops", "flux2-kustomize-helm-example", "gitops-istio", "k8s-config-repo"]
)
def test_every_custom_resource_of_the_corpus_has_a_chart_that_brings_it(repo: str) -> None:
    if not (CORPUS / repo).is_dir():
        pytest.skip(f"the corpus is not here: {CORPUS}")
    versions = re.compile(r"^apiVersion: *[\"']?([a-z0-9.-]+)/", re.MULTILINE)
    texts = (path.read_text(encoding="utf-8", errors="replace") for path in sorted((CORPUS / repo).rglob("*.y*ml")))
    used = {group for text in texts for group in versions.findall(text)} - BUILTIN_GROUPS - GITOPS_GROUPS - UNCOVERED
    custom = {group for group in used if not any(f"{group}/".startswith(row) for row, _ in NOT_FOR_A_CLUSTER)}
    assert custom
    assert [group for group in sorted(custom) if not any(_brings(chart, group) for chart in CHARTS)] == []


@pytest.mark.parametrize("table", [REMOVALS, CRD_REMOVALS], ids=["kubernetes", "projects"])
def test_no_api_version_is_removed_twice(table: tuple[Removal, ...]) -> None:
    assert list(table) == sorted(table, key=lambda row: (row.api_version, row.kinds))
    seen = [(row.api_version, kind) for row in table for kind in row.kinds or ("",)]
    assert len(seen) == len(set(seen))
    whole = {row.api_version for row in table if not row.kinds}
    assert not [row for row in table if row.kinds and row.api_version in whole]


@pytest.mark.parametrize("row", REMOVALS, ids=_name)
def test_a_removal_from_kubernetes_names_a_release_and_a_version_that_is_served(row: Removal) -> None:
    release = re.fullmatch(r"1\.(\d+)", row.removed)
    assert release
    assert 16 <= int(release[1]) <= NEWEST
    assert row.api_version.rpartition("/")[0] in BUILTIN_GROUPS
    assert all(KIND.fullmatch(kind) for kind in row.kinds)
    assert not [r for r in REMOVALS if r.api_version == row.instead and (not r.kinds or set(r.kinds) & set(row.kinds))]
    group = row.instead.rpartition("/")[0]
    assert all(f"{group}/{kind}" in BUILTIN_KINDS for kind in row.kinds if row.instead)


@pytest.mark.parametrize("row", CRD_REMOVALS, ids=_name)
def test_a_removal_by_a_project_names_its_release_and_a_version_that_is_served(row: Removal) -> None:
    assert re.fullmatch(r"[A-Za-z][A-Za-z -]* \d+\.\d+", row.removed)
    group = row.api_version.rpartition("/")[0]
    assert DNS.fullmatch(group)
    assert group not in BUILTIN_GROUPS
    assert row.instead not in {other.api_version for other in CRD_REMOVALS}


@pytest.mark.parametrize(
    ("api_version", "kind", "removed", "instead"),
    [
        ("apps/v1beta2", "Deployment", "1.16", "apps/v1"),
        ("batch/v1beta1", "CronJob", "1.25", "batch/v1"),
        ("extensions/v1beta1", "Deployment", "1.16", "apps/v1"),
        ("extensions/v1beta1", "Ingress", "1.22", "networking.k8s.io/v1"),
        ("policy/v1beta1", "PodSecurityPolicy", "1.25", ""),
        ("storage.k8s.io/v1beta1", "CSIStorageCapacity", "1.27", "storage.k8s.io/v1"),
    ],
)
def test_an_object_of_a_dead_api_is_told_what_to_become(
    api_version: str, kind: str, removed: str, instead: str
) -> None:
    found = [row for row in REMOVALS if row.api_version == api_version and (not row.kinds or kind in row.kinds)]
    assert [(row.removed, row.instead) for row in found] == [(removed, instead)]


def test_a_reader_finds_a_derivation_by_its_source() -> None:
    for table in (derivations._ROWS, derivations._ELSEWHERE):
        assert list(table) == sorted(table)


def test_no_derived_object_is_made_twice() -> None:
    made = [(row.group, row.kind, row.to, row.name) for row in DERIVATIONS]
    assert len(made) == len(set(made))


@pytest.mark.parametrize("row", DERIVATIONS, ids=_name)
def test_a_derived_name_is_a_path_or_a_template_of_one_name(row: Derivation) -> None:
    assert DNS.fullmatch(row.group)
    assert KIND.fullmatch(row.kind)
    for name in row.name:
        if "{}" in name:
            assert "db" in name.format("db")
        else:
            assert "." in name
            assert segments(name)
    assert not [name for name in row.name[:-1] if "{}" in name], "a template always yields, so it stands last"
    assert not row.namespaced_by or segments(row.namespaced_by)


@pytest.mark.parametrize(
    ("group", "kind", "to", "name"),
    [
        ("acid.zalan.do", "postgresql", "Service", ("{}-repl",)),
        ("bitnami.com", "SealedSecret", "Secret", ("{}",)),
        ("cert-manager.io", "Certificate", "Secret", ("spec.secretName",)),
        ("external-secrets.io", "ExternalSecret", "Secret", ("spec.target.name", "{}")),
        ("isindir.github.com", "SopsSecret", "Secret", ("spec.secretTemplates[].name", "spec.secret_templates[].name")),
        ("kafka.strimzi.io", "Kafka", "Service", ("{}-kafka-bootstrap",)),
        ("operator.victoriametrics.com", "VMSingle", "Service", ("vmsingle-{}",)),
        ("postgresql.cnpg.io", "Cluster", "Secret", ("{}-app",)),
        ("postgresql.cnpg.io", "Cluster", "Service", ("{}-rw",)),
    ],
)
def test_a_secret_that_an_operator_makes_is_not_missing(group: str, kind: str, to: str, name: tuple[str, ...]) -> None:
    assert [row for row in DERIVATIONS if (row.group, row.kind, row.to, row.name) == (group, kind, to, name)]


def test_every_builtin_group_and_kind_is_well_formed() -> None:
    assert all(DNS.fullmatch(group) or group.isalpha() or not group for group in BUILTIN_GROUPS)
    assert {kind.rpartition("/")[0] for kind in BUILTIN_KINDS} <= BUILTIN_GROUPS
    assert {"/Pod", "apps/Deployment", "networking.k8s.io/Ingress"} <= BUILTIN_KINDS
    assert all(re.fullmatch(r"[a-z0-9.-]*/([A-Z][A-Za-z0-9]+|\*)", kind) for kind in CLUSTER_SCOPED)


def test_a_cluster_scoped_builtin_kind_is_one_that_kubernetes_has_or_had() -> None:
    removed = {f"{row.api_version.rpartition('/')[0]}/{kind}" for row in REMOVALS for kind in row.kinds}
    former = removed | {
        "auditregistration.k8s.io/AuditSink",
        "resource.k8s.io/ResourceClass",
        "policy/PodSecurityPolicy",
    }
    own = {kind for kind in CLUSTER_SCOPED if kind.rpartition("/")[0] in BUILTIN_GROUPS and not kind.endswith("*")}
    assert own <= BUILTIN_KINDS | former


@pytest.mark.parametrize(
    "kind",
    ["/Secret", "apps/Deployment", "cert-manager.io/Issuer", "external-secrets.io/SecretStore", "kyverno.io/Policy"],
)
def test_a_namespaced_kind_keeps_its_namespace(kind: str) -> None:
    assert kind not in CLUSTER_SCOPED


@pytest.mark.parametrize(
    "kind",
    [
        "/Namespace",
        "cert-manager.io/ClusterIssuer",
        "cilium.io/CiliumLoadBalancerIPPool",
        "constraints.gatekeeper.sh/*",
        "external-secrets.io/ClusterSecretStore",
        "gateway.networking.k8s.io/GatewayClass",
        "generators.external-secrets.io/ClusterGenerator",
        "kyverno.io/ClusterPolicy",
        "rbac.authorization.k8s.io/ClusterRole",
        "storage.k8s.io/StorageClass",
    ],
)
def test_a_cluster_wide_kind_is_found_from_every_namespace(kind: str) -> None:
    assert kind in CLUSTER_SCOPED


def test_what_every_cluster_has_stands_in_the_scope_of_its_kind() -> None:
    assert list(EVERYWHERE) == sorted(set(EVERYWHERE))
    by_kind = {name.rpartition("/")[2]: name for name in BUILTIN_KINDS}
    for kind, namespace, name in EVERYWHERE:
        cluster_wide = not {by_kind[kind], f"{by_kind[kind].rpartition('/')[0]}/*"}.isdisjoint(CLUSTER_SCOPED)
        assert bool(namespace) is not cluster_wide, f"{kind} {name}"


def test_nothing_that_an_api_server_takes_is_set_aside_as_a_tools_file() -> None:
    assert list(NOT_FOR_A_CLUSTER) == sorted(set(NOT_FOR_A_CLUSTER))
    served = {f"{group}/" for group in BUILTIN_GROUPS} | {f"{group}/" for chart in CHARTS for group in chart.crds}
    assert not [
        row for row, kind in NOT_FOR_A_CLUSTER if not kind and any(f"{name}v1".startswith(row) for name in served)
    ]
    assert not [(row, kind) for row, kind in NOT_FOR_A_CLUSTER if row == "v1" and f"/{kind}" in BUILTIN_KINDS]


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        ("kind.x-k8s.io/v1alpha4", "Cluster"),
        ("kubescheduler.config.k8s.io/v1", "KubeSchedulerConfiguration"),
        ("kustomize.config.k8s.io/v1beta1", "Kustomization"),
        ("skaffold/v4beta6", "Config"),
        ("v1", "Config"),
    ],
)
def test_a_tools_file_is_not_applied_to_a_cluster(api_version: str, kind: str) -> None:
    assert any(api_version.startswith(row) and wanted in ("", kind) for row, wanted in NOT_FOR_A_CLUSTER)


def test_every_engines_group_is_known_to_a_chart_as_well() -> None:
    assert [group for group in sorted(GITOPS_GROUPS) if not any(_brings(chart, group) for chart in CHARTS)] == []
