"""Questions about a cluster that no empty answer satisfies; with `timeout`, asked until the answer is yes.

What is not there, counts nothing or cannot be reached is False. No probe changes anything.
"""

import logging
from collections.abc import Callable
from typing import Any

from dr.chaos import guard
from dr.chaos.api import Api, uid_of
from dr.chaos.guard import Given, connect, context_of, refuse
from dr.chaos.pods import APPS, WORKLOADS, endpoints, ready_nodes, ready_pods
from dr.chaos.strike import activity, holds
from dr.core.body import mapping, text
from dr.core.errors import ApiError
from dr.core.model import Body, Ref
from dr.core.pods import ready, serving

__all__ = [
    "admission_works",
    "api_ready",
    "custom_resources",
    "namespace_restored",
    "nodes_ready",
    "object_exists",
    "service_has_endpoints",
    "workload_ready",
]
_LOG = logging.getLogger("chaostoolkit")
_reached: set[str] = set()


def _asked(question: Callable[[Api], bool], timeout: float, what: str, given: Given, secrets: Given) -> bool:
    """Ask until the answer is yes or `timeout` seconds are over."""
    context = context_of(given, secrets)
    apis: list[Api] = []

    def ask() -> bool:
        if not apis:
            try:
                apis.append(connect(context)[0])
            except ApiError as error:
                # Of a cluster that was removed the kubeconfig may be gone; one that never worked is a mistake.
                if context in _reached:
                    raise
                raise refuse(error.cause, error.remedy) from None
            _reached.add(context)
        return question(apis[0])

    passed = holds(ask, float(timeout))
    if not passed:
        _LOG.warning("not so after %g s: %s", float(timeout), what)
    return passed


@activity
def workload_ready(
    kind: str,
    namespace: str,
    name: str,
    timeout: float = 0.0,
    configuration: Given = None,
    secrets: Given = None,
) -> bool:
    """Return whether as many pods of a workload serve as it should have, counted pod by pod.

    A pod that is ending, or whose node is gone or not Ready, does not count. A workload that wants none is not ready.
    """
    home = _home(namespace)
    if kind not in WORKLOADS:
        raise refuse(f'"{kind}" is no kind of workload', f"Name one of {', '.join(WORKLOADS)}")
    ref = Ref(APPS, kind, home, name)

    def question(api: Api) -> bool:
        serve, should = ready_pods(api, ref)
        return 0 < should <= serve

    return _asked(question, timeout, f"{ref} has all its pods ready", configuration, secrets)


@activity
def service_has_endpoints(
    namespace: str,
    name: str,
    at_least: int = 1,
    timeout: float = 0.0,
    configuration: Given = None,
    secrets: Given = None,
) -> bool:
    """Return whether a Service has so many endpoints that are ready, with pods behind them that serve."""
    home, least = _home(namespace), _least(at_least)

    def question(api: Api) -> bool:
        nodes = ready_nodes(api)
        serve = {uid_of(pod) for pod in api.list("v1", "Pod", home) if serving(pod, nodes)}
        return sum(uid in serve for uid in endpoints(api, home, name)) >= least

    return _asked(question, timeout, f"Service {home}/{name} has {least} ready endpoints", configuration, secrets)


@activity
def object_exists(
    kind: str,
    api_version: str,
    name: str = "",
    namespace: str = "",
    selector: str = "",
    timeout: float = 0.0,
    configuration: Given = None,
    secrets: Given = None,
) -> bool:
    """Return whether an object is there, by name or label selector, and is not about to go."""
    if bool(name) == bool(selector):
        raise refuse("the object is not named in exactly one way", "Give a name or a selector")

    def question(api: Api) -> bool:
        if name:
            one = api.get(Ref(api_version, kind, namespace, name))
            return one is not None and _stays(one)
        return any(_stays(body) for body in api.list(api_version, kind, namespace, guard.selector(selector)))

    return _asked(question, timeout, f"{kind} {name or selector} is there", configuration, secrets)


