"""What forbids an exercise, whoever asks for it: each refusal with its reason and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from dr.core.body import mapping
from dr.core.chaos import filled, variables
from dr.core.events import Checked
from dr.core.gameday import Approval, BlastRadius, Gameday
from dr.core.model import Level

_SYSTEM = frozenset({"kube-system", "kube-public", "kube-node-lease"})
_CLUSTER = frozenset({"remove_cluster", "lose_etcd", "stop_program"})
_NAMESPACE = re.compile(r"(.+_)?(namespaces?|ns)|namespaces_selectors")
_SELECTOR = re.compile(r"(.+_)?(?<!namespaces_)selectors?")
# Of chaosk8s: what has no `ns`, and what takes all there is where neither a name nor labels are given.
_NO_NAMESPACE = ("chaosk8s.node.", "chaosk8s.namespace.")
_SELECTING = frozenset(
    {
        *("terminate_pods", "exec_in_pods", "delete_pods", "delete_deployment", "delete_daemon_set"),
        *("delete_replica_set", "remove_statefulset", "delete_nodes", "drain_nodes", "cordon_node"),
    }
)


def refusals(
    gameday: Gameday, experiment: Mapping[str, Any], settings: Mapping[str, Any], production: Sequence[str], now: str
) -> tuple[Checked, ...]:
    """Return what forbids a gameday, all of it.

    `settings`: the experiment's configuration as it will be. `production`: patterns of contexts that are in use. `now`:
    wall time, ISO 8601.
    """
    found = [*_scope(gameday.blast_radius, experiment, settings), *_allowed(gameday, production, now)]
    return tuple(Checked(0.0, check, Level.ERROR, subject, cause, remedy) for check, subject, cause, remedy in found)


Row = tuple[str, str, str, str]


def _scope(limits: BlastRadius, experiment: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[Row]:
    name = str(experiment.get("title", "the experiment"))
    # What only the probes look at is not struck.
    used = set(variables(experiment.get("method") or ()))
    set_here = ((key, value) for key, value in settings.items() if key in used)
    said = {
        (key, str(part).strip()) for key, value in (*set_here, *_given(experiment, settings)) for part in _parts(value)
    }
    for key, value in sorted(said):
        if _NAMESPACE.fullmatch(key):
            remedy = "name the namespace, in `with` and under blast_radius.namespaces"
            if not value:
                yield "scope", name, f"`{key}` is empty: a fault without a scope would strike everything", remedy
            elif "*" in value:
                yield "scope", name, f"`{key}` is the pattern {value}: a fault names each namespace", remedy
            elif value in _SYSTEM:
                yield "scope", name, f"{value} is the cluster's own namespace", "strike a namespace of the platform"
            elif value not in limits.namespaces:
                yield "scope", name, f"{value} is outside blast_radius.namespaces", remedy
        elif _SELECTOR.fullmatch(key) and not value.strip("* "):
            yield "scope", name, f"`{key}` is empty: it would select everything", "give labels that select the target"
    wide = sorted(_CLUSTER & {str(provider.get("func", "")) for provider in _actions(experiment)})
    if wide and not limits.cluster:
        cause = f"it strikes the whole cluster ({', '.join(wide)}), and blast_radius.cluster is not true"
        yield "scope", name, cause, "say so in the file: blast_radius: {cluster: true}"


def _given(experiment: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what the actions of the method are given, and what those of chaosk8s take where they are given nothing."""
    for provider in _actions(experiment):
        module, function = str(provider.get("module", "")), str(provider.get("func", ""))
        given = filled(mapping(provider, "arguments"), settings)
        yield from _entries(given)
        if not module.startswith("chaosk8s."):
            continue
        if function == "delete_namespace":
            yield "namespace", given.get("name")
        elif "ns" not in given and not module.startswith(_NO_NAMESPACE) and "_cluster_" not in function:
            yield "ns", "default"
        if function in _SELECTING and not any(given.get(key) for key in ("name", "name_pattern", "label_selector")):
            yield "label_selector", ""


def _actions(experiment: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for activity in experiment.get("method") or ():
        if isinstance(activity, Mapping) and activity.get("type") != "probe":
            yield mapping(activity, "provider")


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield each entry of a mapping and of those below it."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield str(key), entry
            yield from _entries(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _entries(entry)


def _parts(value: Any) -> tuple[Any, ...]:
    """Return the members of a list, "" for nothing at all."""
    return tuple(value) if isinstance(value, list) and value else (value or "",)


def _allowed(gameday: Gameday, production: Sequence[str], now: str) -> Iterator[Row]:
    context = gameday.target.context
    valid = []
    for approval in gameday.approvals:
        if cause := _expired(approval, now):
            yield "approval", approval.by, cause, "have it approved again, with a new `until`"
        else:
            valid.append(approval)
    listed = next((pattern for pattern in production if context and fnmatchcase(context, pattern)), "")
    if listed and not gameday.target.production:
        cause = f"{context} is listed as production ({listed})"
        yield "production", context, cause, "exercise another cluster, or say target.production: true with an approval"
    elif (listed or gameday.target.production) and not valid:
        cause = "an exercise on production needs an approval that has not expired"
        yield "production", context, cause, "add one under `approvals`"


def _expired(approval: Approval, now: str) -> str:
    try:
        until = datetime.fromisoformat(approval.until)
    except ValueError:
        return f"`until` is no time: {approval.until}"
    if until.tzinfo is None:
        return f"`until` has no offset from UTC: {approval.until}"
    return f"expired at {approval.until}" if until <= datetime.fromisoformat(now) else ""
