"""What tells that an object is ready, or never will be: conditions, status fields, kinds that are ready once stored."""

from __future__ import annotations

from msgspec import Struct

# Rows name kinds as "group/Kind" ("/Kind" is core), "group/*" or "*" for every kind.


class ReadinessRule(Struct, frozen=True):
    """A status field that tells whether an object is ready.

    kind: "Kind" of any group, "group/Kind" ("/Kind" is core), "group/*", or "*" for every kind that is not
        Kubernetes' own. Where several rows name a kind, all of them must hold.
    path: a rule path (see `scan.segments`), such as "status.phase"; several values must all be ready.
    ready: the values that mean ready; numbers and booleans as JSON writes them. Any other value means in progress.
    failed: the values that mean that waiting does not help.
    """

    kind: str
    path: str
    ready: tuple[str, ...]
    failed: tuple[str, ...] = ()


class Sign(Struct, frozen=True):
    """A condition that says something by itself. `reason` "" is any."""

    kind: str
    type: str
    status: str = "True"
    reason: str = ""


class Resting(Struct, frozen=True):
    """A field that puts an object aside: nobody acts on it, so there is nothing to wait for."""

    kind: str
    path: str
    value: str
    message: str


R, S = ReadinessRule, Sign

# Only what waiting cannot heal: a restore gives such an object up at once, anything else when its time is over.
FAILED: tuple[Sign, ...] = (
    S("*", "Stalled"),
    S("apiextensions.k8s.io/CustomResourceDefinition", "NamesAccepted", "False"),
    S("apps/Deployment", "Progressing", "False", "ProgressDeadlineExceeded"),
    S("batch/Job", "Failed"),
    S("cert-manager.io/CertificateRequest", "Denied"),
    S("cert-manager.io/CertificateRequest", "InvalidRequest"),
    S("certificates.k8s.io/CertificateSigningRequest", "Denied"),
    S("certificates.k8s.io/CertificateSigningRequest", "Failed"),
    S("certificates.k8s.io/PodCertificateRequest", "Denied"),
    S("certificates.k8s.io/PodCertificateRequest", "Failed"),
    S("storagemigration.k8s.io/StorageVersionMigration", "Failed"),
    S("tekton.dev/*", "Succeeded", "False"),
)

# Not ready yet, whatever else the object says. `Synced`: Crossplane, whose `Ready` may be that of an older spec.
# `NotReady`: Strimzi, which has it in place of a `Ready` that is False.
HOLDING: tuple[Sign, ...] = (
    S("*", "NotReady"),
    S("*", "Reconciling"),
    S("*", "Synced", "False"),
    S("apps/ReplicaSet", "ReplicaFailure"),
    S("argoproj.io/ApplicationSet", "ErrorOccurred"),
)

# Conditions of which a kind needs every one to be True.
NEEDED: dict[str, tuple[str, ...]] = {
    "/Node": ("Ready",),
    "apiextensions.crossplane.io/CompositeResourceDefinition": ("Established",),
    "apiextensions.k8s.io/CustomResourceDefinition": ("Established",),
    "apiregistration.k8s.io/APIService": ("Available",),
    "argoproj.io/ApplicationSet": ("ResourcesUpToDate",),
    "bitnami.com/SealedSecret": ("Synced",),
    "certificates.k8s.io/CertificateSigningRequest": ("Approved",),
    "certificates.k8s.io/PodCertificateRequest": ("Issued",),
    "gateway.networking.k8s.io/Gateway": ("Accepted", "Programmed"),
    "gateway.networking.k8s.io/GatewayClass": ("Accepted",),
    "kueue.x-k8s.io/ClusterQueue": ("Active",),
    "kueue.x-k8s.io/LocalQueue": ("Active",),
    "networking.k8s.io/ServiceCIDR": ("Ready",),
    "pkg.crossplane.io/Configuration": ("Installed", "Healthy"),
    "pkg.crossplane.io/Function": ("Installed", "Healthy"),
    "pkg.crossplane.io/Provider": ("Installed", "Healthy"),
    "rabbitmq.com/RabbitmqCluster": ("AllReplicasReady", "ClusterAvailable"),
    "storagemigration.k8s.io/StorageVersionMigration": ("Succeeded",),
    "tekton.dev/*": ("Succeeded",),
}

