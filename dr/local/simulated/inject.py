"""What a CA injector does: the stand-ins' CA in everything that names a Service to be called over TLS."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator

from dr.core.body import get, items, mapping, text
from dr.core.model import Body, Ref
from dr.engine.ports import Change
from dr.local.simulated.watches import Watches, name_of

_HOOKS = "admissionregistration.k8s.io/v1"
_PATCH = {"Accept": "application/json", "Content-Type": "application/json-patch+json"}
_KINDS = {
    (_HOOKS, "ValidatingWebhookConfiguration"): "validatingwebhookconfigurations",
    (_HOOKS, "MutatingWebhookConfiguration"): "mutatingwebhookconfigurations",
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"): "customresourcedefinitions",
    ("apiregistration.k8s.io/v1", "APIService"): "apiservices",
}


class Injector:
    """Fills an empty `caBundle`; to one that git holds it adds the CA, so that both are trusted."""

    def __init__(self, watches: Watches, pem: str) -> None:
        self._watches = watches
        self._pem = pem
        for api_version, kind in _KINDS:
            watches.follow(api_version, kind, self._seen)

    def _seen(self, change: Change) -> None:
        body = change.body
        lacking = [(path, bundle) for path, bundle in _bundles(body) if self._pem not in bundle]
        if change.gone or not lacking:
            return
        kind = (text(body, "apiVersion"), text(body, "kind"))
        ref = Ref(*kind, *name_of(body))
        operations: list[Body] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": text(body, "metadata", "resourceVersion")},
            *(
                {"op": "add", "path": f"{path}/caBundle", "value": b64encode((bundle + self._pem).encode()).decode()}
                for path, bundle in lacking
            ),
        ]
        path = f"/apis/{kind[0]}/{_KINDS[kind]}/{ref.name}"
        self._watches.do(f"CA of {ref}", lambda: self._watches.kube.call("PATCH", path, operations, _PATCH))


def _bundles(body: Body) -> Iterator[tuple[str, str]]:
    """Yield the JSON pointer of each client configuration that names a Service, and its CA bundle as text."""
    for index, hook in enumerate(items(body, "webhooks")):
        if mapping(hook, "clientConfig", "service"):
            yield f"/webhooks/{index}/clientConfig", _text(mapping(hook, "clientConfig"))
    conversion = mapping(body, "spec", "conversion", "webhook", "clientConfig")
    if mapping(conversion, "service"):
        yield "/spec/conversion/webhook/clientConfig", _text(conversion)
    # The API server refuses a CA beside insecureSkipTLSVerify: with ours in it, git's could not be applied again.
    if mapping(body, "spec", "service") and not get(body, "spec", "insecureSkipTLSVerify"):
        yield "/spec", _text(mapping(body, "spec"))


def _text(config: Body) -> str:
    try:
        found = b64decode(text(config, "caBundle")).decode()
    except ValueError:
        return ""
    return found if not found or found.endswith("\n") else f"{found}\n"
