"""Volumes by a CSI snapshot, and namespaces by a Velero backup."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dr.core.body import get, items, mapping, text
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


def _writes(pod: Body, claim: str) -> bool:
    """Return whether a pod that runs, or is about to, may write to a claim ("": to any)."""
    if text(pod, "status", "phase") in ("Succeeded", "Failed"):
        return False
    writable = {
        text(volume, "name")
        for volume in items(pod, "spec", "volumes")
        if (of := mapping(volume, "persistentVolumeClaim"))
        and of.get("readOnly") is not True
        and claim in ("", of.get("claimName"))
    }
    return any(
        text(mount, "name") in writable and mount.get("readOnly") is not True
        for kind in ("containers", "initContainers", "ephemeralContainers")
        for container in items(pod, "spec", kind)
        for mounts in ("volumeMounts", "volumeDevices")
        for mount in items(container, mounts)
    )


class _AtOnce:
    """State of one moment: nothing follows, so nothing may write from then on.

    That is what `read_only` says, and what is looked at whenever it counts. A file that does not say it was let through
    by people: then nothing is looked at, and there is no way back.
    """

    def __init__(
        self, name: str, clusters: Mapping[str, Cluster], homes: Sequence[str], claim: str, *, read_only: bool
    ) -> None:
        self._name, self._clusters = name, clusters
        self._homes, self._of, self._read_only = homes, claim, read_only

    @property
    def follows(self) -> bool:
        """Whether both sides stay the same: where nothing writes they do."""
        return self._read_only

    async def freeze(self, side: str) -> None:
        """Look that nothing can write to it; who may is not stopped."""
        if not self._read_only:
            return
        found = [
            f"{text(pod, 'metadata', 'namespace')}/{text(pod, 'metadata', 'name')}"
            for home in self._homes
            for pod in await self._clusters[side].list("v1", "Pod", namespace=home)
            if _writes(pod, self._of)
        ]
        if found:
            raise ToolError(
                f"{self._name}: is `read_only`, and on `{side}` may be written to by {', '.join(sorted(found)[:5])}",
                "mount it read-only there, or stop who writes to it; then try again",
            )

    async def thaw(self, side: str) -> None:
        """Do nothing: nothing was stopped."""

    async def settle(self, side: str) -> None:
        """Do nothing: the snapshot is all that the other side gets."""

    async def turn(self, side: str) -> None:
        """Do nothing: nobody follows."""

    async def end(self) -> None:
        """Do nothing: a snapshot is kept, as a backup is, until people delete it."""


class SnapshotVolume(_AtOnce):
    """A volume, by a CSI snapshot that the drivers of both clusters can read."""

    def __init__(self, name: str, spec: Volume, clusters: Mapping[str, Cluster], mark: str) -> None:
        """Move the claim of `spec`; `name` is what errors call it, `mark` what its snapshot has in its name."""
        self._spec = spec
        self._namespace, _, claim = spec.claim.partition("/")
        super().__init__(name, clusters, (self._namespace,), claim, read_only=spec.read_only)
        self._claim = Ref("v1", "PersistentVolumeClaim", self._namespace, claim)
        self._snapshot = Ref(_SNAPSHOTS, "VolumeSnapshot", self._namespace, f"dr-{claim}-{mark}")
        self._known = Ref(_SNAPSHOTS, "VolumeSnapshotContent", "", f"dr-{self._namespace}-{claim}-{mark}")

    async def check(self) -> None:
        """Look for the claim and its class on the old side, and that nothing there writes to it."""
        old = self._clusters["from"]
        await self._there(old)
        kind = Ref(_SNAPSHOTS, "VolumeSnapshotClass", "", self._spec.snapshot_class)
        found = await old.get(kind)
        if text(found or {}, "driver") != self._spec.driver:
            said = f"is of {text(found, 'driver')}, not of {self._spec.driver}" if found else "is not there"
            raise ToolError(f"{self._name}: {kind} on `from` {said}", "correct `class` and `driver` in the file")
        await self.freeze("from")

    async def _there(self, old: Cluster) -> Body:
        claim = await old.get(self._claim)
        if claim is None:
            raise ToolError(f"{self._name}: there is no {self._claim} on `from`", "correct `claim` in the file")
        return claim

    async def copy(self) -> None:
        """Take a snapshot, make it known to the new cluster, and claim a volume that is filled from it."""
        old, new = self._clusters["from"], self._clusters["to"]
        claim = await self._there(old)
        await self.freeze("from")
        name, kind = self._snapshot.name, self._spec.snapshot_class
        await _make(
            old,
            self._snapshot,
            volumeSnapshotClassName=kind,
            source={"persistentVolumeClaimName": self._claim.name},
        )
        content = await self._ready("from")
        await _make(
            new,
            self._known,
            deletionPolicy="Retain",
            driver=self._spec.driver,
            source={"snapshotHandle": text(content, "status", "snapshotHandle")},
            volumeSnapshotClassName=kind,
            volumeSnapshotRef={"name": name, "namespace": self._namespace},
        )
        source = {"volumeSnapshotContentName": self._known.name}
        await _make(new, self._snapshot, volumeSnapshotClassName=kind, source=source)
        await self._ready("to")
        kept = ("accessModes", "resources", "storageClassName", "volumeMode")
        spec = {key: value for key, value in mapping(claim, "spec").items() if key in kept}
        made = await _make(
            new, self._claim, **spec, dataSource={"apiGroup": _GROUP, "kind": "VolumeSnapshot", "name": name}
        )
        self._filled(made)

    def _filled(self, claim: Body) -> None:
        if get(claim, "spec", "dataSource", "name") != self._snapshot.name:
            raise ToolError(
                f"{self._name}: {self._claim} is on `to` already, and was not filled from the snapshot of this move",
                "delete it there, and keep whatever creates it from doing so before the copy; then try again",
            )

    async def count(self, side: str) -> Counted:
        """Look that the claim is there, on the new side filled from the snapshot. What is in it nobody can compare."""
        claim = await self._clusters[side].get(self._claim)
        if claim is None or text(claim, "status", "phase") == "Lost":
            said = "has lost its volume" if claim else "is not there"
            raise ToolError(f"{self._name}: {self._claim} on `{side}` {said}", "copy the data again")
        if side == "to":
            self._filled(claim)
        return Counted(comparable=False)

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

    def __init__(self, name: str, spec: Velero, clusters: Mapping[str, Cluster], mark: str) -> None:
        """Move the claims of the namespaces of `spec`; `name` is what errors call them, `mark` is of this move."""
        super().__init__(name, clusters, spec.namespaces, "", read_only=spec.read_only)
        self._spec = spec
        called = f"dr-{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')[:40]}-{mark}"  # a name is any text
        self._backup = Ref(_VELERO, "Backup", spec.namespace, called)
        self._restore = Ref(_VELERO, "Restore", spec.namespace, called)

    async def check(self) -> None:
        """Look that the old side has Velero, and that nothing there writes to the claims."""
        await self._clusters["from"].list(_VELERO, "Backup", namespace=self._spec.namespace)
        await self.freeze("from")

    async def copy(self) -> None:
        """Back up on the old cluster, wait until the new one's Velero knows of it, and restore there."""
        await self.freeze("from")
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
        """Return how many claims each namespace has; what is in them nobody can compare."""
        found = {
            namespace: await self._clusters[side].list("v1", "PersistentVolumeClaim", namespace=namespace)
            for namespace in self._spec.namespaces
        }
        return Counted({f"claims of {home}": len(claims) for home, claims in found.items()}, comparable=False)

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
