"""What happens in a run, as values; `events.jsonl` holds one a line, oldest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec
from msgspec import Struct

from dr.core.model import Level, Pin, Ref, Strength

VERSION = 1


class Operation(StrEnum):
    """What an apply did to the object."""

    CREATED = "created"
    CONFIGURED = "configured"
    UNCHANGED = "unchanged"


class Phase(StrEnum):
    """The parts of a run, in order."""

    PROVISION = "provision"
    PREFLIGHT = "preflight"
    STEADY = "steady state"
    FAULT = "fault"
    DETECT = "detect"
    RECOVER = "recover"
    RESTORE = "restore"
    VERIFY = "verify"
    HOLD = "hold"
    CLEANUP = "clean up"
    TEARDOWN = "teardown"


class Mark(StrEnum):
    """The moments of a recovery, in order; docs/concepts/measuring.md defines each."""

    FAULT = "t0"
    IMPACT = "t1"
    DETECTED = "t2"
    DECIDED = "t3"
    INFRASTRUCTURE = "t4"
    CONTROL_PLANE = "t5"
    WORKLOADS = "t7"
    RECOVERED = "t8"
    CLEAN = "t9"


class Target(Struct, frozen=True):
    """The cluster of a run and its identity, which the target lock binds.

    `uid` is that of the namespace `kube-system`, `ca` the SHA-256 fingerprint of the cluster's CA.
    """

    context: str
    server: str
    uid: str
    ca: str
    version: str = ""
    embedded: bool = False


class PlannedStep(Struct, frozen=True):
    """A step as announced: the object, its unit, the earlier steps it comes after, its place in git."""

    ref: Ref
    unit: str = ""
    after: tuple[int, ...] = ()
    strengths: tuple[Strength, ...] = ()
    where: str = ""


class Event(Struct, frozen=True, tag_field="event", tag=str.lower):
    """Something that happened `at` seconds after the run began, by the runner's monotonic clock."""

    at: float


class Began(Event, frozen=True, kw_only=True):
    """A run begins: everything that the reader of its report must know, and every step it will take.

    `time` is wall time (UTC, ISO 8601). `digest` names the plan, so that a resumed run is the same one.
    `order`: graph, waves or kubectl. `simulated`: what is not real in the target. `nonce` tells the run from one of the
    same name elsewhere.
    """

    version: int = VERSION
    time: str
    run: str
    command: str
    dr: str
    target: Target
    pins: tuple[Pin, ...] = ()
    order: str = "graph"
    digest: str = ""
    simulated: tuple[str, ...] = ()
    steps: tuple[PlannedStep, ...] = ()
    estimate: float = 0.0
    nonce: str = ""

    @property
    def holder(self) -> str:
        """Who this run is to a cluster that it holds: the same when it is resumed, and nobody else."""
        return f"{self.run}/{self.nonce}" if self.nonce else self.run


class Resumed(Event, frozen=True, kw_only=True):
    """A run goes on after `dr` was stopped; `at` counts on by wall time."""

    time: str


class Entered(Event, frozen=True):
    """A phase of the run begins."""

    phase: Phase


class Left(Event, frozen=True):
    """A phase of the run is over."""

    phase: Phase


class Checked(Event, frozen=True):
    """A preflight check's finding; level info is a pass."""

    check: str
    level: Level
    subject: str
    cause: str
    remedy: str = ""


class Started(Event, frozen=True):
    """A step's predecessors are satisfied; its apply is about to be sent. Written before the request."""

    step: int


class Retried(Event, frozen=True):
    """An apply failed in a way that can heal; the next try comes after `delay` seconds."""

    step: int
    cause: str
    delay: float


class Applied(Event, frozen=True):
    """The API server has taken a step's object."""

    step: int
    operation: Operation
    uid: str = ""
    generation: int = 0


class Waiting(Event, frozen=True):
    """What an applied step waits for; written when it changes."""

    step: int
    message: str


class Ready(Event, frozen=True):
    """A step's object, and what controllers make from it, is healthy."""

    step: int


class Failed(Event, frozen=True):
    """A step failed for good: rejected, reported as failed, or not ready in time (`timeout`)."""

    step: int
    cause: str
    timeout: bool = False


