"""Data canaries: numbers written all through an exercise, and how far back the data was when it was seen again."""

from __future__ import annotations

import asyncio
from typing import Protocol

from dr.adapters.probing.questions import Asker, Refused
from dr.core.body import get, text
from dr.core.canary import Kept
from dr.core.errors import ApiError
from dr.core.gameday import Canary
from dr.core.model import Body, Ref

_FIELD = "number"


class _Place(Protocol):
    """Where a canary's number is kept."""

    async def read(self) -> tuple[int | None, str]:
        """Return the number that is there, and its version."""

    async def write(self, number: int, version: str) -> None:
        """Write a number where that version still is."""

    async def take_away(self) -> None:
        """Take away what was put there."""


class CanaryWatch:
    """One canary: reads before each write, so that data of an earlier time, or none, is seen before it is hidden.

    `found`: what the last acknowledged write found (0: nothing), where that was not what the one before had written.
    `there`: what was read when it was last asked what survived, 0 for nothing, and what was acknowledged then.
    """

    def __init__(self, canary: Canary, asker: Asker, before: Kept = Kept()) -> None:  # noqa: B008 - frozen
        self._place: _Place = _ConfigMap(canary.config_map, asker) if canary.config_map else _Commands(canary, asker)
        # No number is used twice: a write that was not acknowledged may have happened.
        self._tried = before.used
        self._kept = self._acknowledged = before.number
        self.found: int | None = None
        self.there: tuple[int, int | None] = (0, None)
        self._one = asyncio.Lock()  # what is read while a write is acknowledged would look older than that
        self._newest = 0
        self._fallen: tuple[int | None] | None = None

    async def write(self) -> int:
        """Write the next number and return it; raises Refused when it is not acknowledged."""
        async with self._one:
            found, version = await self._look()
            self._tried = max(self._tried, found or 0) + 1
            number = self._tried
            await self._place.write(number, version)
            same = self._acknowledged in (None, found or 0)
            self.found = None if same else found or 0
            self._kept = self._acknowledged = number
            return number

    async def survived(self) -> int | None:
        """Return the newest number that survived, None when none did; raises Refused when it cannot be read."""
        async with self._one:
            found, _ = await self._look()
            self.there = found or 0, self._acknowledged
            return self._fallen[0] if self._fallen else found

    async def take_away(self) -> None:
        """Take away what the canary has put into the cluster."""
        await self._place.take_away()

    async def _look(self) -> tuple[int | None, str]:
        found, version = await self._place.read()
        if self._kept is not None and (found is None or found < self._kept):
            # Data can be lost twice, or come back after it was gone. What was only written after the first loss, and
            # is lost too, says nothing of what was there before.
            if self._fallen is None:
                self._newest = self._kept
            if self._fallen is None or found is None or found <= self._newest:
                self._fallen = (found,)
            self._kept = found
        return found, version


class _ConfigMap:
    """A number in etcd, by way of the API server. Each write wants the version that was read before it."""

    def __init__(self, name: str, asker: Asker) -> None:
        namespace, _, own = name.partition("/")
        self._ref = Ref("v1", "ConfigMap", namespace, own)
        self._asker = asker
        self._made = False

    async def read(self) -> tuple[int | None, str]:
        try:
            async with self._asker.cluster() as cluster:
                body = await cluster.get(self._ref)
        except ApiError as error:
            raise Refused(error.cause) from None
        if body is None:
            return None, ""
        number = str(get(body, "data", _FIELD))
        if not number.isdecimal():
            raise Refused(f"{self._ref} is there, and is no canary's: give another name")
        return int(number), text(body, "metadata", "resourceVersion")

    async def write(self, number: int, version: str) -> None:
        metadata = {"namespace": self._ref.namespace, "name": self._ref.name}
        body: Body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {_FIELD: str(number)}}
        try:
            async with self._asker.cluster() as cluster:
                if version:
                    await cluster.replace({**body, "metadata": {**metadata, "resourceVersion": version}})
                else:
                    await cluster.create(body)
                    self._made = True
        except ApiError as error:
            raise Refused(error.cause) from None

    async def take_away(self) -> None:
        if self._made:
            async with self._asker.cluster() as cluster:
                await cluster.delete(self._ref)


class _Commands:
    """A number in a store of the user's own, by two commands."""

    def __init__(self, canary: Canary, asker: Asker) -> None:
        self._canary = canary
        self._asker = asker

    async def read(self) -> tuple[int | None, str]:
        said = (await self._asker.command(self._canary.read)).strip()
        if said and not said.isdecimal():
            raise Refused(f"{self._canary.read[0]} prints no number")
        return (int(said) if said else None), ""

    async def write(self, number: int, version: str) -> None:  # noqa: ARG002 - commands know none
        await self._asker.command([word.replace("{n}", str(number)) for word in self._canary.write])

    async def take_away(self) -> None:
        """Leave what the commands have written: it is its owner's."""
