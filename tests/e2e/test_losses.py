"""What a report says was lost, against the truth: a real PostgreSQL is killed and comes back from a dump."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from dr.adapters.kube import Access
from dr.adapters.probing import Prober
from dr.core.chaos import Restored, Said, Struck
from dr.core.events import Announced, Objective, PlannedProbe
from dr.core.gameday import Canary, Duration, Probe
from dr.core.recovery import Recovery, recovery
from dr.engine.gameday import Exercise, Rules
from dr.engine.ports import Injection
from dr.engine.recorder import Recorder
from tests.adapters.postgres import Postgres, program, serve
from tests.e2e.test_truth import Jumping, Log

EVERY = 0.4
NOWHERE = Access("none", "http://127.0.0.1:1")
NOW = f"{sys.executable} -ISc 'import time; print(time.monotonic())'"


class Shop:
    """A database whose acknowledged writes are noted by who wrote them: number and moment, outside of dr."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.url, self.acks = folder / "url", folder / "acks"
        self.dump = ""
        self.acks.touch()
        self.server = self.begin()
        self.server.psql("postgres", "CREATE TABLE beats (n int)")

    def begin(self) -> Postgres:
        self.life = self.stack.enter_context(ExitStack())
        found = self.life.enter_context(serve("replica"))
        self.url.write_text(found.url())
        return found

    def canary(self) -> Canary:
        psql = f'{program("psql")} -X -v ON_ERROR_STOP=1 -qAt "$(cat {self.url})"'
        write, read = "-c 'INSERT INTO beats VALUES ({n})'", "-c 'SELECT max(n) FROM beats'"
        note = f'echo "{{n}} $({NOW})" >> {self.acks}'
        return Canary(write=("sh", "-c", f"{psql} {write} && {note}"), read=("sh", "-c", f"{psql} {read}"))

    def acknowledged(self) -> list[tuple[int, float]]:
        rows = (row.split() for row in self.acks.read_text().splitlines())
        return [(int(number), float(at)) for number, at in rows]

    async def after_a_write(self, count: int) -> None:
        """Wait for so many more writes, and until the last of them is answered: none is under way then."""
        wanted = len(self.acknowledged()) + count
        for _ in range(10_000):
            if len(self.acknowledged()) >= wanted:
                break
            await asyncio.sleep(0.005)
        await asyncio.sleep(EVERY / 3)

    async def inject(self, heard: Callable[[Said], None]) -> Injection:
        await self.after_a_write(2)
        self.dump = await asyncio.to_thread(self.server.ask, "postgres", "SELECT n FROM beats")
        await self.after_a_write(4)
        self.kept, self.began = self.acknowledged(), time.monotonic()
        await asyncio.to_thread(self.life.close)
        heard(Struck("postgres and its disk are gone", self.began, self.began + 1e-3))
        return Injection("completed")

    async def undo(self) -> tuple[Restored, ...]:
        return ()

    async def restored(self) -> str:
        self.server = await asyncio.to_thread(self.begin)
        copied = f"CREATE TABLE beats (n int);\nCOPY beats FROM stdin;\n{self.dump}\n\\.\n"
        await asyncio.to_thread(self.server.psql, "postgres", copied)
        return ""


def test_the_writes_that_a_restored_postgres_lacks_are_those_that_the_report_says(tmp_path: Path) -> None:
    async def exercised(stack: ExitStack) -> tuple[Shop, Recovery]:
        shop = await asyncio.to_thread(Shop, tmp_path, stack)
        probe = Probe("orders", canary=shop.canary(), every=Duration(EVERY), timeout=Duration(3.0))
        plan = Announced(
            0.0,
            title="t",
            scenario="s",
            probes=(PlannedProbe("orders", "canary", "beats", EVERY, 3.0, canary=True),),
            objectives=(Objective("rpo", "", 30.0),),
            consecutive=2,
            hold=0.5,
            timeout=60.0,
        )
        log = Log()
        recorder = Recorder(log, Jumping())
        recorder.emit(plan)
        async with Prober([probe], NOWHERE) as prober:
            rules = Rules(within=20.0, waits=True)
            assert await Exercise(plan, rules, recorder, prober, shop, shop.restored).run() == "passed"
        found = recovery(log.events)
        assert found
        return shop, found

    with ExitStack() as stack:
        shop, found = asyncio.run(exercised(stack))
    snapshot = max(int(number) for number in shop.dump.split())
    gone = [number for number, _ in shop.kept if number > snapshot]
    (loss,) = found.losses
    assert len(gone) >= 4
    assert (loss.written, loss.survived, loss.lost) == (shop.kept[-1][0], snapshot, len(gone))
    newest = max(at for number, at in shop.kept if number <= snapshot)
    assert loss.rpa is not None
    # A write counts from its answer, which is heard a moment after the server has acknowledged it.
    assert 0.0 <= shop.began + 1e-3 - newest - loss.rpa <= 0.3
    assert found.verdict == "met"
