"""What stands behind a wait: said as far as it names objects, and never in a program's own words."""

from __future__ import annotations

import asyncio

import pytest

from dr.core.model import Body
from dr.engine.explain import explain
from tests.engine.fake_cluster import FakeCluster


def pod() -> Body:
    meta = {"name": "web-1", "namespace": "a", "uid": "p1"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "status": {"phase": "Running"}}


def warning(reason: str, message: str) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"web-1.{reason}", "namespace": "a"},
        "involvedObject": {"uid": "p1"},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "lastTimestamp": "2026-11-28T20:00:00Z",
    }


def explained(*events: Body) -> str:
    cluster = FakeCluster()
    cluster.put(pod())
    for event in events:
        cluster.put(event)
    return asyncio.run(explain(cluster, pod()))


@pytest.mark.parametrize("reason", ["Unhealthy", "FailedPostStartHook", "SomethingOfACustomController"])
def test_what_a_probe_or_a_hook_printed_is_not_copied_into_the_log(reason: str) -> None:
    said = explained(warning(reason, "Readiness probe failed: password=hunter2"))
    assert said == reason


def test_a_warning_that_names_what_is_missing_is_said() -> None:
    said = explained(warning("FailedMount", 'MountVolume.SetUp failed: secret "tls" not found'))
    assert said == 'FailedMount: MountVolume.SetUp failed: secret "tls" not found'
