"""A gameday file as values: what is exercised, on which cluster, what counts as recovered, and what must not happen."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import msgspec
from msgspec import Struct

from dr.core import promises, questions
from dr.core.events import Objective, PlannedProbe
from dr.core.lines import line_of
from dr.core.model import Diagnostic, Document, Level, Path, Where
from dr.core.shape import misfits

RECOVERIES = ("observe", "restore", "runbook", "snapshot")
_NUMBER = r"(\d+(?:\.\d+)?)"
_DURATION = re.compile(rf"(?:{_NUMBER}d)?(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?(?:{_NUMBER}ms)?")


class Duration(float):
    """Seconds; a file says `90`, `90s` or `1m30s`."""


def lasting(seconds: float) -> Any:
    """Return a field whose default is a duration; as a factory, so that the JSON Schema can be made."""
    return msgspec.field(default_factory=partial(Duration, seconds))


class _Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping whose every field is known: a misspelt limit must not be no limit."""


class Create(_Strict, frozen=True):
    """A throw-away embedded cluster for this exercise: its simulated nodes, and whether `repo` is restored into it."""

    nodes: int = 3
    restore: bool = True


class TargetSpec(_Strict, frozen=True):
    """The cluster that is struck: a target as `--to` takes it and its lock, or one that is made for the exercise."""

    context: str = ""
    lock: str = ""
    create: Create | None = None
    production: bool = False


class RepoSource(_Strict, frozen=True):
    """The config repo (a path is relative to the gameday file), its revision and environment."""

    url: str
    rev: str = ""
    env: str = ""
    path: str = ""


class Http(_Strict, frozen=True):
    """A GET of `url` is answered with `status`, and the body contains `contains`."""

    url: str
    status: int = 200
    contains: str = ""
    ca: str = ""


class Tcp(_Strict, frozen=True):
    """A connection to `host`:`port` is accepted."""

    host: str
    port: int


class KubernetesProbe(_Strict, frozen=True):
    """The state of one object, as the API server tells it.

    One of: `service` (namespace/name) has a ready endpoint; `workload` (Kind/namespace/name) has all its pods ready;
    `ready` (Kind/namespace/name, with `api_version`) is healthy; `exists`: it is there.
    """

    service: str = ""
    workload: str = ""
    ready: str = ""
    exists: str = ""
    api_version: str = ""


class Command(_Strict, frozen=True):
    """A command ends with exit code 0, and what it prints contains `contains`."""

    argv: tuple[str, ...]
    contains: str = ""


class Prometheus(_Strict, frozen=True):
    """A query's every sample is at least `least` and at most `most`; no sample is a failure."""

    url: str
    query: str
    least: float | None = None
    most: float | None = None


class Canary(_Strict, frozen=True):
    """Data that is written all through and counted afterwards.

    `config_map` (namespace/name) is written through the API server, so that its number lives in etcd. `write` and
    `read` are commands: `{n}` in `write` is the number, `read` prints the newest.
    """

    config_map: str = ""
    write: tuple[str, ...] = ()
    read: tuple[str, ...] = ()


class Probe(_Strict, frozen=True):
    """A question from outside the cluster; exactly one of the kinds. `every` and `timeout` outrank those of all."""

    name: str
    http: Http | None = None
    tcp: Tcp | None = None
    kubernetes: KubernetesProbe | None = None
    command: Command | None = None
    prometheus: Prometheus | None = None
    canary: Canary | None = None
    every: Duration | None = None
    timeout: Duration | None = None

    @property
    def kind(self) -> str:
        """The kind of question, "" when there is none or more than one."""
        found = [kind for kind in PROBES if getattr(self, kind) is not None]
        return found[0] if len(found) == 1 else ""

    @property
    def what(self) -> str:
        """Whom it asks, in a few words; never a credential."""
        asked = getattr(self, self.kind) if self.kind else None
        return _WHAT[self.kind](asked) if asked else ""


