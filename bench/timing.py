"""Whether the time in which `dr serve` refuses a token tells how much of it is right, or how long the right one is.

    python -m bench.timing [--times 4000]

Asks with many thousand wrong tokens, each made anew, in an order by chance: such that share 0 to all but one leading
characters with the right one, and such of other lengths; and asks doors whose token has another length for the same.
Measures the comparison alone, and the whole of `dr serve` up to its refusal, in this process. For each sort of token it
prints the median time, and how likely one of them takes longer than one that shares nothing (Mann and Whitney's U over
all pairs: 50 % where the time tells nothing). A comparison that stops at the first wrong character is measured as well,
to show that the measure finds what it looks for. Ends with 1 where a sort is told from another by more than is allowed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import tempfile
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from statistics import median

from starlette.types import Message

from dr.web.app import application
from dr.web.guard import Door

TOKEN, ALPHABET = "q7Rm2xVb9KtY4wLs8NfH3cJd6PgZ5aUe", "abcdefghijklmnopqrstuvwxyz0123456789"
LONG = len(TOKEN)
SHARED = (0, 1, 2, 4, 8, 16, 24, LONG - 1)
LENGTHS = (LONG, LONG - 1, LONG + 1)  # of a wrong token: that it takes longer the longer it is itself tells nothing
SECRETS = (16, 64, 200)  # lengths of other right tokens
# How far from even it may be, and by how many microseconds its median may differ where it is further. Where a token
# lies in memory is seen in the comparison alone, as some ten nanoseconds, and in nothing that is asked; one character
# more of a comparison that stops early is forty. The length of a wrong token is its sender's own.
COMPARED, REFUSED, OWN = (0.1, 0.035), (0.05, 0.0), (1.0, 0.0)
SURE = 0.9  # what the measure finds where there is something to be found
Limit = tuple[float, float]
Judged = tuple[str, float, float]  # a sort, its median in microseconds, and how likely it takes longer


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=4000)
    times = parser.parse_args().times
    told = []
    for what, (limit, found) in measured(times).items():
        print(f"\n{what}, {times} of each\n\n| wrong token | median, µs | takes longer |\n|---|---:|---:|")
        for sort, middle, share in found:
            print(f"| {sort} | {middle:.2f} | {share:.1%} |", flush=True)
        told += [f"{what}: {sort}" for sort in telling(limit, found)]
    _, _, found_out = control(times)[-1]
    print(f"\na comparison that stops early, {LONG - 1} characters shared: takes longer {found_out:.1%}")
    if found_out < SURE:
        sys.exit("the measure does not find what it looks for: too much else runs here")
    if told:
        sys.exit(f"the time tells: {', '.join(told)}")


def measured(times: int) -> Mapping[str, tuple[Limit, Sequence[Judged]]]:
    """Return what was found and how far from even it may be, by what was measured."""
    doors = [Door(TOKEN), *(Door((TOKEN * 7)[:length]) for length in SECRETS)]
    opens = {f"the right one has {len(door.token)}": door.opens for door in doors}
    with tempfile.TemporaryDirectory() as made, asyncio.Runner() as runner:
        app, _ = application(Path(made), doors[0], {}, lambda: b"")

        async def answered(scope: dict[str, object]) -> None:
            await app(scope, _nothing, _heard)

        def served(token: str) -> None:
            runner.run(answered(_scope(token)))

        return {
            "the comparison": (COMPARED, judged(shared(doors[0].opens), times)),
            "the comparison, wrong tokens of other lengths": (OWN, judged(other(doors[0].opens), times)),
            "the comparison, right tokens of other lengths": (
                COMPARED,
                judged({name: (ask, partial(wrong, 0, LONG)) for name, ask in opens.items()}, times),
            ),
            "the whole refusal": (REFUSED, judged(shared(served) | other(served), times)),
        }


Sort = tuple[Callable[[str], object], Callable[[Random], str]]


def shared(ask: Callable[[str], object]) -> dict[str, Sort]:
    """Return wrong tokens that begin as the right one, and what is asked with them."""
    return {f"{n} of {LONG} characters shared": (ask, partial(wrong, n, LONG)) for n in SHARED}


def other(ask: Callable[[str], object]) -> dict[str, Sort]:
    """Return wrong tokens of about the right length, and what is asked with them."""
    return {f"{n} long": (ask, partial(wrong, 0, n)) for n in LENGTHS}


def telling(limit: Limit, found: Sequence[Judged]) -> list[str]:
    """Return the sorts that are told from the first one."""
    (share, apart), (_, middle, _) = limit, found[0]
    return [sort for sort, own, likely in found if abs(likely - 0.5) > share and abs(own - middle) > apart]


def control(times: int) -> Sequence[Judged]:
    """Return what is found of a comparison that stops at the first wrong character."""

    def leaks(token: str) -> bool:
        return len(token) == LONG and all(one == other for one, other in zip(token, TOKEN, strict=True))

    ends = (SHARED[0], SHARED[-1])
    return judged({str(n): (leaks, partial(wrong, n, LONG)) for n in ends}, times)


def wrong(shared: int, length: int, dice: Random) -> str:
    """Return a token that begins as the right one and goes on otherwise."""
    rest = dice.choices(ALPHABET, k=length - shared)
    if shared < LONG and rest[0] == TOKEN[shared]:
        rest[0] = "-"
    return TOKEN[:shared] + "".join(rest)


def judged(found: Mapping[str, Sort], times: int) -> Sequence[Judged]:
    """Ask with tokens of each sort in an order by chance; return what each took, against the first sort."""
    dice = Random(7)
    order = [name for name in found for _ in range(times)]
    dice.shuffle(order)
    asked = [(name, *found[name]) for name in order]
    made = [(name, ask, make(dice).encode()) for name, ask, make in asked]
    # Only then, all in the same way and in the order in which they are asked: how one is made shows in where it lies.
    ready = [(name, ask, token.decode()) for name, ask, token in made]
    took: dict[str, list[int]] = {name: [] for name in found}
    gc.collect()
    gc.disable()
    try:
        for name, ask, token in ready:
            began = time.perf_counter_ns()
            ask(token)
            took[name].append(time.perf_counter_ns() - began)
    finally:
        gc.enable()
    first = sorted(next(iter(took.values())))
    return [(name, median(own) / 1000, longer(own, first)) for name, own in took.items()]


def longer(own: Sequence[int], first: Sequence[int]) -> float:
    """Return how likely one of `own` is more than one of `first`, which is sorted; equal ones count half."""
    below = sum(bisect_left(first, value) + bisect_right(first, value) for value in own)
    return below / (2 * len(own) * len(first))


def _scope(token: str) -> dict[str, object]:
    headers = [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {token}".encode())]
    return {"type": "http", "method": "GET", "path": "/api/runs", "query_string": b"", "headers": headers}


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _heard(message: Message) -> None:
    if message["type"] == "http.response.start" and message["status"] != 401:
        raise AssertionError(message)


if __name__ == "__main__":
    main()
