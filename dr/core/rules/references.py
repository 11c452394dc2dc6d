"""Every field that names another object. A row: kind, path to the name, target kind, reason, options."""

from __future__ import annotations

from dr.core.model import Basis, Strength
from dr.core.rules.rows import Reference as R

READY, SOFT = Strength.READY, Strength.SOFT
DECLARED, INFERRED = Basis.DECLARED, Basis.INFERRED

POD_SPECS: dict[str, str] = {
    "Pod": "spec",
    "PodTemplate": "template.spec",
    "Deployment": "spec.template.spec",
    "StatefulSet": "spec.template.spec",
    "DaemonSet": "spec.template.spec",
    "ReplicaSet": "spec.template.spec",
    "ReplicationController": "spec.template.spec",
    "Job": "spec.template.spec",
    "CronJob": "spec.jobTemplate.spec.template.spec",
    "Rollout": "spec.template.spec",
    "CloneSet": "spec.template.spec",
    "serving.knative.dev/Service": "spec.template.spec",
}

_CONTAINERS = ("containers[]", "initContainers[]", "ephemeralContainers[]")
_FROM_A_CONTAINER = tuple(
    row
    for container in _CONTAINERS
    for row in (
        R(
            "@pod",
            f"{container}.env[].valueFrom.configMapKeyRef.name",
            "ConfigMap",
            "takes an environment variable from ConfigMap",
            group="",
        ),
        R(
            "@pod",
            f"{container}.env[].valueFrom.secretKeyRef.name",
            "Secret",
            "takes an environment variable from Secret",
            group="",
        ),
        R(
            "@pod",
            f"{container}.envFrom[].configMapRef.name",
            "ConfigMap",
            "takes its environment from ConfigMap",
            group="",
        ),
        R("@pod", f"{container}.envFrom[].secretRef.name", "Secret", "takes its environment from Secret", group=""),
    )
)
_POD = (
    R("@pod", "serviceAccountName", "ServiceAccount", "runs as ServiceAccount", group=""),
    R("@pod", "serviceAccount", "ServiceAccount", "runs as ServiceAccount", group=""),
    R("@pod", "imagePullSecrets[].name", "Secret", "pulls images with Secret", group=""),
    R("@pod", "priorityClassName", "PriorityClass", "is scheduled by PriorityClass"),
    R("@pod", "runtimeClassName", "RuntimeClass", "runs in RuntimeClass"),
    R("@pod", "resourceClaims[].resourceClaimName", "ResourceClaim", "uses ResourceClaim"),
    R("@pod", "resourceClaims[].resourceClaimTemplateName", "ResourceClaimTemplate", "uses ResourceClaimTemplate"),
    R("@pod", "volumes[].configMap.name", "ConfigMap", "mounts ConfigMap", group=""),
    R("@pod", "volumes[].secret.secretName", "Secret", "mounts Secret", group=""),
    R("@pod", "volumes[].projected.sources[].configMap.name", "ConfigMap", "mounts ConfigMap", group=""),
    R("@pod", "volumes[].projected.sources[].secret.name", "Secret", "mounts Secret", group=""),
    R("@pod", "volumes[].persistentVolumeClaim.claimName", "PersistentVolumeClaim", "mounts PersistentVolumeClaim"),
    R("@pod", "volumes[].csi.driver", "CSIDriver", "mounts by CSI driver", missing=False),
    R("@pod", "volumes[].csi.nodePublishSecretRef.name", "Secret", "mounts with Secret", group=""),
    R(
        "@pod",
        "volumes[].ephemeral.volumeClaimTemplate.spec.storageClassName",
        "StorageClass",
        "claims storage of StorageClass",
    ),
)

