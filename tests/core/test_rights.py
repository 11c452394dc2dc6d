"""Which rights a scenario needs: those of each shipped experiment are known, or it is said why no pod can hold it."""

from __future__ import annotations

import pytest

from dr.app import experiments
from dr.core.gameday import Fault, Gameday, KubernetesProbe, Probe, Recovery, SteadyState, TargetSpec
from dr.core.rights import merged, rights, roles
from dr.core.rules.rights import Right

NO_POD = {
    "api-server-down": "cannot reach the programs of its control plane",
    "cluster-removed": "would be gone with the cluster",
    "etcd-lost": "cannot reach the programs of its control plane",
    "namespace-deletion": "its Roles would go with the namespace",
}


def needed(name: str, *probes: Probe, by: str = "observe") -> tuple[Right, ...]:
    found = experiments.load(name, {})
    gameday = Gameday(
        "t", TargetSpec("in-cluster", "uid"), Fault(name), SteadyState(probes=probes), recovery=Recovery(by=by)
    )
    return rights(gameday, found.body, found.settings)


@pytest.mark.parametrize("name", sorted(path.stem for path in experiments.folder().glob("*.yaml")))
def test_of_each_experiment_the_rights_are_known_or_why_no_pod_can_hold_it(name: str) -> None:
    if name in NO_POD:
        with pytest.raises(ValueError, match=NO_POD[name]):
            needed(name)
    else:
        found = needed(name)
        assert all("{" not in str(right) and right.resource and right.verbs for right in found)
        assert not any("*" in (right.resource, *right.verbs, right.group) for right in found)


def test_who_rebuilds_a_platform_is_refused_with_its_reason() -> None:
    with pytest.raises(ValueError, match="needs rights over all of it"):
        needed("configmap-lost", by="restore")


def test_what_no_row_tells_of_is_refused_and_not_guessed() -> None:
    unheard = {"provider": {"type": "python", "module": "their.chaos", "func": "unplug"}}
    gameday = Gameday("t", TargetSpec("in-cluster", "uid"), Fault("x"), SteadyState())
    with pytest.raises(ValueError, match=r"their\.chaos\.unplug: no row tells its rights"):
        rights(gameday, {"method": [unheard]}, {})


def test_each_of_several_nodes_is_named_and_of_a_zone_none_can_be() -> None:
    found = experiments.load("node-loss", {"nodes": "a, b"})
    gameday = Gameday("t", TargetSpec("in-cluster", "uid"), Fault("node-loss"), SteadyState())
    named = {right.name for right in rights(gameday, found.body, found.settings) if "delete" in right.verbs}
    assert named == {"dr-gameday", "a", "b"}
    assert Right("", "", "nodes", ("create", "delete", "get", "list")) in needed("zone-loss")


def test_what_holds_everywhere_is_not_said_again_of_a_namespace_or_an_object() -> None:
    wide = Right("", "", "pods", ("list",))
    found = merged([wide, Right("shop", "", "pods", ("list", "delete")), Right("shop", "", "pods", ("list",), "one")])
    assert found == (wide, Right("shop", "", "pods", ("delete",)))


def test_what_is_in_no_namespace_gets_a_cluster_role_of_its_own_name() -> None:
    probe = Probe("node", kubernetes=KubernetesProbe(ready="Node/node-1"))
    found = list(roles(needed("pod-kill", probe), "dr-kill", "dr-kill", "gamedays"))
    (role,) = [body for body in found if body["kind"] == "ClusterRole"]
    assert role["metadata"] == {"name": "gamedays:dr-kill"}
    assert role["rules"] == [{"apiGroups": [""], "resources": ["nodes"], "resourceNames": ["node-1"], "verbs": ["get"]}]
    (bound,) = [body for body in found if body["kind"] == "ClusterRoleBinding"]
    assert bound["roleRef"]["name"] == "gamedays:dr-kill"
    assert bound["subjects"] == [{"kind": "ServiceAccount", "name": "dr-kill", "namespace": "gamedays"}]