@activity
def custom_resources(
    kind: str,
    api_version: str,
    at_least: int = 1,
    namespace: str = "",
    timeout: float = 0.0,
    configuration: Given = None,
    secrets: Given = None,
) -> bool:
    """Return whether there are so many custom resources of a kind; where the kind is not served there are none."""
    least = _least(at_least)
    return _asked(
        lambda api: sum(_stays(body) for body in api.list(api_version, kind, namespace)) >= least,
        timeout,
        f"there are {least} of {kind}",
        configuration,
        secrets,
    )


@activity
def nodes_ready(
    at_least: int = 1,
    selector: str = "",
    timeout: float = 0.0,
    configuration: Given = None,
    secrets: Given = None,
) -> bool:
    """Return whether so many nodes are Ready, of all or of those that a label selector selects."""
    least = _least(at_least)
    return _asked(
        lambda api: sum(ready(node) for node in api.list("v1", "Node", labels=selector)) >= least,
        timeout,
        f"{least} nodes are Ready",
        configuration,
        secrets,
    )


@activity
def api_ready(timeout: float = 0.0, configuration: Given = None, secrets: Given = None) -> bool:
    """Return whether the API server says that it is ready and answers a question about its data."""

    def question(api: Api) -> bool:
        api.call("GET", "/readyz")
        return api.get(Ref("v1", "Namespace", "", "kube-system")) is not None

    return _asked(question, timeout, "the API server is ready", configuration, secrets)


@activity
def admission_works(namespace: str, timeout: float = 0.0, configuration: Given = None, secrets: Given = None) -> bool:
    """Return whether a pod can be created in a namespace, by a dry run that passes all admission and stores nothing.

    A webhook that answers with no works; one that does not answer, and fails closed, does not.
    """
    home = _home(namespace)

    def question(api: Api) -> bool:
        try:
            api.create(_pod(home), dry_run=True)
        except ApiError as error:
            if "cannot create resource" in error.cause:
                raise  # who asks may not: that says nothing of webhooks
            return "denied the request" in error.cause
        return True

    return _asked(question, timeout, f"pods can be created in {home}", configuration, secrets)


@activity
def namespace_restored(
    namespace: str,
    workloads: int = 1,
    timeout: float = 0.0,
    configuration: Given = None,
    secrets: Given = None,
) -> bool:
    """Return whether a namespace is there with so many Deployments, StatefulSets and DaemonSets, all of them ready.

    A workload that wants no pods is not ready.
    """
    home, least = _home(namespace), _least(workloads)

    def question(api: Api) -> bool:
        found = api.get(Ref("v1", "Namespace", "", home))
        if found is None or text(found, "status", "phase") != "Active":
            return False
        kinds = [kind for kind in WORKLOADS if kind != "ReplicaSet"]
        refs = [
            Ref(APPS, kind, home, text(body, "metadata", "name"))
            for kind in kinds
            for body in api.list(APPS, kind, home)
        ]
        counts = (ready_pods(api, ref) for ref in refs)
        return len(refs) >= least and all(0 < should <= serve for serve, should in counts)

    return _asked(question, timeout, f"{least} workloads of {home} are ready", configuration, secrets)


def _home(namespace: str) -> str:
    """Return a namespace that may be asked about: any one, by its name."""
    return namespace if namespace in guard.SYSTEM else guard.namespace(namespace)


def _least(number: Any) -> int:
    if not str(number).isdecimal() or int(number) < 1:
        raise refuse(f"{number} is asked for at least", "Ask for 1 or more: none at all is always there")
    return int(number)


def _stays(body: Body) -> bool:
    return "deletionTimestamp" not in mapping(body, "metadata")


def _pod(home: str) -> Body:
    """Return a pod that every quota and Pod Security level has room for."""
    container = {
        "name": "probe",
        "image": "registry.invalid/probe",
        "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"cpu": "1m", "memory": "1Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "dr-admission-", "namespace": home},
        "spec": {
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
        },
    }
