"""Faults in clusters as a whole: their API server, their etcd, all of them. Most need an embedded cluster."""

import time
from pathlib import Path
from typing import Any

from dr.adapters import providers
from dr.chaos.channel import send
from dr.chaos.guard import Bound, Given, allow, bound, refuse, state_folder
from dr.chaos.strike import activity, strike
from dr.chaos.undo import record
from dr.core.chaos import Release, Struck
from dr.core.errors import NotFound
from dr.local import cluster, etcd

_EMBEDDED = "dr-"
_PAUSE = 0.1


class _Told:
    """Says that programs were struck, at the moment that they were."""

    def __init__(self, fault: str, target: str, undo: str) -> None:
        self._fault, self._target, self._undo = fault, target, undo
        self._began, self.at = time.monotonic(), 0.0

    def __call__(self) -> None:
        self.at = time.monotonic()
        send(Struck(self._fault, self._began, self.at, (self._target,), self._undo))

    def check(self) -> None:
        """Refuse to call it a fault when nothing ran that could be struck."""
        if not self.at:
            raise refuse(f"{self._target} did not run", "Bring it up first: what is down cannot go down")


@activity
def stop_program(
    program: str = "kube-apiserver",
    seconds: float = 10.0,
    configuration: Given = None,
    secrets: Given = None,
) -> dict[str, Any]:
    """Kill a program of an embedded cluster, keep it down for some seconds, and let it run again.

    Blast radius: the whole cluster, as far as it needs the program; without `kube-apiserver` nobody can change
    anything, while what runs goes on. Undone by letting the program run again.
    """
    found = bound(configuration, secrets)
    folder = _folder(found)
    allow(found, cluster=True)
    if not 0 < float(seconds) <= 3600:
        raise refuse(f"{seconds} seconds are not possible", "Give more than 0, up to 3600")
    file = record(Release("stop program", str(folder), program), found.undo)

    told = _Told("stop program", f"{program} of {found.context}", "it runs again")
    try:
        etcd.hold(folder, [program], told)
        told.check()
        while time.monotonic() < told.at + float(seconds):
            time.sleep(_PAUSE)
    finally:
        etcd.release(folder, [program])
        file.unlink(missing_ok=True)
    return {"program": program, "seconds": float(seconds)}


@activity
def snapshot_etcd(configuration: Given = None, secrets: Given = None) -> dict[str, Any]:
    """Keep a copy of an embedded cluster's etcd, which replaces an earlier one.

    Blast radius: writes wait while it is copied, less than a second. Undone by letting etcd go on.
    """
    found = bound(configuration, secrets)
    folder, began = _folder(found), time.monotonic()
    file = record(Release("snapshot etcd", str(folder), "etcd"), found.undo)
    try:
        etcd.snapshot(folder)
    finally:
        file.unlink(missing_ok=True)
    return {"seconds": round(time.monotonic() - began, 3)}


@activity
def lose_etcd(timeout: float = 60.0, configuration: Given = None, secrets: Given = None) -> dict[str, Any]:
    """Lose all data of an embedded cluster's etcd; return when an empty cluster serves again.

    Blast radius: every object of the cluster; its identity (the UID of kube-system) is a new one afterwards.
    Undone by the newest snapshot, if there is one and nobody has built anything in its place.
    """
    found = bound(configuration, secrets)
    folder = _folder(found)
    allow(found, cluster=True)
    record(Release("lose etcd", str(folder), "etcd"), found.undo)

    told = _Told("lose etcd", f"etcd of {found.context}", "its newest snapshot is put back")
    etcd.lose(folder, told, timeout)
    told.check()
    return {"lost": found.context}


@activity
def put_back_etcd(timeout: float = 60.0, configuration: Given = None, secrets: Given = None) -> dict[str, Any]:
    """Give an embedded cluster the data of its newest snapshot; return when the API server serves it.

    Blast radius: every change since the snapshot is lost. It is not undone: it is what undoes lose_etcd.
    """
    etcd.put_back(_folder(bound(configuration, secrets)), timeout)
    return {"put back": True}


@activity
def remove_cluster(configuration: Given = None, secrets: Given = None) -> dict[str, Any]:
    """Remove the whole cluster: an embedded one, or one of kind or k3d (contexts kind-NAME and k3d-NAME).

    Blast radius: everything. It cannot be undone: the recovery is a new cluster, rebuilt from git.
    """
    found = bound(configuration, secrets)
    allow(found, cluster=True)
    provider, _, name = found.context.partition("-")

    def removed() -> bool:
        if provider in providers.CONTRACTS:
            providers.delete(provider, name)
        else:
            cluster.remove(state_folder(), folder.name)
        return True

    if provider not in providers.CONTRACTS:
        folder = _folder(found)
    strike("remove cluster", [(found.context, removed)], "not: a new cluster is rebuilt from git")
    return {"removed": found.context}


def _folder(found: Bound) -> Path:
    """Return an embedded cluster's folder; refuses any other cluster, whatever it calls itself."""
    try:
        if not found.context.startswith(_EMBEDDED):
            raise NotFound(found.context)  # noqa: TRY301 - refused in the same words
        folder, known = cluster.find(state_folder(), found.context.removeprefix(_EMBEDDED))
        if known.server == found.api.server:
            return folder
    except NotFound:
        pass
    raise refuse(
        f'the context "{found.context}" is no embedded cluster of {state_folder()}',
        "Do this to a cluster of your own by its provider's means, or use an embedded one (DR_STATE_DIR)",
    )
