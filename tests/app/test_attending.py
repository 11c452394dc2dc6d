"""A pause needs somebody who is there, and lets everything else go on."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from dr import terminal
from dr.app.forklifts import agreeing
from dr.core.errors import UsageError
from dr.core.events import Steered
from dr.core.forklift import Cutover, Forklift, Side
from dr.core.gameday import RepoSource
from tests.app import stage
from tests.app.stage import began, stages, went

MOVE = Forklift("Move", (RepoSource("repo"),), Side("blue"), Side("green"), cutover=Cutover(pause=(100,)))


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Return the other end of a terminal that is the standard input."""
    other, own = os.openpty()
    with os.fdopen(own) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        yield other
    os.close(other)


def test_a_pause_that_nobody_can_end_is_refused_before_anybody_is_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "SHOWN", replace(stage.SHOWN, attended=False))
    before = [began(), *went("preflight", "bootstrap", "verify", "parity")]
    work, log = stages(MOVE, tmp_path, *before)
    with pytest.raises(UsageError, match="a person must agree to 100 %"):
        work.allow("cutover")
    assert log.events == before
    there, _ = stages(MOVE, tmp_path, *before, Steered(3, 100, 2))
    assert there.allow("cutover") == "", "nobody is asked any more"


def test_who_waits_for_a_pause_can_go_at_once(keyboard: int) -> None:
    async def trip() -> None:
        await asyncio.wait_for(agreeing(terminal.awaited)("move 100 % of the traffic"), 0.1)

    began = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(trip())
    assert time.monotonic() - began < 2, f"it waits for Enter at {keyboard}"


def test_a_note_at_a_pause_is_kept(keyboard: int, capsys: pytest.CaptureFixture[str]) -> None:
    async def agreed() -> str:
        asking = asyncio.ensure_future(agreeing(terminal.awaited)("move 100 % of the traffic"))
        await asyncio.sleep(0.05)
        os.write(keyboard, b"all is well\n")
        return str((await asking)[1])

    assert asyncio.run(agreed()) == "all is well"
    assert "move 100 % of the traffic? A note, or just Enter" in capsys.readouterr().err
