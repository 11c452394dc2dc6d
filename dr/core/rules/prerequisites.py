"""What a missing object means: a broken reference, or something that a restore needs from outside git."""

from __future__ import annotations

from msgspec import Struct

from dr.core.model import Level


class Absence(Struct, frozen=True):
    """How an unmet need is reported.

    referrer, kind: the first row that matches both counts ("" matches any).
    what: the kind of prerequisite; code, level: of the finding; "" for none.
    """

    what: str
    code: str
    level: Level
    remedy: str
    kind: str = ""
    referrer: str = ""


_E, _W = Level.ERROR, Level.WARNING
_CLASS = "create it on the target before the restore, or keep it in git"
_VOLUME = "recreate it, reattach its volume or restore its data before the restore; git does not hold it"
_KEY = "restore it from your vault before the restore; keep a tested copy outside the cluster"

ABSENCES: tuple[Absence, ...] = (
    Absence("deploy-key", "prerequisite", _W, _KEY, "Secret", "GitRepository"),
    Absence("registry-credentials", "prerequisite", _W, _KEY, "Secret", "HelmRepository"),
    Absence("registry-credentials", "prerequisite", _W, _KEY, "Secret", "OCIRepository"),
    Absence("registry-credentials", "prerequisite", _W, _KEY, "Secret", "ImageRepository"),
    Absence("bucket-credentials", "prerequisite", _W, _KEY, "Secret", "Bucket"),
    Absence("decryption-key", "prerequisite", _W, _KEY, "Secret", "Kustomization"),
    Absence("store-credentials", "prerequisite", _W, _KEY, "Secret", "SecretStore"),
    Absence("store-credentials", "prerequisite", _W, _KEY, "Secret", "ClusterSecretStore"),
    Absence("notification-credentials", "prerequisite", _W, _KEY, "Secret", "Provider"),
    Absence("storage-class", "prerequisite", _W, _CLASS, "StorageClass"),
    Absence("ingress-class", "prerequisite", _W, _CLASS, "IngressClass"),
    Absence("gateway-class", "prerequisite", _W, _CLASS, "GatewayClass"),
    Absence("runtime-class", "prerequisite", _W, _CLASS, "RuntimeClass"),
    Absence("snapshot-class", "prerequisite", _W, _CLASS, "VolumeSnapshotClass"),
    Absence("volume", "prerequisite", _W, _VOLUME, "PersistentVolume"),
    Absence("volume", "prerequisite", _W, _VOLUME, "PersistentVolumeClaim"),
    Absence(
        "source",
        "prerequisite",
        _W,
        "the bootstrap of the GitOps engine makes it; keep its address in the runbook",
        "GitRepository",
    ),
    Absence("api", "missing-crd", _W, "keep the CRD in git, or install what brings it before the restore", "API"),
    Absence("engine", "prerequisite", _W, "install the GitOps engine (bootstrap) before the restore", "Engine"),
    Absence(
        "namespace", "missing-namespace", _E, "add the Namespace to git, or create it before the restore", "Namespace"
    ),
    Absence(
        "object",
        "missing-reference",
        _E,
        "add it to git (sealed or by reference), correct the name, or list it under provided: in dr.yaml",
    ),
)

SEALING_KEY = Absence("sealing-key", "prerequisite", _W, _KEY, "SealingKey")
SOPS_KEY = Absence("decryption-key", "prerequisite", _W, _KEY, "DecryptionKey")
DEFAULT_STORAGE_CLASS = Absence(
    "storage-class", "prerequisite", _W, "mark one StorageClass of the target as the default", "StorageClass"
)
LOAD_BALANCER = Absence(
    "load-balancer", "", _W, "the target must give addresses to Services of type LoadBalancer", "LoadBalancer"
)
REGISTRY = Absence(
    "registry", "", _W, "the target must reach the registry, or a mirror of it, before the restore", "Registry"
)

# What comes with an engine or stands for no object at all, as (kind, namespace, name).
BY_CONVENTION: tuple[tuple[str, str, str], ...] = (
    ("AppProject", "*", "default"),  # Argo CD makes it
    ("Gateway", "*", "mesh"),  # Istio's word for all sidecars
)

# Namespaces that a GitOps engine's own installation makes.
ENGINE_NAMESPACES = frozenset({"flux-system", "argocd"})
