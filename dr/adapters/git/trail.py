"""What each unit comes back at: the last commit that changed it, and what its message says of the release."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from dr.adapters.git.command import Git
from dr.core.model import Pin

_TRAILER = re.compile(r"([A-Za-z][A-Za-z0-9-]*): +(\S.*)")
_FORMAT = "%H%x00%cI%x00%an%x00%s%x00%(trailers:only,unfold)"


class Release(Struct, frozen=True):
    """A commit as an audit wants it: `trailers` are the `Key: value` lines that its message ends with."""

    commit: str
    time: str
    author: str
    subject: str
    trailers: tuple[tuple[str, str], ...] = ()


def last_changes(pin: Pin, paths: Iterable[str]) -> dict[str, Release]:
    """Return the last commit at or before a pin that changed each path; nothing where there is no history to read."""
    if not pin.commit or not Path(pin.location).is_dir():
        return {}
    git = Git(pin.location, pin.location)
    found = {}
    for path in paths:
        said = git.run("log", "-1", f"--format={_FORMAT}", pin.commit, "--", path or ".")
        parts = said.out.decode(errors="replace").rstrip("\n").split("\0")
        if len(parts) == 5:
            commit, time, author, subject, trailers = parts
            rows = (match for line in trailers.split("\n") if (match := _TRAILER.fullmatch(line.strip())))
            found[path] = Release(commit, time, author, subject, tuple((row[1], row[2]) for row in rows))
    return found
