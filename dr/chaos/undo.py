"""How each fault is undone, written down before it is sent; `python -m dr.chaos.undo FOLDER` undoes what is left.

A record is a file NNN.json in a folder that only its owner may enter: Secrets are saved whole, or they could not be
put back. It is removed once its fault is undone, so undoing twice does nothing the second time.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from chaoslib.exceptions import ActivityFailed
from kubernetes.client import ApiClient

from dr.chaos.api import Api, ref_of, uid_of
from dr.chaos.channel import send
from dr.chaos.guard import context_of, locked
from dr.core.body import get, items, mapping, text
from dr.core.chaos import Delete, Patch, PutBack, Release, Restored, Scale, Undo
from dr.core.errors import ApiError, DrError
from dr.core.model import Body, Ref
from dr.local import etcd

_UNDO: msgspec.json.Decoder[Undo] = msgspec.json.Decoder(Undo)
_FILE = re.compile(r"(\d{3,})\.json")
_PAUSE = 0.2
_SECONDS = 120.0
Connect = Callable[[], Api]


def record(undo: Undo, folder: Path) -> Path:
    """Write down how a fault is undone, on disk before this returns; return the file."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    last = max((int(found[1]) for path in folder.iterdir() if (found := _FILE.fullmatch(path.name))), default=0)
    file, partial = folder / f"{last + 1:03}.json", folder / f".{last + 1:03}.new"
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(msgspec.json.encode(undo))
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(file)
    directory = os.open(folder, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)
    return file


def pending(folder: Path) -> tuple[Path, ...]:
    """Return the records of faults that are not undone, in the order to undo them: what holds a program, then newest.

    Without its programs a cluster cannot be asked to take anything back.
    """
    found = [path for path in folder.glob("*.json") if _FILE.fullmatch(path.name)]
    return tuple(sorted(found, key=lambda path: (not isinstance(_read(path), Release), -int(path.stem))))


def _read(file: Path) -> Undo | None:
    try:
        return _UNDO.decode(file.read_bytes())
    except (OSError, msgspec.MsgspecError):
        return None


def undo_all(folder: Path, api_client: ApiClient, timeout: float = _SECONDS) -> tuple[Restored, ...]:
    """Undo every recorded fault, each within `timeout` seconds; what fails is told with its cause, and stays."""
    return undo_pending(folder, lambda: Api(api_client), timeout)


def undo_pending(folder: Path, connect: Connect, timeout: float = _SECONDS) -> tuple[Restored, ...]:
    """Do the same, asking for the cluster only when a record needs it."""
    done = []
    for file in pending(folder):
        undo = _read(file)
        fault, cause = undo.fault if undo else file.name, ""
        try:
            if undo is None:
                raise ApiError(f"{file} cannot be read")
            _undo(undo, connect, time.monotonic() + timeout)
            file.unlink(missing_ok=True)
        except (DrError, ActivityFailed, OSError) as error:
            cause = str(error)
        done.append(Restored(fault, time.monotonic(), cause))
    return tuple(done)


def _undo(undo: Undo, connect: Connect, until: float) -> None:
    match undo:
        case PutBack(objects=objects):
            api = connect()
            for body in objects:
                _put_back(api, body, until)
        case Scale(ref=ref, replicas=replicas):
            api = connect()
            _tried(lambda: _scale(api, ref, replicas), until)
        case Patch(ref=ref, body=body):
            api = connect()
            _tried(lambda: api.get(ref) is None or bool(api.patch(ref, body)), until)
        case Delete(ref=ref):
            api = connect()
            _tried(lambda: api.get(ref) is None or not api.delete(ref), until)
        case Release(folder=folder, program=program):
            _release(Path(folder), program, until)


def _release(folder: Path, program: str, until: float) -> None:
    if not folder.is_dir():
        return  # the cluster is gone, and its programs with it
    if program == "etcd":
        etcd.undo(folder, max(1.0, until - time.monotonic()))
    else:
        etcd.release(folder, [program])


def _scale(api: Api, ref: Ref, replicas: int) -> bool:
    """Give a workload its replicas unless somebody has: what an autoscaler chose since then is newer."""
    found = api.get(ref)
    if found is None:
        raise ApiError(f"{ref} is not there", reason="NotFound")
    return bool(get(found, "spec", "replicas")) or bool(api.patch(ref, {"spec": {"replicas": replicas}}))


def _tried(act: Callable[[], bool], until: float) -> None:
    """Do something until it is done; raises the last error that can heal when the time is up, and any other at once."""
    while True:
        last: ApiError | None = None
        try:
            if act():
                return
        except ApiError as error:
            if not error.heals:
                raise
            last = error
        if time.monotonic() > until:
            raise last or ApiError("the time for it was up", heals=True)
        time.sleep(_PAUSE)


def _put_back(api: Api, body: Body, until: float) -> None:
    ref = ref_of(body)
    made = {**body, "metadata": {**mapping(body, "metadata"), "ownerReferences": []}}

    def there() -> bool:
        made["metadata"]["ownerReferences"] = _owners(api, body)
        found = api.get(ref)
        if found is not None:
            return "deletionTimestamp" not in mapping(found, "metadata")
        if ref.namespace and _terminating(api, ref.namespace):
            return False
        try:
            api.create(made)
        except ApiError as error:
            if error.reason == "Invalid" and ref.kind == "Service":  # its address has another owner by now
                for field in ("clusterIP", "clusterIPs"):
                    mapping(made, "spec").pop(field, None)
                return False
            if error.reason != "AlreadyExists":
                raise
        return False

    try:
        _tried(there, until)
        if ref.kind == "CustomResourceDefinition":
            _tried(lambda: _established(api, ref), until)
    except ApiError as error:
        raise ApiError(f"{ref}: {error.cause}", status=error.status, reason=error.reason, heals=error.heals) from None


def _terminating(api: Api, namespace: str) -> bool:
    found = api.get(Ref("v1", "Namespace", "", namespace))
    return found is not None and text(found, "status", "phase") == "Terminating"


def _owners(api: Api, body: Body) -> list[Body]:
    """Return the owners that are there, by the UIDs that they have now."""
    home, found = text(body, "metadata", "namespace"), []
    for owner in items(body, "metadata", "ownerReferences"):
        ref = Ref(text(owner, "apiVersion"), text(owner, "kind"), home, text(owner, "name"))
        if live := api.get(ref):
            found.append({**owner, "uid": uid_of(live)})
    return found


def _established(api: Api, ref: Ref) -> bool:
    """Return whether a definition's every version is served: before that its objects cannot be created."""
    found = api.get(ref) or {}
    if not any(
        c.get("type") == "Established" and c.get("status") == "True" for c in items(found, "status", "conditions")
    ):
        return False
    group, kind = text(found, "spec", "group"), text(found, "spec", "names", "kind")
    versions = [text(v, "name") for v in items(found, "spec", "versions") if v.get("served")]
    return all(api.served(f"{group}/{version}", kind) for version in versions)


def main(folder: Path) -> int:
    """Undo what is recorded in `folder` on the cluster that the environment names and locks; 3 when any is left."""
    connected: list[Api] = []

    def connect() -> Api:
        if not connected:
            connected.append(locked(context_of())[0])
        return connected[0]

    done = undo_pending(folder, connect)
    for restored in done:
        send(restored)
        if restored.cause:
            sys.stderr.write(f"{restored.fault} is not undone: {restored.cause}\n")
    return 3 if any(restored.cause for restored in done) else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])) if len(sys.argv) == 2 else 2)
