"""Refuses what was not meant, before anything is done: no cluster, another cluster, no scope, too wide a scope."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec
from chaoslib.exceptions import ActivityFailed
from kubernetes import client, config

from dr.adapters.kube import Access
from dr.chaos.api import Api, uid_of
from dr.core.chaos import CONTEXT, LIMITS, LOCK, UNDO
from dr.core.errors import ApiError
from dr.core.gameday import BlastRadius
from dr.core.model import Body, Ref

PRODUCTION, APPROVED = "DR_PRODUCTION", "DR_APPROVED"
SYSTEM = ("kube-system", "kube-public", "kube-node-lease")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
Given = Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Bound:
    """A cluster that was named and is the one that was meant, and how far a fault in it may reach."""

    context: str
    api: Api
    uid: str
    limits: BlastRadius
    undo: Path


def refuse(cause: str, remedy: str) -> ActivityFailed:
    """Return the error of something that was not done, for people."""
    return ActivityFailed(f"refused, nothing was done: {cause}. {remedy}")


def context_of(configuration: Given = None, secrets: Given = None) -> str:
    """Return the context that was named, in the secrets, the configuration or the environment; refuses where none is.

    The kubeconfig's current context is whatever its owner looked at last, so it is never taken.
    """
    named = (secrets or {}).get(CONTEXT) or (configuration or {}).get(CONTEXT) or os.environ.get(CONTEXT)
    if not named:
        raise refuse("no context was named", f"Set {CONTEXT}; the kubeconfig's current context is never taken")
    return str(named)


def connect(context: str) -> tuple[Api, Access]:
    """Return a kubeconfig context's API server, and its access; raises ApiError for one that cannot be used."""
    settings = client.Configuration()
    settings.retries = 0
    try:
        load: Any = config.load_kube_config
        load(os.environ.get("KUBECONFIG") or None, context, settings, persist_config=False)
    except (config.ConfigException, OSError, ValueError, KeyError, TypeError) as error:
        raise ApiError(
            f'the context "{context}" cannot be used: {error}',
            reason="NoContext",
            heals=True,
            remedy="Check KUBECONFIG",
        ) from None
    return Api(client.ApiClient(settings)), Access(context, settings.host, settings.ssl_ca_cert or "")


def locked(context: str) -> tuple[Api, str]:
    """Return a context's API server and its cluster's UID; refuses unless DR_LOCK says that it is the one meant."""
    lock = os.environ.get(LOCK, "")
    if not lock:
        raise refuse(f"no lock says which cluster {context} must be", f"Set {LOCK} to what `dr lock {context}` prints")
    api, access = connect(context)
    uid = uid_of(api.call("GET", "/api/v1/namespaces/kube-system"))
    found = f"{uid}/{access.fingerprint()[:12]}"
    if not uid or lock not in (uid, found):
        raise refuse(f'the context "{context}" is {found}, not the cluster of the lock {lock}', "Check the kubeconfig")
    return api, uid


def bound(configuration: Given = None, secrets: Given = None) -> Bound:
    """Return the cluster that a fault is meant for; refuses unless it is named, locked, and free to be struck."""
    context = context_of(configuration, secrets)
    patterns = [p.strip() for p in os.environ.get(PRODUCTION, "").split(",") if p.strip()]
    listed = next((pattern for pattern in patterns if fnmatchcase(context, pattern)), None)
    if listed and not os.environ.get(APPROVED):
        raise refuse(
            f'the context "{context}" is production ({PRODUCTION} has {listed}) and nobody has approved',
            f"A gameday file names its approvals; by hand, set {APPROVED} to who approved",
        )
    allowed = _limits()
    api, uid = locked(context)
    return Bound(context, api, uid, allowed, undo_folder())


def undo_folder() -> Path:
    """Return where undo records are: DR_UNDO, else a folder for the cluster that the lock names.

    Not for the one that answers: a cluster that has lost its etcd has another UID than when its fault was recorded.
    """
    if folder := os.environ.get(UNDO):
        return Path(folder)
    uid = os.environ.get(LOCK, "").partition("/")[0]
    if not re.fullmatch(r"[0-9a-f-]+", uid):
        raise refuse("no lock says which cluster's faults are meant", f"Set {LOCK}, or {UNDO} to the folder of records")
    return state_folder() / "undo" / uid


def existing(found: Bound, ref: Ref) -> Body:
    """Return an object; refuses what is not there."""
    body = found.api.get(ref) if ref.name else None
    if body is None:
        raise refuse(f"{ref} is not there", "Check its name: a fault that strikes nothing proves nothing")
    return body


def state_folder() -> Path:
    """Return the folder of embedded clusters and undo records: DR_STATE_DIR, else the user's state folder."""
    if chosen := os.environ.get("DR_STATE_DIR"):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base).absolute() / "dr"


def _limits() -> BlastRadius:
    said = os.environ.get(LIMITS)
    try:
        return msgspec.json.decode(said, type=BlastRadius) if said else BlastRadius()
    except msgspec.MsgspecError as error:
        raise refuse(f"{LIMITS} is no blast radius: {error}", "Write it as the gameday file's `blast_radius`") from None


def namespace(name: object) -> str:
    """Return the name of a namespace that may be struck; refuses none, a pattern, and Kubernetes' own."""
    if not isinstance(name, str) or not name.strip():
        raise refuse("no namespace was named", "Name one: a fault never reaches into all of them")
    if not _NAME.fullmatch(name):
        raise refuse(f'"{name}" is no name of a namespace', "Patterns and lists are not taken: name one namespace")
    if name in SYSTEM:
        raise refuse(f"{name} belongs to Kubernetes itself", "Strike the workload's own namespace")
    return name


def selector(labels: object) -> str:
    """Return a label selector; refuses an empty one, which selects everything."""
    if not isinstance(labels, str) or not labels.strip().strip("*"):
        raise refuse("the label selector is empty, which selects everything", "Write one, such as app=shop")
    return labels.strip()


def allow(found: Bound, *, home: str = "", objects: int = 0, nodes: int = 0, cluster: bool = False) -> None:
    """Refuse what matches nothing and what reaches beyond the limits.

    `home` is the namespace, `objects` and `nodes` count what would be struck, `cluster` says that all of it would be.
    """
    limits = found.limits
    raised = f"Narrow the selection, or raise the limit ({LIMITS}, a gameday file's `blast_radius`)"
    rows = (
        (
            not (objects or nodes or cluster),
            "nothing matches",
            "Check namespace, name and selector: a fault that strikes nothing proves nothing",
        ),
        (home and not limits.namespaces, f"the blast radius lists no namespace, so not {home} either", raised),
        (
            home and home not in limits.namespaces,
            f"namespace {home} is not one of {', '.join(limits.namespaces)}",
            raised,
        ),
        (objects > limits.objects, f"{objects} objects would be struck, {limits.objects} are allowed", raised),
        (nodes > limits.nodes, f"{nodes} nodes would be lost, {limits.nodes} are allowed", raised),
        (cluster and not limits.cluster, "the whole cluster would be struck", raised),
    )
    for wrong, cause, remedy in rows:
        if wrong:
            raise refuse(cause, remedy)
