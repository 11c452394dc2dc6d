"""Runs of the past for the terminal: lists, two runs side by side, the trend of a scenario, what took longest."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from dr.core.chained import Fault
from dr.core.evidence import Evidence
from dr.core.history import Point, Row
from dr.core.recovery import Recovery
from dr.core.stats import Regression, Summary, regression, summary
from dr.core.timeline import StepTime, Timeline, slowest
from dr.report.console import Line, line, many, seconds
from dr.report.gameday_text import measured
from dr.report.run_text import cut

_WIDTH, _SHOWN = 30, 20
_MARKS = {"met": ("✓", "green"), "missed": ("✗", "red")}


class Trend(Struct, frozen=True):
    """The runs of a scenario, what may be said of them, and of those after a change against those before.

    `split` names the change; `regression` is None where there is nothing on one side of it.
    """

    rows: tuple[Row | Point, ...]
    summary: Summary
    split: str
    before: Summary
    after: Summary
    regression: Regression | None


def trend(rows: Sequence[Row | Point], split: str = "") -> Trend:
    """Return the trend of a scenario's runs, oldest first.

    `split`: the beginning of a time (UTC), run or commit from which on runs count as after the change; "": the newest
    commit's runs against all that came before. Runs that were not begun or were interrupted measured nothing.
    """
    told = tuple(row for row in rows if row.rta is not None or row.verdict in ("missed", "aborted"))
    at = len(told)
    if split:
        starts = (
            i for i, r in enumerate(told) if r.time >= split or r.run.startswith(split) or r.commit.startswith(split)
        )
        at = next(starts, at)
    elif told:
        at -= 1
        while at and told[at - 1].commit == told[-1].commit:
            at -= 1
        split = told[-1].commit[:9]
    before, after = told[:at], told[at:]
    times = tuple([math.inf if row.rta is None else row.rta for row in part] for part in (before, after))
    judged = regression(*times) if before and after else None
    return Trend(told, _summary(told), split, _summary(before), _summary(after), judged)


def _summary(rows: Sequence[Row | Point]) -> Summary:
    given_up = [row.censored or 0.0 for row in rows if row.rta is None]
    return summary([row.rta for row in rows if row.rta is not None], given_up)


def listed(rows: Sequence[Row]) -> Iterator[Line]:
    """Yield the runs, one a line, in the order given."""
    width = max((len(row.scenario) for row in rows), default=0)
    for row in rows:
        mark, style = _MARKS.get(row.verdict, ("!", "yellow"))
        where = "embedded" if row.embedded else row.target
        commit = f" {row.repo} {row.commit[:9]}".rstrip()
        yield line(
            (f"{mark} ", style),
            f"{row.time[:16].replace('T', ' ')}  {row.scenario:<{width}}  {row.verdict:<11} {result(row):>9} ",
            (f" {where}{commit}  {row.folder}", "dim"),
        )
    if not rows:
        yield line("no runs yet: `dr rehearse REPO` or `dr gameday run FILE` makes one")


def result(row: Row | Point) -> str:
    """Return how long a run's recovery took, or after how long it was given up."""
    if row.rta is not None:
        return seconds(row.rta)
    return "–" if row.censored is None else f"> {seconds(row.censored)}"


def compared(one: Row, other: Row, *, detail: bool) -> Iterator[Line]:
    """Yield two runs side by side: what they were, the whole, its parts, the units that changed most, the promises."""
    for name, values in (
        ("run", (one.run, other.run)),
        ("time", (one.time[:19], other.time[:19])),
        ("scenario", (one.scenario, other.scenario)),
        ("commit", (one.commit[:9], other.commit[:9])),
        ("target", (one.target, other.target)),
        ("verdict", (one.verdict, other.verdict)),
    ):
        yield _row(name, *values)
    yield _figures("recovery", one.rta, other.rta)
    yield _figures("data lost", one.rpa, other.rpa)
    for title, first, second in (("part", one.parts, other.parts), ("unit", one.units, other.units)):
        names = [*first, *(name for name in second if name not in first)]
        shown = names if title == "part" or detail else _changed(names, first, second)
        yield from (_figures(f"{title} {name}", first.get(name), second.get(name)) for name in shown)
        if len(names) > len(shown):
            yield line((f"… {many(len(names) - len(shown), 'more unit')} that changed less (--detail)", "dim"))
    promises = [{(o.kind, o.subject): o for o in row.objectives} for row in (one, other)]
    for key in dict.fromkeys([*promises[0], *promises[1]]):
        found = [promise.get(key) for promise in promises]
        one_said, other_said = ("–" if o is None else f"{'✓' if o.met else '✗'} of {seconds(o.seconds)}" for o in found)
        yield _row(f"{key[0].upper()} {key[1]}".rstrip(), one_said, other_said)


