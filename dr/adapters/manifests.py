"""Bytes of a YAML or JSON file → documents, as kubectl would read them, with the line of every field."""

from __future__ import annotations

import math
import re
import sys
from array import array
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import yaml
from msgspec import Struct

from dr.core import jsontext, scalars
from dr.core.entangled import Entangled, Entry, extent, merged
from dr.core.model import Body, Document
from dr.core.source import Parsed, Problem
from dr.core.templates import has_action, without_actions

MAX_DEPTH = 128
_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"
# From 0.2.6 on libyaml, which reads ahead, gives up before we come to that depth.
_LIBYAML_TOO_DEEP = "exceeded maximum nesting depth"
MAX_NODES = 4_000_000
MAX_ALIASED = 100_000
MAX_ALIASED_TEXT = 10_000_000
MAX_PROBLEMS = 1_000
_TAG = "tag:yaml.org,2002:"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_PEEK = 4096
# Hidden names of the C extension: PyYAML exports its parser only mixed into loaders.
_Parser: Any = getattr(__import__("yaml._yaml"), "_yaml").CParser  # noqa: B009
# Keys recur in every file: this spares the work, and the memory of holding each anew.
_SHORT = 64
_short_key = lru_cache(maxsize=4096)(scalars.key)
_Scalar, _MappingEnd, _SequenceEnd = yaml.ScalarEvent, yaml.MappingEndEvent, yaml.SequenceEndEvent


class _Bad(Exception):
    def __init__(self, line: int, code: str, cause: str) -> None:
        self.problem = Problem(line, code, cause)


class _Anchor(Struct):
    """A value to be repeated; how much text and how many levels it holds is measured when it is."""

    value: Any
    lines: array[int]
    extent: tuple[int, int] | None = None


def parse(data: bytes) -> Parsed:
    """Read every document of a file.

    Never raises on bad input: a broken document costs itself and what follows it in the same
    file, and one `Problem`. Codes of what is lost: `binary`, `lfs-pointer`, `template`,
    `yaml-syntax`, `yaml-bomb`; of what is read all the same: `duplicate-anchor`, `duplicate-key`,
    `kubectl-refuses`, `merge-overrides`, `not-a-number`, `not-utf-8`.
    """
    if data.startswith(b"version https://git-lfs.github.com/spec/"):
        return Parsed(problems=(Problem(1, "lfs-pointer", "the file is a Git LFS pointer, not its content"),))
    if data.startswith(_UTF16):
        data = data.decode("utf-16", "replace").encode()
    if b"\0" in data[: 2 * _PEEK]:
        return Parsed(problems=(Problem(1, "binary", "the file is binary, not YAML"),))
    if not data.endswith(b"\n"):
        data += b"\n"
    documents, problems, failure = _read(data)
    if failure:
        text, found = _text(data)
        if (mended := _mended(text).encode()) != data:
            documents, problems, failure = _read(mended)
            problems = [*found, *problems]
        if failure:
            problems.append(_template(text, failure) or failure)
    return Parsed(tuple(documents), tuple(problems))


