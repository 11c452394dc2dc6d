"""Moves users from the old cluster to the new one in steps that outside probes decide, and back when they say so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TypeVar

from dr.core.errors import DrError, ToolError
from dr.core.events import Aborted, Carried, Carrying, Confirmed, Injected, Returned, Steered, Switched
from dr.core.forklift import Cutover as Plan
from dr.core.progress import Progress
from dr.engine.looking import Look, look
from dr.engine.ports import Counted, Onlooker, State, Steering
from dr.engine.recorder import Recorder
from dr.engine.users import Users

FAULT = "users are moved"
_OTHER = {"from": "to", "to": "from"}
_LONGEST = 60.0  # seconds for users to be well before anything is moved
_AGAIN = "mend that, then run the cutover again: it goes on from here"
_T = TypeVar("_T")
Ask = Callable[[str], Awaitable[tuple[str, str]]]


class Trouble(Exception):
    """Users are not served as they must be: everything goes back."""


class Cutover:
    """One cutover. `states` is the data by name, `ask` has a person agree to a step; `done` is what was done before."""

    def __init__(
        self,
        plan: Plan,
        recorder: Recorder,
        users: Users,
        steering: Steering,
        onlooker: Onlooker | None,
        states: Mapping[str, State],
        ask: Ask,
        done: Progress,
    ) -> None:
        self._plan = plan
        self._recorder = recorder
        self._users = users
        self._steering = steering
        self._onlooker = onlooker
        self._states = states
        self._ask = ask
        self._done = done
        self._side = done.side
        self._weight = done.weight
        self._began = done.steered
        self._stuck = ""

    async def run(self) -> str:
        """Move users; return "" when all are on the new cluster, or why they are on the old one again.

        Raises ToolError where they can be neither.
        """
        done = self._done
        if done.returning:
            with suppress(ToolError):  # it is remembered, and traffic goes back first
                await self._reopen()
            return await self._return(done.returning)
        try:
            if done.frozen:
                await self._switch(_OTHER[self._side], settled=self._settled_before)
            elif self._closed:
                await self._open(self._side)
            else:
                await self._begin()
            for step in [step for step in self._plan.steps if step >= self._weight]:
                await self._step(step)
        except (Trouble, DrError) as error:  # whatever it is that cannot go on: users do not stay half-way
            return await self._return(str(error))
        return ""

    @property
    def _closed(self) -> bool:
        """Whether it was decided who takes writes, and perhaps not carried out."""
        return self._done.switched and not (self._states and self._done.thawed >= set(self._states))

    @property
    def _settled_before(self) -> bool:
        """Whether a switch that was cut off had all data settled, and none was made since."""
        done = self._done
        return done.frozen and done.side == self._side and done.settled == set(self._states)

    async def _reopen(self) -> None:
        """Have the old side take writes where a move that was cut off on its way back left it without them."""
        if self._side == "from" and self._done.frozen:
            await self._undo("from", set(self._states))
        elif self._side == "from" and self._closed:
            await self._undo("from", set())

    async def _begin(self) -> None:
        """See that users are served before anything is moved; of a move that goes on they need not be yet."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._users.until(lambda: self._users.well or bool(self._users.gone)), _LONGEST)
            if self._users.well:
                return
        if not self._began:
            raise ToolError(f"users are not served before the cutover: {self._users.failing}", "look at the probes")
        raise Trouble(self._users.failing)

    async def _step(self, step: int) -> None:
        title = f"move {step} % of the traffic"
        if step in self._plan.pause and title not in self._done.confirmed:
            began = self._recorder.at
            by, note = await self._guarded(self._ask(title))
            self._recorder.emit(Confirmed(self._recorder.at, title, by, began, note))
        if step >= self._plan.switch_at and self._side == "from":
            await self._switch("to")
        await self._guarded(self._steer(step))
        await self._guarded(asyncio.sleep(self._plan.hold))
        # A probe that hangs tells only now what it saw then.
        await self._guarded(self._users.until(lambda: self._users.well))

    async def _guarded(self, work: Awaitable[_T]) -> _T:
        """Do something for as long as users are served; raises Trouble once they are not."""
        users = self._users
        doing = asyncio.ensure_future(work)
        watching = asyncio.ensure_future(users.until(lambda: bool(users.trouble)))
        try:
            await asyncio.wait((doing, watching), return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                raise Trouble(users.trouble)
            return doing.result()
        finally:
            for task in (doing, watching):
                task.cancel()
            await asyncio.gather(doing, watching, return_exceptions=True)

    def _touch(self) -> None:
        """Write down that users are about to feel it: from here on there is something to go back from."""
        if not self._began:
            self._began = True
            at = self._recorder.at
            self._recorder.emit(Injected(at, FAULT, at, ("users",), "traffic goes back to the old cluster"))

    async def _steer(self, weight: int) -> None:
        """Tell every hook, and see by who answers users that it was done; raises ToolError."""
        self._touch()
        recorder, began = self._recorder, self._recorder.at
        try:
            for hook in self._plan.traffic:
                await self._steering.tell(hook, weight, self._side)
            seen, onlooker = self._plan.seen, self._onlooker
            found = await look(seen, onlooker, weight, recorder.clock) if seen and onlooker else Look()
        except ToolError as error:
            recorder.emit(Steered(recorder.at, weight, began, cause=error.cause))
            raise
        recorder.emit(Steered(recorder.at, weight, began, found.samples, found.share, found.cause))
        if found.cause:
            raise ToolError(f"the traffic is not where the hook says: {found.cause}", "look at what the hook did")
        self._weight = weight

    async def _switch(self, side: str, *, settled: bool = False) -> None:
        """Have `side` take the writes: stop them, let the data settle, compare it, turn it round, allow them.

        `settled`: they are stopped, and the data was the same; from there on every step may be done again. Raises
        ToolError when it cannot be done in its time; the side that took them takes them again then. Once it is
        written down whose writes count there is no undoing: only another switch loses nothing.
        """
        self._touch()
        source = _OTHER[side]
        changed = set(self._states) if settled else set()
        try:
            async with asyncio.timeout(self._plan.switch_within):
                if not settled:
                    await self._settled(source)
                for name, state in self._states.items():
                    changed.add(name)
                    await self._carry(name, "turn", state.turn(side))
        except (ToolError, TimeoutError) as error:
            cause = str(error) or f"writes were stopped for {self._plan.switch_within:g} s, which is too long"
            with suppress(ToolError):  # it is remembered, and traffic goes back first
                await self._undo(source, changed)
            raise ToolError(f"the data was not switched: {cause}", "look at the data, then cut over again") from None
        await self._open(side)

    async def _open(self, side: str) -> None:
        """Write down whose writes count from now on, and have that side take them; raises ToolError, all tried."""
        self._side = side
        self._recorder.emit(Switched(self._recorder.at, side))
        failed = []
        for hook in self._plan.writer:
            try:
                await self._steering.tell(hook, self._weight, side)
            except ToolError as error:
                failed.append(error.cause)
        for name, state in self._states.items():
            try:
                await self._carry(name, "thaw", state.thaw(side))
            except ToolError as error:
                failed.append(f"{name}: {error.cause}")
        self._users.forgive()
        if failed:
            cause = f"writes are not taken by `{side}`: {'; '.join(failed)}"
            self._stuck = cause if side == "from" else ""  # there is no going back to what takes none
            raise ToolError(cause, _AGAIN)

    async def _settled(self, source: str) -> None:
        for name, state in self._states.items():
            await self._carry(name, "freeze", state.freeze(source))
        for name, state in self._states.items():
            await self._carry(name, "settle", state.settle(source))
        for name, state in self._states.items():
            began = self._recorder.at
            old, new = await asyncio.gather(state.count("from"), state.count("to"))
            same, cause = alike(old, new)
            self._recorder.emit(Carried(self._recorder.at, name, "compare", began, old.rows, new.rows, same, cause))
            if cause:
                raise ToolError(f"{name} is not the same on both sides: {cause}", "copy it again")

    async def _undo(self, source: str, changed: set[str]) -> None:
        """Have the side that took the writes take them again; raises ToolError, once all was tried, for what does not.

        Data of which the turning may be half done is turned back: the order is that of the switch, the other way.
        """
        failed = []
        for name, state in self._states.items():
            try:
                if name in changed:
                    await self._carry(name, "turn", state.turn(source))
            except ToolError as error:
                failed.append(f"{name}: {error.cause}")
        try:
            await self._open(source)
        except ToolError as error:
            failed.append(error.cause)
        if failed:
            self._stuck = "; ".join(failed)
            raise ToolError(self._stuck, _AGAIN)

    async def _carry(self, name: str, what: str, work: Awaitable[None]) -> None:
        began = self._recorder.at
        self._recorder.emit(Carrying(began, name, what))
        try:
            await work
        except ToolError as error:
            self._recorder.emit(Carried(self._recorder.at, name, what, began, cause=error.cause))
            raise
        self._recorder.emit(Carried(self._recorder.at, name, what, began))

    async def _return(self, cause: str) -> str:
        """Bring users back to the old cluster; return why. Raises ToolError where they cannot go back."""
        recorder, began = self._recorder, self._recorder.at
        if not self._began:
            return cause
        recorder.emit(Aborted(began, "users are not served, or not where they should be", cause))
        if self._side == "to":
            stuck = [name for name, state in self._states.items() if not state.follows]
            if stuck:
                kept = f"users stay on the new cluster: what they wrote there to {', '.join(stuck)} would be lost"
                raise ToolError(
                    f"{cause}; {kept}",
                    "mend the new cluster; or take the loss, and move traffic by hand",
                )
            await self._switch("from", settled=self._settled_before)
        await self._steer(0)
        if self._stuck:
            raise ToolError(f"{cause}; {self._stuck}", _AGAIN)
        self._users.forgive()
        left = ""
        try:
            await asyncio.wait_for(self._users.until(lambda: self._users.well or bool(self._users.gone)), _LONGEST)
        except TimeoutError:
            left = self._users.failing
        left = left or self._users.gone
        recorder.emit(Returned(recorder.at, began, cause, left))
        return cause


def alike(old: Counted, new: Counted) -> tuple[bool | None, str]:
    """Return whether two stores hold the same (None: it cannot be told), and what is against it, "" if nothing."""
    if old != new:
        return False, differing(old, new) or "they do not count the same things"
    if not old.comparable:
        return None, ""
    if not (old.rows or old.checksums):
        return False, "neither side holds anything that could be counted"
    return True, ""


def differing(old: Counted, new: Counted) -> str:
    """Return in what two stores differ, "" if in nothing: the first few tables."""
    tables = sorted(old.rows.keys() | new.rows.keys())
    rows = [
        f"{table} has {old.rows.get(table, 0)} rows and {new.rows.get(table, 0)}"
        for table in tables
        if old.rows.get(table) != new.rows.get(table)
    ]
    sums = [
        f"{table} has other content"
        for table in sorted(old.checksums.keys() & new.checksums.keys())
        if old.checksums[table] != new.checksums[table] and old.rows.get(table) == new.rows.get(table)
    ]
    return "; ".join((*rows, *sums)[:5])
