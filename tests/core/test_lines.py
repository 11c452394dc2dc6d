"""The line of a field: right for every field, 0 for what is not there, and still right in a part of a document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.adapters.manifests import parse
from dr.core.lines import line_of, size, slice_lines
from dr.core.model import Path

VALUES = st.recursive(
    st.integers() | st.text(max_size=3) | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)


def paths(value: Any, at: Path = ()) -> Iterator[Path]:
    """Yield the path of every entry in the order in which a file has them."""
    for key, entry in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*at, key)
        yield from paths(entry, (*at, key))


def numbered(value: Any) -> bytes:
    """Return lines in which the n-th entry stands on line n."""
    return b"".join(number.to_bytes(4, "little") for number in range(1, size(value) + 1))


@given(VALUES)
def test_every_field_has_the_line_that_it_stands_on(value: Any) -> None:
    found = [line_of(value, numbered(value), path) for path in paths(value)]
    assert found == list(range(1, size(value) + 1))


@given(VALUES)
def test_a_part_of_a_document_keeps_the_lines_of_its_fields(value: Any) -> None:
    lines = numbered(value)
    for path in paths(value):
        part = value
        for key in path:
            part = part[key]
        rest = slice_lines(value, lines, path)
        assert len(rest) == 4 * size(part)
        for inner in paths(part):
            assert line_of(part, rest, inner) == line_of(value, lines, path + inner)


@given(VALUES)
def test_the_whole_document_is_a_part_of_itself(value: Any) -> None:
    assert slice_lines(value, numbered(value), ()) == numbered(value)


@pytest.mark.parametrize("path", [(), ("b",), ("a", 2), ("a", "0"), ("a", 0, "x"), (0,)])
def test_a_field_that_is_not_there_has_line_0_and_no_lines(path: Path) -> None:
    body = {"a": [1, 2]}
    lines = numbered(body)
    assert line_of(body, lines, path) == 0
    assert not path or slice_lines(body, lines, path) == b""


def test_a_document_read_without_lines_has_line_0_everywhere_however_deep_it_is() -> None:
    body = json.loads('{"a":' * 800 + "1" + "}" * 800)
    assert line_of({"x": body, "y": 1}, b"", ("y",)) == 0
    assert slice_lines({"x": body, "y": 1}, b"", ("y",)) == b""


def test_the_lines_of_a_real_file_are_those_an_editor_shows() -> None:
    (document,) = parse(b"# comment\na:\n- x\n\n- k: 1\n  z:\n    - 2\nb: |\n  text\n  more\nc: 3\n").documents
    lines = {path: line_of(document.body, document.lines, path) for path in paths(document.body)}
    assert lines == {
        ("a",): 2,
        ("a", 0): 3,
        ("a", 1): 5,
        ("a", 1, "k"): 5,
        ("a", 1, "z"): 6,
        ("a", 1, "z", 0): 7,
        ("b",): 8,
        ("c",): 11,
    }
