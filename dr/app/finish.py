"""Writes a run's reports beside its events, and its row into the history."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from dr.adapters import history
from dr.adapters.store import events, head, put
from dr.core.history import Row, row
from dr.core.move import Move, judged, move
from dr.core.recovery import Recovery, recovery
from dr.core.timeline import Timeline, fold


class Finished(Struct, frozen=True):
    """A run as its events tell it."""

    timeline: Timeline
    recovery: Recovery | None
    row: Row
    move: Move | None = None


def told(folder: Path) -> Finished:
    """Return what a run's events tell; raises StoreError."""
    found = events(folder)
    timeline, moved = fold(found), move(found)
    measured = judged(moved) if moved else recovery(found)
    return Finished(timeline, measured, row(timeline, measured, head=head(folder), folder=folder.name), moved)


def write(folder: Path, *, record: bool = True) -> Finished:
    """Write every report of a run into its folder; with `record` a row of it goes into the history too.

    Raises StoreError.
    """
    from dr.app.reports import written

    found = told(folder)
    earlier = history.rows(folder.parent, found.row.scenario)
    rows = (*(r for r in earlier if r.run != found.row.run), found.row)
    for name, content in written(found.timeline, found.recovery, rows, found.move).items():
        put(folder / name, content)
    if record:
        history.add(folder.parent, found.row)
    return found
