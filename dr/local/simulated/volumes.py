"""What a cloud gives: volumes for claims whose class is there, addresses for load balancers."""

from __future__ import annotations

from dr.core.body import get, items, mapping, text
from dr.core.model import Body, Ref
from dr.engine.ports import Change
from dr.local.simulated.watches import Watches, name_of

_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_BY_HAND = "kubernetes.io/no-provisioner"
_NODE = "volume.kubernetes.io/selected-node"
_LABELS = {"dr.dev/simulated": "true"}


class Volumes:
    """Provisions volumes; binding them stays the real controller's work."""

    def __init__(self, watches: Watches) -> None:
        self._watches = watches
        self._made: set[str] = set()
        watches.follow("storage.k8s.io/v1", "StorageClass", lambda _: self._again())
        watches.follow("v1", "PersistentVolumeClaim", self._claim)

    def _again(self) -> None:
        for body in list(self._watches.objects["PersistentVolumeClaim"].values()):
            self._claim(Change(body))

    def _claim(self, change: Change) -> None:
        claim = change.body
        uid = text(claim, "metadata", "uid")
        if change.gone or uid in self._made or text(claim, "status", "phase") == "Bound":
            return
        found = self._class(claim)
        if found is None or text(claim, "spec", "volumeName") or text(found, "provisioner") == _BY_HAND:
            return
        late = text(found, "volumeBindingMode") == "WaitForFirstConsumer"
        if late and not text(claim, "metadata", "annotations", _NODE):
            return
        self._made.add(uid)
        volume = _volume(claim, found, uid)
        self._watches.do(f"volume {uid}", lambda: self._watches.kube.create(volume))

    def _class(self, claim: Body) -> Body | None:
        classes = self._watches.objects["storage.k8s.io/StorageClass"]
        wanted = get(claim, "spec", "storageClassName")
        if isinstance(wanted, str):
            return classes.get(("", wanted)) if wanted else None
        return next((c for c in classes.values() if text(c, "metadata", "annotations", _DEFAULT) == "true"), None)


def _volume(claim: Body, storage_class: Body, uid: str) -> Body:
    namespace, name = name_of(claim)
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"pvc-{uid}", "labels": _LABELS},
        "spec": {
            "accessModes": items(claim, "spec", "accessModes"),
            "capacity": {"storage": mapping(claim, "spec", "resources", "requests").get("storage", "1Gi")},
            "storageClassName": text(storage_class, "metadata", "name"),
            "volumeMode": text(claim, "spec", "volumeMode") or "Filesystem",
            "persistentVolumeReclaimPolicy": text(storage_class, "reclaimPolicy") or "Delete",
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": namespace,
                "name": name,
                "uid": uid,
            },
            "csi": {"driver": "simulated.dr.dev", "volumeHandle": uid},
        },
    }


class Balancers:
    """Gives addresses of the documentation range to Services of type LoadBalancer."""

    def __init__(self, watches: Watches) -> None:
        self._watches = watches
        self._given: set[str] = set()
        watches.follow("v1", "Service", self._service)

    def _service(self, change: Change) -> None:
        service = change.body
        uid = text(service, "metadata", "uid")
        if change.gone or text(service, "spec", "type") != "LoadBalancer" or uid in self._given:
            return
        self._given.add(uid)
        address = f"198.51.100.{len(self._given) % 250 + 1}"
        status = {"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}
        ref = Ref("v1", "Service", *name_of(service))
        self._watches.do(f"address of {ref}", lambda: self._watches.kube.patch(ref, status, subresource="status"))
