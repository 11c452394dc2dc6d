"""Live objects as files for a repo: what somebody meant, without what the cluster wrote into them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import msgspec

from dr.core.body import get, mapping, text
from dr.core.model import Body
from dr.core.rules.defaults import DEFAULTS
from dr.core.rules.twins import NATURE
from dr.core.scan import segments
from dr.core.twins import without

_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def adopted(body: Body) -> Body:
    """Return what somebody meant by an object, to be kept in git.

    What `kubectl apply` was given, where the object tells; else without what servers and controllers write and without
    values that are a field's default. A Secret's values are left out: they do not belong into git in plain text.
    """
    return _ordered(_tidy(_written(body) or _without_defaults(body)))


def _written(body: Body) -> Body | None:
    """Return what `kubectl apply` was given, where the object tells."""
    applied = mapping(body, "metadata", "annotations").get(_APPLIED)
    if not isinstance(applied, str) or text(body, "kind") == "Secret":
        return None
    try:
        found = msgspec.json.decode(applied)
    except msgspec.DecodeError:
        return None
    return found if isinstance(found, dict) else None


def _without_defaults(body: Body) -> Body:
    group, kind = text(body, "apiVersion").rpartition("/")[0], text(body, "kind")
    kinds = ("*", kind, f"{group}/{kind}")
    left: Any = deepcopy(body)
    for path in (path for of, paths in NATURE if of in kinds for path in paths.split()):
        left = without(left, tuple(segments(path)))
    if kind == "Secret":
        left = {key: value for key, value in left.items() if key not in ("data", "stringData")}
    for of, path, value in DEFAULTS:
        if of in kinds:
            left = _less(left, path.split("."), value)
    return dict(left)


def _less(value: Any, path: Sequence[str], default: object) -> Any:
    """Return a value without a field that holds its default; `[]` in a path goes through a list, `**` anywhere."""
    head, *rest = path
    if isinstance(value, list):
        return [_less(item, path, default) for item in value]
    if not isinstance(value, dict):
        return value
    if head == "**":
        return {key: _less(inner, path, default) for key, inner in _less(value, rest, default).items()}
    name = head.removesuffix("[]")
    if name not in value:
        return value
    if rest:
        return {**value, name: _less(value[name], rest, default)}
    wanted = get(value, default[1:]) if isinstance(default, str) and default.startswith("=") else default
    return {key: inner for key, inner in value.items() if key != name or inner != wanted}


def _tidy(body: Body) -> Body:
    metadata = {
        key: value
        for key, value in mapping(body, "metadata").items()
        if key in ("name", "namespace", "labels", "annotations") and value not in ({}, None, "")
    }
    annotations = {k: v for k, v in mapping(metadata, "annotations").items() if k != _APPLIED}
    if "annotations" in metadata:
        metadata = {**metadata, "annotations": annotations}
    return {
        **{key: value for key, value in body.items() if key != "status" and value not in ({}, None)},
        "metadata": {key: value for key, value in metadata.items() if value != {}},
    }


def _ordered(body: Body) -> Body:
    first = ("apiVersion", "kind", "metadata")
    return {**{key: body[key] for key in first if key in body}, **{k: v for k, v in body.items() if k not in first}}
