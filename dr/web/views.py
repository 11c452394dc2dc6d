"""What each page says: the folder of reports → values."""

from __future__ import annotations

import os
import time
from collections import Counter
from datetime import UTC, datetime

import msgspec

from dr.adapters import history, run_files, store
from dr.adapters.run_files import HERD_MOST, HERDS
from dr.adapters.store import EVENTS
from dr.core import stale as staleness
from dr.core.errors import NotFound, StoreError
from dr.core.events import Ended, decode
from dr.core.herd import Herded
from dr.core.herd_findings import findings
from dr.web.answers import Graphs, Herd, HerdLine, Herds, Now, Quiet, Run, Running, Runs, Stale
from dr.web.site import Site
from dr.web.stored import REPORT, has_graph

HERD = "herd.json"
VERDICTS = ("met", "missed", "aborted", "interrupted", "not begun")
_TAIL = 256 << 10  # bytes
_PAGE, _LIVE, _SILENT = 50, 12, 50
_QUIET = 600.0  # seconds without an event, after which a run counts as silent: longer than any single wait is said
_HERD_DECODER = msgspec.json.Decoder(Herded)


def now(site: Site) -> Now:
    """Return what is under way; a run that has not told anything for ten minutes is silent."""
    moment = time.time()
    aged = [(name, max(0.0, moment - changed)) for name, changed in site.untold()]
    open_runs = [(name, quiet) for name, quiet in aged if not _ended(site, name)]
    lively = [(name, quiet) for name, quiet in open_runs if quiet < _QUIET]
    silent = tuple(Quiet(name, quiet) for name, quiet in open_runs if quiet >= _QUIET)
    shown = tuple(_watched(site, name, quiet) for name, quiet in lively[:_LIVE])
    more = max(0, len(lively) - _LIVE) + max(0, len(silent) - _SILENT)
    return Now(shown, silent[:_SILENT], more)


def _watched(site: Site, run: str, quiet: float) -> Running:
    seen = site.tails.get(run).seen()
    return Running(seen.picture, round(quiet, 1), seen.lines, seen.notes)


def _ended(site: Site, run: str) -> bool:
    """Return whether the last whole line of a run's log is its end."""
    try:
        with run_files.opened(site.reports, run, EVENTS) as file:
            lines = run_files.read(file, max(0, os.fstat(file).st_size - _TAIL), _TAIL).splitlines(keepends=True)
        return any(isinstance(event, Ended) for event in decode(lines[-1:]))
    except (NotFound, ValueError, OSError):
        return False


def runs(site: Site, scenario: str, cluster: str, verdict: str, page: int) -> Runs:
    """Return a page of the history, newest first."""
    total = history.count(site.reports, scenario, cluster, verdict)
    found = history.rows(site.reports, scenario, target=cluster, verdict=verdict, limit=_PAGE, skip=_PAGE * (page - 1))
    plain = page == 1 and not (scenario or cluster or verdict)
    untold = tuple(name for name, _ in site.untold()) if plain else ()
    return Runs(tuple(reversed(found)), total, page, pages(total), scenario, cluster, verdict, untold)


def pages(total: int) -> int:
    """Return how many pages so many entries are; there is always a first one."""
    return max(1, -(-total // _PAGE))


def run(site: Site, run: str) -> Run:
    """Return a run by the name of its folder; raises NotFound."""
    row = history.of_folder(site.reports, run)
    logged = site.has(run, EVENTS)
    if row is None and not logged:
        raise NotFound(f"there is no run {run!r}", "/runs lists those that there are")
    watched = None
    if row is None:
        known = dict(site.untold())
        watched = _watched(site, run, max(0.0, time.time() - known.get(run, time.time())))
    return Run(run, row, watched, site.has(run, REPORT), logged and has_graph(site.reports, run))


def stale(site: Site) -> Stale:
    """Return the staleness board of this moment; raises StoreError."""
    moment = datetime.now(UTC)
    return Stale(
        moment.isoformat(timespec="seconds"), staleness.board(history.groups(site.reports), site.limits, moment)
    )


def herds(site: Site, page: int) -> Herds:
    """Return the runs of herds, newest first."""
    names = sorted((name for name in store.folders(site.reports) if HERDS in name), reverse=True)
    names = [name for name in names if site.has(name, HERD)]
    found, unread = [], []
    for name in names[_PAGE * (page - 1) : _PAGE * page]:
        try:
            herd = _herd(site, name)
        except (NotFound, StoreError) as error:
            unread.append((name, error.cause))
            continue
        states = dict(sorted(Counter(member.state for member in herd.members).items()))
        found.append(HerdLine(name, herd.herd, herd.title, herd.time, herd.verdict, herd.budget, herd.spent, states))
    return Herds(tuple(found), tuple(unread), page, pages(len(names)))


def herd(site: Site, run: str) -> Herd:
    """Return a run of a herd; raises NotFound, and StoreError when its result cannot be read."""
    found = _herd(site, run)
    known = {member.run for member in found.members if member.run}
    here = tuple(sorted(name for name in known if site.has(name, EVENTS)))
    return Herd(found, findings(found), here, site.has(run, REPORT))


def _herd(site: Site, run: str) -> Herded:
    content = run_files.content(site.reports, run, HERD, HERD_MOST)
    try:
        return _HERD_DECODER.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoreError(
            f"{HERD} of {run!r} is no herd's result: {error}", "it is written anew as the herd goes on"
        ) from None


def graphs(site: Site, page: int) -> Graphs:
    """Return the newest runs of which there is a graph; raises StoreError."""
    total = history.count(site.reports, restored=True)
    found = history.rows(site.reports, restored=True, limit=_PAGE, skip=_PAGE * (page - 1))
    return Graphs(tuple(reversed(found)), page, pages(total))
