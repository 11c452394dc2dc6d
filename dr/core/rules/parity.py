"""What "the same" means when an object of git is compared with a live one, and what clusters make by themselves."""

from __future__ import annotations

from typing import Literal

# ignored: written by servers and controllers, or injected. whole: a map that nobody adds to, so an entry more counts.
# present: an empty map that says something, so it may not be missing.
# zero: "", 0 or false is the same as nothing (Go leaves it out). filled: so it is, and the server then fills it in.
# The others are two ways to write one value: "1000m" and 1, "1h" and "60m0s", "80" and 80, "true" and true.
Form = Literal[
    "ignored", "whole", "present", "zero", "filled", "quantity", "duration", "time", "number-or-text", "text", "base64"
]

# Form, kind ("Kind" of any group, "group/Kind", "*") and paths in the language of `rows.Reference`, "**" only in front.
# Sources: the Go types and defaults of k8s.io/api (omitempty, IntOrString, Quantity) and of the projects named.
FORMS: tuple[tuple[Form, str, str], ...] = (
    ("ignored", "*", "status sops metadata.managedFields metadata.ownerReferences metadata.selfLink metadata.uid"),
    ("ignored", "*", "metadata.generation metadata.resourceVersion **.metadata.creationTimestamp"),
    ("ignored", "*", "metadata.deletionTimestamp metadata.deletionGracePeriodSeconds"),
    # Argo Rollouts moves traffic by it.
    ("ignored", "Service", "spec.selector.rollouts-pod-template-hash"),
    ("ignored", "*", 'metadata.annotations["control-plane.alpha.kubernetes.io/leader"]'),
    ("ignored", "*", 'metadata.annotations["deployment.kubernetes.io/revision"]'),
    ("ignored", "*", 'metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]'),
    ("ignored", "*", 'metadata.annotations["pv.kubernetes.io/bind-completed"]'),
    ("ignored", "*", 'metadata.annotations["pv.kubernetes.io/bound-by-controller"]'),
    ("ignored", "MutatingWebhookConfiguration", "webhooks[].clientConfig.caBundle"),
    ("ignored", "ValidatingWebhookConfiguration", "webhooks[].clientConfig.caBundle"),
    ("ignored", "CustomResourceDefinition", "spec.conversion.webhook.clientConfig.caBundle"),
    ("ignored", "APIService", "spec.caBundle"),
    ("ignored", "ServiceAccount", "secrets"),
    ("whole", "*", "**.podSelector **.namespaceSelector **.objectSelector **.matchLabels **.nodeSelector"),
    ("whole", "Service", "spec.selector"),
    ("whole", "NetworkPolicy", "spec.podSelector"),
    ("present", "*", "**.emptyDir **.podSelector **.namespaceSelector **.subresources.status **.selfSigned"),
    ("zero", "*", "metadata.namespace **.hostIPC **.hostNetwork **.hostPID **.stdin **.stdinOnce **.tty"),
    ("zero", "*", "**.env[].value **.ports[].hostPort **.volumeMounts[].readOnly **.volumeMounts[].subPath"),
    ("zero", "*", "**.volumes[].hostPath.type **.emptyDir.medium **.persistentVolumeClaim.readOnly"),
    ("zero", "*", "**.initialDelaySeconds **.httpGet.host **.tcpSocket.host **.metadata.namespace"),
    ("zero", "*", "spec.minReadySeconds spec.paused"),
    ("zero", "Service", "spec.publishNotReadyAddresses spec.externalName spec.loadBalancerIP spec.ports[].name"),
    ("zero", "PriorityClass", "globalDefault description value"),
    ("zero", "APIService", "spec.insecureSkipTLSVerify spec.group"),
    ("zero", "ClusterRoleBinding", "subjects[].namespace"),
    ("zero", "RoleBinding", "subjects[].namespace"),
    ("zero", "CustomResourceDefinition", "spec.preserveUnknownFields spec.versions[].deprecated **.description"),
    ("zero", "CustomResourceDefinition", "spec.versions[].additionalPrinterColumns[].priority"),
    ("zero", "CustomResourceDefinition", "**.nullable **.uniqueItems **.exclusiveMaximum **.exclusiveMinimum"),
    ("filled", "*", "roleRef.apiGroup **.imagePullPolicy **.protocol **.restartPolicy **.terminationMessagePath"),
    ("filled", "Service", "spec.clusterIP spec.healthCheckNodePort spec.ports[].nodePort spec.type"),
    ("filled", "Service", "spec.sessionAffinity spec.ports[].targetPort"),
    ("filled", "ClusterRoleBinding", "subjects[].apiGroup"),
    ("filled", "RoleBinding", "subjects[].apiGroup"),
    ("quantity", "*", "**.limits{} **.requests{} **.capacity{} **.allocatable{} **.hard{} **.podFixed{}"),
    ("quantity", "*", "**.sizeLimit **.divisor **.storage"),
    ("quantity", "LimitRange", "spec.limits[].default{} spec.limits[].defaultRequest{} spec.limits[].max{}"),
    ("quantity", "LimitRange", "spec.limits[].min{} spec.limits[].maxLimitRequestRatio{}"),
    ("quantity", "HorizontalPodAutoscaler", "**.target.value **.target.averageValue **.tolerance"),
    ("quantity", "CSIStorageCapacity", "capacity maximumVolumeSize"),
    ("number-or-text", "*", "**.targetPort **.httpGet.port **.tcpSocket.port **.maxSurge **.maxUnavailable"),
    ("number-or-text", "PodDisruptionBudget", "spec.minAvailable spec.maxUnavailable"),
    ("number-or-text", "NetworkPolicy", "spec.ingress[].ports[].port spec.egress[].ports[].port"),
    ("text", "*", "metadata.labels{} metadata.annotations{} **.metadata.labels{} **.metadata.annotations{}"),
    ("text", "*", "**.matchLabels{} **.nodeSelector{} **.env[].value"),
    ("text", "Service", "spec.selector{}"),
    ("text", "/ConfigMap", "data{}"),
    ("text", "StorageClass", "parameters{}"),
    ("base64", "/ConfigMap", "binaryData{}"),
    ("base64", "CertificateSigningRequest", "spec.request"),
    ("base64", "*", "**.caBundle"),
    ("duration", "*", "**.interval **.retryInterval **.timeout **.refreshInterval **.maxDuration"),
    ("duration", "cert-manager.io/Certificate", "spec.duration spec.renewBefore"),
    ("time", "Lease", "spec.acquireTime spec.renewTime"),
    ("time", "*", "**.expirationTimestamp **.notAfter **.notBefore"),
)

