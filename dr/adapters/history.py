"""The history of runs: `history.jsonl`, a row a line, never rewritten, and an SQLite index that is made from it."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import msgspec

from dr.core.errors import StoreError
from dr.core.history import Row
from dr.core.model import Diagnostic, Level, Where

HISTORY, INDEX = "history.jsonl", "history.sqlite"
_VERSION = 1  # of the index; another one is made anew
_ENCODER, _DECODER = msgspec.json.Encoder(), msgspec.json.Decoder(Row)
_TABLES = f"""
CREATE TABLE source (digest TEXT NOT NULL);
CREATE TABLE runs (run TEXT PRIMARY KEY, time TEXT NOT NULL, scenario TEXT NOT NULL, row BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX by_scenario ON runs (scenario, time);
CREATE TABLE broken (line INTEGER NOT NULL, cause TEXT NOT NULL);
PRAGMA user_version = {_VERSION};
"""


def add(reports: Path, row: Row) -> None:
    """Append a run's row and hand it to the disk; a later row of the same run counts. Raises StoreError."""
    path = reports / HISTORY
    try:
        reports.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            size = os.fstat(file).st_size
            # What a crash has left half written stays a line of its own.
            torn = size and os.pread(file, 1, size - 1) != b"\n"
            line = (b"\n" if torn else b"") + _ENCODER.encode(row) + b"\n"
            while line:
                line = line[os.write(file, line) :]
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}", "make room, or choose another folder") from None


def rows(reports: Path, scenario: str = "", since: str = "", until: str = "") -> tuple[Row, ...]:
    """Return the runs of the past, oldest first; raises StoreError when there is a history that cannot be read.

    `since` and `until` are beginnings of ISO 8601 times (UTC), both inclusive: `until` 2026-12 takes all of December.
    """
    asked = (
        "SELECT row FROM runs WHERE (:scenario = '' OR scenario = :scenario) AND time >= :since "
        "AND (:until = '' OR substr(time, 1, length(:until)) <= :until) ORDER BY time, run"
    )
    with _index(reports) as database:
        found = database.execute(asked, {"scenario": scenario, "since": since, "until": until}).fetchall()
    return tuple(_DECODER.decode(row) for (row,) in found)


def problems(reports: Path) -> tuple[Diagnostic, ...]:
    """Return the lines of the history that are no rows, which are left out; raises StoreError."""
    with _index(reports) as database:
        broken = database.execute("SELECT line, cause FROM broken ORDER BY line").fetchall()
    remedy = "remove the line, or bring it back from a backup; the run's own folder is as it was"
    where = str(reports / HISTORY)
    return tuple(
        Diagnostic(Where(where, line), "unreadable", Level.WARNING, HISTORY, f"no row of the history: {cause}", remedy)
        for line, cause in broken
    )


def rebuild(reports: Path) -> None:
    """Make the index anew from the lines; raises StoreError when they cannot be read."""
    _rebuild(reports, _content(reports))


@contextmanager
def _index(reports: Path) -> Iterator[sqlite3.Connection]:
    """Open an index that says what the lines say: the one that is there, a new one, or one that is not kept."""
    content = _content(reports)
    path = reports / INDEX
    if content and not _current(path, content):
        _rebuild(reports, content)
    kept = _current(path, content)
    with closing(sqlite3.connect(path if kept else ":memory:", timeout=2.0)) as database:
        if not kept:
            _fill(database, content)
        yield database


def _content(reports: Path) -> bytes:
    path = reports / HISTORY
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}", "check its permissions") from None


def _current(path: Path, content: bytes) -> bool:
    """Return whether an index was made by this version from exactly these lines, and is sound."""
    if not path.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=2.0)) as database:
            if database.execute("PRAGMA user_version").fetchone() != (_VERSION,):
                return False
            sound: tuple[str] = database.execute("PRAGMA quick_check").fetchone()
            source: tuple[str] | None = database.execute("SELECT digest FROM source").fetchone()
            return sound == ("ok",) and source == (sha256(content).hexdigest(),)
    except sqlite3.Error:
        return False


def _rebuild(reports: Path, content: bytes) -> None:
    """Put a new index in the place of the old one, as a whole; where nothing can be written there is none."""
    made = reports / f".{INDEX}.{os.getpid()}"
    try:
        with suppress(sqlite3.Error, OSError):
            made.unlink(missing_ok=True)
            with closing(sqlite3.connect(made)) as database:
                _fill(database, content)
            made.replace(reports / INDEX)
    finally:
        with suppress(OSError):
            made.unlink(missing_ok=True)


def _fill(database: sqlite3.Connection, content: bytes) -> None:
    found: dict[str, Row] = {}
    broken: list[tuple[int, str]] = []
    for number, read in _decoded(content.split(b"\n")):
        if isinstance(read, Row):
            found[read.run] = read
        else:
            broken.append((number, read))
    database.executescript(_TABLES)
    database.execute("INSERT INTO source VALUES (?)", (sha256(content).hexdigest(),))
    database.executemany(
        "INSERT INTO runs VALUES (?, ?, ?, ?)",
        [(row.run, row.time, row.scenario, _ENCODER.encode(row)) for row in found.values()],
    )
    database.executemany("INSERT INTO broken VALUES (?, ?)", broken)
    database.commit()


def _decoded(lines: Iterable[bytes]) -> Iterator[tuple[int, Row | str]]:
    """Yield each line's number with its row, or with why it is none."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield number, _DECODER.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                yield number, str(error)
