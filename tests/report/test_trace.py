"""Traces of a run: every span nests within its lane, and units that went on at once have lanes of their own."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dr.core.events import (
    AnyEvent,
    Applied,
    Began,
    Entered,
    Failed,
    Left,
    Operation,
    Phase,
    PlannedStep,
    Ready,
    Started,
    Target,
)
from dr.core.model import Ref
from dr.core.recovery import recovery
from dr.core.timeline import fold
from dr.report.trace import trace
from tests.report.test_gameday_reports import gameday


def restore(times: list[tuple[int, float, float, float, bool]]) -> list[AnyEvent]:
    """Make a restore of steps, each with its unit, start, seconds to be stored and to be ready, and whether it failed."""
    steps = tuple(PlannedStep(Ref("v1", "Pod", "a", f"p{n}"), f"unit-{t[0]}") for n, t in enumerate(times))
    head = Began(
        0.0, time="t", run="r", command="dr restore x", dr="0", target=Target("c", "s", "u", "ca"), steps=steps
    )
    told: list[AnyEvent] = [Entered(0.0, Phase.RESTORE)]
    for n, (_, start, applied, ready, fails) in enumerate(times):
        told += [Started(start, n), Applied(start + applied, n, Operation.CREATED)]
        told.append(Failed(start + applied + ready, n, "no") if fails else Ready(start + applied + ready, n))
    told.append(Left(max(e.at for e in told), Phase.RESTORE))
    return [head, *sorted(told, key=lambda e: e.at)]


def read(content: bytes) -> list[dict[str, Any]]:
    found = json.loads(content)
    assert found["displayTimeUnit"] == "ms"
    events: list[dict[str, Any]] = found["traceEvents"]
    for event in events:
        assert {"ph", "pid", "tid", "ts", "name"} <= event.keys()
        assert all(isinstance(event[key], int) for key in ("pid", "tid", "ts"))
        assert event["ph"] != "X" or event["dur"] >= 0
    return events


def nested(events: list[dict[str, Any]]) -> dict[tuple[int, int], list[tuple[str, ...]]]:
    """Return, by lane, the path of categories to each span; fails where two spans overlap without one in the other."""
    lanes = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            lanes[event["pid"], event["tid"]].append(event)
    paths: dict[tuple[int, int], list[tuple[str, ...]]] = {}
    for lane, spans in lanes.items():
        open_: list[dict[str, Any]] = []
        for span in spans:
            while open_ and open_[-1]["ts"] + open_[-1]["dur"] <= span["ts"]:
                done = open_[-1]
                # A span without a length at the end of another one still belongs to it.
                if span["dur"] == 0 and done["ts"] + done["dur"] == span["ts"] and done["cat"] != span["cat"]:
                    break
                open_.pop()
            if open_:
                assert open_[-1]["ts"] <= span["ts"]
                assert span["ts"] + span["dur"] <= open_[-1]["ts"] + open_[-1]["dur"], (span, open_[-1])
            open_.append(span)
            paths.setdefault(lane, []).append(tuple(s["cat"] for s in open_))
    return paths


STEP = st.tuples(
    st.integers(0, 4),
    st.floats(0, 100).map(lambda x: round(x, 6)),
    st.floats(0, 5).map(lambda x: round(x, 6)),
    st.floats(0, 30).map(lambda x: round(x, 6)),
    st.booleans(),
)


@settings(deadline=None)
@given(st.lists(STEP, max_size=40))
def test_spans_of_a_lane_nest_whatever_went_on_at_once(times: list[tuple[int, float, float, float, bool]]) -> None:
    events = read(trace(fold(restore(times))))
    nested(events)
    steps = [event for event in events if event.get("cat") == "step"]
    assert len(steps) == len(times)


def test_a_step_lies_in_its_unit_and_its_parts_in_the_step() -> None:
    paths = nested(read(trace(fold(restore([(0, 0.0, 1.0, 2.0, False), (0, 4.0, 1.0, 1.0, True)])))))
    assert [p for lane in paths.values() for p in lane if p[0] == "unit"] == [
        ("unit",),
        ("unit", "step"),
        ("unit", "step", "apply"),
        ("unit", "step", "ready"),
        ("unit", "step"),
        ("unit", "step", "apply"),
        ("unit", "step", "ready"),
    ]


def test_units_at_once_have_lanes_of_their_own_and_units_in_a_row_share_one() -> None:
    times = [(0, 0.0, 1.0, 4.0, False), (1, 1.0, 1.0, 1.0, False), (2, 6.0, 1.0, 1.0, False)]
    lanes = {e["name"]: e["tid"] for e in read(trace(fold(restore(times)))) if e.get("cat") == "unit"}
    assert lanes == {"unit-0": 1, "unit-1": 2, "unit-2": 1}


def test_a_gameday_shows_marks_the_fault_outages_and_activities() -> None:
    events = gameday()
    found = read(trace(fold(events), recovery(events)))
    nested(found)
    instants = {event["name"]: event["ts"] for event in found if event["ph"] == "i"}
    assert (instants["t0 fault"], instants["fault: removed"]) == (9_800_000, 9_900_000)
    assert instants["t8 recovered"] == 41_100_000
    outages = [event for event in found if event.get("cat") == "outage"]
    assert [(event["ts"], event["dur"]) for event in outages] == [(10_100_000, 31_000_000)] * 2
    assert "Remove the cluster" in {event["name"] for event in found}
    names = {event["args"]["name"] for event in found if event["ph"] == "M" and "name" in event["args"]}
    assert {"front", "orders", "probes", "run"} <= names


def test_what_was_still_under_way_at_the_end_is_drawn_to_the_end() -> None:
    events = gameday("interrupted")
    timeline = fold(events)
    outage = next(e for e in read(trace(timeline, recovery(events))) if e.get("cat") == "outage")
    assert outage["ts"] + outage["dur"] == round(timeline.duration * 1e6)


def test_the_chain_that_decided_the_end_can_be_told_from_the_rest() -> None:
    steps = [e for e in read(trace(fold(gameday()))) if e.get("cat") == "step"]
    assert [e["args"].get("critical") for e in steps] == [True, True, True]


def test_an_empty_log_makes_an_empty_trace() -> None:
    assert read(trace(fold([]))) == []
