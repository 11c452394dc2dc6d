"""Cuts a stream of JSON values, as kubectl accepts it, into tokens with their lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NoReturn

_SPACE = re.compile(r"[ \t\r\n]*")
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]|[-+.\w]+')
_SURROGATE = re.compile("[\ud800-\udfff]")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"JSON has no {constant}")


# Numbers stay text here: neither their length nor their size matters to the grammar.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse)


def span(text: str, at: int) -> tuple[int, int] | None:
    """Return where the JSON value after position `at` starts and ends; None where there is none, or it is broken."""
    match = _SPACE.match(text, at)
    start = match.end() if match else at
    try:
        return start, _DECODER.raw_decode(text, start)[1]
    except (ValueError, RecursionError):
        return None


def tokens(text: str, start: int, end: int, line: int) -> Iterator[tuple[str, str, int]]:
    """Yield (kind, content, line) for the tokens of a valid JSON value; `line` is that of `start`.

    The kind is a bracket, `"` for a string, `0` for a number or `w` for true, false and null. Half
    a surrogate pair becomes U+FFFD, as in Go.
    """
    for match in _TOKEN.finditer(text, start, end):
        line += text.count("\n", start, match.start())
        start = match.start()
        token = match[0]
        first = token[0]
        if first == '"':
            content = _SURROGATE.sub("\ufffd", json.loads(token)) if "\\" in token else token[1:-1]
            yield '"', content, line
        else:
            yield first if first in "[]{}" else "w" if first in "tfn" else "0", token, line
