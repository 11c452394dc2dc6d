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


def called(context: str) -> tuple[str, bool]:
    """Return the cluster's name in a context's (EKS, GKE, kubeadm, `local:NAME`), and whether it means nothing else.

    EKS has arn:aws:eks:…:cluster/NAME, GKE gke_PROJECT_ZONE_NAME, kubeadm USER@NAME.
    """
    name = re.split(r"[/@:]", context)[-1]
    if name.startswith("gke_"):
        name = name.split("_", 3)[-1]
    return name, "-" in name or "." in name


def tokens(census: Census, names: Iterable[str] = ()) -> Mapping[str, str]:
    """Return the words that mean a thing of this one cluster, and what they mean. names: what the cluster is called."""
    own = {name: "the name of the cluster" for name in names if name}
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
    return {word: what for word, what in found.items() if len(word) >= _SHORTEST and not _COMMON.match(word)} | own


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
    """Yield pod templates that ask for node labels which no node has: the object, the field, and the labels.

    Each term of a required affinity is one way to be placed; labels are all that is looked at.
    """
    labels = [mapping(node, "metadata", "labels") for node in nodes]
    for resource in resources:
        for path, terms in _selectors(resource.body, ()):
            if not any(all(_fits(row, have) for row in term) for term in terms for have in labels):
                yield resource, path, " or ".join(", ".join(map(_said, term)) for term in terms)


def _fits(row: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    have, values = labels.get(str(row.get("key"))), items(dict(row), "values")
    number, limit = (int(str(v)) if str(v).isdigit() else None for v in (have, values[0] if values else None))
    known = number is not None and limit is not None
    # What is not known here the API server judges.
    return {
        "In": have in values,
        "NotIn": have not in values,
        "Exists": have is not None,
        "DoesNotExist": have is None,
        "Gt": known and (number or 0) > (limit or 0),
        "Lt": known and (number or 0) < (limit or 0),
    }.get(str(row.get("operator")), True)


def _said(row: Mapping[str, Any]) -> str:
    values, how = "|".join(map(str, items(dict(row), "values"))), row.get("operator")
    return f"{row.get('key')}={values}" if how == "In" else f"{row.get('key')} {how} {values}".rstrip()


def _selectors(value: Any, path: Path) -> Iterator[tuple[Path, list[list[dict[str, Any]]]]]:
    """Yield what pods ask of nodes: the field, and the ways in which it can be met, each of all its requirements."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "nodeSelector" and isinstance(inner, dict) and "containers" in value and inner:
                asked = [{"key": k, "operator": "In", "values": [v]} for k, v in sorted(inner.items())]
                yield (*path, key), [asked]
            elif key == "affinity" and "containers" in value:
                field = ("nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
                terms = [items(term, "matchExpressions") for term in items(inner, *field)]
                if terms:
                    yield (*path, key, *field), terms
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
