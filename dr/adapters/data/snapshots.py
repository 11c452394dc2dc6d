"""Volumes by a CSI snapshot, and namespaces by a Velero backup."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from dr.core.body import get, mapping, text
from dr.core.errors import ApiError, ToolError
from dr.core.forklift import Velero, Volume
from dr.core.model import Body, Ref
from dr.engine.ports import Cluster, Counted

_GROUP = "snapshot.storage.k8s.io"
_SNAPSHOTS, _VELERO = f"{_GROUP}/v1", "velero.io/v1"
_PAUSE = 0.5


async def _until(cluster: Cluster, ref: Ref, done: Callable[[Body], bool]) -> Body:
    while True:
        try:
            found = await cluster.get(ref)
        except ApiError as error:
            if not error.heals:
                raise
            found = None
        if found is not None and done(found):
            return found
        await asyncio.sleep(_PAUSE)


async def _make(cluster: Cluster, ref: Ref, **content: Any) -> Body:
    """Return the object, made unless it is there."""
    metadata = {"name": ref.name} | ({"namespace": ref.namespace} if ref.namespace else {})
    try:
        return await cluster.create(
            {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": metadata, "spec": content}
        )
    except ApiError as error:
        found = await cluster.get(ref) if error.reason == "AlreadyExists" else None
        if found is None:
            raise
        return found


class _AtOnce:
    """State of one moment: nothing follows, so there is nothing to freeze, to settle or to turn.

    What is written after that moment stays behind: the workload that writes must be stopped before the copy.
    """

    follows = False

    async def freeze(self, side: str) -> None:
        """Do nothing: a volume takes writes for as long as something mounts it."""

    async def thaw(self, side: str) -> None:
        """Do nothing: nothing was frozen."""

    async def settle(self, side: str) -> None:
        """Do nothing: the snapshot is all that the other side gets."""

    async def turn(self, side: str) -> None:
        """Do nothing: nobody follows."""

    async def end(self) -> None:
        """Do nothing: a snapshot is kept, as a backup is, until people delete it."""


class SnapshotVolume(_AtOnce):
    """A volume, by a CSI snapshot that the drivers of both clusters can read."""

    def __init__(self, name: str, spec: Volume, clusters: Mapping[str, Cluster]) -> None:
        """Move the claim of `spec`; `name` is what errors call it."""
        self._name, self._spec, self._clusters = name, spec, clusters
        self._namespace, _, claim = spec.claim.partition("/")
        self._claim = Ref("v1", "PersistentVolumeClaim", self._namespace, claim)
        self._snapshot = Ref(_SNAPSHOTS, "VolumeSnapshot", self._namespace, f"dr-{claim}")

    async def copy(self) -> None:
        """Take a snapshot, make it known to the new cluster, and claim a volume that is filled from it."""
        old, new = self._clusters["from"], self._clusters["to"]
        claim = await old.get(self._claim)
        if claim is None:
            raise ToolError(f"{self._name}: there is no {self._claim} on `from`", "correct `claim` in the file")
        name, kind = self._snapshot.name, self._spec.snapshot_class
        await _make(
            old,
            self._snapshot,
            volumeSnapshotClassName=kind,
            source={"persistentVolumeClaimName": self._claim.name},
        )
        content = await self._ready("from")
        known = Ref(_SNAPSHOTS, "VolumeSnapshotContent", "", f"dr-{self._namespace}-{self._claim.name}")
        await _make(
            new,
            known,
            deletionPolicy="Retain",
            driver=self._spec.driver,
            source={"snapshotHandle": text(content, "status", "snapshotHandle")},
            volumeSnapshotClassName=kind,
            volumeSnapshotRef={"name": name, "namespace": self._namespace},
        )
        await _make(new, self._snapshot, volumeSnapshotClassName=kind, source={"volumeSnapshotContentName": known.name})
        await self._ready("to")
        kept = ("accessModes", "resources", "storageClassName", "volumeMode")
        spec = {key: value for key, value in mapping(claim, "spec").items() if key in kept}
        made = await _make(
            new, self._claim, **spec, dataSource={"apiGroup": _GROUP, "kind": "VolumeSnapshot", "name": name}
        )
        if get(made, "spec", "dataSource", "name") != name:
            raise ToolError(
                f"{self._name}: {self._claim} is on `to` already, and was not filled from the snapshot",
                "delete it there, and keep whatever creates it from doing so before the copy; then try again",
            )

    async def count(self, side: str) -> Counted:
        """Return the snapshot's size in bytes, and its handle as what it holds; nothing where there is no snapshot."""
        if await self._clusters[side].get(self._snapshot) is None:
            return Counted()
        content = await self._ready(side)
        size = get(content, "status", "restoreSize")
        if not size and side == "to":  # a driver that cannot list snapshots does not know the size of one it is told
            size = get(await self._ready("from"), "status", "restoreSize")
        return Counted({"bytes": int(size or 0)}, {"bytes": text(content, "status", "snapshotHandle")})

    async def _ready(self, side: str) -> Body:
        """Return the content of a side's snapshot once that is ready."""

        def ready(body: Body) -> bool:
            if cause := text(body, "status", "error", "message"):
                raise ToolError(
                    f"{self._name}: {self._snapshot} on `{side}` failed: {cause}",
                    f"see to the cause, delete the snapshot there (kubectl delete volumesnapshot {self._snapshot.name} "
                    f"--namespace {self._namespace}) and try again",
                )
            return get(body, "status", "readyToUse") is True

        found = await _until(self._clusters[side], self._snapshot, ready)
        bound = Ref(_SNAPSHOTS, "VolumeSnapshotContent", "", text(found, "status", "boundVolumeSnapshotContentName"))
        return await _until(self._clusters[side], bound, lambda body: bool(text(body, "status", "snapshotHandle")))


