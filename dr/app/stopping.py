"""Signals while an exercise goes on: the first one ends it, and nobody's impatience ends its clean-up."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_FIRST = "stopping: what was begun is cleaned up first, within five minutes at most; further signals are not heard"
_AGAIN = "still cleaning up; further signals are not heard, so that nothing is left half undone"


@contextmanager
def heard_once(say: Callable[[str], None]) -> Iterator[None]:
    """Let the first SIGINT through to asyncio, which cancels what runs; of all others only say that they are not heard.

    asyncio answers a second one with a KeyboardInterrupt, which would end the clean-up in its middle.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    loop, heard = asyncio.get_running_loop(), 0

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        heard += 1
        # The loop says it: what was interrupted may be in the middle of saying something else.
        loop.call_soon_threadsafe(say, _FIRST if heard == 1 else _AGAIN)
        if heard == 1:
            before(number, frame)

    signal.signal(signal.SIGINT, hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
