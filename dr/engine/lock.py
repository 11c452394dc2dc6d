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

_LEASE = Ref("coordination.k8s.io/v1", "Lease", "kube-system", "dr-restore")
_SECONDS, _RENEW_EVERY = 15, 5.0


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
async def held(cluster: Cluster, holder: str, clock: Clock, lost: Callable[[LockError], None]) -> AsyncIterator[None]:
    """Hold the cluster's Lease while the block runs; a run of the same `holder` takes its own Lease up again.

    Raises LockError when another run holds it. `lost` is called when it was taken away meanwhile.
    """
    await _acquire(cluster, holder, clock)
    renewing = asyncio.create_task(_renew(cluster, holder, clock, lost))
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        await _release(cluster, holder)


async def _acquire(cluster: Cluster, holder: str, clock: Clock) -> None:
    try:
        await cluster.create(_lease(holder, clock))
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
        await _take_over(cluster, holder, clock)


async def _take_over(cluster: Cluster, holder: str, clock: Clock) -> None:
    known = await cluster.get(_LEASE)
    if known is None:
        await _acquire(cluster, holder, clock)
        return
    owner = text(known, "spec", "holderIdentity")
    if owner and owner != holder and not _expired(known, clock):
        raise LockError(
            f"another run is restoring into this cluster: {owner}, last seen at {text(known, 'spec', 'renewTime')}",
            f"wait until it has ended; if it has crashed, its hold ends after {_SECONDS} s",
        )
    try:
        await cluster.replace(_lease(holder, clock, text(known, "metadata", "resourceVersion")))
    except ApiError as error:
        if error.reason == "Conflict":
            raise LockError("another run took this cluster at the same moment", "wait until it has ended") from None
        raise


async def _renew(cluster: Cluster, holder: str, clock: Clock, lost: Callable[[LockError], None]) -> None:
    last = clock.monotonic()
    while True:
        await asyncio.sleep(_RENEW_EVERY)
        try:
            known = await cluster.get(_LEASE)
            if known is not None and text(known, "spec", "holderIdentity") != holder:
                other = text(known, "spec", "holderIdentity")
                lost(LockError(f"{other} has taken the cluster over", "look at that run"))
                return
            version = text(known or {}, "metadata", "resourceVersion")
            await (cluster.replace(_lease(holder, clock, version)) if known else cluster.create(_lease(holder, clock)))
            last = clock.monotonic()
        except ApiError as error:
            if not error.heals and clock.monotonic() - last > _SECONDS:
                lost(LockError(f"the hold on the cluster cannot be renewed: {error.cause}", "check the permissions"))
                return


async def _release(cluster: Cluster, holder: str) -> None:
    try:
        known = await cluster.get(_LEASE)
        if known and text(known, "spec", "holderIdentity") == holder:
            await cluster.delete(_LEASE, uid=text(known, "metadata", "uid"))
    except ApiError:
        return  # the Lease ends by itself; the run's own result counts more


def _lease(holder: str, clock: Clock, version: str = "") -> Body:
    metadata = {"name": _LEASE.name, "namespace": _LEASE.namespace}
    now = datetime.fromisoformat(clock.now()).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "apiVersion": _LEASE.api_version,
        "kind": _LEASE.kind,
        "metadata": {**metadata, **({"resourceVersion": version} if version else {})},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": _SECONDS, "renewTime": now},
    }


def _expired(lease: Body, clock: Clock) -> bool:
    renewed = text(lease, "spec", "renewTime")
    seconds = get(lease, "spec", "leaseDurationSeconds")
    if not renewed or not isinstance(seconds, int):
        return True
    return datetime.fromisoformat(clock.now()) > datetime.fromisoformat(renewed) + timedelta(seconds=seconds)
