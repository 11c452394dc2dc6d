"""What forbids an exercise, whoever asks for it: each refusal with its reason and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from dr.core.chaos import variables
from dr.core.events import Checked
from dr.core.gameday import Approval, BlastRadius, Gameday
from dr.core.model import Level

_SYSTEM = frozenset({"kube-system", "kube-public", "kube-node-lease"})
_CLUSTER = frozenset({"remove_cluster", "lose_etcd", "stop_program"})


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
    struck = set(variables(experiment.get("method") or ()))
    for key, value in sorted((key, value) for key, value in settings.items() if key in struck):
        said = str(value)
        if key == "namespace" or key.endswith("_namespace"):
            remedy = "name the namespace, in `with` and under blast_radius.namespaces"
            if not said:
                yield "scope", name, f"`{key}` is empty: a fault without a scope would strike everything", remedy
            elif "*" in said:
                yield "scope", name, f"`{key}` is the pattern {said}: a fault names each namespace", remedy
            elif said in _SYSTEM:
                yield "scope", name, f"{said} is the cluster's own namespace", "strike a namespace of the platform"
            elif said not in limits.namespaces:
                yield "scope", name, f"{said} is outside blast_radius.namespaces", remedy
        elif (key == "selector" or key.endswith("_selector")) and not said.strip():
            yield "scope", name, f"`{key}` is empty: it would select everything", "give labels that select the target"
    wide = sorted(_CLUSTER & set(_functions(experiment)))
    if wide and not limits.cluster:
        cause = f"it strikes the whole cluster ({', '.join(wide)}), and blast_radius.cluster is not true"
        yield "scope", name, cause, "say so in the file: blast_radius: {cluster: true}"


def _functions(experiment: Mapping[str, Any]) -> Iterator[str]:
    for activity in experiment.get("method") or ():
        if isinstance(activity, Mapping) and isinstance(activity.get("provider"), Mapping):
            yield str(activity["provider"].get("func", ""))


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
