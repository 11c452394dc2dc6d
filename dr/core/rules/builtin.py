"""What Kubernetes itself has: its kinds, the objects of every cluster, and files that only look like objects."""

from __future__ import annotations

# Kinds by API group, as Kubernetes 1.37 has them: alpha and beta kinds too, without those of subresources.
_KINDS: dict[str, str] = {
    "": "Binding ComponentStatus ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolume"
    " PersistentVolumeClaim Pod PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount",
    "admissionregistration.k8s.io": "MutatingAdmissionPolicy MutatingAdmissionPolicyBinding"
    " MutatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding"
    " ValidatingWebhookConfiguration",
    "apiextensions.k8s.io": "CustomResourceDefinition",
    "apiregistration.k8s.io": "APIService",
    "apps": "ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet",
    "authentication.k8s.io": "SelfSubjectReview TokenReview",
    "authorization.k8s.io": "LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview"
    " SubjectAccessReview",
    "autoscaling": "HorizontalPodAutoscaler",
    "batch": "CronJob Job",
    "certificates.k8s.io": "CertificateSigningRequest ClusterTrustBundle PodCertificateRequest",
    "coordination.k8s.io": "Lease LeaseCandidate",
    "discovery.k8s.io": "EndpointSlice",
    "events.k8s.io": "Event",
    "flowcontrol.apiserver.k8s.io": "FlowSchema PriorityLevelConfiguration",
    "internal.apiserver.k8s.io": "StorageVersion",
    "lifecycle.k8s.io": "Eviction EvictionRequest",
    "networking.k8s.io": "IPAddress Ingress IngressClass NetworkPolicy ServiceCIDR",
    "node.k8s.io": "RuntimeClass",
    "policy": "PodDisruptionBudget",
    "rbac.authorization.k8s.io": "ClusterRole ClusterRoleBinding Role RoleBinding",
    "resource.k8s.io": "DeviceClass DeviceTaintRule ResourceClaim ResourceClaimTemplate ResourcePoolStatusRequest"
    " ResourceSlice",
    "scheduling.k8s.io": "CompositePodGroup PodGroup PriorityClass Workload",
    "storage.k8s.io": "CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment VolumeAttributesClass",
    "storagemigration.k8s.io": "StorageVersionMigration",
}

# Groups that Kubernetes had once; their objects are a matter of `removals`, not of a CRD that is missing.
_FORMER_GROUPS = frozenset({"auditregistration.k8s.io", "extensions", "settings.k8s.io"})

BUILTIN_KINDS: frozenset[str] = frozenset(
    f"{group}/{kind}" for group, kinds in _KINDS.items() for kind in kinds.split()
)
BUILTIN_GROUPS: frozenset[str] = frozenset(_KINDS) | _FORMER_GROUPS

