"""A cluster that stumbles does not end a restore; one that was never there is said at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dr.core.errors import ApiError
from dr.core.model import Body, Ref
from dr.engine.patient import patient
from dr.engine.ports import Cluster
from tests.engine.fake_cluster import FakeCluster

CONFIG: Body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "a"}}
REVIEW: Body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {}}


class Stumbling(FakeCluster):
    """Fails its first `times` requests, whatever they are."""

    def __init__(self, error: ApiError, times: int) -> None:
        super().__init__()
        self.error, self.times, self.asked = error, times, 0

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in ("identity", "api", "kinds", "apply", "get", "list", "create", "replace", "delete"):
            return found

        async def perhaps(*positional: Any, **named: Any) -> Any:
            self.asked += 1
            if self.asked <= self.times:
                raise self.error
            return await found(*positional, **named)

        return perhaps


BUSY = ApiError("slow down", status=429, heals=True)
READS: dict[str, Callable[[Cluster], Awaitable[object]]] = {
    "identity": lambda c: c.identity(),
    "discovery": lambda c: c.api("v1", "ConfigMap"),
    "kinds": lambda c: c.kinds(),
    "get": lambda c: c.get(Ref("v1", "ConfigMap", "a", "c")),
    "list": lambda c: c.list("v1", "ConfigMap"),
    "review": lambda c: c.create(REVIEW),
    "dry run": lambda c: c.apply(CONFIG, manager="dr", dry_run=True),
}


@pytest.mark.parametrize("what", READS)
def test_what_heals_is_asked_again(what: str) -> None:
    cluster = Stumbling(BUSY, 3)
    asyncio.run(_awaited(READS[what](patient(cluster))))
    assert cluster.asked >= 4


async def _awaited(asked: Awaitable[object]) -> object:
    return await asked


def test_an_apply_goes_through_once_for_the_restore_says_each_try_itself() -> None:
    cluster = Stumbling(BUSY, 1)
    with pytest.raises(ApiError):
        asyncio.run(_awaited(patient(cluster).apply(CONFIG, manager="dr")))
    assert cluster.asked == 1


@pytest.mark.parametrize(
    "error", [ApiError("no", status=403, reason="Forbidden"), ApiError("no kind", reason="NoMatch", heals=True)]
)
def test_what_cannot_heal_and_a_kind_that_is_not_served_is_said_at_once(error: ApiError) -> None:
    cluster = Stumbling(error, 99)
    with pytest.raises(ApiError):
        asyncio.run(_awaited(patient(cluster).get(Ref("v1", "ConfigMap", "a", "c"))))
    assert cluster.asked == 1


def test_a_wrong_address_is_said_within_half_a_second_and_a_restart_is_waited_for() -> None:
    gone = ApiError("connection refused", heals=True, reason="Unreachable")
    began = time.monotonic()
    with pytest.raises(ApiError, match="refused"):
        asyncio.run(_awaited(patient(Stumbling(gone, 10**9)).identity()))
    assert time.monotonic() - began < 1.0

    async def restarted() -> None:
        cluster = Stumbling(gone, 0)
        patiently = patient(cluster)
        await patiently.identity()
        cluster.times, cluster.asked = 4, 0
        await patiently.identity()
        assert cluster.asked == 5

    asyncio.run(restarted())


def test_it_is_not_asked_for_ever() -> None:
    cluster = Stumbling(BUSY, 10**9)
    with pytest.raises(ApiError, match="slow down"):
        asyncio.run(_awaited(patient(cluster, 0.5).identity()))
    assert cluster.asked < 6