_WHAT: dict[str, Callable[[Any], str]] = {
    "http": lambda asked: asked.url.split("?")[0].rpartition("@")[2],
    "tcp": lambda asked: f"{asked.host}:{asked.port}",
    "kubernetes": lambda asked: asked.service or asked.workload or asked.ready or asked.exists,
    "command": lambda asked: " ".join(asked.argv[:1]),
    "prometheus": lambda asked: asked.query,
    "canary": lambda asked: asked.config_map or " ".join(asked.write[:1]),
}
PROBES = tuple(_WHAT)


class SteadyState(_Strict, frozen=True):
    """What "it works" means: so many `consecutive` passes of every probe, held for `hold`.

    Before the fault they must come `within` that time. `every` and `timeout` are each probe's, unless it has its own.
    """

    probes: tuple[Probe, ...] = ()
    every: Duration = lasting(0.5)
    timeout: Duration = lasting(2.0)
    consecutive: int = 3
    within: Duration = lasting(60.0)
    hold: Duration = lasting(5.0)


class Fault(_Strict, frozen=True, rename={"settings": "with"}):
    """The Chaos Toolkit experiment (a file, or the name of one that `dr chaos list` shows) and its configuration."""

    experiment: str
    settings: dict[str, Any] = {}


class Recovery(_Strict, frozen=True):
    """Who recovers, and how long it may take: after `timeout` it counts as not recovered.

    `by`: observe (the cluster itself), restore (`dr` from git, `into` a fresh cluster or the same), runbook (people),
    or snapshot (etcd of an embedded cluster, from its last one).
    """

    by: str = "observe"
    into: str = "fresh"
    runbook: str = ""
    timeout: Duration = lasting(300.0)


class Tier(_Strict, frozen=True):
    """A promise for some units."""

    units: tuple[str, ...]
    rto: Duration | None = None


class Objectives(_Strict, frozen=True):
    """What was promised, of everything, of units by name and of tiers."""

    rto: Duration | None = None
    rpo: Duration | None = None
    units: dict[str, Duration] = {}
    tiers: dict[str, Tier] = {}


class Abort(_Strict, frozen=True):
    """Stop at once when `probe` has been failing for `failing_for`, or when the run takes longer than `after`."""

    probe: str = ""
    failing_for: Duration | None = None
    after: Duration | None = None


class BlastRadius(_Strict, frozen=True):
    """What the fault may strike at most. `namespaces` are names, never patterns."""

    namespaces: tuple[str, ...] = ()
    objects: int = 50
    nodes: int = 1
    cluster: bool = False


class Approval(_Strict, frozen=True):
    """Who allowed the exercise, until when (ISO 8601 with its offset), under which reference."""

    by: str
    until: str
    reference: str = ""


NOTICES = ("began", "aborted", "ended")


class Reference(_Strict, frozen=True):
    """Where a secret is: the name of an environment variable, or a file; exactly one of them."""

    env: str = ""
    file: str = ""

    @property
    def meant(self) -> bool:
        """Whether it names one of the two, and a variable by what may be its name."""
        named = self.env.isascii() and self.env.isidentifier()
        return not self.env if self.file else named


class Email(_Strict, frozen=True, rename={"sender": "from"}):
    """A mail server: `tls` is starttls, tls or none; `user` logs in with `password` where it is given."""

    host: str
    sender: str
    to: tuple[str, ...]
    port: int = 587
    tls: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password: Reference | None = None


class Notification(_Strict, frozen=True):
    """Where to tell what happens: `webhook` gets JSON, `slack` a line for people, `email` a mail.

    The address of a webhook is often its password: then it is a reference, as it always is for `slack`. `sign`: the
    secret by which a webhook knows that a body is ours.
    """

    webhook: str | Reference = ""
    slack: str | Reference = ""
    email: Email | None = None
    sign: Reference | None = None
    events: tuple[str, ...] = NOTICES


class FollowUp(_Strict, frozen=True):
    """What a run left to do, in its `follow-up.yaml`: who does it, until when, and when it is tested again."""

    what: str
    owner: str
    due: str = ""
    retest: str = ""


