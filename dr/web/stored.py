"""What is shown as it was written, and the graph of what a run restored: pages of their own, kept in a sandbox."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files as resources
from pathlib import Path

import msgspec

from dr.adapters import run_files
from dr.adapters.store import EVENTS
from dr.core.errors import NotFound, StoreError
from dr.core.events import AnyEvent, Began
from dr.core.model import Basis, Edge, Graph, Node, Origin, Unit, Where
from dr.report.console import pins
from dr.report.graph_html import html

REPORT = "report.html"
_REPORT_MOST, _PLAN_MOST, _OBJECTS_MOST = 64 << 20, 16 << 20, 20_000
_DECODER = msgspec.json.Decoder(AnyEvent)


def policy(*scripts: str) -> str:
    """Return the policy of a page in a sandbox, which may run these scripts of ours and nothing else.

    It has an origin of its own: it can read no page and no cookie of the server, and it can ask for nothing.
    """
    text = "".join((resources("dr.report") / "assets" / name).read_text("utf-8") for name in scripts)
    digest = b64encode(sha256(text.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts"
    )


def report(reports: Path, run: str) -> bytes:
    """Return a run's report as it was written; raises NotFound, and StoreError for one that is too large."""
    return run_files.content(reports, run, REPORT, _REPORT_MOST)


def has_graph(reports: Path, run: str) -> bool:
    """Return whether a run restored objects in an order, as the first line of its log announces."""
    try:
        return bool(_began(reports, run).steps)
    except (NotFound, StoreError):
        return False


def graph(reports: Path, run: str) -> bytes:
    """Return the graph of what a run restored, as a page; raises NotFound, and StoreError for one that is too large."""
    began = _began(reports, run)
    if not began.steps:
        raise NotFound(f"the run {run!r} restored nothing itself: it has no graph", "/graph lists those with one")
    if len(began.steps) > _OBJECTS_MOST:
        raise StoreError(f"the graph of {run!r} has {len(began.steps)} objects", "`dr graph REPO -o html` draws it")
    return html(planned(began), pins(began.pins) or run, judged=False)


def planned(began: Began) -> Graph:
    """Return the graph of a run's plan: its objects, and after which earlier ones each of them came."""
    places = [_place(step.where) for step in began.steps]
    nodes = tuple(
        Node(step.ref, Origin.GIT, step.unit, "", where) for step, where in zip(began.steps, places, strict=True)
    )
    edges = tuple(
        Edge(before, index, strength, Basis.REFERENCE, "plan", f"comes after {began.steps[before].ref}", places[index])
        for index, step in enumerate(began.steps)
        for before, strength in zip(step.after, step.strengths, strict=False)
        if 0 <= before < index
    )
    units = tuple(Unit(name, "unit", "") for name in sorted({step.unit for step in began.steps} - {""}))
    return Graph(began.pins, units, nodes, tuple(sorted(edges)), (), frozenset(), (), ())


def _place(said: str) -> Where:
    repo, _, place = said.rpartition("!")
    file, _, line = place.rpartition(":")
    return Where(file, int(line), repo) if file and line.isdecimal() and line.isascii() else Where(place, 0, repo)


def _began(reports: Path, run: str) -> Began:
    line = run_files.first_line(reports, run, EVENTS, _PLAN_MOST)
    if not line:
        raise StoreError(f"the plan of {run!r} is not written yet, or larger than {_PLAN_MOST >> 20} MiB", "reload")
    try:
        found = _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoreError(
            f"the log of {run!r} does not begin with a run: {error}", "`dr report verify` checks it"
        ) from None
    if not isinstance(found, Began):
        raise _headless(run)
    return found


def _headless(run: str, cause: str = "") -> StoreError:
    return StoreError(f"the log of {run!r} does not begin with a run{cause}", "`dr report verify` checks it")
