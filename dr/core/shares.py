"""Whether as many questions were answered by a cluster as traffic was told to go there. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import comb

_RARE = 0.02
# When each window of questions begins, as a share of the time for it. Few and apart: whoever tests again and again
# until it fits is told at last what he wants to hear. Soon at first: most hooks have done it when they say so.
WINDOWS = (0.0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4)
_MOST = 2000


@lru_cache(maxsize=4096)
def consistent(answered: int, samples: int, weight: int) -> bool:
    """Return whether `answered` of `samples` users can have met the new cluster by chance, at `weight` percent.

    At 0 and 100 percent every single one must be right. Between, a two-sided exact binomial test at two in a hundred,
    of one window of several: docs/concepts/forklift.md has how often the whole is wrong. Source: Clopper and Pearson,
    Biometrika 26 (1934).
    """
    if not samples:
        return False
    if weight in (0, 100):
        return answered == samples * weight // 100
    share = weight / 100
    each = [comb(samples, k) * share**k * (1 - share) ** (samples - k) for k in range(samples + 1)]
    return min(sum(each[: answered + 1]), sum(each[answered:])) >= _RARE / 2


def enough(samples: int, steps: Sequence[int]) -> tuple[int, int]:
    """Return the first step that so many samples cannot tell from the one before it, and how many can; 0, 0 if none.

    Nothing can be told of the 1 % that a hook did not move: then how many is 0 too.
    """
    for before, step in zip((0, *steps), steps, strict=False):
        if _blind(samples, before, step):
            return step, next((n for n in range(samples, _MOST) if not _blind(n, before, step)), 0)
    return 0, 0


def _blind(samples: int, before: int, step: int) -> bool:
    """Return whether a hook that has stayed where it was would be taken for one that did as it was told."""
    return consistent(round(samples * before / 100), samples, step)
