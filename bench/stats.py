"""How often the rules of dr/core/stats.py are wrong, in seeded simulated runs whose truth is known.

    python -m bench.stats [--trials 5000] [--seed 5]

Recovery times are drawn from lognormal distributions with a median of 100 s and a spread (coefficient of variation) as
runs on one machine have it. For each number of runs and each spread, `--trials` times: is a regression flagged
between two groups of as many runs when nothing changed (false alarm)? Is none flagged when all became 30 % longer
(missed), also when half of those are given up? Does the interval of the median hold the true one? Prints a table in
Markdown.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from random import Random

from dr.core.stats import median_ranks, regression, summary

MEDIAN = 100.0
RUNS = (5, 10, 20, 30)
SPREADS = (0.05, 0.10, 0.15, 0.25)
LONGER = 1.30


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    print(f"{arguments.trials} trials each, seed {arguments.seed}\n")
    print("| runs | spread | false alarms | 30 % missed | given up, missed | stated | interval holds the median |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for runs in RUNS:
        for spread in SPREADS:
            shares = study(Random(f"{arguments.seed} {runs} {spread}"), runs, spread, arguments.trials)
            stated = f"{median_ranks(runs)[1]:.1%}" if summary(range(runs)).confidence else "–"
            shown = [f"{share:.1%}" for share in shares]
            print(
                f"| {runs} | {spread:.0%} | {' | '.join(shown[:3])} | {stated} | {shown[3] if stated != '–' else '–'} |"
            )


def study(random: Random, runs: int, spread: float, trials: int) -> tuple[float, float, float, float]:
    """Return the shares of false alarms, of misses without and with runs given up, and of intervals that hold."""
    sigma = math.sqrt(math.log1p(spread**2))
    counts = [0, 0, 0, 0]
    for _ in range(trials):
        before, after = list(draw(random, sigma, runs)), list(draw(random, sigma, runs))
        longer = [time * LONGER for time in after]
        limit = MEDIAN * LONGER  # about half of the longer runs do not make it
        cut = [time if time <= limit else math.inf for time in longer]
        known = summary(before)
        counts[0] += regression(before, after).flagged
        counts[1] += not regression(before, longer).flagged
        counts[2] += not regression(before, cut).flagged
        counts[3] += known.low is not None and known.high is not None and known.low <= MEDIAN <= known.high
    false, missed, missed_cut, held = (count / trials for count in counts)
    return false, missed, missed_cut, held


def draw(random: Random, sigma: float, runs: int) -> Iterator[float]:
    """Yield the seconds of some runs."""
    return (random.lognormvariate(math.log(MEDIAN), sigma) for _ in range(runs))


if __name__ == "__main__":
    main()
