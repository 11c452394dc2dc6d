"""Parity: which fields that git sets differ in a live object, and which live objects nobody asked for. Pure."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Container, Iterable, Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from fractions import Fraction
from functools import lru_cache
from json import dumps
from typing import Any

from msgspec import Struct

from dr.core.body import home_group, items, mapping, text
from dr.core.model import Body, Ref
from dr.core.rules.parity import FORMS, LIST_KEYS, SYSTEM
from dr.core.scan import DEEP, LIST, MAP, Segment, segments

ABSENT, HIDDEN = "(absent)", "(hidden)"
_SHOWN = 80
_BEFORE = 16
_SCALARS = (str, int, float, bool)
_SECRET = ("data", "stringData")
_ENCRYPTED = "ENC["
_PLAIN_KEY = re.compile(r'[^.\[\]{}"\s]+')
_QUANTITY = re.compile(
    r"([+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30}))(?:([eE][+-]?\d{1,3})|([KMGTPE]i|[numkMGTPE])?)", re.ASCII
)
_DURATION = re.compile(r"[+-]?(?:0|(?:\d{1,19}(?:\.\d{0,19})?(?:ns|us|µs|ms|s|m|h))+)", re.ASCII)
_PART = re.compile(r"([\d.]+)([a-zµ]+)")
_SCALE = {unit: Fraction(1000) ** power for power, unit in enumerate(("n", "u", "m", "", "k", *"MGTPE"), -3)} | {
    f"{unit}i": Fraction(1024) ** power for power, unit in enumerate("KMGTPE", 1)
}
_NANOSECONDS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


class Difference(Struct, frozen=True, order=True):
    """A field that is not in the cluster as git says.

    `wanted` and `found` are JSON of at most 80 characters, from shortly before where they part;
    "(absent)" for what is missing, "(hidden)" for every value of a Secret.
    """

    path: str
    wanted: str
    found: str


def differences(wanted: Body, live: Body, *, scaled: bool = False) -> tuple[Difference, ...]:
    """Return where a live object does not say what `wanted` does, sorted; what it says besides does not count.

    wanted: the object of git. scaled: somebody else (an autoscaler) sets its `spec.replicas`.
    What counts as the same is in `rules.parity`; null, empty and absent are the same wherever it says
    nothing else. Values encrypted by SOPS need only be there. Never raises on JSON.
    """
    group, kind = text(wanted, "apiVersion").rpartition("/")[0], text(wanted, "kind")
    secret = (group, kind) == ("", "Secret")
    skipped = {("spec", "replicas")} if scaled else {(field,) for field in _SECRET} if secret else set()
    encrypted = "sops" in wanted
    found = list(_secret(wanted, live, encrypted)) if secret else []
    stack: list[tuple[Keys, Trail, Any, Any]] = [((), (), wanted, mapping(live))]
    while stack:
        keys, trail, want, have = stack.pop()
        forms = _forms(group, kind, keys)
        if "ignored" in forms or keys in skipped:
            continue
        field = have is None and (want or "present" not in forms) and isinstance(trail[-1], str)
        if want.__class__ is dict and (field or have.__class__ is dict):
            have = have or {}
            for key, value in want.items():
                here = have.get(key)
                if value is not None and not _equal(value, here):
                    stack.append(((*keys, key), (trail, key), value, here))
            if "whole" in forms:
                more = {key for key in have.keys() - want.keys() if not _empty(have[key])}
                more = {key for key in more if "ignored" not in _forms(group, kind, (*keys, key))}
                found.extend(Difference(_path((trail, key)), ABSENT, _shown(None, have[key])[1]) for key in more)
        elif (
            want.__class__ is list
            and have.__class__ is list
            and (pairs := _pairs(want, have, _list_keys(group, kind, keys))) is not None
        ):
            stack.extend((keys, (trail, label), value, here) for label, value, here in pairs)
        elif not (_same(want, have, forms) or (encrypted and have is not None and _is_encrypted(want))):
            found.append(Difference(_path(trail), *_shown(want, have)))
    return tuple(sorted(found))


def extra(expected: Iterable[Ref], live: Iterable[Body], derived: frozenset[Ref] = frozenset()) -> tuple[Ref, ...]:
    """Return the live objects that nobody in git asked for, sorted.

    expected: what git has. derived: what controllers make of it; one without a namespace may be in any.
    What another object owns, and what `rules.parity.SYSTEM` says that clusters make, is not among them.
    The API version does not tell objects apart, the group does.
    """
    known = {_identity(ref, ref.namespace) for ref in (*expected, *derived)}
    found = set()
    for body in live:
        namespace, name = text(body, "metadata", "namespace"), text(body, "metadata", "name")
        ref = Ref(text(body, "apiVersion"), text(body, "kind"), namespace, name)
        asked = _identity(ref, ref.namespace) in known or _identity(ref, "") in known
        if ref.kind and ref.name and not asked and not items(body, "metadata", "ownerReferences"):
            marks = mapping(body, "metadata", "labels").keys() | mapping(body, "metadata", "annotations").keys()
            if not any(_fits(ref, marks, row) for row in _system(ref.kind)):
                found.add(ref)
    return tuple(sorted(found))


def _identity(ref: Ref, namespace: str) -> tuple[str, str, str, str]:
    return home_group(ref.group, ref.kind), ref.kind, namespace, ref.name


@lru_cache(maxsize=512)
def _system(kind: str) -> tuple[tuple[str, str, str], ...]:
    return tuple((namespace, name, mark) for of, namespace, name, mark in SYSTEM if of in ("*", kind))


def _fits(ref: Ref, marks: Container[str], row: tuple[str, str, str]) -> bool:
    namespace, name, mark = row
    return (
        (not namespace or ref.namespace == namespace)
        and (not name or fnmatchcase(ref.name, name))
        and (not mark or mark in marks)
    )


Keys = tuple[str, ...]
By = tuple[tuple[str, str | None], ...]
Label = str | int | tuple[By, tuple[Any, ...]]
Trail = tuple[Any, ...]  # the trail before it and a label; nothing at the root
Rows = tuple[tuple[str, tuple[Segment, ...]], ...]


def _compiled(table: Iterable[tuple[str, str, str]], group: str, kind: str) -> Rows:
    """Return (value, path) of the rows that speak of a kind; lists take no part in a path."""
    return tuple(
        (value, tuple(part for part in segments(path) if part != LIST))
        for value, of, paths in table
        if of in ("*", kind, f"{group}/{kind}")
        for path in re.split(r"\s+", paths)
    )


@lru_cache(maxsize=512)
def _rows(group: str, kind: str) -> tuple[Rows, Rows]:
    lists = ((by, of, paths) for of, paths, by in LIST_KEYS)
    return _compiled(FORMS, group, kind), _compiled(lists, group, kind)


def _leads(path: tuple[Segment, ...], keys: Keys) -> bool:
    if path[0] == DEEP:
        path, keys = path[1:], keys[max(0, len(keys) - len(path) + 1) :]
    return len(path) == len(keys) and all(part in (key, MAP) for part, key in zip(path, keys, strict=True))


@lru_cache(maxsize=8192)
def _forms(group: str, kind: str, keys: Keys) -> frozenset[str]:
    return frozenset(form for form, path in _rows(group, kind)[0] if _leads(path, keys))


@lru_cache(maxsize=8192)
def _list_keys(group: str, kind: str, keys: Keys) -> By | None:
    """Return what tells the entries of a list apart, nothing for a set, None for a list."""
    for by, path in _rows(group, kind)[1]:
        if _leads(path, keys):
            parts = (field.partition("=") for field in by.split())
            return tuple((name, default if optional else None) for name, optional, default in parts)
    return None


def _pairs(want: list[Any], have: list[Any], by: By | None) -> list[tuple[Label, Any, Any]] | None:
    """Return (label, wanted, found) for the entries that differ; None where the lists do as a whole."""
    if by is not None:
        wanted, found = _index(want, by), _index(have, by)
        if len(wanted) == len(want) and len(found) == len(have):
            rows = ((by, key, item, found.get(key)) for key, item in wanted.items())
            return [((by, key), item, here) for by, key, item, here in rows if not _equal(item, here)]
    if len(want) != len(have):
        return None
    pairs = enumerate(zip(want, have, strict=True))
    return [(place, item, here) for place, (item, here) in pairs if not _equal(item, here)]


def _index(entries: list[Any], by: By) -> dict[tuple[Any, ...], Any]:
    """Return the entries by what tells them apart: fewer than there are where something does not."""
    if not by:
        return {(entry,): entry for entry in entries if isinstance(entry, str)}
    try:
        keys = [tuple([entry.get(name) or default for name, default in by]) for entry in entries]
        return {key: entry for key, entry in zip(keys, entries, strict=True) if None not in key}
    except (AttributeError, TypeError):
        return {}


def _equal(want: Any, have: Any) -> bool:
    """Return whether two values are equal, true and 1 too: no field takes both."""
    try:
        return bool(want == have)
    except RecursionError:
        return False


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, (dict, list)) and not value)


def _same(want: Any, have: Any, forms: frozenset[str]) -> bool:
    if want is None or _equal(want, have):
        return True
    if "present" not in forms and _empty(want) and _empty(have):
        return True
    if not want and isinstance(want, _SCALARS) and ("filled" in forms or ("zero" in forms and have is None)):
        return True
    return any(form in forms and _normal(write, want, have) for form, write in _WRITTEN.items())


def _normal(write: Callable[[Any], Any], want: Any, have: Any) -> bool:
    try:
        return bool(write(want) == write(have))
    except (TypeError, ValueError):
        return False


@lru_cache(maxsize=4096, typed=True)
def _quantity(value: Any) -> Fraction:
    """Return the number of a Quantity; source: k8s.io/apimachinery/pkg/api/resource."""
    match = _QUANTITY.fullmatch(_number_or_text(value))
    if match is None:
        raise ValueError("not a quantity")
    number, exponent, unit = match.groups()
    return Fraction(number.rstrip(".") + (exponent or "")) * _SCALE[unit or ""]


def quantity(value: object) -> float:
    """Return the number that a Quantity says; 0 for what is none."""
    try:
        return float(_quantity(value))
    except (TypeError, ValueError):
        return 0.0


def _duration(value: Any) -> Fraction:
    """Return the nanoseconds of a duration as Go's time.ParseDuration reads it."""
    if _DURATION.fullmatch(value) is None:
        raise ValueError("not a duration")
    total = sum((Fraction(n.rstrip(".")) * _NANOSECONDS[unit] for n, unit in _PART.findall(value)), Fraction(0))
    return -total if value.startswith("-") else total


