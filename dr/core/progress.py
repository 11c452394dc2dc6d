"""How far a forklift is, from what was written down of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from dr.core.events import Aborted, AnyEvent, Carried, Carrying, Confirmed, Injected, Stage, Staged, Steered, Switched

STAGES = ("preflight", "bootstrap", "verify", "data", "parity", "cutover", "drain", "retire")
# What must have passed before a stage may begin; data moves on the way of the bootstrap, and may move again.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "preflight": (),
    "bootstrap": ("preflight",),
    "verify": ("bootstrap",),
    "data": ("bootstrap",),
    "parity": ("bootstrap",),
    "cutover": ("verify", "parity"),
    "drain": ("cutover",),
    "retire": ("drain",),
}


class Progress(Struct, frozen=True):
    """A move as far as it went.

    passed: wall time at which a stage passed last. weight: what the new cluster gets of the traffic, and `steered`
    whether that was ever told. side: whose writes count, and `switched` whether that was ever decided. frozen: writes
    were being stopped since, so that nobody can know who may take them; settled: the data that was the same on both
    sides then, so that it may be turned. thawed: the data that takes writes on the side since it was decided.
    returning: why everything is on its way back. confirmed: what people have agreed to.
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

    def lacking(self, stage: str) -> tuple[str, ...]:
        """Return the stages that must pass before this one may begin."""
        return tuple(needed for needed in NEEDS[stage] if needed not in self.passed)


def progress(events: Iterable[AnyEvent]) -> Progress:
    """Return how far a move is; what a stage did before it began anew counts only where it cannot be done again."""
    told = tuple(events)
    passed: dict[str, str] = {}
    for event in told:
        if isinstance(event, Stage):
            passed.pop(event.stage, None)
        elif isinstance(event, Staged) and event.outcome == "passed":
            passed[event.stage] = event.time
    steered = [e for e in told if isinstance(e, Steered) and not e.cause]
    switched, since = _after(told, lambda e: isinstance(e, Switched))
    carried = [e for e in since if isinstance(e, Carried) and not e.cause]
    _, tried = _after(told, lambda e: isinstance(e, Staged) and (e.stage, e.outcome) == ("cutover", "returned"))
    aborted = [e.cause or "it was stopped" for e in tried if isinstance(e, Aborted)]
    return Progress(
        passed,
        steered[-1].weight if steered else 0,
        bool(steered) or any(isinstance(e, Injected) for e in told),
        switched.side if isinstance(switched, Switched) else "from",
        switched is not None,
        frozenset(e.data for e in carried if e.what == "compare" and e.same),
        any(isinstance(e, Carrying) and e.what == "freeze" for e in since),
        frozenset(e.data for e in carried if e.what == "thaw"),
        aborted[-1] if aborted else "",
        frozenset(e.step for e in tried if isinstance(e, Confirmed)),
    )


def _after(
    events: Sequence[AnyEvent], wanted: Callable[[AnyEvent], bool]
) -> tuple[AnyEvent | None, Sequence[AnyEvent]]:
    """Return the last wanted event, and what came after it; None and all where there is none."""
    for index in range(len(events) - 1, -1, -1):
        if wanted(events[index]):
            return events[index], events[index + 1 :]
    return None, events
