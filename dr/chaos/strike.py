"""How every fault is sent: told the moment that the first call is accepted, and waited for until it can be seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import ParamSpec, TypeVar

from chaoslib.exceptions import ActivityFailed, InterruptExecution

from dr.chaos.channel import send
from dr.chaos.guard import refuse
from dr.core.chaos import Struck
from dr.core.errors import ApiError, DrError

_PAUSE = 0.1
_TERMINATED = 143  # as a shell reports a process that SIGTERM has ended
Call = Callable[[], bool]
_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


def activity(function: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """Give an activity the errors that Chaos Toolkit understands, and its `timeout`, text after `--var`, in seconds.

    SIGTERM arrives as an InterruptExecution, which Chaos Toolkit takes for a failed activity and goes on with the
    method; SystemExit stops it, and still plays the rollbacks.
    """

    @wraps(function)
    def run(*given: _Given.args, **named: _Given.kwargs) -> _Result:
        if "timeout" in named:
            named["timeout"] = _seconds(named["timeout"])
        try:
            return function(*given, **named)
        except InterruptExecution as stop:
            raise SystemExit(_TERMINATED) from stop
        except DrError as error:
            raise ActivityFailed(f"{error.cause}. {error.remedy}".rstrip(". ")) from None

    return run


def _seconds(said: object) -> float:
    try:
        return float(str(said))
    except ValueError:
        raise refuse(f'timeout is "{said}"', "Give seconds, such as 60") from None


def strike(fault: str, calls: Sequence[tuple[str, Call]], undo: str) -> tuple[str, ...]:
    """Send a fault's calls in order and say so once the first is accepted; return the targets that were there.

    Each call is its target's name and what sends it; one that returns False found its target gone.
    """
    struck: list[str] = []
    for target, call in calls:
        began = time.monotonic()
        if not call():
            continue
        if not struck:
            at = time.monotonic()
            send(Struck(fault, began, at, tuple(name for name, _ in calls), undo))
        struck.append(target)
    if not struck:
        raise refuse("what was selected was gone before it could be struck", "Run it again")
    return tuple(struck)


def holds(question: Callable[[], bool], timeout: float) -> bool:
    """Return whether a question is answered with yes within `timeout` seconds; it is asked at least once.

    An API server that is away, or overloaded, has not said yes.
    """
    until = time.monotonic() + timeout
    while True:
        try:
            if question():
                return True
        except ApiError as error:
            if not error.heals:
                raise
        if time.monotonic() >= until:
            return False
        time.sleep(_PAUSE)


def seen(question: Callable[[], bool], timeout: float, what: str) -> None:
    """Wait until a fault can be seen; raises ActivityFailed after `timeout` seconds."""
    if not holds(question, timeout):
        raise ActivityFailed(f"the fault was sent, but {what} was not seen in {timeout:g} s")
