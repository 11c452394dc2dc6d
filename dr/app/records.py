"""Records of runs on disk: which there are, whether they are what was written, and what was noted afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from dr.adapters import history, store
from dr.adapters.manifests import parse
from dr.adapters.store import EVENTS
from dr.app.finish import told
from dr.core import chained
from dr.core.errors import NotFound, StoreError
from dr.core.gameday import FollowUp
from dr.core.history import Row
from dr.report.gameday_data import data
from dr.report.run_text import cut

FOLLOW_UP, REPORT = "follow-up.yaml", "report.json"
_FEW = 5


class Checked(Struct, frozen=True):
    """A run's record as it was checked: its lines and head, what is wrong by file, and what could not be checked."""

    lines: int
    head: str
    faults: tuple[tuple[str, chained.Fault], ...]
    notes: tuple[str, ...] = ()


def check(folder: Path) -> Checked:
    """Check a run's record: the chain of its events, its end, and that report and history say what the events say.

    Raises StoreError when the events cannot be read.
    """
    path = folder / EVENTS
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}", "give the folder of a run") from None
    report, wrong = _report(folder)
    kept = history.of_folder(folder.parent, folder.name)
    heads = {REPORT: str(report.get("head") or ""), history.HISTORY: kept.head if kept else ""}
    noted = sorted({head for head in heads.values() if head})
    faults = [(EVENTS, fault) for fault in chained.check(lines, noted[0] if len(noted) == 1 else "")]
    head = chained.head(lines)
    if len(noted) > 1:
        said = ((file, noted) for file, noted in heads.items() if noted != head)
        faults += [
            (file, chained.Fault(0, f"names another head, {noted[:16]}…, than the events have")) for file, noted in said
        ]
    faults += [(REPORT, chained.Fault(0, cause)) for cause in wrong]
    try:
        found = told(folder)
    except StoreError as error:
        return Checked(len(lines), head, (*faults, (EVENTS, chained.Fault(0, error.cause))))
    new: dict[str, Any] = msgspec.json.decode(data(found.timeline, found.recovery, head=report.get("head", "")))
    faults += [(REPORT, chained.Fault(0, cause)) for cause in _differing(report, new)]
    if kept:
        row = msgspec.to_builtins(replace(found.row, head=kept.head))
        old = msgspec.to_builtins(kept)
        faults += [(history.HISTORY, chained.Fault(0, f"{found.row.run}: {cause}")) for cause in _differing(old, row)]
    notes = () if noted else ("no head was kept elsewhere: whether the end was cut off cannot be seen",)
    return Checked(len(lines), head, tuple(faults), notes)


def _report(folder: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a run's report.json, empty when there is none, and what is wrong with it."""
    try:
        found = msgspec.json.decode((folder / REPORT).read_bytes())
    except FileNotFoundError:
        return {}, ()
    except (OSError, msgspec.MsgspecError) as error:
        return {}, (f"cannot be read: {error}",)
    return (found, ()) if isinstance(found, dict) else ({}, ("is no report",))


def _differing(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Yield where what was written differs from what the events tell; what a later `dr` adds is no difference."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key, value in old.items():
            yield from _differing(value, new.get(key), f"{path}.{key}" if path else key)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _differing(one, other, f"{path}[{number}]")
    elif old != new:
        yield f"{path} is {_brief(old)}, the events say {_brief(new)}"


def _brief(value: Any) -> str:
    return cut(msgspec.json.encode(value).decode())


def follow_up(folder: Path) -> tuple[tuple[FollowUp, ...], tuple[str, ...]]:
    """Return what a run left to do, from `follow-up.yaml` in its folder, and what is wrong with that file."""
    path = folder / FOLLOW_UP
    try:
        parsed = parse(path.read_bytes())
    except FileNotFoundError:
        return (), ()
    except OSError as error:
        return (), (f"{path}: {error.strerror}",)
    body = parsed.documents[0].body if parsed.documents else []
    wrong = tuple(f"{path}:{problem.line}: {problem.cause}" for problem in parsed.problems)
    try:
        return msgspec.convert(body, tuple[FollowUp, ...], str_keys=True), wrong
    except msgspec.ValidationError as error:
        return (), (*wrong, f"{path}: {error}: a list of what, owner, due and retest")


def find(run: str, reports: Path) -> Path:
    """Return the folder of a run, by path, name, the start of one, or `latest`; raises NotFound."""
    if (Path(run) / EVENTS).is_file():
        return Path(run).resolve()
    names = sorted(path.parent.name for path in reports.glob(f"*/{EVENTS}"))
    if not names:
        raise NotFound(f"{reports} holds no runs", "give the runs' folder with --reports, or the folder of a run")
    if run == "latest":
        # What does not begin with a date is a sample.
        return reports / max(names, key=lambda name: (name[:1].isdigit(), name))
    fitting = [name for name in names if name == run] or [name for name in names if name.startswith(run)]
    if len(fitting) == 1:
        return reports / fitting[0]
    shown = ", ".join((fitting or names)[-_FEW:])
    if fitting:
        raise NotFound(f"{run!r} fits {len(fitting)} runs", f"write more of the name: {shown}")
    raise NotFound(f"{reports} holds no run {run!r}", f"the latest are {shown}; `dr report list` shows all")


def past(
    reports: Path, scenario: str = "", until: str = "", limit: int = -1
) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """Return the runs of the past, oldest first, and what could not be read; `limit`: only so many, the newest.

    A run that was killed before it could be entered into the history is told by its events.
    """
    killed, notes = untold(reports)
    notes = (*(f"{problem.where}: {problem.cause}" for problem in history.problems(reports)), *notes)
    lost = (r for r in killed if scenario in ("", r.scenario) and (not until or r.time[: len(until)] <= until))
    found = [*history.rows(reports, scenario, until=until, limit=limit), *lost]
    rows = {row.folder: row for row in sorted(found, key=lambda r: (r.time, r.run))}.values()
    return tuple(sorted(rows, key=lambda r: (r.time, r.run)))[-limit if limit > 0 else 0 :], notes


def untold(reports: Path) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """Return the runs that have events and no row in the history, and what could not be read of them."""
    known = history.folders(reports)
    rows, notes = [], []
    for name in sorted(store.folders(reports) - known):
        if (reports / name / EVENTS).is_file():
            try:
                rows.append(told(reports / name).row)
            except StoreError as error:
                notes.append(error.cause)
    return tuple(rows), tuple(notes)
