"""Faults in what is stored: objects, whole namespaces, and the definitions that custom resources hang on."""

from collections.abc import Iterator, Sequence
from typing import Any

from dr.chaos import guard
from dr.chaos.api import Api, ref_of, uid_of
from dr.chaos.bodies import owned, saved
from dr.chaos.guard import Bound, Given, allow, bound, existing, refuse
from dr.chaos.strike import activity, seen, strike
from dr.chaos.undo import record
from dr.core.body import get, items, mapping, text
from dr.core.chaos import Patch, PutBack
from dr.core.model import Body, Ref

_CRD = "apiextensions.k8s.io/v1"
_CLAIM = "PersistentVolumeClaim"
_AGAIN = "every object is put back as it was"


@activity
def delete_objects(
    kind: str,
    api_version: str,
    namespace: str,
    name: str = "",
    selector: str = "",
    timeout: float = 60.0,
    configuration: Given = None,
    secrets: Given = None,
) -> dict[str, Any]:
    """Delete objects of one kind (Secrets, ConfigMaps, the sealing key …) by name or label selector; wait for it.

    Blast radius: these objects of one namespace, the Secrets and ConfigMaps that are made of them (as of a
    SealedSecret), and what reads them from now on.
    Undone by putting each back as it was. Values of Secrets are kept in the undo record only.
    """
    home = guard.namespace(namespace)
    if bool(name) == bool(selector):
        raise refuse("the objects are not named in exactly one way", "Give a name or a selector")
    found = bound(configuration, secrets)
    if not found.api.served(api_version, kind).namespaced:
        raise refuse(f"{kind} is not in a namespace", "Use lose_nodes, delete_namespace or delete_crd")
    if name:
        there: tuple[Body, ...] = (existing(found, Ref(api_version, kind, home, name)),)
    else:
        there = found.api.list(api_version, kind, home, guard.selector(selector))
    allow(found, home=home, objects=len(there))
    everything = (*there, *_made_of(found.api, home, there))
    record(PutBack("delete objects", saved(everything)), found.undo)
    deleted = _delete(found, "delete objects", there)
    seen(lambda: not _left(found.api, everything), timeout, "the end of the objects and of what was made of them")
    return {"deleted": list(deleted)}


@activity
def delete_namespace(
    namespace: str,
    lose_volumes: bool = False,
    timeout: float = 120.0,
    configuration: Given = None,
    secrets: Given = None,
) -> dict[str, Any]:
    """Delete a namespace with all that is in it, and wait until it is gone.

    Blast radius: every object of the namespace. Volumes that their class deletes with their claim are lost for good,
    so a namespace that has one is refused unless `lose_volumes` is said.
    Undone by putting every object back; volumes that were retained are bound to their claims again.
    """
    home = guard.namespace(namespace)
    found = bound(configuration, secrets)
    ref = Ref("v1", "Namespace", "", home)
    body = existing(found, ref)
    held = tuple(_within(found.api, home))
    allow(found, home=home, objects=len(held) + 1)
    volumes = {claim: (name, retained) for claim, name, retained in _volumes(found.api, held)}
    lost = [name for name, retained in volumes.values() if not retained]
    if lost and not lose_volumes:
        raise refuse(
            f"{len(lost)} volumes of {home} would be deleted with it, and with them their data",
            "Say lose_volumes, or give their class the reclaim policy Retain",
        )
    again = saved([body, *(each for each in held if not owned(each))])
    for claim in again:
        volume, retained = volumes.get(_name(claim), ("", False))
        if text(claim, "kind") == _CLAIM and retained:
            record(_rebind(volume), found.undo)  # undone after the claim is back: the newest record goes first
            claim["spec"]["volumeName"] = volume
    record(PutBack("delete namespace", again), found.undo)
    _delete(found, "delete namespace", [body])
    seen(lambda: found.api.get(ref) is None, timeout, f"the end of {ref}")
    return {"deleted": str(ref), "objects": len(held)}


def _within(api: Api, home: str) -> Iterator[Body]:
    """Yield all that a namespace holds, except what only tells of the past."""
    for row in api.kinds(namespaced=True):
        if row.kind != "Event":
            yield from api.list(row.api_version, row.kind, home)


def _volumes(api: Api, held: Sequence[Body]) -> Iterator[tuple[str, str, bool]]:
    """Yield each claim's name, its volume's, and whether the volume outlives the claim."""
    for claim in held:
        volume = text(claim, "spec", "volumeName") if text(claim, "kind") == _CLAIM else ""
        if volume:
            found = api.get(Ref("v1", "PersistentVolume", "", volume))
            yield _name(claim), volume, get(found, "spec", "persistentVolumeReclaimPolicy") == "Retain"


def _rebind(volume: str) -> Patch:
    """Return what lets a volume take a new claim of the old name: it remembers the old one by its UID."""
    ref = Ref("v1", "PersistentVolume", "", volume)
    return Patch("delete namespace", ref, {"spec": {"claimRef": {"uid": None, "resourceVersion": None}}})


@activity
def delete_crd(name: str, timeout: float = 120.0, configuration: Given = None, secrets: Given = None) -> dict[str, Any]:
    """Delete a CustomResourceDefinition, with which all its custom resources vanish, and wait until it is gone.

    Blast radius: every custom resource of the kind in all namespaces, and what its controller does on their removal.
    Undone by putting back the definition and, once it is served, each custom resource without its status.
    """
    if not name:
        raise refuse("no CustomResourceDefinition was named", "Name one, such as databases.db.example.com")
    found = bound(configuration, secrets)
    ref = Ref(_CRD, "CustomResourceDefinition", "", name)
    body = existing(found, ref)
    version = next((text(v, "name") for v in items(body, "spec", "versions") if v.get("storage")), "")
    kind, served = text(body, "spec", "names", "kind"), f"{text(body, 'spec', 'group')}/{version}"
    resources = found.api.list(served, kind)
    allow(found, objects=len(resources) + 1)
    for home in sorted({text(each, "metadata", "namespace") for each in resources} - {""}):
        allow(found, home=home, objects=1)
    record(PutBack("delete CRD", saved([body, *resources])), found.undo)
    _delete(found, "delete CRD", [body])
    seen(lambda: found.api.get(ref) is None, timeout, f"the end of {ref}")
    return {"deleted": str(ref), "custom resources": len(resources)}


def _delete(found: Bound, fault: str, bodies: Sequence[Body]) -> tuple[str, ...]:
    calls = [(str(ref_of(body)), lambda body=body: found.api.delete(ref_of(body), uid=uid_of(body))) for body in bodies]
    return strike(fault, calls, _AGAIN)


def _made_of(api: Api, home: str, bodies: Sequence[Body]) -> Iterator[Body]:
    """Yield the Secrets and ConfigMaps that go with these objects because they are owned by them."""
    owners = {uid_of(body) for body in bodies}
    for kind in ("Secret", "ConfigMap"):
        for body in api.list("v1", kind, home):
            if any(text(owner, "uid") in owners for owner in items(body, "metadata", "ownerReferences")):
                yield body


def _left(api: Api, bodies: Sequence[Body]) -> bool:
    return any(uid_of(api.get(ref_of(each)) or {}) == uid_of(each) for each in bodies)


def _name(body: Body) -> str:
    return text(mapping(body, "metadata"), "name")
