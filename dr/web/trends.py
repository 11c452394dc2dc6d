"""How long recoveries took, by scenario and cluster: what became slower, and what is far from what was promised."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from statistics import median

from msgspec import Struct

from dr.adapters import history
from dr.core.errors import NotFound
from dr.core.history import Point
from dr.report.history_text import Trend, judged, trend
from dr.web.answers import Course, Scene, Trends
from dr.web.site import Site

_COURSES = 200


class Drawn(Struct, frozen=True):
    """A course with the runs that it is made of, oldest first."""

    course: Course
    points: tuple[Point, ...]


def drawn(site: Site) -> tuple[Drawn, ...]:
    """Return every scenario on every cluster, kept while the history does not change; raises StoreError."""
    return site.kept("trends", history.stamp(site.reports), lambda: _drawn(site))


def _drawn(site: Site) -> tuple[Drawn, ...]:
    found = history.points(site.reports)
    grouped = (tuple(own) for _, own in groupby(found, key=lambda p: (p.scenario, p.target)))
    return tuple(Drawn(_course(own, trend(own)), own) for own in grouped)


def _course(points: Sequence[Point], found: Trend) -> Course:
    last, verdict, whole = points[-1], found.regression, found.summary
    ratio = verdict.ratio if verdict else None
    return Course(
        scenario=last.scenario,
        cluster=last.target,
        runs=len(points),
        given_up=whole.censored,
        last=last.time,
        run=last.folder,
        verdict=last.verdict,
        rta=last.rta,
        promised=last.promised,
        median=whole.median,
        low=whole.low,
        high=whole.high,
        regression=bool(verdict and verdict.flagged),
        ratio=ratio if ratio is not None and math.isfinite(ratio) else None,
        split=found.split if verdict else "",
        judged=judged(found) if verdict else "nothing to compare: all runs are of one commit",
    )


def chosen(site: Site, scenario: str, cluster: str) -> tuple[Drawn, ...]:
    """Return the courses of a scenario, of a cluster or of both; without either those that became slower.

    Raises NotFound where nothing ran.
    """
    every = drawn(site)
    wanted = [d for d in every if scenario in ("", d.course.scenario) and cluster in ("", d.course.cluster)]
    if not wanted and (scenario or cluster):
        raise NotFound(f"nothing ran of {scenario or cluster!r}", "/trends lists what did")
    if not (scenario or cluster):
        wanted = [d for d in every if d.course.regression]
    wanted.sort(key=lambda d: (not d.course.regression, -(d.course.ratio or 0.0) * d.course.regression))
    return tuple(wanted[:_COURSES])


def trends(site: Site, scenario: str, cluster: str) -> Trends:
    """Return scenarios in short and the courses that are asked for, what became slower first; raises NotFound."""
    courses = tuple(d.course for d in chosen(site, scenario, cluster))
    return Trends(scenario, cluster, scenes(tuple(d.course for d in drawn(site))), courses)


def scenes(courses: Sequence[Course]) -> tuple[Scene, ...]:
    """Return scenarios in short, by name."""
    return tuple(_scene(tuple(own)) for _, own in groupby(courses, key=lambda c: c.scenario))


def _scene(own: Sequence[Course]) -> Scene:
    medians = [course.median for course in own if course.median is not None]
    worst = max((c for c in own if c.median is not None), key=lambda c: c.median or 0.0, default=None)
    return Scene(
        own[0].scenario,
        len(own),
        sum(course.runs for course in own),
        sum(course.verdict == "met" for course in own),
        sum(course.regression for course in own),
        max((course.promised for course in own if course.promised is not None), default=None),
        median(medians) if medians else None,
        worst.median if worst else None,
        worst.cluster if worst else "",
    )
