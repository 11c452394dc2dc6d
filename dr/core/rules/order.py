"""Which kind goes first where dependencies leave it open, and how long a kind is assumed to take."""

from __future__ import annotations

# Earlier kinds first; a kind that is not listed stands between RBAC and workloads.
KIND_ORDER: tuple[str, ...] = (
    "CustomResourceDefinition",
    "Namespace",
    "PriorityClass",
    "RuntimeClass",
    "StorageClass",
    "CSIDriver",
    "IngressClass",
    "GatewayClass",
    "ResourceQuota",
    "LimitRange",
    "NetworkPolicy",
    "ServiceAccount",
    "ClusterRole",
    "Role",
    "ClusterRoleBinding",
    "RoleBinding",
    "SealedSecret",
    "Secret",
    "ConfigMap",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Service",
    "",
    "DaemonSet",
    "StatefulSet",
    "Deployment",
    "ReplicaSet",
    "Pod",
    "Job",
    "CronJob",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
    "Ingress",
    "APIService",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
)

# Seconds from applied to ready, assumed until a rehearsal has measured them. Objects that are
# ready once stored take none.
READY_SECONDS: dict[str, float] = {
    "APIService": 5.0,
    "Application": 60.0,
    "Certificate": 20.0,
    "CustomResourceDefinition": 1.0,
    "DaemonSet": 20.0,
    "Deployment": 20.0,
    "ExternalSecret": 5.0,
    "GitRepository": 5.0,
    "HelmRelease": 60.0,
    "HelmRepository": 5.0,
    "Job": 30.0,
    "OCIRepository": 5.0,
    "PersistentVolumeClaim": 10.0,
    "Pod": 15.0,
    "SealedSecret": 2.0,
    "StatefulSet": 40.0,
}
APPLY_SECONDS = 0.05