# Kind, paths of lists, and the fields that tell their entries apart ("=" before what an absent one means); entries of
# such a list may stand in any order, and live ones more are added by others. "" is a set of values. A list that is not
# named here is one value: as long as in git, and in its order.
# Source: listType and listMapKey in k8s.io/api, and what admission and injectors add to.
LIST_KEYS: tuple[tuple[str, str, str], ...] = (
    ("*", "metadata.finalizers **.metadata.finalizers", ""),
    ("*", "**.containers **.initContainers **.ephemeralContainers **.volumes **.env", "name"),
    ("*", "**.imagePullSecrets **.resourceClaims **.claims **.schedulingGates", "name"),
    ("*", "**.containers[].ports **.initContainers[].ports", "containerPort protocol=TCP"),
    ("*", "**.volumeMounts", "mountPath"),
    ("*", "**.volumeDevices", "devicePath"),
    ("*", "**.hostAliases", "ip"),
    ("*", "**.topologySpreadConstraints", "topologyKey whenUnsatisfiable"),
    ("*", "**.tolerations", "key= operator=Equal effect="),
    ("*", "**.readinessGates", "conditionType"),
    ("*", "**.conditions", "type"),
    ("/Service", "spec.ports", "port protocol=TCP"),
    ("MutatingWebhookConfiguration", "webhooks", "name"),
    ("ValidatingWebhookConfiguration", "webhooks", "name"),
    ("Node", "spec.taints", "key effect"),
)

# Kind, namespace, name (patterns) and a label or annotation that all must fit ("" fits always): what clusters, their
# controllers and Helm make without anybody's asking.
# StatefulSets leave claims named `template-set-0` behind, without an owner and often without a label.
SYSTEM: tuple[tuple[str, str, str, str], ...] = (
    ("*", "", "", "dr.dev/simulated"),
    ("*", "", "", "kubernetes.io/bootstrapping"),
    ("*", "", "", "apf.kubernetes.io/autoupdate-spec"),
    ("*", "", "", "kube-aggregator.kubernetes.io/automanaged"),
    ("*", "", "", "kubernetes.io/service-account.name"),
    ("*", "", "", "pv.kubernetes.io/provisioned-by"),
    ("*", "", "", "meta.helm.sh/release-name"),
    ("*", "", "", "olm.owner"),
    ("*", "", "", "cert-manager.io/certificate-name"),
    ("*", "", "", "reconcile.external-secrets.io/managed"),
    ("*", "", "system:*", ""),
    ("*", "kube-system", "", ""),
    ("*", "kube-public", "", ""),
    ("*", "kube-node-lease", "", ""),
    ("CSINode", "", "", ""),
    ("ConfigMap", "", "istio-ca-root-cert", ""),
    ("ConfigMap", "", "kube-root-ca.crt", ""),
    ("ConfigMap", "", "openshift-service-ca.crt", ""),
    ("ControllerRevision", "", "", ""),
    ("EndpointSlice", "", "", ""),
    ("Endpoints", "", "", ""),
    ("Event", "", "", ""),
    ("IPAddress", "", "", ""),
    ("Lease", "", "", ""),
    ("Namespace", "", "default", ""),
    ("Namespace", "", "kube-*", ""),
    ("Node", "", "", ""),
    ("PersistentVolumeClaim", "", "*-*-[0-9]", ""),
    ("PersistentVolumeClaim", "", "*-*-[0-9][0-9]", ""),
    ("PriorityClass", "", "system-*", ""),
    ("Secret", "", "sh.helm.release.v1.*", ""),
    ("Service", "default", "kubernetes", ""),
    ("ServiceAccount", "", "default", ""),
    ("ServiceCIDR", "", "kubernetes", ""),
    ("VolumeAttachment", "", "", ""),
)
