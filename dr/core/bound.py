"""What of a repo is bound to one cluster: its addresses, nodes, issuer and CA, wherever they stand in an object."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from dr.core.body import items, mapping, text
from dr.core.census import Census
from dr.core.lines import line_of
from dr.core.model import Body, Path, Ref, Resource, Where

_WORD = r"(?<![\w.-])(?:{})(?![\w-]|\.\w)"
_SHORTEST = 4
_ISSUER = "the issuer of service accounts' tokens"
_HOST = re.compile(r"^[a-z]+://|:\d+(/.*)?$|/.*$")
# Words that every cluster has.
_COMMON = re.compile(r"(https://)?kubernetes\.default\.svc|None$|127\.0\.0\.1$|localhost$|::1$")


class Bound(Struct, frozen=True, order=True):
    """A place in git that names something of the old cluster: the object, the field, what it names, and where."""

    ref: Ref
    path: str
    what: str
    where: Where


def tokens(census: Census, context: str = "") -> Mapping[str, str]:
    """Return the words that mean a thing of this one cluster, and what they mean.

    context: the cluster's name, as people call it; only one that is no common word counts.
    """
    found = {
        **{word: f"the cluster IP of {_name(s)}" for s in census.of("Service") for word in _cluster_ips(s)},
        **{
            word: f"the load balancer's address of {_name(body)}"
            for body in (*census.of("Service"), *census.of("Ingress"))
            for row in items(body, "status", "loadBalancer", "ingress")
            for word in (text(row, "ip"), text(row, "hostname"))
        },
        **{
            text(row, "address"): f"the address of node {text(node, 'metadata', 'name')}"
            for node in census.of("Node")
            for row in items(node, "status", "addresses")
        },
        **{text(node, "metadata", "name"): "the name of a node" for node in census.of("Node")},
        _HOST.sub("", census.server): "the address of the API server",
        census.issuer: _ISSUER,
        census.issuer.removeprefix("https://"): _ISSUER,
    }
    if "-" in context or "." in context:
        found[context] = "the name of the cluster"
    return {word: what for word, what in found.items() if len(word) >= _SHORTEST and not _COMMON.match(word)}


def _cluster_ips(service: Body) -> list[str]:
    return [address for address in items(service, "spec", "clusterIPs") if isinstance(address, str)]


def bound(resources: Iterable[Resource], words: Mapping[str, str]) -> tuple[Bound, ...]:
    """Return where objects of git name something of the old cluster, sorted."""
    if not words:
        return ()
    # The longest first: an address may begin with another.
    pattern = re.compile(_WORD.format("|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))))
    found = set()
    for resource in resources:
        for path, value in _texts(resource.body, ()):
            for word in set(pattern.findall(value)):
                place = resource.where
                line = line_of(resource.body, resource.lines, path)
                where = Where(place.file, line or place.line, place.repo)
                found.add(Bound(resource.ref, ".".join(map(str, path)), f"{word}, {words[word]}", where))
    return tuple(sorted(found))


def unplaced(resources: Iterable[Resource], nodes: Iterable[Body]) -> Iterator[tuple[Resource, Path, str]]:
    """Yield pod templates that ask for node labels which no node has: the object, the field, and the labels."""
    labels = [mapping(node, "metadata", "labels") for node in nodes]
    if not labels:
        return
    for resource in resources:
        for path, selector in _selectors(resource.body, ()):
            if not any(all(have.get(key) == value for key, value in selector.items()) for have in labels):
                yield resource, path, ", ".join(f"{key}={value}" for key, value in sorted(selector.items()))


def _selectors(value: Any, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "nodeSelector" and isinstance(inner, dict) and "containers" in value and inner:
                yield (*path, key), inner
            else:
                yield from _selectors(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _selectors(inner, (*path, index))


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            if path or key not in ("apiVersion", "kind", "status"):
                yield from _texts(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(inner, (*path, index))


def _name(body: Body) -> str:
    return f"{text(body, 'kind')} {text(body, 'metadata', 'namespace')}/{text(body, 'metadata', 'name')}"
