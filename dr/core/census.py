"""What lives on a cluster, as far as a move to another one must know it. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from dr.core.body import mapping
from dr.core.hidden import Live, Meta, live
from dr.core.model import Body

# Kinds of which the bodies say something about the cluster itself.
WHOLE = frozenset(
    {
        "Ingress",
        "IngressClass",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolumeClaim",
        "PriorityClass",
        "ResourceQuota",
        "RuntimeClass",
        "Service",
        "StatefulSet",
        "StorageClass",
        "ValidatingWebhookConfiguration",
    }
)
# Nobody needs to know of each: events, and what nodes and controllers hold for seconds.
UNCOUNTED = frozenset({"ComponentStatus", "Event", "Lease", "LeaseCandidate", "NodeMetrics", "PodMetrics"})


class Census(Struct, frozen=True):
    """A cluster's objects. `refused`: the kinds that may not be listed, and why. `issuer`: of service accounts' tokens.

    `bodies` are those of the kinds that say something about the cluster itself; never a Secret's values.
    """

    server: str = ""
    version: str = ""
    issuer: str = ""
    live: tuple[Live, ...] = ()
    bodies: dict[str, tuple[Body, ...]] = {}
    refused: tuple[tuple[str, str], ...] = ()

    def of(self, kind: str) -> tuple[Body, ...]:
        """Return the bodies of a kind."""
        return self.bodies.get(kind, ())


class Counting:
    """Takes in objects and keeps what a census needs of them."""

    def __init__(self) -> None:
        self._live: list[Live] = []
        self._bodies: dict[str, list[Body]] = defaultdict(list)

    def names(self, found: Iterable[Live]) -> None:
        """Take in some objects of one kind, by where they come from."""
        self._live.extend(found)

    def take(self, bodies: Iterable[Body]) -> None:
        """Take in some objects of one kind, whole."""
        for body in bodies:
            metadata = mapping(body, "metadata")
            self._live.append(live(body["apiVersion"], body["kind"], msgspec.convert(metadata, Meta)))
            if body["kind"] in WHOLE:
                rest = {key: value for key, value in metadata.items() if key != "managedFields"}
                self._bodies[body["kind"]].append({**body, "metadata": rest})

    def census(self, server: str, version: str, issuer: str, refused: Iterable[tuple[str, str]]) -> Census:
        """Return what was taken in."""
        bodies = {kind: tuple(found) for kind, found in self._bodies.items()}
        return Census(server, version, issuer, tuple(self._live), bodies, tuple(sorted(refused)))
