"""What differs between two clusters that run the same commit, by nature: a table of kinds and paths."""

from __future__ import annotations

# Kind ("Kind", "group/Kind", "*") and paths that each cluster fills by itself; "{}" stands for every key.
# Source: the fields that API servers, controllers and clouds allocate.
NATURE: tuple[tuple[str, str], ...] = (
    ("*", "status metadata.uid metadata.resourceVersion metadata.generation metadata.creationTimestamp"),
    ("*", "metadata.managedFields metadata.ownerReferences metadata.selfLink metadata.finalizers"),
    ("*", 'metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]'),
    ("*", 'metadata.annotations["deployment.kubernetes.io/revision"]'),
    ("*", 'metadata.annotations["control-plane.alpha.kubernetes.io/leader"]'),
    ("*", 'metadata.annotations["dr.dev/drained"]'),
    ("*", 'metadata.annotations["pv.kubernetes.io/bind-completed"]'),
    ("*", 'metadata.annotations["pv.kubernetes.io/bound-by-controller"]'),
    ("*", 'metadata.annotations["volume.kubernetes.io/selected-node"]'),
    ("*", 'metadata.annotations["volume.kubernetes.io/storage-provisioner"]'),
    ("*", 'metadata.annotations["volume.beta.kubernetes.io/storage-provisioner"]'),
    ("*", 'metadata.annotations["reconcile.fluxcd.io/requestedAt"]'),
    ("*", 'metadata.annotations["argocd.argoproj.io/refresh"]'),
    ("/Service", "spec.clusterIP spec.clusterIPs spec.healthCheckNodePort spec.ipFamilies"),
    ("/Service", "spec.ports[].nodePort"),
    ("/PersistentVolumeClaim", "spec.volumeName spec.dataSource spec.dataSourceRef"),
    ("/PersistentVolume", "spec.claimRef.uid spec.claimRef.resourceVersion spec.csi spec.nodeAffinity"),
    ("/ServiceAccount", "secrets"),
    ("/Node", "spec"),
    ("batch/Job", "spec.selector spec.template.metadata.labels"),
    ("MutatingWebhookConfiguration", "webhooks[].clientConfig.caBundle"),
    ("ValidatingWebhookConfiguration", "webhooks[].clientConfig.caBundle"),
    ("CustomResourceDefinition", "spec.conversion.webhook.clientConfig.caBundle"),
    ("APIService", "spec.caBundle"),
)