# Cluster-scoped kinds by API group, Kubernetes' own (removed ones too) and well-known custom ones; "*" is every kind.
_CLUSTER_SCOPED: dict[str, str] = {
    "": "ComponentStatus Namespace Node PersistentVolume",
    "admissionregistration.k8s.io": "*",
    "apiextensions.crossplane.io": "*",
    "apiextensions.k8s.io": "CustomResourceDefinition",
    "apiregistration.k8s.io": "APIService",
    "apps.kruise.io": "NodeImage SidecarSet",
    "aquasecurity.github.io": "ClusterComplianceReport ClusterConfigAuditReport ClusterInfraAssessmentReport"
    " ClusterRbacAssessmentReport ClusterSbomReport ClusterVulnerabilityReport",
    "argoproj.io": "ClusterAnalysisTemplate ClusterWorkflowTemplate",
    "auditregistration.k8s.io": "AuditSink",
    "authentication.k8s.io": "*",
    "authorization.k8s.io": "SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview",
    "catalog.cattle.io": "ClusterRepo",
    "cdi.kubevirt.io": "CDI CDIConfig StorageProfile",
    "cert-manager.io": "ClusterIssuer",
    "certificates.k8s.io": "CertificateSigningRequest ClusterTrustBundle",
    "certmanager.k8s.io": "ClusterIssuer",
    "chaos-mesh.org": "RemoteCluster",
    "cilium.io": "CiliumBGPAdvertisement CiliumBGPClusterConfig CiliumBGPNodeConfig CiliumBGPNodeConfigOverride"
    " CiliumBGPPeerConfig CiliumBGPPeeringPolicy CiliumCIDRGroup CiliumClusterwideEnvoyConfig"
    " CiliumClusterwideNetworkPolicy CiliumEgressGatewayPolicy CiliumExternalWorkload CiliumIdentity"
    " CiliumL2AnnouncementPolicy CiliumLoadBalancerIPPool CiliumNode CiliumPodIPPool",
    "config.openshift.io": "*",
    "configuration.konghq.com": "KongClusterPlugin KongLicense KongVault",
    "constraints.gatekeeper.sh": "*",
    "crd.k8s.amazonaws.com": "ENIConfig",
    "crd.projectcalico.org": "BGPConfiguration BGPFilter BGPPeer BlockAffinity ClusterInformation FelixConfiguration"
    " GlobalNetworkPolicy GlobalNetworkSet HostEndpoint IPAMBlock IPAMConfig IPAMHandle IPPool IPReservation"
    " KubeControllersConfiguration",
    "deviceplugin.intel.com": "*",
    "elbv2.k8s.aws": "IngressClassParams",
    "eventing.keda.sh": "ClusterCloudEventSource",
    "expansion.gatekeeper.sh": "ExpansionTemplate",
    "external-secrets.io": "ClusterExternalSecret ClusterPushSecret ClusterSecretStore",
    "externaldata.gatekeeper.sh": "Provider",
    "flowcontrol.apiserver.k8s.io": "*",
    "fluentbit.fluent.io": "ClusterFilter ClusterFluentBitConfig ClusterInput ClusterMultilineParser ClusterOutput"
    " ClusterParser",
    "fluentd.fluent.io": "ClusterFilter ClusterFluentdConfig ClusterInput ClusterOutput",
    "gateway.networking.k8s.io": "GatewayClass",
    "generators.external-secrets.io": "ClusterGenerator",
    "groupsnapshot.storage.k8s.io": "VolumeGroupSnapshotClass VolumeGroupSnapshotContent",
    "hnc.x-k8s.io": "HNCConfiguration",
    "instancetype.kubevirt.io": "VirtualMachineClusterInstancetype VirtualMachineClusterPreference",
    "internal.apiserver.k8s.io": "StorageVersion",
    "k3s.cattle.io": "ETCDSnapshotFile",
    "karpenter.k8s.aws": "*",
    "karpenter.sh": "*",
    "keda.sh": "ClusterTriggerAuthentication",
    "kopf.dev": "ClusterKopfPeering",
    "kopiur.home-operations.com": "ClusterRepository",
    "kueue.x-k8s.io": "AdmissionCheck ClusterQueue Cohort ResourceFlavor Topology WorkloadPriorityClass",
    "kwok.x-k8s.io": "ClusterAttach ClusterExec ClusterLogs ClusterPortForward ClusterResourceUsage Metric Stage",
    "kyverno.io": "ClusterCleanupPolicy ClusterPolicy GlobalContextEntry",
    "logging.banzaicloud.io": "Logging LoggingRoute",
    "metacontroller.k8s.io": "CompositeController DecoratorController",
    "migrations.kubevirt.io": "MigrationPolicy",
    "monitoring.giantswarm.io": "Silence",
    "mutations.gatekeeper.sh": "*",
    "networking.k8s.io": "ClusterCIDR IPAddress IngressClass ServiceCIDR",
    "nfd.k8s-sigs.io": "NodeFeatureRule",
    "node.k8s.io": "RuntimeClass",
    "nvidia.com": "ClusterPolicy NVIDIADriver",
    "objectbucket.io": "ObjectBucket",
    "olm.operatorframework.io": "*",
    "openreports.io": "ClusterReport",
    "operator.tekton.dev": "*",
    "operator.tigera.io": "APIServer AmazonCloudIntegration GatewayAPI Goldmane ImageSet Installation"
    " IntrusionDetection LogCollector LogStorage ManagementCluster Manager Monitor PolicyRecommendation TigeraStatus"
    " Whisker",
    "operators.coreos.com": "OLMConfig Operator",
    "piraeus.io": "*",
    "pkg.crossplane.io": "*",
    "policies.kyverno.io": "DeletingPolicy GeneratingPolicy ImageValidatingPolicy MutatingPolicy ValidatingPolicy",
    "policy": "PodSecurityPolicy",
    "policy.cert-manager.io": "CertificateRequestPolicy",
    "policy.networking.k8s.io": "AdminNetworkPolicy BaselineAdminNetworkPolicy ClusterNetworkPolicy",
    "policy.sigstore.dev": "ClusterImagePolicy TrustRoot",
    "populator.storage.k8s.io": "VolumePopulator",
    "postgresql.cnpg.io": "ClusterImageCatalog",
    "projectcalico.org": "BGPConfiguration BGPFilter BGPPeer ClusterInformation FelixConfiguration"
    " GlobalNetworkPolicy GlobalNetworkSet HostEndpoint IPAMConfiguration IPPool IPReservation"
    " KubeControllersConfiguration Profile",
    "rbac.authorization.k8s.io": "ClusterRole ClusterRoleBinding",
    "rbacmanager.reactiveops.io": "RBACDefinition",
    "reports.kyverno.io": "ClusterEphemeralReport",
    "resource.k8s.io": "DeviceClass DeviceTaintRule ResourceClass ResourcePoolStatusRequest ResourceSlice",
    "scheduling.k8s.io": "PriorityClass",
    "security.openshift.io": "SecurityContextConstraints",
    "serving.kserve.io": "ClusterServingRuntime ClusterStorageContainer",
    "snapshot.storage.k8s.io": "VolumeSnapshotClass VolumeSnapshotContent",
    "spire.spiffe.io": "ClusterFederatedTrustDomain ClusterSPIFFEID ClusterStaticEntry",
    "storage.k8s.io": "CSIDriver CSINode StorageClass VolumeAttachment VolumeAttributesClass",
    "storagemigration.k8s.io": "StorageVersionMigration",
    "syncset.gatekeeper.sh": "SyncSet",
    "tailscale.com": "Connector DNSConfig ProxyClass ProxyGroup Recorder",
    "tekton.dev": "ClusterTask",
    "templates.gatekeeper.sh": "ConstraintTemplate",
    "triggers.tekton.dev": "ClusterInterceptor ClusterTriggerBinding",
    "trust.cert-manager.io": "*",
    "wgpolicyk8s.io": "ClusterPolicyReport",
    "zalando.org": "ClusterKopfPeering",
}

