"""Answers `dr report metrics`: what is known of the past, for those who watch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from dr.adapters import history, run_files, store
from dr.adapters.run_files import HERD_MOST, HERDS
from dr.app.answer import Answer
from dr.app.notices import UNDELIVERED
from dr.core.errors import NotFound, StoreError, UsageError
from dr.core.herd import Herded
from dr.report.console import line, many
from dr.report.data import SCHEMA_VERSION, encode
from dr.report.history_metrics import history_metrics

_DAY = 86_400.0
_HERDED = "herd.json"
_NOTICES_MOST = 4 << 20  # bytes


def limits(said: Sequence[str]) -> dict[str, float]:
    """Return after how many seconds scenarios are stale, from `SCENARIO=DAYS`; raises UsageError."""
    found = {}
    for one in said:
        name, _, days = one.rpartition("=")
        try:
            found[name] = float(days.removesuffix("d")) * _DAY
        except ValueError:
            found[name] = 0.0
        if not name or not 0 < found[name] < float("inf"):
            raise UsageError(f"--stale {one}: that is no scenario with its days", 'write --stale "a pod dies=90"')
    return found


def all_limits(said: Sequence[str], schedules: Sequence[Path]) -> dict[str, float]:
    """Return after how many seconds scenarios are stale: by schedules, and by `SCENARIO=DAYS`, which outranks it.

    Raises UsageError, and ConfigError for a file that is wrong.
    """
    from dr.app.schedules import stale_after

    return {**dict(filter(None, map(stale_after, schedules))), **limits(said)}


def newest(reports: Path) -> tuple[Herded, ...]:
    """Return how the newest run of each herd stands; what cannot be read is left out."""
    found = {}
    for run in sorted(name for name in store.folders(reports) if HERDS in name):
        with suppress(NotFound, StoreError, msgspec.MsgspecError, UnicodeDecodeError):
            herded = msgspec.json.decode(run_files.content(reports, run, _HERDED, HERD_MOST), type=Herded)
            found[herded.herd] = herded
    return tuple(found.values())


def undelivered(reports: Path) -> int:
    """Return how many notices nobody got; what cannot be read is left out."""
    left = 0
    for run in run_files.holding(reports, store.folders(reports), UNDELIVERED):
        with suppress(NotFound, StoreError):
            left += run_files.content(reports, run, UNDELIVERED, _NOTICES_MOST).count(b"\n")
    return left


def metrics(reports: Path, form: str, limits: Mapping[str, float], textfile: Path | None) -> Answer:
    """Answer `dr report metrics`: the history for Prometheus, written in one piece to `textfile` where one is given."""
    told = undelivered(reports), newest(reports)
    content = history_metrics(history.latest(reports), history.groups(reports), limits, *told)
    if textfile is None:
        return Answer(content=content)
    try:
        made = textfile.with_name(f".{textfile.name}.{os.getpid()}")
        made.write_bytes(content)
        made.replace(textfile)
    except OSError as error:
        raise StoreError(f"{textfile} cannot be written: {error.strerror}", "choose another with --textfile") from None
    count = content.count(b"\n# TYPE ") + content.startswith(b"# TYPE ")
    if form == "json":
        return Answer(content=encode({"schema": SCHEMA_VERSION, "textfile": str(textfile), "metrics": count}))
    return Answer((line(f"{many(count, 'metric')} written to {textfile}"),))
