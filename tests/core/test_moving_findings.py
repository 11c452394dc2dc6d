"""What a move would lose or trip over is said before it: keys, names, nodes, certificates, classes and quotas."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from dr.core.bound import called, unplaced
from dr.core.forklift import Side
from dr.core.model import Body
from tests.core.test_moving import MOVE, body, census, of_git, told

_MARK = "sealedsecrets.bitnami.com/sealed-secrets-key"


def key(name: str) -> Body:
    found = body("Secret", name, "kube-system")
    found["metadata"] |= {"labels": {_MARK: "active"}, "managedFields": [{"manager": "kubectl-create", "time": "1"}]}
    return found


def issuer(secret: str, kind: str = "Issuer", home: str = "shop") -> Body:
    return body(kind, "ours", home, "cert-manager.io/v1", spec={"ca": {"secretName": secret}})


def authority(secret: str, home: str = "shop") -> Body:
    return body("Certificate", "ca", home, "cert-manager.io/v1", spec={"isCA": True, "secretName": secret})


def test_a_sealing_key_that_the_new_cluster_made_for_itself_opens_nothing_of_the_old_one() -> None:
    found = told(census(key("key-old")), census(key("key-new")))
    assert any("keys error Secret kube-system/key-old" in row and "1 others" in row for row in found)
    assert not any(row.startswith("keys error") for row in told(census(key("key-old")), census(key("key-old"))))


def test_a_key_that_was_brought_first_does_not_make_the_new_cluster_full() -> None:
    assert "empty info to: is empty" in told(census(key("key-old")), census(key("key-old")))
    assert any(row.startswith("empty error") for row in told(census(), census(key("key-new"))))


@pytest.mark.parametrize(
    ("objects", "level"),
    [
        ((issuer("root"),), "error"),
        ((issuer("root", "ClusterIssuer", ""),), "error"),
        ((issuer("root"), authority("root")), "warning"),
        ((authority("root"),), "warning"),
        ((issuer("other"),), ""),
    ],
)
def test_a_signing_key_must_move_unless_it_is_made_again_and_then_nobody_trusts_it(
    objects: tuple[Body, ...], level: str
) -> None:
    secret = body("Secret", "root")
    git = [of_git(one) for one in objects]
    found = [row for row in told(census(secret), census(), *git) if row.startswith("keys")]
    assert [row.split()[1] for row in found] == ([level] if level else [])
    assert not any(row.startswith(("keys error", "keys warning")) for row in told(census(secret), census(secret), *git))
    left = replace(MOVE, left_behind=("Secret/shop/root",))
    rows = told(census(secret), census(), *git, move=left)
    assert not any(row.startswith(("keys error", "keys warning")) for row in rows)


@pytest.mark.parametrize(
    ("context", "name", "plain"),
    [
        ("arn:aws:eks:eu-west-1:123456789012:cluster/shop-prod", "shop-prod", True),
        ("gke_my-project_europe-west1-b_shop_prod-1", "shop_prod-1", True),
        ("admin@talos-prod", "talos-prod", True),
        ("local:old-cluster", "old-cluster", True),
        ("prod", "prod", False),
    ],
)
def test_a_cluster_is_known_by_its_own_name_and_not_by_all_of_its_context(context: str, name: str, plain: bool) -> None:
    assert called(context) == (name, plain)


def test_a_name_that_is_a_common_word_is_looked_for_when_the_file_gives_it_and_said_otherwise() -> None:
    git = of_git(body("ConfigMap", "cluster", data={"name": "prod", "production": "x"}))
    silent = told(census(), census(), git, move=replace(MOVE, source=Side("prod")))
    assert any("identity info from: is a word that means other things too" in row for row in silent)
    assert not any("identity warning" in row for row in silent)
    named = told(census(), census(), git, move=replace(MOVE, source=Side("prod", names=("prod",))))
    assert any("data.name holds prod, the name of the cluster" in row for row in named)
    eks = replace(MOVE, source=Side("arn:aws:eks:eu-west-1:1:cluster/shop-prod"))
    bound = of_git(body("ConfigMap", "cluster", data={"tag": "k8s/shop-prod"}))
    assert any("data.tag holds shop-prod" in row for row in told(census(), census(), bound, move=eks))


def test_a_dns_name_that_both_clusters_would_write_is_a_warning() -> None:
    front = of_git(body("Ingress", "front", version="networking.k8s.io/v1", spec={"rules": [{"host": "shop.example"}]}))
    assert any(row.startswith("identity info shop.example") for row in told(census(), census(), front))
    writer = of_git(body("Deployment", "external-dns", version="apps/v1", spec={}))
    found = told(census(), census(), front, writer)
    assert any("identity warning shop.example" in row and "external-dns of both clusters" in row for row in found)


def affine(*rows: dict[str, Any]) -> Body:
    terms = {"nodeSelectorTerms": [{"matchExpressions": list(rows)}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    pod = {"affinity": affinity, "containers": [{"name": "c"}]}
    return body("Deployment", "web", version="apps/v1", spec={"template": {"spec": pod}})


@pytest.mark.parametrize(
    ("row", "fits"),
    [
        ({"key": "zone", "operator": "In", "values": ["a", "b"]}, True),
        ({"key": "zone", "operator": "In", "values": ["c"]}, False),
        ({"key": "zone", "operator": "NotIn", "values": ["a"]}, False),
        ({"key": "gpu", "operator": "Exists"}, False),
        ({"key": "gpu", "operator": "DoesNotExist"}, True),
        ({"key": "cores", "operator": "Gt", "values": ["4"]}, True),
        ({"key": "cores", "operator": "Lt", "values": ["4"]}, False),
        ({"key": "zone", "operator": "Gt", "values": ["4"]}, False),
    ],
)
def test_a_required_affinity_that_no_node_meets_is_found(row: dict[str, Any], fits: bool) -> None:
    node = {"metadata": {"labels": {"zone": "a", "cores": "8"}}}
    found = list(unplaced([of_git(affine(row))], [node]))
    assert not found if fits else found[0][2].startswith(str(row["key"]))


def test_a_new_cluster_without_nodes_has_room_for_nothing() -> None:
    asks = {"nodeSelector": {"disk": "fast"}, "containers": [{"resources": {"requests": {"cpu": "1"}}}]}
    web = of_git(body("Deployment", "web", version="apps/v1", spec={"template": {"spec": asks}}))
    found = told(census(), census(), web)
    assert any("room error" in row and "its nodes have 0" in row for row in found)
    assert any("identity error" in row and "disk=fast" in row for row in found)


def test_a_webhook_whose_bundle_only_the_old_cluster_has_is_found() -> None:
    def hook(bundle: str = "", **annotations: str) -> Body:
        config = {"clientConfig": {"caBundle": bundle} if bundle else {}}
        found = body(
            "ValidatingWebhookConfiguration", "policy", "", "admissionregistration.k8s.io/v1", webhooks=[config]
        )
        found["metadata"]["annotations"] = annotations
        return found

    live = census(hook("Q0E="))
    assert any("has a CA bundle on `from` that is not in git" in row for row in told(live, census(), of_git(hook())))
    injected = of_git(hook(**{"cert-manager.io/inject-ca-from": "shop/ca"}))
    assert not any("CA bundle" in row for row in told(live, census(), injected))


def test_classes_of_the_claims_that_stateful_sets_make_are_looked_at() -> None:
    claim = {"metadata": {"name": "data"}, "spec": {"storageClassName": "fast"}}
    store = of_git(body("StatefulSet", "db", version="apps/v1", spec={"volumeClaimTemplates": [claim]}))
    assert any("wants StorageClass fast, which `to` lacks" in row for row in told(census(), census(), store))


def test_a_quota_of_the_new_cluster_that_is_too_small_is_said() -> None:
    asks = {"containers": [{"resources": {"requests": {"cpu": "1"}}}]}
    web = of_git(body("Deployment", "web", version="apps/v1", spec={"replicas": 3, "template": {"spec": asks}}))
    quota = body("ResourceQuota", "small", spec={"hard": {"requests.cpu": "2"}})
    found = told(census(), census(quota), web)
    assert any("room error ResourceQuota shop/small: of `to` allows 2 of cpu" in row for row in found)
    other = body("ResourceQuota", "small", "other", spec={"hard": {"requests.cpu": "2"}})
    assert not any(row.startswith("room error ResourceQuota") for row in told(census(), census(other), web))