def _changed(names: Sequence[str], first: Mapping[str, float], second: Mapping[str, float]) -> list[str]:
    """Return the names whose figures differ most, those that only one run has before all others."""

    def change(name: str) -> float:
        return abs(second[name] - first[name]) if name in first and name in second else math.inf

    most = set(sorted(names, key=lambda name: (-change(name), name))[:_SHOWN])
    return [name for name in names if name in most]


def _figures(name: str, one: float | None, other: float | None) -> Line:
    first, second = ("–" if value is None else seconds(value) for value in (one, other))
    return _row(name, first, second, f"{other / one:.2f}×" if one and other is not None else "")


def _row(name: str, one: str, other: str, more: str = "") -> Line:
    return line((f"{name[:_WIDTH]:<{_WIDTH}} ", "bold"), f"{one or '–':<32} {other or '–':<32} {more}".rstrip())


def trended(found: Trend, scenario: str) -> Iterator[Line]:
    """Yield a scenario's runs, oldest first, what may be said of them, and whether they became longer."""
    yield line((scenario, "bold"), f"  {many(len(found.rows), 'run')}")
    longest = max((row.rta or row.censored or 0.0 for row in found.rows), default=0.0)
    for row in found.rows:
        mark, style = _MARKS.get(row.verdict, ("!", "yellow"))
        bar = "━" * round(_WIDTH * (row.rta or row.censored or 0.0) / longest) if longest else ""
        more = "…" if row.rta is None else ""
        yield line(
            f"  {row.time[:16].replace('T', ' ')} {row.commit[:9]:<9} {result(row):>9} ", (f"{mark} {bar}{more}", style)
        )
    yield line(("all     ", "bold"), summed(found.summary))
    if found.before.n and found.after.n:
        yield line(("before  ", "bold"), summed(found.before), (f"  (up to {found.split})", "dim"))
        yield line(("after   ", "bold"), summed(found.after), (f"  (from {found.split})", "dim"))
    yield line(("verdict ", "bold"), judged(found))


def summed(value: Summary) -> str:
    """Return what may be said of runs in one phrase: no interval of few, no percentile of fewer than 20."""
    if not value.n:
        return "no runs"
    known = {"min": value.minimum, "median": value.median, "max": value.maximum}
    said = [f"{name} {'not known' if figure is None else seconds(figure)}" for name, figure in known.items()]
    if value.confidence is not None and value.low is not None:
        end = "∞" if value.high is None else seconds(value.high)
        said.append(f"{100 * value.confidence:.1f} % interval of the median {seconds(value.low)} to {end}")
    if value.p95 is not None:
        said.append(f"p95 {seconds(value.p95)}")
    lost = f", {value.censored} given up" if value.censored else ""
    return f"n={value.n}{lost}: {', '.join(said)}"


def judged(found: Trend) -> str:
    """Return whether runs became longer, in one sentence that says how that is known."""
    verdict = found.regression
    if verdict is None:
        return "nothing to compare: all runs are on one side (--split DATE, RUN or COMMIT draws another line)"
    ratio = verdict.ratio
    lost = "the median run no longer recovers, "
    longer = "" if ratio is None else lost if math.isinf(ratio) else f"median {ratio:.2f}×, "
    said = f"{longer}rank test p={verdict.p:.3g}"
    if verdict.flagged:
        return f"✗ a regression: {said}"
    return f"✓ no regression: {said}" if verdict.enough else f"too few runs to tell a regression ({said})"


