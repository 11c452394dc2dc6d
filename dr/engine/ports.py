"""What the engine needs from the outside world, as Protocols; adapters fit them without importing them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from dr.core.model import Diagnostic, Pin
from dr.core.overlay import Overlay, Rendered
from dr.core.source import Entry


class Snapshot(Protocol):
    """A config repo at one commit, or a work tree as it is."""

    @property
    def pin(self) -> Pin:
        """The repo's name, location and commit."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every file, sorted by path; submodules and symlinks too, by their `mode`."""

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What could not be listed, and why."""

    def read(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, bytes]]:
        """Yield the content of each of `entries` that is a file, in that order."""


class ParseCache(Protocol):
    """Parses kept by blob id; losing it costs time only."""

    def get(self, ids: Iterable[str]) -> dict[str, bytes]:
        """Return what is stored under these ids."""

    def put(self, values: Mapping[str, bytes]) -> None:
        """Store values; a full disk or a locked cache is not an error."""


class Renderer(Protocol):
    """Builds overlays that only their own tool can build."""

    def build_all(
        self, folders: Iterable[str], files: Mapping[str, bytes], overlays: Mapping[str, Overlay]
    ) -> Mapping[str, tuple[tuple[Rendered, ...], tuple[Diagnostic, ...]]]:
        """Render overlays by folder from `files` (path → content); a failed one is a diagnostic and no objects."""

    def fingerprint(self, folder: str, ids: Mapping[str, str], overlays: Mapping[str, Overlay]) -> str:
        """Return a key under which an overlay's render may be kept, from the blob ids of its files."""
