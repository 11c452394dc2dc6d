"""Measured against the truth: a service whose outages are known to the microsecond, probed from another process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest

from dr.adapters.kube import Access
from dr.adapters.probing import Prober
from dr.core.chaos import Restored, Said, Struck
from dr.core.events import Announced, Began, Event, Mark, Marked, PlannedProbe, Target
from dr.core.gameday import Duration, Probe, Tcp
from dr.core.gameday import Http as HttpProbe
from dr.core.recovery import Recovery, recovery
from dr.engine.gameday import Exercise, Rules
from dr.engine.ports import Injection
from dr.engine.recorder import Recorder

EVERY, TIMEOUT = 0.1, 0.25
RUNS, TOGETHER = 30, 6
NOWHERE = Access("none", "http://127.0.0.1:1")
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


class Shop:
    """A service behind a proxy that drops its traffic for a known time: `down` since, `up` again at.

    `silent`: it takes connections and says nothing, as a service that hangs; otherwise it breaks them.
    """

    def __init__(self, *, silent: bool) -> None:
        self.silent = silent
        self.open = True
        self.down = self.up = 0.0
        self.port = 0
        self.serving: set[asyncio.Task[Any]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if task := asyncio.current_task():
            self.serving.add(task)
            task.add_done_callback(self.serving.discard)
        try:
            await reader.readuntil(b"\r\n\r\n")
            if self.open:
                writer.write(_ANSWER)
                await writer.drain()
            elif self.silent:
                await asyncio.sleep(3 * TIMEOUT)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def drop(self, seconds: float) -> None:
        self.down, self.open = time.monotonic(), False
        await asyncio.sleep(seconds)
        self.open, self.up = True, time.monotonic()


class Fault:
    """An experiment that drops the shop's traffic for `seconds`."""

    def __init__(self, shop: Shop, seconds: float) -> None:
        self.shop, self.seconds = shop, seconds
        self.dropping: asyncio.Task[None] | None = None

    async def inject(self, heard: Callable[[Said], None]) -> Injection:
        began = time.monotonic()
        self.dropping = asyncio.create_task(self.shop.drop(self.seconds))
        await asyncio.sleep(0)
        heard(Struck("traffic dropped", began, time.monotonic(), ("shop",)))
        return Injection("completed")

    async def undo(self) -> tuple[Restored, ...]:
        return ()


class Log:
    def __init__(self) -> None:
        self.events: list[Any] = []

    def append(self, event: Event) -> None:
        self.events.append(event)


class Jumping:
    """A clock whose wall time is put forward and back all the time."""

    def __init__(self) -> None:
        self.years = 2026

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> str:
        self.years = 4052 - self.years + 1
        return f"{self.years}-11-23T10:00:00+00:00"


@asynccontextmanager
async def open_shop(*, silent: bool) -> AsyncIterator[Shop]:
    shop = Shop(silent=silent)
    server = await asyncio.start_server(shop.serve, "127.0.0.1", 0)
    shop.port = server.sockets[0].getsockname()[1]
    async with server:
        yield shop
    for task in tuple(shop.serving):
        task.cancel()
    await asyncio.gather(*shop.serving, return_exceptions=True)


async def measured(
    shop: Shop, prober: Prober, seconds: float, recover: Callable[[Recorder], Any] | None = None
) -> tuple[Recovery, float]:
    """Drop the shop's traffic for some seconds; return what was measured, and when the run began."""
    plan = Announced(
        0.0,
        title="t",
        scenario="s",
        probes=(PlannedProbe("shop", "http", "shop", EVERY, TIMEOUT),),
        consecutive=2,
        hold=0.2,
        timeout=20.0,
    )
    log, clock = Log(), Jumping()
    recorder = Recorder(log, clock)
    recorder.emit(
        Began(0.0, time=clock.now(), run="r", command="dr gameday run", dr="0", target=Target("c", "", "u", "ca"))
    )
    recorder.emit(plan)

    async def recovered() -> str:
        await (recover(recorder) if recover else asyncio.sleep(0))
        return ""

    fault = Fault(shop, seconds)
    await Exercise(plan, Rules(within=20.0), recorder, prober, fault, recovered).run()
    assert fault.dropping
    await fault.dropping
    found = recovery(log.events)
    assert found
    return found, recorder.since(0.0)


def asked(shop: Shop) -> Probe:
    url = f"http://127.0.0.1:{shop.port}/"
    return Probe("shop", http=HttpProbe(url), every=Duration(EVERY), timeout=Duration(TIMEOUT))


