"""The users of a move: asked about all through its stages, from the first that needs to know."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack, suppress

import msgspec

from dr.adapters.kube import Access
from dr.adapters.probing import Prober
from dr.core import gameday as gamedays
from dr.core.canary import known
from dr.core.errors import ToolError
from dr.core.events import AnyEvent, PlannedProbe, Survived
from dr.core.forklift import Forklift
from dr.engine.recorder import Recorder
from dr.engine.users import Users

_LONGEST = 60.0  # seconds for users to be well before the old cluster is taken away


class Audience:
    """Asks as users do once it is wanted, and until it is closed. Probes that look into a cluster look into `new`."""

    def __init__(self, move: Forklift, new: Access, recorder: Recorder, events: Sequence[AnyEvent] = ()) -> None:
        """`events`: all that was written down of the move; canaries go on from there."""
        self._move, self._new, self._recorder, self._events = move, new, recorder, events
        self._stack = AsyncExitStack()
        self._users: Users | None = None
        self._prober: Prober | None = None
        self._listening: asyncio.Task[None] | None = None

    @property
    def asked(self) -> bool:
        """Whether there is anybody to ask."""
        return bool(self._move.steady_state.probes)

    async def close(self) -> None:
        """Stop asking."""
        if self._listening:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        await self._stack.aclose()

    async def users(self) -> Users:
        """Ask from now on, to the end of the move's last stage."""
        if self._users is None:
            steady = self._move.steady_state
            probes = [
                msgspec.structs.replace(p, every=p.every or steady.every, timeout=p.timeout or steady.timeout)
                for p in steady.probes
            ]
            tidied = [index for index, p in enumerate(probes) if p.canary and p.canary.config_map]
            prober = Prober(probes, self._new, known(self._events, tidied))
            self._prober = await self._stack.enter_async_context(prober)
            planned: tuple[PlannedProbe, ...] = gamedays.planned(steady)
            cutover = self._move.cutover
            limits = cutover.failing_for, cutover.failures, steady.consecutive
            self._users = Users(planned, self._prober, self._recorder, *limits)
            self._listening = asyncio.create_task(self._users.listen())
        return self._users

    async def count(self) -> None:
        """Ask what the canaries have left of what was written and acknowledged."""
        if self._prober and any(probe.canary for probe in self._move.steady_state.probes):
            counted = await self._prober.counted()
            for probe, number in sorted(counted.numbers.items()):
                self._recorder.emit(Survived(self._recorder.at, probe, number, *counted.there[probe]))

    async def during(self, work: Awaitable[object]) -> str:
        """Do something for as long as users are served; return "" once it is done, or why they are not served."""
        users = await self.users()
        users.forgive()
        doing = asyncio.ensure_future(work)
        failing = asyncio.ensure_future(users.until(lambda: bool(users.trouble)))
        try:
            await asyncio.wait((doing, failing), return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                doing.result()
                return ""
            return users.trouble
        finally:
            for task in (doing, failing):
                task.cancel()
            await asyncio.gather(doing, failing, return_exceptions=True)

    async def served(self) -> None:
        """Return once every probe passes; raises ToolError where they do not in a minute."""
        if not self.asked:
            return
        users = await self.users()
        users.forgive()
        with suppress(TimeoutError):
            await asyncio.wait_for(users.until(lambda: users.well or bool(users.gone)), _LONGEST)
        if not users.well:
            raise ToolError(
                f"users are not served by the new cluster: {users.failing}",
                "nothing was taken away; mend that, then retire again",
            )
