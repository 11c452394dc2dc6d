"""Objectives that nothing could meet, because nothing in the exercise measures them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING

from dr.core.model import Path

if TYPE_CHECKING:
    from dr.core.gameday import Gameday, Objectives


def unmeasured(gameday: Gameday) -> Iterator[tuple[Path, str]]:
    """Yield where a gameday file promises what its exercise does not measure, and why."""
    promised, by = gameday.objectives, gameday.recovery.by
    if promised.rpo is not None and not any(probe.canary for probe in gameday.steady_state.probes):
        yield ("objectives", "rpo"), "no probe is a `canary`, so nobody counts what is lost"
    for kind, names in (("units", promised.units), ("tiers", promised.tiers)):
        if names and by != "restore":
            why = f"only a restore from git tells when a unit is back, and the recovery is `{by}`"
            yield from ((("objectives", kind, name), why) for name in names)
    for name, tier in promised.tiers.items():
        if not tier.units:
            yield ("objectives", "tiers", name), "names no `units`"


def unknown(promised: Objectives, units: Collection[str]) -> Iterator[tuple[Path, str]]:
    """Yield where objectives name a unit that the restore does not have, with those that are spelt alike."""
    named: list[tuple[Path, str]] = [(("objectives", "units", name), name) for name in promised.units]
    for tier, own in promised.tiers.items():
        named += [(("objectives", "tiers", tier, "units", index), name) for index, name in enumerate(own.units)]
    for path, name in named:
        if name not in units:
            near = get_close_matches(name, sorted(units), 3) or sorted(units)[:3]
            yield path, f"the restore has no unit {name}; it has {', '.join(near) or 'none'}"