class Gameday(_Strict, frozen=True):
    """The content of a gameday file."""

    title: str
    target: TargetSpec
    fault: Fault
    steady_state: SteadyState
    scenario: str = ""
    repo: RepoSource | None = None
    recovery: Recovery = msgspec.field(default_factory=Recovery)
    objectives: Objectives = msgspec.field(default_factory=Objectives)
    abort: tuple[Abort, ...] = ()
    blast_radius: BlastRadius = msgspec.field(default_factory=BlastRadius)
    roles: dict[str, str] = {}
    approvals: tuple[Approval, ...] = ()
    notifications: tuple[Notification, ...] = ()
    cool_down: Duration = lasting(0.0)


def duration(value: object) -> Duration:
    """Return seconds from `90`, `"90s"`, `"1h2m3s"` or `"500ms"`; raises ValueError for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        return Duration(value)
    if isinstance(value, str) and value.isdigit():
        return Duration(value)
    found = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if found is None:
        raise ValueError(f"{value!r} is no duration: write 90, 90s, 1m30s, 500ms or 90d")
    days, hours, minutes, seconds, thousandths = (float(part or 0) for part in found.groups())
    return Duration(86_400 * days + 3600 * hours + 60 * minutes + seconds + thousandths / 1000)


def hook(kind: type, value: object) -> object:
    """Return a Duration from what a file says, as msgspec's `dec_hook`; raises ValueError."""
    if kind is Duration:
        return duration(value)
    raise NotImplementedError(kind)


def parse(document: Document, file: str) -> tuple[Gameday | None, tuple[Diagnostic, ...]]:
    """Read a gameday file.

    Returns the gameday, None when any error was found, and everything that is wrong with the file, by line.
    """
    body = document.body
    if not isinstance(body, dict):
        where = Where(file, document.line)
        return None, (Diagnostic(where, "gameday", Level.ERROR, file, "is no mapping", "`dr gameday init` writes one"),)
    errors = list(misfits(body, Gameday, hook))
    gameday = None if errors else msgspec.convert(body, Gameday, dec_hook=hook)
    if gameday:
        errors = list(sense(gameday))
    remedy = "the fields are in docs/reference/gameday.md"
    found = tuple(
        Diagnostic(
            Where(file, line_of(body, document.lines, path)),
            "gameday",
            Level.ERROR,
            ".".join(map(str, path)) or file,
            cause,
            remedy,
        )
        for path, cause in errors
    )
    return (None if found else gameday), found


