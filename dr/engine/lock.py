"""The target lock: the cluster is the one that was meant, and nobody else restores into it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, cast

from dr.core.body import get, text
from dr.core.errors import ApiError, LockError
from dr.core.events import Target
from dr.core.model import Body, Ref
from dr.engine.ports import Clock, Cluster

RESTORE, GAMEDAY = "dr-restore", "dr-gameday"
HOLD = "hold"  # the check under which a run writes down that it waits for another's
_SECONDS, _RENEW_EVERY, _LOOK_EVERY = 15, 2.0, 0.5
_BACK_SECONDS, _PAUSE = 10.0, 0.2
_FORBIDDEN = 403
Say = Callable[[str], None]
_ALLOW = f"allow get, update and delete of this Lease; it ends by itself after {_SECONDS} s"


def same_cluster(meant: Target, found: Target) -> None:
    """Raise LockError unless `found` is the cluster that was meant."""
    if meant.uid == found.uid and meant.ca == found.ca:
        return
    what = "its kube-system namespace has another UID" if meant.uid != found.uid else "it shows another CA"
    raise LockError(
        f'the context "{found.context}" leads to another cluster than before: {what} '
        f"(meant {meant.uid} at {meant.server}, found {found.uid} at {found.server})",
        "nothing was changed; check the kubeconfig, then plan again",
    )


def _silent(_: str) -> None:
    """Say nothing."""


@asynccontextmanager
async def held(
    cluster: Cluster,
    holder: str,
    clock: Clock,
    lost: Callable[[LockError], None],
    name: str = RESTORE,
    say: Say = _silent,
) -> AsyncIterator[Hold]:
    """Hold the cluster's Lease of this name while the block runs; the same `holder` takes its own up again.

    Raises LockError when another run holds it. `lost` is called when it was taken away meanwhile, `say` told what is
    waited for.
    """
    lease = Hold(cluster, Ref("coordination.k8s.io/v1", "Lease", "kube-system", name), holder, clock)
    await lease.acquire(say)
    renewing = asyncio.create_task(lease.renew(lost))
    try:
        yield lease
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        await lease.release()


@asynccontextmanager
async def kept(
    cluster: Cluster, holder: str, clock: Clock, name: str = RESTORE, say: Say = _silent
) -> AsyncIterator[Hold]:
    """Hold a Lease as `held` does; when it is lost, the block is cancelled and LockError raised in its place."""
    taken: list[LockError] = []
    task = asyncio.current_task()

    def lost(error: LockError) -> None:
        taken.append(error)
        if task:
            task.cancel()

    async with held(cluster, holder, clock, lost, name, say) as lease:
        try:
            yield lease
        except asyncio.CancelledError:
            if taken:
                raise taken[0] from None
            raise


async def let_go(cluster: Cluster, holder: str, clock: Clock, name: str) -> None:
    """Give back the Lease of a run that cannot do it any more; another run's is left alone."""
    await Hold(cluster, Ref("coordination.k8s.io/v1", "Lease", "kube-system", name), holder, clock).release()


