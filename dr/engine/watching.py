"""One watch a kind, begun when the first object of the kind is waited for, that tells all there is and what changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from dr.core.errors import ApiError
from dr.engine.ports import Change, Cluster

_PAUSE = 0.1
Kind = tuple[str, str]


class Watching:
    """The watches of a restore. `saw` is called for each object and change; `blinded` once a kind cannot be watched.

    `blind`: the kinds, by group and name, that cannot be watched, and why.
    """

    def __init__(self, cluster: Cluster, saw: Callable[[Change], Awaitable[None]], blinded: Callable[[], None]) -> None:
        self._cluster = cluster
        self._saw = saw
        self._blinded = blinded
        self._watched: set[Kind] = set()
        self.blind: dict[Kind, str] = {}

    def watch(self, api_version: str, kind: str, tasks: asyncio.TaskGroup) -> None:
        """Watch a kind from now on, if that is not done already."""
        if (api_version, kind) not in self._watched:
            self._watched.add((api_version, kind))
            tasks.create_task(self._follow(api_version, kind))

    async def _follow(self, api_version: str, kind: str) -> None:
        while True:
            try:
                async for change in self._cluster.watch(api_version, kind):
                    await self._saw(change)
                pause = _PAUSE
            except ApiError as error:
                if not error.heals:
                    self.blind[api_version.rpartition("/")[0], kind] = f"cannot watch {kind}: {error.cause}"
                    self._blinded()
                    return
                pause = max(error.delay, _PAUSE)
            await asyncio.sleep(pause)
