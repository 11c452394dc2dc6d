"""What goes to the API server for an object of git, and as whose."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.core.exact import adoption, exact
from dr.core.model import Body, Ref, Resource, Unit, Where
from dr.core.rules.engines import CLIENT_ANNOTATIONS, SERVER_FIELDS

FLUX = Unit("web", "Kustomization", "web", owner=Ref("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "flux", "web"))
ARGO = Unit("web", "Application", "web", owner=Ref("argoproj.io/v1alpha1", "Application", "argocd", "web"))
TRACKING = "argocd.argoproj.io/tracking-id"


def resource(body: Body, namespace: str = "shop") -> Resource:
    name = body["metadata"].get("name") or f"{body['metadata'].get('generateName')}*"
    return Resource(Ref(body["apiVersion"], body["kind"], namespace, name), Where("a.yaml", 1), body)


def cm(**metadata: Any) -> Body:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", **metadata}, "data": {"k": "v"}}


def test_a_namespace_that_kustomize_put_on_a_cluster_scoped_object_is_not_applied() -> None:
    body = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "a", "namespace": "shop"},
    }
    assert exact(resource(body, "")) == body | {"metadata": {"name": "a"}}


def test_an_object_without_a_namespace_gets_the_one_it_is_deployed_to() -> None:
    assert exact(resource(cm())) == cm(namespace="shop")
    assert exact(resource(cm(namespace="git"), "forced")) == cm(namespace="forced")


def test_what_was_exported_from_a_cluster_is_applied_as_if_written_by_hand() -> None:
    exported = cm(
        **dict.fromkeys(SERVER_FIELDS, "x"), annotations={**dict.fromkeys(CLIENT_ANNOTATIONS, "{}"), "own": "1"}
    )
    assert exact(resource(exported | {"status": {"a": 1}})) == cm(namespace="shop", annotations={"own": "1"})
    only = cm(annotations=dict.fromkeys(CLIENT_ANNOTATIONS, "{}"))
    assert exact(resource(only)) == cm(namespace="shop")


def test_what_looks_like_a_server_field_deeper_in_an_object_is_kept() -> None:
    body = cm(namespace="shop") | {
        "spec": {"status": 1, "template": {"metadata": {"creationTimestamp": None, "uid": "a"}}}
    }
    assert exact(resource(body)) == body


def test_applying_an_object_with_a_generated_name_twice_makes_one_object() -> None:
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"generateName": "job-"}, "spec": {"a": 1}}
    name = exact(resource(body))["metadata"]["name"]
    assert re.fullmatch(r"job-[0-9a-f]{5}", name)
    assert exact(resource(dict(reversed(body.items()))), ARGO)["metadata"]["name"] == name
    assert exact(resource(body | {"spec": {"a": 2}}))["metadata"]["name"] != name
    assert exact(resource(body | {"status": {"a": 2}}))["metadata"]["name"] == name


@pytest.mark.parametrize(
    ("version", "kind", "namespace", "mark"),
    [
        ("v1", "ConfigMap", "shop", "web:/ConfigMap:shop/a"),
        ("apps/v1", "Deployment", "shop", "web:apps/Deployment:shop/a"),
        ("rbac.authorization.k8s.io/v1", "ClusterRole", "", "web:rbac.authorization.k8s.io/ClusterRole:there/a"),
    ],
)
def test_argo_cd_knows_a_restored_object_as_its_own(version: str, kind: str, namespace: str, mark: str) -> None:
    body = cm(annotations={"own": "1", TRACKING: "old"}) | {"apiVersion": version, "kind": kind}
    applied = exact(resource(body, namespace), ARGO, "there")
    assert applied["metadata"]["annotations"] == {"own": "1", TRACKING: mark}
    assert "labels" not in applied["metadata"]
    assert adoption(ARGO) == ("argocd-controller", {}, {})


def test_the_mark_of_an_object_without_a_namespace_is_that_of_its_manifest_or_destination() -> None:
    def mark(body: Body, destination: str = "") -> object:
        return exact(resource(body, ""), ARGO, destination)["metadata"]["annotations"][TRACKING]

    assert mark(cm(namespace="git"), "there") == "web:/ConfigMap:git/a"
    assert mark(cm(), "there") == "web:/ConfigMap:there/a"
    assert mark(cm()) == "web:/ConfigMap:/a"


def test_flux_knows_a_restored_object_as_its_own() -> None:
    labels = {"kustomize.toolkit.fluxcd.io/name": "web", "kustomize.toolkit.fluxcd.io/namespace": "flux"}
    assert adoption(FLUX) == ("kustomize-controller", labels, {})
    assert exact(resource(cm(labels={"own": "1"})), FLUX) == cm(namespace="shop", labels={"own": "1", **labels})


@pytest.mark.parametrize("kind", ["folder", "overlay", "service"])
def test_what_no_engine_deploys_is_ours_and_bears_no_mark(kind: str) -> None:
    unit = Unit("web", kind, "web")
    assert adoption(unit) == ("dr", {}, {})
    assert exact(resource(cm()), unit) == exact(resource(cm()))


def test_a_part_of_a_unit_has_its_manager_without_an_owner_to_name() -> None:
    assert adoption(Unit("web:sub", "Kustomization", "web")) == ("kustomize-controller", {}, {})


def test_a_name_with_braces_is_no_template() -> None:
    applied = exact(resource(cm(name="{x.__class__}")), ARGO)
    assert applied["metadata"]["annotations"][TRACKING] == "web:/ConfigMap:shop/{x.__class__}"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_METADATA = st.dictionaries(
    st.sampled_from([*sorted(SERVER_FIELDS), "finalizers", "ownerReferences", "deletionGracePeriodSeconds"]), _JSON
)
_ANNOTATIONS = st.dictionaries(st.sampled_from([*sorted(CLIENT_ANNOTATIONS), "a", "b"]), st.text(), max_size=4)
_FIELDS = st.dictionaries(st.sampled_from(["spec", "data", "status", "x"]), _JSON)


@given(_METADATA, _ANNOTATIONS, _FIELDS, st.sampled_from(["", "shop"]), st.sampled_from([None, FLUX, ARGO]))
def test_nothing_else_changes_and_git_stays_as_it_is(
    metadata: Body, annotations: dict[str, str], fields: Body, namespace: str, unit: Unit | None
) -> None:
    given_ = resource({**cm(**metadata, annotations=annotations, labels={"own": "1"}), **fields}, namespace)
    before = copy.deepcopy(given_)
    applied = exact(given_, unit)
    assert given_ == before
    assert exact(Resource(given_.ref, given_.where, applied), unit) == applied
    assert applied.keys() == given_.body.keys() - {"status"}
    assert {k: v for k, v in applied.items() if k != "metadata"} == {
        k: v for k, v in given_.body.items() if k not in ("metadata", "status")
    }
    changed = {*SERVER_FIELDS, "namespace", "annotations", "labels"}
    assert applied["metadata"].get("namespace", "") == namespace
    assert {k: v for k, v in applied["metadata"].items() if k not in changed} == {
        k: v for k, v in given_.body["metadata"].items() if k not in changed
    }
    assert not SERVER_FIELDS & applied["metadata"].keys()
    kept = {k: v for k, v in applied["metadata"].get("annotations", {}).items() if k != TRACKING}
    assert kept == {k: v for k, v in annotations.items() if k not in CLIENT_ANNOTATIONS}
    assert applied["metadata"]["labels"].items() >= {"own": "1"}.items()