CLUSTER_SCOPED: frozenset[str] = frozenset(
    f"{group}/{kind}" for group, kinds in _CLUSTER_SCOPED.items() for kind in kinds.split()
)

# (kind, namespace, name) of objects that a new cluster has: namespace "" is none and "*" each, a name's "*" any ending.
EVERYWHERE: tuple[tuple[str, str, str], ...] = (
    ("ClusterRole", "", "admin"),
    ("ClusterRole", "", "cluster-admin"),
    ("ClusterRole", "", "edit"),
    ("ClusterRole", "", "system:*"),
    ("ClusterRole", "", "view"),
    ("ClusterRoleBinding", "", "cluster-admin"),
    ("ClusterRoleBinding", "", "system:*"),
    ("ConfigMap", "*", "kube-root-ca.crt"),
    ("ConfigMap", "kube-system", "extension-apiserver-authentication"),
    ("FlowSchema", "", "catch-all"),
    ("FlowSchema", "", "exempt"),
    ("FlowSchema", "", "global-default"),
    ("FlowSchema", "", "probes"),
    ("FlowSchema", "", "service-accounts"),
    ("FlowSchema", "", "system-leader-election"),
    ("FlowSchema", "", "system-nodes"),
    ("Namespace", "", "default"),
    ("Namespace", "", "kube-node-lease"),
    ("Namespace", "", "kube-public"),
    ("Namespace", "", "kube-system"),
    ("PriorityClass", "", "system-cluster-critical"),
    ("PriorityClass", "", "system-node-critical"),
    ("PriorityLevelConfiguration", "", "catch-all"),
    ("PriorityLevelConfiguration", "", "exempt"),
    ("PriorityLevelConfiguration", "", "global-default"),
    ("PriorityLevelConfiguration", "", "leader-election"),
    ("PriorityLevelConfiguration", "", "node-high"),
    ("PriorityLevelConfiguration", "", "system"),
    ("PriorityLevelConfiguration", "", "workload-high"),
    ("PriorityLevelConfiguration", "", "workload-low"),
    ("Role", "kube-public", "system:*"),
    ("Role", "kube-system", "extension-apiserver-authentication-reader"),
    ("Role", "kube-system", "system:*"),
    ("Service", "default", "kubernetes"),
    ("Service", "kube-system", "kube-dns"),
    ("ServiceAccount", "*", "default"),
)

