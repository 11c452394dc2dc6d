"""The target lock: the cluster is the one that was meant, and nobody else restores into it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from dr.core.body import get, text
from dr.core.errors import ApiError, LockError
from dr.core.events import Target
from dr.core.model import Body, Ref
from dr.engine.ports import Clock, Cluster

RESTORE, GAMEDAY = "dr-restore", "dr-gameday"
_SECONDS, _RENEW_EVERY = 15, 5.0
_BACK_SECONDS, _PAUSE = 10.0, 0.2
_FORBIDDEN = 403
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


@asynccontextmanager
async def held(
    cluster: Cluster, holder: str, clock: Clock, lost: Callable[[LockError], None], name: str = RESTORE
) -> AsyncIterator[Hold]:
    """Hold the cluster's Lease of this name while the block runs; the same `holder` takes its own up again.

    Raises LockError when another run holds it. `lost` is called when it was taken away meanwhile.
    """
    lease = Hold(cluster, Ref("coordination.k8s.io/v1", "Lease", "kube-system", name), holder, clock)
    acquiring = asyncio.ensure_future(lease.acquire())
    try:
        await asyncio.shield(acquiring)
    except asyncio.CancelledError:
        # The request may be granted yet: what it takes is given back, or nobody could begin for a while.
        await asyncio.wait((acquiring,))
        if not acquiring.exception():
            await lease.release()
        raise
    renewing = asyncio.create_task(lease.renew(lost))
    try:
        yield lease
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        await lease.release()


@asynccontextmanager
async def kept(cluster: Cluster, holder: str, clock: Clock, name: str = RESTORE) -> AsyncIterator[Hold]:
    """Hold a Lease as `held` does; when it is lost, the block is cancelled and LockError raised in its place."""
    taken: list[LockError] = []
    task = asyncio.current_task()

    def lost(error: LockError) -> None:
        taken.append(error)
        if task:
            task.cancel()

    async with held(cluster, holder, clock, lost, name) as lease:
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

    async def acquire(self) -> None:
        """Take it; raises LockError when another holds it."""
        try:
            await self._cluster.create(self._lease())
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            await self._take_over()

    async def _take_over(self) -> None:
        known = await self._cluster.get(self._ref)
        if known is None:
            await self.acquire()
            return
        owner = text(known, "spec", "holderIdentity")
        if owner and owner != self._holder and not _expired(known, self._clock):
            raise LockError(
                f"another run is restoring into this cluster: {owner}, last seen at {text(known, 'spec', 'renewTime')}",
                f"wait until it has ended; if it has crashed, its hold ends after {_SECONDS} s",
            )
        try:
            await self._cluster.replace(self._lease(text(known, "metadata", "resourceVersion")))
        except ApiError as error:
            if error.reason == "Conflict":
                raise LockError("another run took this cluster at the same moment", "wait until it has ended") from None
            raise

    async def renew(self, lost: Callable[[LockError], None]) -> None:
        """Keep it; `lost` is called when it is another's."""
        last = self._clock.monotonic()
        while True:
            await asyncio.sleep(_RENEW_EVERY)
            try:
                known = await self._cluster.get(self._ref)
                if known is not None and text(known, "spec", "holderIdentity") != self._holder:
                    other = text(known, "spec", "holderIdentity")
                    lost(LockError(f"{other} has taken the cluster over", "look at that run"))
                    return
                version = text(known or {}, "metadata", "resourceVersion")
                await (self._cluster.replace(self._lease(version)) if known else self._cluster.create(self._lease()))
                last = self._clock.monotonic()
            except ApiError as error:
                # What is forbidden stays so; all else may come right before anybody else takes the Lease.
                if error.status == _FORBIDDEN or (not error.heals and self._clock.monotonic() - last > _SECONDS):
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


def _expired(lease: Body, clock: Clock) -> bool:
    renewed = text(lease, "spec", "renewTime")
    seconds = get(lease, "spec", "leaseDurationSeconds")
    if not renewed or not isinstance(seconds, int):
        return True
    return datetime.fromisoformat(clock.now()) > datetime.fromisoformat(renewed) + timedelta(seconds=seconds)
