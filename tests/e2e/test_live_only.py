"""What lives on a cluster and is not in git: forty planted objects, of which the truth is known."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace

from dr.adapters.kube import Kube, Survey
from dr.core.adopting import adopted
from dr.core.census import Census
from dr.core.hidden import Hidden, hidden
from dr.core.model import Body, Ref, Resource, Where
from dr.core.moving import releases
from dr.core.twins import plain
from dr.engine.moving import census
from dr.local.cluster import Cluster
from tests.chaos.shop import KUBECTL, deployment, named, service
from tests.embedded import running

HOME = "shop"
HELM = {"meta.helm.sh/release-name": "cache", "meta.helm.sh/release-namespace": HOME}
FLUX = {"meta.helm.sh/release-name": "front", "meta.helm.sh/release-namespace": HOME}
POD = {"containers": [{"name": "c", "image": "registry.example/c"}], "restartPolicy": "Never"}


def kubectl(made: Cluster, *arguments: str, stdin: str = "") -> str:
    argv = [KUBECTL, "--kubeconfig", str(made.folder / "kubeconfig"), *arguments]
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def applied(made: Cluster, bodies: list[Body], manager: str) -> None:
    """Put objects there as a program of this name does."""
    kubectl(
        made, "apply", "--server-side", "--force-conflicts", f"--field-manager={manager}", "-f", "-",
        stdin=yaml.safe_dump_all(bodies),
    )  # fmt: skip


def in_git() -> list[Body]:
    """Return what the commit has: a front, and an operator that makes things without owning them."""
    claims = named("StatefulSet", "store", HOME, "apps/v1")
    claims["spec"] = {
        "serviceName": "store",
        "selector": {"matchLabels": {"app": "store"}},
        "template": {"metadata": {"labels": {"app": "store"}}, "spec": {**POD, "restartPolicy": "Always"}},
        "volumeClaimTemplates": [
            {
                "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            }
        ],
    }
    return [
        named("Namespace", HOME),
        deployment(HOME, "web"),
        service(HOME, "web"),
        deployment(HOME, "shop-operator", 1),
        claims,
    ]


def by_hand() -> list[Body]:
    """Return what people make in a hurry, of twelve kinds."""
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    job = {"template": {"spec": POD}}
    return [
        named("ConfigMap", "hotfix", HOME, data={"a": "b"}),
        named("ConfigMap", "coredns-custom", "kube-system", data={"a": "b"}),
        named("Secret", "token", HOME, stringData={"password": "hunter2-and-more"}),
        named("Secret", "registry", HOME, stringData={"a": "b"}),
        named("Namespace", "scratch"),
        deployment("scratch", "debug", 1),
        deployment(HOME, "tmp-proxy", 1),
        service(HOME, "tmp-proxy"),
        named("CronJob", "nightly", HOME, "batch/v1", spec={"schedule": "0 3 * * *", "jobTemplate": {"spec": job}}),
        named("Role", "reader", HOME, "rbac.authorization.k8s.io/v1", rules=rules),
        named("ClusterRole", "snooper", "", "rbac.authorization.k8s.io/v1", rules=rules),
        named(
            "RoleBinding", "reader", HOME, "rbac.authorization.k8s.io/v1",
            roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
            subjects=[{"kind": "ServiceAccount", "name": "ci", "namespace": HOME}],
        ),
        named("ServiceAccount", "ci", HOME),
        named("NetworkPolicy", "let-in", HOME, "networking.k8s.io/v1", spec={"podSelector": {}}),
        named("PodDisruptionBudget", "web", HOME, "policy/v1", spec={"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}),
        named(
            "PersistentVolumeClaim", "scratch-disk-1", HOME,
            spec={"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        ),
    ]  # fmt: skip


def of_helm(annotations: dict[str, str], name: str) -> list[Body]:
    """Return what a release holds."""
    bodies = [
        named("ConfigMap", name, HOME, data={"a": "b"}),
        deployment(HOME, name, 1),
        service(HOME, name),
        named("ServiceAccount", name, HOME),
    ]
    for body in bodies:
        body["metadata"]["annotations"] = annotations
        body["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "Helm"}
    return bodies


def of_operator() -> list[Body]:
    """Return what an operator makes without owning it."""
    return [
        *(named("ConfigMap", f"shard-{i}", HOME, data={"shard": str(i)}) for i in range(3)),
        named("Secret", "shard-key", HOME, stringData={"a": "b"}),
        service(HOME, "shards"),
    ]


def owned(made: Cluster) -> list[Body]:
    """Return what belongs to another object, by whoever it was made."""
    uid = kubectl(made, "-n", HOME, "get", "deployment", "web", "-o", "jsonpath={.metadata.uid}")
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": uid, "controller": False}
    bodies = [
        *(named("ConfigMap", f"derived-{i}", HOME, data={"i": str(i)}) for i in range(4)),
        named("Secret", "derived", HOME, stringData={"a": "b"}),
        service(HOME, "derived"),
        named("Job", "derived", HOME, "batch/v1", spec={"template": {"spec": POD}}),
    ]
    for body in bodies:
        body["metadata"]["ownerReferences"] = [owner]
    return bodies


def unknown() -> list[Body]:
    """Return what a program makes that nobody has heard of."""
    return [named("ConfigMap", f"mystery-{i}", HOME, data={"i": str(i)}) for i in range(4)]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Census]]:
    with running(tmp_path_factory.mktemp("state"), "old", nodes=1) as made:
        applied(made, in_git(), "kustomize-controller")
        kubectl(made, "-n", HOME, "rollout", "status", "deployment/web", "--timeout=60s")
        kubectl(made, "-n", HOME, "wait", "--for=create", "pvc/data-store-0", "--timeout=30s")
        first, *rest = by_hand()
        kubectl(made, "create", "-f", "-", stdin=yaml.safe_dump(first))
        kubectl(made, "apply", "-f", "-", stdin=yaml.safe_dump_all(rest))
        applied(made, of_helm(HELM, "cache"), "helm")
        applied(made, of_helm(FLUX, "front"), "helm-controller")
        applied(made, of_operator(), "shop-operator")
        applied(made, owned(made), "shop-operator")
        applied(made, unknown(), "gizmo")

        async def read() -> Census:
            async with Kube(made.access) as cluster:
                return await census(Survey(cluster))

        yield made, asyncio.run(read())


def found(known: Census) -> tuple[Hidden, ...]:
    release = Ref("helm.toolkit.fluxcd.io/v2", "HelmRelease", HOME, "front")
    front = Resource(release, Where("front.yaml"), {"spec": {}})
    git = [ref(body) for body in in_git()]
    return hidden(known.live, git, (), releases([front]))


def ref(body: Body) -> Ref:
    metadata = body["metadata"]
    return Ref(body["apiVersion"], body["kind"], metadata.get("namespace", ""), metadata["name"])


def test_what_somebody_made_is_found_and_nothing_of_what_controllers_make(planted: tuple[Cluster, Census]) -> None:
    truth = {(r.kind, r.namespace, r.name) for r in map(ref, [*by_hand(), *of_helm(HELM, "cache"), *unknown()])}
    told = {(one.ref.kind, one.ref.namespace, one.ref.name): one for one in found(planted[1]) if one.lost}
    planted_in_all = 7 + len(truth) + len(of_helm(FLUX, "front")) + len(of_operator())
    assert planted_in_all == 40
    assert len({kind for kind, _, _ in truth}) >= 12
    assert told.keys() - truth == set(), "precision: what is made again is no hidden state"
    assert truth - told.keys() == set(), "recall: what is missed is missing on the new cluster"


def test_each_finding_says_who_is_behind_it(planted: tuple[Cluster, Census]) -> None:
    told = {one.ref.name: one for one in found(planted[1])}
    assert (told["hotfix"].by, told["hotfix"].who) == ("hand", "kubectl-create")
    assert (told["nightly"].by, told["nightly"].who) == ("hand", "kubectl-client-side-apply")
    assert (told["cache"].by, told["cache"].who) == ("helm", "cache")
    assert (told["mystery-1"].by, told["mystery-1"].who) == ("unknown", "gizmo")
    assert (told["shard-1"].by, told["shard-1"].lost) == ("controller", False)
    assert told["hotfix"].created.startswith("20")
    assert told["hotfix"].written.startswith("20")
    assert not any(name.startswith(("derived", "data-store", "front", "web-")) for name in told)


def test_what_is_adopted_is_what_somebody_meant_and_changes_nothing(planted: tuple[Cluster, Census]) -> None:
    made, known = planted
    for one in found(known):
        if one.by not in ("hand", "helm", "unknown") or one.ref.kind == "Secret":
            continue
        space = ["-n", one.ref.namespace] if one.ref.namespace else []
        resource_name = f"{one.ref.kind.lower()}/{one.ref.name}"
        live = json.loads(kubectl(made, *space, "get", resource_name, "-o", "json", "--show-managed-fields"))
        body = adopted(live)
        text = json.dumps(body)
        for noise in ("managedFields", "resourceVersion", '"uid"', "creationTimestamp", '"status"', "last-applied", "terminationMessagePath", "clusterIP"):  # fmt: skip
            assert noise not in text, f"{one.ref} still has {noise}"
        # As a new object, so that nothing of the old one can help.
        body["metadata"]["name"] = f"{one.ref.name}-anew"
        again = kubectl(made, "create", "--dry-run=server", "-o", "json", "-f", "-", stdin=yaml.safe_dump(body))
        told = json.loads(again.replace(f"{one.ref.name}-anew", one.ref.name))
        assert json.loads(plain(told)) == json.loads(plain(live)), f"{one.ref} is another when it is made anew"


def test_a_secret_is_adopted_without_its_values(planted: tuple[Cluster, Census]) -> None:
    live = json.loads(kubectl(planted[0], "-n", HOME, "get", "secret", "token", "-o", "json"))
    text = json.dumps(adopted(live))
    assert "aHVudGVyMi1hbmQtbW9yZQ" not in text
    assert "hunter2" not in text


def test_a_kind_that_may_not_be_listed_is_said_and_not_left_out(
    planted: tuple[Cluster, Census], tmp_path: Path
) -> None:
    made, _ = planted
    rules = [
        {"apiGroups": [""], "resources": ["configmaps", "namespaces", "nodes"], "verbs": ["list", "get"]},
        {"nonResourceURLs": ["*"], "verbs": ["get"]},
    ]
    applied(
        made,
        [
            named("ServiceAccount", "half", "kube-public"),
            named("ClusterRole", "half", "", "rbac.authorization.k8s.io/v1", rules=rules),
            named(
                "ClusterRoleBinding", "half", "", "rbac.authorization.k8s.io/v1",
                roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "half"},
                subjects=[{"kind": "ServiceAccount", "name": "half", "namespace": "kube-public"}],
            ),
        ],
        "kustomize-controller",
    )  # fmt: skip
    token = kubectl(made, "-n", "kube-public", "create", "token", "half").strip()

    async def read() -> Census:
        access = replace(made.access, certificate="", key="", token=token)
        async with Kube(access) as cluster:
            return await census(Survey(cluster))

    known = asyncio.run(read())
    refused = {kind for kind, _ in known.refused}
    assert {"secrets", "deployments.apps", "services"} <= refused
    assert "configmaps" not in refused
    assert any(one.ref.kind == "ConfigMap" for one in known.live)