# (start of the apiVersion, kind or "" for any) of YAML that tools read, and that no API server takes.
NOT_FOR_A_CLUSTER: tuple[tuple[str, str], ...] = (
    ("abac.authorization.kubernetes.io/", ""),
    ("apiserver.config.k8s.io/", ""),
    ("apiserver.k8s.io/", ""),
    ("argoproj.io/", "ConfigManagementPlugin"),
    ("audit.k8s.io/", ""),
    ("backstage.io/", ""),
    ("builtin", ""),
    ("chainsaw.kyverno.io/", ""),
    ("cli.kyverno.io/", ""),
    ("client.authentication.k8s.io/", ""),
    ("config.kubernetes.io/", ""),
    ("config.kwok.x-k8s.io/", ""),
    ("controllermanager.config.k8s.io/", ""),
    ("ctlptl.dev/", ""),
    ("deploy.cloud.google.com/", ""),
    ("eksctl.io/", ""),
    ("fn.kpt.dev/", ""),
    ("garden.io/", ""),
    ("goabout.com/", "SopsSecretGenerator"),
    ("imgpkg.carvel.dev/", ""),
    ("k0sctl.k0sproject.io/", ""),
    ("k3d.io/", ""),
    ("kapp.k14s.io/", "Config"),
    ("kbld.carvel.dev/", ""),
    ("kbld.k14s.io/", ""),
    ("kctrl.carvel.dev/", ""),
    ("kind.sigs.k8s.io/", ""),
    ("kind.x-k8s.io/", ""),
    ("kops.k8s.io/", ""),
    ("kpt.dev/", ""),
    ("krew.googlecontainertools.github.com/", ""),
    ("kubeadm.k8s.io/", ""),
    ("kubecontrollermanager.config.k8s.io/", ""),
    ("kubectl.config.k8s.io/", ""),
    ("kubelet.config.k8s.io/", ""),
    ("kubeproxy.config.k8s.io/", ""),
    ("kubescheduler.config.k8s.io/", ""),
    ("kustomize.config.k8s.io/", ""),
    ("kuttl.dev/", ""),
    ("node.eks.aws/", "NodeConfig"),
    ("policy.open-cluster-management.io/", "PolicyGenerator"),
    ("skaffold/", ""),
    ("tanka.dev/", ""),
    ("test.gatekeeper.sh/", ""),
    ("tilt.dev/", ""),
    ("v1", "Config"),
    ("v1alpha1", ""),
    ("vendir.k14s.io/", ""),
    ("viaduct.ai/", "ksops"),
    ("zarf.dev/", ""),
)

# Groups of engines that read the repo themselves: they come from a bootstrap, so no release in git comes before them.
GITOPS_GROUPS: frozenset[str] = frozenset(
    {
        "argoproj.io",
        "flux.weave.works",
        "fluxcd.controlplane.io",
        "helm.fluxcd.io",
        "helm.toolkit.fluxcd.io",
        "image.toolkit.fluxcd.io",
        "kustomize.toolkit.fluxcd.io",
        "notification.toolkit.fluxcd.io",
        "source.extensions.fluxcd.io",
        "source.toolkit.fluxcd.io",
    }
)
