"""Objects of old repos on new clusters: same meaning, a version that is served, and what was filled in is said."""

from __future__ import annotations

from copy import deepcopy
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.adapters.manifests import parse
from dr.core.convert import TRANSFORMS, Converted, convert
from dr.core.model import Body, Where
from dr.core.rules.conversions import CONVERSIONS, DEFAULTS, DROPPED
from dr.core.rules.removals import CRD_REMOVALS, REMOVALS
from dr.core.scan import segments
from tests.strategies import values

HERE = Where("apps.yaml", 12)
TABLE = [(v, kind, new, name) for vs, ks, new, name in CONVERSIONS for v in vs.split() for kind in ks.split()]
KINDS = {(version, kind): new for version, kind, new, _ in TABLE}

_QUESTION = "a question to the API server, never stored"
_RECORD = "a record of what happened, not of what is wanted"
_REQUEST = "made for one request of one moment, and answered or void since"
_ALPHA = "an alpha feature whose shape and meaning changed; its objects and their driver must move together"
WITHOUT = {
    ("authentication.k8s.io/v1alpha1", ""): _QUESTION,
    ("authentication.k8s.io/v1beta1", "SelfSubjectReview"): _QUESTION,
    ("authentication.k8s.io/v1beta1", "TokenReview"): _QUESTION,
    ("authorization.k8s.io/v1beta1", ""): _QUESTION,
    ("certificates.k8s.io/v1alpha1", "PodCertificateRequest"): _REQUEST,
    ("certificates.k8s.io/v1beta1", "CertificateSigningRequest"): _REQUEST,
    ("coordination.k8s.io/v1alpha1", ""): _ALPHA,
    ("events.k8s.io/v1beta1", ""): _RECORD,
    ("networking.k8s.io/v1alpha1", "IPAddress"): "the API server's own note of a Service's address",
    ("resource.k8s.io/v1alpha1", ""): _ALPHA,
    ("resource.k8s.io/v1alpha2", ""): _ALPHA,
    ("resource.k8s.io/v1alpha3", "DeviceClass"): _ALPHA,
    ("resource.k8s.io/v1alpha3", "ResourceClaim"): _ALPHA,
    ("resource.k8s.io/v1alpha3", "ResourceClaimTemplate"): _ALPHA,
    ("resource.k8s.io/v1alpha3", "ResourceSlice"): _ALPHA,
    ("scheduling.k8s.io/v1alpha1", "Workload"): _ALPHA,
    ("scheduling.k8s.io/v1alpha2", ""): _ALPHA,
    ("storagemigration.k8s.io/v1alpha1", ""): "a task of the old cluster's storage, done or pointless on a new one",
}


def converted(text: str) -> Converted:
    """Return the conversion of an object in YAML text, which must not be changed by it."""
    body = parse(dedent(text).encode()).documents[0].body
    before = deepcopy(body)
    found = convert(body, HERE)
    assert body == before
    assert found is not None
    assert found.body["apiVersion"] == found.to
    assert all(note.startswith(f"apps.yaml:12: {body['kind']} ") for note in found.notes)
    return found


def said(found: Converted) -> str:
    return "\n".join(found.notes)


@pytest.mark.parametrize("row", REMOVALS, ids=lambda row: f"{row.api_version}-{'-'.join(row.kinds)}")
def test_every_removed_version_is_converted_or_not_for_a_reason(row: Any) -> None:
    for kind in row.kinds or ("",):
        known = {new for (version, of), new in KINDS.items() if version == row.api_version and kind in ("", of)}
        deliberate = not row.instead or (row.api_version, kind) in WITHOUT
        assert known == (set() if deliberate else {row.instead})


def test_the_versions_of_projects_are_theirs_to_move() -> None:
    """Which versions a custom resource has is up to the CRD, which the repo pins: only both can move, together."""
    assert not {row.api_version for row in CRD_REMOVALS} & {version for version, _ in KINDS}


def test_the_tables_speak_of_conversions_only() -> None:
    gone = {(row.api_version, kind) for row in REMOVALS for kind in row.kinds or ("",)}
    assert len(KINDS) == len(TABLE)
    assert all((version, kind) in gone or (version, "") in gone for version, kind in KINDS)
    assert {(version, kind) for version, kind, *_ in (*DEFAULTS, *DROPPED)} <= set(KINDS)
    assert {name for *_, name in TABLE} - {""} == set(TRANSFORMS)
    assert all(segments(path) for _, _, path, _ in DEFAULTS)


