"""The values that everything else passes along: frozen, comparable, free of I/O."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct

Body = dict[str, Any]
Path = tuple[str | int, ...]


class Strength(StrEnum):
    """How much of *before* an edge wants before *after* may start."""

    EXISTS = "exists"
    READY = "ready"
    SOFT = "soft"


class Basis(StrEnum):
    """How an edge is known; a declared order outranks an inferred one."""

    DECLARED = "declared"
    REFERENCE = "reference"
    INFERRED = "inferred"


class Origin(StrEnum):
    """Where a node of the graph comes from."""

    GIT = "git"
    DERIVED = "derived"
    MISSING = "missing"


class Level(StrEnum):
    """How bad a diagnostic is; `LEVELS` has them from mild to grave."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


LEVELS = tuple(Level)


class Ref(Struct, frozen=True, order=True, gc=False):
    """A Kubernetes object's identity. `namespace` is "" for cluster-scoped kinds."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @property
    def group(self) -> str:
        """The API group, "" for core."""
        group, slash, _ = self.api_version.rpartition("/")
        return group if slash else ""

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class Where(Struct, frozen=True, order=True, gc=False):
    """A place in a repo at a commit. `line` counts from 1; 0 means the file as a whole."""

    file: str
    line: int = 0
    repo: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{self.repo}!{place}" if self.repo else place


class Diagnostic(Struct, frozen=True, order=True):
    """Something a person should know: what, where, why, and what to do about it.

    `code` is a stable word (a row of `rules.findings`), `subject` names the object or file.
    """

    where: Where
    code: str
    level: Level
    subject: str
    cause: str
    remedy: str = ""


class Document(Struct, frozen=True):
    """One YAML or JSON document as read.

    `lines` holds the line of every mapping entry and sequence item in document order
    (32-bit little-endian numbers), so that `line_of` finds a field's line only when asked.
    """

    body: Any
    line: int
    lines: bytes = b""


class Resource(Struct, frozen=True):
    """One Kubernetes object of the repo at a commit, and the unit that deploys it."""

    ref: Ref
    where: Where
    body: Body
    unit: str = ""
    env: str = ""
    lines: bytes = b""


class Unit(Struct, frozen=True, order=True):
    """What a team deploys as one: a Kustomization, an Application, a service, an overlay, a folder.

    `owner` is the object in git that stands for the unit (a Flux Kustomization, an Application):
    it is complete when the unit's objects are. `artifact` is what the unit comes back at.
    """

    name: str
    kind: str
    path: str
    env: str = ""
    repo: str = ""
    artifact: str = ""
    owner: Ref | None = None


class Node(Struct, frozen=True):
    """A node of the graph. Its index in `Graph.nodes` is its identity there.

    `where` is None for what is not in git; `origin` says why.
    """

    ref: Ref
    origin: Origin
    unit: str = ""
    env: str = ""
    where: Where | None = None


class Edge(Struct, frozen=True, order=True, gc=False):
    """*before* → *after*, by node index. `where` is the line that proves it, `rule` the row that found it."""

    before: int
    after: int
    strength: Strength
    basis: Basis
    rule: str
    reason: str
    where: Where


class Cycle(Struct, frozen=True):
    """A dependency cycle by its edges, and the soft edges proposed to be cut.

    `deadlock` is True when the cycle has no edge that may be cut: the repo cannot come back as
    written. `proven` is False where the cut is small but not shown to be the smallest.
    """

    edges: tuple[Edge, ...]
    cut: tuple[Edge, ...]
    deadlock: bool
    proven: bool = True


class Prerequisite(Struct, frozen=True, order=True):
    """Something a restore needs that is not in git, and who needs it (the first few by name)."""

    kind: str
    name: str
    reason: str
    remedy: str
    count: int
    needed_by: tuple[str, ...]
    where: Where


class Pin(Struct, frozen=True):
    """A repo as it was read. `commit` is "" for a folder outside git; `dirty` for an uncommitted work tree."""

    name: str
    location: str
    commit: str = ""
    time: str = ""
    dirty: bool = False


class Graph(Struct, frozen=True):
    """The restore-order graph: nodes and edges in a canonical order, whatever the file order was.

    `cuts` are the soft edges left out so that `edges` without them is acyclic.
    """

    pins: tuple[Pin, ...]
    units: tuple[Unit, ...]
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    cycles: tuple[Cycle, ...]
    cuts: frozenset[Edge]
    prerequisites: tuple[Prerequisite, ...]
    diagnostics: tuple[Diagnostic, ...]
