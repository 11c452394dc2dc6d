"""Keys that must be the same on the new cluster: what seals secrets, what signs certificates and tokens. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from dr.core.body import get, text
from dr.core.census import Census
from dr.core.forklift import Forklift
from dr.core.model import Level, Resource
from dr.core.moving_row import Row

SEALING = "sealedsecrets.bitnami.com/sealed-secrets-key"
_GROUP = "cert-manager.io"


def keys(old: Census, new: Census, move: Forklift, resources: Sequence[Resource]) -> Iterator[Row]:
    """Yield what becomes of each key of the old cluster.

    A sealing key is known by its name, which its controller draws by chance: any other key, such as one that the new
    cluster's controller has made for itself, opens nothing that was sealed for the old one.
    """
    secrets = [one for one in new.live if one.ref.kind == "Secret"]
    there = {(one.ref.namespace, one.ref.name) for one in secrets}
    sealing = {(one.ref.namespace, one.ref.name) for one in secrets if SEALING in one.marks}
    signing = _signing(resources)
    for one in old.live:
        place = one.ref.namespace, one.ref.name
        if one.ref.kind != "Secret":
            continue
        if SEALING in one.marks and place in sealing:
            yield Row("keys", Level.INFO, str(one.ref), "a sealing key: it is on `to` too")
        elif SEALING in one.marks:
            others = f" (`to` has {len(sealing)} others, which open nothing of it)" if sealing else ""
            yield Row(
                "keys",
                Level.ERROR,
                str(one.ref),
                f"is a sealing key that only `from` has{others}: sealed secrets cannot be opened on `to`",
                "copy it first, from its backup; then restart the controller there",
            )
        elif issuer := signing.get(place) or signing.get(("", one.ref.name)):
            who, made = issuer
            if place in there or _left(one.ref.kind, *place, move.left_behind):
                yield Row("keys", Level.INFO, str(one.ref), f"is the key of {who}: it is on `to` too, or left behind")
                continue
            what = "`to` makes another" if made else "nothing makes it on `to`"
            yield Row(
                "keys",
                Level.WARNING if made else Level.ERROR,
                str(one.ref),
                f"is the key of {who}, and {what}: what trusts its certificates would not trust those of `to`",
                "copy it first, from its backup; or have everybody trust both, and name it under `left_behind`",
            )
    if old.issuer and new.issuer and old.issuer != new.issuer:
        cause = f"`to` signs tokens as {new.issuer}, `from` as {old.issuer}"
        remedy = "add the new issuer to everything that trusts the old one (cloud roles, vaults) before the cutover"
        yield Row("keys", Level.WARNING, "service accounts", cause, remedy)


def _left(kind: str, namespace: str, name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(f"{kind}/{namespace}/{name}", pattern) for pattern in patterns)


def _signing(resources: Iterable[Resource]) -> dict[tuple[str, str], tuple[str, bool]]:
    """Return the Secrets of certificate authorities by place ("": any namespace): whose, and if one makes them."""
    made, found = set(), dict[tuple[str, str], tuple[str, bool]]()
    for resource in resources:
        ref, body = resource.ref, resource.body
        if ref.group != _GROUP:
            continue
        if ref.kind == "Certificate" and get(body, "spec", "isCA") is True:
            place = ref.namespace, text(body, "spec", "secretName")
            made.add(place)
            found.setdefault(place, (str(ref), True))
        elif ref.kind in ("Issuer", "ClusterIssuer") and (name := text(body, "spec", "ca", "secretName")):
            found["" if ref.kind == "ClusterIssuer" else ref.namespace, name] = str(ref), False
    names = {name for _, name in made}
    return {place: (who, place in made or (not place[0] and place[1] in names)) for place, (who, _) in found.items()}
