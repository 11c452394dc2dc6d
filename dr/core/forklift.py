"""A forklift file as values: what moves, from which cluster to which, with which data, and how traffic follows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from dr.core.gameday import Duration, RepoSource, SteadyState, hook, lasting, unasked
from dr.core.lines import line_of
from dr.core.model import Diagnostic, Document, Level, Path, Ref, Where
from dr.core.shape import misfits
from dr.core.shares import enough

DATA = ("postgres", "volume", "velero", "command")
TRAFFIC = ("command", "http", "annotation")
SIDES = ("from", "to")


class _Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping whose every field is known: a misspelt lock must not be no lock."""


class Side(_Strict, frozen=True):
    """A cluster of the move: a target as `--to` takes it, and its lock (`dr lock` prints it).

    `names`: what else it is called, so that git is searched for that; of `from` only.
    """

    context: str = ""
    lock: Annotated[str, Meta(min_length=1)] = ""
    names: tuple[str, ...] = ()


class Postgres(_Strict, frozen=True, rename={"source": "from", "target": "to"}):
    """A PostgreSQL database. `from` and `to` are names of environment variables that hold connection URLs.

    `replicate`: by logical replication, so that the copy follows until the switch and the way back loses nothing;
    otherwise by dump and restore, again at the switch. `seen_from_to` and `seen_from_from` name variables with the URLs
    under which each server reaches the other, where these are not the same.
    """

    source: str
    target: str
    replicate: bool = False
    seen_from_to: str = ""
    seen_from_from: str = ""


class Volume(_Strict, frozen=True, rename={"snapshot_class": "class"}):
    """A volume by a CSI snapshot: `claim` is namespace/name, `class` the VolumeSnapshotClass on both clusters.

    Nothing follows a snapshot. `read_only` says that nothing writes to the volume from the copy on: who mounts it does
    so read-only, or is stopped. Without it preflight fails; with it a pod that may write is an error.
    """

    claim: str
    snapshot_class: str
    driver: str
    read_only: bool = False


class Velero(_Strict, frozen=True):
    """A namespace by a Velero backup; both clusters' Velero (in `namespace`) see the same storage.

    `of` is that Namespace: claims that are there already are not restored. `read_only` as of a volume, for every claim.
    """

    namespaces: tuple[str, ...]
    namespace: str = "velero"
    read_only: bool = False


class DataCommand(_Strict, frozen=True):
    """Any other state, by commands. `copy` and `count` are needed; `{side}` in them is `from` or `to`.

    `count` prints JSON, a number for each kind of row: the same on both sides before and after. `freeze` and `thaw`
    stop and allow writes at a side, `settle` returns once the other side has them all.
    """

    copy: tuple[str, ...]
    count: tuple[str, ...]
    freeze: tuple[str, ...] = ()
    thaw: tuple[str, ...] = ()
    settle: tuple[str, ...] = ()


class Data(_Strict, frozen=True):
    """State that git does not have. `of` is the object that keeps it (Kind/namespace/name), by which it has its place.

    What reads it comes back after it; `timeout` is for each thing that is done to it.
    """

    name: str
    of: str
    postgres: Postgres | None = None
    volume: Volume | None = None
    velero: Velero | None = None
    command: DataCommand | None = None
    timeout: Duration = lasting(600.0)

    @property
    def kind(self) -> str:
        """The kind of state, "" when there is none or more than one."""
        return _only(self, DATA)


class TrafficCommand(_Strict, frozen=True):
    """A command that moves traffic; see `Traffic` for what stands in braces."""

    argv: tuple[str, ...]


class TrafficHttp(_Strict, frozen=True):
    """A request to a load balancer's API. `token` names an environment variable, sent as a bearer token."""

    url: str
    method: str = "PUT"
    body: str = ""
    token: str = ""


class Annotation(_Strict, frozen=True):
    """An annotation of one object on each cluster, as external-dns or a controller that routes clusters reads it.

    `object` is Kind/namespace/name. `values`: what each side's says, in the language of `Traffic`.
    """

    object: str
    key: str
    values: dict[str, str] = msgspec.field(default_factory=lambda: {"from": "{rest}", "to": "{weight}"})
    api_version: str = "v1"


