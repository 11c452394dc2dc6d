"""Health: what is ready, what is not yet and what never will be, kind by kind; and what holds for every object."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dr.core.body import mapping
from dr.core.health import Expectation, Health, State, health
from dr.core.rules import readiness as table
from dr.core.rules.builtin import BUILTIN_KINDS
from dr.core.rules.readiness import ReadinessRule
from dr.core.scan import segments
from tests.strategies import values

CURRENT, IN_PROGRESS, FAILED, TERMINATING = State
SPECIAL = {"/PersistentVolumeClaim", "/Pod", "/Service", "batch/Job", *table.COUNTS}
ISSUER = "cert-manager.io/v1 Issuer"
FLUX = "kustomize.toolkit.fluxcd.io/v1 Kustomization"
EXPECTED = Expectation(conditions=True)


def obj(what: str, spec: Any = None, status: Any = None, **metadata: Any) -> dict[str, Any]:
    """Return an object: `what` is its apiVersion and kind."""
    api_version, kind = what.split()
    body: dict[str, Any] = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "a", **metadata}}
    return body | ({} if spec is None else {"spec": spec}) | ({} if status is None else {"status": status})


def said(*words: str) -> dict[str, Any]:
    """Return a status with conditions, each written as `Type=Status [reason [message…]]`."""
    rows = []
    for word in words:
        (head, *rest), conditions = word.split(" ", 2), {}
        conditions["type"], conditions["status"] = head.split("=")
        rows.append(conditions | dict(zip(("reason", "message"), rest, strict=False)))
    return {"conditions": rows}


def counts(generation: int | None = 1, **numbers: int) -> dict[str, Any]:
    return {"observedGeneration": generation, **numbers}


def deployed(
    *, replicas: int, updated: int, available: int, spec: Any = None, conditions: Any = None
) -> dict[str, Any]:
    numbers = counts(replicas=replicas, updatedReplicas=updated, readyReplicas=available, availableReplicas=available)
    done = said("Available=True", "Progressing=True NewReplicaSetAvailable")
    wanted = {"replicas": 3, "progressDeadlineSeconds": 600, **(spec or {})}
    return obj("apps/v1 Deployment", wanted, {**numbers, **(conditions or done)}, generation=1)


def stateful(spec: Any = None, **numbers: int) -> dict[str, Any]:
    full = {"replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3, **numbers}
    return obj("apps/v1 StatefulSet", {"replicas": 3, **(spec or {})}, counts(**full), generation=1)


def daemons(spec: Any = None, **numbers: int) -> dict[str, Any]:
    fields = ("desiredNumberScheduled", "currentNumberScheduled", "updatedNumberScheduled", "numberAvailable")
    full = dict.fromkeys((*fields, "numberReady"), 2) | numbers
    return obj("apps/v1 DaemonSet", spec or {}, counts(**full), generation=1)


def pod(phase: str, *conditions: str, **status: Any) -> dict[str, Any]:
    return obj("v1 Pod", {}, {"phase": phase, **said(*conditions), **status})


def waiting(reason: str, message: str = "") -> list[dict[str, Any]]:
    return [{"name": "web", "state": {"waiting": {"reason": reason, "message": message}}}]


def service(status: Any = None, **spec: Any) -> dict[str, Any]:
    return obj("v1 Service", {"clusterIP": "10.0.0.1", **spec}, status)


CRD, API = "apiextensions.k8s.io/v1 CustomResourceDefinition", "apiregistration.k8s.io/v1 APIService"
DELETED = "2026-01-01T00:00:00Z"
Row = tuple[str, dict[str, Any], State, str]
# One row, one line.
# fmt: off
ROWS: tuple[Row, ...] = (
    ("deployment", deployed(replicas=3, updated=3, available=3), CURRENT, "3/3 replicas available"),
    ("deployment becoming available", deployed(replicas=3, updated=3, available=2), IN_PROGRESS, "2/3 replicas available"),
    ("deployment in a rollout", deployed(replicas=3, updated=1, available=3), IN_PROGRESS, "1/3 replicas updated"),
    ("deployment with old pods", deployed(replicas=4, updated=3, available=3), IN_PROGRESS, "4/3 replicas, old ones"),
    ("deployment without pods", deployed(replicas=0, updated=0, available=0), IN_PROGRESS, "0/3 replicas created"),
    ("deployment never seen", obj("apps/v1 Deployment", {"replicas": 0}, generation=1), IN_PROGRESS, "not seen by"),
    ("deployment of nothing", deployed(replicas=0, updated=0, available=0, spec={"replicas": 0}, conditions={}), CURRENT, "0/0"),
    ("deployment before its condition", deployed(replicas=3, updated=3, available=3, conditions=said("Available=True")), IN_PROGRESS, "Progressing is not set"),
    ("deployment progressing", deployed(replicas=3, updated=3, available=3, conditions=said("Available=True", "Progressing=True ReplicaSetUpdated")), IN_PROGRESS, "ReplicaSetUpdated"),
    ("deployment unavailable", deployed(replicas=3, updated=3, available=3, conditions=said("Available=False MinimumReplicasUnavailable")), IN_PROGRESS, "MinimumReplicasUnavailable"),
    ("deployment without deadline", deployed(replicas=3, updated=3, available=3, spec={"progressDeadlineSeconds": 2**31 - 1}, conditions=said("Available=True")), CURRENT, "3/3"),
    ("deployment past its deadline", deployed(replicas=3, updated=3, available=0, conditions=said("Progressing=False ProgressDeadlineExceeded too slow")), FAILED, "ProgressDeadlineExceeded: too slow"),
    ("paused deployment", deployed(replicas=3, updated=3, available=3, spec={"paused": True}, conditions=said("Available=True", "Progressing=Unknown DeploymentPaused")), CURRENT, "paused: 3/3"),
    ("deployment paused from the start", deployed(replicas=0, updated=0, available=0, spec={"paused": True}), IN_PROGRESS, "paused: 0/3 replicas created"),
    ("deployment of an old group", {**deployed(replicas=3, updated=3, available=2), "apiVersion": "extensions/v1beta1"}, IN_PROGRESS, "2/3"),
    ("stateful set", stateful(), CURRENT, "3/3 replicas available"),
    ("stateful set starting", stateful(replicas=1, updatedReplicas=1, readyReplicas=0, availableReplicas=0), IN_PROGRESS, "1/3 replicas created"),
    ("stateful set not ready", stateful(readyReplicas=1, availableReplicas=1), IN_PROGRESS, "1/3 replicas available"),
    ("stateful set in an update", stateful(updatedReplicas=1), IN_PROGRESS, "1/3 replicas updated"),
    ("stateful set with a partition", stateful({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}}, updatedReplicas=1), CURRENT, "3/3"),
    ("stateful set short of its partition", stateful({"updateStrategy": {"rollingUpdate": {"partition": 1}}}, updatedReplicas=1), IN_PROGRESS, "1/2 replicas updated"),
    ("stateful set on delete", stateful({"updateStrategy": {"type": "OnDelete"}}, updatedReplicas=0), CURRENT, "3/3"),
    ("stateful set on delete, not ready", stateful({"updateStrategy": {"type": "OnDelete"}}, updatedReplicas=0, readyReplicas=2, availableReplicas=2), IN_PROGRESS, "2/3"),
    ("stateful set that waits for a volume", stateful({"volumeClaimTemplates": [{"metadata": {"name": "data"}}]}, readyReplicas=0, availableReplicas=0), IN_PROGRESS, "0/3 replicas available, each with volume data"),
    ("stateful set of nothing", stateful({"replicas": 0}, replicas=0, updatedReplicas=0, readyReplicas=0, availableReplicas=0), CURRENT, "0/0"),
    ("stateful set of OpenKruise", {**stateful(readyReplicas=1, availableReplicas=1), "apiVersion": "apps.kruise.io/v1beta1"}, IN_PROGRESS, "1/3"),
    ("daemon set", daemons(), CURRENT, "2/2 pods available"),
    ("daemon set starting", daemons(numberReady=1, numberAvailable=1), IN_PROGRESS, "1/2 pods available"),
    ("daemon set in an update", daemons(updatedNumberScheduled=1), IN_PROGRESS, "1/2 pods updated"),
    ("daemon set on delete", daemons({"updateStrategy": {"type": "OnDelete"}}, updatedNumberScheduled=0), CURRENT, "2/2"),
    ("daemon set that no node wants", daemons(desiredNumberScheduled=0), CURRENT, "0/0"),
    ("daemon set never seen", obj("apps/v1 DaemonSet", {}, {}, generation=1), IN_PROGRESS, "not seen by"),
    ("replica set", obj("apps/v1 ReplicaSet", {"replicas": 1}, counts(replicas=1, fullyLabeledReplicas=1, readyReplicas=1, availableReplicas=1)), CURRENT, "1/1"),
    ("replica set starting", obj("apps/v1 ReplicaSet", {}, counts(replicas=1, fullyLabeledReplicas=1)), IN_PROGRESS, "0/1 replicas available"),
    ("replica set over its quota", obj("apps/v1 ReplicaSet", {}, {**counts(replicas=0), **said("ReplicaFailure=True FailedCreate exceeded quota")}), IN_PROGRESS, "FailedCreate: exceeded quota"),
    ("replication controller", obj("v1 ReplicationController", {}, counts(replicas=1, fullyLabeledReplicas=1, readyReplicas=1, availableReplicas=1)), CURRENT, "1/1"),
    ("replication controller starting", obj("v1 ReplicationController", {}, counts(replicas=0)), IN_PROGRESS, "0/1"),
    ("pod", pod("Running", "Ready=True"), CURRENT, "Ready=True"),
    ("pod not ready", pod("Running", "Ready=False ContainersNotReady"), IN_PROGRESS, "ContainersNotReady"),
    ("pod done", pod("Succeeded"), CURRENT, "Succeeded"),
    ("pod evicted", pod("Failed", reason="Evicted"), FAILED, "Failed: Evicted"),
    ("pod crashing", pod("Running", "Ready=False", containerStatuses=waiting("CrashLoopBackOff", "back-off 5m0s")), IN_PROGRESS, "container web: CrashLoopBackOff"),
    ("pod whose init crashes", pod("Pending", "PodScheduled=True", initContainerStatuses=waiting("CrashLoopBackOff")), IN_PROGRESS, "web: CrashLoopBackOff"),
    ("pod without its image", pod("Pending", containerStatuses=waiting("ImagePullBackOff", 'pulling image "nginx:0"')), IN_PROGRESS, 'ImagePullBackOff: pulling image "nginx:0"'),
    ("pod without its secret", pod("Pending", containerStatuses=waiting("CreateContainerConfigError", 'secret "db" not found')), IN_PROGRESS, 'CreateContainerConfigError: secret "db" not found'),
    ("pod starting", pod("Pending", "PodScheduled=True", containerStatuses=waiting("ContainerCreating")), IN_PROGRESS, "Pending"),
    ("pod that fits nowhere", pod("Pending", "PodScheduled=False Unschedulable 0/3 nodes are available"), IN_PROGRESS, "unschedulable: 0/3 nodes are available"),
    ("pod behind a gate", pod("Pending", "PodScheduled=False SchedulingGated"), IN_PROGRESS, "SchedulingGated"),
    ("pod never seen", obj("v1 Pod", {}), IN_PROGRESS, "not seen by the scheduler"),
    ("job", obj("batch/v1 Job", {}, {"succeeded": 1, **said("Complete=True")}), CURRENT, "1/1 pods succeeded"),
    ("job at work", obj("batch/v1 Job", {"completions": 3}, {"active": 2, "succeeded": 1, "failed": 4, "startTime": DELETED}), IN_PROGRESS, "1/3 pods succeeded, 2 active, 4 failed"),
    ("job out of tries", obj("batch/v1 Job", {}, said("Failed=True BackoffLimitExceeded")), FAILED, "BackoffLimitExceeded"),
    ("job suspended", obj("batch/v1 Job", {"suspend": True}), CURRENT, "suspended"),
    ("cron job", obj("batch/v1 CronJob", {"schedule": "* * * * *"}), CURRENT, "stored"),
    ("cron job suspended", obj("batch/v1 CronJob", {"suspend": True}), CURRENT, "suspended"),
    ("claim", obj("v1 PersistentVolumeClaim", {}, {"phase": "Bound"}), CURRENT, "Bound"),
    ("claim pending", obj("v1 PersistentVolumeClaim", {"storageClassName": "fast"}, {"phase": "Pending"}), IN_PROGRESS, "Pending: StorageClass fast"),
    ("claim of no class", obj("v1 PersistentVolumeClaim", {}), IN_PROGRESS, "Pending: no StorageClass named"),
    ("claim lost", obj("v1 PersistentVolumeClaim", {"volumeName": "pv-1"}, {"phase": "Lost"}), FAILED, "volume pv-1 is gone"),
    ("volume", obj("v1 PersistentVolume", {}, {"phase": "Available"}), CURRENT, "Available"),
    ("volume pending", obj("v1 PersistentVolume", {}, {"phase": "Pending"}), IN_PROGRESS, "status.phase is Pending"),
    ("volume failed", obj("v1 PersistentVolume", {}, {"phase": "Failed"}), FAILED, "status.phase is Failed"),
    ("service", service(), CURRENT, "stored"),
    ("service without address", service(clusterIP=""), IN_PROGRESS, "no cluster IP"),
    ("service, headless", service(clusterIP="None"), CURRENT, "stored"),
    ("service of another name", service(clusterIP="", type="ExternalName"), CURRENT, "external name"),
    ("service without balancer", service(type="LoadBalancer", status={"loadBalancer": {}}), IN_PROGRESS, "no load balancer address"),
    ("service with balancer", service(type="LoadBalancer", status={"loadBalancer": {"ingress": [{"hostname": "a.example"}]}}), CURRENT, "stored"),
    ("crd", obj(CRD, {}, said("NamesAccepted=True", "Established=True")), CURRENT, "Established=True"),
    ("crd installing", obj(CRD, {}, said("NamesAccepted=True", "Established=False Installing")), IN_PROGRESS, "Installing"),
    ("crd never seen", obj(CRD, {}), IN_PROGRESS, "no status yet"),
    ("crd whose names are taken", obj(CRD, {}, said("NamesAccepted=False ListKindConflict", "Established=False NotAccepted")), FAILED, "ListKindConflict"),
    ("api service", obj(API, {}, said("Available=True Passed")), CURRENT, "Available=True"),
    ("api service unreachable", obj(API, {}, said("Available=False MissingEndpoints")), IN_PROGRESS, "MissingEndpoints"),
    ("disruption budget", obj("policy/v1 PodDisruptionBudget", {}, counts(2), generation=2), CURRENT, "stored"),
    ("disruption budget never seen", obj("policy/v1 PodDisruptionBudget", {}, generation=1), IN_PROGRESS, "not seen by"),
    ("disruption budget changed", obj("policy/v1 PodDisruptionBudget", {}, counts(1), generation=2), IN_PROGRESS, "generation 1 of 2"),
    ("autoscaler", obj("autoscaling/v2 HorizontalPodAutoscaler", {}, said("ScalingActive=False FailedGetMetrics")), CURRENT, "stored"),
    ("namespace", obj("v1 Namespace", {}, {"phase": "Active"}), CURRENT, "Active"),
    ("namespace never seen", obj("v1 Namespace"), IN_PROGRESS, "no status yet"),
    ("namespace going", obj("v1 Namespace", {}, {"phase": "Terminating"}, deletionTimestamp=DELETED), TERMINATING, "being deleted"),
    ("ingress without address", obj("networking.k8s.io/v1 Ingress", {}, {"loadBalancer": {}}), CURRENT, "stored"),
    ("webhook", obj("admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration"), CURRENT, "stored"),
    ("admission policy changed", obj("admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy", {}, counts(1), generation=2), IN_PROGRESS, "generation 1 of 2"),
    ("node", obj("v1 Node", {"unschedulable": True}, said("MemoryPressure=False", "Ready=True KubeletReady")), CURRENT, "KubeletReady"),
    ("node lost", obj("v1 Node", {}, said("Ready=Unknown NodeStatusUnknown")), IN_PROGRESS, "Ready=Unknown: NodeStatusUnknown"),
    ("node never seen", obj("v1 Node", {}, {}), IN_PROGRESS, "no status yet"),
    ("secret", obj("v1 Secret") | {"data": {"password": "aHVudGVyMg=="}}, CURRENT, "stored"),
    ("volume attached", obj("storage.k8s.io/v1 VolumeAttachment", {}, {"attached": True}), CURRENT, "true"),
    ("volume not attached", obj("storage.k8s.io/v1 VolumeAttachment", {}, {"attached": False}), IN_PROGRESS, "false"),
    ("flux", obj(FLUX, {}, {**counts(2), **said("Ready=True ReconciliationSucceeded")}, generation=2), CURRENT, "ReconciliationSucceeded"),
    ("flux behind", obj(FLUX, {}, {**counts(1), **said("Ready=True")}, generation=2), IN_PROGRESS, "generation 1 of 2"),
    ("flux never seen", obj(FLUX, {}, counts(-1), generation=1), IN_PROGRESS, "generation -1 of 1"),
    ("flux reconciling", obj(FLUX, {}, {**counts(1), **said("Reconciling=True Progressing", "Ready=True")}, generation=1), IN_PROGRESS, "Reconciling=True"),
    ("flux waiting", obj(FLUX, {}, {**counts(1), **said("Ready=False DependencyNotReady")}, generation=1), IN_PROGRESS, "DependencyNotReady"),
    ("flux stalled", obj("helm.toolkit.fluxcd.io/v2 HelmRelease", {}, said("Ready=False InstallFailed", "Stalled=True RetriesExceeded")), FAILED, "RetriesExceeded"),
    ("flux suspended", obj(FLUX, {"suspend": True}, {**counts(-1), **said("Ready=False")}, generation=3), CURRENT, "suspended"),
    ("flux oci repository", obj("source.toolkit.fluxcd.io/v1 HelmRepository", {"type": "oci"}, counts(-1), generation=1), CURRENT, "stored"),
    ("issuer", obj(ISSUER, {}, said("Ready=True")), CURRENT, "Ready=True"),
    ("certificate", obj("cert-manager.io/v1 Certificate", {}, said("Issuing=True", "Ready=False IssuerNotFound no issuer a")), IN_PROGRESS, "condition Ready=False: IssuerNotFound: no issuer a"),
    ("certificate of an older spec", obj("cert-manager.io/v1 Certificate", {}, {"conditions": [{"type": "Ready", "status": "True", "observedGeneration": 1}]}, generation=2), IN_PROGRESS, "older generation than 2"),
    ("certificate denied", obj("cert-manager.io/v1 CertificateRequest", {}, said("Denied=True", "Ready=False")), FAILED, "Denied=True"),
    ("challenge", obj("acme.cert-manager.io/v1 Challenge", {}, {"state": "valid"}), CURRENT, "valid"),
    ("challenge expired", obj("acme.cert-manager.io/v1 Challenge", {}, {"state": "expired"}), FAILED, "expired"),
    ("external secret", obj("external-secrets.io/v1 ExternalSecret", {}, said("Ready=False SecretSyncedError")), IN_PROGRESS, "SecretSyncedError"),
    ("sealed secret", obj("bitnami.com/v1alpha1 SealedSecret", {}, {**counts(1), **said("Synced=True")}, generation=1), CURRENT, "Synced=True"),
    ("sealed secret without key", obj("bitnami.com/v1alpha1 SealedSecret", {}, said("Synced=False Unseal no key could decrypt")), IN_PROGRESS, "no key could decrypt"),
    ("crossplane", obj("s3.aws.upbound.io/v1beta1 Bucket", {}, said("Synced=True", "Ready=True Available")), CURRENT, "Ready=True"),
    ("crossplane creating", obj("s3.aws.upbound.io/v1beta1 Bucket", {}, said("Synced=True", "Ready=False Creating")), IN_PROGRESS, "Creating"),
    ("crossplane not synced", obj("s3.aws.upbound.io/v1beta1 Bucket", {}, said("Ready=True", "Synced=False ReconcileError")), IN_PROGRESS, "ReconcileError"),
    ("crossplane provider", obj("pkg.crossplane.io/v1 Provider", {}, said("Installed=True")), IN_PROGRESS, "Healthy is not set yet"),
    ("argo application", obj("argoproj.io/v1alpha1 Application", {}, {"health": {"status": "Healthy"}, "sync": {"status": "Synced"}}), CURRENT, "status.sync.status is Synced"),
    ("argo application behind", obj("argoproj.io/v1alpha1 Application", {}, {"health": {"status": "Healthy"}, "sync": {"status": "OutOfSync"}}), IN_PROGRESS, "status.sync.status is OutOfSync"),
    ("argo application without sync", obj("argoproj.io/v1alpha1 Application", {}, {"health": {"status": "Healthy"}}), IN_PROGRESS, "status.sync.status is not set yet"),
    ("argo application set", obj("argoproj.io/v1alpha1 ApplicationSet", {}, said("ErrorOccurred=True Bad", "ResourcesUpToDate=True")), IN_PROGRESS, "ErrorOccurred=True"),
    ("rollout", obj("argoproj.io/v1alpha1 Rollout", {}, {"phase": "Healthy", "observedGeneration": "2"}, generation=2), CURRENT, "Healthy"),
    ("rollout behind", obj("argoproj.io/v1alpha1 Rollout", {}, {"phase": "Healthy", "observedGeneration": "1"}, generation=2), IN_PROGRESS, "generation 1 of 2"),
    ("rollout paused", obj("argoproj.io/v1alpha1 Rollout", {}, {"phase": "Paused"}), IN_PROGRESS, "Paused"),
    ("rollout degraded", obj("argoproj.io/v1alpha1 Rollout", {}, {"phase": "Degraded"}), FAILED, "Degraded"),
    ("canary", obj("flagger.app/v1beta1 Canary", {}, {"phase": "Initialized"}), CURRENT, "Initialized"),
    ("canary at work", obj("flagger.app/v1beta1 Canary", {}, {"phase": "Progressing"}), IN_PROGRESS, "Progressing"),
    ("canary rolled back", obj("flagger.app/v1beta1 Canary", {}, {"phase": "Failed"}), FAILED, "Failed"),
    ("kafka topic", obj("kafka.strimzi.io/v1beta2 KafkaTopic", {}, said("Ready=True")), CURRENT, "Ready=True"),
    ("kafka not ready", obj("kafka.strimzi.io/v1beta2 Kafka", {}, said("NotReady=True Creating")), IN_PROGRESS, "NotReady=True: Creating"),
    ("zalando", obj("acid.zalan.do/v1 postgresql", {}, {"PostgresClusterStatus": "Running"}), CURRENT, "Running"),
    ("zalando creating", obj("acid.zalan.do/v1 postgresql", {}, {"PostgresClusterStatus": "Creating"}), IN_PROGRESS, "Creating"),
    ("zalando invalid", obj("acid.zalan.do/v1 postgresql", {}, {"PostgresClusterStatus": "Invalid"}), FAILED, "Invalid"),
    ("cnpg", obj("postgresql.cnpg.io/v1 Cluster", {}, {"phase": "Cluster in healthy state", **said("Ready=True")}), CURRENT, "healthy state"),
    ("cnpg starting", obj("postgresql.cnpg.io/v1 Cluster", {}, {"phase": "Setting up primary"}), IN_PROGRESS, "Setting up primary"),
    ("cluster api", obj("cluster.x-k8s.io/v1beta2 Cluster", {}, said("Available=False NotAvailable")), IN_PROGRESS, "NotAvailable"),
    ("cluster api, both", obj("cluster.x-k8s.io/v1beta2 Machine", {}, said("Available=False", "Ready=True")), CURRENT, "Ready=True"),
    ("gateway", obj("gateway.networking.k8s.io/v1 Gateway", {}, said("Accepted=True", "Programmed=False AddressNotAssigned")), IN_PROGRESS, "AddressNotAssigned"),
    ("snapshot", obj("snapshot.storage.k8s.io/v1 VolumeSnapshot", {}, {"readyToUse": True}), CURRENT, "true"),
    ("task run", obj("tekton.dev/v1 TaskRun", {}, said("Succeeded=Unknown Running")), IN_PROGRESS, "Running"),
    ("task run failed", obj("tekton.dev/v1 TaskRun", {}, said("Succeeded=False Failed")), FAILED, "Succeeded=False"),
    ("unknown kind", obj("example.org/v1 Widget", {}, {"phase": "Strange"}), CURRENT, "stored"),
    ("unknown kind, word", obj("example.org/v1 Widget", {}, {"phase": "Running"}), CURRENT, "status.phase is Running"),
    ("deleted", obj("example.org/v1 Widget", {}, said("Ready=True"), deletionTimestamp=DELETED, finalizers=["example.org/keep"]), TERMINATING, "held by example.org/keep"),
)
# fmt: on


@pytest.mark.parametrize(("body", "state", "message"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_a_step_starts_when_its_object_is_ready_and_not_before(
    body: dict[str, Any], state: State, message: str
) -> None:
    found = health(body)
    assert found.state is state, found
    assert message in found.message


@pytest.mark.parametrize(
    ("body", "expect", "state", "message"),
    [
        (service(), Expectation(endpoints=True), IN_PROGRESS, "no ready endpoints"),
        (service(clusterIP="None"), Expectation(endpoints=True), IN_PROGRESS, "no ready endpoints"),
        (service(), Expectation(endpoints=True, ready_endpoints=2), CURRENT, "ready endpoints: 2"),
        (service(type="LoadBalancer"), Expectation(endpoints=True, ready_endpoints=2), IN_PROGRESS, "balancer"),
        (service(clusterIP="", type="ExternalName"), Expectation(endpoints=True), CURRENT, "external name"),
        (
            obj("v1 PersistentVolumeClaim", {}, {"phase": "Pending"}),
            Expectation(first_consumer=True),
            CURRENT,
            "until a pod",
        ),
        (obj("v1 PersistentVolumeClaim", {}, {"phase": "Lost"}), Expectation(first_consumer=True), FAILED, "gone"),
        (obj(ISSUER), EXPECTED, IN_PROGRESS, "no status yet"),
        (obj(ISSUER, {}, {"acme": {}}), EXPECTED, IN_PROGRESS, "no status yet"),
        (obj(ISSUER, {}, said("Other=True")), EXPECTED, IN_PROGRESS, "only Other=True"),
        (obj(ISSUER, {}, said("Ready=True")), EXPECTED, CURRENT, "Ready=True"),
        (obj("argoproj.io/v1alpha1 Application"), EXPECTED, IN_PROGRESS, "no status yet"),
        (obj("bitnami.com/v1alpha1 SealedSecret"), EXPECTED, IN_PROGRESS, "no status yet"),
        (obj("example.org/v1 Widget", {}, {"phase": "Active"}), EXPECTED, CURRENT, "status.phase is Active"),
        (obj("v1 ConfigMap"), EXPECTED, CURRENT, "stored"),
    ],
)
def test_what_others_wait_for_must_be_there(
    body: dict[str, Any], expect: Expectation, state: State, message: str
) -> None:
    found = health(body, expect)
    assert found.state is state, found
    assert message in found.message


PHASE = ReadinessRule("example.org/Widget", "status.stage", ("Up",), ("Broken",))


@pytest.mark.parametrize(
    ("body", "rules", "state", "message"),
    [
        (obj("example.org/v1 Widget", {}, {"stage": "Up"}), [PHASE], CURRENT, "status.stage is Up"),
        (obj("example.org/v1 Widget", {}, {"stage": "Down"}), [PHASE], IN_PROGRESS, "status.stage is Down"),
        (obj("example.org/v1 Widget", {}, {"stage": "Broken"}), [PHASE], FAILED, "status.stage is Broken"),
        (obj("example.org/v1 Widget", {}, said("Ready=True")), [PHASE], IN_PROGRESS, "status.stage is not set yet"),
        (obj("example.org/v1 Widget", {}, {"stage": "Up", **said("Ready=False")}), [PHASE], CURRENT, "Up"),
        (obj("example.com/v1 Widget", {}, {"stage": "Down"}), [PHASE], CURRENT, "stored"),
        (obj("example.com/v1 Widget", {}, {"n": 2}), [ReadinessRule("Widget", "status.n", ("2",))], CURRENT, "is 2"),
        (
            obj("example.org/v1 Widget", {}, {"n": []}),
            [ReadinessRule("*", "status.n", ("2",))],
            IN_PROGRESS,
            "status.n",
        ),
        (obj("example.org/v1 Widget", {}, {}), [ReadinessRule("*", "status.n", ("2",))], CURRENT, "stored"),
        (
            obj("v1 Namespace", {}, {"phase": "Active"}),
            [ReadinessRule("*", "status.phase", ("Up",))],
            CURRENT,
            "Active",
        ),
        (
            obj("example.org/v1 Widget", {}, {"parts": [{"up": True}, {"up": False}]}),
            [ReadinessRule("example.org/*", "status.parts[].up", ("true",))],
            IN_PROGRESS,
            "status.parts[].up is false",
        ),
    ],
)
def test_a_team_says_when_its_own_kinds_are_ready(
    body: dict[str, Any], rules: list[ReadinessRule], state: State, message: str
) -> None:
    found = health(body, EXPECTED if state is not CURRENT else Expectation(), rules)
    assert found.state is state, found
    assert message in found.message


def test_every_kind_of_kubernetes_has_its_rule() -> None:
    by_field = {rule.kind for rule in table.READINESS} & BUILTIN_KINDS
    groups = [SPECIAL & BUILTIN_KINDS, table.STORED, set(table.NEEDED) & BUILTIN_KINDS, by_field]
    assert set().union(*groups) == BUILTIN_KINDS
    assert sum(map(len, groups)) == len(BUILTIN_KINDS)


def test_a_reader_finds_a_kind_in_the_tables_by_its_name() -> None:
    for rows in (table.FAILED, table.HOLDING, table.READINESS, table.RESTING):
        names = [row.kind for row in rows]
        assert names == sorted(names)
    for keys in (table.NEEDED, table.COUNTS):
        assert list(keys) == sorted(keys)
    paths = [row.path for row in (*table.READINESS, *table.HINTS)] + [row.path for row in table.RESTING]
    assert all(segments(path) for path in paths)


def test_no_message_shows_what_a_secret_holds() -> None:
    secret = obj("v1 Secret", {}, {"phase": "hunter2"}) | {"data": {"password": "hunter2"}}
    rules = [ReadinessRule("/Secret", "data.password", ("x",)), ReadinessRule("Secret", "status.phase", ("x",))]
    found = health(secret, rules=rules)
    assert found.state is IN_PROGRESS
    assert "hunter2" not in found.message
    output = {
        "terminated": {"exitCode": 1, "message": "hunter2"},
        "waiting": {"reason": "CrashLoopBackOff", "message": "hunter2"},
    }
    crashed = pod("Running", "Ready=False", containerStatuses=[{"name": "web", "state": output, "lastState": output}])
    assert "hunter2" not in health(crashed).message


def test_a_message_stays_one_short_line_whatever_a_controller_wrote() -> None:
    stack = "Ready=False Panic goroutine\n\n\x1b[31m1\ud800 " + "frame " * 100
    message = health(obj(ISSUER, {}, said(stack))).message
    assert message.startswith("condition Ready=False: Panic: goroutine [31m1 frame")
    assert len(message) == 300
    assert message.isprintable()
    assert health(pod("\n")).message == "in-progress"


@pytest.mark.parametrize("number", [10**5000, float("inf"), float("nan"), "9" * 5000, "²", True, {}], ids=range(7))
def test_a_number_that_is_none_counts_as_absent(number: Any) -> None:
    body = deployed(replicas=0, updated=0, available=0, spec={"replicas": number})
    assert health(body) == Health(IN_PROGRESS, "0/1 replicas created")
    rules = [ReadinessRule("Deployment", "spec.replicas", ("x",))]
    assert health(body, rules=rules) == Health(IN_PROGRESS, "spec.replicas is in-progress")


# What holds for every object.

KEYS = ("apiVersion", "kind", "metadata", "spec", "status", "conditions", "type", "reason", "replicas", "phase", "name")
FIELDS = (
    *KEYS,
    "observedGeneration",
    "generation",
    "updatedReplicas",
    "containerStatuses",
    "state",
    "waiting",
    "suspend",
)
KINDS = sorted({*BUILTIN_KINDS, *table.NEEDED, *(rule.kind for rule in table.READINESS), "example.org/Widget"})
WORDS = (
    "True",
    "False",
    "Unknown",
    "Ready",
    "Running",
    "Failed",
    "Bound",
    "Available",
    "Progressing",
    "apps/v1",
    "Pod",
)
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(max_size=4)
    | st.sampled_from([2**64, "9" * 5000, "²"])
)  # fmt: skip
anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5)
)
conditions = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(
                ["Ready", "Available", "Progressing", "Stalled", "Synced", "Complete", "PodScheduled"]
            )
        },
        optional={"status": st.sampled_from(WORDS) | leaves, "reason": leaves, "observedGeneration": st.integers(0, 3)},
    ),
    max_size=3,
)
numbers = st.integers(0, 3)
statuses = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(sorted({field for rows in table.COUNTS.values() for field, _ in rows}), numbers)
    | {"conditions": conditions | anything, "phase": leaves, "observedGeneration": numbers},
)


@st.composite
def objects(draw: st.DrawFn, kinds: tuple[str, ...] = tuple(KINDS)) -> dict[str, Any]:
    """Return an object of a known kind with a status that may be any."""
    group, _, kind = draw(st.sampled_from(kinds)).partition("/")
    body = obj(f"{group}/v1 {kind}" if group else f"v1 {kind}", status=draw(statuses | anything))
    return body | {
        "spec": draw(st.fixed_dictionaries({}, optional={"replicas": numbers, "paused": st.booleans()}) | anything)
    }


@settings(deadline=None, max_examples=300)
@given(anything | objects() | values(), st.sampled_from([EXPECTED, Expectation(endpoints=True, first_consumer=True)]))
def test_no_body_however_broken_ends_a_restore(body: Any, expect: Expectation) -> None:
    found = health(body, expect, [PHASE, ReadinessRule("*", "status{}.phase[]", ("Ready",))])
    assert isinstance(found, Health)
    assert found.message
    assert found.message.isprintable()


@settings(deadline=None)
@given(objects(), st.text(min_size=1) | st.just(DELETED))
def test_an_object_that_is_being_deleted_is_never_taken_for_ready(body: dict[str, Any], when: str) -> None:
    body["metadata"]["deletionTimestamp"] = when
    assert health(body).state is TERMINATING


@settings(deadline=None)
@given(objects(), st.integers(1, 6), st.integers(-1, 5))
def test_a_status_of_an_older_spec_is_never_taken_for_ready(body: dict[str, Any], now: int, seen: int) -> None:
    assume(seen < now)
    body["spec"] = {}  # nothing that is suspended or static
    body["metadata"]["generation"] = now
    body["status"] = mapping(body, "status") | {"observedGeneration": seen}
    assert health(body).state is IN_PROGRESS


@settings(deadline=None)
@given(st.lists(numbers, min_size=5, max_size=5), st.booleans(), st.booleans(), st.booleans())
def test_a_deployment_is_ready_when_all_its_pods_are_new_and_available(
    sizes: list[int], available: bool, done: bool, timed: bool
) -> None:
    wanted, replicas, updated, ready, serving = sizes
    status = counts(replicas=replicas, updatedReplicas=updated, readyReplicas=ready, availableReplicas=serving)
    reason = "NewReplicaSetAvailable" if done else "ReplicaSetUpdated"
    status |= said(f"Available={available}", f"Progressing=True {reason}")
    spec = {"replicas": wanted} | ({"progressDeadlineSeconds": 600} if timed else {})
    whole = replicas == wanted and min(updated, ready, serving) >= wanted
    settled = not wanted or (available and (done or not timed))
    found = health(obj("apps/v1 Deployment", spec, status, generation=1))
    assert found.state is (CURRENT if whole and settled else IN_PROGRESS)


@settings(deadline=None)
@given(objects(), st.randoms(use_true_random=False))
def test_the_verdict_is_the_same_whatever_the_order_of_keys(body: dict[str, Any], shuffler: Any) -> None:
    keys = list(body)
    shuffler.shuffle(keys)
    assert health({key: body[key] for key in keys}, EXPECTED) == health(body, EXPECTED)


def test_judging_leaves_the_object_as_it_is() -> None:
    for _, body, _, _ in ROWS:
        before = json.dumps(body)
        health(body, EXPECTED)
        assert json.dumps(body) == before
