"""The target lock: never the wrong cluster, never two at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dr.core.errors import ApiError, LockError
from dr.core.events import Target
from dr.core.model import Ref
from dr.engine.lock import RESTORE, Hold, held, same_cluster
from tests.engine.fake_cluster import FakeCluster

HERE = Target("prod", "https://a", "uid-1", "ca-1")


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def now(self) -> str:
        return self.time.isoformat(timespec="milliseconds")


@pytest.mark.parametrize(
    ("found", "what"),
    [(Target("prod", "https://b", "uid-2", "ca-1"), "UID"), (Target("prod", "https://a", "uid-1", "ca-2"), "CA")],
)
def test_a_context_that_leads_elsewhere_is_refused(found: Target, what: str) -> None:
    with pytest.raises(LockError, match=what) as caught:
        same_cluster(HERE, found)
    assert "nothing was changed" in caught.value.remedy


def test_the_same_cluster_at_another_address_is_not_refused() -> None:
    elsewhere = Target("other", "https://b", HERE.uid, HERE.ca)
    assert elsewhere != HERE
    same_cluster(HERE, elsewhere)


def hold(cluster: FakeCluster, holder: str, clock: Clock, inside: Any = None) -> list[LockError]:
    lost: list[LockError] = []

    async def go() -> None:
        async with held(cluster, holder, clock, lost.append):
            if inside:
                await inside(cluster, clock)

    asyncio.run(go())
    return lost


def test_a_second_run_is_refused_and_told_who_is_there() -> None:
    async def inside(cluster: FakeCluster, clock: Clock) -> None:
        with pytest.raises(LockError, match="run-1"):
            async with held(cluster, "run-2", clock, lambda _: None):
                pytest.fail("two runs at once")

    hold(FakeCluster(), "run-1", Clock(), inside)


def test_the_hold_ends_with_the_run() -> None:
    cluster = FakeCluster()
    hold(cluster, "run-1", Clock())
    hold(cluster, "run-2", Clock())
    assert not cluster.objects


def test_the_hold_of_a_crashed_run_ends_by_itself() -> None:
    cluster, clock = FakeCluster(), Clock()
    left(cluster, "run-1", clock)
    with pytest.raises(LockError):
        hold(cluster, "run-2", clock)
    clock.time += timedelta(seconds=16)
    hold(cluster, "run-2", clock)


def test_a_resumed_run_takes_its_own_hold_up_at_once() -> None:
    cluster, clock = FakeCluster(), Clock()
    left(cluster, "run-1", clock)
    hold(cluster, "run-1", clock)
    assert not cluster.objects, "it was taken up, and given back at the end"


def left(cluster: FakeCluster, holder: str, clock: Clock) -> None:
    """Leave a Lease as a run does that was killed."""
    lease = Ref("coordination.k8s.io/v1", "Lease", "kube-system", RESTORE)
    cluster.put(Hold(cluster, lease, holder, clock)._lease())


def test_a_hold_that_was_taken_away_is_told_to_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dr.engine.lock._RENEW_EVERY", 0.02)

    async def inside(cluster: FakeCluster, clock: Clock) -> None:
        left(cluster, "thief", clock)
        await asyncio.sleep(0.1)

    lost = hold(FakeCluster(), "run-1", Clock(), inside)
    assert "thief" in lost[0].cause


def test_an_api_server_that_is_away_for_a_moment_does_not_end_the_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dr.engine.lock._RENEW_EVERY", 0.02)
    monkeypatch.setattr("dr.engine.lock._BACK_SECONDS", 0.3)

    class Away(FakeCluster):
        async def get(self, ref: Any) -> Any:
            raise ApiError("connection refused", heals=True, reason="Unreachable")

    async def inside(_: FakeCluster, __: Clock) -> None:
        await asyncio.sleep(0.1)

    assert not hold(Away(), "run-1", Clock(), inside)


@pytest.mark.parametrize("after", [0.0, 0.01, 0.03, 0.06])
def test_a_run_that_is_stopped_while_it_takes_hold_leaves_the_cluster_to_others(after: float) -> None:
    class Slow(FakeCluster):
        async def create(self, body: Any) -> Any:
            await asyncio.sleep(0.02)
            made = await super().create(body)
            await asyncio.sleep(0.02)  # it is taken, and the answer is on its way
            return made

    cluster = Slow()

    async def go() -> None:
        async def run() -> None:
            async with held(cluster, "run-1", Clock(), lambda _: None):
                await asyncio.sleep(1)

        running = asyncio.create_task(run())
        await asyncio.sleep(after)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(go())
    assert not cluster.objects
