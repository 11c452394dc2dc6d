"""A herd as Markdown: for a ticket, and a record that stands by itself."""

from __future__ import annotations

from collections.abc import Iterator

from dr.core.herd import SPENDS, Herded
from dr.core.herd_findings import findings
from dr.report.console import seconds
from dr.report.gameday_markdown import escaped, table
from dr.report.herd_text import counted, shared, times, verdict

_MOST = 200


def markdown(herded: Herded) -> bytes:
    """Return how a herd stands as a document."""
    return ("\n".join(_document(herded)).rstrip("\n") + "\n").encode()


def _document(herded: Herded) -> Iterator[str]:
    found = findings(herded)
    yield f"# {escaped(herded.title)}"
    yield ""
    head = f"Herd {escaped(herded.herd)}, run {escaped(herded.run)}, {escaped(herded.time)}"
    yield f"{head}: **{escaped(verdict(herded))}**."
    yield ""
    if herded.commands:
        yield f"Commands and no gamedays: {escaped(', '.join(herded.commands))}."
        yield ""
    yield "## Scenarios"
    yield ""
    yield from table(
        "scenario | came to | time to recover | far off",
        (
            (
                escaped(s.scenario),
                escaped(counted(s)),
                escaped(times(s)) or "–",
                escaped(", ".join(f"{o.cluster} {seconds(o.rta)}" for o in s.outliers)) or "–",
            )
            for s in found.spreads
        ),
    )
    if found.common:
        yield "## What those in trouble have in common"
        yield ""
        yield from (f"- {escaped(shared(common))}" for common in found.common)
        yield ""
    odd = [member for member in herded.members if member.state in SPENDS]
    if odd:
        yield "## Missed and failed"
        yield ""
        yield from table(
            "cluster | scenario | state | attempts: | cause | run",
            (
                tuple(map(escaped, (m.cluster, m.scenario, m.state, str(m.attempts), m.cause, m.run)))
                for m in odd[:_MOST]
            ),
        )
    yield "## Waves"
    yield ""
    for number, wave in enumerate(herded.waves, 1):
        rest = f" and {len(wave) - _MOST} more" if len(wave) > _MOST else ""
        yield f"{number}. {escaped(', '.join(wave[:_MOST]))}{rest}"