@given(st.sampled_from(TABLE), values(), st.dictionaries(st.sampled_from(["spec", "webhooks", "subjects"]), values()))
def test_a_broken_object_is_left_to_the_server_to_refuse(
    row: tuple[str, ...], value: Any, more: dict[str, Any]
) -> None:
    body = {"apiVersion": row[0], "kind": row[1], "metadata": value, **more}
    before = deepcopy(body)
    found = convert(body, HERE)
    assert found is not None
    assert body == before
    assert found == convert(body, HERE)
    assert convert(found.body, HERE) is None


@pytest.mark.parametrize(
    ("version", "kind"),
    [("apps/v1", "Deployment"), ("policy/v1beta1", "PodSecurityPolicy"), ("extensions/v1beta1", "Widget"), ("", "")],
)
def test_what_is_served_or_has_no_successor_is_left_alone(version: str, kind: str) -> None:
    assert convert({"apiVersion": version, "kind": kind}, HERE) is None
    assert convert({}, HERE) is None


def test_a_deployment_of_old_keeps_its_selector_and_its_way_to_roll_out() -> None:
    found = converted("""
        apiVersion: extensions/v1beta1
        kind: Deployment
        metadata: {name: web}
        spec:
          rollbackTo: {revision: 1}
          strategy: {rollingUpdate: {maxSurge: 2}}
          template: {metadata: {labels: {app: web}}}
        status: {replicas: 1}
        """)
    assert found.body == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "progressDeadlineSeconds": 2147483647,
            "revisionHistoryLimit": 2147483647,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2, "maxUnavailable": 1}},
            "template": {"metadata": {"labels": {"app": "web"}}},
        },
    }
    assert "spec.selector is taken from the labels of its template" in said(found)
    assert "spec.rollbackTo is left out" in said(found)
    assert found.notes[0].startswith("apps.yaml:12: Deployment web: ")


def test_a_deployment_that_is_recreated_gets_no_rolling_update() -> None:
    found = converted("""
        {apiVersion: extensions/v1beta1, kind: Deployment, metadata: {name: web}, spec: {strategy: {type: Recreate}}}
        """)
    assert found.body["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize(
    ("version", "kind", "spec", "expected"),
    [
        ("extensions/v1beta1", "DaemonSet", {"templateGeneration": 3}, {"updateStrategy": {"type": "OnDelete"}}),
        ("apps/v1beta1", "StatefulSet", {}, {"updateStrategy": {"type": "OnDelete"}}),
        ("apps/v1beta1", "Deployment", {}, {"revisionHistoryLimit": 2}),
        (
            "apps/v1beta2",
            "StatefulSet",
            {"selector": {"matchLabels": {"a": "b"}}},
            {"selector": {"matchLabels": {"a": "b"}}},
        ),
        ("apps/v1beta2", "DaemonSet", {}, {}),
    ],
)
def test_a_workload_behaves_as_its_version_made_it(
    version: str, kind: str, spec: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = convert({"apiVersion": version, "kind": kind, "metadata": {"name": "a"}, "spec": spec}, HERE)
    assert found is not None
    assert (found.to, found.body["spec"]) == ("apps/v1", expected)


@pytest.mark.parametrize("version", ["extensions/v1beta1", "networking.k8s.io/v1beta1"])
def test_an_ingress_sends_its_traffic_to_the_same_ports(version: str) -> None:
    found = converted(f"""
        apiVersion: {version}
        kind: Ingress
        metadata: {{name: web, annotations: {{kubernetes.io/ingress.class: nginx}}}}
        spec:
          backend: {{serviceName: fallback, servicePort: 80}}
          rules:
          - host: a.example.org
            http:
              paths:
              - {{path: /, backend: {{serviceName: web, servicePort: http}}}}
              - {{path: /b, pathType: Prefix, backend: {{serviceName: web, servicePort: "8080"}}}}
              - {{path: /c, backend: {{resource: {{kind: Bucket, name: c}}}}}}
          - host: b.example.org
        """)
    assert found.body == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "web", "annotations": {"kubernetes.io/ingress.class": "nginx"}},
        "spec": {
            "defaultBackend": {"service": {"name": "fallback", "port": {"number": 80}}},
            "rules": [
                {
                    "host": "a.example.org",
                    "http": {
                        "paths": [
                            {
                                "path": "/",
                                "pathType": "ImplementationSpecific",
                                "backend": {"service": {"name": "web", "port": {"name": "http"}}},
                            },
                            {
                                "path": "/b",
                                "pathType": "Prefix",
                                "backend": {"service": {"name": "web", "port": {"number": 8080}}},
                            },
                            {
                                "path": "/c",
                                "pathType": "ImplementationSpecific",
                                "backend": {"resource": {"kind": "Bucket", "name": "c"}},
                            },
                        ]
                    },
                },
                {"host": "b.example.org"},
            ],
        },
    }


