"""Whether as many questions were answered by a cluster as traffic was told to go there. Pure."""

from __future__ import annotations

from math import comb

_RARE = 0.001


def consistent(answered: int, samples: int, weight: int) -> bool:
    """Return whether `answered` of `samples` users can have met the new cluster by chance, at `weight` percent.

    At 0 and 100 percent every single one must be right. Between, a two-sided exact binomial test at one in a thousand:
    an honest hook is called a liar that often at most. Source: Clopper and Pearson, Biometrika 26 (1934).
    """
    if not samples:
        return False
    if weight in (0, 100):
        return answered == samples * weight // 100
    share = weight / 100
    each = [comb(samples, k) * share**k * (1 - share) ** (samples - k) for k in range(samples + 1)]
    return min(sum(each[: answered + 1]), sum(each[answered:])) >= _RARE / 2
