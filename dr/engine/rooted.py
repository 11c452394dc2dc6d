"""A folder of a repo as a config repo of its own: the same snapshot, seen from below."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from dr.core.model import Diagnostic, Pin
from dr.core.source import Entry
from dr.engine.ports import Snapshot


class Rooted:
    """A `Snapshot` of the folder `prefix` of another one; paths count from that folder."""

    def __init__(self, whole: Snapshot, prefix: str) -> None:
        self._whole = whole
        self._start = f"{prefix}/"
        self._entries = {
            entry.path[len(self._start) :]: entry for entry in whole.entries if entry.path.startswith(self._start)
        }
        name = prefix.rpartition("/")[2]
        self._pin = replace(whole.pin, name=name, location=f"{whole.pin.location.rstrip('/')}/{prefix}")

    @property
    def pin(self) -> Pin:
        """The folder's name and location, at the repo's commit."""
        return self._pin

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The files below the folder."""
        return tuple(replace(entry, path=path) for path, entry in self._entries.items())

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What is said of files below the folder, and of the repo as a whole."""
        return tuple(
            replace(d, where=replace(d.where, file=d.where.file.removeprefix(self._start)))
            for d in self._whole.diagnostics
            if d.where.file.startswith(self._start) or not d.where.file
        )

    def read(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, bytes]]:
        """Yield the content of each of `entries`."""
        for entry, data in self._whole.read([self._entries[entry.path] for entry in entries]):
            yield replace(entry, path=entry.path[len(self._start) :]), data


def rooted(whole: Snapshot, prefix: str, config_names: Iterable[str]) -> Snapshot | None:
    """Return the folder as a repo of its own if it holds a dr.yaml, None otherwise."""
    wanted = {f"{prefix}/{name}" for name in config_names}
    return Rooted(whole, prefix) if prefix and any(entry.path in wanted for entry in whole.entries) else None
