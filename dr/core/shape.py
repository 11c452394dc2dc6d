"""A mapping of a file → everything that is unknown, missing or of the wrong type in it, by path."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from dr.core.model import Path

_PLACE = re.compile(r"(.*) - at `\$\.?(.*)`")
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def misfits(
    body: dict[str, Any], kind: type[Struct], hook: Callable[[type, object], object]
) -> Iterator[tuple[Path, str]]:
    """Yield each field that does not fit a struct, and why: one error for each top-level field.

    `hook` reads types of our own, as msgspec's `dec_hook`.
    """
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name in body.keys() - fields.keys():
        yield (name,), f"there is no field `{name}`; there are {', '.join(fields)}"
    for name, field in fields.items():
        if name not in body:
            if field.required:
                yield (), f"`{name}` is missing"
            continue
        try:
            msgspec.convert(body[name], field.type, dec_hook=hook)
        except (msgspec.ValidationError, ValueError) as error:
            found = _PLACE.fullmatch(str(error))
            cause, below = found.groups() if found else (str(error), "")
            steps = tuple(word or int(number) for word, number in _STEP.findall(below) if word != "...")
            yield (name, *steps), cause
