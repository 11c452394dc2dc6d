"""Objects of API versions that are gone, and how each becomes one of a version that today's clusters serve."""

from __future__ import annotations

from typing import Any

_ADMISSION, _FLOW, _RBAC = "admissionregistration.k8s.io", "flowcontrol.apiserver.k8s.io", "rbac.authorization.k8s.io"
_STORAGE = "storage.k8s.io"

# Old versions, kinds, new version, and the name of a transform in `dr.core.convert`, "" where the shape is the same.
# Source: Kubernetes' deprecated API migration guide and the conversions in kubernetes/pkg/apis.
CONVERSIONS: tuple[tuple[str, str, str, str], ...] = (
    (
        f"{_ADMISSION}/v1alpha1 {_ADMISSION}/v1beta1",
        "ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding",
        f"{_ADMISSION}/v1",
        "",
    ),
    (
        f"{_ADMISSION}/v1beta1",
        "MutatingWebhookConfiguration ValidatingWebhookConfiguration",
        f"{_ADMISSION}/v1",
        "webhooks",
    ),
    ("apiextensions.k8s.io/v1beta1", "CustomResourceDefinition", "apiextensions.k8s.io/v1", "definition"),
    ("apiregistration.k8s.io/v1beta1", "APIService", "apiregistration.k8s.io/v1", ""),
    ("apps/v1beta1", "Deployment StatefulSet", "apps/v1", "workload"),
    ("apps/v1beta2", "DaemonSet Deployment ReplicaSet StatefulSet", "apps/v1", "workload"),
    ("apps/v1beta1 apps/v1beta2", "ControllerRevision", "apps/v1", ""),
    ("autoscaling/v2beta1 autoscaling/v2beta2", "HorizontalPodAutoscaler", "autoscaling/v2", "autoscaler"),
    ("batch/v1beta1 batch/v2alpha1", "CronJob", "batch/v1", ""),
    ("certificates.k8s.io/v1alpha1", "ClusterTrustBundle", "certificates.k8s.io/v1", ""),
    ("coordination.k8s.io/v1beta1", "Lease", "coordination.k8s.io/v1", ""),
    ("discovery.k8s.io/v1alpha1 discovery.k8s.io/v1beta1", "EndpointSlice", "discovery.k8s.io/v1", "endpoints"),
    ("extensions/v1beta1", "DaemonSet Deployment ReplicaSet", "apps/v1", "workload"),
    ("extensions/v1beta1", "Ingress", "networking.k8s.io/v1", "ingress"),
    ("extensions/v1beta1", "NetworkPolicy", "networking.k8s.io/v1", ""),
    (f"{_FLOW}/v1alpha1 {_FLOW}/v1beta1 {_FLOW}/v1beta2 {_FLOW}/v1beta3", "FlowSchema", f"{_FLOW}/v1", ""),
    (f"{_FLOW}/v1beta3", "PriorityLevelConfiguration", f"{_FLOW}/v1", ""),
    (
        f"{_FLOW}/v1alpha1 {_FLOW}/v1beta1 {_FLOW}/v1beta2",
        "PriorityLevelConfiguration",
        f"{_FLOW}/v1",
        "priority-level",
    ),
    ("networking.k8s.io/v1alpha1", "ServiceCIDR", "networking.k8s.io/v1", "service-cidr"),
    ("networking.k8s.io/v1beta1", "IPAddress IngressClass ServiceCIDR", "networking.k8s.io/v1", ""),
    ("networking.k8s.io/v1beta1", "Ingress", "networking.k8s.io/v1", "ingress"),
    ("node.k8s.io/v1alpha1", "RuntimeClass", "node.k8s.io/v1", "runtime-class"),
    ("node.k8s.io/v1beta1", "RuntimeClass", "node.k8s.io/v1", ""),
    ("policy/v1beta1", "PodDisruptionBudget", "policy/v1", "disruption-budget"),
    (f"{_RBAC}/v1alpha1 {_RBAC}/v1beta1", "ClusterRole Role", f"{_RBAC}/v1", ""),
    (f"{_RBAC}/v1alpha1", "ClusterRoleBinding RoleBinding", f"{_RBAC}/v1", "subjects"),
    (f"{_RBAC}/v1beta1", "ClusterRoleBinding RoleBinding", f"{_RBAC}/v1", ""),
    ("scheduling.k8s.io/v1alpha1 scheduling.k8s.io/v1beta1", "PriorityClass", "scheduling.k8s.io/v1", ""),
    (f"{_STORAGE}/v1alpha1", "CSIStorageCapacity VolumeAttachment VolumeAttributesClass", f"{_STORAGE}/v1", ""),
    (
        f"{_STORAGE}/v1beta1",
        "CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment VolumeAttributesClass",
        f"{_STORAGE}/v1",
        "",
    ),
)

# Old version, kinds, fields that the new version has not.
DROPPED: tuple[tuple[str, str, str], ...] = (
    ("apps/v1beta1", "Deployment", "spec.rollbackTo"),
    ("extensions/v1beta1", "Deployment", "spec.rollbackTo"),
    ("extensions/v1beta1", "DaemonSet", "spec.templateGeneration"),
)

