"""A gameday for the terminal: the verdict, the objectives, what took the time, what went wrong, what was simulated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from msgspec import Struct

from dr.core.events import Mark
from dr.core.history import Row
from dr.core.model import LEVELS, Level
from dr.core.outages import ProbeTime
from dr.core.recovery import Judged, Recovery
from dr.core.stats import summary
from dr.core.timeline import Timeline, roots
from dr.report.console import Line, line, many, seconds
from dr.report.findings import safe
from dr.report.run_text import cut, drift, slow, told

_WRONG, _TARGETS, _LINKS = 10, 3, 6
_BY_HAND = "take it back by hand"
_UNCOUNTED = "not counted at the end, so nobody knows what survived"
_WELL = ("succeeded", "completed")  # Chaos Toolkit's words for what went well


class Wrong(Struct, frozen=True):
    """Something that went wrong: of what kind, to whom, why, what to do about it, and where it stands in git."""

    what: str
    subject: str
    cause: str
    remedy: str = ""
    where: str = ""


class UnitLink(Struct, frozen=True):
    """A part of the critical chain within one unit: when it ended, in seconds since the fault, and what it took."""

    unit: str
    at: float
    took: float


def lines(timeline: Timeline, recovery: Recovery, earlier: Sequence[Row] = (), *, detail: bool) -> Iterator[Line]:
    """Yield a gameday's result for people. `earlier`: runs of the same scenario before this one, oldest first."""
    yield verdict(timeline, recovery)
    for label, met, said in objectives(recovery):
        mark = ("✓ ", "green") if met else ("✗ ", "bold red")
        yield line((f"{label:<8} ", "bold"), mark, said)
    yield from (line(("data     ", "bold"), said) for said in lost(recovery))
    if parts := measured(recovery):
        yield line(("parts    ", "bold"), " · ".join(f"{name} {seconds(took)}" for name, took in parts))
    if sentence := bottleneck(timeline, recovery):
        yield line(("longest  ", "bold"), sentence)
    yield from _chain(timeline, recovery, detail=detail)
    if found := slow(timeline):
        yield line(("slowest  ", "bold"), " · ".join(f"{step.step.ref} {seconds(step.took)}" for step in found))
    for probe in recovery.probes:
        yield line(("probe    ", "bold"), f"{probe.probe.name}  {probed(probe)}")
    if recovery.injected:
        yield line(("fault    ", "bold"), struck(recovery))
    yield from _wrong(timeline, recovery, detail=detail)
    if sentence := compared(recovery, earlier):
        yield line(("earlier  ", "bold"), sentence)
    yield from _simulated(timeline, detail=detail)


def verdict(timeline: Timeline, recovery: Recovery) -> Line:
    """Return the verdict in one sentence."""
    title = recovery.announced.title
    if recovery.announced.recovery == "forklift":
        return _moved(title, recovery)
    took = seconds(recovery.rta) if recovery.rta is not None else ""
    match recovery.verdict:
        case "met":
            head, said = ("✓ recovered ", "bold green"), f"{title}: in {took}, as promised"
            if not recovery.announced.objectives:
                said = f"{title}: in {took}; nothing was promised"
        case "aborted":
            head, said = ("✗ aborted ", "bold red"), f"{title}: {recovery.aborted[0].condition}"
        case "interrupted":
            head, said = ("✗ interrupted ", "bold red"), f"{title}: after {seconds(timeline.duration)}"
        case "not begun":
            head, said = ("✗ not begun ", "bold red"), f"{title}: nothing was disturbed"
        case _ if recovery.rta is None:
            given_up = seconds(recovery.censored or 0.0)
            head, said = ("✗ not recovered ", "bold red"), f"{title}: given up after {given_up}"
        case _:
            missed = many(sum(1 for j in recovery.objectives if not j.met), "objective")
            whole = all(j.met for j in recovery.objectives)
            head = ("✗ not clean " if whole else "✗ too late ", "bold red")
            said = f"{title}: in {took}, " + ("but not all was well" if whole else f"{missed} missed")
    none = "; no probe noticed the fault: impact 0" if recovery.injected and not recovery.impact else ""
    return line(head, f"{said}{none}")


def _moved(title: str, recovery: Recovery) -> Line:
    good = recovery.verdict == "met"
    head = {
        "met": "✓ moved ",
        "aborted": "✗ back on the old cluster ",
        "missed": "✗ not moved as planned ",
    }.get(recovery.verdict, "… under way ")
    down = max((p.downtime or 0.0 for p in recovery.probes), default=0.0)
    said = f"{title}: {seconds(down)} without service" if recovery.injected else f"{title}: users were not moved yet"
    return line((head, "bold green" if good else "bold red"), said)


