"""Whether the cluster says what git says: nothing that differs is missed, nothing that is the same is reported."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from copy import deepcopy
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.adapters.manifests import parse
from dr.core.model import Body, Path, Ref
from dr.core.parity import Difference, differences, extra
from dr.core.rules.parity import FORMS, LIST_KEYS
from dr.core.scan import DEEP, segments
from tests.strategies import names, texts, values

DEPLOYMENT = """
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web, namespace: shop, labels: {app.kubernetes.io/name: web}}
    spec:
      replicas: 2
      selector: {matchLabels: {app: web}}
      template:
        metadata: {creationTimestamp: null, labels: {app: web}}
        spec:
          containers:
          - name: web
            image: web:1
            args: [--port, "8080"]
            ports: [{containerPort: 8080}, {containerPort: 53, protocol: UDP}]
            env: [{name: A, value: a}, {name: EMPTY, value: ""}]
            resources: {limits: {cpu: 1000m, memory: 1Gi}}
            readinessProbe: {httpGet: {port: 8080, path: /ready}}
          - name: side
            image: side:1
          volumes: [{name: tmp, emptyDir: {}}, {name: conf, configMap: {name: conf}}]
          tolerations: [{key: a, effect: NoSchedule}, {key: b, operator: Exists}]
    """


def body(text: str) -> Body:
    """Return the object in YAML text."""
    found = parse(dedent(text).encode()).documents[0].body
    assert isinstance(found, dict)
    return found


def changed(text: str, *path: str | int, to: Any = None) -> tuple[Difference, ...]:
    """Return the differences once what stands at a path of the live object is `to`, or gone."""
    wanted = body(text)
    live = deepcopy(wanted)
    at: Any = live
    for part in path[:-1]:
        at = at[part]
    if to is None:
        del at[path[-1]]
    else:
        at[path[-1]] = to
    return differences(wanted, live)


def same(kind: str, field: str, wanted: Any, found: Any) -> bool:
    """Return whether two values of a field ("a.b.0.c") are the same for an object of a kind."""

    def put(value: Any) -> Body:
        for part in reversed(field.split(".")):
            value = [value] if part == "0" else {part: value}
        version, _, name = kind.rpartition("/")
        return {"apiVersion": version or "v1", "kind": name, **value}

    return not differences(put(wanted), put(found))


def test_what_the_server_and_controllers_add_is_no_difference() -> None:
    live = body(DEPLOYMENT)
    live["metadata"] |= {"uid": "1", "generation": 4, "managedFields": [{}], "ownerReferences": [{}]}
    live["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "3"}
    live["status"] = {"readyReplicas": 2}
    live["spec"] |= {"revisionHistoryLimit": 10, "progressDeadlineSeconds": 600}
    pod = live["spec"]["template"]["spec"]
    pod |= {"restartPolicy": "Always", "securityContext": {}}
    web = pod["containers"][0]
    web["ports"] = [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 8080, "protocol": "TCP"}]
    web["resources"]["limits"] = {"cpu": 1, "memory": "1024Mi"}
    web["env"] = [{"name": "INJECTED", "value": "x"}, {"name": "EMPTY"}, {"name": "A", "value": "a"}]
    pod["containers"] = [{"name": "istio-proxy"}, *reversed(pod["containers"])]
    pod["tolerations"] = [{"key": "c"}, *reversed(pod["tolerations"])]
    assert differences(body(DEPLOYMENT), live) == ()


@pytest.mark.parametrize(
    ("path", "to", "shown", "wanted", "found"),
    [
        (("spec", "replicas"), 3, "spec.replicas", "2", "3"),
        (
            ("metadata", "labels", "app.kubernetes.io/name"),
            None,
            'metadata.labels["app.kubernetes.io/name"]',
            '"web"',
            "(absent)",
        ),
        (
            ("spec", "template", "spec", "containers", 0, "image"),
            "web:2",
            "spec.template.spec.containers[name=web].image",
            '"web:1"',
            '"web:2"',
        ),
        (
            ("spec", "template", "spec", "containers", 1),
            None,
            "spec.template.spec.containers[name=side]",
            '{"image": "side:1", "name": "side"}',
            "(absent)",
        ),
        (
            ("spec", "template", "spec", "containers", 0, "args", 1),
            "80",
            "spec.template.spec.containers[name=web].args[1]",
            '"8080"',
            '"80"',
        ),
        (
            ("spec", "template", "spec", "containers", 0, "args", 1),
            None,
            "spec.template.spec.containers[name=web].args",
            '["--port", "8080"]',
            '["--port"]',
        ),
        (
            ("spec", "template", "spec", "containers", 0, "ports", 1),
            None,
            "spec.template.spec.containers[name=web].ports[containerPort=53,protocol=UDP]",
            '{"containerPort": 53, "protocol": "UDP"}',
            "(absent)",
        ),
        (
            ("spec", "template", "spec", "containers", 0, "resources", "limits", "cpu"),
            "1001m",
            "spec.template.spec.containers[name=web].resources.limits.cpu",
            '"1000m"',
            '"1001m"',
        ),
        (
            ("spec", "template", "spec", "volumes", 0, "emptyDir"),
            None,
            "spec.template.spec.volumes[name=tmp].emptyDir",
            "{}",
            "(absent)",
        ),
        (
            ("spec", "selector", "matchLabels", "more"),
            "x",
            "spec.selector.matchLabels.more",
            "(absent)",
            '"x"',
        ),
    ],
)
def test_a_changed_field_is_named_as_people_would(path: Path, to: Any, shown: str, wanted: str, found: str) -> None:
    assert changed(DEPLOYMENT, *path, to=to) == (Difference(shown, wanted, found),)


@pytest.mark.parametrize(
    ("kind", "field", "wanted", "found"),
    [
        ("Pod", "spec.containers.0.resources.limits.cpu", 0.5, "500m"),
        ("Pod", "spec.containers.0.resources.requests.memory", "1Gi", 1073741824),
        ("Pod", "spec.containers.0.resources.requests.memory", "1e3", "1k"),
        ("Pod", "spec.volumes.0.emptyDir.sizeLimit", "1024Mi", "1Gi"),
        ("Pod", "spec.hostNetwork", False, None),
        ("Pod", "spec.containers.0.args", [], None),
        ("Pod", "spec.nodeSelector", {}, None),
        ("Pod", "spec.nodeSelector", None, {}),
        ("Pod", "metadata.annotations.a", True, "true"),
        ("Pod", "metadata.labels", {"a": "b"}, {"a": "b", "c": "d"}),
        ("Pod", "metadata.creationTimestamp", None, "2026-01-01T00:00:00Z"),
        ("Pod", "spec.priority", 1, 1.0),
        ("PersistentVolumeClaim", "spec.resources.requests.storage", "1024Gi", "1Ti"),
        ("ResourceQuota", "spec.hard.requests.cpu", "2000m", "2"),
        ("LimitRange", "spec.limits.0.default.cpu", "0.1", "100m"),
        ("Service", "spec.clusterIP", "", "10.0.0.1"),
        ("Service", "spec.selector", {"a": "b"}, {"a": "b", "rollouts-pod-template-hash": "x"}),
        (
            "Service",
            "spec.ports",
            [{"port": 1}, {"port": 2}],
            [{"port": 2}, {"port": 1, "protocol": "TCP", "nodePort": 3}],
        ),
        ("Service", "spec.ports.0.targetPort", "80", 80),
        ("ServiceAccount", "secrets", [{"name": "a"}], [{"name": "a-token-x"}]),
        ("Lease", "spec.renewTime", "2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00.000000Z"),
        ("ConfigMap", "binaryData.a", "YWJj\nZGVm\n", "YWJjZGVm"),
        ("ConfigMap", "data.a", 1, "1"),
        ("Namespace", "metadata.finalizers", ["b", "a"], ["x", "a", "b"]),
        ("cert-manager.io/v1/Certificate", "spec.duration", "2160h", "2160h0m0s"),
        ("source.toolkit.fluxcd.io/v1/GitRepository", "spec.interval", "1.5h", "90m0s"),
        ("rbac.authorization.k8s.io/v1/RoleBinding", "roleRef.apiGroup", "", "rbac.authorization.k8s.io"),
        (
            "admissionregistration.k8s.io/v1/MutatingWebhookConfiguration",
            "webhooks.0.clientConfig.caBundle",
            "Cg==",
            "abcd",
        ),
        ("apiextensions.k8s.io/v1/CustomResourceDefinition", "spec.preserveUnknownFields", False, None),
    ],
)
def test_two_ways_to_write_one_value_are_no_difference(kind: str, field: str, wanted: Any, found: Any) -> None:
    assert same(kind, field, wanted, found)


@pytest.mark.parametrize(
    ("kind", "field", "wanted", "found"),
    [
        ("Pod", "spec.containers.0.image", "a:1000m", "a:1"),
        ("Pod", "spec.hostNetwork", False, True),
        ("Pod", "spec.automountServiceAccountToken", False, None),
        ("Pod", "spec.securityContext.runAsUser", 0, None),
        ("Pod", "spec.containers.0.args", [], ["--debug"]),
        ("Pod", "spec.containers.0.args", ["a", "b"], ["b", "a"]),
        ("Pod", "spec.containers.0.resources.limits.memory", "1G", "1Gi"),
        ("ConfigMap", "data.cpu", "1000m", "1"),
        ("ConfigMap", "data.a", "", None),
        ("NetworkPolicy", "spec.podSelector", {}, {"matchLabels": {"a": "b"}}),
        ("NetworkPolicy", "spec.ingress.0.from.0.podSelector", {}, None),
        ("Service", "spec.selector", {"a": "b"}, {"a": "b", "c": "d"}),
        ("Service", "spec.clusterIP", "None", "10.0.0.1"),
        ("Namespace", "metadata.finalizers", ["a"], ["b"]),
        ("cert-manager.io/v1/Certificate", "spec.duration", "2160h", "2161h"),
    ],
)
def test_a_value_that_means_something_else_is_a_difference(kind: str, field: str, wanted: Any, found: Any) -> None:
    assert not same(kind, field, wanted, found)


def test_an_autoscaler_may_set_the_replicas() -> None:
    live = body(DEPLOYMENT)
    live["spec"]["replicas"] = 9
    assert differences(body(DEPLOYMENT), live, scaled=True) == ()
    assert [d.path for d in differences(body(DEPLOYMENT), live)] == ["spec.replicas"]


def test_long_values_are_shown_where_they_part() -> None:
    line = "key = value\n" * 100
    wanted, live = ({"kind": "ConfigMap", "data": {"a": f"{line}x = {value}"}} for value in (1, 2))
    (found,) = differences(wanted, live)
    assert found.path == "data.a"
    assert "x = 1" in found.wanted
    assert "x = 2" in found.found
    assert max(len(found.wanted), len(found.found)) <= 80


SECRET = {"apiVersion": "v1", "kind": "Secret"}


def test_a_secret_is_compared_by_its_content_and_never_shown() -> None:
    wanted = {**SECRET, "data": {"a": "aHVudGVy\n", "gone": "aHVudGVy"}, "stringData": {"b": "hunter", "c": "hunter"}}
    live = {**SECRET, "data": {"a": "aHVudGVy", "b": "aHVudGVy", "c": "aHVudGVz", "more": "aHVudGVy"}}
    assert differences(wanted, live) == (
        Difference("data.gone", "(hidden)", "(absent)"),
        Difference("stringData.c", "(hidden)", "(hidden)"),
    )


def test_a_secret_that_sops_encrypted_need_only_have_its_keys() -> None:
    wanted = {**SECRET, "data": {"a": "ENC[AES256_GCM,x]", "b": "ENC[AES256_GCM,y]", "c": "eA=="}, "sops": {"mac": "z"}}
    live = {**SECRET, "data": {"a": "aHVudGVy", "c": "eQ=="}}
    assert [d.path for d in differences(wanted, live)] == ["data.b", "data.c"]


# Values of which none is nothing, none is another in another form, and none looks like a name of the tables.
LEAVES = st.integers(1, 9) | st.text("uvwxyz", min_size=3, max_size=6)
KEYS = st.text("uvwxyz", min_size=1, max_size=3)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(KEYS, inner, min_size=1, max_size=3),
    max_leaves=12,
)
CONTAINERS = st.lists(
    st.fixed_dictionaries({"name": KEYS, "image": LEAVES}, optional={"args": st.lists(LEAVES, max_size=3)}),
    min_size=1,
    max_size=4,
    unique_by=lambda container: str(container["name"]),
)
BODIES = st.fixed_dictionaries(
    {
        "apiVersion": st.just("example.org/v1"),
        "kind": st.just("Widget"),
        "metadata": st.fixed_dictionaries({"name": KEYS}, optional={"labels": st.dictionaries(KEYS, LEAVES)}),
        "spec": st.fixed_dictionaries({"containers": CONTAINERS}, optional={"more": TREES}),
    }
)


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from leaves(inner, (*path, place))
    else:
        yield path


def shown(value: Any, path: Path) -> str:
    """Return a path as a difference names it."""
    text = ""
    for part in path:
        if isinstance(part, int):
            label = f"name={value[part]['name']}" if text.endswith("spec.containers") else str(part)
            text += f"[{label}]"
        else:
            text += f".{part}"
        value = value[part]
    return text.removeprefix(".")


@st.composite
def grown(draw: st.DrawFn, value: Any, *, entries: bool = False) -> Any:
    """Return a value with anything added to its maps, and its containers shuffled among more."""
    if isinstance(value, dict):
        more = draw(st.dictionaries(st.text("klmn", min_size=2, max_size=3), values(max_leaves=3), max_size=2))
        return more | {key: draw(grown(inner, entries=key == "containers")) for key, inner in value.items()}
    if not isinstance(value, list):
        return value
    found = [draw(grown(inner)) for inner in value]
    return draw(st.permutations([*found, {"name": "injected"}])) if entries else found


@given(st.data(), BODIES)
def test_an_object_has_no_difference_to_itself_whatever_is_added(data: st.DataObject, wanted: Body) -> None:
    assert differences(wanted, data.draw(grown(wanted))) == ()


@given(st.data(), BODIES, st.booleans())
def test_a_field_of_git_that_is_changed_or_gone_is_found_where_it_is(
    data: st.DataObject, wanted: Body, gone: bool
) -> None:
    path = data.draw(st.sampled_from(sorted(leaves(wanted), key=str)))
    live = deepcopy(wanted)
    *parents, last = path
    at: Any = live
    for part in parents:
        at = at[part]
    if gone:
        del at[last]
    else:
        at[last] = "changed"
    live = data.draw(grown(live))
    found = [difference.path for difference in differences(wanted, live)]
    assert found
    # What git names an entry by, and the length of a list, is said of the entry and of the list.
    assert all(shown(wanted, path).startswith(place) for place in found)


@given(values(), values())
def test_no_json_is_too_strange_to_be_compared(wanted: Any, live: Any) -> None:
    for kind in ("Secret", "Service", "Widget"):
        found = differences({"apiVersion": "v1", "kind": kind, "spec": wanted}, {"kind": kind, "spec": live})
        assert found == tuple(sorted(found))
        assert all(len(d.wanted) <= 80 and len(d.found) <= 80 for d in found)


def test_depth_is_no_trouble() -> None:
    wanted: Any = 1
    live: Any = 2
    for _ in range(3_000):
        wanted, live = {"a": [wanted]}, {"a": [live]}
    (found,) = differences({"kind": "Widget", "spec": wanted}, {"kind": "Widget", "spec": live})
    assert (found.wanted, found.found) == ("1", "2")


@given(st.dictionaries(names, texts.map(lambda text: f"hunter{text}")), st.dictionaries(names, texts), st.booleans())
def test_no_value_of_a_secret_is_ever_in_what_is_found(
    wanted: dict[str, str], live: dict[str, str], encoded: bool
) -> None:
    def data(values: dict[str, str]) -> dict[str, str]:
        return {key: b64encode(value.encode()).decode() for key, value in values.items()}

    field = {"data": data(wanted)} if encoded else {"stringData": wanted}
    found = differences({**SECRET, **field}, {**SECRET, "data": data(live)})
    assert {(d.wanted, d.found) for d in found} <= {("(hidden)", "(hidden)"), ("(hidden)", "(absent)")}
    assert len(found) == sum(live.get(key) != value for key, value in wanted.items())


@given(st.text("0123456789.eEkKMGTPi+-numsh:TZ", max_size=12), st.text("0123456789.eEkKMGTPi+-numsh:TZ", max_size=12))
def test_no_text_is_too_strange_to_be_a_quantity_a_duration_or_a_time(one: str, other: str) -> None:
    def put(value: str) -> Body:
        return {"kind": "Lease", "spec": {"renewTime": value, "timeout": value, "limits": {"cpu": value}}}

    assert bool(differences(put(one), put(other))) == bool(differences(put(other), put(one)))


def test_every_path_of_the_tables_can_be_read() -> None:
    rows = [(str(form), path) for form, _, paths in FORMS for path in paths.split()]
    rows += [("list", path) for _, paths, _ in LIST_KEYS for path in paths.split()]
    for form, path in rows:
        parts = segments(path)
        assert DEEP not in parts[1:], (form, path)
        assert parts != (DEEP,)


def live(kind: str, name: str, namespace: str = "", version: str = "v1", **metadata: Any) -> Body:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace, **metadata}}


def test_only_what_nobody_asked_for_is_extra() -> None:
    expected = [Ref("extensions/v1beta1", "Deployment", "shop", "web"), Ref("v1", "Namespace", "", "shop")]
    derived = frozenset([Ref("v1", "Secret", "shop", "tls"), Ref("v1", "Secret", "", "everywhere")])
    bodies = [
        live("Deployment", "web", "shop", "apps/v1"),
        live("Deployment", "stray", "shop", "apps/v1"),
        live("Deployment", "web", "other", "apps/v1"),
        live("Namespace", "shop"),
        live("Secret", "tls", "shop"),
        live("Secret", "everywhere", "shop"),
        live("Secret", "sh.helm.release.v1.web.v3", "shop"),
        live("Secret", "stray", "shop"),
        live("ReplicaSet", "web-5d", "shop", "apps/v1", ownerReferences=[{"kind": "Deployment"}]),
        live("ServiceAccount", "default", "shop"),
        live("ConfigMap", "kube-root-ca.crt", "shop"),
        live("ConfigMap", "anything", "kube-system"),
        live("ConfigMap", "played", "shop", labels={"dr.dev/simulated": "true"}),
        live("ConfigMap", "of-a-chart", "shop", annotations={"meta.helm.sh/release-name": "web"}),
        live("ClusterRole", "system:node", version="rbac.authorization.k8s.io/v1"),
        live(
            "ClusterRole", "view", version="rbac.authorization.k8s.io/v1", labels={"kubernetes.io/bootstrapping": "x"}
        ),
        live("EndpointSlice", "web-x", "shop", "discovery.k8s.io/v1"),
        live("PersistentVolumeClaim", "data-postgres-0", "shop"),
        {"kind": "Broken"},
    ]
    found = extra(expected, bodies, derived)
    assert [str(ref) for ref in found] == ["Deployment other/web", "Deployment shop/stray", "Secret shop/stray"]
    assert extra(expected, reversed(bodies), derived) == found
