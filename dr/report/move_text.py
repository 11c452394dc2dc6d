"""A forklift for the terminal: its plan before, and what came of it after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from msgspec import Struct

from dr.core.events import Carried, Steered
from dr.core.forklift import Forklift
from dr.core.model import Level
from dr.core.move import Move, StageTime
from dr.core.moving import LIVE_ONLY
from dr.core.work import Assignment
from dr.report.console import Line, line, many, seconds
from dr.report.run_text import cut

_SHOWN = 10
_VERDICTS = {
    "moved": ("✓ moved ", "bold green"),
    "missed": ("✗ moved, not as promised ", "bold red"),
    "returned": ("✗ back on the old cluster ", "bold red"),
    "stopped": ("✗ stopped ", "bold red"),
    "interrupted": ("✗ interrupted ", "bold red"),
    "under way": ("… under way ", "bold"),
}

DRIFTED = {
    "": "",
    "from": "changed on the old cluster",
    "to": "changed on the new cluster",
    "both": "changed on both",
}


class Planned(Struct, frozen=True):
    """A stage before it is done: what it does, and how long it took the last time, in seconds."""

    stage: str
    does: tuple[str, ...]
    estimate: float | None = None


def planned(move: Forklift, assignment: Assignment, kinds: int, last: Move | None) -> tuple[Planned, ...]:
    """Return the stages of a move as they will be done. `last`: an earlier move, for the estimates."""
    took = {stage.name: stage.seconds for stage in last.stages if stage.tries} if last else {}
    cutover = move.cutover
    data = [f"move {d.name} ({d.kind}) with {d.of}" for d in move.data]
    steps = [
        f"{step} % of the traffic, held for {cutover.hold:g} s"
        + (", after somebody agreed" if step in cutover.pause else "")
        + (", after writes were switched" if step == cutover.switch_at and (move.data or cutover.writer) else "")
        for step in cutover.steps
    ]
    rows: tuple[tuple[str, Sequence[str]], ...] = (
        ("preflight", [f"read {many(kinds, 'kind')} of both clusters; nothing is written to either"]),
        ("bootstrap", [f"apply {many(len(assignment.steps), 'object')} to `to`, in the order of the graph", *data]),
        ("verify", ["compare `to` with the commit"]),
        ("parity", ["compare both clusters with the commit, field by field"]),
        ("cutover", steps if cutover.traffic else ["nothing says how traffic moves"]),
        ("drain", ["stop the workloads of `from`, consumers first"]),
        ("retire", [f"take `from` away, {seconds(cutover_wait(move))} after the cutover, once its name is typed"]),
    )
    return tuple(Planned(stage, tuple(does), took.get(stage)) for stage, does in rows)


def cutover_wait(move: Forklift) -> float:
    """Return how long the old cluster stays, in seconds."""
    return float(move.retire.after)


def plan_lines(rows: Sequence[Planned]) -> Iterator[Line]:
    """Yield a plan for people."""
    for row in rows:
        known = f"  about {seconds(row.estimate)}" if row.estimate is not None else ""
        first, *rest = row.does
        yield line((f"{row.stage:<10}", "bold"), first, (known, "dim"))
        yield from (line(f"{'':<10}{said}") for said in rest)


def verdict(move: Move) -> tuple[str, str, str]:
    """Return the verdict: its head, its style, and the sentence."""
    head, style = _VERDICTS[move.verdict]
    title = move.recovery.announced.title if move.recovery else "forklift"
    broken = next((s for s in move.stages if s.outcome in ("failed", "returned") and s.cause), None)
    if move.verdict in ("moved", "missed"):
        down = f"{seconds(move.downtime)} without service" if move.downtime else "without an interruption"
        return head, style, f"{title}: {down}"
    if move.verdict == "returned":
        took = seconds(move.returned[-1].at - move.returned[-1].began) if move.returned else "?"
        still = (
            f"; users are still not served: {move.returned[-1].left}"
            if move.returned and move.returned[-1].left
            else ""
        )
        return (
            head,
            style,
            f"{title}: within {took}, because {broken.cause if broken else 'users were not served'}{still}",
        )
    if move.verdict == "stopped" and broken:
        return head, style, f"{title}: at {broken.name}: {broken.cause}"
    passed = [s.name for s in move.stages if s.outcome == "passed"]
    return head, style, f"{title}: {', '.join(passed) or 'nothing'} passed"


def lines(move: Move, *, detail: bool) -> Iterator[Line]:
    """Yield a forklift's result for people."""
    head, style, said = verdict(move)
    yield line((head, style), said)
    yield line(("stages   ", "bold"), " · ".join(map(staged, (s for s in move.stages if s.tries))))
    if move.downtime is not None:
        less = f", or up to {move.error:.2f} s less" if move.error >= 0.005 else ""
        yield line(("downtime ", "bold"), f"{seconds(move.downtime)}{less}; writes stopped for {seconds(move.frozen)}")
    if move.lost is not None:
        yield line(("writes   ", "bold"), f"{move.lost} of the acknowledged ones lost")
    for done in move.carried:
        if done.what in ("copy", "compare") and (detail or done.cause or done.what == "compare"):
            yield line(("data     ", "bold"), carried(done))
    yield from (line(("traffic  ", "bold"), steered(told)) for told in move.steered if told.cause or detail)
    yield from _findings(move, detail=detail)
    yield from _differences(move, detail=detail)
    if move.drained:
        yield line(("drained  ", "bold"), many(len(move.drained), "workload"))
    if move.came_back and detail:
        for unit in move.came_back:
            said = ", ".join(f"{key}: {value}" for key, value in unit.trailers)
            yield line(("release  ", "bold"), f"{unit.unit} at {unit.commit[:9]} {unit.artifact} {said}".rstrip())