class Skipped(Event, frozen=True):
    """A step was not tried, because the step `because` failed."""

    step: int
    because: int


class Differs(Event, frozen=True):
    """Verification found a difference between git and the cluster.

    `what`: missing, extra, different or unhealthy; `path` the field; values of Secrets are never shown.
    """

    ref: Ref
    what: str
    path: str = ""
    wanted: str = ""
    found: str = ""


class Verified(Event, frozen=True):
    """So many objects were compared with git, in a restore that is a part of a longer run."""

    objects: int


class PlannedProbe(Struct, frozen=True):
    """A probe as announced: its name, what it asks (`http`, `kubernetes`…) of whom, how often and how patiently.

    `every` and `timeout` are seconds. A canary writes a number each time.
    """

    name: str
    kind: str
    what: str
    every: float
    timeout: float
    canary: bool = False


class Objective(Struct, frozen=True):
    """What was promised: `kind` rto or rpo, of everything (`subject` "") or of a unit or tier, in seconds."""

    kind: str
    subject: str
    seconds: float
    units: tuple[str, ...] = ()


class Announced(Event, frozen=True, kw_only=True):
    """A gameday's plan, as its file says, before anything is done.

    `digest` is the SHA-256 of the file. `consecutive` passes, held for `hold` seconds, count as recovered; what takes
    longer than `timeout` seconds is not. `repetition` counts from 1 to `repetitions`.
    """

    title: str
    scenario: str
    file: str = ""
    digest: str = ""
    fault: str = ""
    blast_radius: str = ""
    recovery: str = "observe"
    probes: tuple[PlannedProbe, ...] = ()
    objectives: tuple[Objective, ...] = ()
    consecutive: int = 3
    hold: float = 0.0
    timeout: float = 0.0
    roles: dict[str, str] = {}
    seed: int = 0
    repetition: int = 1
    repetitions: int = 1


class Approved(Event, frozen=True, kw_only=True):
    """Someone allowed the exercise; `until` is wall time."""

    by: str
    until: str = ""
    reference: str = ""


class Probed(Event, frozen=True):
    """A probe's answer: asked at `began`, answered, or given up, at `at`. `number`: what a canary has written.

    `found`: what it found before (0: nothing), where that is not what was acknowledged last.
    """

    probe: int
    passed: bool
    began: float
    cause: str = ""
    number: int | None = None
    found: int | None = None


class Survived(Event, frozen=True):
    """The newest number of a canary that is still there after the recovery; None when none is.

    `there`: the number that is there now (0: none), whatever was written after a loss; `acknowledged`: the newest that
    was acknowledged when it was read.
    """

    probe: int
    number: int | None
    there: int | None = None
    acknowledged: int | None = None


class Activity(Event, frozen=True):
    """A step of an experiment, as Chaos Toolkit ran it from `began` to `at`; `status` is its word."""

    name: str
    kind: str
    status: str
    began: float
    cause: str = ""


class Injected(Event, frozen=True):
    """A fault is in: asked for at `began`, accepted at `at`. `targets` are what it struck, `undo` how it is undone."""

    fault: str
    began: float
    targets: tuple[str, ...] = ()
    undo: str = ""


class Undone(Event, frozen=True):
    """A fault was taken back, or not (`cause`); `by`: the experiment, the run itself or the dead man's process.

    `remedy`: how people take back what was not.
    """

    fault: str
    by: str
    cause: str = ""
    remedy: str = ""


class Aborted(Event, frozen=True):
    """An abort condition stopped the exercise."""

    condition: str
    cause: str


class Marked(Event, frozen=True):
    """A moment of the recovery that no probe sees; `by`: who or what says so, `error` its uncertainty in seconds."""

    mark: Mark
    by: str = ""
    error: float = 0.0


class Moved(Event, frozen=True):
    """From here on the probes ask another cluster: the one that was recovered into."""

    target: Target


class Confirmed(Event, frozen=True):
    """A step of a runbook was done: what, begun at `began`, confirmed by whom."""

    step: str
    by: str
    began: float
    note: str = ""


