"""Finds a field's line in `Document.lines`, which has one number for each mapping entry and sequence item."""

from __future__ import annotations

from typing import Any

from dr.core.model import Path

_WIDTH = 4


def line_of(body: Any, lines: bytes, path: Path) -> int:
    """Return the line (from 1) of the entry at `path` below `body`; 0 where there is none, or no lines are known.

    `lines`: 32-bit little-endian numbers, one for each entry of `body` in preorder.

    >>> line_of({"a": [5, 6], "b": 7}, bytes((1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 9, 0, 0, 0)), ("b",))
    9
    """
    found = _find(body, path) if lines and path else None
    return int.from_bytes(lines[found[0] * _WIDTH :][:_WIDTH], "little") if found else 0


def slice_lines(body: Any, lines: bytes, path: Path) -> bytes:
    """Return the lines of the value at `path`, such that it and they make a document of their own."""
    found = _find(body, path) if lines else None
    if not found:
        return b""
    start = (found[0] + 1) * _WIDTH
    return lines[start : start + size(found[1]) * _WIDTH]


def size(value: Any) -> int:
    """Return how many mapping entries and sequence items a value holds at any depth, itself not counted."""
    if isinstance(value, dict):
        return len(value) + sum(map(size, value.values()))
    return len(value) + sum(map(size, value)) if isinstance(value, list) else 0


def _find(value: Any, path: Path) -> tuple[int, Any] | None:
    """Return the position of the entry at `path` in preorder (-1 for the root), and its value."""
    position = -1
    for part in path:
        entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, entry in entries:
            position += 1
            if key == part:
                value = entry
                break
            position += size(entry)
        else:
            return None
    return position, value