# Old version, kind, a field and what its absence meant there, where it means something else in the new version or is
# refused: so the object goes on to behave as it did. "[]" goes through a list; a field whose name ends in "?" is not
# made for the sake of what is below it.
DEFAULTS: tuple[tuple[str, str, str, Any], ...] = (
    (f"{_ADMISSION}/v1alpha1", "ValidatingAdmissionPolicyBinding", "spec.validationActions", ["Deny"]),
    (f"{_ADMISSION}/v1alpha1", "ValidatingAdmissionPolicyBinding", "spec.paramRef?.parameterNotFoundAction", "Deny"),
    (f"{_ADMISSION}/v1beta1", "MutatingWebhookConfiguration", "webhooks[].failurePolicy", "Ignore"),
    (f"{_ADMISSION}/v1beta1", "MutatingWebhookConfiguration", "webhooks[].matchPolicy", "Exact"),
    (f"{_ADMISSION}/v1beta1", "MutatingWebhookConfiguration", "webhooks[].timeoutSeconds", 30),
    (f"{_ADMISSION}/v1beta1", "MutatingWebhookConfiguration", "webhooks[].admissionReviewVersions", ["v1beta1"]),
    (f"{_ADMISSION}/v1beta1", "ValidatingWebhookConfiguration", "webhooks[].failurePolicy", "Ignore"),
    (f"{_ADMISSION}/v1beta1", "ValidatingWebhookConfiguration", "webhooks[].matchPolicy", "Exact"),
    (f"{_ADMISSION}/v1beta1", "ValidatingWebhookConfiguration", "webhooks[].timeoutSeconds", 30),
    (f"{_ADMISSION}/v1beta1", "ValidatingWebhookConfiguration", "webhooks[].admissionReviewVersions", ["v1beta1"]),
    ("apiextensions.k8s.io/v1beta1", "CustomResourceDefinition", "spec.scope", "Namespaced"),
    ("apps/v1beta1", "Deployment", "spec.revisionHistoryLimit", 2),
    ("apps/v1beta1", "StatefulSet", "spec.updateStrategy.type", "OnDelete"),
    ("extensions/v1beta1", "DaemonSet", "spec.updateStrategy.type", "OnDelete"),
    ("extensions/v1beta1", "Deployment", "spec.progressDeadlineSeconds", 2147483647),
    ("extensions/v1beta1", "Deployment", "spec.revisionHistoryLimit", 2147483647),
    ("extensions/v1beta1", "Deployment", "spec.strategy.type", "RollingUpdate"),
    ("extensions/v1beta1", "Ingress", "spec.rules[].http?.paths[].pathType", "ImplementationSpecific"),
    ("networking.k8s.io/v1beta1", "Ingress", "spec.rules[].http?.paths[].pathType", "ImplementationSpecific"),
)

# The same for a Deployment of extensions/v1beta1 that is updated by RollingUpdate.
ROLLOUT: tuple[tuple[str, int], ...] = (
    ("spec.strategy.rollingUpdate.maxSurge", 1),
    ("spec.strategy.rollingUpdate.maxUnavailable", 1),
)

# What a v1beta1 CustomResourceDefinition says once, for all of its versions, and under which name v1 wants it in each.
VERSION_FIELDS: tuple[tuple[str, str], ...] = (
    ("additionalPrinterColumns", "additionalPrinterColumns"),
    ("subresources", "subresources"),
    ("validation", "schema"),
)

# The fields of a v2beta1 metric, by its kind, and their places in v2.
METRIC_FIELDS: dict[str, dict[str, tuple[str, str]]] = {
    "containerResource": {
        "targetAverageUtilization": ("target", "averageUtilization"),
        "targetAverageValue": ("target", "averageValue"),
    },
    "external": {
        "metricName": ("metric", "name"),
        "metricSelector": ("metric", "selector"),
        "targetAverageValue": ("target", "averageValue"),
        "targetValue": ("target", "value"),
    },
    "object": {
        "averageValue": ("target", "averageValue"),
        "metricName": ("metric", "name"),
        "selector": ("metric", "selector"),
        "targetValue": ("target", "value"),
    },
    "pods": {
        "metricName": ("metric", "name"),
        "selector": ("metric", "selector"),
        "targetAverageValue": ("target", "averageValue"),
    },
    "resource": {
        "targetAverageUtilization": ("target", "averageUtilization"),
        "targetAverageValue": ("target", "averageValue"),
    },
}
METRIC_TYPES: tuple[tuple[str, str], ...] = (
    ("averageUtilization", "Utilization"),
    ("averageValue", "AverageValue"),
    ("value", "Value"),
)

# The keys of an endpoint's `topology` and the fields that took their place.
TOPOLOGY: tuple[tuple[str, str], ...] = (
    ("kubernetes.io/hostname", "nodeName"),
    ("topology.kubernetes.io/zone", "zone"),
)