_RBAC = tuple(
    row
    for kind in ("rbac.authorization.k8s.io/RoleBinding", "rbac.authorization.k8s.io/ClusterRoleBinding")
    for row in (
        R(kind, "roleRef.name", "", "grants role"),
        R(
            kind,
            "subjects[].name",
            "ServiceAccount",
            "grants to ServiceAccount",
            namespace="namespace",
            when=("kind", "ServiceAccount"),
            group="",
        ),
    )
)
_STORAGE = (
    R("/PersistentVolumeClaim", "spec.storageClassName", "StorageClass", "claims storage of StorageClass"),
    R("/PersistentVolumeClaim", "spec.volumeName", "PersistentVolume", "claims PersistentVolume"),
    R("/PersistentVolumeClaim", "spec.dataSource.name", "", "is filled from data source"),
    R("/PersistentVolume", "spec.storageClassName", "StorageClass", "belongs to StorageClass", SOFT, missing=False),
    R(
        "snapshot.storage.k8s.io/VolumeSnapshot",
        "spec.source.persistentVolumeClaimName",
        "PersistentVolumeClaim",
        "snapshots PersistentVolumeClaim",
    ),
    R(
        "snapshot.storage.k8s.io/VolumeSnapshot",
        "spec.volumeSnapshotClassName",
        "VolumeSnapshotClass",
        "belongs to VolumeSnapshotClass",
    ),
    R("apps/StatefulSet", "spec.serviceName", "Service", "is addressed through headless Service", group=""),
    R(
        "apps/StatefulSet",
        "spec.volumeClaimTemplates[].spec.storageClassName",
        "StorageClass",
        "claims storage of StorageClass",
    ),
)
_SCALING = (
    R("autoscaling/HorizontalPodAutoscaler", "spec.scaleTargetRef.name", "Deployment", "scales target"),
    R("autoscaling.k8s.io/VerticalPodAutoscaler", "spec.targetRef.name", "Deployment", "scales target"),
    R("keda.sh/ScaledObject", "spec.scaleTargetRef.name", "Deployment", "scales target"),
    R(
        "keda.sh/ScaledObject",
        "spec.triggers[].authenticationRef.name",
        "TriggerAuthentication",
        "authenticates with TriggerAuthentication",
    ),
)
_INGRESS = (
    R("Ingress", "spec.ingressClassName", "IngressClass", "is served by IngressClass"),
    R("Ingress", 'metadata.annotations["kubernetes.io/ingress.class"]', "IngressClass", "is served by IngressClass"),
    R("Ingress", "spec.defaultBackend.service.name", "Service", "routes to Service", group=""),
    R("Ingress", "spec.backend.serviceName", "Service", "routes to Service", group=""),
    R("Ingress", "spec.rules[].http.paths[].backend.service.name", "Service", "routes to Service", group=""),
    R("Ingress", "spec.rules[].http.paths[].backend.serviceName", "Service", "routes to Service", group=""),
    R("Ingress", "spec.tls[].secretName", "Secret", "serves TLS with Secret", group=""),
    R(
        "Ingress",
        'metadata.annotations["cert-manager.io/cluster-issuer"]',
        "ClusterIssuer",
        "gets its certificate from ClusterIssuer",
        READY,
    ),
    R("Ingress", 'metadata.annotations["cert-manager.io/issuer"]', "Issuer", "gets its certificate from Issuer", READY),
    R(
        "Ingress",
        'metadata.annotations["certmanager.k8s.io/cluster-issuer"]',
        "ClusterIssuer",
        "gets its certificate from ClusterIssuer",
        READY,
    ),
    R(
        "Ingress",
        'metadata.annotations["certmanager.k8s.io/issuer"]',
        "Issuer",
        "gets its certificate from Issuer",
        READY,
    ),
    R(
        "Ingress",
        'metadata.annotations["nginx.ingress.kubernetes.io/auth-secret"]',
        "Secret",
        "authenticates with Secret",
        group="",
    ),
    R(
        "Gateway",
        'metadata.annotations["cert-manager.io/cluster-issuer"]',
        "ClusterIssuer",
        "gets its certificate from ClusterIssuer",
        READY,
    ),
    R("Gateway", 'metadata.annotations["cert-manager.io/issuer"]', "Issuer", "gets its certificate from Issuer", READY),
)
_ROUTES = ("HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute")
_GATEWAY_API = (
    R("gateway.networking.k8s.io/Gateway", "spec.gatewayClassName", "GatewayClass", "is served by GatewayClass"),
    R(
        "gateway.networking.k8s.io/Gateway",
        "spec.listeners[].tls.certificateRefs[].name",
        "Secret",
        "serves TLS with Secret",
        namespace="namespace",
    ),
    R(
        "gateway.networking.k8s.io/GatewayClass",
        "spec.parametersRef.name",
        "",
        "takes parameters from",
        namespace="namespace",
    ),
    *(
        row
        for route in _ROUTES
        for row in (
            R(
                f"gateway.networking.k8s.io/{route}",
                "spec.parentRefs[].name",
                "Gateway",
                "attaches to Gateway",
                namespace="namespace",
            ),
            R(
                f"gateway.networking.k8s.io/{route}",
                "spec.rules[].backendRefs[].name",
                "Service",
                "routes to Service",
                namespace="namespace",
            ),
        )
    ),
)
_WEBHOOKS = tuple(
    R(
        f"admissionregistration.k8s.io/{kind}",
        "webhooks[].clientConfig.service.name",
        "Service",
        "calls Service",
        READY,
        namespace="namespace",
        group="",
    )
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
)
_API = (
    R(
        "apiregistration.k8s.io/APIService",
        "spec.service.name",
        "Service",
        "is served by Service",
        READY,
        namespace="namespace",
        group="",
    ),
    R(
        "apiextensions.k8s.io/CustomResourceDefinition",
        "spec.conversion.webhook.clientConfig.service.name",
        "Service",
        "converts through Service",
        SOFT,
        namespace="namespace",
        group="",
    ),
    R(
        "admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding",
        "spec.policyName",
        "ValidatingAdmissionPolicy",
        "binds policy",
    ),
    R("networking.k8s.io/IngressClass", "spec.parameters.name", "", "takes parameters from", namespace="namespace"),
    R("/ServiceAccount", "imagePullSecrets[].name", "Secret", "pulls images with Secret", SOFT, group=""),
    R("/ServiceAccount", "secrets[].name", "Secret", "holds Secret", SOFT, group="", missing=False),
)
_CERT_MANAGER = tuple(
    row
    for group in ("cert-manager.io", "certmanager.k8s.io")
    for row in (
        R(f"{group}/Certificate", "spec.issuerRef.name", "Issuer", "is signed by issuer", READY),
        R(f"{group}/Issuer", "spec.ca.secretName", "Secret", "signs with Secret", group=""),
        R(
            f"{group}/ClusterIssuer",
            "spec.ca.secretName",
            "Secret",
            "signs with Secret",
            group="",
            namespace="@cert-manager",
            missing=False,
        ),
    )
)
_SOURCES = ("GitRepository", "HelmRepository", "OCIRepository", "Bucket")
_FLUX = (
    R(
        "kustomize.toolkit.fluxcd.io/Kustomization",
        "spec.sourceRef.name",
        "",
        "is read from source",
        READY,
        namespace="namespace",
    ),
    R(
        "kustomize.toolkit.fluxcd.io/Kustomization",
        "spec.decryption.secretRef.name",
        "Secret",
        "decrypts with Secret",
        group="",
    ),
    R(
        "kustomize.toolkit.fluxcd.io/Kustomization",
        "spec.kubeConfig.secretRef.name",
        "Secret",
        "reaches its cluster with Secret",
        group="",
    ),
    R(
        "kustomize.toolkit.fluxcd.io/Kustomization",
        "spec.serviceAccountName",
        "ServiceAccount",
        "applies as ServiceAccount",
        group="",
    ),
    R(
        "kustomize.toolkit.fluxcd.io/Kustomization",
        "spec.postBuild.substituteFrom[].name",
        "",
        "substitutes variables from",
    ),
    R(
        "helm.toolkit.fluxcd.io/HelmRelease",
        "spec.chart.spec.sourceRef.name",
        "",
        "takes its chart from source",
        READY,
        namespace="namespace",
    ),
    R(
        "helm.toolkit.fluxcd.io/HelmRelease",
        "spec.chartRef.name",
        "",
        "takes its chart from source",
        READY,
        namespace="namespace",
    ),
    R(
        "helm.toolkit.fluxcd.io/HelmRelease",
        "spec.dependsOn[].name",
        "HelmRelease",
        "declares dependsOn",
        READY,
        DECLARED,
        namespace="namespace",
        group="helm.toolkit.fluxcd.io",
    ),
    R("helm.toolkit.fluxcd.io/HelmRelease", "spec.valuesFrom[].name", "", "takes values from"),
    R(
        "helm.toolkit.fluxcd.io/HelmRelease",
        "spec.serviceAccountName",
        "ServiceAccount",
        "installs as ServiceAccount",
        group="",
    ),
    R(
        "helm.toolkit.fluxcd.io/HelmRelease",
        "spec.kubeConfig.secretRef.name",
        "Secret",
        "reaches its cluster with Secret",
        group="",
    ),
    R(
        "flux.weave.works/HelmRelease",
        "spec.valuesFrom[].secretKeyRef.name",
        "Secret",
        "takes values from Secret",
        group="",
    ),
    R(
        "flux.weave.works/HelmRelease",
        "spec.valuesFrom[].configMapKeyRef.name",
        "ConfigMap",
        "takes values from ConfigMap",
        group="",
    ),
    R(
        "helm.fluxcd.io/HelmRelease",
        "spec.valuesFrom[].secretKeyRef.name",
        "Secret",
        "takes values from Secret",
        group="",
    ),
    R(
        "helm.fluxcd.io/HelmRelease",
        "spec.valuesFrom[].configMapKeyRef.name",
        "ConfigMap",
        "takes values from ConfigMap",
        group="",
    ),
    R("source.toolkit.fluxcd.io/HelmChart", "spec.sourceRef.name", "", "takes its chart from source", READY),
    *(
        R(f"source.toolkit.fluxcd.io/{kind}", "spec.secretRef.name", "Secret", "authenticates with Secret", group="")
        for kind in _SOURCES
    ),
    *(
        R(
            f"source.toolkit.fluxcd.io/{kind}",
            "spec.certSecretRef.name",
            "Secret",
            "trusts certificates of Secret",
            group="",
        )
        for kind in _SOURCES
    ),
    *(
        R(f"source.toolkit.fluxcd.io/{kind}", "spec.verify.secretRef.name", "Secret", "verifies with Secret", group="")
        for kind in _SOURCES
    ),
    R(
        "source.extensions.fluxcd.io/ArtifactGenerator",
        "spec.sources[].name",
        "",
        "copies from source",
        READY,
        namespace="namespace",
    ),
    R(
        "image.toolkit.fluxcd.io/ImagePolicy",
        "spec.imageRepositoryRef.name",
        "ImageRepository",
        "reads tags of ImageRepository",
        namespace="namespace",
    ),
    R(
        "image.toolkit.fluxcd.io/ImageUpdateAutomation",
        "spec.sourceRef.name",
        "GitRepository",
        "commits to source",
        namespace="namespace",
    ),
    R(
        "notification.toolkit.fluxcd.io/Alert",
        "spec.providerRef.name",
        "Provider",
        "notifies Provider",
        group="notification.toolkit.fluxcd.io",
    ),
    R(
        "notification.toolkit.fluxcd.io/Provider",
        "spec.secretRef.name",
        "Secret",
        "authenticates with Secret",
        group="",
    ),
    R(
        "notification.toolkit.fluxcd.io/Receiver",
        "spec.secretRef.name",
        "Secret",
        "checks requests with Secret",
        group="",
    ),
    R(
        "fluxcd.controlplane.io/ResourceSet",
        "spec.dependsOn[].name",
        "",
        "declares dependsOn",
        READY,
        DECLARED,
        namespace="namespace",
    ),
    R("fluxcd.controlplane.io/ResourceSet", "spec.inputsFrom[].name", "ResourceSetInputProvider", "takes inputs from"),
)
_ARGO = (
    R("argoproj.io/Application", "spec.project", "AppProject", "belongs to AppProject"),
    R("argoproj.io/ApplicationSet", "spec.template.spec.project", "AppProject", "generates into AppProject"),
)
_DELIVERY = (
    R("flagger.app/Canary", "spec.targetRef.name", "Deployment", "controls the rollout of target"),
    R("flagger.app/Canary", "spec.autoscalerRef.name", "HorizontalPodAutoscaler", "controls the scaling of target"),
    R(
        "flagger.app/Canary",
        "spec.analysis.metrics[].templateRef.name",
        "MetricTemplate",
        "judges by MetricTemplate",
        namespace="namespace",
    ),
)
_MESH = (
    R(
        "networking.istio.io/VirtualService",
        "spec.gateways[]",
        "Gateway",
        "attaches to Gateway",
        group="networking.istio.io",
    ),
    *(
        R(
            "networking.istio.io/VirtualService",
            f"spec.{protocol}[].route[].destination.host",
            "Service",
            "routes to Service",
            SOFT,
            group="",
            namespace="host",
            missing=False,
        )
        for protocol in ("http", "tcp", "tls")
    ),
    R(
        "networking.istio.io/DestinationRule",
        "spec.host",
        "Service",
        "configures Service",
        SOFT,
        group="",
        namespace="host",
        missing=False,
    ),
    R(
        "networking.istio.io/Gateway",
        "spec.servers[].tls.credentialName",
        "Secret",
        "serves TLS with Secret",
        SOFT,
        group="",
        missing=False,
    ),
    R("metallb.io/L2Advertisement", "spec.ipAddressPools[]", "IPAddressPool", "announces IPAddressPool"),
    R("metallb.io/BGPAdvertisement", "spec.ipAddressPools[]", "IPAddressPool", "announces IPAddressPool"),
)
_SECRETS = (
    R("external-secrets.io/ExternalSecret", "spec.secretStoreRef.name", "SecretStore", "is read from store", READY),
    R("external-secrets.io/PushSecret", "spec.secretStoreRefs[].name", "SecretStore", "is written to store", READY),
    R(
        "external-secrets.io/ClusterExternalSecret",
        "spec.externalSecretSpec.secretStoreRef.name",
        "ClusterSecretStore",
        "is read from store",
        READY,
    ),
)

