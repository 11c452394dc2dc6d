"""Every page in a table: where it is, what it may be asked, what it answers, and how that is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from dr.adapters import history
from dr.core.errors import UsageError
from dr.web import answers, trends, views
from dr.web.site import Site

_LONG = 256  # characters of a filter
_PAGES = 1_000_000


class Query(Struct, frozen=True):
    """Something that a page may be asked for: its name, what it does, and the words it may be ("" any text)."""

    name: str
    about: str
    words: tuple[str, ...] = ()
    number: bool = False

    def read(self, said: str | None) -> str | int:
        """Return what was said as a value; raises UsageError."""
        if self.number:
            if said is None:
                return 1
            if not (said.isascii() and said.isdecimal() and len(said) < 8 and 1 <= int(said) <= _PAGES):
                raise UsageError(f"{self.name}={said!r} is no number from 1 to {_PAGES}", "leave it out for the first")
            return int(said)
        if len(said or "") > _LONG:
            raise UsageError(f"{self.name} is longer than {_LONG} characters", "give a name")
        if said and self.words and said not in self.words:
            raise UsageError(f"{self.name}={said!r} is none of {', '.join(self.words)}", "leave it out for all")
        return said or ""


class Page(Struct, frozen=True):
    """A page: its path, its template, its title, what it says and of which kind that is, what it may be asked.

    `more`: what only the HTML shows beside.
    """

    path: str
    template: str
    title: str
    view: Callable[..., Struct]
    kind: type[Struct]
    query: tuple[Query, ...] = ()
    more: Callable[..., Mapping[str, Any]] | None = None

    @property
    def api(self) -> str:
        """The path of the same as JSON."""
        return "/api/now" if self.path == "/" else f"/api{self.path}"

    def arguments(self, said: Mapping[str, str]) -> dict[str, str | int]:
        """Return what was asked as arguments; what is not known is no question. Raises UsageError."""
        return {query.name: query.read(said.get(query.name)) for query in self.query}


_SCENARIO = Query("scenario", "Only this scenario.")
_CLUSTER = Query("cluster", "Only this cluster: the kubeconfig context of the run's target.")
_NUMBER = Query("page", "Which page, from 1 on.", number=True)


def _filters(site: Site, **_: object) -> Mapping[str, Any]:
    groups = history.groups(site.reports)
    return {
        "scenarios": tuple(dict.fromkeys(group.scenario for group in groups)),
        "clusters": tuple(sorted({group.target for group in groups})),
        "verdicts": views.VERDICTS,
    }


def _drawn(site: Site, scenario: str, cluster: str) -> Mapping[str, Any]:
    strips: dict[str, list[answers.Course]] = {}
    for found in trends.drawn(site):
        strips.setdefault(found.course.scenario, []).append(found.course)
    return {**_filters(site), "drawn": trends.chosen(site, scenario, cluster), "strips": strips}


PAGES = (
    Page("/", "now", "Running now", views.now, answers.Now),
    Page(
        "/runs",
        "runs",
        "Runs",
        views.runs,
        answers.Runs,
        (_SCENARIO, _CLUSTER, Query("verdict", "Only runs of this verdict.", views.VERDICTS), _NUMBER),
        _filters,
    ),
    Page("/runs/{run}", "run", "A run", views.run, answers.Run),
    Page("/trends", "trends", "Trends", trends.trends, answers.Trends, (_SCENARIO, _CLUSTER), _drawn),
    Page("/stale", "stale", "Staleness", views.stale, answers.Stale),
    Page("/herds", "herds", "Herds", views.herds, answers.Herds, (_NUMBER,)),
    Page("/herds/{run}", "herd", "A herd", views.herd, answers.Herd),
    Page("/graph", "graphs", "Graphs", views.graphs, answers.Graphs, (_NUMBER,)),
)


def openapi(*, token: bool) -> dict[str, Any]:
    """Return the description of everything under /api, from the table and the types of the answers.

    `token`: whether one is wanted.
    """
    kinds: tuple[type[Struct], ...] = (*(page.kind for page in PAGES), answers.Refused)
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    known = dict(zip((kind.__name__ for kind in kinds), schemas, strict=True))
    return {
        "openapi": "3.1.0",
        "info": {"title": "dr serve", "version": "1", "description": "The history of recoveries, to be read only."},
        "paths": {page.api: {"get": _operation(page, known)} for page in PAGES},
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}] if token else [],
    }


def _operation(page: Page, known: Mapping[str, Any]) -> dict[str, Any]:
    refusals = {
        "400": "The question cannot be meant.",
        "401": "The token is wanted.",
        "403": "Another site's page asked.",
        "404": "There is nothing of this name.",
        "414": "The address is too long.",
        "421": "The server is not called so.",
        "503": "What was asked for cannot be read.",
    }
    parameters = [
        {"name": query.name, "in": "query", "required": False, "description": query.about, "schema": _schema(query)}
        for query in page.query
    ]
    if "{run}" in page.path:
        about = "The name of the run's folder."
        schema = {"type": "string", "minLength": 1, "pattern": "^[^/]+$"}
        parameters.append({"name": "run", "in": "path", "required": True, "description": about, "schema": schema})
    return {
        "summary": page.title,
        "operationId": page.template,
        "parameters": parameters,
        "responses": {
            "200": {"description": page.title, "content": _json(known[page.kind.__name__])},
            **{code: {"description": said, "content": _json(known["Refused"])} for code, said in refusals.items()},
        },
    }


def _json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _schema(query: Query) -> dict[str, Any]:
    if query.number:
        return {"type": "integer", "minimum": 1, "maximum": _PAGES, "default": 1}
    return {"type": "string", "enum": ["", *query.words]} if query.words else {"type": "string", "maxLength": _LONG}
