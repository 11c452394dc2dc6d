"""Bytes of a YAML or JSON file → documents, as kubectl would read them, with the line of every field."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import sys
from array import array
from collections.abc import Callable, Iterator
from typing import Any

import yaml
from msgspec import Struct

from dr.core.model import Document
from dr.core.scalars import resolve
from dr.core.source import Parsed, Problem

MAX_DEPTH = 128
MAX_NODES = 4_000_000
MAX_ALIASED = 100_000
_TAG = "tag:yaml.org,2002:"
_TEMPLATE = re.compile(rb"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
# Hidden names of the C extension: PyYAML exports its parser only mixed into loaders.
_Parser: Any = getattr(__import__("yaml._yaml"), "_yaml").CParser  # noqa: B009


class _Bad(Exception):
    def __init__(self, line: int, code: str, cause: str) -> None:
        self.problem = Problem(line, code, cause)


class _Anchor(Struct):
    value: Any
    lines: array[int]
    line: int


def parse(data: bytes) -> Parsed:
    """Read every document of a file.

    Never raises on bad input: a broken document costs itself and what follows it in the same
    file, and one `Problem`. Codes: `binary`, `lfs-pointer`, `template`, `yaml-syntax`,
    `yaml-bomb`, `duplicate-key`, `duplicate-anchor`, `not-a-number`.
    """
    if data.startswith(b"version https://git-lfs.github.com/spec/"):
        return Parsed(problems=(Problem(1, "lfs-pointer", "the file is a Git LFS pointer, not its content"),))
    if b"\0" in data[:8192] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Parsed(problems=(Problem(1, "binary", "the file is binary, not YAML"),))
    builder = _Builder(data)
    documents: list[Document] = []
    try:
        documents.extend(builder.documents())
    except (_Bad, yaml.YAMLError) as error:
        problem = error.problem if isinstance(error, _Bad) else _syntax(error)
        if (strict := _strict_json(data)) is not None:
            return Parsed((Document(strict, 1),))
        if _TEMPLATE.search(data) and problem.code == "yaml-syntax":
            problem = Problem(problem.line, "template", "a template, to be rendered by its own tool before it is YAML")
        builder.problems.append(problem)
    return Parsed(tuple(documents), tuple(builder.problems))


def _strict_json(data: bytes) -> Any:
    if not data.lstrip().startswith(b"{"):
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _syntax(error: Exception) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    cause = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
    return Problem(mark.line + 1 if mark else 1, "yaml-syntax", " ".join(str(cause).split()))


class _Builder:
    """Builds values straight from the C parser's events: bounded, iterative over documents, with lines."""

    def __init__(self, data: bytes) -> None:
        self.problems: list[Problem] = []
        self._next: Callable[[], Any] = _Parser(data).get_event
        self._nodes = 0
        self._aliased = 0
        self._anchors: dict[str, _Anchor | None] = {}
        self._lines: array[int] = array("I")
        self._keys: dict[str, str] = {}

    def documents(self) -> Iterator[Document]:
        while not isinstance(event := self._next(), yaml.StreamEndEvent):
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors, self._lines = {}, array("I")
                event = self._next()
                line = event.start_mark.line + 1
                body = self._value(event, 0)
                if body is not None:
                    yield Document(body, line, _packed(self._lines))

    def _value(self, event: Any, depth: int) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._bad(event, "yaml-bomb", f"more than {MAX_NODES:,} values in one file")
        kind = event.__class__
        if kind is yaml.AliasEvent:
            return self._alias(event)
        if (anchor := event.anchor) is None:
            return self._plain(event, kind, depth)
        if anchor in self._anchors:
            cause = f"anchor &{anchor} is defined twice; aliases below mean this one"
            self.problems.append(Problem(event.start_mark.line + 1, "duplicate-anchor", cause))
        self._anchors[anchor] = None
        start = len(self._lines)
        value = self._plain(event, kind, depth)
        self._anchors[anchor] = _Anchor(value, self._lines[start:], event.start_mark.line + 1)
        return value

    def _plain(self, event: Any, kind: type, depth: int) -> Any:
        if kind is yaml.ScalarEvent:
            return event.value if event.implicit[1] and not event.implicit[0] else self._scalar(event)
        if depth >= MAX_DEPTH:
            raise self._bad(event, "yaml-bomb", f"nested deeper than {MAX_DEPTH} levels")
        return self._mapping(depth + 1) if kind is yaml.MappingStartEvent else self._sequence(depth + 1)

    def _alias(self, event: Any) -> Any:
        anchor = self._anchors.get(event.anchor)
        if anchor is None:
            within = event.anchor in self._anchors
            cause = f"alias *{event.anchor} " + ("contains itself" if within else "has no anchor")
            raise self._bad(event, "yaml-bomb" if within else "yaml-syntax", cause)
        self._aliased += len(anchor.lines)
        if self._aliased > MAX_ALIASED:
            raise self._bad(event, "yaml-bomb", f"aliases expand to more than {MAX_ALIASED:,} values")
        self._lines.extend(anchor.lines)
        return anchor.value

    def _sequence(self, depth: int) -> list[Any]:
        items: list[Any] = []
        while (event := self._next()).__class__ is not yaml.SequenceEndEvent:
            self._lines.append(event.start_mark.line + 1)
            items.append(self._value(event, depth))
        return items

    def _mapping(self, depth: int) -> dict[str, Any]:
        lines = self._lines
        found: dict[str, Any] = {}
        spans: dict[str, tuple[int, int]] = {}
        merged: list[tuple[Any, int]] = []
        begin, straight = len(lines), True
        while (event := self._next()).__class__ is not yaml.MappingEndEvent:
            line = event.start_mark.line + 1
            start = len(lines)
            key = self._key(event, depth)
            if key is None:
                del lines[start:]
                merged.append((self._value(self._next(), depth), line))
                del lines[start:]
                straight = False
                continue
            if key in found:
                self.problems.append(Problem(line, "duplicate-key", f'key "{key}" stands twice; the last one counts'))
                del found[key]
                straight = False
            lines.append(line)
            found[key] = self._value(self._next(), depth)
            spans[key] = (start, len(lines))
        if straight:
            return found
        kept = array("I")
        for key in found:
            kept.extend(lines[slice(*spans[key])])
        for source, line in merged:
            for key, value in self._merge(source, line):
                if key not in found:
                    found[key] = value
                    kept.extend([line] * (1 + _count(value)))
        del lines[begin:]
        lines.extend(kept)
        return found

    def _key(self, event: Any, depth: int) -> str | None:
        """Return the key's text as JSON would have it; None for a merge key."""
        if event.__class__ is yaml.ScalarEvent and event.anchor is None:
            text: str = event.value
            if event.implicit[0]:
                if text == "<<":
                    return None
                value = resolve(text)
                if value.__class__ is not str:
                    text = _key_text(value) or text
            return self._keys.setdefault(text, text)
        value = self._value(event, depth)
        if isinstance(value, (dict, list)):
            raise self._bad(event, "yaml-syntax", "a mapping key must be a scalar")
        return value if isinstance(value, str) else _key_text(value) or ""

    def _merge(self, source: Any, line: int) -> Iterator[tuple[str, Any]]:
        for part in source if isinstance(source, list) else [source]:
            if not isinstance(part, dict):
                raise _Bad(line, "yaml-syntax", "<< merges mappings only")
            self._aliased += _count(part)
            if self._aliased > MAX_ALIASED:
                raise _Bad(line, "yaml-bomb", f"aliases expand to more than {MAX_ALIASED:,} values")
            yield from part.items()

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        tag = event.tag or ""
        if (event.implicit[0] and tag != "!") or tag in (_TAG + "int", _TAG + "float", _TAG + "bool", _TAG + "null"):
            value = resolve(text)
            if isinstance(value, float) and not math.isfinite(value):
                self.problems.append(Problem(event.start_mark.line + 1, "not-a-number", f"JSON cannot hold {text}"))
                return text
            return value
        if tag == _TAG + "binary":
            try:
                return base64.b64decode(text, validate=False).decode("utf-8", "replace")
            except (binascii.Error, ValueError):
                raise self._bad(event, "yaml-syntax", "!!binary holds no base64") from None
        return text

    def _bad(self, event: Any, code: str, cause: str) -> _Bad:
        return _Bad(event.start_mark.line + 1, code, cause)


def _key_text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else f"{value}"


def _count(value: Any) -> int:
    """Return how many entries and items a value holds, itself not counted."""
    if isinstance(value, dict):
        return len(value) + sum(map(_count, value.values()))
    return len(value) + sum(map(_count, value)) if isinstance(value, list) else 0


def _packed(lines: array[int]) -> bytes:
    if sys.byteorder == "big":
        lines.byteswap()
    return lines.tobytes()
