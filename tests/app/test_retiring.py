"""The old cluster goes last: not too early, not by mistake, not while users need it, and not half."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from dr.app import audience
from dr.app.forklifts import Options, each
from dr.app.retiring import retired, too_early
from dr.core.errors import LockError, ToolError, UsageError
from dr.core.events import Carried
from dr.core.forklift import Cutover, Data, DataCommand, Forklift, Retire, Side
from dr.core.gameday import Command, Duration, Probe, RepoSource, SteadyState
from dr.core.model import Body, Ref
from dr.core.progress import progress
from tests.app.stage import OLD, SHOWN, moved, stages, went
from tests.engine.test_drain import PLATFORM, Old, of

HOUR = Retire(Duration(3600.0), ("sh", "-c", "touch gone; echo $DR_CONTEXT $DR_CLUSTER_UID > told"))
MOVE = Forklift("Move", (RepoSource("repo"),), Side("blue", "uid-blue"), Side("green"), retire=HOUR)
LATER = "2026-11-23T11:00:00+00:00"


def test_the_old_cluster_stays_for_the_time_that_was_said() -> None:
    done = progress(moved())
    assert (
        too_early(HOUR, done, "2026-11-23T10:59:59+00:00") == "the cutover is 3599 s ago, and `retire.after` is 3600 s"
    )
    assert too_early(HOUR, done, LATER) == ""
    assert too_early(HOUR, progress(()), LATER) == "users were never moved"


def test_nothing_is_taken_away_before_its_time_without_its_lock_or_unless_it_is_drained(tmp_path: Path) -> None:
    soon, _ = stages(MOVE, tmp_path, *moved())
    with pytest.raises(UsageError, match=r"`retire.after` is 3600 s"):
        soon.allow("retire")
    unlocked, _ = stages(replace(MOVE, source=Side("blue")), tmp_path, *moved(), now=LATER)
    with pytest.raises(LockError, match="has no lock"):
        unlocked.allow("retire")
    undone, _ = stages(MOVE, tmp_path, *moved()[:-2], now=LATER)
    with pytest.raises(UsageError, match="retire comes after drain"):
        undone.allow("retire")

    def other(_: str) -> None:
        raise UsageError("it is not the name", "")

    mistyped, _ = stages(MOVE, tmp_path, *moved(), now=LATER, confirm=other)
    with pytest.raises(UsageError, match="not the name"):
        asyncio.run(mistyped.carry_out("retire"))
    assert not (tmp_path / "gone").exists()


def test_a_command_that_takes_it_away_is_told_which_cluster_is_meant(tmp_path: Path) -> None:
    names: list[str] = []
    work, log = stages(MOVE, tmp_path, *moved(), now=LATER, confirm=names.append)
    assert asyncio.run(work.carry_out("retire")) == ""
    assert (tmp_path / "told").read_text() == "blue uid-blue\n"
    assert names == ["blue"]
    assert "retire" in progress(log.events).passed


@pytest.mark.parametrize("well", [True, False])
def test_it_is_not_taken_away_while_users_are_not_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, well: bool
) -> None:
    if not well:
        monkeypatch.setattr(audience, "_LONGEST", 2.0)
    probe = Probe("the shop", command=Command(("true" if well else "false",)))
    steady = SteadyState((probe,), every=Duration(0.1), timeout=Duration(1.0), consecutive=3)
    work, _ = stages(replace(MOVE, steady_state=steady), tmp_path, *moved(), now=LATER)

    async def retire() -> str:
        try:
            return await work.carry_out("retire")
        finally:
            await work.close()

    if well:
        assert asyncio.run(retire()) == ""
    else:
        with pytest.raises(ToolError, match="users are not served by the new cluster: the shop"):
            asyncio.run(retire())
    assert (tmp_path / "gone").exists() == well


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    hangs = Retire(Duration(0.0), ("sh", "-c", "sleep 60 & echo $! > child; wait"), Duration(0.5))
    with pytest.raises(ToolError, match=r"was not done in 0\.5 s, and was killed"):
        asyncio.run(retired(hangs, OLD, tmp_path))
    stat = Path("/proc") / (tmp_path / "child").read_text().strip() / "stat"
    until = time.monotonic() + 10
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < until, "its child lives on"
        time.sleep(0.05)


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    for script, said in (("echo denied >&2; exit 3", "ended with 3: denied"), ("echo no; exit 1", "ended with 1: no")):
        with pytest.raises(ToolError, match=said):
            asyncio.run(retired(Retire(Duration(0.0), ("sh", "-c", script)), OLD, tmp_path))
    with pytest.raises(ToolError, match="no-such-program cannot be run"):
        asyncio.run(retired(Retire(Duration(0.0), ("no-such-program",)), OLD, tmp_path))


def test_an_undone_drain_is_done_again_before_the_old_cluster_may_go(tmp_path: Path) -> None:
    old = Old(*PLATFORM, of("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "apps"))
    work, log = stages(MOVE, tmp_path, *moved(), now=LATER, old=old)
    assert asyncio.run(each(work, ("drain",), Options(undo=True), SHOWN)) == 0
    with pytest.raises(UsageError, match="retire comes after drain"):
        work.allow("retire")
    assert asyncio.run(each(work, (), Options(), SHOWN)) == 0
    assert [e.stage for e in log.events[-2:]] == ["drain", "drain"]  # type: ignore[union-attr]
    assert work.allow("retire") == ""


def test_no_cutover_sends_users_back_to_a_drained_cluster(tmp_path: Path) -> None:
    work, _ = stages(MOVE, tmp_path, *moved())
    with pytest.raises(UsageError, match="the drain of `from` has begun"):
        work.allow("cutover")
    halfway, _ = stages(MOVE, tmp_path, *moved()[:-2], *went("drain", outcome="failed"))
    with pytest.raises(UsageError, match="the drain of `from` has begun"):
        halfway.allow("cutover")


@pytest.mark.parametrize("well", [True, False])
def test_the_old_side_follows_until_nobody_needed_it_when_it_was_stopped(tmp_path: Path, *, well: bool) -> None:
    probe = Probe("the shop", command=Command(("true" if well else "false",)))
    steady = SteadyState((probe,), every=Duration(0.1), timeout=Duration(1.0), consecutive=3)
    data = (Data("orders", "StatefulSet/shop/db", command=DataCommand(("true",), ("true",))),)
    move = replace(MOVE, steady_state=steady, data=data, cutover=Cutover(failing_for=Duration(0.2)))
    old = Slow(*PLATFORM, of("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "apps"))
    old.seconds = 0.0 if well else 20.0  # which users who are not served do not wait for
    work, log = stages(move, tmp_path, *moved()[:-2], old=old)

    async def drain() -> str:
        try:
            return await work.carry_out("drain")
        finally:
            await work.close()

    cause = asyncio.run(drain())
    assert ("users need the old cluster" in cause) != well, cause
    assert [e.what for e in log.events if isinstance(e, Carried)] == (["end"] if well else [])
    assert ("drain" in progress(log.events).passed) == well
    assert progress(log.events).draining == well


class Slow(Old):
    seconds = 0.0

    async def patch(self, ref: Ref, body: Body) -> Body:
        await asyncio.sleep(self.seconds)
        return await super().patch(ref, body)