# Guesses for kinds that no row above knows: charts' values and custom resources.
_GUESSES = (
    ("**.secretKeyRef.name", "Secret", "uses a key of Secret"),
    ("**.configMapKeyRef.name", "ConfigMap", "uses a key of ConfigMap"),
    ("**.secretRef.name", "Secret", "names Secret"),
    ("**.configMapRef.name", "ConfigMap", "names ConfigMap"),
    ("**.*SecretRef.name", "Secret", "names Secret"),
    ("**.secretName", "Secret", "names Secret"),
    ("**.existingSecret", "Secret", "names existing Secret"),
    ("**.existingSecretName", "Secret", "names existing Secret"),
    ("**.existingConfigMap", "ConfigMap", "names existing ConfigMap"),
    ("**.existingClaim", "PersistentVolumeClaim", "names existing PersistentVolumeClaim"),
    ("**.imagePullSecrets[].name", "Secret", "pulls images with Secret"),
    ("**.serviceAccountName", "ServiceAccount", "names ServiceAccount"),
    ("**.storageClassName", "StorageClass", "claims storage of StorageClass"),
    ("**.storageClass", "StorageClass", "claims storage of StorageClass"),
    ("**.priorityClassName", "PriorityClass", "is scheduled by PriorityClass"),
    ("**.ingressClassName", "IngressClass", "is served by IngressClass"),
    ("**.gatewayClassName", "GatewayClass", "is served by GatewayClass"),
    ("**.parentRefs[].name", "Gateway", "attaches to Gateway"),
    ('**["cert-manager.io/cluster-issuer"]', "ClusterIssuer", "gets its certificate from ClusterIssuer"),
    ('**["cert-manager.io/issuer"]', "Issuer", "gets its certificate from Issuer"),
    ('**["certmanager.k8s.io/cluster-issuer"]', "ClusterIssuer", "gets its certificate from ClusterIssuer"),
    ("**.issuerRef.name", "Issuer", "is signed by issuer"),
    ("**.*Ref.name", "", "names object"),
    ("**.*Refs[].name", "", "names object"),
)
# "existing…" and an issuer's name mean something that must be there; a chart may itself make what other fields name.
_SURE = ("existing", "cluster-issuer", "cert-manager.io/issuer")
GUESSES: tuple[R, ...] = tuple(
    R("?", path, to, reason, basis=INFERRED, namespace="namespace", missing=any(word in path for word in _SURE))
    for path, to, reason in _GUESSES
)

REFERENCES: tuple[R, ...] = (
    *_FROM_A_CONTAINER,
    *_POD,
    *_RBAC,
    *_STORAGE,
    *_SCALING,
    *_INGRESS,
    *_GATEWAY_API,
    *_WEBHOOKS,
    *_API,
    *_CERT_MANAGER,
    *_FLUX,
    *_ARGO,
    *_DELIVERY,
    *_MESH,
    *_SECRETS,
)