def blamed(timeline: Timeline, recovery: Recovery | None, *, detail: bool) -> Iterator[Line]:
    """Yield what took longest, the longest first: steps, or without any the parts and probes of the recovery."""
    found = [timeline.steps[index] for index in slowest(timeline.steps, len(timeline.steps))]
    shown = found if detail else found[:_SHOWN]
    yield from (_blame(step) for step in shown)
    if len(found) > len(shown):
        yield line((f"… {many(len(found) - len(shown), 'more object')} (--detail)", "dim"))
    for name, took in sorted(measured(recovery) if recovery else [], key=lambda part: -part[1]):
        yield line((f"{seconds(took):>9} ", "cyan"), f"part {name}")
    for gap in timeline.idle:
        yield line((f"{seconds(gap.ended - gap.began):>9} ", "cyan"), f"idle @{seconds(gap.began)}")


def _blame(step: StepTime) -> Line:
    retries = f", {step.retries} retries" if step.retries else ""
    return line(
        (f"{seconds(step.took):>9} ", "cyan"),
        f"{step.step.ref}",
        (f"  {step.step.unit}  {step.step.where}{retries}", "dim"),
    )


def chained(timeline: Timeline, saved: Mapping[int, float], since: float) -> Iterator[Line]:
    """Yield the chain that decided the end, last first; `saved`: seconds saved were a step's time halved.

    `since`: the second of the run that people count from, the fault's.
    """
    for link in reversed(timeline.chain):
        step = timeline.steps[link.step].step
        parts = f"queued {seconds(link.queued)}, applied {seconds(link.applying)}, ready {seconds(link.becoming)}"
        what_if = f"; halving it saves {seconds(saved[link.step])}" if saved.get(link.step, 0.0) > 0 else ""
        yield line(
            f"{step.ref} ",
            (f"@{seconds(link.at - since)} +{seconds(link.took)}", "cyan"),
            (f"  {step.where}  ({parts}{what_if})", "dim"),
        )
    if not timeline.chain:
        yield line("no chain: this run restored nothing itself; `dr report blame` shows what took longest")


def verified(
    run: str, lines: int, head: str, faults: Sequence[tuple[str, Fault]], notes: Sequence[str]
) -> Iterator[Line]:
    """Yield whether a run's record is what was written; `faults` are by file, `notes` what could not be checked."""
    if not faults:
        yield line(
            ("✓ ", "bold green"), f"{run}: {many(lines, 'line')}, each follows from the one before; head {head[:16]}…"
        )
    for file, fault in faults:
        where = f"{file}:{fault.number}" if fault.number else file
        yield line(("✗ ", "bold red"), (where, "bold"), f"  {cut(fault.cause)}")
    yield from (line(("! ", "yellow"), note) for note in notes)


def evident(found: Evidence) -> Iterator[Line]:
    """Yield the evidence of a period in short; the document has the rest."""
    met = sum(1 for entry in found.entries if entry.row.verdict == "met")
    embedded = sum(1 for entry in found.entries if entry.row.embedded)
    yield line(
        (f"Evidence for recovery, {found.period.since} to {found.period.until}", "bold"),
        f"  {many(len(found.entries), 'run')}, {met} met, {embedded} on simulated clusters",
    )
    for entry in found.entries:
        mark, style = _MARKS.get(entry.row.verdict, ("!", "yellow"))
        record = "" if entry.verified else f"  record NOT verified: {entry.faults[0]}"
        yield line((f"{mark} ", style), f"{entry.row.time[:10]} {entry.row.scenario}  {result(entry.row)}", record)
        yield from (line((f"    {deviation}", "dim")) for deviation in entry.deviations)
    for action in found.actions:
        state = f"met again on {action.retested}" if action.retested else "OVERDUE" if action.overdue else "open"
        todo = action.action
        yield line(("→ ", "cyan"), f"{todo.what}  {todo.owner or 'nobody'}, due {todo.due or '–'}: {state}")
    for stale in found.staleness:
        when = (
            "never met"
            if stale.days is None
            else f"last met {stale.last_met}, {many(stale.days, 'day')} before the period ends"
        )
        yield line((f"{stale.scenario}: ", "bold"), f"{when} ({many(stale.runs, 'run')})")
