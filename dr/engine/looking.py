"""Who answers users: asked in a few windows of questions that have none in common, until one is as it should be."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from dr.core.forklift import Seen
from dr.core.shares import WINDOWS, consistent
from dr.engine.ports import Clock, Onlooker

_AT_ONCE, _PAUSE = 8, 0.02


class Look(Struct, frozen=True):
    """A window: how many questions were answered, how many by the new cluster, why that does not fit ("": it does)."""

    samples: int = 0
    answered: int = 0
    cause: str = ""

    @property
    def share(self) -> float:
        """What the new cluster answered, in percent."""
        return round(100.0 * self.answered / self.samples, 1) if self.samples else 0.0


async def look(seen: Seen, onlooker: Onlooker, weight: int, clock: Clock) -> Look:
    """Ask as users do until a window fits `weight` percent, or the time for that is over; return the last window.

    Who is not answered at all says nothing about where traffic goes: the probes judge that.
    """
    began, last = clock.monotonic(), Look(cause=f"nobody was answered in {seen.within:g} s")
    until = began + seen.within
    for share in WINDOWS:
        await asyncio.sleep(max(0.0, began + share * seen.within - clock.monotonic()))
        told = await _window(seen.samples, onlooker, until, clock)
        if len(told) < seen.samples:
            return last if last.samples else _short(told, seen)
        last = _judged(told, weight)
        if not last.cause:
            break
    return last


async def _window(samples: int, onlooker: Onlooker, until: float, clock: Clock) -> list[str]:
    told: list[str] = []
    while len(told) < samples and clock.monotonic() < until:
        asked = min(_AT_ONCE, samples - len(told))
        told += filter(None, await asyncio.gather(*(onlooker.ask() for _ in range(asked))))
        await asyncio.sleep(_PAUSE)
    return told


def _judged(told: list[str], weight: int) -> Look:
    look = Look(len(told), told.count("to"))
    if consistent(look.answered, look.samples, weight):
        return look
    return Look(
        look.samples,
        look.answered,
        f"{look.share:.0f} % of {look.samples} users reach the new cluster, and {weight} % should",
    )


def _short(told: list[str], seen: Seen) -> Look:
    cause = f"{len(told)} of {seen.samples} questions were answered in {seen.within:g} s, too few to tell"
    return Look(len(told), told.count("to"), cause)
