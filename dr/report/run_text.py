"""A run for the terminal: the verdict first, then what failed and why, the chain, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from dr.core.events import Differs, Phase
from dr.core.model import LEVELS, Level
from dr.core.timeline import Link, StepTime, Timeline, roots, slowest
from dr.report.console import Line, line, many, pins, seconds
from dr.report.findings import safe

_FAILURES, _LINKS, _SLOW, _DIFFERENCES = 10, 8, 3, 10
_LONG, _WORTH = 300, 0.1  # characters; seconds


def lines(timeline: Timeline, *, detail: bool, against: Sequence[Timeline] = ()) -> Iterator[Line]:
    """Yield a run's result for people; with `detail` every object. `against`: the same repo in other orders."""
    yield verdict(timeline)
    yield from _failures(timeline, detail=detail)
    yield from _checks(timeline)
    yield from _differences(timeline, detail=detail)
    yield from _chain(timeline, detail=detail)
    yield from _slowest(timeline)
    if detail:
        yield from _all(timeline)
    yield from _comparison([timeline, *against]) if against else ()
    yield from _simulated(timeline, detail=detail)
    if hint := following(timeline):
        yield line(("Next: ", "bold"), hint)


def cut(text: str) -> str:
    """Return at most 300 characters of a message from outside."""
    return text if len(text) <= _LONG else f"{text[: _LONG - 1]}…"


def verdict(timeline: Timeline) -> Line:
    """Return the verdict in one sentence."""
    objects, units = len(timeline.steps), len({step.step.unit for step in timeline.steps})
    took = seconds(timeline.duration)
    restoring = seconds(timeline.seconds(Phase.RESTORE))
    of = pins(timeline.began.pins) if timeline.began else ""
    if timeline.passed:
        what = f"{many(objects, 'object')} in {many(units, 'unit')}, all healthy and as git says"
        return line(("✓ restored ", "bold green"), f"{of}: {what}, in {restoring} of {took}")
    if timeline.ended and timeline.ended.outcome == "interrupted":
        return line(("✗ interrupted ", "bold red"), f"{of}: {_counts(timeline)} after {took}")
    return line(("✗ not restored ", "bold red"), f"{of}: {_counts(timeline)} in {took}")


def _counts(timeline: Timeline) -> str:
    if timeline.steps and all(step.started is None and step.outcome == "unfinished" for step in timeline.steps):
        return f"none of {many(len(timeline.steps), 'object')} was sent"
    said = [f"{timeline.count(o)} {o}" for o in ("failed", "skipped", "unfinished", "ready") if timeline.count(o)]
    return ", ".join(said) or "nothing was done"


def following(timeline: Timeline) -> str:
    """Return what to do next, as a command where there is one; "" when nothing is known of the run."""
    began = timeline.began
    if began is None:
        return ""
    places = [shlex.quote(pin.location) for pin in began.pins] or ["REPO"]
    repos = " ".join(places)
    into = f"{repos} --to {shlex.quote(began.target.context)}"
    own = roots(timeline.steps)
    if timeline.passed:
        return f"dr restore {repos} --to CONTEXT --dry-run" if began.target.embedded else f"dr verify {into}"
    if timeline.ended is None or timeline.ended.outcome == "interrupted":
        resumes = began.command.startswith("dr restore ") and "--resume" not in began.command
        return f"{began.command} --resume" if resumes else began.command
    if own:
        more = "".join(f" --with {place}" for place in places[1:])
        return f"dr why {places[0]} {shlex.quote(_full(timeline.steps[own[0][0]]))}{more}"
    if bad := [check for check in timeline.checks if check.level is Level.ERROR and check.remedy]:
        return f"{cut(bad[0].remedy)}; then {began.command}"
    return began.command if began.target.embedded else f"dr verify {into}"


def _full(step: StepTime) -> str:
    ref = step.step.ref
    return "/".join(part for part in (ref.kind, ref.namespace, ref.name) if part)


def _failures(timeline: Timeline, *, detail: bool) -> Iterator[Line]:
    own = roots(timeline.steps)
    shown = own if detail else own[:_FAILURES]
    for index, taken in shown:
        step = timeline.steps[index]
        more = f", and {many(taken, 'object')} that {'needs' if taken == 1 else 'need'} it" if taken else ""
        yield line(("✗ ", "red"), (f"{step.step.ref}", "bold"), f"  {step.step.where}{more}")
        yield line(f"    {cut(safe(step.why)) or 'no answer yet'}")
        if step.waiting and step.waiting not in step.why:
            yield line((f"    last waited for: {cut(safe(step.waiting))}", "dim"))
    if len(own) > len(shown):
        yield line(f"… and {len(own) - len(shown)} more failures (--detail shows all)")


def _checks(timeline: Timeline) -> Iterator[Line]:
    for check in sorted(timeline.checks, key=lambda c: -LEVELS.index(c.level)):
        if check.level is not Level.INFO:
            yield line(("! ", "yellow"), (f"{check.check}: {check.subject}", "bold"), f"  {cut(safe(check.cause))}")
            if check.remedy:
                yield line((f"    {cut(safe(check.remedy))}", "dim"))


