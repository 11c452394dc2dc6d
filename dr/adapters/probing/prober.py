"""The side of `dr`: starts the process of the probes, hears their answers, tells it where to ask."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from dr.adapters.kube import Access
from dr.adapters.probing.words import SAID, Ask, Count, Counted, Move, Moved, Sample, Stop, Word, line
from dr.core.canary import Kept
from dr.core.errors import ToolError
from dr.core.gameday import Probe

_SECONDS = 30.0  # for an answer that is no probe's
_GRACE = 5.0  # seconds between asking the process to end and killing it


class Prober:
    """Asks probes all through an exercise. Use it as an asynchronous context manager.

    Each of `probes` has its `every` and `timeout`; `access` is where the cluster's API is asked until `move`. `kept`:
    what canaries know from before, by the probe's index.
    """

    def __init__(self, probes: Sequence[Probe], access: Access, kept: Mapping[int, Kept] | None = None) -> None:
        self._probes = tuple(probes)
        self._kept = dict(kept or {})
        self._access = access
        self._samples: asyncio.Queue[Sample | None] = asyncio.Queue()
        self._answers: asyncio.Queue[Counted | Moved] = asyncio.Queue()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the prober

    async def __aenter__(self) -> Self:
        """Start the process."""
        # Both sides remove it: either may be killed.
        self._private = tempfile.mkdtemp(prefix="dr-probes-")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "dr.adapters.probing",
            self._private,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._errors,
        )
        self._hearing = asyncio.create_task(self._hear())
        await self._tell(Ask(self._probes, self._access, self._kept))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, killed if it does not."""
        try:
            await asyncio.wait_for(self._end(), _GRACE)
        except TimeoutError:
            self._process.kill()
        finally:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()
            self._hearing.cancel()
            await asyncio.gather(self._hearing, return_exceptions=True)
            self._errors.close()
            shutil.rmtree(self._private, ignore_errors=True)

    async def samples(self) -> AsyncIterator[Sample]:
        """Yield each answer as it comes; raises ToolError when the process is gone."""
        while sample := await self._samples.get():
            yield sample
        raise self._gone()

    async def move(self, access: Access) -> None:
        """Ask another API server from here on; raises ToolError."""
        await self._answer(Move(access))

    async def survived(self) -> Mapping[int, int | None]:
        """Return the newest number of each canary that survived, by the probe's index; raises ToolError.

        None: none did. A canary that cannot be read is left out.
        """
        return (await self.counted()).numbers

    async def counted(self) -> Counted:
        """Return what survived of each canary, and what is there now; raises ToolError."""
        answer = await self._answer(Count())
        return answer if isinstance(answer, Counted) else Counted({})

    async def _answer(self, word: Word) -> Counted | Moved:
        """Tell the process something, and wait until it has answered."""
        await self._tell(word)
        waiting = asyncio.create_task(self._answers.get())
        await asyncio.wait((waiting, self._hearing), timeout=_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            return waiting.result()
        waiting.cancel()
        if self._hearing.done():
            raise self._gone()
        raise ToolError(f"the probes' process has not answered in {_SECONDS:.0f} s", "run the exercise again")

    async def _tell(self, word: Word) -> None:
        pipe = self._process.stdin
        if pipe is None or pipe.is_closing():
            raise self._gone()
        try:
            pipe.write(line(word))
            await pipe.drain()
        except ConnectionError:
            raise self._gone() from None

    async def _hear(self) -> None:
        pipe = self._process.stdout
        try:
            while pipe and (said := await pipe.readline()):
                word = SAID.decode(said)
                if isinstance(word, Sample):
                    self._samples.put_nowait(word)
                else:
                    self._answers.put_nowait(word)
        finally:
            self._samples.put_nowait(None)

    async def _end(self) -> None:
        await self._tell(Stop())
        await self._process.wait()

    def _gone(self) -> ToolError:
        self._errors.seek(0)
        last = self._errors.read().decode(errors="replace").strip().rpartition("\n")[2]
        how = f"exit code {self._process.returncode}" if self._process.returncode is not None else "its pipe is closed"
        return ToolError(f"the probes' process is gone ({how}): {last or 'it said nothing'}", "run the exercise again")
