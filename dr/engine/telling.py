"""Tells those who want to know, again when it does not come through, and never at the cost of the run."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from msgspec import Struct

_FIRST, _MOST = 0.5, 15.0  # seconds between two tries


class Sent(Struct, frozen=True):
    """How one try went. `cause`: why it was not taken, "" when it was; `heals`: another try may do.

    `after`: seconds that the other side asks to wait.
    """

    cause: str = ""
    heals: bool = False
    after: float = 0.0


Send = Callable[[], Awaitable[Sent]]


async def delivered(send: Send, within: float, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> str:
    """Try until it is taken, it cannot be, or the time is over; return why it was not, "" when it was.

    `within`: seconds for all tries. The pauses double, each shortened by up to a half so that many senders do not meet
    again, and are never shorter than the other side asked for.
    """
    loop = asyncio.get_running_loop()
    until, wait = loop.time() + within, _FIRST
    while True:
        try:
            async with asyncio.timeout_at(until):
                sent = await send()
        except TimeoutError:
            return f"no answer in {within:g} s"
        if not sent.cause or not sent.heals:
            return sent.cause
        rest = max(sent.after, wait * random.uniform(0.5, 1.0))  # noqa: S311 - spreads senders, hides nothing
        if loop.time() + rest >= until:
            return sent.cause
        await pause(rest)
        wait = min(2 * wait, _MOST)
