"""State that git does not have, on its way from one cluster to another: databases, volumes, and what commands move."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from dr.adapters.data.commands import Commands
from dr.adapters.data.postgres import Dumped, Replicated
from dr.adapters.data.server import Server, keywords
from dr.adapters.data.snapshots import SnapshotVolume, VeleroBackup
from dr.core.errors import ToolError, UsageError
from dr.core.forklift import Data
from dr.engine.ports import Cluster, Counted, State

_T = TypeVar("_T")


def states(
    specs: Sequence[Data],
    clusters: Mapping[str, Cluster],
    environ: Mapping[str, str],
    cwd: Path | None = None,
    run: str = "",
) -> dict[str, State]:
    """Return what moves each piece of data, by its name.

    `clusters` by side (`from` and `to`), `environ` for connection URLs and children, commands run in `cwd`; a snapshot
    or a backup is of this `run`, and no other takes it over. Raises UsageError, which names every variable and program
    that is missing.
    """
    wrong = sorted({cause for spec in specs for cause in _missing(spec, environ)})
    if wrong:
        raise UsageError("; ".join(wrong), "set the variables to postgresql:// URLs, install the programs, try again")
    marks = {spec.name: hashlib.sha256(f"{run}\0{spec.name}".encode()).hexdigest()[:8] for spec in specs}
    return {spec.name: Timed(spec, _state(spec, clusters, environ, cwd, marks[spec.name])) for spec in specs}


def _missing(spec: Data, environ: Mapping[str, str]) -> Iterator[str]:
    found = spec.postgres
    if not found:
        return
    for program in ("pg_dump", "psql"):
        if not shutil.which(program, path=environ.get("PATH")):
            yield f"there is no program {program} on the PATH"
    for variable in filter(None, (found.source, found.target, found.seen_from_to, found.seen_from_from)):
        if not environ.get(variable):
            yield f"the environment variable {variable} is not set"
            continue
        try:
            keywords(environ[variable])
        except ValueError as error:
            yield f"the environment variable {variable} {error}"


def _state(
    spec: Data, clusters: Mapping[str, Cluster], environ: Mapping[str, str], cwd: Path | None, mark: str
) -> State:
    if found := spec.postgres:
        old, new = (
            Server(f"{spec.name} ({side})", keywords(environ[variable]), keywords(environ[seen or variable]), environ)
            for side, variable, seen in (
                ("from", found.source, found.seen_from_to),
                ("to", found.target, found.seen_from_from),
            )
        )
        return (Replicated if found.replicate else Dumped)(spec.name, old, new)
    if spec.volume:
        return SnapshotVolume(spec.name, spec.volume, clusters, mark)
    if spec.velero:
        return VeleroBackup(spec.name, spec.velero, clusters, mark)
    if spec.command:
        return Commands(spec.name, spec.command, environ, cwd)
    raise UsageError(f"{spec.name} says nothing of how it is moved", "the fields are in docs/reference/forklift.md")


class Timed:
    """A state, each step of which is given up after its timeout."""

    def __init__(self, spec: Data, state: State) -> None:
        """Give up each step of `state` after the seconds of `spec`."""
        self._spec, self._state = spec, state

    @property
    def follows(self) -> bool:
        """Whether the copy follows what is written meanwhile."""
        return self._state.follows

    async def check(self) -> None:
        """Look whether it can be moved."""
        await self._within("the check", self._state.check())

    async def copy(self) -> None:
        """Bring the data to the new side."""
        await self._within("the copy", self._state.copy())

    async def count(self, side: str) -> Counted:
        """Return what a side holds."""
        return await self._within(f"the count of `{side}`", self._state.count(side))

    async def freeze(self, side: str) -> None:
        """Have a side take no writes any more."""
        await self._within(f"the freeze of `{side}`", self._state.freeze(side))

    async def thaw(self, side: str) -> None:
        """Have a side take writes again."""
        await self._within(f"the thaw of `{side}`", self._state.thaw(side))

    async def settle(self, side: str) -> None:
        """Return once the other side has everything that `side` has."""
        await self._within(f"bringing the other side all that `{side}` has", self._state.settle(side))

    async def turn(self, side: str) -> None:
        """Have the other side follow `side`."""
        await self._within(f"the turn to `{side}`", self._state.turn(side))

    async def end(self) -> None:
        """Take away what was made for following."""
        await self._within("taking away what was made for following", self._state.end())

    async def _within(self, what: str, step: Coroutine[None, None, _T]) -> _T:
        try:
            async with asyncio.timeout(self._spec.timeout) as scope:
                return await step
        except TimeoutError as error:
            if not scope.expired():
                raise ToolError(f"{self._spec.name}: {what} failed: {error}", "try again") from error
            raise ToolError(
                f"{self._spec.name}: {what} was not done in {self._spec.timeout:g} s",
                "see what the logs of both sides say, or give it a longer `timeout`; then try again: it goes on",
            ) from None
