"""The process of the probes: asks each on a grid of its own until it is told to stop, or nobody listens any more."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from time import monotonic

from dr.adapters.probing.canaries import CanaryWatch
from dr.adapters.probing.questions import Asker, Refused
from dr.adapters.probing.words import TOLD, Ask, Count, Counted, Move, Moved, Sample, Word, line
from dr.core.canary import Kept
from dr.core.gameday import Probe

_LINE = 1 << 24  # bytes; a gameday with very many probes is one line
_CAUSE = 300  # characters
_COUNTING = 10.0  # seconds to read what a canary has left
_PARTING = 2.0  # seconds to take a canary's object away


class Rounds:
    """The probes of one exercise and where they ask."""

    def __init__(self, ask: Ask, asker: Asker, out: asyncio.WriteTransport) -> None:
        self._asker = asker
        self._out = out
        self._canaries = {
            i: CanaryWatch(p.canary, asker, ask.kept.get(i, Kept())) for i, p in enumerate(ask.probes) if p.canary
        }
        self._tasks = [asyncio.create_task(self._round(i, probe)) for i, probe in enumerate(ask.probes)]

    async def heed(self, word: Word) -> None:
        """Do as told."""
        if isinstance(word, Move):
            self._asker.move(word.access)
            self._say(Moved())
        elif isinstance(word, Count):
            self._say(await self._count())

    async def close(self, *, tidy: bool) -> None:
        """Stop asking, and take away what the canaries left."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if tidy:
            parting = (asyncio.wait_for(canary.take_away(), _PARTING) for canary in self._canaries.values())
            await asyncio.gather(*parting, return_exceptions=True)

    async def _count(self) -> Counted:
        numbers: dict[int, int | None] = {}
        there: dict[int, tuple[int, int | None]] = {}
        for index, canary in self._canaries.items():
            # Whatever is wrong with one canary, the others have something to say.
            with suppress(Exception):
                async with asyncio.timeout(_COUNTING):
                    numbers[index] = await canary.survived()
                    there[index] = canary.there
        return Counted(numbers, there)

    async def _round(self, index: int, probe: Probe) -> None:
        """Ask at each point of a fixed grid; a point that passes while an answer is awaited is left out."""
        every, timeout = float(probe.every or 1.0), float(probe.timeout or 1.0)
        first = monotonic()
        while True:
            began = monotonic()
            cause, number, found = "", None, None
            try:
                async with asyncio.timeout(timeout):
                    if index in self._canaries:
                        number = await self._canaries[index].write()
                        found = self._canaries[index].found
                    else:
                        await self._asker.ask(probe)
            except TimeoutError:
                cause = f"no answer in {timeout:g} s"
            except Refused as refused:
                cause = str(refused)[:_CAUSE] or "refused"
            except Exception as error:  # noqa: BLE001 - a probe that falls silent would be taken for one never asked
                # Not its text: what it stumbled over may hold a password.
                cause = f"could not be asked: {type(error).__name__} in {_place(error)}"
            self._say(Sample(index, not cause, began, monotonic(), cause, number, found))
            passed = (monotonic() - first) // every + 1
            await asyncio.sleep(max(0.0, first + passed * every - monotonic()))

    def _say(self, word: Word) -> None:
        self._out.write(line(word))


def _place(error: Exception) -> str:
    """Return the innermost function of ours, or of a library, that failed, and its line."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"


async def main(private: Path) -> None:
    """Hear what to ask, ask it, and end when told to or when the pipe is closed; `private` is nobody else's."""
    loop = asyncio.get_running_loop()
    ears = asyncio.StreamReader(limit=_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(ears), sys.stdin)
    out, _ = await loop.connect_write_pipe(asyncio.Protocol, sys.stdout)
    ask = TOLD.decode(await ears.readline())
    if not isinstance(ask, Ask):
        raise SystemExit("the first word is what to ask")
    rounds = Rounds(ask, Asker(ask.access, private), out)
    told = False
    try:
        while said := await ears.readline():
            word = TOLD.decode(said)
            if not isinstance(word, (Move, Count)):
                told = True
                return
            await rounds.heed(word)
    finally:
        await rounds.close(tidy=told)
        shutil.rmtree(private, ignore_errors=True)


if __name__ == "__main__":
    # Ctrl-C reaches the whole group of processes: the exercise itself decides when nobody need be asked any more.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(main(Path(sys.argv[1])))
