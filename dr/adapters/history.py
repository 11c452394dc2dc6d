"""The history of runs: `history.jsonl`, a row a line, never rewritten, and an SQLite index that is made from it."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from dr.core.errors import StoreError
from dr.core.history import Group, Point, Row
from dr.core.model import Diagnostic, Level, Where

HISTORY, INDEX = "history.jsonl", "history.sqlite"
_VERSION = 3  # of the index; another one is made anew
_SETTLED = 100_000_000  # nanoseconds; a file can change again within a tick of its clock, which is 10 ms at most
_ENCODER, _DECODER = msgspec.json.Encoder(), msgspec.json.Decoder(Row)
_TABLES = f"""
CREATE TABLE source (digest TEXT NOT NULL, size INTEGER NOT NULL, lines INTEGER NOT NULL, stamp TEXT NOT NULL);
CREATE TABLE runs (run TEXT PRIMARY KEY, time TEXT NOT NULL, scenario TEXT NOT NULL, target TEXT NOT NULL,
  verdict TEXT NOT NULL, folder TEXT NOT NULL, row BLOB NOT NULL, revision TEXT NOT NULL, rta REAL, censored REAL,
  promised REAL, objects INTEGER NOT NULL);
CREATE INDEX by_time ON runs (time, run, objects);
CREATE INDEX by_verdict ON runs (verdict, time, run);
CREATE INDEX by_target ON runs (scenario, target, time, run, verdict, folder, revision, rta, censored, promised);
CREATE INDEX by_folder ON runs (folder);
CREATE TABLE broken (line INTEGER NOT NULL, cause TEXT NOT NULL);
PRAGMA user_version = {_VERSION};
"""
_CLAUSES = {
    "scenario": "scenario = :scenario",
    "target": "target = :target",
    "verdict": "verdict = :verdict",
    "restored": "objects > 0",
    "since": "time >= :since",
    "until": "substr(time, 1, length(:until)) <= :until",
}


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


def rows(
    reports: Path,
    scenario: str = "",
    since: str = "",
    until: str = "",
    *,
    target: str = "",
    verdict: str = "",
    restored: bool = False,
    limit: int = -1,
    skip: int = 0,
) -> tuple[Row, ...]:
    """Return the runs of the past, oldest first; raises StoreError when there is a history that cannot be read.

    `since` and `until` are beginnings of ISO 8601 times (UTC), both inclusive: `until` 2026-12 takes all of December.
    `restored`: only those that restored objects. `limit`: only so many, the newest of them, after `skip` newer ones;
    -1: all.
    """
    wanted = {"scenario": scenario, "target": target, "verdict": verdict, "since": since, "until": until}
    wanted |= {"restored": "yes" if restored else ""}
    clauses = _chosen(wanted)
    asked = f"SELECT row FROM runs {clauses} ORDER BY time DESC, run DESC LIMIT :limit OFFSET :skip"  # noqa: S608
    found = _asked(reports, asked, {**wanted, "limit": limit, "skip": skip})
    return tuple(_DECODER.decode(row) for (row,) in reversed(found))


def count(reports: Path, scenario: str = "", target: str = "", verdict: str = "", *, restored: bool = False) -> int:
    """Return how many runs there are; raises StoreError."""
    wanted = {"scenario": scenario, "target": target, "verdict": verdict, "restored": "yes" if restored else ""}
    asked = f"SELECT count(*) FROM runs {_chosen(wanted)}"  # noqa: S608 - clauses of ours
    return int(_asked(reports, asked, wanted)[0][0])


def points(reports: Path, scenario: str = "", target: str = "") -> tuple[Point, ...]:
    """Return the runs as a trend needs them, by scenario and target, oldest first, all from the index; StoreError."""
    wanted = {"scenario": scenario, "target": target}
    asked = (
        "SELECT scenario, target, time, run, verdict, folder, revision, rta, censored, promised "  # noqa: S608
        f"FROM runs {_chosen(wanted)} ORDER BY scenario, target, time, run"
    )
    return tuple(Point(*found) for found in _asked(reports, asked, wanted))


def stamp(reports: Path) -> str:
    """Return what changes whenever the lines of the history do, "" while they may still change unseen."""
    return _stamp(reports)


def _chosen(wanted: Mapping[str, str]) -> str:
    """Return the clauses of what is wanted and no others, so that SQLite sees which index serves."""
    clauses = [_CLAUSES[name] for name, value in wanted.items() if value]
    return f"WHERE {' AND '.join(clauses)}" if clauses else ""


def of_folder(reports: Path, folder: str) -> Row | None:
    """Return the newest row whose run lies in this folder of `reports`; raises StoreError."""
    asked = "SELECT row FROM runs WHERE folder = :folder ORDER BY time DESC, run DESC LIMIT 1"
    found = _asked(reports, asked, {"folder": folder})
    return _DECODER.decode(found[0][0]) if found else None


def folders(reports: Path) -> frozenset[str]:
    """Return the folders of all runs that have a row; raises StoreError."""
    # One text is read in half the time of a hundred thousand; no name of a folder holds a slash.
    ((found,),) = _asked(reports, "SELECT group_concat(folder, '/') FROM runs")
    return frozenset((found or "").split("/")) - {""}


def groups(reports: Path) -> tuple[Group, ...]:
    """Return the scenarios on their targets, in order; raises StoreError."""
    asked = (
        "SELECT scenario, target, count(*), max(time), max(CASE verdict WHEN 'met' THEN time ELSE '' END) "
        "FROM runs GROUP BY scenario, target ORDER BY scenario, target"
    )
    return tuple(Group(*found) for found in _asked(reports, asked))


def latest(reports: Path) -> tuple[Row, ...]:
    """Return the newest run of every scenario on every target; raises StoreError."""
    asked = (
        "SELECT row FROM runs AS r JOIN (SELECT scenario AS s, target AS t, max(time) AS newest FROM runs "
        "GROUP BY scenario, target) ON r.scenario = s AND r.target = t AND r.time = newest ORDER BY r.scenario, "
        "r.target, r.run"
    )
    found = [_DECODER.decode(row) for (row,) in _asked(reports, asked)]
    return tuple({(row.scenario, row.target): row for row in found}.values())


def problems(reports: Path) -> tuple[Diagnostic, ...]:
    """Return the lines of the history that are no rows, which are left out; raises StoreError."""
    broken = _asked(reports, "SELECT line, cause FROM broken ORDER BY line")
    remedy = "remove the line, or bring it back from a backup; the run's own folder is as it was"
    where = str(reports / HISTORY)
    return tuple(
        Diagnostic(Where(where, line), "unreadable", Level.WARNING, HISTORY, f"no row of the history: {cause}", remedy)
        for line, cause in broken
    )


def rebuild(reports: Path) -> None:
    """Make the index anew from the lines; raises StoreError when they cannot be read."""
    _rebuild(reports, _content(reports), _stamp(reports))


def _asked(reports: Path, question: str, values: Mapping[str, Any] | None = None) -> list[Any]:
    """Put a question to an index that says what the lines say: the one there is, a new one, or one that is not kept."""
    path = reports / INDEX
    if _trusted(reports) or _brought_up(reports):
        with suppress(sqlite3.DatabaseError):
            return _answers(path, question, values)
        rebuild(reports)
    content = _content(reports)
    if content and _current(path, content):
        return _answers(path, question, values)
    with closing(sqlite3.connect(":memory:")) as database:
        _fill(database, content, "")
        return database.execute(question, values or {}).fetchall()


def _answers(path: Path, question: str, values: Mapping[str, Any] | None = None) -> list[Any]:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=2.0)) as database:
        return database.execute(question, values or {}).fetchall()


def _noted(path: Path, column: str) -> Any:
    """Return what an index of this version notes of the lines it was made from; None of another, or of none."""
    with suppress(sqlite3.Error):
        if path.is_file() and _answers(path, "PRAGMA user_version") == [(_VERSION,)]:
            return _answers(path, f"SELECT {column} FROM source")[0][0]  # noqa: S608 - a column of ours
    return None


def _stamp(reports: Path) -> str:
    """Return what changes whenever the lines do; "" where there are none, or where they have changed just now."""
    try:
        found = (reports / HISTORY).stat()
    except OSError:
        return ""
    settled = time.time_ns() - max(found.st_ctime_ns, found.st_mtime_ns) > _SETTLED
    return f"{found.st_mtime_ns} {found.st_size} {found.st_ctime_ns} {found.st_ino}" if settled else ""


def _untouched(path: Path, stamp: str) -> bool:
    """Return whether an index has the time that it was given for the lines of this stamp: writing to it shows."""
    with suppress(OSError):
        return bool(stamp) and path.stat().st_mtime_ns == int(stamp.split(maxsplit=1)[0])
    return False


def _trusted(reports: Path) -> bool:
    """Return whether lines and index are, by their files' times, what they were when the one was made from the other.

    Neither is read for that: a hundred thousand runs are a hundred megabytes.
    """
    stamp, path = _stamp(reports), reports / INDEX
    return _untouched(path, stamp) and _noted(path, "stamp") == stamp


def _brought_up(reports: Path) -> bool:
    """Bring the index up to the lines, by the new ones only where it is sound; return whether there is one now."""
    stamp, content = _stamp(reports), _content(reports)
    if not content:
        return False
    path = reports / INDEX
    if _extended(path, content, stamp):
        return True
    _rebuild(reports, content, stamp)
    return _current(path, content)


def _content(reports: Path) -> bytes:
    path = reports / HISTORY
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}", "check its permissions") from None


def _current(path: Path, content: bytes) -> bool:
    """Return whether an index was made by this version from exactly these lines."""
    return bool(_noted(path, "digest") == blake2b(content).hexdigest())


def _extended(path: Path, content: bytes, stamp: str) -> bool:
    """Add the lines that an index does not know yet; return False for one that is not sound or knows others."""
    known = _noted(path, "stamp")
    if known is None:
        return False
    try:
        if not _untouched(path, known) and _answers(path, "PRAGMA quick_check") != [("ok",)]:
            return False
        with closing(sqlite3.connect(path, timeout=2.0)) as database:
            database.execute("BEGIN IMMEDIATE")
            digest, size, lines = database.execute("SELECT digest, size, lines FROM source").fetchone()
            old, new = memoryview(content)[:size], content[size:]
            read = blake2b(old)
            if len(old) < size or read.hexdigest() != digest or (new and bytes(old[-1:]) != b"\n"):
                return False
            _insert(database, new, lines)
            read.update(new)
            _note(database, read.hexdigest(), content, stamp)
        _touch(path, stamp)
    except (sqlite3.Error, OSError):
        return False
    return True


def _rebuild(reports: Path, content: bytes, stamp: str) -> None:
    """Put a new index in the place of the old one, as a whole; where nothing can be written there is none."""
    made = reports / f".{INDEX}.{os.getpid()}"
    try:
        with suppress(sqlite3.Error, OSError):
            made.unlink(missing_ok=True)
            with closing(sqlite3.connect(made)) as database:
                _fill(database, content, stamp)
            _touch(made, stamp)
            made.replace(reports / INDEX)
    finally:
        with suppress(OSError):
            made.unlink(missing_ok=True)


def _touch(path: Path, stamp: str) -> None:
    """Give an index the time of the lines it was made from; one of lines that may still change has its own."""
    if stamp:
        modified = int(stamp.split(maxsplit=1)[0])
        os.utime(path, ns=(modified, modified))


def _fill(database: sqlite3.Connection, content: bytes, stamp: str) -> None:
    database.executescript(_TABLES)
    _insert(database, content, 0)
    _note(database, blake2b(content).hexdigest(), content, stamp)


def _insert(database: sqlite3.Connection, content: bytes, before: int) -> None:
    """Insert rows line by line, after so many lines that are known."""
    broken: list[tuple[int, str]] = []

    def found() -> Iterator[tuple[Any, ...]]:
        for number, read in _decoded(content.split(b"\n"), before + 1):
            if isinstance(read, Row):
                key = (read.run, read.time, read.scenario, read.target, read.verdict, read.folder)
                yield (*key, _ENCODER.encode(read), read.commit, read.rta, read.censored, read.promised, read.objects)
            else:
                broken.append((number, read))

    database.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", found())
    database.executemany("INSERT INTO broken VALUES (?, ?)", broken)


def _note(database: sqlite3.Connection, digest: str, content: bytes, stamp: str) -> None:
    database.execute("DELETE FROM source")
    noted = (digest, len(content), content.count(b"\n"), stamp)
    database.execute("INSERT INTO source VALUES (?, ?, ?, ?)", noted)
    database.commit()


def _decoded(lines: Iterable[bytes], first: int = 1) -> Iterator[tuple[int, Row | str]]:
    """Yield each line's number, from `first` on, with its row, or with why it is none."""
    for number, line in enumerate(lines, first):
        if line.strip():
            try:
                yield number, _DECODER.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                yield number, str(error)