class Hold:
    """A Lease and who means to hold it. `gone`: the cluster is, so there is nothing to give back."""

    def __init__(self, cluster: Cluster, ref: Ref, holder: str, clock: Clock) -> None:
        self._cluster = cluster
        self._ref = ref
        self._holder = holder
        self._clock = clock
        self.gone = False
        self._renewed = clock.monotonic()

    @property
    def stale(self) -> bool:
        """Whether it may be another's by now: it was not renewed for as long as it lasts."""
        return self._clock.monotonic() - self._renewed > _SECONDS

    def guarded(self, cluster: Cluster) -> Cluster:
        """Return the cluster for a run that applies nothing while its hold may be another's."""
        return cast("Cluster", _Guarded(cluster, self))

    async def acquire(self, say: Say = _silent) -> None:
        """Take it; raises LockError when another holds it, or may not take it away from one that has crashed."""
        version = ""
        while not await self._whole(self._taken(version)):
            version = await self._outlasted(say)

    async def _whole(self, taking: Coroutine[Any, Any, bool]) -> bool:
        """Await a try to the end. A request may be granted after we were stopped: what it takes is given back."""
        task = asyncio.ensure_future(taking)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait((task,))
            if not task.exception() and task.result():
                await self.release()
            raise

    async def _taken(self, version: str = "") -> bool:
        """Take it if it is nobody's, or our own, or still at this version; return whether it is ours."""
        sent = self._clock.monotonic()
        try:
            if not version:
                await self._cluster.create(self._lease())
            else:
                await self._cluster.replace(self._lease(version))
        except ApiError as error:
            if error.reason == "Conflict":
                raise LockError("another run took this cluster at the same moment", "wait until it has ended") from None
            if error.reason != "AlreadyExists":
                raise
            known = await self._cluster.get(self._ref)
            if known and text(known, "spec", "holderIdentity") in ("", self._holder):
                return await self._taken(text(known, "metadata", "resourceVersion"))
            return False
        self._renewed = sent
        return True

    async def _outlasted(self, say: Say) -> str:
        """Return the version of another's Lease that has expired, "" for one that is gone.

        Raises LockError as soon as it is seen to be renewed.

        What it says of its time is by another machine's clock, which may be wrong: only what was seen to stand still
        for as long as it lasts, by our own clock, has expired.
        """
        first = ""
        since = self._clock.monotonic()
        while (known := await self._cluster.get(self._ref)) is not None:
            owner, version = text(known, "spec", "holderIdentity"), text(known, "metadata", "resourceVersion")
            seconds = get(known, "spec", "leaseDurationSeconds")
            lasts = seconds if isinstance(seconds, int) else _SECONDS
            if not first:
                first = version
                say(f"{owner} holds this cluster: waiting {lasts} s to see whether it still runs")
            if version != first:
                raise LockError(
                    f"another run is restoring into this cluster: {owner}, which has just renewed its hold",
                    f"wait until it has ended; if it crashes, its hold ends after {_SECONDS} s",
                )
            if self._clock.monotonic() - since > lasts:
                return version
            await asyncio.sleep(min(_LOOK_EVERY, lasts))
        return ""

    async def renew(self, lost: Callable[[LockError], None]) -> None:
        """Keep it; `lost` is called when it is another's."""
        while True:
            await asyncio.sleep(_RENEW_EVERY)
            sent = self._clock.monotonic()
            try:
                known = await self._cluster.get(self._ref)
                if known is not None and text(known, "spec", "holderIdentity") != self._holder:
                    other = text(known, "spec", "holderIdentity")
                    lost(LockError(f"{other} has taken the cluster over", "look at that run"))
                    return
                version = text(known or {}, "metadata", "resourceVersion")
                await (self._cluster.replace(self._lease(version)) if known else self._cluster.create(self._lease()))
                self._renewed = sent
            except ApiError as error:
                # What is forbidden stays so; all else may come right before anybody else takes the Lease.
                if error.status == _FORBIDDEN or (not error.heals and self.stale):
                    lost(
                        LockError(f"the hold on the cluster cannot be renewed: {error.cause}", "check the permissions")
                    )
                    return

    async def release(self) -> None:
        """Give it back; an API server that is just coming up is waited for. Raises LockError where it is forbidden."""
        until = self._clock.monotonic() + _BACK_SECONDS
        while not self.gone:
            try:
                known = await self._cluster.get(self._ref)
                if known and text(known, "spec", "holderIdentity") == self._holder:
                    await self._cluster.delete(self._ref, uid=text(known, "metadata", "uid"))
            except ApiError as error:
                if error.heals and self._clock.monotonic() < until:
                    await asyncio.sleep(_PAUSE)
                    continue
                if error.status == _FORBIDDEN:
                    raise LockError(f"the hold on the cluster cannot be given back: {error.cause}", _ALLOW) from None
            return  # without an answer the Lease ends by itself; the run's own result counts more

    def _lease(self, version: str = "") -> Body:
        metadata = {"name": self._ref.name, "namespace": self._ref.namespace}
        now = datetime.fromisoformat(self._clock.now()).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "apiVersion": self._ref.api_version,
            "kind": self._ref.kind,
            "metadata": {**metadata, **({"resourceVersion": version} if version else {})},
            "spec": {"holderIdentity": self._holder, "leaseDurationSeconds": _SECONDS, "renewTime": now},
        }


class _Guarded:
    """A cluster to which nothing is applied while the hold on it is stale; all else is the cluster's own."""

    def __init__(self, cluster: Cluster, hold: Hold) -> None:
        self._cluster = cluster
        self._hold = hold

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    async def apply(self, *what: Any, **how: Any) -> Any:
        if self._hold.stale:
            cause = f"the hold on the cluster was not renewed for {_SECONDS} s; nothing is applied until it is"
            raise ApiError(cause, reason="Stale", heals=True)
        return await self._cluster.apply(*what, **how)
