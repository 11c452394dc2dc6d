"""Flux's postBuild substitution: `${name}`, `${name:=default}` and their kin in the text of an object."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dr.core.body import mapping
from dr.core.model import Body
from dr.core.scalars import resolve

_ESCAPED = "\0"
_VARIABLE = re.compile(r"\$\{([_A-Za-z][_A-Za-z0-9]*)(?:(:?[-=+])([^}]*))?\}")
_OFF = "kustomize.toolkit.fluxcd.io/substitute"


def substitute(body: Body, variables: Mapping[str, str]) -> Body:
    """Return the object with its variables replaced; one without a value and default stays as it is.

    A field that is nothing but a variable is read again as YAML, as Flux replaces in the text:
    `replicas: ${n}` becomes a number. `$${x}` stands for a literal `${x}`. Objects that carry the
    annotation or label `kustomize.toolkit.fluxcd.io/substitute: disabled` are left alone.
    """
    metadata = mapping(body, "metadata")
    if "disabled" in (mapping(metadata, "annotations").get(_OFF), mapping(metadata, "labels").get(_OFF)):
        return body
    return _replaced(body, variables)  # type: ignore[no-any-return]


def _replaced(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _text(value, variables) if "${" in value else value
    if isinstance(value, dict):
        return {
            _replaced(key, variables) if "${" in key else key: _replaced(item, variables) for key, item in value.items()
        }
    return [_replaced(item, variables) for item in value] if isinstance(value, list) else value


def _text(value: str, variables: Mapping[str, str]) -> Any:
    whole = _VARIABLE.fullmatch(value)
    replaced = _VARIABLE.sub(lambda match: _value(match, variables), value.replace("$${", _ESCAPED)).replace(
        _ESCAPED, "${"
    )
    if whole and replaced != value:
        return resolve(replaced) if replaced else None
    return replaced


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    name, operator, operand = match.groups()
    value = variables.get(name)
    if operator is None:
        return match[0] if value is None else value
    empty_counts = operator.startswith(":")
    present = value is not None and (value != "" or not empty_counts)
    if operator.endswith("+"):
        return operand if present else ""
    return value if present and value is not None else operand
