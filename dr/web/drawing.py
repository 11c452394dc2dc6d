"""Values → HTML: the templates and what they may call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dr.core.herd import Member
from dr.core.stale import Standing
from dr.report import run_figures
from dr.report.console import many, seconds
from dr.report.findings import safe
from dr.report.herd_html import figures
from dr.report.history_text import result
from dr.web.tails import Seen

NAVIGATION = (
    ("/", "Now"),
    ("/runs", "Runs"),
    ("/trends", "Trends"),
    ("/stale", "Staleness"),
    ("/herds", "Herds"),
    ("/graph", "Graphs"),
)
_MARKS = {
    **dict.fromkeys(("met", "fresh", "passed"), ("✓", "yes")),
    **dict.fromkeys(("missed", "failed", "stale", "stopped"), ("✗", "no")),
    **dict.fromkeys(("running", "waiting"), ("…", "busy")),
    **dict.fromkeys(("aborted", "interrupted", "not begun", "skipped", "soon"), ("!", "no")),
}
_GRAVEST = ("failed", "missed", "running", "waiting", "skipped", "met")
_DAY = 86_400


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("dr.web"), PackageLoader("dr.report", "assets")]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_printable,
    )
    environment.filters |= {
        "ago": ago,
        "at": _at,
        "counted": counted,
        "gravest": gravest,
        "part": lambda text: quote(text, safe=""),
        "seconds": seconds,
    }
    environment.globals |= {
        "address": address,
        "dots": run_figures.dots,
        "herd_figures": figures,
        "many": many,
        "mark": lambda word: _MARKS.get(word, ("·", "quiet")),
        "navigation": NAVIGATION,
        "result": result,
        "seconds": seconds,
        "standing": standing,
    }
    return environment


def drawn(template: str, **values: Any) -> str:
    """Return a page; every text in it is written as text, whatever it holds."""
    return _environment().get_template(f"{template}.html.j2").render(**values)


def picture(seen: Seen) -> str:
    """Return where a run stands, as the part of a page that is replaced while somebody watches."""
    return drawn("picture", p=seen.picture, notes=seen.notes)


def address(path: str, **query: object) -> str:
    """Return an address with those parts of the query that say something."""
    said: Mapping[str, object] = {name: value for name, value in query.items() if value not in ("", None)}
    return f"{path}?{urlencode(said)}" if said else path


def ago(value: float | None) -> str:
    """Return a time of the past, in seconds, as people say it: in days once it is some."""
    if value is None:
        return "never"
    return seconds(value) if value < 2 * _DAY else many(int(value // _DAY), "day")


def gravest(members: Sequence[Member]) -> list[Member]:
    """Return members of a herd, what went wrong first, then by cluster and scenario."""
    order = {state: number for number, state in enumerate(_GRAVEST)}
    return sorted(members, key=lambda m: (order.get(m.state, -1), m.cluster, m.scenario))


def counted(members: Sequence[Member]) -> str:
    """Return how many members are in which state, what went wrong first."""
    return ", ".join(f"{count} {state}" for state, count in Counter(m.state for m in gravest(members)).items())


def standing(entry: Standing) -> str:
    """Return how far a scenario is from being stale."""
    if entry.left is None:
        return "nothing is promised"
    if entry.age is None:
        return "never met"
    return f"for {ago(-entry.left)}" if entry.left < 0 else f"in {ago(entry.left)}"


def _at(time: str) -> str:
    return time[:16].replace("T", " ")


def _printable(value: Any) -> Any:
    return safe(value) if isinstance(value, str) and not isinstance(value, Markup) else value
