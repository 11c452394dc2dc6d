"""What each page says, as values: the JSON under /api is these, and so is all that the HTML is drawn from."""

from __future__ import annotations

from msgspec import Struct

from dr.core.herd import Herded
from dr.core.herd_findings import Findings
from dr.core.history import Row
from dr.core.stale import Standing
from dr.report.watching import Picture


class Running(Struct, frozen=True):
    """A run that is under way: where it stands, its latest lines, and what of its log is not read.

    `quiet`: seconds since its log grew last.
    """

    picture: Picture
    quiet: float
    lines: tuple[tuple[int, str], ...]
    notes: tuple[str, ...]


class Quiet(Struct, frozen=True):
    """A run that did not end and tells nothing any more; `quiet`: for so many seconds."""

    run: str
    quiet: float


class Now(Struct, frozen=True):
    """The runs that are under way, those that fell silent, and how many more there are than are shown."""

    running: tuple[Running, ...]
    silent: tuple[Quiet, ...]
    more: int
    schema: int = 1


class Runs(Struct, frozen=True):
    """A page of runs, newest first; `page` counts from 1. `untold`: runs that have no row in the history."""

    runs: tuple[Row, ...]
    total: int
    page: int
    pages: int
    scenario: str
    cluster: str
    verdict: str
    untold: tuple[str, ...]
    schema: int = 1


class Run(Struct, frozen=True):
    """A run: its row, or, where the history has none, what its log tells. `report` and `graph`: whether it has one."""

    run: str
    row: Row | None
    watched: Running | None
    report: bool
    graph: bool
    schema: int = 1


class Course(Struct, frozen=True):
    """How a scenario went on a cluster, in seconds: what was promised, the last run's figure, the median of all.

    `verdict` is the last run's; `rta` None: it did not recover. `regression`: whether it became slower since `split`,
    and `judged` says how that is known; `ratio` is the median after over that before, None without one.
    """

    scenario: str
    cluster: str
    runs: int
    given_up: int
    last: str
    run: str
    verdict: str
    rta: float | None
    promised: float | None
    median: float | None
    low: float | None
    high: float | None
    regression: bool
    ratio: float | None
    split: str
    judged: str


class Scene(Struct, frozen=True):
    """A scenario on all its clusters: how many there are, how many met it last, and how many became slower."""

    scenario: str
    clusters: int
    runs: int
    met: int
    slower: int
    promised: float | None
    median: float | None
    worst: float | None
    worst_on: str


class Trends(Struct, frozen=True):
    """Scenarios in short, and the courses that were asked for: those of a scenario, or all that became slower."""

    scenario: str
    cluster: str
    scenes: tuple[Scene, ...]
    courses: tuple[Course, ...]
    schema: int = 1


class Stale(Struct, frozen=True):
    """The staleness board, what is stale first; `time` is UTC."""

    time: str
    standings: tuple[Standing, ...]
    schema: int = 1


class HerdLine(Struct, frozen=True):
    """A herd's run in short; `states` counts its members by state."""

    run: str
    herd: str
    title: str
    time: str
    verdict: str
    budget: int
    spent: int
    states: dict[str, int]


class Herds(Struct, frozen=True):
    """The herds' runs, newest first; `unread`: those whose result cannot be read, with the cause."""

    herds: tuple[HerdLine, ...]
    unread: tuple[tuple[str, str], ...]
    page: int
    pages: int
    schema: int = 1


class Herd(Struct, frozen=True):
    """A herd's run: its result, what there is to say of it, and the folders of its members' runs that are here.

    `report`: whether it has one.
    """

    herd: Herded
    found: Findings
    here: tuple[str, ...]
    report: bool
    schema: int = 1


class Graphs(Struct, frozen=True):
    """The newest runs that restored objects in an order, so that there is a graph of them."""

    runs: tuple[Row, ...]
    page: int
    pages: int
    schema: int = 1


class Refused(Struct, frozen=True):
    """Why there is no answer, and what to do next."""

    error: str
    remedy: str = ""
    schema: int = 1