def drift(timeline: Timeline) -> list[Differs]:
    """Return the differences of what did come back: that the rest is missing was said before."""
    lost = {step.step.ref for step in timeline.steps if step.outcome != "ready"}
    return [difference for difference in timeline.differences if difference.ref not in lost]


def told(difference: Differs) -> str:
    """Return what a difference is, after its object's name."""
    if difference.what == "different":
        return cut(safe(f"{difference.path}: {difference.found} instead of {difference.wanted}"))
    return cut(safe(difference.found))


def _differences(timeline: Timeline, *, detail: bool) -> Iterator[Line]:
    own = drift(timeline)
    shown = own if detail else own[:_DIFFERENCES]
    for d in shown:
        yield line((f"{d.what:9} ", "yellow"), f"{d.ref} {told(d)}".rstrip())
    if len(own) > len(shown):
        yield line(f"… and {len(own) - len(shown)} more differences (--detail shows all)")


def _chain(timeline: Timeline, *, detail: bool) -> Iterator[Line]:
    links = list(reversed(timeline.chain))
    if not links:
        return
    yield line(("critical chain", "bold"), "  what the end waited for, last first")
    shown = links if detail else longest(links, _LINKS)
    for link in links:
        if link in shown:
            step = timeline.steps[link.step].step
            parts = f"queued {seconds(link.queued)}, applied {seconds(link.applying)}, ready {seconds(link.becoming)}"
            more = f"  ({parts})" if detail else ""
            yield line(f"  {step.ref} ", (f"@{seconds(link.at)} +{seconds(link.took)}{more}", "cyan"))
    if len(shown) < len(links):
        rest = sum(link.took for link in links if link not in shown)
        yield line((f"  and {many(len(links) - len(shown), 'shorter link')}, {seconds(rest)} (--detail)", "dim"))


def longest(links: Sequence[Link], count: int) -> frozenset[Link]:
    """Return the links that took most."""
    return frozenset(sorted(links, key=lambda link: (-link.took, link.step))[:count])


def slow(timeline: Timeline) -> list[StepTime]:
    """Return the few steps that took longest, of those whose time is worth a word."""
    found = (timeline.steps[index] for index in slowest(timeline.steps, _SLOW))
    return [step for step in found if step.took >= _WORTH]


def _slowest(timeline: Timeline) -> Iterator[Line]:
    if found := slow(timeline):
        yield line(("slowest  ", "bold"), " · ".join(f"{step.step.ref} {seconds(step.took)}" for step in found))
    if timeline.idle:
        gap = max(timeline.idle, key=lambda g: g.ended - g.began)
        whole = sum(g.ended - g.began for g in timeline.idle)
        where = f"{seconds(whole)} without a step under way, the longest @{seconds(gap.began)}"
        yield line(("idle  ", "bold"), f"{where} +{seconds(gap.ended - gap.began)}")


def _simulated(timeline: Timeline, *, detail: bool) -> Iterator[Line]:
    simulated = timeline.began.simulated if timeline.began else ()
    if simulated and detail:
        yield line(("simulated", "bold"))
        yield from (line(f"  {cut(safe(what))}") for what in simulated)
    elif simulated:
        unreal = ", no node or container is real" if timeline.began and timeline.began.target.embedded else ""
        yield line(("simulated  ", "dim"), (f"{many(len(simulated), 'thing')}{unreal}: --detail", "dim"))


def _all(timeline: Timeline) -> Iterator[Line]:
    yield line(("objects", "bold"))
    for step in sorted(timeline.steps, key=lambda s: (s.started is None, s.started or 0.0)):
        yield line(f"  {_times(step)}  {step.outcome:10} {step.step.ref}  {step.step.where}")


def _times(step: StepTime) -> str:
    if step.started is None:
        return " " * 16
    ended = f"+{step.ended - step.started:.2f}" if step.ended is not None else "…"
    return f"{step.started:8.2f} {ended:>7}"


def _comparison(timelines: Sequence[Timeline]) -> Iterator[Line]:
    yield line(("order     restoring   ready  rejected  never ready  skipped", "bold"))
    for row in compared(timelines):
        yield line(f"{row[0]:<9} {row[1]:>9}  {row[2]:>6}  {row[3]:>8}  {row[4]:>11}  {row[5]:>7}")


def compared(timelines: Sequence[Timeline]) -> list[tuple[str, str, int, int, int, int]]:
    """Return, for each order: its name, time of the restore, and steps ready, rejected, never ready and skipped."""
    rows = []
    for timeline in timelines:
        failed = [step for step in timeline.steps if step.outcome == "failed"]
        hung = sum(step.timeout for step in failed)
        order = timeline.began.order if timeline.began else ""
        took = seconds(timeline.seconds(Phase.RESTORE))
        rows.append((order, took, timeline.count("ready"), len(failed) - hung, hung, timeline.count("skipped")))
    return rows
