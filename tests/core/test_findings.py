"""What stands against a cold restore is found, placed and explained."""

from __future__ import annotations

import pytest

from dr.core.graph import Source, build
from dr.core.missing import registry
from dr.core.model import Graph, Pin
from tests.core.build import codes, graph, objects


def _one(done: Graph, code: str) -> tuple[int, str]:
    found = [(d.where.line, d.cause) for d in done.diagnostics if d.code == code]
    assert len(found) == 1, done.diagnostics
    return found[0]


def test_an_api_that_no_cluster_serves_any_more_is_named_with_the_version() -> None:
    line, cause = _one(
        graph("\nkind: Ingress\napiVersion: extensions/v1beta1\nmetadata: {name: i, namespace: default}\n"),
        "removed-api",
    )
    assert (line, "1.22" in cause) == (3, True)


def test_an_api_that_is_served_is_no_finding() -> None:
    assert "removed-api" not in codes(
        graph("{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: i, namespace: default}}")
    )


def test_a_namespace_that_is_defined_nowhere_is_named_once() -> None:
    text = "\n---\n".join(
        f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c{i}\n  namespace: ghost" for i in range(3)
    )
    line, cause = _one(graph(text), "missing-namespace")
    assert (line, "ghost" in cause) == (5, True)


@pytest.mark.parametrize("namespace", ["default", "kube-system"])
def test_a_namespace_of_every_cluster_is_no_finding(namespace: str) -> None:
    assert not codes(graph(f"{{apiVersion: v1, kind: ConfigMap, metadata: {{name: c, namespace: {namespace}}}}}"))


def test_the_same_object_in_two_places_is_named_with_both() -> None:
    text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: default}}"
    done = build(Source((*objects(text, file="a.yaml"), *objects(text, file="b.yaml"))))
    assert [(str(d.where), "a.yaml:1" in d.cause) for d in done.diagnostics if d.code == "duplicate-object"] == [
        ("b.yaml:1", True)
    ]
    assert len(done.nodes) == 1


def test_the_same_object_in_two_environments_is_no_duplicate() -> None:
    text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: default}}"
    done = build(
        Source((*objects(text, file="a.yaml", env="staging"), *objects(text, file="b.yaml", env="production")))
    )
    assert not codes(done)
    assert len(done.nodes) == 2


def test_an_environment_never_leans_on_another() -> None:
    pod = "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: default}, spec: {containers: [{name: c, envFrom: [{configMapRef: {name: c}}]}]}}"
    config = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: default}}"
    apart = build(
        Source((*objects(pod, env="staging", file="p.yaml"), *objects(config, env="production", file="c.yaml")))
    )
    shared = build(Source((*objects(pod, env="staging", file="p.yaml"), *objects(config, env="", file="c.yaml"))))
    assert "missing-reference" in codes(apart)
    assert "missing-reference" not in codes(shared)


def test_a_chart_folder_that_is_not_in_git_is_named() -> None:
    text = """\
apiVersion: helm.fluxcd.io/v1
kind: HelmRelease
metadata: {name: r, namespace: default}
spec:
  chart:
    git: git@git.example:acme/%s
    path: charts/app
"""
    here = build(Source(objects(text % "platform"), pins=(Pin("platform", "/repos/platform"),)))
    assert _one(here, "missing-chart")[0] == 7
    there = build(
        Source(
            objects(text % "platform"), folders=frozenset({"charts/app"}), pins=(Pin("platform", "/repos/platform"),)
        )
    )
    assert "missing-chart" not in codes(there)
    elsewhere = build(Source(objects(text % "other"), pins=(Pin("platform", "/repos/platform"),)))
    assert [str(d.level) for d in elsewhere.diagnostics if d.code == "missing-chart"] == ["warning"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (
            "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: p, namespace: default}, spec: {storageClassName: fast}}",
            "storage-class",
        ),
        (
            "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: p, namespace: default}, spec: {}}",
            "storage-class",
        ),
        (
            "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: p, namespace: default}, spec: {ingressClassName: x}}",
            "ingress-class",
        ),
        (
            "{apiVersion: v1, kind: Service, metadata: {name: p, namespace: default}, spec: {type: LoadBalancer}}",
            "load-balancer",
        ),
        (
            "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: default}, spec: {containers: [{image: 'ghcr.io/a/b'}]}}",
            "registry",
        ),
        (
            "{apiVersion: source.toolkit.fluxcd.io/v1, kind: GitRepository, metadata: {name: p, namespace: default}, spec: {secretRef: {name: k}}}",
            "deploy-key",
        ),
        (
            "{apiVersion: v1, kind: Secret, metadata: {name: p, namespace: default}, sops: {version: '3'}}",
            "decryption-key",
        ),
    ],
)
def test_each_thing_that_git_does_not_hold_is_a_prerequisite(text: str, kind: str) -> None:
    assert kind in {p.kind for p in graph(text).prerequisites}


def test_a_default_storage_class_in_git_is_enough() -> None:
    done = graph("""
        {apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: p, namespace: default}, spec: {}}
        ---
        apiVersion: storage.k8s.io/v1
        kind: StorageClass
        metadata: {name: s, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
    """)
    assert "storage-class" not in {p.kind for p in done.prerequisites}


def test_a_secret_in_plain_text_is_found_and_its_value_never_shown() -> None:
    done = graph(
        "{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: default}, stringData: {password: hunter2}}"
    )
    assert "secret-in-plain-text" in codes(done)
    assert "hunter2" not in repr(done)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("nginx", "docker.io"),
        ("a/b:1", "docker.io"),
        ("ghcr.io/a/b@sha256:0", "ghcr.io"),
        ("host:5000/x", "host:5000"),
        ("localhost/x", "localhost"),
    ],
)
def test_the_registry_of_an_image_is_the_one_a_node_would_ask(image: str, expected: str) -> None:
    assert registry(image) == expected
