"""A herd in the terminal: how it stands, scenario by scenario, and what those in trouble have in common."""

from __future__ import annotations

from collections.abc import Iterator

from dr.core.herd import SPENDS, Herd, Herded, Member
from dr.core.herd_findings import Common, Findings, Spread, findings
from dr.report.console import Line, line, many, seconds
from dr.report.findings import safe
from dr.report.history_text import summed

SAID = {
    "running": "is under way",
    "met": "all that was tried met its objectives",
    "missed": "not all met their objectives, within the budget",
    "stopped": "stopped: the budget was spent",
    "interrupted": "interrupted",
}
_STYLES = {"met": "green", "missed": "red", "failed": "red", "running": "yellow"}
_LISTED, _NAMES = 20, 8


def progress(member: Member, herd: Herd) -> str:
    """Return a line about a member that has changed."""
    wave = herd.waves[member.wave].name or f"wave {member.wave + 1}"
    attempt = f", attempt {member.attempts}" if member.attempts > 1 else ""
    return safe(f"{wave}: {member.cluster} {member.scenario} {member.state}{attempt}{_took(member)}{_why(member)}")


def _took(member: Member) -> str:
    return f" in {seconds(member.rta)}" if member.rta is not None else ""


def _why(member: Member) -> str:
    return f": {member.cause}" if member.cause else ""


def verdict(herded: Herded) -> str:
    """Return how a herd stands, in one sentence."""
    tried = sum(1 for m in herded.members if m.state not in ("waiting", "skipped"))
    lost = f"{herded.spent} missed or failed, the budget is {herded.budget}"
    said = SAID.get(herded.verdict, herded.verdict) if tried or herded.verdict != "running" else "not begun"
    return f"{said}; {tried} of {len(herded.members)} tried; {lost}"


def lines_of(herded: Herded) -> Iterator[Line]:
    """Yield how a herd stands."""
    style = _STYLES.get(herded.verdict, "red")
    yield line((safe(herded.title), "bold"), f"  {herded.run}")
    yield line((verdict(herded), style))
    for number, wave in enumerate(herded.waves):
        yield line((f"wave {number + 1}  ", "dim"), names(wave))
    found = findings(herded)
    for spread in found.spreads:
        yield line((f"{safe(spread.scenario)}  ", "bold"), counted(spread), f"  {times(spread)}".rstrip())
        for outlier in spread.outliers:
            yield line(
                ("  far off  ", "yellow"),
                f"{safe(outlier.cluster)} {seconds(outlier.rta)}, {outlier.times:.1f} times the median",
            )
    yield from _troubles(herded, found)
    if herded.commands:
        yield line(("commands, no gamedays: ", "dim"), safe(", ".join(herded.commands)))


def _troubles(herded: Herded, found: Findings) -> Iterator[Line]:
    odd = [member for member in herded.members if member.state in SPENDS]
    for member in odd[:_LISTED]:
        yield line(
            (f"✗ {safe(member.cluster)} ", "red"),
            safe(f"{member.scenario} {member.state}{_took(member)}{_why(member)}"),
        )
    if len(odd) > _LISTED:
        yield line(f"  and {len(odd) - _LISTED} more")
    for common in found.common:
        yield line(("in common  ", "yellow"), shared(common))


def shared(common: Common) -> str:
    """Return in words what clusters in trouble share."""
    return (
        f"{safe(common.label)}: {common.inside} of {common.odd} in trouble, {common.outside} of {common.others} others "
        f"(by chance: {common.p:.1%})"
    )


def counted(spread: Spread) -> str:
    """Return how many came to each state."""
    return ", ".join(f"{count} {state}" for state, count in spread.states.items())


def times(spread: Spread) -> str:
    """Return what may be said of a scenario's times; "" where nothing was measured."""
    return summed(spread.times) if spread.times.n else ""


def names(wave: tuple[str, ...]) -> str:
    """Return some names and how many more there are."""
    said = ", ".join(safe(name) for name in wave[:_NAMES])
    return said if len(wave) <= _NAMES else f"{said} and {many(len(wave) - _NAMES, 'more cluster')}"
