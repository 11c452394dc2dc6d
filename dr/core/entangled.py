"""A mapping with merges or with keys that stand twice: which entry counts, and the lines of those that do."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any

from dr.core.lines import size

Lines = array  # of 32-bit unsigned numbers
Entry = tuple[str, Any, "Lines[int]"]


class Entangled:
    """Collects entries in document order; the last of a key counts, and stands where it is.

    A merge counts where it stands, as in goyaml v2 and so in kubectl: it overrides what is above
    it, unlike in YAML's own definition. `found` starts with the entries read so far, whose lines
    are given.
    """

    def __init__(self, found: dict[str, Any], lines: Lines[int]) -> None:
        self.found = found
        self._parts = split(found.items(), lines)
        self._own = set(found)

    def put(self, key: str, value: Any, lines: Lines[int]) -> bool:
        """Add an entry with its lines; return whether its key was written above, not merged."""
        twice = key in self._own
        self._set(key, value, lines)
        self._own.add(key)
        return twice

    def merge(self, entries: list[Entry]) -> list[str]:
        """Add what a merge brings; return the keys above that it overrides."""
        overridden = [key for key, _, _ in entries if key in self._own]
        for entry in entries:
            self._set(*entry)
        self._own.difference_update(overridden)
        return overridden

    def lines(self) -> Iterable[Lines[int]]:
        """Return the lines of the entries that count, in the order of `found`."""
        return self._parts.values()

    def _set(self, key: str, value: Any, lines: Lines[int]) -> None:
        for mapping in (self.found, self._parts):
            mapping.pop(key, None)
        self.found[key], self._parts[key] = value, lines


def split(entries: Iterable[tuple[Any, Any]], lines: Lines[int]) -> dict[Any, Lines[int]]:
    """Return the lines of each entry: its own first, then those of what it holds."""
    parts: dict[Any, Lines[int]] = {}
    end = 0
    for key, value in entries:
        start, end = end, end + 1 + size(value)
        parts[key] = lines[start:end]
    return parts


def merged(value: Any, lines: Lines[int], *, many: bool) -> list[Entry] | None:
    """Return the entries of `<<: value`, weakest first; None if it is no mapping.

    With `many` a list of mappings is one too: the first has the last word.
    """
    sources = [(value, lines)]
    if many and isinstance(value, list):
        sources = [(value[index], part[1:]) for index, part in split(enumerate(value), lines).items()]
    if not all(isinstance(source, dict) for source, _ in sources):
        return None
    return [
        (key, source[key], part)
        for source, own in reversed(sources)
        for key, part in split(source.items(), own).items()
    ]


def extent(value: Any) -> tuple[int, int]:
    """Return how many characters of text a value holds, and how many levels."""
    if isinstance(value, str):
        return len(value), 0
    if not isinstance(value, (dict, list)):
        return 0, 0
    within = [extent(item) for item in (value.values() if isinstance(value, dict) else value)]
    text = sum(map(len, value)) if isinstance(value, dict) else 0
    return text + sum(e[0] for e in within), 1 + max((e[1] for e in within), default=0)
