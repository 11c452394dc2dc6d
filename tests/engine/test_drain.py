"""The old cluster's workloads are stopped and started again: afterwards everything is as people had left it."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping
from typing import Any, cast

import pytest

from dr.core.body import get
from dr.core.errors import ApiError
from dr.core.events import Drained, Event, PlannedStep
from dr.core.model import Body, Ref, Strength
from dr.core.work import Assignment, Work
from dr.engine.drain import drain, undrain
from dr.engine.recorder import Recorder

KUSTOMIZE, HELM, ARGO = "kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io", "argoproj.io"


class Old:
    """A cluster whose workloads stop the moment that they are told to. `served`: what kinds there are."""

    def __init__(self, *bodies: Body) -> None:
        self.objects = {(b["kind"], b["metadata"]["name"]): copy.deepcopy(b) for b in bodies}
        self.stopped: list[str] = []

    async def get(self, ref: Ref) -> Body | None:
        return self.objects.get((ref.kind, ref.name))

    async def list(self, api_version: str, kind: str) -> tuple[Body, ...]:
        found = tuple(b for b in self.objects.values() if (b["apiVersion"], b["kind"]) == (api_version, kind))
        if not found:
            raise ApiError("no matches", reason="NoMatch")
        return found

    async def patch(self, ref: Ref, body: Body) -> Body:
        found = self.objects[ref.kind, ref.name]
        assert found["apiVersion"] == ref.api_version
        _merge(found, body)
        if get(body, "spec", "replicas") == 0:
            self.stopped.append(ref.name)
        return found


def _merge(into: dict[str, Any], patch: Mapping[str, Any]) -> None:
    for key, value in patch.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict):
            _merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


class Log:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def append(self, event: Event) -> None:
        self.events.append(event)


class Clock:
    def monotonic(self) -> float:
        return 0.0

    def now(self) -> str:
        return "2026-11-23T10:00:00+00:00"


def of(api_version: str, kind: str, name: str, **spec: Any) -> Body:
    metadata = {"name": name, "namespace": "shop", "annotations": {}}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


PLATFORM = (
    of("apps/v1", "StatefulSet", "db", replicas=1),
    of("apps/v1", "Deployment", "web", replicas=3),
    of("batch/v1", "CronJob", "report", suspend=False),
    of("batch/v1", "CronJob", "paused", suspend=True),
)
STEPS = (
    PlannedStep(Ref("apps/v1", "StatefulSet", "shop", "db")),
    PlannedStep(Ref("apps/v1", "Deployment", "shop", "web"), after=(0,), strengths=(Strength.SOFT,)),
    PlannedStep(Ref("batch/v1", "CronJob", "shop", "report"), after=(0,), strengths=(Strength.SOFT,)),
    PlannedStep(Ref("batch/v1", "CronJob", "shop", "paused"), after=(0,), strengths=(Strength.SOFT,)),
)
ASSIGNMENT = Assignment(STEPS, tuple(Work({}, "dr") for _ in STEPS))


def drained(old: Old) -> Log:
    log = Log()
    assert asyncio.run(drain(old, ASSIGNMENT, Recorder(log, Clock()), 1.0)) == 4
    return log


def test_consumers_are_stopped_before_what_they_need_and_all_is_started_again() -> None:
    old = Old(*PLATFORM)
    log = drained(old)
    assert old.stopped == ["web", "db"]
    assert {cast("Drained", e).ref.name: cast("Drained", e).replicas for e in log.events}["web"] == 3
    assert not drained(old).events, "again, it changes nothing"
    assert asyncio.run(undrain(old, ASSIGNMENT)) == 4
    assert list(old.objects.values()) == list(PLATFORM)


@pytest.mark.parametrize("version", ["v1", "v1beta2", "v1beta1"])
def test_an_engine_rests_in_whatever_version_it_is_served(version: str) -> None:
    engines = (
        of(f"{KUSTOMIZE}/{version}", "Kustomization", "apps", interval="1m"),
        of(f"{HELM}/{version.replace('v1', 'v2')}", "HelmRelease", "cart", suspend=False),
    )
    old = Old(*PLATFORM, *engines)
    drained(old)
    assert [old.objects[b["kind"], b["metadata"]["name"]]["spec"]["suspend"] for b in engines] == [True, True]


def test_what_people_had_suspended_stays_so_and_what_was_automatic_is_again() -> None:
    automated = {"prune": True, "selfHeal": True}
    engines = (
        of(f"{KUSTOMIZE}/v1", "Kustomization", "apps"),
        of(f"{KUSTOMIZE}/v1", "Kustomization", "frozen", suspend=True),
        of(f"{ARGO}/v1alpha1", "Application", "shop", syncPolicy={"automated": automated, "retry": {"limit": 2}}),
        of(f"{ARGO}/v1alpha1", "Application", "by-hand", syncPolicy={"retry": {"limit": 2}}),
    )
    old = Old(*PLATFORM, *engines)
    drained(old)
    assert "automated" not in old.objects["Application", "shop"]["spec"]["syncPolicy"]
    drained(old)
    asyncio.run(undrain(old, ASSIGNMENT))
    assert list(old.objects.values()) == [*PLATFORM, *engines]
