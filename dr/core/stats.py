"""n runs → what may honestly be said of them: order statistics, an interval of the median, a regression or none."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate, takewhile
from statistics import median

from msgspec import Struct

INTERVAL_FROM = 6  # runs: with fewer, no interval of the median reaches 95 %
P95_FROM = 20  # runs: with fewer, the 95th percentile is the maximum
_OUTSIDE = Fraction(1, 20)
_EXACT = 60  # runs of both groups together; with more the normal distribution is as good


class Summary(Struct, frozen=True):
    """What may be said of n runs, of which `censored` were given up before they recovered. Times are in seconds.

    A figure is None where it is not known: the runs given up leave it open, or there are too few runs for it. `low` to
    `high` holds the median of all runs to come with a probability of at least `confidence`; `high` None beside a
    `confidence`: the interval has no upper end.
    """

    n: int
    censored: int
    minimum: float | None = None
    median: float | None = None
    maximum: float | None = None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    p95: float | None = None


class Regression(Struct, frozen=True):
    """Whether runs became longer, and how that is known.

    `enough`: so many runs that `alpha` can be reached at all. `p`: the rank test's, one-sided. `ratio`: the median
    after over the median before; infinite where the median run no longer recovers, None with none to compare.
    """

    flagged: bool
    enough: bool
    p: float
    ratio: float | None


def summary(values: Sequence[float], censored: Sequence[float] = ()) -> Summary:
    """Return what may be said of runs: the times of those that recovered, and after how long the others were given up.

    All in seconds. A run given up after c took more than c, nobody knows how much: an order statistic is known where it
    is the same with that run at c and at infinity, so no run is dropped and none is guessed. Fewer than 6 runs give
    minimum, median and maximum only, fewer than 20 no 95th percentile. Raises ValueError for what is no number.

    Sources: the interval, from the r-th least to the r-th greatest run, is the sign test's (H. A. David and
    H. N. Nagaraja, Order Statistics, 2003, section 7.1); its lower end is taken with the runs given up at their least,
    its upper end with them at infinity, so that they only widen it. The percentile is the least run that at most 5 %
    exceed: definition 1 of R. J. Hyndman and Y. Fan, The American Statistician 50 (1996).
    """
    least = _sorted([*values, *censored])
    most = _sorted([*values, *(math.inf for _ in censored)])
    n = len(least)
    if not n:
        return Summary(0, 0)
    rank, confidence = median_ranks(n) if n >= INTERVAL_FROM else (0, None)
    return Summary(
        n=n,
        censored=most.count(math.inf),
        minimum=_known(least, most, 0),
        median=_known(least, most, (n - 1) // 2, n // 2),
        maximum=_known(least, most, n - 1),
        low=_finite(least[rank - 1]) if rank else None,
        high=_finite(most[n - rank]) if rank else None,
        confidence=confidence,
        p95=_known(least, most, -(-95 * n // 100) - 1) if n >= P95_FROM else None,
    )


def median_ranks(n: int) -> tuple[int, float]:
    """Return the greatest r for which the r-th least to the r-th greatest of n runs hold the median, and how surely.

    The probability, 1 - 2 P(Binomial(n, 1/2) < r), is at least 0.95. Raises ValueError for fewer than 6 runs.
    Source: as in `summary`.
    """
    if n < INTERVAL_FROM:
        raise ValueError(f"no interval of the median from {n} runs: {INTERVAL_FROM} are needed")
    # Of whole numbers only: fractions of thousands of digits take a second for some thousand runs.
    limit = math.floor(_OUTSIDE * 2**n / 2)
    outside = list(takewhile(lambda count: count <= limit, accumulate(_choices(n))))
    return len(outside), float(1 - Fraction(2 * outside[-1], 2**n))


def _choices(n: int) -> Iterator[int]:
    """Yield in how many ways 0, 1, 2 … n of n can be chosen."""
    ways = 1
    for k in range(n + 1):
        yield ways
        ways = ways * (n - k) // (k + 1)


def regression(
    before: Sequence[float], after: Sequence[float], *, effect: float = 0.10, alpha: float = 0.05
) -> Regression:
    """Return whether runs became longer: a rank test says so, and the median grew by at least the share `effect`.

    Times in seconds; math.inf is a run that did not recover, longer than every run that did. The test is Mann and
    Whitney's, one-sided: exact for up to 60 runs, tied ones included; for more by the normal distribution, corrected
    for ties and continuity. Raises ValueError for what is no number.

    Sources: H. B. Mann, D. R. Whitney, Annals of Mathematical Statistics 18 (1947); exact with ties by counting:
    B. Streitberg, J. Röhmel, Statistical Software Newsletter 12 (1986); variance with ties: E. L. Lehmann,
    Nonparametrics (1975), section 1.4.
    """
    old, new = _sorted(before), _sorted(after)
    if not old or not new:
        return Regression(flagged=False, enough=False, p=1.0, ratio=None)
    enough = Fraction(1, math.comb(len(old) + len(new), len(new))) <= Fraction(str(alpha))
    p = (_exact if len(old) + len(new) <= _EXACT else _normal)(old, new)
    ratio = _ratio(median(old), median(new))
    longer = ratio is not None and ratio >= 1 + effect
    return Regression(flagged=enough and longer and p <= alpha, enough=enough, p=p, ratio=ratio)


def _exact(old: Sequence[float], new: Sequence[float]) -> float:
    """Return how likely the ranks of `new` sum to as much as they do, of all ways to choose as many of all ranks."""
    ranks = _doubled_ranks([*old, *new])
    width = len(ranks)
    tail = _sums(tuple(sorted(ranks)), len(new)) >> (sum(ranks[len(old) :]) * width)
    # A number and the sum of its digits leave the same rest when divided by the base less one.
    return tail % ((1 << width) - 1) / math.comb(width, len(new))


@lru_cache(maxsize=64)
def _sums(ranks: tuple[int, ...], size: int) -> int:
    """Return in how many ways `size` of the ranks sum to s, for each s: the digits, base 2 to the number of ranks.

    No count needs more than a digit. To choose one more rank is to shift by as many digits, and to add.
    """
    chosen = [1] + [0] * size
    for rank in ranks:
        for more in range(size, 0, -1):
            chosen[more] += chosen[more - 1] << (rank * len(ranks))
    return chosen[size]


def _normal(old: Sequence[float], new: Sequence[float]) -> float:
    n, m = len(old) + len(new), len(new)
    ranks = _doubled_ranks([*old, *new])
    over = (sum(ranks[len(old) :]) - m * (n + 1)) / 2
    tied = sum(count**3 - count for count in Counter(ranks).values())
    variance = m * len(old) / 12 * (n + 1 - tied / (n * (n - 1)))
    return 0.5 * math.erfc((over - 0.5) / math.sqrt(2 * variance)) if variance else 1.0


def _doubled_ranks(values: Sequence[float]) -> list[int]:
    """Return twice the rank of each value, tied ones sharing the middle of theirs: whole numbers."""
    counts = Counter(values)
    ends = dict(zip(sorted(counts), accumulate(counts[value] for value in sorted(counts)), strict=True))
    return [2 * ends[value] - counts[value] + 1 for value in values]


def _known(least: Sequence[float], most: Sequence[float], *ranks: int) -> float | None:
    return median(most[r] for r in ranks) if all(least[r] == most[r] < math.inf for r in ranks) else None


def _ratio(old: float, new: float) -> float | None:
    if old == new:
        return 1.0 if old < math.inf else None
    return new / old if old else math.inf


def _finite(value: float) -> float | None:
    return value if value < math.inf else None


def _sorted(values: Iterable[float]) -> list[float]:
    out = sorted(values)
    if any(math.isnan(value) for value in out):
        raise ValueError("the time of a run is not a number")
    return out
