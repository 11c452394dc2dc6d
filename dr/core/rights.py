"""A gameday and its experiment → the rights of whoever runs it, as Roles. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from dr.core.body import plural
from dr.core.chaos import filled
from dr.core.gameday import Gameday, KubernetesProbe, Probe
from dr.core.model import Body
from dr.core.rules.rights import ACTIVITIES, ALWAYS, BY, DEFAULTS, OWN, REFUSED, Right

_RBAC = "rbac.authorization.k8s.io"
_APPS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"})


def rights(gameday: Gameday, experiment: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[Right, ...]:
    """Return the rights that a gameday needs in the cluster that it strikes.

    `settings` is the experiment's whole configuration. Raises ValueError, naming it, for what no row tells the rights
    of: rights that are guessed are too few or too many.
    """
    found, providers = [*ALWAYS], tuple(_providers(experiment))
    if refused := next((REFUSED[name] for name in map(_name, providers) if name in REFUSED), ""):
        raise ValueError(refused)
    for probe in gameday.steady_state.probes:
        found += _of_probe(probe)
    for provider in providers:
        found += _of_activity(filled(provider, settings))
    if gameday.recovery.by not in ("observe", "runbook"):
        raise ValueError(f"recovery by {gameday.recovery.by}: who rebuilds a platform needs rights over all of it")
    return merged(found)


def _providers(experiment: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    hypothesis = experiment.get("steady-state-hypothesis") or {}
    for activity in (*hypothesis.get("probes", ()), *experiment.get("method", ()), *experiment.get("rollbacks", ())):
        yield activity.get("provider") or {}


def _of_probe(probe: Probe) -> Iterator[Right]:
    asked = probe.kubernetes
    if probe.canary is not None:
        raise ValueError(f"probe {probe.name}: no row tells the rights of a data canary")
    if asked is None:
        return
    if asked.service:
        namespace, _ = asked.service.split("/")
        yield Right(namespace, "discovery.k8s.io", "endpointslices", ("list",))
        return
    yield _named(asked)
    if asked.workload:
        yield Right(asked.workload.split("/")[1], "", "pods", ("list",))


def _named(asked: KubernetesProbe) -> Right:
    kind, *home, name = (asked.workload or asked.ready or asked.exists).split("/")
    group = asked.api_version.rpartition("/")[0] if asked.api_version else _group(kind)
    return Right(home[0] if home else "", group, plural(kind), ("get",), name)


def _group(kind: str) -> str:
    return "apps" if kind in _APPS else ""


def _name(provider: Mapping[str, Any]) -> str:
    return f"{provider.get('module', '')}.{provider.get('func', '')}"


def _of_activity(provider: Mapping[str, Any]) -> Iterator[Right]:
    name = _name(provider)
    if provider.get("type") != "python" or name not in ACTIVITIES:
        raise ValueError(f"{name}: no row tells its rights")
    known = _words({key: str(value) for key, value in (provider.get("arguments") or {}).items()})
    for row in ACTIVITIES[name]:
        if isinstance(row, Right):
            yield from _of_row(row, known)
        elif known.get(row.argument) in row.values:
            for right in row.rights:
                yield from _of_row(right, known)


def _words(given: Mapping[str, str]) -> dict[str, str]:
    """Return an activity's arguments, and the other words that rows are made of."""
    kind, version = given.get("kind", ""), given.get("api_version", "")
    group = version.rpartition("/")[0] if version else _group(kind)
    resource, _, crd_group = given.get("name", "").partition(".")
    return {
        "names": "",
        **DEFAULTS,
        **given,
        "group": group,
        "resource": plural(kind),
        "crd_group": crd_group,
        "crd_resource": resource,
        BY: "name" if given.get("name") else "selector",
        OWN: "yes" if "." in group and not group.endswith(".k8s.io") else "no",
    }


def _of_row(row: Right, known: Mapping[str, str]) -> Iterator[Right]:
    """Yield a row's rights with the words filled in: one for each name, where there are several with commas."""
    words = {field: getattr(row, field).format_map(known) for field in ("namespace", "group", "resource", "name")}
    for name in words["name"].split(","):
        yield replace(row, **{**words, "name": name.strip()})


def merged(found: Iterable[Right]) -> tuple[Right, ...]:
    """Return rights in order, those on the same objects as one; what all objects allow is not said of one again."""
    verbs: dict[tuple[str, str, str, str], set[str]] = defaultdict(set)
    for right in found:
        verbs[right.namespace, right.group, right.resource, right.name] |= set(right.verbs)
    left = {key: own.difference(*(verbs.get(wide, ()) for wide in _wider(*key))) for key, own in sorted(verbs.items())}
    return tuple(
        Right(namespace, group, resource, tuple(sorted(own)), name)
        for (namespace, group, resource, name), own in left.items()
        if own
    )


def _wider(namespace: str, group: str, resource: str, name: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield the places whose rights hold for a place too."""
    if name:
        yield namespace, group, resource, ""
    if namespace:
        yield "", group, resource, name
    if namespace and name:
        yield "", group, resource, ""


def roles(found: Iterable[Right], name: str, account: str, home: str) -> Iterator[Body]:
    """Yield a Role and its RoleBinding for each namespace, for the service account of the namespace `home`.

    What is meant in all namespaces, or is in none, is a ClusterRole and its binding, which bear the name of `home` too.
    """
    spaces: dict[str, list[Right]] = defaultdict(list)
    for right in found:
        spaces[right.namespace].append(right)
    for namespace, own in spaces.items():
        kind = "Role" if namespace else "ClusterRole"
        metadata = {"name": name, "namespace": namespace} if namespace else {"name": f"{home}:{name}"}
        rules = [
            {
                "apiGroups": [right.group],
                "resources": [right.resource],
                **({"resourceNames": [right.name]} if right.name else {}),
                "verbs": list(right.verbs),
            }
            for right in own
        ]
        yield {"apiVersion": f"{_RBAC}/v1", "kind": kind, "metadata": metadata, "rules": rules}
        yield {
            "apiVersion": f"{_RBAC}/v1",
            "kind": f"{kind}Binding",
            "metadata": metadata,
            "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": metadata["name"]},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": home}],
        }
