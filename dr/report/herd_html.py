"""A herd as one HTML page that needs no network and no script."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from msgspec import Struct

from dr.core.herd import SPENDS, Herded, Member
from dr.core.herd_findings import Findings, Spread, findings
from dr.report.console import seconds
from dr.report.graph_html import hashed, printable
from dr.report.herd_text import counted, shared, times, verdict

_MOST = 2000  # members with a cell of their own; all are in herd.json
_WIDTH = 100.0


class Dot(Struct, frozen=True):
    """A cluster in a scenario's picture: where, in percent of the width, and what it says."""

    x: float
    kind: str
    says: str


class Figures(Struct, frozen=True):
    """What is drawn of a herd's findings: by scenario the counts, times, dots and the greatest time; what is shared."""

    spreads: tuple[tuple[Spread, str, str, list[Dot], float], ...]
    common: tuple[str, ...]
    causes: tuple[tuple[str, tuple[str, ...]], ...]


def figures(herded: Herded, found: Findings) -> Figures:
    """Return what is drawn of a herd's findings."""
    spreads = ((s, counted(s), times(s), _dots(herded, s.scenario), max(s.rtas, default=0.0)) for s in found.spreads)
    return Figures(tuple(spreads), tuple(map(shared, found.common)), found.causes)


def html(herded: Herded) -> bytes:
    """Return how a herd stands as one HTML file: the waves, each scenario's times, and who is in trouble."""
    assets = files("dr.report") / "assets"
    style = "".join((assets / name).read_text("utf-8") for name in ("run.css", "herd.css"))
    environment = Environment(
        loader=PackageLoader("dr.report", "assets"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=printable,
    )
    shown = herded.members[:_MOST]
    page = environment.get_template("herd.html.j2").render(
        herded=herded,
        verdict=verdict(herded),
        good=herded.verdict == "met",
        found=figures(herded, findings(herded)),
        odd=[m for m in herded.members if m.state in SPENDS][:_MOST],
        waves=[(n + 1, [m for m in shown if m.wave == n]) for n in range(len(herded.waves))],
        more=len(herded.members) - len(shown),
        says=_says,
        seconds=seconds,
        style=Markup(style),  # noqa: S704 - our own files
        style_hash=hashed(style),
    )
    return page.encode()


def _dots(herded: Herded, scenario: str) -> list[Dot]:
    timed = [m for m in herded.members if m.scenario == scenario and m.rta is not None][:_MOST]
    most = max((m.rta or 0.0 for m in timed), default=0.0)
    return [Dot(_WIDTH * (m.rta or 0.0) / most if most else 0.0, m.state, _says(m)) for m in timed]


def _says(member: Member) -> str:
    took = f" in {seconds(member.rta)}" if member.rta is not None else ""
    tried = f", {member.attempts} attempts" if member.attempts > 1 else ""
    why = f": {member.cause}" if member.cause else ""
    return f"{member.cluster} {member.scenario}: {member.state}{took}{tried}{why}"
