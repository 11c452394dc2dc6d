"""Parses and renders kept between runs in one SQLite file, by content id; losing it costs time only."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

_SCHEMA = "CREATE TABLE IF NOT EXISTS parses (id TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
_BATCH = 500
_MAX_BYTES = 2 * 2**30


def folder() -> Path:
    """Return the cache folder: DR_CACHE_DIR, else `dr` under XDG_CACHE_HOME or ~/.cache."""
    named = os.environ.get("DR_CACHE_DIR")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(base) / "dr"


class SqliteCache:
    """A `ParseCache` in `path`. A cache that cannot be opened, read or written behaves as an empty one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, ids: Iterable[str]) -> dict[str, bytes]:
        """Return what is stored under these ids."""
        wanted = list(ids)
        found: dict[str, bytes] = {}
        if not wanted or not self._path.exists():
            return found
        with suppress(sqlite3.Error, OSError), self._open() as database:
            for start in range(0, len(wanted), _BATCH):
                batch = wanted[start : start + _BATCH]
                marks = ",".join("?" * len(batch))
                found.update(database.execute(f"SELECT id, value FROM parses WHERE id IN ({marks})", batch))  # noqa: S608 - only marks
        return found

    def put(self, values: Mapping[str, bytes]) -> None:
        """Store values; a full disk or a locked cache is not an error."""
        if not values:
            return
        with suppress(sqlite3.Error, OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._path.exists() and self._path.stat().st_size > _MAX_BYTES:
                self._path.unlink()
            with self._open() as database:
                database.executemany("INSERT OR REPLACE INTO parses VALUES (?, ?)", values.items())

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=2.0)) as database:
            database.execute("PRAGMA synchronous = OFF")
            try:
                database.execute(_SCHEMA)
            except sqlite3.DatabaseError:
                self._path.unlink(missing_ok=True)
                raise
            with database:
                yield database
