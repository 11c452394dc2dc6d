"""Restoring into a cluster that is slow, busy, forgetful, broken or full: what a user must be able to rely on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from msgspec.structs import replace

from dr.core.errors import ApiError, StoreError
from dr.core.events import (
    AnyEvent,
    Applied,
    Event,
    Failed,
    Operation,
    PlannedStep,
    Ready,
    Retried,
    Skipped,
    Started,
    decode,
    encode,
)
from dr.core.model import Body, Ref, Strength
from dr.core.work import Assignment, Work
from dr.engine.ports import Change
from dr.engine.recorder import Recorder
from dr.engine.restore import Outcome, Restore, Settings
from tests.engine.fake_cluster import FakeCluster

READY, EXISTS, SOFT = Strength.READY, Strength.EXISTS, Strength.SOFT


class Clock:
    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def now(self) -> str:
        return "2026-11-23T08:00:00.000+00:00"


class Memory:
    """A log in memory that is full after `room` events."""

    def __init__(self, room: int = 10**9) -> None:
        self.events: list[Any] = []
        self.room = room

    def append(self, event: Event) -> None:
        if len(self.events) >= self.room:
            raise StoreError("no space left on device", "make room")
        self.events.append(event)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def config(name: str) -> Body:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "a"}, "data": {}}


def deployment(name: str) -> Body:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "a"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}},
    }


AVAILABLE = {
    "observedGeneration": 1,
    "replicas": 1,
    "readyReplicas": 1,
    "availableReplicas": 1,
    "updatedReplicas": 1,
    "conditions": [{"type": "Available", "status": "True"}],
}


def available(body: Body) -> Body | None:
    return AVAILABLE if body["kind"] == "Deployment" else None


def plan(*rows: tuple[Body, Sequence[tuple[int, Strength]]], makes: dict[int, Ref] | None = None) -> Assignment:
    steps, work = [], []
    for index, (body, after) in enumerate(rows):
        ref = Ref(body["apiVersion"], body["kind"], body["metadata"].get("namespace", ""), body["metadata"]["name"])
        steps.append(PlannedStep(ref, "", tuple(b for b, _ in after), tuple(s for _, s in after)))
        made = (makes or {}).get(index)
        work.append(Work(body, "dr", (made,) if made else ()))
    return Assignment(tuple(steps), tuple(work))


def restore(
    assignment: Assignment,
    cluster: FakeCluster,
    log: Memory,
    applied: dict[int, str] | None = None,
    **settings: Any,
) -> Outcome:
    async def go() -> Outcome:
        recorder = Recorder(log, Clock())
        return await asyncio.wait_for(
            Restore(assignment, cluster, recorder, Settings(**{"timeout": 2.0, **settings})).run(applied or {}), 20
        )

    return asyncio.run(go())


def at(log: Memory, kind: type[Event], step: int) -> int:
    return next(i for i, e in enumerate(log.events) if isinstance(e, kind) and getattr(e, "step", -1) == step)


def test_a_step_starts_only_when_what_it_waits_for_is_healthy() -> None:
    log, cluster = Memory(), FakeCluster(becomes=available)
    outcome = restore(plan((deployment("db"), ()), (deployment("app"), [(0, READY)])), cluster, log)
    assert outcome.passed
    assert at(log, Ready, 0) < at(log, Started, 1)


def test_what_merely_must_exist_is_not_waited_for_until_it_is_healthy() -> None:
    log, cluster = Memory(), FakeCluster(becomes=available)
    assert restore(plan((deployment("db"), ()), (config("c"), [(0, EXISTS)])), cluster, log).passed
    assert at(log, Started, 1) < at(log, Ready, 0)


def test_an_object_that_never_becomes_ready_costs_only_what_hangs_on_it() -> None:
    def becomes(body: Body) -> Body | None:
        return AVAILABLE if body["metadata"]["name"] != "stuck" and body["kind"] == "Deployment" else None

    log = Memory()
    rows = plan(
        (deployment("stuck"), ()),
        (deployment("needs-it"), [(0, READY)]),
        (config("only-after-it"), [(0, SOFT)]),
        (deployment("apart"), ()),
    )
    outcome = restore(rows, FakeCluster(becomes=becomes), log, timeout=0.3)
    assert (outcome.ready, outcome.failed, outcome.skipped) == ((2, 3), (0,), (1,))
    assert log.of(Failed)[0].timeout
    assert "stuck" not in [name for _, name in FakeCluster().order]
    assert log.of(Skipped)[0].because == 0


@pytest.mark.parametrize(
    "error",
    [
        ApiError("conflict", status=409, reason="Conflict", heals=True),
        ApiError("slow down", status=429, heals=True, delay=0.01),
        ApiError("internal", status=500, heals=True),
        ApiError("connection reset", heals=True, reason="Unreachable"),
        ApiError("no matches for kind", reason="NoMatch", heals=True),
    ],
    ids=["409", "429", "500", "dropped", "no-match"],
)
def test_what_can_heal_is_tried_again_and_said(error: ApiError) -> None:
    def faults(_: Body, attempt: int) -> None:
        if attempt <= 2:
            raise error

    log, cluster = Memory(), FakeCluster(faults)
    assert restore(plan((config("a"), ()), (config("b"), [(0, EXISTS)])), cluster, log).passed
    assert [event.cause for event in log.of(Retried) if event.step == 0] == [error.cause] * 2


def test_the_pause_that_the_server_asks_for_is_kept() -> None:
    def faults(_: Body, attempt: int) -> None:
        if attempt == 1:
            raise ApiError("slow down", status=429, heals=True, delay=0.7)

    log = Memory()
    assert restore(plan((config("a"), ())), FakeCluster(faults), log).passed
    assert log.of(Applied)[0].at - log.of(Started)[0].at >= 0.7


def test_a_rejection_that_cannot_heal_is_not_tried_again() -> None:
    def faults(body: Body, _: int) -> None:
        if body["metadata"]["name"] == "bad":
            raise ApiError('spec.x: Invalid value: "1"', status=422, reason="Invalid")

    log, cluster = Memory(), FakeCluster(faults)
    outcome = restore(plan((config("bad"), ()), (config("needs"), [(0, EXISTS)]), (config("apart"), ())), cluster, log)
    assert (outcome.ready, outcome.failed, outcome.skipped) == ((2,), (0,), (1,))
    assert cluster.applies["ConfigMap", "bad"] == 1
    assert "Invalid value" in log.of(Failed)[0].cause


def test_a_kind_that_never_comes_is_given_up_after_the_patience_not_the_timeout() -> None:
    cluster, log = FakeCluster(), Memory()
    cluster.unserved.add("Widget")
    widget = {"apiVersion": "x.example/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "a"}}
    outcome = restore(plan((widget, ())), cluster, log, patience=0.3, timeout=15)
    assert outcome.failed == (0,)
    assert not log.of(Failed)[0].timeout


def test_a_retry_does_not_hold_up_other_objects() -> None:
    def faults(body: Body, attempt: int) -> None:
        if body["metadata"]["name"].startswith("slow") and attempt < 3:
            raise ApiError("busy", status=503, heals=True)

    rows = [(config(f"slow-{n}"), ()) for n in range(4)] + [(config(f"quick-{n}"), ()) for n in range(4)]
    log = Memory()
    assert restore(plan(*rows), FakeCluster(faults), log, concurrency=2).passed
    last_quick = max(at(log, Applied, n) for n in range(4, 8))
    assert last_quick < min(at(log, Applied, n) for n in range(4))


def test_a_step_waits_for_the_secret_that_a_controller_makes_of_it() -> None:
    secret = Ref("v1", "Secret", "a", "made")
    log, cluster = Memory(), FakeCluster()

    def becomes(body: Body) -> Body | None:
        if body["metadata"]["name"] == "sealed":
            made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "made", "namespace": "a"}}
            asyncio.get_running_loop().call_later(0.1, cluster.put, made)
        return None

    cluster.becomes = becomes
    rows = plan((config("sealed"), ()), (config("app"), [(0, READY)]), makes={0: secret})
    assert restore(rows, cluster, log).passed
    assert log.of(Ready)[0].at - log.of(Applied)[0].at >= 0.09


def test_an_old_state_of_the_object_does_not_count_as_ready() -> None:
    class Behind(FakeCluster):
        async def apply(self, body: Body, *, manager: str, dry_run: bool = False) -> tuple[Body, Operation]:
            stored, created = await super().apply(body, manager=manager)
            old = {**stored, "metadata": {**stored["metadata"], "generation": 1}, "status": AVAILABLE}
            new = {**stored, "metadata": {**stored["metadata"], "generation": 2}}
            asyncio.get_running_loop().call_later(0.01, self.put, old)
            return new, created

    log = Memory()
    assert restore(plan((deployment("d"), ())), Behind(), log, timeout=0.3).failed == (0,)


class Hasty(FakeCluster):
    """Its controllers are done, and its watches have told, before the answer to an apply arrives."""

    async def apply(self, body: Body, *, manager: str, dry_run: bool = False) -> tuple[Body, Operation]:
        stored, created = await super().apply(body, manager=manager)
        if body["metadata"]["name"].startswith("late"):
            made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "made", "namespace": "a"}}
            self.put(made)
            if body["kind"] == "Deployment":
                self.put({**stored, "status": AVAILABLE})
            await asyncio.sleep(0.05)
        return stored, created


def test_what_became_ready_before_its_apply_was_answered_is_not_waited_for() -> None:
    rows = plan((deployment("first"), ()), (deployment("late"), [(0, EXISTS)]))

    def becomes(body: Body) -> Body | None:
        return AVAILABLE if body["metadata"]["name"] == "first" else None

    assert restore(rows, Hasty(becomes=becomes), Memory(), timeout=1.0).passed


def test_what_was_made_before_the_apply_of_its_maker_was_answered_is_not_waited_for() -> None:
    other, secret = Ref("v1", "Secret", "a", "other"), Ref("v1", "Secret", "a", "made")
    cluster = Hasty()
    cluster.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "other", "namespace": "a"}})
    rows = plan((config("first"), ()), (config("late"), [(0, READY)]), makes={0: other, 1: secret})
    assert restore(rows, cluster, Memory(), timeout=1.0).passed


def test_a_watch_that_breaks_is_begun_again() -> None:
    cluster, log = FakeCluster(becomes=available), Memory()
    cluster.watch_faults = [
        ApiError("too old resource version", status=410, reason="Expired", heals=True),
        ApiError("connection reset", heals=True, reason="Unreachable"),
    ]
    assert restore(plan((deployment("d"), ())), cluster, log).passed


def test_a_watch_that_is_forbidden_is_said_and_not_waited_out() -> None:
    cluster, log = FakeCluster(), Memory()
    cluster.watch_faults = [ApiError("deployments is forbidden", status=403, reason="Forbidden")]
    assert restore(plan((deployment("d"), ())), cluster, log, timeout=15).failed == (0,)
    assert "forbidden" in log.of(Failed)[0].cause


@pytest.mark.parametrize("room", range(7))
def test_nothing_is_sent_that_cannot_be_written_down(room: int) -> None:
    cluster, log = FakeCluster(becomes=available), Memory(room)
    rows = plan((config("a"), ()), (deployment("b"), [(0, EXISTS)]), (config("c"), [(1, READY)]))
    with pytest.raises(StoreError):
        restore(rows, cluster, log)
    assert len(cluster.order) <= len(log.of(Started))


def test_a_full_log_ends_a_run_that_is_only_waiting() -> None:
    with pytest.raises(StoreError):
        restore(plan((deployment("never"), ())), FakeCluster(), Memory(room=3), timeout=0.2)


def state(log: Memory) -> dict[int, str]:
    return {event.step: event.uid for event in log.of(Applied)}


@pytest.mark.parametrize("room", range(1, 12))
def test_a_resumed_run_applies_nothing_again_and_ends_the_same(room: int) -> None:
    cluster, first, second = FakeCluster(becomes=available), Memory(room), Memory()
    rows = plan(
        (config("a"), ()),
        (deployment("b"), [(0, EXISTS)]),
        (deployment("c"), [(1, READY)]),
        (config("d"), [(2, READY)]),
    )
    with suppress(StoreError):
        restore(rows, cluster, first)
    outcome = restore(rows, cluster, second, applied=state(first))
    assert outcome.ready == (0, 1, 2, 3)
    # Only what was sent when the log filled up may be sent twice, with the same content.
    assert all(count <= 2 for count in cluster.applies.values())
    applied_again = {event.step for event in second.of(Applied)} & set(state(first))
    assert not applied_again


def test_what_was_deleted_meanwhile_is_applied_anew_on_resume() -> None:
    cluster, log = FakeCluster(), Memory()
    rows = plan((config("a"), ()), (config("b"), ()))
    restore(rows, cluster, log)
    before = state(log)
    cluster.objects.clear()
    again = Memory()
    assert restore(rows, cluster, again, applied=before).passed
    assert len(again.of(Applied)) == 2


def test_restoring_twice_changes_nothing() -> None:
    cluster = FakeCluster(becomes=available)
    rows = plan((config("a"), ()), (deployment("b"), [(0, EXISTS)]))
    restore(rows, cluster, Memory())
    before = {key: body["metadata"]["uid"] for key, body in cluster.objects.items()}
    log = Memory()
    assert restore(rows, cluster, log).passed
    assert {key: body["metadata"]["uid"] for key, body in cluster.objects.items()} == before
    assert {event.operation for event in log.of(Applied)} == {Operation.UNCHANGED}


def test_an_order_without_waiting_sends_in_its_order_and_never_twice() -> None:
    def faults(body: Body, _: int) -> None:
        if body["metadata"]["name"] == "a":
            raise ApiError("namespaces not found", status=404, reason="NotFound", heals=True)

    cluster = FakeCluster(faults)
    rows = plan((config("a"), ()), (config("b"), [(0, SOFT)]), (config("c"), [(1, SOFT)]))
    outcome = restore(rows, cluster, Memory(), concurrency=1, retries=False)
    assert outcome.failed == (0,)
    assert [name for _, name in cluster.order] == ["b", "c"]


def test_every_event_is_known_to_the_log_format() -> None:
    log = Memory()
    restore(plan((deployment("b"), ())), FakeCluster(becomes=available), log)
    back: list[AnyEvent] = list(decode(map(encode, log.events)))
    assert back == log.events


def test_what_is_tried_again_for_hours_does_not_end_in_an_overflow() -> None:
    log = Memory()

    async def go() -> None:
        work = Restore(plan((config("a"), ())), FakeCluster(), Recorder(log, Clock()), Settings(timeout=10**9))
        work._began[0] = 0.0
        work._tries[0] = 2000
        work._refused(0, ApiError("busy", status=503, heals=True))

    asyncio.run(go())
    assert log.of(Retried)[0].delay == 5.0


def service(name: str, **spec: Any) -> Body:
    spec = {"clusterIP": "10.0.0.1", "selector": {"app": name}, **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "a"}, "spec": spec}


def workload(name: str, **spec: Any) -> Body:
    template = {"metadata": {"labels": {"app": name, "more": "x"}}}
    return {**deployment(name), "spec": {"replicas": 1, "template": template, **spec}}


def slices(name: str, *, ready: bool) -> Body:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-1", "namespace": "a", "labels": {"kubernetes.io/service-name": name}},
        "endpoints": [{"addresses": ["10.1.0.1"], "conditions": {"ready": ready}}],
    }


SLEEPY: Body = {
    "apiVersion": "keda.sh/v1alpha1",
    "kind": "ScaledObject",
    "metadata": {"name": "x", "namespace": "a"},
    "spec": {"scaleTargetRef": {"name": "x"}},
}


class Answering(FakeCluster):
    """Its Deployments are available at once; their pods answer `late` seconds after that."""

    def __init__(self, late: float = 0.1) -> None:
        super().__init__(becomes=self._became)
        self.late = late

    def _became(self, body: Body) -> Body | None:
        if body["kind"] != "Deployment":
            return None
        loop = asyncio.get_running_loop()
        loop.call_later(self.late / 2, self.put, slices(body["metadata"]["name"], ready=False))
        loop.call_later(self.late, self.put, slices(body["metadata"]["name"], ready=True))
        return AVAILABLE


def test_who_awaits_a_service_starts_when_something_answers_behind_it() -> None:
    log = Memory()
    rows = plan((service("db"), ()), (workload("db"), [(0, EXISTS)]), (config("app"), [(0, READY)]))
    assert restore(rows, Answering(0.2), log).passed
    assert log.of(Started)[2].at - log.of(Ready)[0].at >= 0
    assert at(log, Ready, 0) < at(log, Started, 2)
    assert next(e for e in log.of(Ready) if e.step == 0).at - log.of(Applied)[1].at >= 0.15


@pytest.mark.parametrize(
    "rows",
    [
        ((service("x", type="ExternalName"), ()), (workload("x"), ()), (config("app"), [(0, READY)])),
        ((service("x", selector={}), ()), (workload("x"), ()), (config("app"), [(0, READY)])),
        ((service("x"), ()), (workload("x", replicas=0), ()), (config("app"), [(0, READY)])),
        ((service("x"), ()), (workload("x"), ()), (config("app"), [(0, READY)]), (SLEEPY, ())),
        ((service("x"), ()), (workload("another"), ()), (config("app"), [(0, READY)])),
        ((service("x"), ()), (workload("x"), [(0, EXISTS)]), (config("app"), [(0, EXISTS)])),
        ((service("x"), ()), (workload("x"), [(0, READY)])),
        ((service("x"), ()), (config("app"), [(0, READY)]), (workload("x"), [(1, SOFT)])),
    ],
    ids=[
        "external",
        "no selector",
        "no pods wanted",
        "asleep until there is work",
        "nobody behind",
        "not awaited",
        "cycle",
        "cycle by a soft edge",
    ],
)
def test_a_service_that_cannot_or_need_not_answer_is_ready_once_stored(rows: Any) -> None:
    outcome = restore(plan(*rows), Answering(9.0), Memory(), timeout=1.0)
    assert {index for index, (body, _) in enumerate(rows) if body["kind"] != "Deployment"} <= set(outcome.ready)


def test_the_time_of_a_service_runs_from_when_what_is_behind_it_began() -> None:
    class Slow(Answering):
        def _became(self, body: Body) -> Body | None:
            if body["metadata"]["name"] == "first":
                asyncio.get_running_loop().call_later(0.7, self.put, {**body, "status": AVAILABLE})
                return None
            return super()._became(body)

    rows = plan(
        (service("db"), ()), (deployment("first"), ()), (workload("db"), [(1, READY)]), (config("app"), [(0, READY)])
    )
    assert restore(rows, Slow(0.4), Memory(), timeout=1.0).passed


@pytest.mark.parametrize("late", [0.0, 0.05])
def test_a_service_is_given_up_with_what_is_behind_it(late: float) -> None:
    def faults(body: Body, _: int) -> None:
        if body["kind"] == "Deployment":
            raise ApiError("no such field", status=422, reason="Invalid")

    class Late(FakeCluster):
        async def apply(self, body: Body, *, manager: str, dry_run: bool = False) -> tuple[Body, Operation]:
            await asyncio.sleep(late if body["kind"] == "Service" else 0.02)
            return await super().apply(body, manager=manager)

    log = Memory()
    rows = plan((service("db"), ()), (workload("db"), ()), (config("app"), [(0, READY)]))
    assert restore(rows, Late(faults), log, timeout=15).failed == (0, 1)
    assert log.of(Failed)[-1].at < 1
    assert "Deployment a/db" in next(e.cause for e in log.of(Failed) if e.step == 0)


def test_what_somebody_deletes_while_it_is_waited_for_is_applied_anew_and_not_for_ever() -> None:
    class Deleting(FakeCluster):
        def __init__(self, times: int) -> None:
            super().__init__()
            self.times = times

        async def apply(self, body: Body, *, manager: str, dry_run: bool = False) -> tuple[Body, Operation]:
            stored, operation = await super().apply(body, manager=manager)
            loop = asyncio.get_running_loop()
            if self.applies["Deployment", "d"] <= self.times:
                loop.call_later(0.02, self.take, stored)
            else:
                loop.call_later(0.02, self.put, {**stored, "status": AVAILABLE})
            return stored, operation

        def take(self, body: Body) -> None:
            self.objects.clear()
            for queue in self.watchers["Deployment"]:
                queue.put_nowait(Change(body, gone=True))

    log, cluster = Memory(), Deleting(2)
    assert restore(plan((deployment("d"), ())), cluster, log).passed
    assert [event.cause for event in log.of(Retried)] == ["was deleted"] * 2
    log, cluster = Memory(), Deleting(10**9)
    assert restore(plan((deployment("d"), ())), cluster, log, timeout=15).failed == (0,)
    assert "was deleted 4 times" in log.of(Failed)[0].cause


FORBIDDEN = ApiError("watch is forbidden", status=403, reason="Forbidden")


def test_later_steps_of_a_kind_that_may_not_be_watched_fail_at_once_too() -> None:
    cluster, log = FakeCluster(), Memory()
    cluster.watch_faults = [FORBIDDEN]
    rows = plan((deployment("d"), ()), (config("c"), [(0, SOFT)]), (deployment("e"), [(1, READY)]))

    def slowly(body: Body, attempt: int) -> None:
        if body["metadata"]["name"] == "c" and attempt == 1:
            raise ApiError("busy", status=503, heals=True, delay=0.3)

    cluster.faults = slowly
    assert restore(rows, cluster, log, timeout=15).failed == (0, 2)
    assert log.of(Failed)[-1].at < 2
    assert all("forbidden" in event.cause for event in log.of(Failed))


def test_a_step_whose_made_object_may_not_be_watched_fails_at_once() -> None:
    cluster, log = FakeCluster(), Memory()
    cluster.watch_faults = [FORBIDDEN]
    rows = plan((config("sealed"), ()), makes={0: Ref("v1", "Secret", "a", "made")})
    assert restore(rows, cluster, log, timeout=15).failed == (0,)
    assert "cannot watch Secret" in log.of(Failed)[0].cause


def test_one_error_while_asking_what_to_wait_for_makes_nothing_ready_too_early() -> None:
    """A CRD that cannot be read for a moment does not make its objects count as ready with no status."""

    class Once(FakeCluster):
        asked = 0

        async def get(self, ref: Ref) -> Body | None:
            if ref.kind == "CustomResourceDefinition":
                self.asked += 1
                if self.asked == 1:
                    raise ApiError("busy", status=503, heals=True)
            return await super().get(ref)

    conditions: Body = {"properties": {"status": {"properties": {"conditions": {"type": "array"}}}}}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.x.example"},
        "spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": conditions}}]},
    }
    widget = {"apiVersion": "x.example/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "a"}}
    cluster, log = Once(), Memory()
    cluster.put(crd)
    rows = plan((widget, ()), (config("c"), [(0, READY)]))
    rows = Assignment(rows.steps, tuple(replace(w, awaited=w.body is widget) for w in rows.work))
    assert restore(rows, cluster, log, timeout=2.0).failed == (0,)
    assert cluster.asked == 2
    assert not log.of(Ready)
