"""The target lock: never the wrong cluster, never two at once."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from dr.core.errors import ApiError, LockError
from dr.core.events import Began, Target
from dr.core.model import Ref
from dr.engine.lock import RESTORE, Hold, held, same_cluster
from tests.engine.fake_cluster import FakeCluster

HERE = Target("prod", "https://a", "uid-1", "ca-1")
LASTS = 0.2


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)

    def monotonic(self) -> float:
        return time.monotonic()

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


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a hold last for a fifth of a second, and be renewed ten times as often."""
    monkeypatch.setattr("dr.engine.lock._SECONDS", LASTS)
    monkeypatch.setattr("dr.engine.lock._RENEW_EVERY", LASTS / 10)
    monkeypatch.setattr("dr.engine.lock._LOOK_EVERY", LASTS / 20)


def test_a_second_run_is_refused_and_told_who_is_there() -> None:
    async def inside(cluster: FakeCluster, clock: Clock) -> None:
        with pytest.raises(LockError, match="run-1"):
            async with held(cluster, "run-2", clock, lambda _: None):
                pytest.fail("two runs at once")

    hold(FakeCluster(), "run-1", Clock(), inside)


@pytest.mark.parametrize("minutes", [-60, 60])
def test_a_run_whose_clock_is_wrong_keeps_its_hold(minutes: int) -> None:
    theirs = Clock()
    theirs.time += timedelta(minutes=minutes)

    async def inside(cluster: FakeCluster, _: Clock) -> None:
        with pytest.raises(LockError, match="run-1, which has just renewed its hold"):
            async with held(cluster, "run-2", Clock(), lambda _: None):
                pytest.fail("two runs at once")

    assert not hold(FakeCluster(), "run-1", theirs, inside)


def test_who_waits_for_the_hold_of_another_is_told_for_whom_and_how_long() -> None:
    cluster, said = FakeCluster(), list[str]()
    left(cluster, "run-1", Clock())

    async def go() -> None:
        async with held(cluster, "run-2", Clock(), lambda _: None, say=said.append):
            pass

    asyncio.run(go())
    assert said == [f"run-1 holds this cluster: waiting {LASTS} s to see whether it still runs"]


def test_who_waits_for_the_hold_of_another_can_be_stopped_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dr.engine.lock._SECONDS", 60)
    cluster = FakeCluster()
    left(cluster, "run-1", Clock())

    async def go() -> None:
        async with asyncio.timeout(2):
            waiting = asyncio.create_task(held(cluster, "run-2", Clock(), lambda _: None).__aenter__())
            await asyncio.sleep(0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

    asyncio.run(go())
    (lease,) = cluster.objects.values()
    assert lease["spec"]["holderIdentity"] == "run-1"


def test_a_run_that_could_not_renew_its_hold_applies_nothing_until_it_has() -> None:
    class Away(FakeCluster):
        away = False

        async def get(self, ref: Any) -> Any:
            if self.away:
                raise ApiError("connection refused", heals=True, reason="Unreachable")
            return await super().get(ref)

    cluster = Away()
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b"}}

    async def go() -> None:
        async with held(cluster, "run-1", Clock(), lambda _: None) as mine:
            target = mine.guarded(cluster)
            await target.apply(body, manager="dr")
            cluster.away = True
            await asyncio.sleep(2 * LASTS)
            with pytest.raises(ApiError, match="nothing is applied") as caught:
                await target.apply(body, manager="dr")
            assert caught.value.heals, "it may be tried again"
            assert cluster.applies["ConfigMap", "a"] == 1
            cluster.away = False
            await asyncio.sleep(LASTS)
            await target.apply(body, manager="dr")

    asyncio.run(go())


def test_two_runs_that_began_at_the_same_second_are_not_one() -> None:
    one, other = (Began(0.0, time="", run="r", command="", dr="", target=HERE, nonce=nonce) for nonce in "ab")
    assert one.holder != other.holder
    assert replace(one, estimate=1.0).holder == one.holder, "a resumed run is the same"


def test_the_hold_ends_with_the_run() -> None:
    cluster = FakeCluster()
    hold(cluster, "run-1", Clock())
    hold(cluster, "run-2", Clock())
    assert not cluster.objects


def test_the_hold_of_a_crashed_run_ends_by_itself() -> None:
    cluster, clock = FakeCluster(), Clock()
    left(cluster, "run-1", clock)

    async def at_once() -> None:
        async with asyncio.timeout(LASTS / 2), held(cluster, "run-2", clock, lambda _: None):
            pytest.fail("nobody could know yet that it has crashed")

    with pytest.raises(TimeoutError):
        asyncio.run(at_once())
    hold(cluster, "run-2", clock)
    assert not cluster.objects, "it was taken over, and given back at the end"


def test_a_resumed_run_takes_its_own_hold_up_at_once() -> None:
    cluster, clock = FakeCluster(), Clock()
    left(cluster, "run-1", clock)
    hold(cluster, "run-1", clock)
    assert not cluster.objects, "it was taken up, and given back at the end"


def left(cluster: FakeCluster, holder: str, clock: Clock) -> None:
    """Leave a Lease as a run does that was killed."""
    lease = Ref("coordination.k8s.io/v1", "Lease", "kube-system", RESTORE)
    cluster.put(Hold(cluster, lease, holder, clock)._lease())


def test_a_hold_that_was_taken_away_is_told_to_the_run() -> None:

    async def inside(cluster: FakeCluster, clock: Clock) -> None:
        left(cluster, "thief", clock)
        await asyncio.sleep(0.1)

    lost = hold(FakeCluster(), "run-1", Clock(), inside)
    assert "thief" in lost[0].cause


def test_an_api_server_that_is_away_for_a_moment_does_not_end_the_hold(monkeypatch: pytest.MonkeyPatch) -> None:
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
