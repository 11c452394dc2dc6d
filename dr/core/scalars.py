"""What a YAML scalar means to kubectl: YAML 1.1 as sigs.k8s.io/yaml reads it, then Go's JSON."""

from __future__ import annotations

import binascii
import math
import re
import struct
from decimal import Decimal
from types import NoneType

Scalar = str | int | float | bool | None

WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
TAGGED: dict[str, tuple[type, ...]] = {"int": (int,), "float": (float, int), "bool": (bool,), "null": (NoneType,)}
_NUMBER_STARTS = frozenset("+-.0123456789")
_INTEGER = re.compile(r"[-+]?(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]{0,19}))\Z")
_BASES = (0, 16, 2, 8, 10)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
# What starts with a point is left to Go's own number syntax, which wants a digit on both sides of "_".
_POINT = re.compile(r"\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+(?:_[0-9]+)*)?\Z")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_LEAST, _MOST, _MOST_UNSIGNED = -(2**63), 2**63 - 1, 2**64 - 1


def resolve(text: str) -> Scalar:
    """Return the value of a plain (unquoted) scalar; what is no keyword and no number stays text.

    Integers beyond 64 bits become floats and integral floats integers, as they do on their way
    through Go's JSON; `.inf` and `.nan`, which JSON lacks, are returned as floats. Source: the
    resolution table of goyaml v2, checked against kubectl in `tests/adapters/test_manifests.py`.

    >>> resolve("0644"), resolve("on"), resolve("1:30"), resolve("1_000"), resolve("=")
    (420, True, '1:30', 1000, '=')
    """
    if text in WORDS:
        return WORDS[text]
    if text[0] not in _NUMBER_STARTS:
        return text
    value = _decode(text)
    if value.__class__ is int and not _LEAST <= value <= _MOST:
        return float(value)
    if isinstance(value, float) and value.is_integer():
        integer = int(Decimal(repr(value)))  # by its shortest digits, as Go writes it
        return integer if _LEAST <= integer <= _MOST else value
    return value


def cast(text: str, tag: str) -> Scalar:
    """Return the value of a scalar with an explicit tag (`int` for `!!int`), quoted or not.

    A tag that is not of YAML's own JSON types leaves the text as it is. Raises ValueError when
    the text is no such value: kubectl refuses that file.
    """
    if tag == "binary":
        if not _BASE64.fullmatch(text := re.sub("[\r\n]", "", text)):
            raise ValueError("what !!binary holds is no base64")
        data = binascii.a2b_base64(text)
        # One replacement character for each byte, as Go has it; Python's "replace" would take several at once.
        return re.sub("[\ud800-\udfff]", "\ufffd", data.decode("utf-8", "surrogateescape"))
    if tag not in TAGGED:
        return text
    if type(_decode(text)) not in TAGGED[tag]:
        raise ValueError(f"{text[:80]!r} is no !!{tag}")
    return resolve(text)


def key(text: str) -> str | None:
    """Return a plain scalar as a mapping key, which JSON has as text; None where kubectl refuses it.

    >>> key("on"), key("0x1F"), key("1.10"), key("1e6"), key("null")
    ('true', '31', '1.1', '1e+06', None)
    """
    return key_of(_decode(text))


def key_of(value: Scalar) -> str | None:
    """Return a value as a mapping key; None for null and for integers beyond 64 bits."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _single(value)
    return None if value is None or value > _MOST else str(value)


def _decode(text: str) -> Scalar:
    """Return what goyaml makes of a plain scalar, before JSON."""
    if text in WORDS:
        return WORDS[text]
    if text[0] not in _NUMBER_STARTS:
        return text
    if text[0] == ".":
        number = float(text) if _POINT.match(text) else math.inf
    else:
        plain = text.replace("_", "")
        if match := _INTEGER.match(plain):
            group = match.lastindex or 0
            integer = int(match[group], _BASES[group])
            if plain[0] == "-" and -integer >= _LEAST:
                return -integer
            if plain[0] != "-" and integer <= (_MOST if plain[0] == "+" else _MOST_UNSIGNED):
                return integer
        number = float(plain) if _FLOAT.match(plain) else math.inf
    return text if math.isinf(number) else number


def _single(number: float) -> str:
    """Return a float as Go's FormatFloat(number, 'g', -1, 32): keys go through 32 bits."""
    if math.isnan(number):
        return ".nan"
    try:
        single = _rounded(number)
    except OverflowError:
        single = math.copysign(math.inf, number)
    if math.isinf(single):
        return ".inf" if single > 0 else "-.inf"
    digits = next(count for count in range(9) if count == 8 or _rounded(float(f"{single:.{count}e}")) == single)
    scientific = f"{single:.{digits}e}"
    exponent = int(scientific.partition("e")[2])
    return f"{single:.{max(digits - exponent, 0)}f}" if -4 <= exponent < 6 else scientific


def _rounded(number: float) -> float:
    single: float = struct.unpack("<f", struct.pack("<f", number))[0]
    return single
