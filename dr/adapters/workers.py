"""A herd's members as processes of this machine: for a few clusters, with the same worker as a Job's pods."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import msgspec

from dr.core.errors import StoreError
from dr.core.herd import SPENDS, Result
from dr.core.herding import Limits, Plan, Round, Seen
from dr.core.jobs import MET, MISSED, WRONG, named, result_of, sheet

INDEX, RESULT = "JOB_COMPLETION_INDEX", "DR_HERD_RESULT"


class Processes:
    """Runs each round as processes: so many at once, tried again as often as the herd says, until a limit is spent.

    `folder` holds each round's sheet and what its workers leave. A worker that outlived an earlier coordinator is
    waited for: it holds its result's lock.
    """

    def __init__(self, plan: Plan, folder: Path, reports: Path) -> None:
        self._plan = plan
        self._folder = folder
        self._reports = reports
        self._running: set[asyncio.subprocess.Process] = set()

    async def begun(self, found: Round) -> bool:
        """Return whether a round's sheet is there."""
        return await asyncio.to_thread(self._sheet(found).exists)

    async def run(self, found: Round, limits: Limits) -> AsyncIterator[Seen]:
        """Begin a round, or take up one that has begun; yield what is seen of its members until all have ended."""
        write(self._sheet(found), msgspec.json.encode(sheet(self._plan, found, self._plan.herd.home)))
        said: asyncio.Queue[Seen | None] = asyncio.Queue()
        free, lost, met = asyncio.Semaphore(limits.parallel), 0, 0
        tasks = [asyncio.create_task(self._member(found, i, free, said)) for i in range(len(found.members))]
        whole = asyncio.gather(*tasks, return_exceptions=True)
        whole.add_done_callback(lambda _: said.put_nowait(None))
        try:
            while (seen := await said.get()) is not None:
                yield seen
                lost += seen.state in SPENDS
                met += seen.state == "met"
                if lost > limits.failures or (limits.enough and met >= limits.enough):
                    break
        finally:
            await self._stop(tasks)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()):
                raise error
        while not said.empty():
            if seen := said.get_nowait():
                yield seen

    def _base(self, found: Round) -> Path:
        return self._folder / named(self._plan, found)

    def _sheet(self, found: Round) -> Path:
        base = self._base(found)
        return base.with_name(f"{base.name}.json")

    async def _member(
        self, found: Round, index: int, free: asyncio.Semaphore, said: asyncio.Queue[Seen | None]
    ) -> None:
        attempts = self._plan.herd.attempts
        async with free:
            for attempt in range(1, attempts + 1):
                said.put_nowait(Seen(index, "running", attempt))
                code, result = await self._worker(found, index)
                if code in (MET, MISSED, WRONG) or attempt == attempts:
                    state = {MET: "met", MISSED: "missed"}.get(code, "failed")
                    said.put_nowait(Seen(index, state, attempt, result))
                    return

    async def _worker(self, found: Round, index: int) -> tuple[int, Result | None]:
        base = self._base(found)
        left, log = base.with_name(f"{base.name}-{index}.json"), base.with_name(f"{base.name}-{index}.log")
        argv = (sys.executable, "-m", "dr", "herd", "work", "--sheet", f"{base}.json", "--reports", str(self._reports))
        environ = {**os.environ, INDEX: str(index), RESULT: str(left)}
        try:
            with log.open("ab") as out:
                process = await asyncio.create_subprocess_exec(
                    *argv, env=environ, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
                )
        except OSError as error:
            raise StoreError(
                f"{log} cannot be written: {error.strerror}", "make room, or choose another folder"
            ) from None
        self._running.add(process)
        code = await process.wait()
        self._running.discard(process)
        with suppress(OSError):
            return code, result_of(left.read_text("utf-8", "replace"))
        return code, None

    async def _stop(self, tasks: list[asyncio.Task[None]]) -> None:
        """End what still runs: a gameday that is told to stop takes back what it did, and is waited for."""
        running = tuple(self._running)
        for task in tasks:
            task.cancel()
        for process in running:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        await asyncio.gather(*tasks, *(process.wait() for process in running), return_exceptions=True)


def write(path: Path, content: bytes) -> None:
    """Put a file in the place of the old one, as a whole; raises StoreError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_name(f".{path.name}.{os.getpid()}")
        made.write_bytes(content)
        made.replace(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}", "make room, or choose another folder") from None
