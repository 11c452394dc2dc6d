"""What a canary knows of before, and what a move lost of all that was written on the way. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct

from dr.core.events import AnyEvent, Ended, Injected, PlannedProbe, Probed, Survived
from dr.core.losses import Loss


class Kept(Struct, frozen=True):
    """What a canary knows from before: the newest number that was acknowledged, and the newest that was ever used.

    `number` is None where nothing of it need be there any more.
    """

    number: int | None = None
    used: int = 0


def known(events: Iterable[AnyEvent], tidied: Collection[int] = ()) -> dict[int, Kept]:
    """Return what each canary knows of what was written down, by the probe's index.

    tidied: those whose number is taken away whenever `dr` ends, unless it is killed.
    """
    found: dict[int, Kept] = {}
    for event in events:
        if isinstance(event, Probed) and event.passed and event.number is not None:
            found[event.probe] = Kept(event.number, event.number)
        elif isinstance(event, Ended):
            found |= {index: Kept(None, found[index].used) for index in tidied if index in found}
    return found


def gone(writes: Sequence[Probed], there: int, newest_then: int | None = None) -> tuple[tuple[int, ...], float | None]:
    """Return the acknowledged numbers that are gone, and how old the data was when it was seen again, in seconds.

    writes: of one canary, acknowledged, in order. there: the number that was found in the end, 0 for none; newest_then:
    the newest that was acknowledged by then, None for all. What is written later says itself what it found. The age is
    the longest, 0.0 where nothing is gone, None where nothing older was left. What is found again counts as kept.
    """
    spans: list[tuple[int, int]] = []  # (what was left, what had been written)
    newest = 0
    last = max((w.number or 0 for w in writes), default=0) if newest_then is None else newest_then
    early = [w for w in writes if (w.number or 0) <= last]
    reads = [(w.found, w.number or 0) for w in early]
    later = [(w.found, w.number or 0) for w in writes[len(early) :]]
    for found, number in (*reads, (there, last if later else 0), *later):
        before = newest if found is None else found
        # A number from before a loss is of the store that was lost: all of that up to it is back.
        spans = [(max(left, before) if before <= had else left, had) for left, had in spans]
        if before < newest:
            spans.append((before, newest))
        newest = number
    at = {w.number: w.at for w in writes if w.number is not None}
    lost = tuple(n for n in sorted(at) if any(left < n <= had for left, had in spans))
    ages: list[float | None] = [0.0]
    for left, had in spans:
        inside = [n for n in lost if left < n <= had]
        older = [when for n, when in at.items() if n <= left]
        if inside:
            ages.append(at[inside[-1]] - max(older) if older else None)
    known_ages = [age for age in ages if age is not None]
    return lost, max(known_ages) if len(known_ages) == len(ages) else None


def lost_on_the_way(probe: PlannedProbe, samples: Sequence[Probed], counted: Survived | None, fault: Injected) -> Loss:
    """Return what a canary lost in a move: users write all through it, and any step of it may lose what they wrote.

    All its acknowledged writes count, not only those before the first step.
    """
    writes = sorted((s for s in samples if s.passed and s.number is not None), key=lambda s: (s.at, s.number))
    newest = max((s.number or 0 for s in writes), default=0)
    if counted is None:
        return Loss(probe, newest, None, None, None, fault.at - fault.began, counted=False)
    there, then = counted.there, counted.acknowledged
    if there is None or then is None:  # what was written afterwards was not there to be found
        there, then = counted.number, max((s.number or 0 for s in writes if s.at <= counted.at), default=0)
    lost, age = gone(writes, there or 0, then)
    return Loss(probe, newest, counted.number, len(lost), age, fault.at - fault.began)
