"""What ties a platform to the old cluster, each with what to do: addresses, names, nodes, certificates. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dr.core.body import get, items, mapping
from dr.core.bound import bound, called, tokens, unplaced
from dr.core.census import Census
from dr.core.forklift import Forklift
from dr.core.hostnames import hostnames
from dr.core.model import Body, Level, Resource
from dr.core.moving_row import Row

_HOOKS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
_INJECTED = "cert-manager.io/inject-"
_DNS = "external-dns"


def identity(old: Census, new: Census, move: Forklift, resources: Sequence[Resource]) -> Iterator[Row]:
    """Yield what of the commit means the old cluster, or does not fit the new one."""
    name, plain = called(move.source.context)
    words = tokens(old, (*move.source.names, *((name,) if plain else ())))
    if name and not plain and not move.source.names:
        cause = f"is a word that means other things too: where git names the cluster {name} was not looked for"
        yield Row("identity", Level.INFO, "from", cause, "give its `names`, if git holds any")
    for one in bound(resources, words):
        remedy = f"{one.where}: give it another value for `to` (`overrides`), or take it out"
        yield Row("identity", Level.WARNING, str(one.ref), f"{one.path} holds {one.what}", remedy)
    for resource, path, labels in unplaced(resources, new.of("Node")):
        remedy = f"{resource.where}: label a node of `to`, or change the selector"
        cause = f"{'.'.join(map(str, path))} asks for a node with {labels}, and `to` has none"
        yield Row("identity", Level.ERROR, str(resource.ref), cause, remedy)
    yield from _names(resources)
    yield from _bundles(old, resources)


def _names(resources: Sequence[Resource]) -> Iterator[Row]:
    both = next((r for r in resources if r.ref.kind == "Deployment" and _DNS in r.ref.name), None)
    for need in hostnames(resources):
        who = ", ".join(need.needed_by)
        if both:
            cause = f"is a name that {who} answers to: {both.ref.name} of both clusters would write its record"
            remedy = f"{both.where}: give each cluster its own owner and weight, or stop it on `to` until the cutover"
            yield Row("identity", Level.WARNING, need.name, cause, remedy)
        else:
            yield Row("identity", Level.INFO, need.name, f"is a name that {who} answers to: the cutover must move it")


def _bundles(old: Census, resources: Sequence[Resource]) -> Iterator[Row]:
    live: dict[tuple[str, str], Body] = {
        (kind, str(get(body, "metadata", "name"))): body for kind in _HOOKS for body in old.of(kind)
    }
    for resource in resources:
        if resource.ref.kind not in _HOOKS:
            continue
        if _bundled(resource.body):
            cause = "holds a CA bundle: it must be the one that signs the webhook's certificate on `to`"
            yield Row("identity", Level.WARNING, str(resource.ref), cause, "let cert-manager or its operator fill it")
        elif _bundled(live.get((resource.ref.kind, resource.ref.name), {})) and not any(
            str(mark).startswith(_INJECTED) for mark in mapping(resource.body, "metadata", "annotations")
        ):
            cause = "has a CA bundle on `from` that is not in git: what fills it there must fill it on `to` too"
            yield Row(
                "identity", Level.WARNING, str(resource.ref), cause, "find out who writes it; else its calls fail"
            )


def _bundled(body: Mapping[str, object]) -> bool:
    return any(get(hook, "clientConfig", "caBundle") for hook in items(dict(body), "webhooks"))
