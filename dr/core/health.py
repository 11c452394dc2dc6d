"""Whether an object of the API server is ready, and if not, what it waits for in a short phrase."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import cache
from typing import Any

from msgspec import Struct

from dr.core.body import dig, get, home_group, items, mapping, text
from dr.core.model import Body
from dr.core.rules import readiness as table
from dr.core.rules.builtin import BUILTIN_KINDS
from dr.core.rules.readiness import ReadinessRule, Sign
from dr.core.scan import segments

_LONGEST = 300  # characters of a message; some controllers put a whole stack trace in theirs
_segments = cache(segments)


class State(StrEnum):
    """How an object is, from good to bad. `FAILED` only where waiting does not help."""

    CURRENT = "current"
    IN_PROGRESS = "in-progress"
    FAILED = "failed"
    TERMINATING = "terminating"


class Health(Struct, frozen=True):
    """An object's state, and a short phrase for people: "2/3 replicas available"."""

    state: State
    message: str


class Expectation(Struct, frozen=True):
    """What a caller knows beyond the object.

    conditions: somebody waits for this custom resource, and its CRD has a status: nothing said yet is in progress.
    endpoints: somebody depends on reaching this Service, and it has `ready_endpoints` of them.
    first_consumer: the claim's StorageClass binds at its first consumer, so that Pending is as far as it gets alone.
    """

    conditions: bool = False
    endpoints: bool = False
    ready_endpoints: int = 0
    first_consumer: bool = False


_NOTHING = Expectation()


class _Object(Struct, frozen=True):
    """An object as every step below wants it. `generation` 0 is none, `names` are what a row may call its kind."""

    body: Body
    id: str
    names: tuple[str, ...]
    generation: int
    conditions: dict[str, dict[str, Any]]
    expect: Expectation
    rules: Sequence[ReadinessRule]

    @property
    def builtin(self) -> bool:
        return self.id in BUILTIN_KINDS

    def number(self, *keys: str, default: int = 0) -> int:
        return _number(get(self.body, *keys), default)

    def outdated(self, condition: Any) -> bool:
        """Whether a condition is of an older generation; one that does not say is not."""
        return _number(get(condition, "observedGeneration"), self.generation) < self.generation


_Found = Health | None


def health(body: Body, expect: Expectation = _NOTHING, rules: Sequence[ReadinessRule] = ()) -> Health:
    """Return whether an object is ready, from its body as the API server returns it, however malformed.

    `rules` are a team's own and outrank the tables. The semantics are those of kstatus (sigs.k8s.io/cli-utils), except:
    a Job is ready when it is complete, not when it runs; a Service may want an address or endpoints; what heals by
    itself (a container that crashes, a pod that fits nowhere) is in progress, and a pod that failed is failed.
    Raises ValueError for a rule whose path is none (see `scan.segments`).
    """
    kind, group = text(body, "kind"), text(body, "apiVersion").rpartition("/")[0]
    group = home_group(group, kind)
    listed = [c for c in items(body, "status", "conditions") if text(c, "type")]
    seen = _Object(
        body,
        f"{group}/{kind}",
        (f"{group}/{kind}", f"{group}/*", kind),
        _number(get(body, "metadata", "generation")),
        {c["type"]: c for c in reversed(listed)},
        expect,
        rules,
    )
    found = next((verdict for step in _STEPS if (verdict := step(seen))), Health(State.CURRENT, "stored"))
    return Health(found.state, _clean(found.message) or found.state)


def _terminating(seen: _Object) -> _Found:
    if not get(seen.body, "metadata", "deletionTimestamp"):
        return None
    held = ", ".join(f for f in items(seen.body, "metadata", "finalizers") if isinstance(f, str))
    return Health(State.TERMINATING, f"being deleted, held by {held}" if held else "being deleted")


def _resting(seen: _Object) -> _Found:
    for row in table.RESTING:
        if row.kind in seen.names and [row.value] == [_word(v) for v in dig(seen.body, _segments(row.path))]:
            return Health(State.CURRENT, row.message)
    return None


def _outdated(seen: _Object) -> _Found:
    observed = get(seen.body, "status", "observedGeneration")
    if observed is None and seen.id in table.OBSERVED:
        return _waits("not seen by its controller yet")
    if _number(observed, seen.generation) < seen.generation:
        return _waits(f"its controller has seen generation {_number(observed)} of {seen.generation}")
    return None


def _told(seen: _Object) -> _Found:
    """Judge by the team's own rules; a rule that names the kind waits for its field, one for every kind does not."""
    named = [rule for rule in seen.rules if rule.kind in seen.names]
    everyone = [rule for rule in seen.rules if rule.kind == "*" and not seen.builtin]
    return _by_fields(seen, [*named, *(r for r in everyone if _values(seen, r))]) or (
        _waits(f"{named[0].path} is not set yet") if named else None
    )


def _signalled(seen: _Object) -> _Found:
    for state, signs in ((State.FAILED, table.FAILED), (State.IN_PROGRESS, table.HOLDING)):
        for sign in signs:
            if _holds(seen, sign):
                return Health(state, _phrase(seen.conditions[sign.type]))
    return None


