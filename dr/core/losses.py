"""A canary's acknowledged writes, and what is left of them → how many were lost, how old the newest survivor is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from dr.core.events import Injected, PlannedProbe, Probed, Survived


class Loss(Struct, frozen=True):
    """What a canary lost: the newest number written before the fault and the newest that survived (None: nothing).

    `rpa` is the time from the last surviving write to the fault, in seconds, None when nothing survived; `lost` counts
    the acknowledged writes that are gone; `error`: the fault's own uncertainty. One that was not `counted` at the end
    says nothing of what survived: both are None.
    """

    probe: PlannedProbe
    written: int
    survived: int | None
    lost: int | None
    rpa: float | None
    error: float
    counted: bool = True


def loss(probe: PlannedProbe, samples: Sequence[Probed], counted: Survived | None, fault: Injected) -> Loss:
    """Return what a canary lost: the writes acknowledged before the fault, and how old the newest survivor was."""
    written = {s.number: s.at for s in samples if s.passed and s.number is not None and s.at <= fault.at}
    newest = max(written, default=0)
    if counted is None:
        return Loss(probe, newest, None, None, None, fault.at - fault.began, counted=False)
    survived = counted.number
    lost = sum(1 for number in written if survived is None or number > survived)
    kept = [at for number, at in written.items() if survived is not None and number <= survived]
    # What was written last survived: nothing was lost, however long ago that was.
    rpa = 0.0 if written and not lost else fault.at - max(kept) if kept else None
    return Loss(probe, newest, survived, lost, rpa, fault.at - fault.began)


def worst(values: Iterable[float | None]) -> float | None:
    """Return the greatest; None without any, or when one is not known."""
    known = tuple(values)
    return None if not known or None in known else max(value for value in known if value is not None)


def all_lost(losses: Sequence[Loss]) -> int | None:
    """Return all canaries' lost writes; None without a canary, or when one was not counted."""
    known = [item.lost for item in losses if item.lost is not None]
    return sum(known) if known and len(known) == len(losses) else None