def test_a_webhook_fails_as_softly_as_it_did() -> None:
    found = converted("""
        apiVersion: admissionregistration.k8s.io/v1beta1
        kind: ValidatingWebhookConfiguration
        metadata: {name: policy}
        webhooks:
        - {name: a.example.org, clientConfig: {url: https://a}}
        - {name: b.example.org, failurePolicy: Fail, timeoutSeconds: 5, matchPolicy: Equivalent, sideEffects: NoneOnDryRun,
           admissionReviewVersions: [v1]}
        """)
    assert found.body["webhooks"] == [
        {
            "name": "a.example.org",
            "clientConfig": {"url": "https://a"},
            "failurePolicy": "Ignore",
            "matchPolicy": "Exact",
            "timeoutSeconds": 30,
            "sideEffects": "None",
            "admissionReviewVersions": ["v1beta1"],
        },
        {
            "name": "b.example.org",
            "failurePolicy": "Fail",
            "matchPolicy": "Equivalent",
            "timeoutSeconds": 5,
            "sideEffects": "NoneOnDryRun",
            "admissionReviewVersions": ["v1"],
        },
    ]
    assert 'sideEffects of webhook "a.example.org" is None' in said(found)


def test_a_definition_goes_on_to_take_what_it_took() -> None:
    found = converted("""
        apiVersion: apiextensions.k8s.io/v1beta1
        kind: CustomResourceDefinition
        metadata: {name: widgets.example.org}
        spec:
          group: example.org
          version: v1
          names: {kind: Widget, plural: widgets}
          subresources: {status: {}}
          additionalPrinterColumns: [{name: Size, type: integer, JSONPath: .spec.size}]
          validation:
            openAPIV3Schema:
              properties:
                apiVersion: {}
                metadata: {}
                spec:
                  properties:
                    size: {type: integer}
                    port: {anyOf: [{type: string}, {type: integer}]}
                    bare: {type: array}
                    rest: {description: anything}
                    list: {items: {properties: {a: {type: string}}}}
        status: {conditions: []}
        """)
    keep = "x-kubernetes-preserve-unknown-fields"
    item = {"type": "object", keep: True, "properties": {"a": {"type": "string"}}}
    schema = {
        "type": "object",
        keep: True,
        "properties": {
            "apiVersion": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": {
                "type": "object",
                keep: True,
                "properties": {
                    "size": {"type": "integer"},
                    "port": {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True},
                    "bare": {"type": "array", "items": {keep: True}},
                    "rest": {"description": "anything", keep: True},
                    "list": {"type": "array", "items": item},
                },
            },
        },
    }
    assert found.body["spec"] == {
        "group": "example.org",
        "scope": "Namespaced",
        "names": {"kind": "Widget", "plural": "widgets"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
                "schema": {"openAPIV3Schema": schema},
            }
        ],
    }
    assert "status" not in found.body
    assert "are kept" in said(found)


def test_each_version_of_a_definition_gets_a_schema() -> None:
    found = converted("""
        apiVersion: apiextensions.k8s.io/v1beta1
        kind: CustomResourceDefinition
        metadata: {name: widgets.x.k8s.io}
        spec:
          group: x.k8s.io
          scope: Cluster
          preserveUnknownFields: false
          conversion: {strategy: Webhook, webhookClientConfig: {url: https://a}}
          versions:
          - {name: v2, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {a: {type: string}}}}}
          - {name: v1, served: true, storage: false}
        """)
    spec = found.body["spec"]
    assert [version["schema"]["openAPIV3Schema"] for version in spec["versions"]] == [
        {"type": "object", "properties": {"a": {"type": "string"}}},
        {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    ]
    assert spec["conversion"] == {
        "strategy": "Webhook",
        "webhook": {"clientConfig": {"url": "https://a"}, "conversionReviewVersions": ["v1beta1"]},
    }
    assert "preserveUnknownFields" not in spec
    assert found.body["metadata"]["annotations"]["api-approved.kubernetes.io"].startswith("unapproved")
    assert 'version "v1" has no schema' in said(found)


def test_an_autoscaler_aims_at_what_it_aimed_at() -> None:
    found = converted("""
        apiVersion: autoscaling/v2beta1
        kind: HorizontalPodAutoscaler
        metadata: {name: web}
        spec:
          scaleTargetRef: {apiVersion: extensions/v1beta1, kind: Deployment, name: web}
          metrics:
          - {type: Resource, resource: {name: cpu, targetAverageUtilization: 80}}
          - {type: Resource, resource: {name: memory, targetAverageValue: 1Gi}}
          - {type: Pods, pods: {metricName: hits, targetAverageValue: 10}}
          - type: Object
            object: {target: {kind: Ingress, name: web}, metricName: hits, targetValue: 100, selector: {matchLabels: {a: b}}}
          - {type: External, external: {metricName: queue, metricSelector: {matchLabels: {a: b}}, targetValue: 5}}
        """)
    spec = found.body["spec"]
    assert spec["scaleTargetRef"]["apiVersion"] == "apps/v1"
    selector = {"matchLabels": {"a": "b"}}
    assert spec["metrics"] == [
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}},
        {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
        {"type": "Pods", "pods": {"metric": {"name": "hits"}, "target": {"type": "AverageValue", "averageValue": 10}}},
        {
            "type": "Object",
            "object": {
                "describedObject": {"kind": "Ingress", "name": "web"},
                "metric": {"name": "hits", "selector": selector},
                "target": {"type": "Value", "value": 100},
            },
        },
        {
            "type": "External",
            "external": {"metric": {"name": "queue", "selector": selector}, "target": {"type": "Value", "value": 5}},
        },
    ]


