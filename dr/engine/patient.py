"""A cluster that is asked again where an error heals: for every request that may be sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from dr.core.errors import ApiError
from dr.core.events import Operation, Target
from dr.core.model import Body, Ref
from dr.engine.ports import Api, Change, Cluster

_T = TypeVar("_T")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
# A server that never answered is more likely a wrong address than one that is about to come.
_SECONDS, _UNKNOWN_SECONDS = 30.0, 0.5


def patient(cluster: Cluster, seconds: float = _SECONDS) -> Cluster:
    """Return a cluster that is asked again, for up to `seconds`, what heals; the same one if it is already."""
    return cluster if isinstance(cluster, Patient) else Patient(cluster, seconds)


class Patient:
    """A `Cluster` that asks again what heals; for half a second only where it has had no answer at all yet.

    Reads, dry runs and reviews are asked again, and `create`: one that was done though its answer was lost is then
    `AlreadyExists`. An apply, a replace and a delete go through once: who restores says each try himself, and a
    replace is bound to a version. What is not served (`NoMatch`) is said at once: it may never be.
    """

    def __init__(self, cluster: Cluster, seconds: float) -> None:
        """Ask `cluster`, again for up to `seconds`."""
        self._cluster = cluster
        self._seconds = seconds
        self._answered = False

    async def _asked(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        loop = asyncio.get_running_loop()
        began, pause = loop.time(), _FIRST_PAUSE
        while True:
            try:
                answer = await ask()
            except ApiError as error:
                self._answered = self._answered or error.reason != "Unreachable"
                rest = max(error.delay, pause)
                spent = loop.time() - began + rest
                if not error.heals or error.reason == "NoMatch" or spent > self._limit:
                    raise
                await asyncio.sleep(rest)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                self._answered = True
                return answer

    @property
    def _limit(self) -> float:
        return self._seconds if self._answered else min(_UNKNOWN_SECONDS, self._seconds)

    async def identity(self) -> Target:
        """Return who this cluster is."""
        return await self._asked(self._cluster.identity)

    async def api(self, api_version: str, kind: str) -> Api:
        """Return how a kind is served."""
        return await self._asked(lambda: self._cluster.api(api_version, kind))

    async def kinds(self) -> tuple[Api, ...]:
        """Return every kind that can be listed."""
        return await self._asked(self._cluster.kinds)

    async def apply(self, body: Body, *, manager: str, dry_run: bool = False) -> tuple[Body, Operation]:
        """Apply once, or as a dry run as often as needed."""
        if not dry_run:
            return await self._cluster.apply(body, manager=manager)
        return await self._asked(lambda: self._cluster.apply(body, manager=manager, dry_run=True))

    async def get(self, ref: Ref) -> Body | None:
        """Return an object, or None."""
        return await self._asked(lambda: self._cluster.get(ref))

    async def read(self, ref: Ref) -> Body | None:
        """Return an object whole."""
        return await self._asked(lambda: self._cluster.read(ref))

    async def list(
        self, api_version: str, kind: str, *, namespace: str = "", labels: str = "", whole: bool = False
    ) -> tuple[Body, ...]:
        """Return all objects of a kind."""
        return await self._asked(
            lambda: self._cluster.list(api_version, kind, namespace=namespace, labels=labels, whole=whole)
        )

    def watch(self, api_version: str, kind: str, *, namespace: str = "", labels: str = "") -> AsyncIterator[Change]:
        """Yield all objects of a kind and then each change; watches heal by themselves."""
        return self._cluster.watch(api_version, kind, namespace=namespace, labels=labels)

    async def create(self, body: Body) -> Body:
        """Create an object, or ask for a review."""
        return await self._asked(lambda: self._cluster.create(body))

    async def replace(self, body: Body) -> Body:
        """Replace an object at the version that `body` carries."""
        return await self._cluster.replace(body)

    async def delete(self, ref: Ref, *, uid: str = "") -> bool:
        """Delete an object."""
        return await self._cluster.delete(ref, uid=uid)
