"""Which scenarios were met lately enough, and which cluster was met longest ago."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from msgspec import Struct

from dr.core.history import Group

_SOON = 0.1  # of the limit; so much before it is over, it is said
STATES = ("stale", "soon", "fresh", "no limit")


class Standing(Struct, frozen=True):
    """How a scenario stands. Times are UTC, "" for never; the rest is in seconds.

    `age`: since it was last met on any cluster, None for never. `limit`: after how long without that it is stale, None
    where nothing is promised. `left`: until it is stale, less than 0 once it is. `state`: one of `STATES`. `oldest` is
    the cluster on which it was met longest ago, or never, and `oldest_met` when that was.
    """

    scenario: str
    state: str
    runs: int
    clusters: int
    last: str
    met: str
    age: float | None
    limit: float | None
    left: float | None
    oldest: str
    oldest_met: str


def board(groups: Iterable[Group], limits: Mapping[str, float], now: datetime) -> tuple[Standing, ...]:
    """Return how every scenario stands at `now`, what is stale first, then what is stale soonest.

    limits: after how many seconds without a met run a scenario is stale; one that never ran is on the board too.
    """
    found: dict[str, list[Group]] = defaultdict(list, {name: [] for name in limits})
    for group in groups:
        found[group.scenario].append(group)
    standings = [_standing(name, own, limits.get(name), now) for name, own in found.items()]
    return tuple(sorted(standings, key=lambda s: (STATES.index(s.state), s.left or 0.0, s.scenario)))


def _standing(scenario: str, groups: list[Group], limit: float | None, now: datetime) -> Standing:
    met = max((group.met for group in groups), default="")
    age = since(met, now)
    left = None if limit is None else limit - age if age is not None else 0.0
    oldest = min(groups, key=lambda g: (g.met, g.target), default=None)
    return Standing(
        scenario,
        state(age, limit),
        sum(group.runs for group in groups),
        len(groups),
        max((group.last for group in groups), default=""),
        met,
        age,
        limit,
        left,
        oldest.target if oldest else "",
        oldest.met if oldest else "",
    )


def state(age: float | None, limit: float | None) -> str:
    """Return which of `STATES` a scenario is in that was last met so many seconds ago, None for never."""
    if limit is None:
        return "no limit"
    if age is None or age > limit:
        return "stale"
    return "soon" if age > (1 - _SOON) * limit else "fresh"


def since(time: str, now: datetime) -> float | None:
    """Return the seconds from an ISO 8601 time (of no offset: UTC) until `now`; None for what is no time."""
    try:
        found = datetime.fromisoformat(time)
    except ValueError:
        return None
    return (now - (found if found.tzinfo else found.replace(tzinfo=UTC))).total_seconds()