def objectives(recovery: Recovery) -> Iterator[tuple[str, bool, str]]:
    """Yield each objective as its name, whether it was met, and the comparison: `6m48s ≤ 15m00s`.

    Where nothing was promised of the whole, the time that it took stands by itself.
    """
    whole = recovery.announced.recovery != "forklift"
    if (
        whole
        and recovery.injected
        and not any(j.objective.kind == "rto" and not j.objective.units for j in recovery.objectives)
    ):
        took = _took(recovery.rta, recovery.error) if recovery.rta is not None else _given_up(recovery)
        yield "RTA", recovery.rta is not None, f"{took}; nothing was promised"
    yield from promised(recovery)


def lost(recovery: Recovery) -> Iterator[str]:
    """Yield what each canary lost."""
    for loss in recovery.losses:
        if loss.lost is None:
            yield f"{loss.probe.name}: wrote to {loss.written}, {_UNCOUNTED}"
            continue
        gone = "nothing is left" if loss.survived is None else f"{many(loss.lost, 'write')} lost"
        rpa = f", {_took(loss.rpa, loss.error)}" if loss.rpa is not None and loss.lost else ""
        newest = f"wrote to {loss.written}, found {'nothing' if loss.survived is None else loss.survived}"
        yield f"{loss.probe.name}: {gone}{rpa}; {newest}"


def promised(recovery: Recovery) -> Iterator[tuple[str, bool, str]]:
    """Yield only what was promised, in the same form, in the order of `recovery.objectives`."""
    for judged in recovery.objectives:
        subject = f" {judged.objective.subject}" if judged.objective.subject else ""
        yield f"{judged.objective.kind.upper()}{subject}", judged.met, _judged(judged, recovery)


def _judged(judged: Judged, recovery: Recovery) -> str:
    wanted = judged.objective.seconds
    if judged.objective.kind == "lost":
        found = _uncounted(recovery) if judged.actual is None else f"{many(int(judged.actual), 'write')} lost"
        return f"{found}; promised at most {wanted:g}"
    if judged.actual is None:
        missing = _uncounted(recovery) or "nothing survived"
        return f"{missing if judged.objective.kind == 'rpo' else _given_up(recovery)}; promised {seconds(wanted)}"
    actual, limit = seconds(judged.actual), seconds(wanted)
    if actual == limit and judged.actual != wanted:
        actual, limit = f"{judged.actual:.3f}s", f"{wanted:.3f}s"
    return f"{actual} {'≤' if judged.met else '>'} {limit}{_less(judged.error)}"


def _uncounted(recovery: Recovery) -> str:
    """Return which canaries were not counted, "" when all were."""
    names = ", ".join(loss.probe.name for loss in recovery.losses if not loss.counted)
    return f"{names}: {_UNCOUNTED}" if names else "" if recovery.losses else "no canary was counted"


def _given_up(recovery: Recovery) -> str:
    if recovery.censored is None:
        return "not reached" if recovery.injected else "not begun"
    return f"not recovered after {seconds(recovery.censored)}"


def _took(value: float, error: float) -> str:
    return f"{seconds(value)}{_less(error)}"


def _less(error: float) -> str:
    return f", or up to {error:.2f} s less" if error >= 0.005 else ""


def measured(recovery: Recovery) -> list[tuple[str, float]]:
    """Return the parts of the recovery that occurred, with their seconds, in order; they sum to the whole."""
    return [(part.name, part.seconds) for part in recovery.parts if part.happened]


def bottleneck(timeline: Timeline, recovery: Recovery) -> str:
    """Return one sentence that names what took most of the time, "" when nothing is known of that."""
    still = [probe for probe in recovery.probes if probe.outages and probe.outages[-1].ended is None]
    if recovery.injected and recovery.rta is None and still:
        cause = cut(still[0].outages[-1].cause)
        return f"{still[0].probe.name} was still failing at the end" + (f": {cause}" if cause else "")
    parts = measured(recovery)
    whole = sum(took for _, took in parts)
    if not parts or whole <= 0:
        return ""
    name, took = max(parts, key=lambda part: part[1])
    sentence = f"{name} took {seconds(took)} of {seconds(whole)} ({100 * took / whole:.0f} %)"
    links = unit_chain(timeline, recovery)
    if name == "restore" and links:
        worst = max(links, key=lambda link: link.took)
        sentence += f", most of it in {worst.unit} ({seconds(worst.took)} of the chain that decided the end)"
    elif name == "verify" and recovery.probes and (last := recovery.moments.get(Mark.RECOVERED)) and last.by:
        sentence += f", until {last.by} had passed often enough"
    return sentence


def unit_chain(timeline: Timeline, recovery: Recovery | None) -> list[UnitLink]:
    """Return the critical chain by unit, first link first; what one unit spent in a row is one link."""
    since = recovery.began if recovery else 0.0
    found = []
    for unit, links in groupby(timeline.chain, key=lambda link: timeline.steps[link.step].step.unit):
        own = list(links)
        found.append(UnitLink(unit or "objects", own[-1].at + own[-1].took - since, sum(link.took for link in own)))
    return found