class VeleroBackup(_AtOnce):
    """The volumes of namespaces, by a Velero backup which both clusters' Velero sees."""

    def __init__(self, name: str, spec: Velero, clusters: Mapping[str, Cluster]) -> None:
        """Move the claims of the namespaces of `spec`; `name` is what errors call them."""
        self._name, self._spec, self._clusters = name, spec, clusters
        self._backup = Ref(_VELERO, "Backup", spec.namespace, f"dr-{name}")
        self._restore = Ref(_VELERO, "Restore", spec.namespace, f"dr-{name}")

    async def copy(self) -> None:
        """Back up on the old cluster, wait until the new one's Velero knows of it, and restore there."""
        old, new = self._clusters["from"], self._clusters["to"]
        await _make(
            old,
            self._backup,
            includedNamespaces=list(self._spec.namespaces),
            includedResources=["persistentvolumeclaims", "persistentvolumes"],
            snapshotVolumes=True,
        )
        await self._completed("from", self._backup)
        await self._completed("to", self._backup)
        await _make(new, self._restore, backupName=self._backup.name, restorePVs=True)
        await self._completed("to", self._restore)

    async def count(self, side: str) -> Counted:
        """Return how many claims each namespace has."""
        found = {
            namespace: await self._clusters[side].list("v1", "PersistentVolumeClaim", namespace=namespace)
            for namespace in self._spec.namespaces
        }
        return Counted({f"claims of {namespace}": len(claims) for namespace, claims in found.items()})

    async def _completed(self, side: str, ref: Ref) -> None:
        def completed(body: Body) -> bool:
            phase = text(body, "status", "phase")
            if "Failed" in phase:  # also PartiallyFailed, FailedValidation, and on the way there
                cause = text(body, "status", "failureReason") or "it gives no reason"
                raise ToolError(
                    f"{self._name}: {ref} on `{side}` is {phase}: {cause}",
                    f"see `velero {ref.kind.lower()} logs {ref.name}`, delete it there and try again",
                )
            return phase == "Completed"

        await _until(self._clusters[side], ref, completed)