def staged(stage: StageTime) -> str:
    """Return a stage in a few words."""
    tries = f" in {stage.tries} tries" if stage.tries > 1 else ""
    return f"{stage.name} {seconds(stage.seconds)}{tries}" + (
        "" if stage.outcome == "passed" else f" ({stage.outcome})"
    )


def carried(done: Carried) -> str:
    """Return what was done to data, in a sentence."""
    said = result(done)
    return f"{done.data}: {done.what} in {seconds(done.at - done.began)}" + (f": {said}" if said else "")


def result(done: Carried) -> str:
    """Return what came of it: rows, and whether both sides are the same."""
    rows = f"{sum(done.before.values()):,} rows, {sum(done.after.values()):,} on the new side" if done.before else ""
    told = done.what == "compare" and not done.cause
    same = {None: "cannot be compared" * told, True: "the same on both sides", False: "not the same yet"}[done.same]
    return "; ".join(part for part in (rows, same, cut(done.cause)) if part)


def steered(told: Steered) -> str:
    """Return a step of the traffic in a sentence."""
    seen = f", {told.share:g} % of {many(told.samples, 'user')} were served there" if told.samples else ""
    return f"{told.weight} % to the new cluster{seen}" + (f": {cut(told.cause)}" if told.cause else "")


def _findings(move: Move, *, detail: bool) -> Iterator[Line]:
    alone = Counter(check.level for check in move.alone)
    if move.alone:
        made = alone[Level.INFO]
        hidden = len(move.alone) - made
        yield line(
            ("live-only", "bold"), f" {many(hidden, 'object')} not in git, {made} more that are left or made again"
        )
    wrong = [check for check in move.checks if check.level is not Level.INFO]
    for check in wrong if detail else wrong[:_SHOWN]:
        mark = ("✗ ", "red") if check.level is Level.ERROR else ("! ", "yellow")
        what = "" if check.check == LIVE_ONLY else f"{check.check}: "
        yield line("  ", mark, f"{what}{check.subject} {cut(check.cause)}", (f"  {cut(check.remedy)}", "dim"))
    if not detail and len(wrong) > _SHOWN:
        yield line(f"  {len(wrong) - _SHOWN} more with --detail")


def _differences(move: Move, *, detail: bool) -> Iterator[Line]:
    if not move.compared:
        return
    wrong = [twin for twin in move.parity if not twin.allowed]
    allowed = len(move.parity) - len(wrong)
    said = f"{many(move.compared, 'object')} compared: {many(len(wrong), 'difference')}, {allowed} as the overrides say"
    yield line(("parity   ", "bold"), said)
    for twin in (wrong if detail else wrong[:_SHOWN]) + ([t for t in move.parity if t.allowed] if detail else []):
        drift = f" ({DRIFTED[twin.drifted]})" if twin.drifted and not twin.allowed else ""
        mark = ("= ", "dim") if twin.allowed else ("✗ ", "red")
        yield line("  ", mark, f"{twin.ref} {twin.path}: {cut(twin.old)} → {cut(twin.new)}{drift}")