def sense(gameday: Gameday) -> Iterator[tuple[Path, str]]:
    """Yield what is well formed and cannot be meant: where in the file, and why."""
    yield from promises.unmeasured(gameday)
    target, steady, recovery = gameday.target, gameday.steady_state, gameday.recovery
    names = [probe.name for probe in steady.probes]
    twice = sorted({name for name in names if names.count(name) > 1})
    unknown = [p for p in steady.probes if not p.kind]
    unbound = [a for a in gameday.abort if not (a.after or (a.probe in names and a.failing_for))]
    told = gameday.notifications
    silent = any(not (n.webhook or n.slack or n.email) for n in told)
    named = [value for n in told for value in (n.webhook, n.slack, n.sign, n.email and n.email.password)]
    unmeant = any(isinstance(value, Reference) and not value.meant for value in named)
    unheard = any(set(n.events) - set(NOTICES) for n in told)
    open_mail = any(n.email and n.email.password and n.email.tls == "none" for n in told)
    patterns = [name for name in gameday.blast_radius.namespaces if "*" in name or not name]
    from_git = recovery.by == "restore" or bool(target.create and target.create.restore)
    rows: tuple[tuple[object, Path, str], ...] = (
        (
            bool(target.context) == bool(target.create),
            ("target",),
            "name either `context` (with its `lock`) or `create`",
        ),
        (target.context and not target.lock, ("target",), f"`lock` is missing: `dr lock {target.context}` prints it"),
        (not names, ("steady_state",), "has no probes: what nobody asks cannot be seen to recover"),
        (unknown, ("steady_state", "probes"), f"each probe must be exactly one of {', '.join(PROBES)}"),
        (twice, ("steady_state", "probes"), f"more than one probe is called {', '.join(twice)}"),
        (steady.consecutive < 1, ("steady_state", "consecutive"), "must be at least 1"),
        (steady.every <= 0 or steady.timeout <= 0, ("steady_state",), "`every` and `timeout` must be more than 0"),
        (recovery.by not in RECOVERIES, ("recovery", "by"), f"`{recovery.by}` is none of {', '.join(RECOVERIES)}"),
        (recovery.into not in ("fresh", "same"), ("recovery", "into"), f"`{recovery.into}` is neither fresh nor same"),
        (from_git and not gameday.repo, (), "`repo` is missing: a restore from git needs it"),
        (recovery.by == "runbook" and not (recovery.runbook or gameday.repo), ("recovery",), "names no `runbook`"),
        (patterns, ("blast_radius", "namespaces"), "may not hold patterns or empty names: name each namespace"),
        (silent, ("notifications",), "each needs a `webhook`, a `slack` or an `email`"),
        (unmeant, ("notifications",), "a reference names either `env` (letters, digits and _) or `file`"),
        *((True, ("notifications", i, kind), cause) for i, n in enumerate(told) for kind, cause in _written_out(n)),
        (unheard, ("notifications",), f"`events` holds what is none of {', '.join(NOTICES)}"),
        (open_mail, ("notifications",), "a password would be sent in the clear: `tls` is none"),
        (unbound, ("abort",), "each condition needs `after`, or the name of a `probe` and `failing_for`"),
    )
    yield from ((path, cause) for wrong, path, cause in rows if wrong)
    for path, cause in unasked(steady):
        if not unknown:
            yield ("steady_state", *path), cause


def unasked(steady: SteadyState) -> Iterator[tuple[Path, str]]:
    """Yield what no probe of a steady state can ask: where in it, and why."""
    for index, probe in enumerate(steady.probes):
        if not probe.kind:
            yield ("probes", index), f"must be exactly one of {', '.join(PROBES)}"
            continue
        for field, cause in questions.wrong(probe):
            yield ("probes", index, *field.split(".")), cause


def _written_out(told: Notification) -> Iterator[tuple[str, str]]:
    """Yield the fields that hold a secret itself, and what to do: files are copied, kept and read by many."""
    instead = "name a variable ({env: NAME}) or a file ({file: PATH}) that holds it"
    if isinstance(told.slack, str) and told.slack:
        yield "slack", f"is an address by which anybody may write to the channel: {instead}"
    if isinstance(told.webhook, str) and _secret(told.webhook):
        yield "webhook", f"holds a user or a query, which may be a password: {instead}"


def _secret(address: str) -> bool:
    """Return whether an address holds what only those may know who may use it: a user, or a query."""
    place, query, _ = address.partition("?")
    return bool(query) or "@" in place.rpartition("://")[2].partition("/")[0]


def planned(steady: SteadyState) -> tuple[PlannedProbe, ...]:
    """Return a steady state's probes as they are announced."""
    return tuple(
        PlannedProbe(
            probe.name,
            probe.kind,
            probe.what,
            float(probe.every or steady.every),
            float(probe.timeout or steady.timeout),
            probe.canary is not None,
        )
        for probe in steady.probes
    )


def promised(objectives: Objectives) -> tuple[Objective, ...]:
    """Return the objectives as they are announced: of everything, of tiers, of units."""
    whole = [("rto", objectives.rto), ("rpo", objectives.rpo)]
    return (
        *(Objective(kind, "", float(seconds)) for kind, seconds in whole if seconds is not None),
        *(
            Objective("rto", name, float(tier.rto), tier.units)
            for name, tier in sorted(objectives.tiers.items())
            if tier.rto is not None
        ),
        *(Objective("rto", name, float(seconds), (name,)) for name, seconds in sorted(objectives.units.items())),
    )
