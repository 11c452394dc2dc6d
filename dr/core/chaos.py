"""What `dr` and an experiment's process say to each other: what was done, and how each fault is undone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from dr.core.errors import ConfigError
from dr.core.gameday import BlastRadius, Recovery, SteadyState, hook, unasked
from dr.core.model import Body, Ref

# The environment of an experiment's process. Under the stock `chaos run` a person sets the first two.
CONTEXT, LOCK = "KUBERNETES_CONTEXT", "DR_LOCK"
CHANNEL, UNDO, LIMITS = "DR_CHANNEL", "DR_UNDO", "DR_LIMITS"
_VARIABLE = re.compile(r"\$\{(\w+)\}")


class Ran(Struct, frozen=True, tag_field="say", tag="ran"):
    """An activity of the experiment ended; `began` and `at` are the machine's monotonic clock, in seconds."""

    name: str
    kind: str
    status: str
    began: float
    at: float
    cause: str = ""


class Struck(Struct, frozen=True, tag_field="say", tag="struck"):
    """The fault's first call was sent at `began` and accepted at `at`; `undo` says in words how it is undone."""

    fault: str
    began: float
    at: float
    targets: tuple[str, ...] = ()
    undo: str = ""


class Restored(Struct, frozen=True, tag_field="say", tag="restored"):
    """A fault was undone, or not (`cause`)."""

    fault: str
    at: float
    cause: str = ""


Said = Ran | Struck | Restored
_SAID: msgspec.json.Decoder[Said] = msgspec.json.Decoder(Said)


def say(message: Said) -> bytes:
    """Return a message as one line."""
    return msgspec.json.encode(message) + b"\n"


def heard(line: bytes) -> Said | None:
    """Return the message of a line; None when it is none."""
    try:
        return _SAID.decode(line)
    except msgspec.MsgspecError:
        return None


class PutBack(Struct, frozen=True, tag_field="undo", tag="put-back"):
    """Create each of these objects that is not there, in this order."""

    fault: str
    objects: tuple[Body, ...]


class Scale(Struct, frozen=True, tag_field="undo", tag="scale"):
    """Give a workload its replicas again."""

    fault: str
    ref: Ref
    replicas: int


class Patch(Struct, frozen=True, tag_field="undo", tag="patch"):
    """Merge this into an object, if it is there."""

    fault: str
    ref: Ref
    body: Body


class Delete(Struct, frozen=True, tag_field="undo", tag="delete"):
    """Delete what the fault has added."""

    fault: str
    ref: Ref


class Release(Struct, frozen=True, tag_field="undo", tag="release"):
    """Let a held program of an embedded cluster (its folder) run again."""

    fault: str
    folder: str
    program: str


Undo = PutBack | Scale | Patch | Delete | Release


class Extension(Struct, frozen=True, forbid_unknown_fields=True):
    """What an experiment says to `dr`, in its `extensions` under the name `dr`.

    `incident`: what it is learned from. `blast_radius` and `undo` are words for people, `limits` holds the numbers.
    All may use the configuration: `${namespace}`. `embedded_only`: it needs an embedded cluster.
    """

    name: str
    scenario: str
    blast_radius: str
    undo: str
    incident: str = ""
    limits: BlastRadius = msgspec.field(default_factory=BlastRadius)
    steady_state: SteadyState = msgspec.field(default_factory=SteadyState)
    recovery: Recovery = msgspec.field(default_factory=Recovery)
    embedded_only: bool = False


def configuration(experiment: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return an experiment's configuration: what is given outranks its defaults; environment entries show theirs."""
    found: dict[str, Any] = {}
    for name, value in (experiment.get("configuration") or {}).items():
        found[name] = value.get("default", "") if isinstance(value, Mapping) and value.get("type") == "env" else value
    return {**found, **given}


def extension(experiment: Mapping[str, Any], given: Mapping[str, Any], place: str) -> Extension | None:
    """Return what an experiment says to `dr`, with its configuration filled in; None when it says nothing.

    Raises ConfigError, which names `place`, when a field is unknown or of the wrong type, a variable is not set, or a
    probe cannot be asked.
    """
    found = next((e for e in experiment.get("extensions") or () if isinstance(e, dict) and e.get("name") == "dr"), None)
    if found is None:
        return None
    known = configuration(experiment, given)
    missing = sorted({name for name in variables(found) if name not in known})
    if missing:
        raise ConfigError(f"{place}: {', '.join(missing)} not set", "set it in its configuration or with --with")
    remedy = "see docs/concepts/experiments.md"
    try:
        says = msgspec.convert(filled(found, known), Extension, dec_hook=hook)
    except (msgspec.ValidationError, ValueError) as error:
        raise ConfigError(f"{place}: extensions: {error}", remedy) from None
    for path, cause in unasked(says.steady_state):
        raise ConfigError(f"{place}: extensions: steady_state.{'.'.join(map(str, path))}: {cause}", remedy)
    return says


def variables(value: Any) -> Iterator[str]:
    """Yield the names that a value refers to as `${name}`, however deep."""
    if isinstance(value, str):
        yield from _VARIABLE.findall(value)
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from variables(entry)
    elif isinstance(value, Iterable):
        for entry in value:
            yield from variables(entry)


def filled(value: Any, known: Mapping[str, Any]) -> Any:
    """Return a value with each `${name}` replaced; one that is nothing else keeps the type of what it stands for."""
    if isinstance(value, str):
        whole = _VARIABLE.fullmatch(value)
        if whole:
            return known.get(whole[1], value)
        return _VARIABLE.sub(lambda found: str(known.get(found[1], found[0])), value)
    if isinstance(value, Mapping):
        return {name: filled(entry, known) for name, entry in value.items()}
    return [filled(entry, known) for entry in value] if isinstance(value, list) else value
