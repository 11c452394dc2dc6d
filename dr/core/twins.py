"""Parity of two clusters and a commit: each object field by field, without what differs by nature. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from dr.core.body import text
from dr.core.forklift import Override
from dr.core.model import Body, Ref
from dr.core.parity import ABSENT, differences
from dr.core.rules.twins import NATURE
from dr.core.scan import LIST, MAP, Segment, segments

_ENCODER = msgspec.json.Encoder(order="sorted")


class Twin(Struct, frozen=True, order=True):
    """A difference between the clusters: `old` and `new` are the values, `drifted` the side that left git.

    `drifted`: "from", "to", "both", or "" where both say what git does or it cannot be told. `allowed`: by an override.
    """

    ref: Ref
    path: str
    old: str
    new: str
    drifted: str = ""
    allowed: bool = False


def plain(body: Body) -> bytes:
    """Return what an object says, without what differs by nature: equal for equal objects, as JSON."""
    group, kind = text(body, "apiVersion").rpartition("/")[0], text(body, "kind")
    content: Any = body
    for path in _paths(group, kind):
        content = without(content, path)
    return _ENCODER.encode(content)


def compared(
    ref: Ref, wanted: Body, old: bytes | None, new: bytes | None, overrides: Sequence[Override] = ()
) -> tuple[Twin, ...]:
    """Return how an object differs between two clusters.

    wanted: git's. old and new: what `plain` made of it on each side; None where it is not there. Values of Secrets are
    hidden.
    """
    if old == new and old is not None:
        return ()
    if old is None or new is None:
        drifted = "both" if old is None and new is None else "from" if old is None else "to"
        there = ABSENT if old is None else "there", ABSENT if new is None else "there"
        return (_judged(Twin(ref, "", *there, drifted), overrides),)
    left, right = msgspec.json.decode(old), msgspec.json.decode(new)
    rows = {d.path: (d.wanted, d.found) for d in differences(left, right)}
    rows |= {d.path: (d.found, d.wanted) for d in differences(right, left) if d.path not in rows}
    moved = {side: {d.path for d in differences(wanted, body)} for side, body in (("from", left), ("to", right))}
    return tuple(
        _judged(Twin(ref, path, *values, _drifted(path, moved["from"], moved["to"])), overrides)
        for path, values in sorted(rows.items())
    )


def _drifted(path: str, old: Iterable[str], new: Iterable[str]) -> str:
    sides = [side for side, paths in (("from", old), ("to", new)) if any(_below(path, other) for other in paths)]
    return sides[0] if len(sides) == 1 else ""


def _below(path: str, other: str) -> bool:
    return path == other or path.startswith((f"{other}.", f"{other}[")) or other.startswith((f"{path}.", f"{path}["))


def _judged(twin: Twin, overrides: Sequence[Override]) -> Twin:
    name = f"{twin.ref.kind}/{twin.ref.namespace}/{twin.ref.name}"
    allowed = any(fnmatchcase(name, o.object) and fnmatchcase(twin.path, o.path) for o in overrides)
    return msgspec.structs.replace(twin, allowed=allowed)


@lru_cache(maxsize=512)
def _paths(group: str, kind: str) -> tuple[tuple[Segment, ...], ...]:
    return tuple(
        tuple(segments(path)) for of, paths in NATURE if of in ("*", kind, f"{group}/{kind}") for path in paths.split()
    )


def without(value: Any, path: tuple[Segment, ...]) -> Any:
    """Return a value without what stands at a path; what the path does not touch is shared, not copied."""
    head, *rest = path
    if head == LIST:
        if not isinstance(value, list):
            return value
        return [without(item, tuple(rest)) for item in value]
    if not isinstance(value, dict) or (head != MAP and head not in value):
        return value
    keys = list(value) if head == MAP else [head]
    if not rest:
        return {key: inner for key, inner in value.items() if key not in keys}
    changed = {key: without(value[key], tuple(rest)) for key in keys}
    # An empty map that is left behind says no more than none.
    return {key: inner for key, inner in {**value, **changed}.items() if inner != {} or value[key] == {}}


def unmatched(found: Iterable[Twin]) -> Iterator[Twin]:
    """Yield the differences that no override allows."""
    yield from (twin for twin in found if not twin.allowed)