class Moving(Event, frozen=True, kw_only=True):
    """A forklift is planned: from which cluster to which, and in which steps users follow."""

    old: Target
    new: Target
    steps: tuple[int, ...] = ()
    data: tuple[str, ...] = ()


class Stage(Event, frozen=True):
    """A stage of a forklift begins; `time` is wall time (UTC, ISO 8601)."""

    stage: str
    time: str


class Staged(Event, frozen=True):
    """A stage of a forklift is over. `outcome`: passed, failed, interrupted or returned; `cause`: why not passed.

    Or undone: what it did is being taken back.
    """

    stage: str
    outcome: str
    time: str
    cause: str = ""


class Carrying(Event, frozen=True):
    """Something is about to be done to data that moves: of what was cut off, it says that it may be half done."""

    data: str
    what: str


class Carried(Event, frozen=True):
    """Something was done to data that moves: `what` (copy, freeze, settle, compare, turn, thaw, end), begun at `began`.

    `before` and `after` are the rows of the old side and the new one, by table; `same`: they and the checksums are.
    """

    data: str
    what: str
    began: float
    before: dict[str, int] = {}
    after: dict[str, int] = {}
    same: bool | None = None
    cause: str = ""


class Steered(Event, frozen=True):
    """Traffic was told to go to the new cluster by `weight` percent, from `began` on.

    `samples` questions of users were looked at, of which the new cluster answered `share` percent; `cause`: what is
    wrong with that, or with the hook.
    """

    weight: int
    began: float
    samples: int = 0
    share: float = 0.0
    cause: str = ""


class Switched(Event, frozen=True):
    """From now on the writes of `side` count: from or to. It is told so next."""

    side: str


class Returned(Event, frozen=True):
    """Users are served by the old cluster again: decided at `began`, seen at `at`; `left`: what could not go back."""

    began: float
    cause: str
    left: str = ""


class Parity(Event, frozen=True):
    """An object differs between the clusters of a move; `drifted` is the side that left git, `allowed` by the file."""

    ref: Ref
    path: str
    old: str
    new: str
    drifted: str = ""
    allowed: bool = False


class Twinned(Event, frozen=True):
    """So many objects were compared between both clusters."""

    objects: int


class Drained(Event, frozen=True):
    """A workload of the old cluster was stopped, which had so many replicas."""

    ref: Ref
    replicas: int


class CameBack(Event, frozen=True):
    """What a unit comes back at: the last commit that changed it, who made it, and what its message says."""

    unit: str
    commit: str
    time: str
    author: str
    subject: str
    artifact: str = ""
    trailers: tuple[tuple[str, str], ...] = ()


class Ended(Event, frozen=True, kw_only=True):
    """A run is over. `outcome`: passed, failed or interrupted; `verified` counts the objects compared with git."""

    outcome: str
    verified: int = 0


AnyEvent = (
    Began
    | Resumed
    | Entered
    | Left
    | Checked
    | Started
    | Retried
    | Applied
    | Waiting
    | Ready
    | Failed
    | Skipped
    | Differs
    | Verified
    | Announced
    | Approved
    | Probed
    | Survived
    | Activity
    | Injected
    | Undone
    | Aborted
    | Marked
    | Moved
    | Confirmed
    | Moving
    | Stage
    | Staged
    | Carrying
    | Carried
    | Steered
    | Switched
    | Returned
    | Parity
    | Twinned
    | Drained
    | CameBack
    | Ended
)

_ENCODER, _DECODER = msgspec.json.Encoder(), msgspec.json.Decoder(AnyEvent)


def encode(event: Event) -> bytes:
    """Return an event as one line of `events.jsonl`."""
    return _ENCODER.encode(event) + b"\n"


def decode(lines: Iterable[bytes]) -> Iterator[AnyEvent]:
    """Yield the events of a log; a last line that was cut off by a crash is left out.

    Raises ValueError, with the line's number, for any other line that is no event.
    """
    for number, line in enumerate(lines, 1):
        try:
            yield _DECODER.decode(line)
        except msgspec.MsgspecError as error:
            if not line.endswith(b"\n"):
                return
            raise ValueError(f"line {number} is no event: {error}") from None