def _of_kind(seen: _Object) -> _Found:
    """Judge by what is known of the kind."""
    if check := _CHECKS.get(seen.id):
        return check(seen)
    if seen.id in table.STORED:
        return Health(State.CURRENT, "stored")
    if found := _by_fields(seen, [rule for rule in table.READINESS if rule.kind in seen.names]):
        return found
    for name in seen.names:
        needed = table.NEEDED.get(name, ())
        if any(type_ in seen.conditions for type_ in needed):
            return _worst([_condition(seen, type_) for type_ in needed])
    return None


def _by_habit(seen: _Object) -> _Found:
    """Judge an unknown kind by the first condition, or the word, that usually means ready."""
    for type_ in table.DECIDING:
        if type_ in seen.conditions:
            return _condition(seen, type_)
    hints = (_by_fields(seen, [rule]) for rule in table.HINTS if not seen.builtin)
    return next((found for found in hints if found and found.state is State.CURRENT), None)


def _awaited(seen: _Object) -> _Found:
    if not seen.builtin and not seen.expect.conditions:
        return None
    others = ", ".join(f"{type_}={text(c, 'status')}" for type_, c in sorted(seen.conditions.items()))
    return _waits(f"no condition says that it is ready, only {others}" if others else "no status yet")


_STEPS: tuple[Callable[[_Object], _Found], ...] = (
    _terminating,
    _resting,
    _outdated,
    _told,
    _signalled,
    _of_kind,
    _by_habit,
    _awaited,
)


# Kinds that want more than one look.


def _deployment(seen: _Object) -> Health:
    """Judge a Deployment. A deadline that the controller watches makes `Progressing` as telling as the counts."""
    counted = _counted(seen)
    paused = get(seen.body, "spec", "paused") is True
    if counted.state is State.CURRENT and seen.number("spec", "replicas", default=1):
        available, progressing = _condition(seen, "Available"), seen.conditions.get("Progressing")
        done = text(progressing, "status") == "True" and text(progressing, "reason") == "NewReplicaSetAvailable"
        timed = seen.number("spec", "progressDeadlineSeconds", default=_NEVER) != _NEVER
        if available.state is not State.CURRENT:
            counted = available
        elif timed and not done and not paused:
            counted = _waits(_phrase(progressing) if progressing else "condition Progressing is not set yet")
    return Health(counted.state, f"paused: {counted.message}" if paused else counted.message)


def _counted(seen: _Object) -> Health:
    """Judge a workload by its counts; pods below a `partition`, or all with OnDelete, may be of an older revision."""
    rows = table.COUNTS[seen.id]
    daemons = rows[0][0] == "currentNumberScheduled"
    noun = "pods" if daemons else "replicas"
    wanted = seen.number(*("status", "desiredNumberScheduled") if daemons else ("spec", "replicas"), default=1)
    strategy = mapping(seen.body, "spec", "updateStrategy")
    updated = (
        0 if text(strategy, "type") == "OnDelete" else wanted - _number(get(strategy, "rollingUpdate", "partition"))
    )
    for field, word in rows:
        count, goal = seen.number("status", field), updated if word == "updated" else wanted
        if count < goal:
            claims = [text(claim, "metadata", "name") for claim in items(seen.body, "spec", "volumeClaimTemplates")]
            volumes = f", each with volume {' and '.join(claims)}" if any(claims) else ""
            return _waits(f"{count}/{goal} {noun} {word}{volumes}")
    if (count := seen.number("status", "replicas")) > wanted and not daemons:
        return _waits(f"{count}/{wanted} replicas, old ones are still there")
    return Health(State.CURRENT, f"{wanted}/{wanted} {noun} available")


def _pod(seen: _Object) -> Health:
    phase = text(seen.body, "status", "phase")
    reason = text(seen.body, "status", "reason")
    if phase in ("Succeeded", "Failed"):
        state = State.CURRENT if phase == "Succeeded" else State.FAILED
        return Health(state, f"{phase}: {reason}" if reason else phase)
    if phase == "Running" and (ready := _condition(seen, "Ready")).state is State.CURRENT:
        return ready
    containers = [c for key in ("initContainerStatuses", "containerStatuses") for c in items(seen.body, "status", key)]
    if stuck := next(filter(None, map(_stuck, containers)), ""):
        return _waits(stuck)
    scheduled = seen.conditions.get("PodScheduled")
    if text(scheduled, "status") == "False":
        unfit = text(scheduled, "reason") == "Unschedulable"
        return _waits(f"unschedulable: {text(scheduled, 'message')}" if unfit else _phrase(scheduled))
    return _condition(seen, "Ready") if phase == "Running" else _waits(phase or "not seen by the scheduler yet")


def _stuck(container: Any) -> str:
    """Return why a container does not start. Other messages than the kubelet's own may hold a program's output."""
    waiting = mapping(container, "state", "waiting")
    reason = text(waiting, "reason")
    if not reason or reason in table.STARTING:
        return ""
    message = text(waiting, "message") if reason in table.NAMING else ""
    return f"container {text(container, 'name')}: {reason}" + (f": {message}" if message else "")


