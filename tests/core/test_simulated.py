"""What a rehearsal's stand-ins play: what the graph knows, and nothing that git lacks unless it is supplied."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.core.graph import Source, build
from dr.core.kubelet import Wish, owner_of, wishes
from dr.core.model import Ref, Resource, Where
from dr.core.simulated import Simulation, simulate
from tests.strategies import objects


def resource(api_version: str, kind: str, name: str, namespace: str = "default", **fields: Any) -> Resource:
    body = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **fields}
    return Resource(Ref(api_version, kind, namespace, name), Where(f"{kind}-{name}.yaml", 1), body)


def release(chart: str) -> Resource:
    return resource(
        "flux.weave.works/v1beta1", "HelmRelease", chart, spec={"chart": {"repository": "x", "name": chart}}
    )


def workload(name: str, key: str = "") -> Resource:
    env = [{"name": "K", "valueFrom": {"secretKeyRef": {"name": "token", "key": key}}}] if key else []
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "i", "env": env}]},
    }
    return resource(
        "apps/v1", "Deployment", name, spec={"selector": {"matchLabels": {"app": name}}, "template": template}
    )


SEALED = resource("bitnami.com/v1alpha1", "SealedSecret", "token", spec={"encryptedData": {}})


def play(*found: Resource, supply: tuple[str, ...] = ()) -> Simulation:
    return simulate(build(Source(found)), found, supply, {}, 0)


def served(simulation: Simulation, kind: str) -> Any:
    return next(item for item in simulation.served if item.ref.kind == kind)


def test_a_custom_resource_is_served_by_the_release_that_the_graph_found() -> None:
    found = served(play(SEALED, release("sealed-secrets"), workload("app", "password")), "SealedSecret")
    assert [by.name for by in found.by] == ["sealed-secrets"]


def test_what_a_controller_makes_has_the_keys_that_pods_take_from_it() -> None:
    simulation = play(SEALED, release("sealed-secrets"), workload("app", "password"), supply=("SealingKey/*",))
    made = served(simulation, "SealedSecret").makes
    assert [(body["kind"], list(body["stringData"])) for body in made] == [("Secret", ["password"])]
    assert not served(simulation, "SealedSecret").error


def test_without_the_sealing_key_nothing_is_unsealed() -> None:
    found = served(play(SEALED, release("sealed-secrets"), workload("app", "password")), "SealedSecret")
    assert "no sealing key opens it" in found.error


def test_crds_that_a_chart_brings_come_with_its_release_and_engines_apis_are_there_from_the_start() -> None:
    brought = {b.body["spec"]["names"]["kind"]: b.by for b in play(SEALED, release("sealed-secrets")).brought}
    assert brought["HelmRelease"] is None
    assert brought["SealedSecret"] is not None
    assert brought["SealedSecret"].kind == "HelmRelease"


def test_an_api_that_nothing_brings_is_missing_unless_it_is_supplied() -> None:
    widget = resource("widgets.example/v1", "Widget", "w")
    assert not play(widget).brought
    supplied = play(widget, supply=("API/widgets.example",))
    assert supplied.brought[0].body["metadata"]["name"] == "widgets.widgets.example"
    assert "API Widget.widgets.example (provided)" in supplied.names


@pytest.mark.parametrize(
    ("entry", "kind", "name"),
    [
        ("Namespace/lost", "Namespace", "lost"),
        ("Secret/lost/token", "Secret", "token"),
        ("Secret/*", "Secret", "token"),
    ],
)
def test_only_what_is_named_is_supplied_and_each_is_named_in_the_report(entry: str, kind: str, name: str) -> None:
    app = workload("app", "password")
    moved = Resource(
        Ref("apps/v1", "Deployment", "lost", "app"),
        app.where,
        {**app.body, "metadata": {"name": "app", "namespace": "lost"}},
    )
    assert not play(moved).objects
    simulation = play(moved, supply=(entry,))
    assert [(body["kind"], body["metadata"]["name"]) for body in simulation.objects] == [(kind, name)]
    assert len(simulation.names) == 1


def test_a_chart_folder_that_is_not_in_git_keeps_its_release_from_being_ready() -> None:
    broken = resource(
        "flux.weave.works/v1beta1", "HelmRelease", "app", spec={"chart": {"path": "charts/app", "git": ""}}
    )
    assert "charts/app" in served(play(broken), "HelmRelease").error
    assert not served(play(broken, supply=("Chart/charts/app",)), "HelmRelease").error


@given(st.lists(objects(), max_size=12))
def test_any_repo_can_be_played_and_the_same_whatever_the_file_order(bodies: list[dict[str, Any]]) -> None:
    found = [
        Resource(
            Ref(b["apiVersion"], b["kind"], b["metadata"].get("namespace", ""), b["metadata"]["name"]),
            Where(f"{n}.yaml", 1),
            b,
        )
        for n, b in enumerate(bodies)
    ]
    one = simulate(build(Source(tuple(found))), found, ("Secret/*", "API/*"), {}, 0)
    other = simulate(build(Source(tuple(reversed(found)))), list(reversed(found)), ("Secret/*", "API/*"), {}, 0)
    assert one == other


def test_a_pod_waits_for_what_it_cannot_do_without_and_for_nothing_optional() -> None:
    spec = {
        "containers": [
            {
                "env": [
                    {"valueFrom": {"secretKeyRef": {"name": "a", "key": "k"}}},
                    {"valueFrom": {"configMapKeyRef": {"name": "b", "key": "k", "optional": True}}},
                ],
                "envFrom": [{"configMapRef": {"name": "c"}}],
            }
        ],
        "imagePullSecrets": [{"name": "not-waited-for"}],
        "volumes": [
            {"persistentVolumeClaim": {"claimName": "d"}},
            {"projected": {"sources": [{"secret": {"name": "e", "items": [{"key": "x", "path": "y"}]}}]}},
        ],
    }
    assert wishes(spec) == (
        Wish("ConfigMap", "c"),
        Wish("PersistentVolumeClaim", "d", (), mounted=True),
        Wish("Secret", "a", ("k",)),
        Wish("Secret", "e", ("x",), mounted=True),
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda c: (
            st.lists(c, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "containers",
                        "volumes",
                        "env",
                        "envFrom",
                        "secret",
                        "projected",
                        "sources",
                        "name",
                        "valueFrom",
                        "secretKeyRef",
                    ]
                ),
                c,
                max_size=4,
            )
        ),
        max_leaves=20,
    )
)
def test_no_pod_however_malformed_stops_the_gate(spec: Any) -> None:
    assert isinstance(wishes(spec), tuple)


def test_a_pod_of_a_replica_set_belongs_to_its_deployment() -> None:
    meta = {"labels": {"pod-template-hash": "5d4"}, "ownerReferences": [{"kind": "ReplicaSet", "name": "web-5d4"}]}
    assert owner_of({"metadata": meta}) == ("Deployment", "web")
    assert owner_of({"metadata": {"name": "alone"}}) == ("Pod", "alone")


def test_what_is_taken_as_given_without_being_made_is_named() -> None:
    volume = resource("v1", "PersistentVolumeClaim", "data")
    body = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "lost"}}], "containers": []}
    app = resource("v1", "Pod", "app", spec=body)
    assert (
        "PersistentVolumeClaim default/lost (taken as given, not made)"
        in play(volume, app, supply=("PersistentVolumeClaim/default/lost",)).names
    )


def test_a_controller_that_git_does_not_show_is_named_as_taken_as_given() -> None:
    widget = resource("widgets.example/v1", "Widget", "w")
    assert any("controller of Widget.widgets.example" in name for name in play(widget).names)
    assert not any("controller of" in name for name in play(SEALED, release("sealed-secrets")).names)
