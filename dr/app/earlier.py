"""The moves that are written down already: the one that goes on, and the one that estimates are from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from dr.adapters.store import EVENTS, events
from dr.core.errors import StoreError
from dr.core.events import AnyEvent, Began, Moving, Stage
from dr.core.model import Ref
from dr.core.move import Move, move
from dr.core.progress import progress
from dr.core.work import Assignment

FORK = "forklift"


class Known(Struct, frozen=True):
    """What was done between two clusters before. `folder` and `events` of the move that goes on, if one does.

    begun: the new cluster holds a part of the platform. left: what an earlier commit has left there that this one does
    not have. other: the newest move, where it was of another commit; refused: why it cannot be left for this one.
    """

    folder: Path | None = None
    events: tuple[AnyEvent, ...] = ()
    begun: bool = False
    left: tuple[Ref, ...] = ()
    other: str = ""
    refused: str = ""


def known(reports: Path, assignment: Assignment, was: str, will: str) -> Known:
    """Return what is known of moves between two clusters (by UID) since the old one was last retired.

    A move of another commit is left for a new one while no user depends on it.
    """
    found = list(_between(reports, was, will))
    if not found:
        return Known()
    begun = [told for _, told in found if any(isinstance(e, Stage) and e.stage == "bootstrap" for e in told)]
    git = {_key(step.ref) for step in assignment.steps}
    left = {_key(step.ref): step.ref for told in begun for step in _began(told).steps}
    spare = tuple(sorted(ref for key, ref in left.items() if key not in git))
    folder, told = found[0]
    if _began(told).digest == assignment.digest:
        return Known(folder, told, bool(begun), spare)
    refused = "" if progress(told).home else "users, or their writes, are on the new cluster, or on their way there"
    return Known(None, (), bool(begun), spare, folder.name, refused)


def _between(reports: Path, was: str, will: str) -> Iterator[tuple[Path, tuple[AnyEvent, ...]]]:
    for folder in sorted(reports.glob("*/"), reverse=True):
        if not (folder / EVENTS).is_file() or FORK not in folder.name:
            continue
        try:
            found = events(folder)
        except StoreError:
            continue
        moving = next((event for event in found if isinstance(event, Moving)), None)
        if moving is None or (moving.old.uid, moving.new.uid) != (was, will):
            continue
        if "retire" in progress(found).passed:
            return
        yield folder, found


def _began(told: tuple[AnyEvent, ...]) -> Began:
    return next(event for event in told if isinstance(event, Began))


def _key(ref: Ref) -> tuple[str, str, str]:
    return ref.kind, ref.namespace, ref.name


def last_move(reports: Path, title: str) -> tuple[Move | None, str]:
    """Return the newest move of this title that moved everybody, and its run; None where there is none."""
    for folder in sorted(reports.glob("*/"), reverse=True):
        if FORK in folder.name and (folder / EVENTS).is_file():
            try:
                found = move(events(folder))
            except StoreError:
                continue
            same = found and found.recovery and found.recovery.announced.title == title
            if found and same and found.verdict in ("moved", "missed"):
                return found, folder.name
    return None, ""