def _job(seen: _Object) -> Health:
    wanted = seen.number("spec", "completions", default=seen.number("spec", "parallelism", default=1))
    counts = {name: seen.number("status", name) for name in ("succeeded", "active", "failed")}
    done = f"{counts.pop('succeeded')}/{wanted} pods succeeded"
    if _condition(seen, "Complete").state is State.CURRENT:
        return Health(State.CURRENT, done)
    return _waits(", ".join([done, *(f"{number} {name}" for name, number in counts.items() if number)]))


def _claim(seen: _Object) -> Health:
    phase = text(seen.body, "status", "phase")
    named = text(seen.body, "spec", "storageClassName")
    match phase:
        case "Bound":
            return Health(State.CURRENT, phase)
        case "Lost":
            return Health(State.FAILED, f"Lost: volume {text(seen.body, 'spec', 'volumeName')} is gone")
        case "Pending" if seen.expect.first_consumer:
            return Health(State.CURRENT, "Pending until a pod uses it")
        case _:
            return _waits(f"{phase or 'Pending'}: " + (f"StorageClass {named}" if named else "no StorageClass named"))


def _service(seen: _Object) -> Health:
    if not text(seen.body, "spec", "clusterIP"):
        return _waits("no cluster IP yet")
    balanced = text(seen.body, "spec", "type") == "LoadBalancer"
    addresses = items(seen.body, "status", "loadBalancer", "ingress")
    if balanced and not any(text(address, key) for address in addresses for key in ("ip", "hostname")):
        return _waits("no load balancer address yet")
    if not seen.expect.endpoints:
        return Health(State.CURRENT, "stored")
    count = seen.expect.ready_endpoints
    return Health(State.CURRENT, f"ready endpoints: {count}") if count > 0 else _waits("no ready endpoints")


_CHECKS: dict[str, Callable[[_Object], Health]] = {
    **dict.fromkeys(table.COUNTS, _counted),
    "/PersistentVolumeClaim": _claim,
    "/Pod": _pod,
    "/Service": _service,
    "apps/Deployment": _deployment,
    "batch/Job": _job,
}


# Conditions, fields and counts.

_NEVER = 2**31 - 1  # the deadline of a Deployment that has none, see DeploymentSpec in the Kubernetes API


def _waits(message: str) -> Health:
    return Health(State.IN_PROGRESS, message)


def _worst(verdicts: Sequence[Health]) -> Health:
    """Return the worst state and what those in it say."""
    state = max((v.state for v in verdicts), key=tuple(State).index)
    return Health(state, ", ".join(v.message for v in verdicts if v.state is state))


def _condition(seen: _Object, type_: str) -> Health:
    """Judge by a condition that must be True, and of the object's generation."""
    condition = seen.conditions.get(type_)
    if condition is None:
        return _waits(f"condition {type_} is not set yet")
    if seen.outdated(condition):
        return _waits(f"condition {type_} is of an older generation than {seen.generation}")
    return Health(State.CURRENT if text(condition, "status") == "True" else State.IN_PROGRESS, _phrase(condition))


def _holds(seen: _Object, sign: Sign) -> bool:
    condition = seen.conditions.get(sign.type)
    return (
        condition is not None
        and sign.kind in ("*", *seen.names)
        and text(condition, "status") == sign.status
        and sign.reason in ("", text(condition, "reason"))
        and not seen.outdated(condition)
    )


def _phrase(condition: Any) -> str:
    said = [text(condition, key) for key in ("reason", "message")]
    return ": ".join([f"condition {text(condition, 'type')}={text(condition, 'status')}", *filter(None, said)])


def _by_fields(seen: _Object, rules: Sequence[ReadinessRule]) -> _Found:
    """Judge by status fields; None where the object has not one of them."""
    if not any(_values(seen, rule) for rule in rules):
        return None
    return _worst([verdict for rule in rules for verdict in _by_field(seen, rule)])


def _by_field(seen: _Object, rule: ReadinessRule) -> list[Health]:
    # Only a status is shown: a rule may look elsewhere, and there could be a secret.
    shown = _segments(rule.path)[0] == "status" and seen.id != "/Secret"
    verdicts = []
    for value in _values(seen, rule):
        word = _word(value)
        state = State.CURRENT if word in rule.ready else State.FAILED if word in rule.failed else State.IN_PROGRESS
        verdicts.append(Health(state, f"{rule.path} is {word}" if shown and word else f"{rule.path} is {state}"))
    return verdicts or [_waits(f"{rule.path} is not set yet")]


def _values(seen: _Object, rule: ReadinessRule) -> list[Any]:
    return [value for value in dig(seen.body, _segments(rule.path)) if value is not None]


def _number(value: Any, default: int = 0) -> int:
    """Return a whole number, also one in quotes (Argo Rollouts writes generations so); else `default`."""
    if isinstance(value, str) and len(value) < 19 and value.isascii() and value.isdecimal():
        return int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else default


def _word(value: Any) -> str:
    """Return a scalar as a rule writes it; "" for what is none."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else str(value) if _number(value, -1) == value else ""


def _clean(message: str) -> str:
    """Return a message on one line, printable and not too long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in message).split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
