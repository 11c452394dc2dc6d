"""What the engine needs from the outside world, as Protocols; adapters fit them without importing them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Protocol

from msgspec import Struct

from dr.core.chaos import Restored, Said
from dr.core.events import Event, Operation, Target
from dr.core.forklift import Traffic
from dr.core.hidden import Live
from dr.core.model import Body, Diagnostic, Pin, Ref
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


class Api(Struct, frozen=True):
    """How a kind is served: its resource name and whether its objects have a namespace."""

    group: str
    version: str
    kind: str
    resource: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """The version as an object names it."""
        return f"{self.group}/{self.version}" if self.group else self.version


class Change(Struct, frozen=True):
    """What a watch saw: an object as it is now, or (`gone`) its last state before it went."""

    body: Body
    gone: bool = False


class Cluster(Protocol):
    """A Kubernetes API server. Every method raises ApiError, which says whether it can heal."""

    async def identity(self) -> Target:
        """Return who this cluster is: the UID of `kube-system` and its CA's fingerprint."""

    async def api(self, api_version: str, kind: str) -> Api:
        """Return how a kind is served; raises ApiError (`NoMatch`, heals) where it is not, or not yet."""

    async def kinds(self) -> tuple[Api, ...]:
        """Return every kind that can be listed, in the version that the server prefers."""

    async def apply(self, body: Body, *, manager: str, dry_run: bool = False) -> tuple[Body, Operation]:
        """Apply on the server; return the object as stored and what that did to it."""

    async def get(self, ref: Ref) -> Body | None:
        """Return an object, or None."""

    async def read(self, ref: Ref) -> Body | None:
        """Return an object whole, Secrets with their values; for comparing with git only."""

    async def list(
        self, api_version: str, kind: str, *, namespace: str = "", labels: str = "", whole: bool = False
    ) -> tuple[Body, ...]:
        """Return all objects of a kind; Secrets without their values unless `whole`."""

    def watch(self, api_version: str, kind: str, *, namespace: str = "", labels: str = "") -> AsyncIterator[Change]:
        """Yield all objects of a kind and then each change, for as long as it is read; heals by itself."""

    async def create(self, body: Body) -> Body:
        """Create an object; raises ApiError (`AlreadyExists`) when it is there."""

    async def replace(self, body: Body) -> Body:
        """Replace an object at the resource version that `body` carries (`Conflict` when it has moved on)."""

    async def delete(self, ref: Ref, *, uid: str = "") -> bool:
        """Delete an object (of this `uid`, if given); return whether there was one."""


class Log(Protocol):
    """Where a run's events go; raises StoreError when one cannot be kept."""

    def append(self, event: Event) -> None:
        """Keep an event before anything else happens."""


class Clock(Protocol):
    """The runner's clock."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""

    def now(self) -> str:
        """Return wall time, UTC, as ISO 8601."""


class Answer(Protocol):
    """A probe's answer. `began` and `at` are readings of the clock: when it was asked, and answered or given up."""

    @property
    def probe(self) -> int:
        """The probe's index."""

    @property
    def passed(self) -> bool:
        """Whether it found what it wants."""

    @property
    def began(self) -> float:
        """When it was asked."""

    @property
    def at(self) -> float:
        """When it was answered."""

    @property
    def cause(self) -> str:
        """Why it did not pass."""

    @property
    def number(self) -> int | None:
        """What a canary wrote."""

    @property
    def found(self) -> int | None:
        """What it found before, 0 for nothing; None where that is what it wrote last."""


class Probes(Protocol):
    """The probes of an exercise, which are asked all through, by a clock of their own."""

    def samples(self) -> AsyncIterator[Answer]:
        """Yield each answer; raises ToolError when nobody asks any more."""

    async def survived(self) -> Mapping[int, int | None]:
        """Return the newest number of each canary that is there now, by the probe's index."""


class Injection(Struct, frozen=True):
    """How an experiment's process ended: Chaos Toolkit's word, and the cause where it is not `completed`."""

    status: str
    cause: str = ""

    @property
    def sound(self) -> bool:
        """Whether all of its method was done."""
        return self.status == "completed" and not self.cause


class Chaos(Protocol):
    """An experiment that can be run once and undone any number of times."""

    async def inject(self, heard: Callable[[Said], None]) -> Injection:
        """Run the method; tell what is said on the way, as it is said. Cancelled, it ends the experiment at once."""

    async def undo(self) -> tuple[Restored, ...]:
        """Take back what the method did and what is still recorded as not undone; what fails is told, not raised."""


class Counted(Struct, frozen=True):
    """What a store holds: rows by table, and a checksum of each table's content ("" where none can be made).

    `comparable`: two sides that count the same hold the same; else nobody can tell.
    """

    rows: dict[str, int] = {}
    checksums: dict[str, str] = {}
    comparable: bool = True


class State(Protocol):
    """State that git does not have, on its way to another cluster. Sides are "from" and "to".

    Every method may be called again after it was interrupted at any point, and then does what is left to do. Each
    raises ToolError, with what to do about it.
    """

    @property
    def follows(self) -> bool:
        """Whether the copy follows what is written meanwhile, also on the way back."""

    async def check(self) -> None:
        """Look whether it can be moved as it is meant to; neither side is written to, the new one may not be there."""

    async def copy(self) -> None:
        """Bring the data to the new side; the old one is only read, and goes on taking writes."""

    async def count(self, side: str) -> Counted:
        """Return what a side holds."""

    async def freeze(self, side: str) -> None:
        """Have a side take no writes any more; returns once none is under way."""

    async def thaw(self, side: str) -> None:
        """Have a side take writes again."""

    async def settle(self, side: str) -> None:
        """Return once the other side has everything that a frozen `side` has."""

    async def turn(self, side: str) -> None:
        """Have the other side follow `side` from now on, which is about to take the writes. Both are frozen or idle."""

    async def end(self) -> None:
        """Take away what was made for following: the old side is about to go."""


class Survey(Protocol):
    """A cluster that is only read, whole. Every method raises ApiError."""

    async def identity(self) -> Target:
        """Return who this cluster is."""

    async def kinds(self) -> tuple[Api, ...]:
        """Return every kind that can be listed, in the version that the server prefers."""

    def pages(self, api: Api) -> AsyncIterator[list[Body]]:
        """Yield all objects of a kind, some hundred at a time."""

    def origins(self, api: Api) -> AsyncIterator[list[Live]]:
        """Yield where all objects of a kind come from, some hundred at a time; nothing else of them is asked for."""

    async def issuer(self) -> str:
        """Return who signs the tokens of service accounts, "" where that may not be read."""


class Steering(Protocol):
    """Moves users' traffic."""

    async def tell(self, hook: Traffic, weight: int, side: str) -> None:
        """Tell one hook: `weight` percent to the new cluster, writes to `side`. Raises ToolError."""


class Onlooker(Protocol):
    """Asks as a user does."""

    async def ask(self) -> str:
        """Return who answered one question: from, to, or "" when nobody did."""


class Scaling(Protocol):
    """A cluster whose workloads are stopped and started. Every method raises ApiError."""

    async def get(self, ref: Ref) -> Body | None:
        """Return an object, or None."""

    async def list(self, api_version: str, kind: str) -> tuple[Body, ...]:
        """Return all objects of a kind; raises ApiError (`NoMatch`) where it is not served."""

    async def patch(self, ref: Ref, body: Body) -> Body:
        """Merge `body` into an object."""
