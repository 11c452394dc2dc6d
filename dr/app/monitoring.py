"""Answers `dr report metrics`: what is known of the past, for those who watch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from dr.adapters import history
from dr.app.answer import Answer
from dr.app.notices import UNDELIVERED
from dr.core.errors import StoreError, UsageError
from dr.core.herd import Herded
from dr.report.console import line, many
from dr.report.data import SCHEMA_VERSION, encode
from dr.report.history_metrics import history_metrics

_DAY = 86_400.0
_HERDED = "herd.json"


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
    for path in sorted(reports.glob(f"*/{_HERDED}")):
        with suppress(OSError, msgspec.DecodeError):
            herded = msgspec.json.decode(path.read_bytes(), type=Herded)
            found[herded.herd] = herded
    return tuple(found.values())


def metrics(reports: Path, form: str, limits: Mapping[str, float], textfile: Path | None) -> Answer:
    """Answer `dr report metrics`: the history for Prometheus, written in one piece to `textfile` where one is given."""
    left = sum(path.read_bytes().count(b"\n") for path in reports.glob(f"*/{UNDELIVERED}"))
    content = history_metrics(history.latest(reports), history.groups(reports), limits, left, newest(reports))
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
