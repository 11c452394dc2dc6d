"""The shape of an experiment's file, as far as anything of `dr` relies on it; Chaos Toolkit checks the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dr.core.lines import line_of
from dr.core.model import Document, Path

_MAPPINGS = ("configuration", "secrets", "steady-state-hypothesis")
_LISTS = ("method", "rollbacks", "controls", "extensions")


def misshapen(document: Document | None) -> Iterator[tuple[int, str]]:
    """Yield what is not as it must be: its line (0 where none is known), and the cause."""
    body = document.body if document else None
    if document is None or not isinstance(body, dict) or not isinstance(body.get("method"), list):
        yield (document.line if document else 0), "is no experiment of Chaos Toolkit: it has no list called `method`"
        return
    for path, cause in _misfits(body):
        yield line_of(body, document.lines, path), f"`{'.'.join(map(str, path))}` {cause}"


def _misfits(body: dict[Any, Any]) -> Iterator[tuple[Path, str]]:
    for name in _MAPPINGS:
        if not isinstance(body.get(name) or {}, dict):
            yield (name,), "is no mapping"
    for name in _LISTS:
        yield from _rows(body.get(name), (name,))
    steady = body.get("steady-state-hypothesis")
    if isinstance(steady, dict):
        yield from _rows(steady.get("probes"), ("steady-state-hypothesis", "probes"))


def _rows(rows: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if rows is not None and not isinstance(rows, list):
        yield path, "is no list"
        return
    for index, row in enumerate(rows or ()):
        if not isinstance(row, dict):
            yield (*path, index), "is no mapping"
        elif not isinstance(row.get("provider", {}), dict):
            yield (*path, index, "provider"), "is no mapping"
