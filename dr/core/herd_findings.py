"""A herd's members → how long each scenario took, who is far off, and what those have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from math import exp, lgamma
from statistics import fmean, median

from msgspec import Struct

from dr.core.herd import SPENDS, STATES, Herded, Member
from dr.core.stats import Summary, summary

OUTLIERS_FROM = 5  # members with a time: with fewer nobody can be called far off
_FAR = 3.5
_MAD, _MEAN = 1.4826, 1.2533  # what makes a deviation of the normal distribution's from each
_CHANCE = 0.05


class Outlier(Struct, frozen=True):
    """A cluster that took far longer than the others: its seconds, and how many times the median that is."""

    cluster: str
    rta: float
    times: float


class Spread(Struct, frozen=True):
    """A scenario over the herd: how many came to each state, the times of those measured, and who is far off."""

    scenario: str
    states: dict[str, int]
    times: Summary
    rtas: tuple[float, ...]
    outliers: tuple[Outlier, ...]


class Common(Struct, frozen=True):
    """What clusters in trouble share: `label` is that of `inside` of the `odd` ones, and of `outside` of the others.

    `p`: how likely that many or more would be by chance.
    """

    label: str
    inside: int
    odd: int
    outside: int
    others: int
    p: float


class Findings(Struct, frozen=True):
    """What there is to say of a herd. `causes`: each cause with the clusters it was said of, the commonest first."""

    spreads: tuple[Spread, ...]
    common: tuple[Common, ...]
    causes: tuple[tuple[str, tuple[str, ...]], ...]


def findings(herded: Herded) -> Findings:
    """Return how long each scenario took, who is far off, and what those have in common."""
    scenarios = dict.fromkeys(member.scenario for member in herded.members)
    spreads = tuple(_spread(name, [m for m in herded.members if m.scenario == name]) for name in scenarios)
    far = {(spread.scenario, outlier.cluster) for spread in spreads for outlier in spread.outliers}
    tried = [m for m in herded.members if m.state == "met" or m.state in SPENDS]
    odd = [m for m in tried if m.state in SPENDS or (m.scenario, m.cluster) in far]
    said: dict[str, dict[str, None]] = {}
    for member in herded.members:
        if member.state in SPENDS and member.cause:
            said.setdefault(member.cause, {})[member.cluster] = None
    causes = sorted(((cause, tuple(names)) for cause, names in said.items()), key=lambda c: (-len(c[1]), c[0]))
    return Findings(spreads, tuple(_common({m.cluster for m in odd}, tried)), tuple(causes))


def _spread(scenario: str, members: Sequence[Member]) -> Spread:
    states = Counter(member.state for member in members)
    timed = [(m.cluster, m.rta) for m in members if m.rta is not None]
    censored = [m.censored for m in members if m.rta is None and m.censored is not None]
    rtas = tuple(sorted(rta for _, rta in timed))
    return Spread(
        scenario,
        {state: states[state] for state in STATES if states[state]},
        summary(rtas, censored),
        rtas,
        tuple(outliers(timed)),
    )


def outliers(timed: Sequence[tuple[str, float]]) -> Iterator[Outlier]:
    """Yield the clusters that took far longer than the others, the slowest first; their times are in seconds.

    Far is a modified z-score above 3.5: the distance from the median in units of the median absolute deviation, or of
    the mean one where more than half are alike (B. Iglewicz and D. Hoaglin, How to Detect and Handle Outliers, 1993).
    """
    if len(timed) < OUTLIERS_FROM:
        return
    middle = median(rta for _, rta in timed)
    away = [abs(rta - middle) for _, rta in timed]
    unit = _MAD * median(away) or _MEAN * fmean(away)
    for cluster, rta in sorted(timed, key=lambda one: (-one[1], one[0])):
        if unit and (rta - middle) / unit > _FAR:
            yield Outlier(cluster, rta, rta / middle if middle else float("inf"))


def _common(odd: Collection[str], tried: Sequence[Member]) -> Iterator[Common]:
    """Yield the labels that are commoner among odd clusters than chance explains, the least likely first.

    Fisher's exact test, one-sided, at 5 % over all labels together (Bonferroni).
    """
    labels = {member.cluster: frozenset(f"{k}={v}" for k, v in member.labels.items()) for member in tried}
    others = len(labels) - len(odd)
    if not odd or not others:
        return
    counted = Counter(label for own in labels.values() for label in own)
    tested = [label for label, count in counted.items() if count < len(labels)]
    among = Counter(label for cluster in odd for label in labels[cluster])
    found = []
    for label in tested:
        inside = among[label]
        if not inside:
            continue
        p = _tail(inside, len(odd), counted[label], len(labels))
        if p * len(tested) <= _CHANCE:
            found.append(Common(label, inside, len(odd), counted[label] - inside, others, p))
    yield from sorted(found, key=lambda c: (c.p, c.label))


def _tail(inside: int, odd: int, marked: int, all_of_them: int) -> float:
    """Return the probability of `inside` or more marked ones among `odd` drawn of all (hypergeometric)."""
    whole = _choose(all_of_them, odd)
    ways = range(max(inside, odd + marked - all_of_them), min(odd, marked) + 1)
    return min(1.0, sum(exp(_choose(marked, k) + _choose(all_of_them - marked, odd - k) - whole) for k in ways))


def _choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
