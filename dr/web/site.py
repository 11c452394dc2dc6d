"""What the pages are made of: the reports' folder and what is known of it, kept while it does not change."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from dr.adapters import history, run_files, store
from dr.adapters.store import EVENTS
from dr.web.tails import Seen, Tails

T = TypeVar("T")
_SETTLED = 0.1  # seconds; a folder can change again within a tick of its clock
_LATEST = 200  # folders without a row that are looked at


class Site:
    """A folder of reports.

    limits: after how many seconds without a met run a scenario is stale. metrics: what `dr report metrics` prints.
    render: draws where a run stands, as HTML.
    """

    def __init__(
        self, reports: Path, limits: Mapping[str, float], metrics: Callable[[], bytes], render: Callable[[Seen], str]
    ) -> None:
        self.reports, self.limits, self.metrics = reports, limits, metrics
        self.tails = Tails(reports, render)
        self._lock = Lock()
        self._kept: dict[str, tuple[str, Any]] = {}

    def kept(self, name: str, stamp: str, make: Callable[[], T]) -> T:
        """Return what was made under this name when the stamp was the same; "" is no stamp, and keeps nothing."""
        with self._lock:  # held while it is made: many who ask at once make it once
            found = self._kept.get(name)
            if found and stamp and found[0] == stamp:
                value: T = found[1]
                return value
            value = make()
            self._kept[name] = (stamp, value)
            return value

    def untold(self) -> tuple[tuple[str, float], ...]:
        """Return the folders that hold events and have no row in the history, and when each changed last, Unix time.

        The newest come first, and only so many of them. Raises StoreError.
        """
        names = self.kept("untold", self._stamp(), lambda: store.folders(self.reports) - history.folders(self.reports))
        found = []
        for name in sorted(names, reverse=True)[:_LATEST]:
            try:
                path = self.reports / name / EVENTS
                if not path.is_symlink() and path.is_file():
                    found.append((name, path.stat().st_mtime))
            except OSError:
                continue
        return tuple(sorted(found, key=lambda entry: (-entry[1], entry[0])))

    def _stamp(self) -> str:
        try:
            changed = self.reports.stat().st_mtime_ns
        except OSError:
            return ""
        if time.time() - changed / 1e9 < _SETTLED:
            return ""
        lines = history.stamp(self.reports)
        return f"{changed} {lines}" if lines or not (self.reports / history.HISTORY).exists() else ""

    def has(self, run: str, name: str) -> bool:
        """Return whether a run has a file of this name."""
        return run_files.there(self.reports, run, name)
