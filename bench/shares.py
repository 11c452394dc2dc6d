"""How often a hook that moves traffic is believed, where it did as it was told and where it did not.

Simulated with a seed: each user is answered by chance; the windows are those of dr.engine.looking. `python -m
bench.shares` prints the table of docs/concepts/forklift.md.
"""

from __future__ import annotations

import random

from msgspec import Struct

from dr.core.shares import WINDOWS, consistent

TRIALS, SEED, SAMPLES = 2000, 6, 100


class Case(Struct, frozen=True):
    """A hook that was told `told` percent, and moved `moved`; `late`: when it had, as a share of the time for it."""

    told: int
    moved: int
    late: float = 0.0
    before: int = 0

    @property
    def honest(self) -> bool:
        """Whether it did as it was told."""
        return self.told == self.moved


CASES = (
    Case(10, 10),
    Case(10, 10, 0.5),
    Case(10, 10, 0.7),
    Case(50, 50, 0.5, 10),
    Case(100, 100, 0.7, 50),
    Case(10, 0),
    Case(10, 50),
    Case(50, 10),
    Case(50, 20),
    Case(50, 30),
    Case(100, 95),
    Case(0, 5),
)


def rates(case: Case) -> float:
    """Return how often a hook is believed."""
    chance = random.Random(SEED)

    def window(at: float) -> int:
        share = (case.before if at < case.late else case.moved) / 100
        return sum(chance.random() < share for _ in range(SAMPLES))

    return sum(any(consistent(window(at), SAMPLES, case.told) for at in WINDOWS) for _ in range(TRIALS)) / TRIALS


def table() -> list[str]:
    """Return the table, row by row."""
    rows = ["| told | did | believed |", "|---|---|---|"]
    for case in CASES:
        late = f", after {case.late:.0%} of `within`".replace("%", " %") if case.late else ""
        rows.append(f"| {case.told} % | {case.moved} %{late} | {100 * rates(case):.1f} % |")
    return rows


if __name__ == "__main__":
    print("\n".join(table()))
