"""Rendered objects → the line of the source that each comes from. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from posixpath import normpath
from typing import Any

from msgspec import Struct

from dr.core.body import items, mapping, text
from dr.core.lines import line_of
from dr.core.model import Body, Document, Where
from dr.core.objects import flatten
from dr.core.overlay import Overlay, Rendered

ORIGIN = "config.kubernetes.io/origin"


class _Spot(Struct, frozen=True):
    name: str
    namespace: str
    line: int


def without_origin(body: Body) -> tuple[Body, str]:
    """Return an object without kustomize's origin annotation (nor a map of annotations left empty), and its text."""
    rest = {key: value for key, value in mapping(body, "metadata", "annotations").items() if key != ORIGIN}
    metadata = {key: value for key, value in mapping(body, "metadata").items() if key != "annotations"}
    if rest:
        metadata["annotations"] = rest
    return body | {"metadata": metadata}, text(body, "metadata", "annotations", ORIGIN)


def located(
    objects: Iterable[tuple[Body, Mapping[str, Any]]],
    overlay: Overlay,
    documents: Callable[[str], Sequence[Document]],
) -> tuple[Rendered, ...]:
    """Return each object with the line of the document that it was made from.

    objects: bodies in kustomize's order, each with its origin (`path`, or `configuredIn` for what is
    generated) as seen from `overlay`; without one the overlay itself stands for it. documents: those
        of a file of the repo.

    A name may have got a prefix or suffix: of the documents of that kind in that file, the one with
    the longest name within the object's is taken, and each of them equally often.
    """
    bodies: list[Body] = []
    groups: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for body, origin in objects:
        generator = text(origin, "configuredBy", "kind")
        source = text(origin, "path") or text(origin, "configuredIn")
        file = normpath(f"{overlay.folder}/{source}".lstrip("/")) if source else overlay.file
        groups[file, generator or text(body, "kind")].append(len(bodies))
        bodies.append(body)
    places: dict[int, Where] = {}
    for (file, kind), members in groups.items():
        spots = _spots(documents(file), kind)
        names = [_named(bodies[member]) for member in members]
        for member, spot in zip(members, _assigned(names, spots), strict=True):
            places[member] = Where(file, spot.line)
    return tuple(Rendered(body, places[index]) for index, body in enumerate(bodies))


def _spots(documents: Sequence[Document], kind: str) -> list[_Spot]:
    """Return where objects of a kind stand in a file: as documents, in lists, or as entries of a generator."""
    found = [document for outer in documents for document in flatten(outer) if isinstance(document.body, dict)]
    of_kind = [document for document in found if text(document.body, "kind") == kind] or found
    field = f"{kind[:1].lower()}{kind[1:]}"
    entries = [
        _Spot(*_named({"metadata": entry}), line_of(document.body, document.lines, (field, index)))
        for document in found
        for index, entry in enumerate(items(document.body, field))
    ]
    return entries or [_Spot(*_named(document.body), document.line) for document in of_kind]


def _named(body: Body) -> tuple[str, str]:
    return text(body, "metadata", "name"), text(body, "metadata", "namespace")


def _assigned(names: Sequence[tuple[str, str]], spots: Sequence[_Spot]) -> list[_Spot]:
    """Return the spot of each name; the longest names choose first, those that fit none take what is left."""
    if not spots:
        return [_Spot("", "", 0)] * len(names)
    exact = {(spot.name, spot.namespace): spot for spot in spots}
    if len(exact) == len(spots) and exact.keys() == set(names):
        return [exact[name] for name in names]
    fitting = {name: [i for i, spot in enumerate(spots) if spot.name in name[0]] for name in names}
    room = [-(-len(names) // len(spots))] * len(spots)
    chosen: dict[int, _Spot] = {}
    for index in sorted(range(len(names)), key=lambda i: (not fitting[names[i]], -len(names[i][0]), names[i], i)):
        name, namespace = names[index]
        possible = fitting[names[index]] or range(len(spots))
        best = max(
            [i for i in possible if room[i]] or possible,
            key=lambda i: (
                len(spots[i].name) if spots[i].name in name else 0,
                spots[i].namespace == namespace,
                name.startswith(spots[i].name) or name.endswith(spots[i].name),
                -i,
            ),
        )
        room[best] -= room[best] > 0
        chosen[index] = spots[best]
    return [chosen[index] for index in range(len(names))]
