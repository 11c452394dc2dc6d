"""How far a forklift is, from what was written down of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from msgspec import Struct

from dr.core.events import Aborted, AnyEvent, Carried, Carrying, Confirmed, Injected, Stage, Staged, Steered, Switched

UNDONE = "undone"
STAGES = ("preflight", "bootstrap", "verify", "data", "parity", "cutover", "drain", "retire")
# What must have passed before a stage may begin; data moves on the way of the bootstrap, and may move again.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "preflight": (),
    "bootstrap": ("preflight",),
    "verify": ("bootstrap",),
    "data": ("bootstrap",),
    "parity": ("bootstrap",),
    "cutover": ("bootstrap", "verify", "parity"),
    "drain": ("cutover",),
    "retire": ("drain",),
}


class Progress(Struct, frozen=True):
    """A move as far as it went.

    passed: wall time at which a stage passed last. weight: what the new cluster gets of the traffic, and `steered`
    whether that was ever told. side: whose writes count, and `switched` whether that was ever decided. frozen: writes
    were being stopped since, so that nobody can know who may take them; settled: the data that was the same on both
    sides then, so that it may be turned. thawed: the data that takes writes on the side since it was decided.
    returning: why everything is on its way back. confirmed: what people have agreed to. copied: the data whose newest
    copy came to its end. draining: the old cluster's workloads are being stopped, or are. home: all users are on the
    old cluster, and were never on their way or have come back.
    """

    passed: dict[str, str] = {}
    weight: int = 0
    steered: bool = False
    side: str = "from"
    switched: bool = False
    settled: frozenset[str] = frozenset()
    frozen: bool = False
    thawed: frozenset[str] = frozenset()
    returning: str = ""
    confirmed: frozenset[str] = frozenset()

    copied: frozenset[str] = frozenset()
    draining: bool = False
    home: bool = True

    def lacking(self, stage: str, data: Collection[str] = ()) -> tuple[str, ...]:
        """Return the stages that must pass before this one may begin. `data`: the names of what moves."""
        lacking = [needed for needed in NEEDS[stage] if needed not in self.passed]
        if stage == "cutover" and "bootstrap" not in lacking and not self.copied.issuperset(data):
            lacking.append("data")
        return tuple(lacking)

    def against(self, stage: str, data: Collection[str] = ()) -> tuple[str, str]:
        """Return why a stage would destroy what users rely on, and what to do instead; "" and "" where it would not."""
        if stage in _COPYING and data and self.decided:
            return (
                f"{stage} would copy {', '.join(sorted(data))} over what users have written since the switch",
                "go on: dr forklift cutover FILE; to move the data again, go back to `from` first",
            )
        if stage == "cutover" and self.draining:
            return (
                "the drain of `from` has begun, so that users could not go back to it",
                "dr forklift drain --undo FILE first",
            )
        return "", ""

    @property
    def decided(self) -> bool:
        """Whether writes are the new side's, or are being switched: nothing may be copied over them."""
        return self.side == "to" or self.frozen


_COPYING = ("bootstrap", "data")
_AFTER = ("cutover", "drain", "retire")


def progress(events: Iterable[AnyEvent]) -> Progress:
    """Return how far a move is; what a stage did before it began anew counts only where it cannot be done again."""
    told = tuple(events)
    steered = [e for e in told if isinstance(e, Steered) and not e.cause]
    switched, since = _after(told, lambda e: isinstance(e, Switched))
    carried = [e for e in since if isinstance(e, Carried) and not e.cause]
    _, tried = _after(told, lambda e: isinstance(e, Staged) and (e.stage, e.outcome) == ("cutover", "returned"))
    aborted = [e.cause or "it was stopped" for e in tried if isinstance(e, Aborted)]
    copies = {e.data: e for e in told if isinstance(e, (Carrying, Carried)) and e.what == "copy"}
    drains = [e for e in told if isinstance(e, (Stage, Staged)) and e.stage == "drain"]
    drains = [e for e in drains if isinstance(e, Stage) or e.outcome == UNDONE]
    return Progress(
        _passed(told),
        steered[-1].weight if steered else 0,
        bool(steered) or any(isinstance(e, Injected) for e in told),
        switched.side if isinstance(switched, Switched) else "from",
        switched is not None,
        frozenset(e.data for e in carried if e.what == "compare" and e.same is not False),
        any(isinstance(e, Carrying) and e.what == "freeze" for e in since),
        frozenset(e.data for e in carried if e.what == "thaw"),
        aborted[-1] if aborted else "",
        frozenset(e.step for e in tried if isinstance(e, Confirmed)),
        frozenset(name for name, e in copies.items() if isinstance(e, Carried) and not e.cause),
        bool(drains) and isinstance(drains[-1], Stage),
        _home(told),
    )


def _home(told: Sequence[AnyEvent]) -> bool:
    cutovers = [e for e in told if isinstance(e, (Stage, Staged)) and e.stage == "cutover"]
    if not cutovers or (isinstance(cutovers[-1], Staged) and cutovers[-1].outcome == "returned"):
        return True
    since = _after(told, lambda e: e is cutovers[0])[1]
    return not any(isinstance(e, (Injected, Switched)) or (isinstance(e, Carrying) and e.what != "copy") for e in since)


def _passed(told: Iterable[AnyEvent]) -> dict[str, str]:
    """Return when each stage passed that still counts: not what came of one that has begun anew since, or is undone.

    Once writes are switched, or are being switched, what has led there stays: there is no doing it again.
    """
    passed: dict[str, str] = {}
    held = False
    for event in told:
        match event:
            case Carrying(what="freeze"):
                held = True
            case Switched(side=side):
                held = side == "to"
            case Stage(stage="preflight"):  # it only looks: what came after it counts until it finds something
                passed.pop("preflight", None)
            case (
                Stage(stage=stage)
                | Staged(stage="preflight" as stage, outcome="failed")
                | Staged(stage=stage, outcome="undone")
            ):
                for name in (stage,) if held and stage not in _AFTER else (stage, *_needing(stage)):
                    passed.pop(name, None)
            case Staged(stage=stage, outcome="passed"):
                passed[stage] = event.time
    return passed


def _needing(stage: str) -> tuple[str, ...]:
    """Return the stages that need one, and those that need them."""
    direct = [name for name, needed in NEEDS.items() if stage in needed]
    return tuple({*direct, *(other for name in direct for other in _needing(name))})


def _after(
    events: Sequence[AnyEvent], wanted: Callable[[AnyEvent], bool]
) -> tuple[AnyEvent | None, Sequence[AnyEvent]]:
    """Return the last wanted event, and what came after it; None and all where there is none."""
    for index in range(len(events) - 1, -1, -1):
        if wanted(events[index]):
            return events[index], events[index + 1 :]
    return None, events
