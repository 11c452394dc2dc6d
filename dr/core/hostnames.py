"""The DNS names that a repo's objects answer to: after a restore they must point at new addresses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from dr.core.body import dig
from dr.core.model import Prerequisite, Resource
from dr.core.scan import segments

_ROUTES = "GRPCRoute HTTPRoute TLSRoute"
# Where kinds say the names that they answer to; "*" is any kind.
_PATHS: dict[str, tuple[str, ...]] = {
    "*": ('metadata.annotations["external-dns.alpha.kubernetes.io/hostname"]',),
    "extensions/Ingress": ("spec.rules[].host",),
    "networking.k8s.io/Ingress": ("spec.rules[].host",),
    "networking.istio.io/Gateway": ("spec.servers[].hosts[]",),
    "gateway.networking.k8s.io/Gateway": ("spec.listeners[].hostname",),
    **{f"gateway.networking.k8s.io/{kind}": ("spec.hostnames[]",) for kind in _ROUTES.split()},
    "route.openshift.io/Route": ("spec.host",),
    "serving.knative.dev/DomainMapping": ("metadata.name",),
}
_SEGMENTS = {kind: tuple(segments(path) for path in paths) for kind, paths in _PATHS.items()}
_LOCAL = (".local", ".svc", ".internal", ".localhost")
_SHOWN = 3  # objects with a name


def hostnames(resources: Iterable[Resource]) -> tuple[Prerequisite, ...]:
    """Return the DNS names that objects answer to, each with who does; without those that only a cluster knows."""
    users: dict[str, list[Resource]] = defaultdict(list)
    for resource in resources:
        for name in set(_names(resource)):
            users[name].append(resource)
    return tuple(_wanted(name, sorted(users[name], key=lambda r: (str(r.ref), r.where))) for name in sorted(users))


def _names(resource: Resource) -> Iterator[str]:
    kind = f"{resource.ref.group}/{resource.ref.kind}"
    for path in (*_SEGMENTS["*"], *_SEGMENTS.get(kind, ())):
        for value in dig(resource.body, path):
            for word in value.split(",") if isinstance(value, str) else ():
                name = word.strip().rpartition("/")[2].rstrip(".").lower()  # Istio: namespace/name
                if "." in name.strip("*.") and not name.endswith(_LOCAL):
                    yield name


def _wanted(name: str, users: list[Resource]) -> Prerequisite:
    by = tuple(dict.fromkeys(str(user.ref) for user in users))
    return Prerequisite(
        "dns-name", name, "answers to it", "have the login of its DNS zone ready", len(by), by[:_SHOWN], users[0].where
    )