async def series(number: int) -> list[tuple[bool, float]]:
    """Measure some outages of random length; return of each if it was silent, and how much it was overstated."""
    random = Random(number)
    found = []
    async with open_shop(silent=number % 2 == 1) as shop, Prober([asked(shop)], NOWHERE) as prober:
        for _ in range(RUNS // TOGETHER):
            await asyncio.sleep(random.uniform(0.0, EVERY))
            recovered, offset = await measured(shop, prober, random.uniform(1.5 * (EVERY + TIMEOUT), 1.6))
            check(recovered, shop.down + offset, shop.up + offset, silent=shop.silent)
            found.append((shop.silent, (recovered.rta or 0.0) - (shop.up - shop.down)))
    return found


def check(found: Recovery, down: float, up: float, *, silent: bool) -> None:
    """Assert that each figure holds the truth within the error that it states. Times are seconds of the run."""
    t0, t8 = found.moments[Mark.FAULT], found.moments[Mark.RECOVERED]
    assert found.verdict == "met"
    assert found.rta is not None
    assert t0.at <= down
    assert t8.at - t8.error <= up <= t8.at
    assert found.rta - found.error <= up - down <= found.rta
    # What is stated is no wider than how often it is asked, and what a hanging question takes.
    assert t8.error <= EVERY + (TIMEOUT if silent else 0.0) + 0.15
    assert sum(part.seconds for part in found.parts) == pytest.approx(found.rta)
    (shop,) = found.probes
    assert shop.downtime is not None
    assert shop.downtime - shop.error <= up - down <= shop.downtime
    t1 = found.moments[Mark.IMPACT]
    assert t1.at - t1.error <= down + (TIMEOUT if silent else 0.0) + EVERY + 0.15
    assert t1.at >= down


def test_thirty_outages_are_measured_within_the_error_that_is_stated() -> None:
    async def all_of_them() -> list[list[tuple[bool, float]]]:
        return await asyncio.gather(*(series(number) for number in range(TOGETHER)))

    runs = [run for found in asyncio.run(all_of_them()) for run in found]
    assert len(runs) == RUNS
    assert {silent for silent, _ in runs} == {True, False}
    assert 0.0 <= sorted(over for _, over in runs)[RUNS // 2] <= EVERY + TIMEOUT


def test_what_no_probe_sees_is_said_to_have_had_no_impact() -> None:
    async def go() -> Recovery:
        async with open_shop(silent=False) as shop:
            # A question about the port alone passes all through: what it cannot see has no impact.
            port = Tcp("127.0.0.1", shop.port)
            blind = Probe("shop", tcp=port, every=Duration(EVERY), timeout=Duration(TIMEOUT))
            async with Prober([blind], NOWHERE) as prober:
                return (await measured(shop, prober, 0.3))[0]

    found = asyncio.run(go())
    assert not found.impact
    assert found.rta == 0.0
    assert found.error >= found.moments[Mark.RECOVERED].error > 0.0


def test_the_parts_are_as_long_as_what_they_name() -> None:
    truth: dict[Mark, float] = {}
    lengths = {Mark.DECIDED: 0.3, Mark.INFRASTRUCTURE: 0.5, Mark.CONTROL_PLANE: 0.25, Mark.WORKLOADS: 0.4}

    async def recover(recorder: Recorder) -> None:
        for mark, seconds in lengths.items():
            await asyncio.sleep(seconds)
            truth[mark] = recorder.at
            recorder.emit(Marked(recorder.at, mark, "the test"))

    async def go() -> Recovery:
        async with open_shop(silent=False) as shop, Prober([asked(shop)], NOWHERE) as prober:
            return (await measured(shop, prober, sum(lengths.values()) + 0.5, recover))[0]

    found = asyncio.run(go())
    parts = {part.name: part.seconds for part in found.parts}
    marks = {mark: moment.at for mark, moment in found.moments.items()}
    assert parts["provision"] == pytest.approx(truth[Mark.INFRASTRUCTURE] - truth[Mark.DECIDED], abs=0.01)
    assert parts["control plane"] == pytest.approx(truth[Mark.CONTROL_PLANE] - truth[Mark.INFRASTRUCTURE], abs=0.01)
    assert parts["restore"] == pytest.approx(truth[Mark.WORKLOADS] - truth[Mark.CONTROL_PLANE], abs=0.01)
    assert parts["detect"] == pytest.approx(marks[Mark.DETECTED] - marks[Mark.FAULT], abs=0.01)
    assert sum(parts.values()) == pytest.approx(found.rta)
