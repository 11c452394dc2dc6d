"""A mapping of a file → everything that is unknown, missing or of the wrong type in it, by path."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from dr.core.lines import line_of
from dr.core.model import Diagnostic, Document, Level, Path, Where

_PLACE = re.compile(r"(.*) - at `\$\.?(.*)`")
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_Kind = TypeVar("_Kind", bound=Struct)


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


def read(
    document: Document,
    file: str,
    kind: type[_Kind],
    name: str,
    hook: Callable[[type, object], object],
    sense: Callable[[_Kind], Iterable[tuple[Path, str]]],
) -> tuple[_Kind | None, tuple[Diagnostic, ...]]:
    """Read a document as a struct, by the fields of docs/reference/NAME.md.

    `sense` yields what is well formed and cannot be meant. Returns the struct, None when any error was found, and
    everything that is wrong, by line.
    """
    body, remedy = document.body, f"the fields are in docs/reference/{name}.md"
    if not isinstance(body, dict):
        return None, (Diagnostic(Where(file, document.line), name, Level.ERROR, file, "is no mapping", remedy),)
    wrong = list(misfits(body, kind, hook))
    found = None if wrong else msgspec.convert(body, kind, dec_hook=hook)
    if found is not None:
        wrong = list(sense(found))
    told = tuple(
        Diagnostic(
            Where(file, line_of(body, document.lines, path)),
            name,
            Level.ERROR,
            ".".join(map(str, path)) or file,
            cause,
            remedy,
        )
        for path, cause in wrong
    )
    return (None if told else found), told