def _chain(timeline: Timeline, recovery: Recovery, *, detail: bool) -> Iterator[Line]:
    links = list(reversed(unit_chain(timeline, recovery)))
    shown = links if detail else links[:_LINKS]
    if shown:
        said = " ← ".join(f"{link.unit} @{seconds(link.at)} +{seconds(link.took)}" for link in shown)
        more = f" ← {len(links) - len(shown)} more" if len(links) > len(shown) else ""
        yield line(("critical chain  ", "bold"), said, more)


def probed(probe: ProbeTime) -> str:
    """Return what a probe saw, after its name."""
    asked = f"asked {many(probe.asked, 'time')}, {probe.failed} failed after the fault"
    if not probe.outages:
        return f"never failed; {asked}"
    if probe.downtime is None:
        return f"still down at the end; {asked}"
    outages = f" in {many(len(probe.outages), 'outage')}" if len(probe.outages) > 1 else ""
    return f"down {_took(probe.downtime, probe.error)}{outages}; {asked}"


def struck(recovery: Recovery) -> str:
    """Return what the fault was and what it struck."""
    targets = [target for injected in recovery.injected for target in injected.targets]
    shown = ", ".join(targets[:_TARGETS]) + (f" and {len(targets) - _TARGETS} more" if len(targets) > _TARGETS else "")
    return cut(safe(recovery.announced.fault or recovery.injected[0].fault)) + (
        f": {cut(safe(shown))}" if shown else ""
    )


def wrong(timeline: Timeline, recovery: Recovery | None) -> list[Wrong]:
    """Return all that went wrong, the gravest first: aborts, faults that are still in, steps, checks, differences.

    `recovery` is None for a run that is no gameday.
    """
    aborted = [Wrong("aborted", abort.condition, abort.cause) for abort in (recovery.aborted if recovery else ())]
    left = [
        Wrong("not taken back", undone.fault, undone.cause, undone.remedy or _BY_HAND)
        for undone in (recovery.left if recovery else ())
    ]
    steps = []
    for index, taken in roots(timeline.steps):
        step = timeline.steps[index]
        more = f" (and {many(taken, 'object')} with it)" if taken else ""
        name, why = f"{step.step.ref}{more}", step.why or "no answer yet"
        steps.append(Wrong(step.outcome, name, why, where=step.step.where))
    checks = [
        Wrong(check.check, check.subject, check.cause, check.remedy)
        for check in sorted(timeline.checks, key=lambda c: -LEVELS.index(c.level))
        if check.level is not Level.INFO
    ]
    activities = [
        Wrong(f"{done.kind} {done.status}", done.name, done.cause)
        for done in (recovery.activities if recovery else ())
        if done.cause or done.status not in _WELL
    ]
    differences = [Wrong(d.what, str(d.ref), told(d)) for d in drift(timeline)]
    return [*aborted, *left, *steps, *checks, *activities, *differences]


def _wrong(timeline: Timeline, recovery: Recovery, *, detail: bool) -> Iterator[Line]:
    found = wrong(timeline, recovery)
    shown = found if detail else found[:_WRONG]
    for entry in shown:
        yield line(("! ", "yellow"), (f"{entry.what}: {cut(entry.subject)}", "bold"), f"  {cut(entry.cause)}".rstrip())
        if entry.remedy:
            yield line((f"    {entry.remedy}", "dim"))
    if len(found) > len(shown):
        yield line(f"… and {len(found) - len(shown)} more (--detail shows all)")


def compared(recovery: Recovery, earlier: Sequence[Row]) -> str:
    """Return how this run compares with the earlier ones of its scenario, "" without any."""
    values = [row.rta for row in earlier if row.rta is not None]
    given_up = [row.censored for row in earlier if row.rta is None and row.censored is not None]
    known = summary(values, given_up)
    if not known.n:
        return ""
    middle = f", median {seconds(known.median)}" if known.median is not None else ""
    lost = f", {known.censored} of them not recovered" if known.censored else ""
    ratio = f"; this one {recovery.rta / known.median:.2f}×" if recovery.rta is not None and known.median else ""
    return f"{many(known.n, 'run')}{lost}{middle}{ratio}"


def unreal(timeline: Timeline) -> tuple[str, ...]:
    """Return what was not real in the cluster that was struck."""
    return timeline.began.simulated if timeline.began else ()


def _simulated(timeline: Timeline, *, detail: bool) -> Iterator[Line]:
    found = unreal(timeline)
    if found and detail:
        yield line(("simulated", "bold"))
        yield from (line(f"  {cut(safe(what))}") for what in found)
    elif found:
        embedded = ", no node or container is real" if timeline.began and timeline.began.target.embedded else ""
        yield line(("simulated  ", "dim"), (f"{many(len(found), 'thing')}{embedded}: --detail", "dim"))