def _time(value: Any) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return moment


def _number_or_text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError("neither a number nor text")
    return str(value)


def _text(value: Any) -> str:
    if not isinstance(value, _SCALARS):
        raise TypeError("not a scalar")
    return value if isinstance(value, str) else dumps(value)


def _base64(value: str) -> bytes:
    return b64decode("".join(value.split()), validate=True)


_WRITTEN: dict[str, Callable[[Any], Any]] = {
    "quantity": _quantity,
    "duration": _duration,
    "time": _time,
    "number-or-text": _number_or_text,
    "text": _text,
    "base64": _base64,
}


def _is_encrypted(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(_ENCRYPTED)


def _secret(wanted: Body, live: Body, encrypted: bool) -> Iterator[Difference]:
    """Yield the differences between the values of Secrets, of which nothing is shown."""
    haves = {key: value for key, _, value, _ in _values(live)}
    wants = {key: (field, value, raw) for key, field, value, raw in _values(wanted)}
    for key, (field, value, raw) in wants.items():
        have = haves.get(key)
        if have is None or (value != have and not (encrypted and _is_encrypted(raw))):
            yield Difference(_path((((), field), key)), HIDDEN, ABSENT if have is None else HIDDEN)


def _values(body: Body) -> Iterator[tuple[str, str, Any, Any]]:
    """Yield (key, field, value, value as written); in `stringData` wins, as on the server."""
    for field in _SECRET:
        for key, raw in mapping(body, field).items():
            if raw is not None:
                yield key, field, _plain(raw, field), raw


def _plain(raw: Any, field: str) -> Any:
    try:
        return _text(raw).encode(errors="surrogatepass") if field == "stringData" else _base64(raw)
    except (AttributeError, TypeError, ValueError):
        return raw


def _path(trail: Trail) -> str:
    """Return the text of the labels that lead to a field, the last of them outermost."""
    parts: list[str] = []
    while trail:
        trail, label = trail
        if isinstance(label, str):
            parts.append(f".{label}" if _PLAIN_KEY.fullmatch(label) else f"[{dumps(label, ensure_ascii=False)}]")
        elif isinstance(label, int):
            parts.append(f"[{label}]")
        else:
            by, key = label
            named = ((name, part) for (name, _), part in zip(by, key, strict=True) if part != "")
            parts.append(f"[{','.join(f'{name}={part}' for name, part in named) if by else key[0]}]")
    return "".join(reversed(parts)).removeprefix(".")


def _shown(want: Any, have: Any) -> tuple[str, str]:
    """Return both values as short text; where both are long, from shortly before the place where they part."""
    wanted, found = _json(want), _json(have)
    start = 0
    if max(len(wanted), len(found)) > _SHOWN:
        parts = (place for place, (a, b) in enumerate(zip(wanted, found, strict=False)) if a != b)
        start = max(0, next(parts, min(len(wanted), len(found))) - _BEFORE)
    return _cut(wanted, start), _cut(found, start)


def _json(value: Any) -> str:
    if value is None:
        return ABSENT
    try:
        return dumps(value, ensure_ascii=False, sort_keys=True)
    except RecursionError:
        return "(too deep to show)"


def _cut(value: str, start: int) -> str:
    value = f"…{value[start + 1 :]}" if start and value != ABSENT else value
    return value if len(value) <= _SHOWN else f"{value[: _SHOWN - 1]}…"
