"""A run for the terminal: the verdict first, then what failed and why, the chain, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dr.core.events import Phase
from dr.core.model import Level
from dr.core.timeline import Link, StepTime, Timeline, blame
from dr.report.console import Line, line, many, pins, seconds

_FAILURES, _LINKS, _SLOW, _DIFFERENCES = 10, 8, 3, 10
_LONG = 300


def lines(timeline: Timeline, *, detail: bool, against: Sequence[Timeline] = ()) -> Iterator[Line]:
    """Yield a run's result for people; with `detail` every object. `against`: the same repo in other orders."""
    yield verdict(timeline)
    yield from _failures(timeline, detail=detail)
    yield from _checks(timeline)
    yield from _differences(timeline, detail=detail)
    yield from _chain(timeline, detail=detail)
    if detail:
        yield from _all(timeline)
    yield from _comparison([timeline, *against]) if against else ()
    simulated = timeline.began.simulated if timeline.began else ()
    if simulated and detail:
        yield line(("simulated", "bold"))
        yield from (line(f"  {what}") for what in simulated)
    elif simulated:
        yield line(("simulated  ", "dim"), (f"{len(simulated)} things, no node or container is real: --detail", "dim"))


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
    said = [f"{timeline.count(o)} {o}" for o in ("failed", "skipped", "unfinished", "ready") if timeline.count(o)]
    return ", ".join(said) or "nothing was done"


def _failures(timeline: Timeline, *, detail: bool) -> Iterator[Line]:
    taken = blame(timeline.steps)
    failed = [(i, s) for i, s in enumerate(timeline.steps) if s.outcome in ("failed", "unfinished") and s.cause]
    failed.sort(key=lambda item: (-taken.get(item[0], 0), item[0]))
    shown = failed if detail else failed[:_FAILURES]
    for index, step in shown:
        more = (
            f", and {many(taken[index], 'object')} that {'needs' if taken[index] == 1 else 'need'} it"
            if taken.get(index)
            else ""
        )
        yield line(("✗ ", "red"), (f"{step.step.ref}", "bold"), f"  {step.step.where}{more}")
        yield line(f"    {step.cause[:_LONG]}")
    if len(failed) > len(shown):
        yield line(f"… and {len(failed) - len(shown)} more failures (--detail shows all)")


def _checks(timeline: Timeline) -> Iterator[Line]:
    for check in timeline.checks:
        if check.level is not Level.INFO:
            yield line(("! ", "yellow"), (f"{check.check}: {check.subject}", "bold"), f"  {check.cause[:_LONG]}")
            yield line((f"    {check.remedy}", "dim"))


def _differences(timeline: Timeline, *, detail: bool) -> Iterator[Line]:
    # What was never restored is missing: that was said above.
    failed = {step.step.ref for step in timeline.steps if step.outcome != "ready"}
    own = [d for d in timeline.differences if d.ref not in failed]
    shown = own if detail else own[:_DIFFERENCES]
    for d in shown:
        more = f" {d.path}: {d.found} instead of {d.wanted}" if d.what == "different" else f" {d.found}"
        yield line((f"{d.what:9} ", "yellow"), f"{d.ref}{more}".rstrip())
    if len(own) > len(shown):
        yield line(f"… and {len(own) - len(shown)} more differences (--detail shows all)")


def _chain(timeline: Timeline, *, detail: bool) -> Iterator[Line]:
    links = list(reversed(timeline.chain))
    if not links:
        return
    yield line(("critical chain", "bold"), "  what the end waited for, last first")
    shown = links if detail else _longest(links)
    for link in links:
        if link in shown:
            step = timeline.steps[link.step].step
            parts = f"queued {seconds(link.queued)}, applied {seconds(link.applying)}, ready {seconds(link.becoming)}"
            more = f"  ({parts})" if detail else ""
            yield line(f"  {step.ref} ", (f"@{seconds(link.at)} +{seconds(link.took)}{more}", "cyan"))
    if len(shown) < len(links):
        rest = sum(link.took for link in links if link not in shown)
        yield line((f"  and {many(len(links) - len(shown), 'shorter link')}, {seconds(rest)} (--detail)", "dim"))


def _longest(links: Sequence[Link]) -> list[Link]:
    return sorted(links, key=lambda link: -link.took)[:_LINKS]


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
