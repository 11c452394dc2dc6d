"""The Chaos Toolkit control: tells `dr` what an experiment does, holds it to its limits, and lets no failure pass.

By itself Chaos Toolkit goes on with the method after an action has failed, and ends with exit code 0 then, and when
the steady state was not met to begin with.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

import msgspec
from chaoslib.exceptions import InterruptExecution

from dr.chaos.channel import send
from dr.core.chaos import LIMITS, Ran, extension

_began: dict[int, float] = {}
_ours: list[str] = []
_within: list[str] = []


def configure_control(experiment: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
    """Make the experiment's own limits those of its faults, unless DR_LIMITS says which hold."""
    said = extension(experiment, configuration, str(experiment.get("title")))
    if said is not None and LIMITS not in os.environ:
        os.environ[LIMITS] = msgspec.json.encode(said.limits).decode()
        _ours.append(LIMITS)


def cleanup_control() -> None:
    """Forget them again."""
    while _ours:
        os.environ.pop(_ours.pop(), None)
    _within.clear()


def before_method_control(context: Mapping[str, Any]) -> None:
    """Note that the method begins."""
    _within.append(str(context.get("title")))


def after_method_control(context: Mapping[str, Any]) -> None:  # noqa: ARG001 - how it is called
    """Note that the method is over."""
    _within.clear()


def after_experiment_control(context: Mapping[str, Any], state: dict[str, Any]) -> None:  # noqa: ARG001 - as above
    """Call a run failed whose steady state was not met to begin with: nothing was tried."""
    before = (state.get("steady_states") or {}).get("before")
    if before and not before.get("steady_state_met") and state.get("status") == "completed":
        state["status"] = "failed"


def before_activity_control(context: Mapping[str, Any]) -> None:
    """Note when an activity begins."""
    _began[id(context)] = time.monotonic()


def after_activity_control(context: Mapping[str, Any], state: Mapping[str, Any] | None = None) -> None:
    """Say how an activity ended; an action that failed ends the method."""
    at = time.monotonic()
    began = _began.pop(id(context), at)
    told = state or {}
    causes = told.get("exception") or []
    cause = str(causes[-1]).strip() if causes else ""
    name, kind = str(context.get("name", "")), str(context.get("type", ""))
    send(Ran(name, kind, str(told.get("status", "aborted")), began, at, cause))
    if _within and kind == "action" and told.get("status") == "failed":
        raise InterruptExecution(f"{name} failed, so the rest of the method is not done: {cause}")
