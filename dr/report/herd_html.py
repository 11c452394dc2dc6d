"""A herd as one HTML page that needs no network and no script."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from msgspec import Struct

from dr.core.herd import SPENDS, Herded, Member
from dr.core.herd_findings import findings
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


def html(herded: Herded) -> bytes:
    """Return how a herd stands as one HTML file: the waves, each scenario's times, and who is in trouble."""
    assets = files("dr.report") / "assets"
    style = "".join((assets / name).read_text("utf-8") for name in ("run.css", "herd.css"))
    found = findings(herded)
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, finalize=printable
    )
    shown = herded.members[:_MOST]
    page = environment.from_string((assets / "herd.html.j2").read_text("utf-8")).render(
        herded=herded,
        verdict=verdict(herded),
        good=herded.verdict == "met",
        spreads=[(s, counted(s), times(s), _dots(herded, s.scenario), max(s.rtas, default=0.0)) for s in found.spreads],
        common=[shared(common) for common in found.common],
        causes=found.causes,
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
