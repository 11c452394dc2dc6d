"""What adapters hand to the core: the files of a snapshot and what was read in them."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from dr.core.model import Document


class Mode(StrEnum):
    """What kind of thing an entry of a tree is."""

    FILE = "file"
    SYMLINK = "symlink"
    SUBMODULE = "submodule"


class Entry(Struct, frozen=True, order=True, gc=False):
    """One entry of a tree: its path from the repo's root, git blob id, size in bytes and mode."""

    path: str
    id: str
    size: int
    mode: Mode = Mode.FILE


class Problem(Struct, frozen=True, gc=False):
    """Something wrong in one file: its `line` (from 1), a stable code and the cause in words."""

    line: int
    code: str
    cause: str


class Parsed(Struct, frozen=True):
    """What a file holds: the documents that could be read, and what could not."""

    documents: tuple[Document, ...] = ()
    problems: tuple[Problem, ...] = ()