class Traffic(_Strict, frozen=True):
    """One way to move traffic; exactly one of the kinds.

    `{weight}` is the percentage that the new cluster gets, `{rest}` that of the old, `{side}` who takes writes: from
    or to. `{on}` in an annotation: true where its side gets any.
    """

    command: TrafficCommand | None = None
    http: TrafficHttp | None = None
    annotation: Annotation | None = None
    timeout: Duration = lasting(60.0)

    @property
    def kind(self) -> str:
        """The kind of hook, "" when there is none or more than one."""
        return _only(self, TRAFFIC)


class Seen(_Strict, frozen=True, rename={"source": "from", "target": "to"}):
    """Where it can be seen who answers users: the answer of `url` holds the text `from` or `to`.

    Of `samples` questions as many must be answered by each side as was told, by chance, `within` that time; give twice
    what a change takes to arrive.
    """

    url: str
    source: str
    target: str
    samples: int = 100
    within: Duration = lasting(60.0)


class Cutover(_Strict, frozen=True):
    """How users follow: `traffic` is moved in `steps` (percent), each held for `hold` before the next.

    At `writes_at` (the last step without one) the data is switched and `writer` told; writes wait `switch_within` that
    time at most. At `pause` people are asked. When a probe fails for longer than `failing_for`, or in `failures` of its
    newest 20 answers, everything goes back while the old cluster still lives.
    """

    traffic: tuple[Traffic, ...] = ()
    seen: Seen | None = None
    writer: tuple[Traffic, ...] = ()
    steps: tuple[int, ...] = (10, 50, 100)
    hold: Duration = lasting(30.0)
    pause: tuple[int, ...] = ()
    writes_at: int = 0
    failing_for: Duration = lasting(2.0)
    failures: int = 3
    switch_within: Duration = lasting(30.0)

    @property
    def switch_at(self) -> int:
        """The step before whose traffic the data is switched."""
        return self.writes_at or self.steps[-1]


class Override(_Strict, frozen=True):
    """What each cluster has its own of: an object (Kind/namespace/name, `*` in each) and a field's path, `*` too."""

    object: str
    path: str = "*"


class Retire(_Strict, frozen=True):
    """The old cluster's end: `after` that time since the cutover, by a `command` (an embedded one is taken down).

    The command is given up, and killed with its children, after `timeout`.
    """

    after: Duration = lasting(86400.0)
    command: tuple[str, ...] = ()
    timeout: Duration = lasting(1800.0)


class Promises(_Strict, frozen=True):
    """What users were promised: seconds without service at most, and acknowledged writes lost at most."""

    downtime: Duration | None = None
    lost: int | None = None


class Forklift(_Strict, frozen=True, rename={"source": "from", "target": "to"}):
    """The content of a forklift file. `left_behind`: what may stay on the old cluster, Kind/namespace/name with `*`."""

    title: str
    repos: tuple[RepoSource, ...]
    source: Side = msgspec.field(default_factory=Side)
    target: Side = msgspec.field(default_factory=Side)
    data: tuple[Data, ...] = ()
    steady_state: SteadyState = msgspec.field(default_factory=SteadyState)
    cutover: Cutover = msgspec.field(default_factory=Cutover)
    overrides: tuple[Override, ...] = ()
    left_behind: tuple[str, ...] = ()
    retire: Retire = msgspec.field(default_factory=Retire)
    objectives: Promises = msgspec.field(default_factory=Promises)


def _only(value: object, kinds: tuple[str, ...]) -> str:
    found = [kind for kind in kinds if getattr(value, kind) is not None]
    return found[0] if len(found) == 1 else ""


def named(text: str) -> Ref:
    """Return the object that `Kind/namespace/name` names (`Kind//name` for one of the cluster); raises ValueError."""
    parts = text.split("/")
    if len(parts) != 3 or not parts[0] or not parts[2]:
        raise ValueError(f"{text} is not Kind/namespace/name")
    return Ref("", *parts)


def parse(document: Document, file: str) -> tuple[Forklift | None, tuple[Diagnostic, ...]]:
    """Read a forklift file.

    Returns the move, None when any error was found, and everything that is wrong with the file, by line.
    """
    body = document.body
    if not isinstance(body, dict):
        return None, (Diagnostic(Where(file, document.line), "forklift", Level.ERROR, file, "is no mapping", _REMEDY),)
    wrong = list(misfits(body, Forklift, hook))
    found = None if wrong else msgspec.convert(body, Forklift, dec_hook=hook)
    wrong += sense(found) if found else ()
    told = tuple(
        Diagnostic(
            Where(file, line_of(body, document.lines, path)),
            "forklift",
            Level.ERROR,
            ".".join(map(str, path)) or file,
            cause,
            _REMEDY,
        )
        for path, cause in wrong
    )
    return (None if told else found), told


