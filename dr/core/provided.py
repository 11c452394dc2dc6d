"""Objects that are made where git has none: the least that an API server takes for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from dr.core.body import mapping
from dr.core.model import Body, Ref
from dr.core.pods import wants
from dr.core.rules.builtin import BUILTIN_KINDS
from dr.core.world import World

PROVISIONER = "simulated.dr.dev"
_DEFAULT_CLASS = {"storageclass.kubernetes.io/is-default-class": "true"}
_GROUP_OF = {row.rpartition("/")[2]: row.rpartition("/")[0] for row in sorted(BUILTIN_KINDS, reverse=True)}
# Fields without which the API server refuses a kind, beside its name.
_FIELDS: dict[str, Body] = {
    "CSIDriver": {"spec": {}},
    "ClusterRole": {"rules": []},
    "IngressClass": {"spec": {"controller": "dr.dev/simulated"}},
    "PersistentVolume": {
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": PROVISIONER, "volumeHandle": "simulated"},
        }
    },
    "PersistentVolumeClaim": {
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": PROVISIONER,
        }
    },
    "PriorityClass": {"value": 0},
    "Role": {"rules": []},
    "RuntimeClass": {"handler": "simulated"},
    "Service": {"spec": {"ports": [{"port": 80}]}},
    "StorageClass": {"provisioner": PROVISIONER},
}
_BARE = frozenset({"ConfigMap", "Namespace", "Secret", "ServiceAccount"})
_STATUS: Body = {
    "type": "object",
    "x-kubernetes-preserve-unknown-fields": True,
    "properties": {
        "observedGeneration": {"type": "integer", "format": "int64"},
        "conditions": {
            "type": "array",
            "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    },
}


def api_version(kind: str, group: str = "") -> str:
    """Return the API version at which Kubernetes serves a kind of its own; `group`/v1 for another's.

    >>> api_version("Secret"), api_version("StorageClass"), api_version("ClusterIssuer", "cert-manager.io")
    ('v1', 'storage.k8s.io/v1', 'cert-manager.io/v1')
    """
    home = _GROUP_OF.get(kind, group) if not group else group
    return f"{home}/v1" if home else "v1"


def minimal(ref: Ref, keys: Iterable[str] = (), *, default: bool = False) -> Body:
    """Return the least that an API server takes for an object.

    `keys`: those that a ConfigMap or Secret has, each without a value. `default`: a StorageClass for claims that name
    none.
    """
    metadata: Body = {"name": ref.name, **({"namespace": ref.namespace} if ref.namespace else {})}
    if default:
        metadata["annotations"] = _DEFAULT_CLASS
    body: Body = {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": metadata}
    if ref.kind in ("ConfigMap", "Secret") and (data := dict.fromkeys(sorted(keys), "")):
        body["data"] = data
    elif ref.kind == "Deployment":
        labels = {"dr.dev/made-for": ref.name[:63].rstrip("-.")}
        containers = [{"name": "simulated", "image": "dr.dev/simulated"}]
        template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
        body["spec"] = {"selector": {"matchLabels": labels}, "template": template}
    elif ref.kind in _FIELDS:
        body |= _FIELDS[ref.kind]
    elif ref.kind not in _BARE and ref.kind not in _GROUP_OF:
        body["spec"] = {}
    return body


def definition(group: str, kind: str, plural: str, versions: Iterable[str], *, namespaced: bool) -> Body:
    """Return a CustomResourceDefinition that takes anything, at these versions, with a status of conditions."""
    ordered = sorted(set(versions), key=lambda version: ("alpha" not in version, "beta" not in version, version))
    schema: Body = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"status": _STATUS}}
    # The API server wants a word for groups that are Kubernetes' own.
    word = {"api-approved.kubernetes.io": "unapproved, simulated"} if group.endswith((".k8s.io", "kubernetes.io")) else {}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}", **({"annotations": word} if word else {})},
        "spec": {
            "group": group,
            "scope": "Namespaced" if namespaced else "Cluster",
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": version == ordered[-1],
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                }
                for version in ordered
            ],
        },
    }


def asked_keys(world: World) -> Mapping[tuple[str, str, str], frozenset[str]]:
    """Return, for each ConfigMap and Secret by (kind, namespace, name), the keys that git's pods want of it."""
    found: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for index, template in world.pods.items():
        namespace = world.nodes[index].ref.namespace or "default"
        for want in wants(mapping(template, "spec")):
            if want.key:
                found[want.kind, namespace, want.name].add(want.key)
    return {thing: frozenset(keys) for thing, keys in found.items()}
