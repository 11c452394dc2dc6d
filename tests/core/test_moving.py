"""A move between clusters, as far as it can be judged without one: findings, shares of traffic, parity, progress."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dr.core.adopted_place import patch, place
from dr.core.adopting import adopted
from dr.core.bound import bound, tokens, unplaced
from dr.core.census import Census, Counting
from dr.core.events import (
    Aborted,
    AnyEvent,
    Carried,
    Carrying,
    Confirmed,
    PlannedStep,
    Stage,
    Staged,
    Steered,
    Switched,
)
from dr.core.forklift import Cutover, Data, Forklift, Override, Postgres, Seen, Side, Traffic, TrafficCommand, Volume
from dr.core.forklift import parse as parse_file
from dr.core.gameday import RepoSource, SteadyState
from dr.core.hidden import Live, Written, hidden
from dr.core.model import Body, Document, Level, Ref, Resource, Strength, Where
from dr.core.moving import findings
from dr.core.progress import NEEDS, STAGES, progress
from dr.core.shares import consistent
from dr.core.twins import compared, plain
from dr.core.work import Assignment, Work, behind

MOVE = Forklift("Move", (RepoSource("repo"),), Side("old-cluster"), Side("new-cluster"))


def body(kind: str, name: str, home: str = "shop", version: str = "v1", **more: Any) -> Body:
    metadata = {"name": name, "namespace": home, "uid": f"{kind}-{home}-{name}"}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}


def census(*bodies: Body, **more: Any) -> Census:
    counting = Counting()
    counting.take(bodies)
    return counting.census(more.pop("server", "https://10.9.8.7:6443"), more.pop("version", "v1.37.2"), "", ())


def of_git(value: Body) -> Resource:
    metadata = value["metadata"]
    ref = Ref(value["apiVersion"], value["kind"], metadata.get("namespace", ""), metadata["name"])
    return Resource(ref, Where("shop.yaml", 3), value)


def told(old: Census, new: Census, *resources: Resource, move: Forklift = MOVE, begun: bool = False) -> list[str]:
    git = [resource.ref for resource in resources]
    rows = findings(old, new, move, resources, git, hidden(old.live, git), begun=begun)
    return [f"{row.check} {row.level} {row.subject}: {row.cause}" for row in rows]


# Who is behind an object.


@pytest.mark.parametrize(
    ("writers", "by"),
    [
        (("kubectl-edit",), "hand"),
        (("kubectl-client-side-apply", "kube-controller-manager"), "hand"),
        (("Terraform",), "hand"),
        (("k9s",), "hand"),
        (("kustomize-controller",), "engine"),
        (("argocd-controller",), "engine"),
        (("shop-operator",), "controller"),
        (("operator",), "controller"),
        (("somebody",), "unknown"),
        ((), "unknown"),
    ],
)
def test_a_finding_names_who_wrote_the_object(writers: Sequence[str], by: str) -> None:
    one = Live(Ref("v1", "ConfigMap", "shop", "x"), "u", writers=tuple(Written(name, "2026") for name in writers))
    runs = Live(Ref("apps/v1", "Deployment", "shop", "shop-operator"), "d")
    found = [h.by for h in hidden([one, runs], [runs.ref])]
    assert found == [by]


@given(st.permutations(range(12)))
def test_the_same_is_found_in_whatever_order_a_server_lists(order: list[int]) -> None:
    objects = [
        Live(Ref("v1", "ConfigMap", "shop", f"c{i}"), f"u{i}", owners=(f"u{i + 1}",) if i % 3 else (),
             writers=(Written(("kubectl", "gizmo", "helm")[i % 3], "2026"),))
        for i in range(12)
    ]  # fmt: skip
    assert hidden([objects[i] for i in order], ()) == hidden(objects, ())


def test_what_is_owned_by_something_that_is_gone_is_not_taken_for_a_controllers() -> None:
    one = Live(Ref("v1", "ConfigMap", "shop", "x"), "u", owners=("gone",), writers=(Written("kubectl", "2026"),))
    assert [h.by for h in hidden([one], ())] == ["hand"]


def test_a_status_is_no_reason_to_think_that_somebody_made_an_object() -> None:
    writers = (Written("kube-controller-manager", "1"), Written("kubectl", "2", status=True))
    one = Live(Ref("v1", "ConfigMap", "shop", "x"), "u", writers=writers)
    assert hidden([one], ()) == ()


# Findings.


def test_two_clusters_whose_names_were_swapped_are_seen_by_what_they_hold() -> None:
    git = of_git(body("ConfigMap", "settings"))
    full, empty = census(body("ConfigMap", "settings")), census()
    assert "swapped error" in " ".join(told(empty, full, git))
    assert "swapped info" in " ".join(told(full, empty, git))


def test_a_new_cluster_that_holds_something_is_refused_until_the_move_has_begun() -> None:
    git = of_git(body("ConfigMap", "settings"))
    full = census(body("ConfigMap", "settings"))
    assert any("empty error to: is not empty" in row for row in told(full, full, git))
    assert not any(row.startswith("empty") for row in told(full, full, git, begun=True))


def test_an_older_cluster_is_refused_and_a_newer_one_is_not() -> None:
    older, newer = census(version="v1.36.9"), census(version="v1.38.0")
    assert any(row.startswith("version error") for row in told(census(), older))
    assert not any(row.startswith("version error") for row in told(census(), newer))


def test_data_that_nobody_moves_is_an_error_and_what_is_moved_is_not() -> None:
    store = body(
        "StatefulSet", "db", version="apps/v1", spec={"volumeClaimTemplates": [{"metadata": {"name": "data"}}]}
    )
    claim = body("PersistentVolumeClaim", "files", status={"phase": "Bound", "capacity": {"storage": "5Gi"}})
    old = census(store, claim)
    found = told(old, census(), of_git(store))
    assert sum(row.startswith("data error") for row in found) == 2
    assert any("a volume of 5Gi" in row for row in found)
    moves = (
        Data("orders", "StatefulSet/shop/db", postgres=Postgres("A", "B")),
        Data("files", "PersistentVolumeClaim/shop/files", volume=Volume("shop/files", "snap", "csi")),
    )
    assert not any(
        row.startswith("data error") for row in told(old, census(), of_git(store), move=replace(MOVE, data=moves))
    )
    left = replace(MOVE, left_behind=("*/shop/*",))
    assert not any(row.startswith("data error") for row in told(old, census(), of_git(store), move=left))


def test_a_key_that_only_the_old_cluster_has_is_named() -> None:
    key = body("Secret", "key", "kube-system")
    key["metadata"]["labels"] = {"sealedsecrets.bitnami.com/sealed-secrets-key": "active"}
    assert any(row.startswith("keys error Secret kube-system/key") for row in told(census(key), census()))
    assert not any(row.startswith("keys error") for row in told(census(key), census(key)))


def test_what_is_bound_to_the_old_cluster_is_found_with_its_line() -> None:
    balancer = body(
        "Service",
        "front",
        status={"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}},
        spec={"clusterIPs": ["10.0.0.9"]},
    )
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker-7", "labels": {"disk": "fast"}}}
    words = tokens(census(balancer, node), ["old-cluster"])
    deployed = of_git(
        body(
            "Deployment", "web", version="apps/v1",
            spec={"template": {"spec": {
                "nodeSelector": {"disk": "fast"},
                "containers": [{"name": "c", "env": [
                    {"name": "PUBLIC", "value": "https://203.0.113.7/x"},
                    {"name": "NOT", "value": "203.0.113.77"},
                    {"name": "API", "value": "10.9.8.7:6443"},
                    {"name": "WHERE", "value": "old-cluster"},
                ]}],
            }}},
        )
    )  # fmt: skip
    found = {one.what.split(",")[0] for one in bound([deployed], words)}
    assert found == {"203.0.113.7", "10.9.8.7", "old-cluster"}
    assert [labels for _, _, labels in unplaced([deployed], [node])] == []
    assert [labels for _, _, labels in unplaced([deployed], [{"metadata": {"labels": {}}}])] == ["disk=fast"]


def test_workloads_that_do_not_fit_the_new_nodes_are_said() -> None:
    asks = {"containers": [{"name": "c", "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}]}
    deployed = of_git(body("Deployment", "web", version="apps/v1", spec={"replicas": 5, "template": {"spec": asks}}))
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "n"},
        "status": {"allocatable": {"cpu": "2", "memory": "64Gi"}},
    }
    found = told(census(), census(node), deployed)
    assert any("ask for 2.5 of cpu, and its nodes have 2" in row for row in found)
    assert not any("of memory" in row for row in found)


# Traffic.


@given(st.integers(20, 200), st.integers(0, 100))
def test_a_share_of_exactly_what_was_told_is_never_called_a_lie(samples: int, weight: int) -> None:
    assert consistent(round(samples * weight / 100), samples, weight)


@given(st.integers(30, 200))
def test_a_hook_that_did_nothing_is_found_out_at_every_step(samples: int) -> None:
    assert not consistent(0, samples, 50)
    assert not consistent(0, samples, 100)
    assert not consistent(samples, samples, 0)
    assert not consistent(samples - 1, samples, 100)
    assert not consistent(0, 0, 50)
    assert consistent(0, samples, 10) == (0.9**samples >= 0.01)


# Parity.


def test_what_differs_by_nature_is_no_difference() -> None:
    def service(address: str, port: int) -> Body:
        spec = {
            "clusterIP": address,
            "clusterIPs": [address],
            "ports": [{"port": 80, "nodePort": port}],
            "type": "NodePort",
        }
        found = body("Service", "web", spec=spec, status={"loadBalancer": {"ingress": [{"ip": address}]}})
        found["metadata"] |= {"resourceVersion": address, "creationTimestamp": address, "managedFields": [{}]}
        return found

    assert plain(service("10.0.0.1", 30001)) == plain(service("10.0.0.2", 30002))


def test_a_difference_names_both_values_and_the_side_that_left_git() -> None:
    git = body("ConfigMap", "settings", data={"a": "1", "b": "1"})
    old = plain(body("ConfigMap", "settings", data={"a": "1", "b": "2"}))
    new = plain(body("ConfigMap", "settings", data={"a": "1", "b": "1"}))
    (found,) = compared(Ref("v1", "ConfigMap", "shop", "settings"), git, old, new)
    assert (found.path, found.old, found.new, found.drifted, found.allowed) == ("data.b", '"2"', '"1"', "from", False)
    allowed = compared(found.ref, git, old, new, [Override("ConfigMap/shop/*", "data.*")])
    assert [twin.allowed for twin in allowed] == [True]
    assert compared(found.ref, git, new, new) == ()
    (gone,) = compared(found.ref, git, new, None)
    assert (gone.new, gone.drifted) == ("(absent)", "to")


def test_a_value_of_a_secret_is_not_shown_where_it_differs() -> None:
    git = body("Secret", "key", data={"p": "cA=="})
    old, new = (plain(body("Secret", "key", data={"p": value})) for value in ("aHVudGVyMg==", "cA=="))
    (found,) = compared(Ref("v1", "Secret", "shop", "key"), git, old, new)
    assert (found.old, found.new) == ("(hidden)", "(hidden)")


@given(st.recursive(st.none() | st.booleans() | st.text(max_size=5), lambda c: st.lists(c, max_size=3) | st.dictionaries(st.text(max_size=5), c, max_size=3), max_leaves=8))  # fmt: skip
def test_parity_survives_any_object_and_an_object_is_its_own_twin(value: Any) -> None:
    one = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": value}
    assert compared(Ref("v1", "Service", "", "x"), one, plain(one), plain(one)) == ()
    adopted(one)


# Progress.


def test_a_stage_counts_only_until_it_begins_anew() -> None:
    passed: list[AnyEvent] = [Stage(0, "preflight", "t0"), Staged(1, "preflight", "passed", "t1")]
    assert progress(passed).lacking("bootstrap") == ()
    assert progress([*passed, Stage(2, "preflight", "t2")]).lacking("bootstrap") == ("preflight",)
    assert set(NEEDS) == set(STAGES)


def went(*stages: str, outcome: str = "passed") -> list[AnyEvent]:
    return [e for name in stages for e in (Stage(0, name, "t"), Staged(1, name, outcome, "t"))]


READY = ("preflight", "bootstrap", "verify", "parity")


@pytest.mark.parametrize("stage", ["bootstrap", "verify", "parity", "preflight"])
def test_what_fails_when_it_is_done_again_stops_the_move_before_users_are_moved(stage: str) -> None:
    assert progress(went(*READY)).lacking("cutover") == ()
    assert progress([*went(*READY), *went(stage, outcome="failed")]).lacking("cutover")


def test_looking_again_costs_no_second_bootstrap() -> None:
    assert progress([*went(*READY), *went("preflight")]).lacking("cutover") == ()


@pytest.mark.parametrize("stage", ["bootstrap", "parity", "verify", "preflight"])
def test_what_is_looked_at_after_the_cutover_does_not_ask_for_another(stage: str) -> None:
    moved = [*went(*READY), Switched(2, "to"), *went("cutover", "drain"), *went(stage, outcome="failed")]
    assert progress(moved).lacking("retire") == ()


def test_users_are_not_moved_to_data_that_was_not_copied_or_only_in_part() -> None:
    events: list[AnyEvent] = went(*READY)
    assert progress(events).lacking("cutover", ["orders"]) == ("data",)
    events += [Carrying(2, "orders", "copy"), Carried(3, "orders", "copy", 2)]
    assert progress(events).lacking("cutover", ["orders"]) == ()
    assert progress(events).lacking("cutover", ["orders", "files"]) == ("data",)
    for again in ([], [Carried(5, "orders", "copy", 4, cause="disk full")]):  # killed on the way, and failed
        assert progress([*events, Carrying(4, "orders", "copy"), *again]).lacking("cutover", ["orders"]) == ("data",)


@pytest.mark.parametrize("stage", ["bootstrap", "data"])
def test_nothing_is_copied_over_what_users_wrote_on_the_new_cluster(stage: str) -> None:
    there: list[AnyEvent] = [Switched(1, "to")]
    stopping: list[AnyEvent] = [Carrying(1, "orders", "freeze")]
    for events in (there, stopping):
        assert "over what users have written" in progress(events).against(stage, ["orders"])[0]
        assert progress([*events, Switched(2, "from")]).against(stage, ["orders"]) == ("", "")
    assert progress(there).against(stage) == ("", ""), "there is no data"


def test_a_drain_that_was_undone_counts_for_nothing_and_users_cannot_go_back_to_one_that_was_not() -> None:
    events = [*went(*READY), Switched(2, "to"), *went("cutover"), Stage(3, "drain", "t")]
    assert "drain of `from` has begun" in progress(events).against("cutover")[0]
    events.append(Staged(4, "drain", "passed", "t"))
    assert progress(events).lacking("retire") == ()
    events.append(Staged(5, "drain", "undone", "t"))
    assert progress(events).lacking("retire") == ("drain",)
    assert progress(events).against("cutover") == ("", "")
    assert "drain" not in progress(events).passed


def test_a_switch_goes_on_from_where_it_was() -> None:
    events: list[AnyEvent] = [Steered(1, 50, 0), Carrying(2, "orders", "freeze")]  # cut off there, it may be frozen
    assert (progress(events).frozen, progress(events).settled, progress(events).weight) == (True, frozenset(), 50)
    events.append(Carried(3, "orders", "compare", 2, same=True))
    assert progress(events).settled == {"orders"}
    events.append(Switched(4, "to"))
    assert (progress(events).frozen, progress(events).settled, progress(events).side) == (False, frozenset(), "to")
    assert progress(events).thawed == frozenset(), "it was decided, and nobody was told yet"
    events.append(Carried(5, "orders", "thaw", 4))
    assert progress(events).thawed == {"orders"}


def test_a_return_that_was_cut_off_goes_on_and_is_forgotten_once_it_is_done() -> None:
    events: list[AnyEvent] = [Confirmed(0, "move 50 %", "ada", 0), Aborted(1, "users", "503")]
    assert progress(events).returning == "503"
    events.append(Staged(2, "cutover", "returned", "t"))
    assert (progress(events).returning, progress(events).confirmed) == ("", frozenset())


def test_what_uses_a_store_waits_for_its_data_and_nothing_else_waits_longer() -> None:
    names = ("db", "web", "other")
    refs = [Ref("apps/v1", "StatefulSet" if name == "db" else "Deployment", "shop", name) for name in names]
    steps = (
        PlannedStep(refs[0]),
        PlannedStep(refs[1], after=(0,), strengths=(Strength.SOFT,)),
        PlannedStep(refs[2], after=(1,), strengths=(Strength.SOFT,)),
    )
    done = behind(Assignment(steps, tuple(Work({}, "dr") for _ in steps)), [Ref("", "StatefulSet", "shop", "db")])
    assert [step.strengths for step in done.steps] == [(), (Strength.READY,), (Strength.SOFT,)]


# The file.


def wrong(**changes: Any) -> list[str]:
    content: dict[str, Any] = {"title": "t", "repos": [{"url": "r"}], **changes}
    _, found = parse_file(Document(content, 1), "move.yaml")
    assert all(d.level is Level.ERROR for d in found)
    return [d.cause for d in found]


SEEN = {"url": "http://x", "from": "a", "to": "b"}


def _annotated(**changes: Any) -> dict[str, Any]:
    hook = {"object": "Service/shop/front", "key": "routing.example/weight", **changes}
    return {"traffic": [{"annotation": hook}], "seen": SEEN}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"nonsense": 1}, "there is no field"),
        ({"cutover": {"steps": [10, 50]}}, "must end with 100"),
        ({"cutover": {"steps": [50, 10, 100]}}, "that grow"),
        ({"cutover": {"pause": [20]}}, "none of `steps`"),
        ({"cutover": {"traffic": [{"command": {"argv": ["true"]}}]}}, "would not be noticed"),
        ({"from": {"context": "a"}, "to": {"context": "a"}}, "same cluster"),
        ({"from": {"context": "a", "lock": "x"}, "to": {"context": "b", "lock": "x"}}, "its own"),
        ({"from": {"context": "a", "lock": ""}}, "length >= 1"),
        ({"data": [{"name": "x", "of": "StatefulSet/shop/db"}]}, "exactly one of"),
        ({"data": [{"name": "x", "of": "db", "command": {"copy": ["a"], "count": ["b"]}}]}, "Kind/namespace/name"),
        ({"data": [{"name": "x", "of": "StatefulSet/shop/db", "velero": {"namespaces": ["shop"]}}]}, "the Namespace"),
        ({"data": [{"name": "x", "of": "Namespace//shop", "velero": {"namespaces": ["shop", "b"]}}]}, "the Namespace"),
        ({"data": [{"name": "x", "of": "Namespace//shop", "velero": {"namespaces": ["shop"]}}]}, ""),
        ({"overrides": [{"object": "x"}]}, "Kind/namespace/name"),
        ({"steady_state": {"probes": [{"name": "nothing"}]}}, "must be exactly one of http"),
        (
            {"steady_state": {"probes": [{"name": "x", "kubernetes": {"service": "shop"}}]}},
            "not written as namespace/name",
        ),
        ({"cutover": _annotated(object="shop")}, "shop is not Kind/namespace/name"),
        ({"cutover": _annotated(values={"old": "{rest}"})}, "old is no side: it is from or to"),
        ({"cutover": _annotated(values={})}, "nothing would be told"),
        ({"cutover": {"seen": {**SEEN, "samples": 40}}}, "nothing at 10 %: give 44 or more"),
        ({"cutover": {"seen": {**SEEN, "samples": 60}, "steps": [45, 50, 100]}}, "nothing at 50 %"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_with_its_reason(changes: dict[str, Any], said: str) -> None:
    found = wrong(**changes)
    assert any(said in cause for cause in found) if said else not found, found


def test_a_file_that_can_be_meant_is_read_whole() -> None:
    plan = Cutover((Traffic(command=TrafficCommand(("a",))),), Seen("http://x", "a", "b"))
    assert plan.switch_at == 100
    assert replace(plan, writes_at=50).switch_at == 50
    assert SteadyState().consecutive == 3


# Adoption.


def test_a_patch_adds_files_that_git_can_apply() -> None:
    content = patch([(place(Ref("v1", "ConfigMap", "shop", "a:b")), "kind: ConfigMap\nmetadata: {}\n")]).decode()
    assert "+++ b/adopted/shop/configmap-a-b.yaml" in content
    assert "@@ -0,0 +1,2 @@\n+kind: ConfigMap" in content
    assert patch([]) == b""