# For every other kind: the first of these that the object has decides, from the plainest word to the vaguest.
DECIDING: tuple[str, ...] = (
    "Ready",
    "Available",
    "Healthy",
    "Programmed",
    "Established",
    "Installed",
    "Succeeded",
    "Synced",
    "Reconciled",
    "Accepted",
)

# Status fields of kinds that say it with no condition, or say more than their condition does.
READINESS: tuple[ReadinessRule, ...] = (
    R("/Namespace", "status.phase", ("Active",)),
    R("/PersistentVolume", "status.phase", ("Available", "Bound", "Released"), ("Failed",)),
    R("acid.zalan.do/postgresql", "status.PostgresClusterStatus", ("Running",), ("Invalid",)),
    R("acme.cert-manager.io/Challenge", "status.state", ("valid",), ("errored", "expired", "invalid")),
    R("acme.cert-manager.io/Order", "status.state", ("valid",), ("errored", "expired", "invalid")),
    R("argoproj.io/Application", "status.health.status", ("Healthy", "Suspended")),
    R("argoproj.io/Application", "status.sync.status", ("Synced",)),
    R("argoproj.io/Rollout", "status.phase", ("Healthy",), ("Degraded",)),
    R("argoproj.io/Workflow", "status.phase", ("Succeeded",), ("Error", "Failed")),
    R("ceph.rook.io/*", "status.phase", ("Connected", "Ready")),
    R("elasticsearch.k8s.elastic.co/Elasticsearch", "status.phase", ("Ready",), ("Invalid",)),
    R("flagger.app/Canary", "status.phase", ("Initialized", "Succeeded"), ("Failed",)),
    R("kibana.k8s.elastic.co/Kibana", "status.health", ("green",)),
    R("mongodb.com/MongoDB", "status.phase", ("Running",)),
    R("mongodbcommunity.mongodb.com/MongoDBCommunity", "status.phase", ("Running",)),
    R("operators.coreos.com/ClusterServiceVersion", "status.phase", ("Succeeded",)),
    R("postgresql.cnpg.io/Cluster", "status.phase", ("Cluster in healthy state",)),
    R("psmdb.percona.com/PerconaServerMongoDB", "status.state", ("ready",)),
    R("pxc.percona.com/PerconaXtraDBCluster", "status.state", ("ready",)),
    R("snapshot.storage.k8s.io/VolumeSnapshot", "status.readyToUse", ("true",)),
    R("storage.k8s.io/VolumeAttachment", "status.attached", ("true",)),
    R("velero.io/Backup", "status.phase", ("Completed",), ("Failed", "FailedValidation", "PartiallyFailed")),
    R("velero.io/BackupStorageLocation", "status.phase", ("Available",)),
    R("velero.io/Restore", "status.phase", ("Completed",), ("Failed", "FailedValidation", "PartiallyFailed")),
    R("velero.io/Schedule", "status.phase", ("Enabled",), ("FailedValidation",)),
)

# Words of controllers that this table does not know; any other word of theirs says nothing.
HINTS: tuple[ReadinessRule, ...] = (
    R("*", "status.phase", ("Active", "Available", "Bound", "Completed", "Healthy", "Ready", "Running", "Succeeded")),
    R("*", "status.state", ("active", "available", "healthy", "ready", "running", "Active", "Ready", "Running")),
    R("*", "status.health", ("green", "healthy", "Healthy")),
    R("*", "status.ready", ("true",)),
)

# Flux leaves a suspended object's status as it is, and an OCI repository's or a notification's empty.
RESTING: tuple[Resting, ...] = (
    Resting("/Service", "spec.type", "ExternalName", "an external name"),
    Resting("batch/CronJob", "spec.suspend", "true", "suspended"),
    Resting("batch/Job", "spec.suspend", "true", "suspended"),
    Resting("helm.toolkit.fluxcd.io/*", "spec.suspend", "true", "suspended"),
    Resting("image.toolkit.fluxcd.io/*", "spec.suspend", "true", "suspended"),
    Resting("kustomize.toolkit.fluxcd.io/*", "spec.suspend", "true", "suspended"),
    Resting("notification.toolkit.fluxcd.io/*", "spec.suspend", "true", "suspended"),
    Resting("source.extensions.fluxcd.io/*", "spec.suspend", "true", "suspended"),
    Resting("source.toolkit.fluxcd.io/*", "spec.suspend", "true", "suspended"),
    Resting("source.toolkit.fluxcd.io/HelmRepository", "spec.type", "oci", "stored: an OCI repository has no status"),
)

