"""What users see of a move: outside probes that are heard all through, and that say when it has gone wrong."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from msgspec import Struct, field

from dr.core.errors import ToolError
from dr.core.events import PlannedProbe, Probed
from dr.engine.ports import Answer, Probes
from dr.engine.recorder import Recorder

_NEWEST = 20  # answers of a probe among which failures are counted


class _Seen(Struct):
    """A probe as it stands: since when it fails (its first failing question), its passes in a row, its last answers."""

    failing: float | None = None
    cause: str = ""
    row: int = 0
    at: float = 0.0
    newest: deque[bool] = field(default_factory=lambda: deque(maxlen=_NEWEST))


class Users:
    """Hears probes. `limit`: seconds that one may fail without a break, and `failures`: of its newest 20 answers.

    The second is for users of whom only a part is not served. `consecutive`: passes in a row that count as well.
    """

    def __init__(
        self,
        planned: Sequence[PlannedProbe],
        probes: Probes,
        recorder: Recorder,
        limit: float,
        failures: int,
        consecutive: int,
    ) -> None:
        self._failures = failures
        self._from = 0.0
        self._planned = planned
        self._probes = probes
        self._recorder = recorder
        self._limit = limit
        self._consecutive = consecutive
        self._seen = [_Seen() for _ in planned]
        self._news = asyncio.Event()
        self.gone = ""

    async def listen(self) -> None:
        """Hear every answer, until nobody asks any more: `gone` says why then, and nobody is well."""
        try:
            async for answer in self._probes.samples():
                self._take(answer)
            self.gone = "the probes have stopped"
        except ToolError as error:
            self.gone = error.cause
        self._news.set()

    def _take(self, answer: Answer) -> None:
        since, seen = self._recorder.since, self._seen[answer.probe]
        began, at = since(answer.began), since(answer.at)
        self._recorder.emit(Probed(at, answer.probe, answer.passed, began, answer.cause, answer.number, answer.found))
        if began < self._from:
            return
        seen.newest.append(answer.passed)
        if answer.passed:
            seen.failing, seen.row = None, seen.row + 1
        else:
            seen.failing = began if seen.failing is None else seen.failing
            seen.row, seen.cause = 0, answer.cause
        seen.at = at
        self._news.set()

    def forgive(self) -> None:
        """Judge only what is asked from now on: what was failing was meant to."""
        self._from = self._recorder.at
        self._seen = [_Seen() for _ in self._planned]

    @property
    def trouble(self) -> str:
        """What has failed for longer than it may, "" if nothing. Users whom nobody hears may be failing too."""
        if self.gone:
            return f"nobody knows whether users are served: {self.gone}"
        for probe, seen in zip(self._planned, self._seen, strict=True):
            if seen.failing is not None and seen.at - seen.failing > self._limit:
                return f"{probe.name} fails for {seen.at - seen.failing:.1f} s: {seen.cause}"
            if (failed := seen.newest.count(False)) >= self._failures:
                return f"{probe.name} failed {failed} of its last {len(seen.newest)} times: {seen.cause}"
        return ""

    @property
    def well(self) -> bool:
        """Whether every probe passes, and has often enough."""
        return not self.gone and all(seen.row >= self._consecutive for seen in self._seen)

    @property
    def failing(self) -> str:
        """Every probe that does not pass, and why."""
        return self.gone or "; ".join(
            f"{probe.name}: {seen.cause or 'it does not pass often enough'}"
            for probe, seen in zip(self._planned, self._seen, strict=True)
            if seen.row < self._consecutive
        )

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds of what was heard."""
        while not holds():
            self._news.clear()
            await self._news.wait()
