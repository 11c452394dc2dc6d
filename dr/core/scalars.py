"""What a plain YAML scalar means to kubectl: YAML 1.1 as sigs.k8s.io/yaml reads it."""

from __future__ import annotations

import math
import re

Scalar = str | int | float | bool | None

WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
_NUMBER_STARTS = frozenset("+-.0123456789")
_INTEGER = re.compile(r"[-+]?(?:(0[xX][0-9a-fA-F]+)|(0[bB][01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_INT64 = range(-(2**63), 2**63)


def resolve(text: str) -> Scalar:
    """Return the value of a plain (unquoted) scalar; what is no keyword and no number stays text.

    Integers beyond 64 bits become floats and integral floats integers, as they do on their way
    through Go's JSON. Source: the resolution table of goyaml v2, checked against kubectl in
    `tests/adapters/test_manifests.py`.

    >>> resolve("0644"), resolve("on"), resolve("1:30"), resolve("1_000"), resolve("=")
    (420, True, '1:30', 1000, '=')
    """
    if text in WORDS:
        return WORDS[text]
    if text[0] not in _NUMBER_STARTS:
        return text
    plain = text.replace("_", "")
    if match := _INTEGER.match(plain):
        hexadecimal, binary, octal, decimal = match.groups()
        digits, base = next(
            (digits, base)
            for digits, base in ((hexadecimal, 16), (binary, 2), (octal, 8), (decimal, 10))
            if digits is not None
        )
        return _fit(-int(digits, base) if plain[0] == "-" else int(digits, base)) if len(plain) < 400 else text
    if _FLOAT.match(plain):
        number = float(plain)
        return text if math.isinf(number) else _fit(int(number)) if number.is_integer() else number
    return text


def _fit(number: int) -> int | float:
    return number if number in _INT64 else float(number)