_REMEDY = "the fields are in docs/reference/forklift.md"


def _traffic(cutover: Cutover) -> Iterator[tuple[Path, str]]:
    for name, hooks in (("traffic", cutover.traffic), ("writer", cutover.writer)):
        for index, one in enumerate(hooks):
            if one.annotation is None:
                continue
            path = ("cutover", name, index, "annotation")
            try:
                named(one.annotation.object)
            except ValueError as error:
                yield (*path, "object"), str(error)
            if wrong := sorted(one.annotation.values.keys() - set(SIDES)):
                yield (*path, "values"), f"{', '.join(wrong)} is no side: it is {' or '.join(SIDES)}"
            if not one.annotation.values:
                yield (*path, "values"), "are missing: nothing would be told"
    steps = cutover.steps
    if cutover.seen and list(steps) == sorted(set(steps)) and all(0 < step <= 100 for step in steps):
        step, needed = enough(cutover.seen.samples, steps)
        if step:
            few = f"are too few to see that a hook did nothing at {step} %"
            yield ("cutover", "seen", "samples"), f"{few}: give {needed} or more" if needed else few


def sense(move: Forklift) -> Iterator[tuple[Path, str]]:
    """Yield what is well formed and cannot be meant: where in the file, and why."""
    cutover, names = move.cutover, [data.name for data in move.data]
    steps = cutover.steps
    hooks = (*cutover.traffic, *cutover.writer)
    rows: tuple[tuple[Any, Path, str], ...] = (
        (not move.repos, ("repos",), "names no repo: what is moved is what git says"),
        (
            move.source.context and move.source.context == move.target.context,
            ("to",),
            "is the same cluster as `from`",
        ),
        (
            move.source.lock and move.source.lock == move.target.lock,
            ("to", "lock"),
            "is the lock of `from`: each cluster has its own",
        ),
        (len(set(names)) != len(names), ("data",), "two have the same name"),
        (not steps or steps[-1] != 100, ("cutover", "steps"), "must end with 100"),
        (
            any(not 0 < step <= 100 for step in steps) or list(steps) != sorted(set(steps)),
            ("cutover", "steps"),
            "must be percentages that grow",
        ),
        (
            cutover.writes_at and cutover.writes_at not in steps,
            ("cutover", "writes_at"),
            "is none of `steps`",
        ),
        (set(cutover.pause) - set(steps), ("cutover", "pause"), "holds what is none of `steps`"),
        (any(not hook.kind for hook in hooks), ("cutover",), f"each hook must be exactly one of {', '.join(TRAFFIC)}"),
        (
            cutover.traffic and not cutover.seen,
            ("cutover", "seen"),
            "is missing: a hook that says that it moved traffic and did not would not be noticed",
        ),
        (
            cutover.traffic and not move.steady_state.probes,
            ("steady_state",),
            "has no probes: nobody would see that users are not served",
        ),
        (cutover.seen and not cutover.traffic, ("cutover", "traffic"), "is missing: nothing moves what is looked at"),
        (cutover.seen and cutover.seen.samples < 20, ("cutover", "seen", "samples"), "must be at least 20"),
    )
    yield from ((path, cause) for wrong, path, cause in rows if wrong)
    yield from ((("steady_state", *path), cause) for path, cause in unasked(move.steady_state))
    yield from _traffic(cutover)
    for index, data in enumerate(move.data):
        if data.velero and [data.of] != [f"Namespace//{home}" for home in data.velero.namespaces]:
            yield (
                ("data", index, "of"),
                "must be the Namespace that is backed up, an entry for each: Namespace//NAME",
            )
        if not data.kind:
            yield ("data", index), f"must be exactly one of {', '.join(DATA)}"
        for field, text in (("of", data.of), *((("volume", data.volume.claim),) if data.volume else ())):
            try:
                named(text if field == "of" else f"PersistentVolumeClaim/{text}")
            except ValueError as error:
                yield ("data", index, field), str(error)
    for index, override in enumerate(move.overrides):
        if override.object.count("/") != 2:
            yield ("overrides", index), f"{override.object} is not Kind/namespace/name"
