"""A forklift as Markdown: for a ticket, a change record or an auditor; it stands by itself."""

from __future__ import annotations

from collections.abc import Iterator

from dr.core.model import Level
from dr.core.move import Move
from dr.report.console import many, seconds
from dr.report.gameday_markdown import escaped, table
from dr.report.gameday_text import lost, objectives, probed
from dr.report.move_text import DRIFTED, result, steered, verdict

_MOST = 200


def markdown(move: Move) -> bytes:
    """Return the report of a forklift."""
    return ("\n".join(_report(move)) + "\n").encode()


def _report(move: Move) -> Iterator[str]:
    head, _, said = verdict(move)
    yield f"# {escaped(head + said)}"
    yield ""
    old, new = move.moving.old, move.moving.new
    yield f"From {escaped(old.context)} ({escaped(old.version)}) to {escaped(new.context)} ({escaped(new.version)})."
    yield ""
    yield from table(
        "stage | took: | outcome | why",
        ((escaped(s.name), seconds(s.seconds), escaped(s.outcome), escaped(s.cause)) for s in move.stages if s.tries),
    )
    yield from _users(move)
    yield from _findings(move)
    yield from _data(move)
    yield from _parity(move)
    yield from _releases(move)


def _users(move: Move) -> Iterator[str]:
    seen = move.recovery
    if move.downtime is None or seen is None:
        return
    yield "## What users saw"
    yield ""
    less = f", or up to {move.error:.2f} s less" if move.error >= 0.005 else ""
    yield f"* without service: {move.downtime:.2f} s{less}; writes were stopped for {move.frozen:.2f} s"
    yield from (f"* {escaped(said)}" for said in lost(seen))
    for found in move.returned:
        yield f"* back on the old cluster within {found.at - found.began:.2f} s: {escaped(found.cause)}"
    yield ""
    yield from table(
        "objective | met | measured",
        ((escaped(label), "✓" if met else "✗", escaped(said)) for label, met, said in objectives(seen)),
    )
    yield from table("probe | saw", ((escaped(p.probe.name), escaped(probed(p))) for p in seen.probes))
    yield from table(
        "traffic | at: | seen", ((f"{s.weight} %", f"{s.at:.1f} s", escaped(steered(s))) for s in move.steered)
    )
    yield from table(
        "agreed to | by | note", ((escaped(c.step), escaped(c.by), escaped(c.note)) for c in move.confirmed)
    )


def _findings(move: Move) -> Iterator[str]:
    rows = [c for c in move.checks if c.level is not Level.INFO]
    if not rows:
        return
    yield "## What stood against it, and what was not in git"
    yield ""
    yield from table(
        "check | level | about | finding | what to do",
        ((escaped(c.check), c.level, escaped(c.subject), escaped(c.cause), escaped(c.remedy)) for c in rows[:_MOST]),
    )
    if len(rows) > _MOST:
        yield f"{len(rows) - _MOST} more in report.json"
        yield ""


def _data(move: Move) -> Iterator[str]:
    if not move.carried:
        return
    yield "## Data"
    yield ""
    yield from table(
        "data | what | took: | result",
        ((escaped(c.data), escaped(c.what), f"{c.at - c.began:.2f} s", escaped(result(c))) for c in move.carried),
    )


def _parity(move: Move) -> Iterator[str]:
    if not move.compared:
        return
    wrong = sum(1 for twin in move.parity if not twin.allowed)
    yield "## Parity"
    yield ""
    allowed = len(move.parity) - wrong
    yield f"{many(move.compared, 'object')} compared: {many(wrong, 'difference')}, {allowed} as the overrides say."
    yield ""
    yield from table(
        "object | field | old | new | against git | allowed",
        (
            (
                escaped(str(p.ref)),
                escaped(p.path),
                escaped(p.old),
                escaped(p.new),
                DRIFTED[p.drifted],
                "✓" if p.allowed else "✗",
            )
            for p in move.parity[:_MOST]
        ),
    )


def _releases(move: Move) -> Iterator[str]:
    if not move.came_back:
        return
    yield "## What each unit came back at"
    yield ""
    yield from table(
        "unit | release | commit | when | by | says",
        (
            (
                escaped(c.unit),
                escaped(c.artifact),
                escaped(c.commit[:9]),
                escaped(c.time),
                escaped(c.author),
                escaped("; ".join((c.subject, *(f"{key}: {value}" for key, value in c.trailers)))),
            )
            for c in move.came_back[:_MOST]
        ),
    )
