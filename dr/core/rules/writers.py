"""Who wrote an object, by the field manager's name: people, Helm, GitOps engines, or the cluster itself."""

from __future__ import annotations

from typing import Literal

Writer = Literal["hand", "helm", "engine", "system"]

# Pattern of a field manager's name, in lower case → who that is; the first row that fits counts. What fits none is a
# controller where a workload or a service account of the cluster has its name, and unknown otherwise.
# Sources: the managers that these programs send, or the first word of their User-Agent, which is the default.
WRITERS: tuple[tuple[str, Writer], ...] = (
    ("kubectl*", "hand"),
    ("oc", "hand"),
    ("oc-*", "hand"),
    ("k9s*", "hand"),
    ("lens*", "hand"),
    ("openlens*", "hand"),
    ("freelens*", "hand"),
    ("headlamp*", "hand"),
    ("dashboard*", "hand"),
    ("kubernetes-dashboard*", "hand"),
    ("node-fetch*", "hand"),
    ("mozilla*", "hand"),
    ("curl*", "hand"),
    ("wget*", "hand"),
    ("python-requests*", "hand"),
    ("python-urllib*", "hand"),
    ("openapi-generator*", "hand"),
    ("terraform*", "hand"),
    ("hashicorp*", "hand"),
    ("opentofu*", "hand"),
    ("pulumi*", "hand"),
    ("ansible*", "hand"),
    ("kapp", "hand"),
    ("skaffold*", "hand"),
    ("tilt*", "hand"),
    ("okteto*", "hand"),
    ("telepresence*", "hand"),
    ("dr", "hand"),
    ("dr-chaos", "hand"),
    ("helm", "helm"),
    ("helm-*", "engine"),
    ("kustomize-controller", "engine"),
    ("source-controller", "engine"),
    ("notification-controller", "engine"),
    ("image-*-controller", "engine"),
    ("flux*", "engine"),
    ("argocd*", "engine"),
    ("fleetagent*", "engine"),
    ("config-sync*", "engine"),
    ("kube-apiserver", "system"),
    ("kube-controller-manager", "system"),
    ("kube-scheduler", "system"),
    ("kubelet", "system"),
    ("kube-proxy", "system"),
    ("cloud-controller-manager*", "system"),
    ("cluster-autoscaler*", "system"),
    ("clusterrole-aggregation-controller", "system"),
    ("k3s*", "system"),
    ("kubeadm*", "system"),
    ("eks*", "system"),
    ("aks*", "system"),
    ("gke-*", "system"),
    ("kwok*", "system"),
    ("etcd*", "system"),
)

# Labels or annotations by which an engine knows what it deployed. With `=`, only that value.
ENGINE_MARKS: tuple[str, ...] = (
    "kustomize.toolkit.fluxcd.io/name",
    "helm.toolkit.fluxcd.io/name",
    "argocd.argoproj.io/instance",
    "argocd.argoproj.io/tracking-id",
    "fleet.cattle.io/bundle-id",
    "configsync.gke.io/resource-id",
    "kapp.k14s.io/app",
)

# Labels by which a controller says that it made an object and will make it again, where it sets no owner reference.
MADE_BY: tuple[str, ...] = (
    "cert-manager.io/certificate-name",
    "reconcile.external-secrets.io/managed",
    "olm.owner",
    "pv.kubernetes.io/provisioned-by",
    "endpoints.kubernetes.io/last-change-trigger-time",
)

# Kinds of which every object is what a controller, a node or the API server makes of others, whoever wrote it last.
MADE: frozenset[str] = frozenset(
    {
        "apps/ControllerRevision",
        "apps/ReplicaSet",
        "coordination.k8s.io/Lease",
        "coordination.k8s.io/LeaseCandidate",
        "discovery.k8s.io/EndpointSlice",
        "/ComponentStatus",
        "/Endpoints",
        "/Event",
        "events.k8s.io/Event",
        "/Node",
        "metrics.k8s.io/NodeMetrics",
        "metrics.k8s.io/PodMetrics",
        "networking.k8s.io/IPAddress",
        "networking.k8s.io/ServiceCIDR",
        "storage.k8s.io/CSINode",
        "storage.k8s.io/CSIStorageCapacity",
        "storage.k8s.io/VolumeAttachment",
        "internal.apiserver.k8s.io/StorageVersion",
        "authentication.k8s.io/SelfSubjectReview",
        "flowcontrol.apiserver.k8s.io/FlowSchema",
        "flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration",
        "resource.k8s.io/ResourceSlice",
        "velero.io/PodVolumeBackup",
        "snapshot.storage.k8s.io/VolumeSnapshotContent",
    }
)