def test_a_metric_that_has_the_new_shape_stays_as_it_is() -> None:
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 8}},
    }
    body = {"apiVersion": "autoscaling/v2beta2", "kind": "HorizontalPodAutoscaler", "spec": {"metrics": [metric]}}
    found = convert(body, HERE)
    assert found == Converted({**body, "apiVersion": "autoscaling/v2"}, "autoscaling/v2")


def test_a_budget_that_guarded_no_pod_does_not_guard_all() -> None:
    text = "{{apiVersion: policy/v1beta1, kind: PodDisruptionBudget, metadata: {{name: a}}, spec: {spec}}}"
    found = converted(text.format(spec="{minAvailable: 1, selector: {}}"))
    assert found.body["spec"] == {"minAvailable": 1}
    assert "chose no pod" in said(found)
    kept = converted(text.format(spec="{minAvailable: 1, selector: {matchLabels: {a: b}}}"))
    assert kept.body["spec"] == {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}
    assert not kept.notes


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            (
                "{apiVersion: discovery.k8s.io/v1alpha1, kind: EndpointSlice, addressType: IP, endpoints: "
                "[{addresses: [10.0.0.1], topology: {kubernetes.io/hostname: node-1, topology.kubernetes.io/zone: z, x: y}}]}"
            ),
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "addressType": "IPv4",
                "endpoints": [{"addresses": ["10.0.0.1"], "nodeName": "node-1", "zone": "z"}],
            },
        ),
        (
            (
                "{apiVersion: flowcontrol.apiserver.k8s.io/v1beta1, kind: PriorityLevelConfiguration, "
                "spec: {type: Limited, limited: {assuredConcurrencyShares: 5}}}"
            ),
            {
                "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
                "kind": "PriorityLevelConfiguration",
                "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 5}},
            },
        ),
        (
            "{apiVersion: node.k8s.io/v1alpha1, kind: RuntimeClass, spec: {runtimeHandler: gvisor, overhead: {}}}",
            {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "handler": "gvisor", "overhead": {}},
        ),
        (
            "{apiVersion: networking.k8s.io/v1alpha1, kind: ServiceCIDR, spec: {ipv4: 10.0.0.0/8}}",
            {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "spec": {"cidrs": ["10.0.0.0/8"]}},
        ),
        (
            (
                "{apiVersion: rbac.authorization.k8s.io/v1alpha1, kind: RoleBinding, subjects: "
                "[{kind: User, name: '*', apiVersion: rbac.authorization.k8s.io/v1alpha1}, "
                "{kind: ServiceAccount, name: a, apiVersion: v1}]}"
            ),
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "subjects": [
                    {"kind": "Group", "name": "system:authenticated", "apiGroup": "rbac.authorization.k8s.io"},
                    {"kind": "ServiceAccount", "name": "a"},
                ],
            },
        ),
        (
            "{apiVersion: admissionregistration.k8s.io/v1alpha1, kind: ValidatingAdmissionPolicyBinding, spec: {policyName: a}}",
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingAdmissionPolicyBinding",
                "spec": {"policyName": "a", "validationActions": ["Deny"]},
            },
        ),
        (
            "{apiVersion: batch/v2alpha1, kind: CronJob, spec: {schedule: '@daily'}}",
            {"apiVersion": "batch/v1", "kind": "CronJob", "spec": {"schedule": "@daily"}},
        ),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_an_object_takes_its_new_shape(old: str, new: Body) -> None:
    assert converted(old).body == new
