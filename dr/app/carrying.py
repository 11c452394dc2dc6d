"""The data of a forklift, moved where the order of the restore says that it belongs, and written down."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path

from dr.adapters.data import states
from dr.core.errors import ToolError, UsageError
from dr.core.events import Carried, Carrying
from dr.core.forklift import Data, named
from dr.core.model import Level, Ref
from dr.core.moving_row import Row
from dr.engine.cutover import alike
from dr.engine.ports import Cluster, State
from dr.engine.recorder import Recorder
from dr.engine.restore import Gates


class Freight:
    """What moves beside git's objects: by name, once it is asked for. `run` is the move's."""

    def __init__(
        self, data: Sequence[Data], sides: Mapping[str, Cluster], recorder: Recorder, folder: Path, run: str
    ) -> None:
        self._data, self._sides, self._recorder, self._folder, self._run = data, sides, recorder, folder, run
        self._states: dict[str, State] | None = None

    @property
    def states(self) -> dict[str, State]:
        """The data by name; raises UsageError, which names every variable and program that is missing."""
        if self._states is None:
            self._states = states(self._data, self._sides, os.environ, self._folder, self._run)
        return self._states

    async def check(self) -> tuple[Row, ...]:
        """Return what would keep data from being moved; neither side is written to."""
        try:
            found = self.states
        except UsageError as error:
            return (Row("data", Level.ERROR, "data", error.cause, error.remedy),)

        async def one(name: str, state: State) -> tuple[Row, ...]:
            try:
                await state.check()
            except ToolError as error:
                return (Row("data", Level.ERROR, name, error.cause, error.remedy or "see to it, then look again"),)
            return ()

        rows = await asyncio.gather(*(one(name, state) for name, state in found.items()))
        return tuple(row for some in rows for row in some)

    def gates(self, refs: Iterable[Ref]) -> Gates:
        """Return where on the way data is moved: a volume before its claim, all else once its object is ready.

        Raises UsageError as `states` does: before anything is applied.
        """
        known = self.states
        index = {(ref.kind, ref.namespace, ref.name): i for i, ref in enumerate(refs)}
        before: dict[int, list[str]] = defaultdict(list)
        after: dict[int, list[str]] = defaultdict(list)
        for data in self._data:
            ref = named(data.of)
            place = index.get((ref.kind, ref.namespace, ref.name))
            if place is not None and data.name in known:
                (before if data.volume else after)[place].append(data.name)
        return Gates(*({place: self._copying(names) for place, names in side.items()} for side in (before, after)))

    def _copying(self, names: Sequence[str]) -> Callable[[], Awaitable[str]]:
        async def copy() -> str:
            for name in names:
                try:
                    await self.copy(name)
                except ToolError as error:
                    return f"data {name}: {error.cause}"
            return ""

        return copy

    async def copy(self, name: str) -> None:
        """Copy one; raises ToolError."""
        state, recorder, began = self.states[name], self._recorder, self._recorder.at
        recorder.emit(Carrying(began, name, "copy"))
        try:
            await state.copy()
            old, new = await asyncio.gather(state.count("from"), state.count("to"))
        except ToolError as error:
            recorder.emit(Carried(recorder.at, name, "copy", began, cause=error.cause))
            raise
        recorder.emit(Carried(recorder.at, name, "copy", began, old.rows, new.rows, alike(old, new)[0]))

    async def end(self) -> None:
        """Take away what was made for following; raises ToolError."""
        for name, state in self.states.items():
            began = self._recorder.at
            await state.end()
            self._recorder.emit(Carried(self._recorder.at, name, "end", began))