def written(body: Body) -> str:
    """Return an object as YAML, its fields in their order."""
    return str(yaml.dump(body, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


_BREAKS = frozenset("\x85\u2028\u2029")  # YAML would read a line's end in them, and others would not


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as such."""


def _style(value: str) -> str | None:
    if _BREAKS.intersection(value) or scalars.resolve(value) != value:  # Kubernetes reads more as no text: y, 0o7
        return '"'
    return "|" if "\n" in value.strip("\n") else None


_Dumper.add_representer(
    str, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:str", value, style=_style(value))
)


def _read(data: bytes) -> tuple[list[Document], list[Problem], Problem | None]:
    """Return the documents, what is wrong within them, and why reading ended early if it did."""
    builder = _Builder(_events(data))
    documents: list[Document] = []
    try:
        documents.extend(builder.documents())
    except _Bad as error:
        return documents, builder.problems, error.problem
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return documents, builder.problems, _syntax(error, data)
    return documents, builder.problems, None


def _syntax(error: Exception, data: bytes) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = mark.line if mark else data.count(b"\n", 0, getattr(error, "position", 0))
    cause = " ".join(str(getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML").split())
    if cause == _LIBYAML_TOO_DEEP:
        return Problem(line + 1, "yaml-bomb", _TOO_DEEP)
    return Problem(line + 1, "yaml-syntax", cause)


def _text(data: bytes) -> tuple[str, list[Problem]]:
    try:
        return data.decode(), []
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return data.decode(errors="replace"), [
            Problem(line, "not-utf-8", "not UTF-8: kubectl reads \ufffd here; save it as UTF-8")
        ]


def _mended(text: str) -> str:
    """Return text with what kubectl tolerates and libyaml does not put right; lines stay as they are."""
    return re.sub(r"(?m)^---(?=#)", "--- ", re.sub(r"(?m)(\A|^---[^\S\n]*\n)\ufeff+", r"\1", text))


def _template(text: str, failure: Problem) -> Problem | None:
    """Return the failure as a template's if actions made it: it is YAML without them, or breaks where one stands."""
    if failure.code != "yaml-syntax" or (rest := without_actions(text)) == text:
        return None
    remaining = _read(rest.encode())[2]
    line = "".join(text.splitlines()[failure.line - 1 : failure.line])
    if remaining and remaining.code == "yaml-syntax" and not has_action(line):
        return None
    return Problem(failure.line, "template", "a template, to be rendered by its own tool before it is YAML")


def _events(data: bytes) -> Callable[[], Any]:
    """Return what gives the next event: like kubectl, JSON first where a file starts with a brace."""
    start = data[:_PEEK].decode(errors="replace").removeprefix("\ufeff").lstrip()
    return _json_then_yaml(data).__next__ if start.startswith("{") else _Parser(data).get_event


def _json_then_yaml(data: bytes) -> Iterator[Any]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = ""
    at = len(text) - len(text.lstrip())
    line = text.count("\n", 0, at)
    while span := jsontext.span(text, at):
        line += text.count("\n", at, span[0])
        yield yaml.DocumentStartEvent(_at(line))
        for kind, content, place in jsontext.tokens(text, *span, line):
            yield _JSON[kind](content, _at(place))
        yield yaml.DocumentEndEvent()
        line += text.count("\n", *span)
        at = span[1]
    rest = b"\n" * line + text[at:].encode() if at else data
    yield from iter(_Parser(rest).get_event, None)


def _at(line: int) -> yaml.Mark:
    return yaml.Mark("", 0, line, 0, None, 0)


# A number of JSON bears a tag, so that one beyond all floats is a problem, as it is to kubectl.
_JSON: dict[str, Callable[[str, yaml.Mark], yaml.Event]] = {
    "{": lambda _, mark: yaml.MappingStartEvent(None, None, True, mark),
    "[": lambda _, mark: yaml.SequenceStartEvent(None, None, True, mark),
    "}": lambda _, mark: yaml.MappingEndEvent(mark),
    "]": lambda _, mark: yaml.SequenceEndEvent(mark),
    '"': lambda content, mark: yaml.ScalarEvent(None, None, (False, True), content, mark),
    "0": lambda content, mark: yaml.ScalarEvent(None, _TAG + "float", (False, False), content, mark),
    "w": lambda content, mark: yaml.ScalarEvent(None, None, (True, False), content, mark),
}


class _Builder:
    """Builds values straight from the parser's events: bounded, iterative over documents, with lines."""

    def __init__(self, events: Callable[[], Any]) -> None:
        self.problems: list[Problem] = []
        self._next = events
        self._nodes = 0
        self._aliased = 0
        self._aliased_text = 0
        self._anchors: dict[str, _Anchor | None] = {}
        self._lines: array[int] = array("I")

    def documents(self) -> Iterator[Document]:
        while (start := self._next()).__class__ is not yaml.StreamEndEvent:
            if start.__class__ is yaml.DocumentStartEvent:
                self._anchors, self._lines = {}, array("I")
                body = self._value(event := self._next(), 0)
                if body is not None:
                    if start.version or start.tags or (start.explicit and _line(start) == _line(event)):
                        self._report(start, "kubectl-refuses", "kubectl takes neither % lines nor content beside ---")
                    yield Document(body, _line(event), _packed(self._lines))

    def _value(self, event: Any, depth: int) -> Any:
        kind = event.__class__
        if (anchor := event.anchor) is None:
            return self._scalar(event) if kind is _Scalar else self._nested(event, kind, depth)
        if kind is yaml.AliasEvent:
            return self._alias(event, depth)
        if anchor in self._anchors:
            self._report(event, "duplicate-anchor", f"&{anchor[:80]} is defined twice; aliases below mean this one")
        self._anchors[anchor] = None
        start = len(self._lines)
        value = self._scalar(event) if kind is _Scalar else self._nested(event, kind, depth)
        self._anchors[anchor] = _Anchor(value, self._lines[start:])
        return value

    def _nested(self, event: Any, kind: type, depth: int) -> Any:
        if depth >= MAX_DEPTH:
            raise _bad(event, "yaml-bomb", _TOO_DEEP)
        if self._nodes > MAX_NODES:
            raise _bad(event, "yaml-bomb", f"more than {MAX_NODES:,} values in one file")
        value = self._mapping(depth + 1) if kind is yaml.MappingStartEvent else self._sequence(depth + 1)
        self._nodes += len(value)
        return value

    def _alias(self, event: Any, depth: int) -> Any:
        anchor = self._anchors.get(event.anchor)
        if anchor is None:
            within = event.anchor in self._anchors
            cause = f"alias *{event.anchor[:80]} " + ("contains itself" if within else "has no anchor")
            raise _bad(event, "yaml-bomb" if within else "yaml-syntax", cause)
        self._aliased += len(anchor.lines)
        if self._aliased > MAX_ALIASED:
            raise _bad(event, "yaml-bomb", f"aliases expand to more than {MAX_ALIASED:,} values")
        anchor.extent = anchor.extent or extent(anchor.value)
        text, levels = anchor.extent
        self._aliased_text += text
        if self._aliased_text > MAX_ALIASED_TEXT:
            raise _bad(event, "yaml-bomb", f"aliases expand to more than {MAX_ALIASED_TEXT:,} characters")
        if depth + levels > MAX_DEPTH:
            raise _bad(event, "yaml-bomb", _TOO_DEEP)
        self._lines.extend(anchor.lines)
        return anchor.value

    def _sequence(self, depth: int) -> list[Any]:
        items: list[Any] = []
        following, line_at = self._next, self._lines.append
        while (event := following()).__class__ is not _SequenceEnd:
            line_at(event.start_mark.line + 1)
            items.append(self._value(event, depth))
        return items

    def _mapping(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        lines, following = self._lines, self._next
        begin, line_at = len(lines), lines.append
        while (event := following()).__class__ is not _MappingEnd:
            key = self._key(event, depth)
            if key is None or key in found:
                return self._entangled(found, begin, key, event, depth)
            line_at(event.start_mark.line + 1)
            found[key] = self._value(following(), depth)
        return found

    def _entangled(self, found: dict[str, Any], begin: int, key: str | None, event: Any, depth: int) -> dict[str, Any]:
        """Finish a mapping with merges or a key twice: its entries' lines are put in order at its end."""
        lines = self._lines
        mapping = Entangled(found, lines[begin:])
        while True:
            del lines[begin:]
            if key is None:
                for name in mapping.merge(self._merged(event, depth)):
                    cause = f'<< overrides the "{name[:80]}" above it in kubectl, but not in newer YAML tools'
                    self._report(event, "merge-overrides", cause)
            else:
                lines.append(_line(event))
                if mapping.put(key, self._value(self._next(), depth), lines[begin:]):
                    self._report(event, "duplicate-key", f'key "{key[:80]}" stands twice; the last one counts')
            if (event := self._next()).__class__ is _MappingEnd:
                break
            key = self._key(event, depth)
        del lines[begin:]
        for part in mapping.lines():
            lines.extend(part)
        return found

    def _merged(self, key: Any, depth: int) -> list[Entry]:
        event, begin = self._next(), len(self._lines)
        value = self._value(event, depth)
        entries = merged(value, self._lines[begin:], many=event.__class__ is not yaml.AliasEvent)
        if entries is None:
            raise _bad(key, "yaml-syntax", "<< merges a mapping or a list of mappings")
        return entries

    def _key(self, event: Any, depth: int) -> str | None:
        """Return the key's text as JSON would have it; None for a merge key."""
        scalar = event.__class__ is _Scalar
        plain = scalar and event.implicit[0]
        if plain and event.anchor is None and event.tag is None:
            text: str = event.value
            if text == "<<":
                return None
            key = _short_key(text) if len(text) <= _SHORT else scalars.key(text)
            return self._named(event, key) if key is None else key
        value = self._value(event, depth)
        if isinstance(value, (dict, list)):
            raise _bad(event, "yaml-syntax", "a mapping key must be a scalar")
        if scalar and event.value == "<<" and (plain or event.tag == _TAG + "merge"):
            return None
        tag = event.tag.removeprefix(_TAG) if scalar and event.tag else ""
        raw = (plain and not event.tag) or tag in scalars.TAGGED
        return self._named(event, scalars.key(event.value) if raw else scalars.key_of(value))

    def _named(self, event: Any, key: str | None) -> str:
        if key is None:
            self._report(event, "kubectl-refuses", "kubectl takes neither null nor more than 64 bits as a key")
            key = event.value if event.__class__ is _Scalar else ""
        return key

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        tag = event.tag
        if tag is None:
            if not event.implicit[0]:
                return text
            value = scalars.resolve(text)
        elif tag.startswith(_TAG):
            try:
                value = scalars.cast(text, tag.removeprefix(_TAG))
            except ValueError as error:
                self._report(event, "kubectl-refuses", str(error))
                return text
        else:
            return text
        if value.__class__ is float and not math.isfinite(value):
            self._report(event, "not-a-number", f"JSON cannot hold {text[:80]}")
            return text
        return value

    def _report(self, event: Any, code: str, cause: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(_line(event), code, cause))


def _bad(event: Any, code: str, cause: str) -> _Bad:
    return _Bad(_line(event), code, cause)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _packed(lines: array[int]) -> bytes:
    if sys.byteorder == "big":
        lines.byteswap()
    return lines.tobytes()