# Controllers of these always write which generation they saw; an object without it was not seen yet.
OBSERVED: frozenset[str] = frozenset(
    {
        "/ReplicationController",
        "apps/DaemonSet",
        "apps/Deployment",
        "apps/ReplicaSet",
        "apps/StatefulSet",
        "policy/PodDisruptionBudget",
    }
)

# Counts in the status of workloads that must reach the number wanted, in the order in which they do.
_CREATED, _AVAILABLE = ("replicas", "created"), (("availableReplicas", "available"), ("readyReplicas", "ready"))
_UPDATED = (_CREATED, ("updatedReplicas", "updated"), *_AVAILABLE)
_LABELLED = (_CREATED, ("fullyLabeledReplicas", "labelled"), *_AVAILABLE)
_PODS = (
    ("currentNumberScheduled", "created"),
    ("updatedNumberScheduled", "updated"),
    ("numberAvailable", "available"),
    ("numberReady", "ready"),
)
COUNTS: dict[str, tuple[tuple[str, str], ...]] = {
    "/ReplicationController": _LABELLED,
    "apps.kruise.io/DaemonSet": _PODS,
    "apps.kruise.io/StatefulSet": _UPDATED,
    "apps/DaemonSet": _PODS,
    "apps/Deployment": _UPDATED,
    "apps/ReplicaSet": _LABELLED,
    "apps/StatefulSet": _UPDATED,
}

# Kinds that are ready once stored, whatever their conditions say.
_STORED: dict[str, str] = {
    "": "Binding ComponentStatus ConfigMap Endpoints Event LimitRange PodTemplate ResourceQuota Secret ServiceAccount",
    "admissionregistration.k8s.io": "MutatingAdmissionPolicy MutatingAdmissionPolicyBinding"
    " MutatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding"
    " ValidatingWebhookConfiguration",
    "apps": "ControllerRevision",
    "authentication.k8s.io": "SelfSubjectReview TokenReview",
    "authorization.k8s.io": "LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview"
    " SubjectAccessReview",
    "autoscaling": "HorizontalPodAutoscaler",
    "batch": "CronJob",
    "certificates.k8s.io": "ClusterTrustBundle",
    "coordination.k8s.io": "Lease LeaseCandidate",
    "discovery.k8s.io": "EndpointSlice",
    "events.k8s.io": "Event",
    "flowcontrol.apiserver.k8s.io": "FlowSchema PriorityLevelConfiguration",
    "internal.apiserver.k8s.io": "StorageVersion",
    "lifecycle.k8s.io": "Eviction EvictionRequest",
    "networking.k8s.io": "IPAddress Ingress IngressClass NetworkPolicy",
    "node.k8s.io": "RuntimeClass",
    "policy": "PodDisruptionBudget",
    "rbac.authorization.k8s.io": "ClusterRole ClusterRoleBinding Role RoleBinding",
    "resource.k8s.io": "DeviceClass DeviceTaintRule ResourceClaim ResourceClaimTemplate ResourcePoolStatusRequest"
    " ResourceSlice",
    "scheduling.k8s.io": "CompositePodGroup PodGroup PriorityClass Workload",
    "storage.k8s.io": "CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttributesClass",
}
STORED: frozenset[str] = frozenset(f"{group}/{kind}" for group, kinds in _STORED.items() for kind in kinds.split())

# Reasons of a waiting container that every start goes through.
STARTING: frozenset[str] = frozenset({"ContainerCreating", "PodInitializing"})

# Reasons whose message is the kubelet's own: it names the object, key or image that is missing and never shows a value.
NAMING: frozenset[str] = frozenset(
    {"CreateContainerConfigError", "ErrImageNeverPull", "ErrImagePull", "ImagePullBackOff", "InvalidImageName"}
)

# Reasons of warnings whose message names objects, nodes, images and volumes only. Others may quote what a program
# printed: `Unhealthy` a probe, `FailedPostStartHook` a hook. Source: pkg/kubelet/events, pkg/controller, pkg/scheduler.
NAMING_EVENTS: frozenset[str] = frozenset(
    {
        "BackOff",
        "ErrImageNeverPull",
        "FailedAttachVolume",
        "FailedBinding",
        "FailedCreate",
        "FailedMount",
        "FailedScheduling",
        "InvalidDiskCapacity",
        "NetworkNotReady",
        "NodeNotReady",
        "Preempting",
        "ProvisioningFailed",
        "VolumeMismatch",
    }
)
