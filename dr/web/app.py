"""The pages as an ASGI application."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib.resources import files as resources
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Scope

from dr.core.errors import DrError, NotFound, UsageError
from dr.web import stored
from dr.web.answers import Refused
from dr.web.drawing import drawn, picture
from dr.web.guard import COOKIE, LOGIN, SESSION, Door, Guard
from dr.web.routes import PAGES, Page, openapi
from dr.web.site import Site

_FORM = 4_096  # bytes
_ASSETS, _OWN = ("dr.report", "assets"), ("dr.web", "static")
_STATIC = {  # the pages look like the reports
    "serve.css": ("text/css", ((*_ASSETS, "run.css"), (*_ASSETS, "herd.css"), (*_OWN, "serve.css"))),
    "serve.js": ("text/javascript", ((*_OWN, "serve.js"),)),
}
# In this order: the status of an error.
_KINDS = ((NotFound, 404), (UsageError, 400), (DrError, 503))
_TITLES = {400: "Not understood", 404: "Not found", 405: "Read only", 503: "Not readable"}


def application(
    reports: Path, door: Door, limits: Mapping[str, float], metrics: Callable[[], bytes]
) -> tuple[ASGIApp, Site]:
    """Return the pages of a folder of reports behind a door, and the site that they show.

    limits: after how many seconds without a met run a scenario is stale. metrics: what `dr report metrics` prints.
    """
    site = Site(reports, limits, metrics, picture)
    described = msgspec.json.encode(openapi(token=bool(door.token)))
    routes = [
        *(Route(page.path, _html(site, page)) for page in PAGES),
        *(Route(page.api, _json(site, page)) for page in PAGES),
        Route("/api/openapi.json", lambda _: Response(described, media_type="application/json")),
        Route("/runs/{run}/report.html", _report(site)),
        Route("/graph/{run}", _graph(site)),
        Route("/live/{run}", _live(site)),
        Route("/metrics", _metrics(site)),
        Route("/static/{name}", _static),
        Route(LOGIN, _login(door), methods=["GET", "POST"]),
    ]
    handlers: Any = {DrError: _wrong, HTTPException: _missing, 500: _failed}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return Guard(app, door, refused), site


def _html(site: Site, page: Page) -> Callable[[Request], Response]:
    def show(request: Request) -> Response:
        asked = {**page.arguments(request.query_params), **request.path_params}
        more = page.more(site, **asked) if page.more else {}
        answer = page.view(site, **asked)
        return _page(drawn(page.template, here=page.path, title=page.title, a=answer, **more))

    return show


def _json(site: Site, page: Page) -> Callable[[Request], Response]:
    def show(request: Request) -> Response:
        asked = {**page.arguments(request.query_params), **request.path_params}
        return Response(msgspec.json.encode(page.view(site, **asked)), media_type="application/json")

    return show


def _page(text: str, status: int = 200) -> Response:
    return Response(text, status, media_type="text/html")


def _report(site: Site) -> Callable[[Request], Response]:
    headers = {"content-security-policy": stored.policy("run.js")}

    def show(request: Request) -> Response:
        content = stored.report(site.reports, request.path_params["run"])
        return Response(content, headers=headers, media_type="text/html")

    return show


def _graph(site: Site) -> Callable[[Request], Response]:
    headers = {"content-security-policy": stored.policy("layout.js", "graph.js")}

    def show(request: Request) -> Response:
        content = stored.graph(site.reports, request.path_params["run"])
        return Response(content, headers=headers, media_type="text/html")

    return show


def _live(site: Site) -> Callable[[Request], Any]:
    async def follow(request: Request) -> Response:
        tail = await run_in_threadpool(site.tails.get, request.path_params["run"])
        if site.tails.full:
            return Response("so many people watch that nobody else can", 503, {"retry-after": "30"})
        said = request.headers.get("last-event-id") or request.query_params.get("after", "0")
        after = int(said) if said.isascii() and said.isdecimal() and len(said) < 12 else 0
        stream = site.tails.follow(tail, after) if request.method == "GET" else ()
        return StreamingResponse(stream, media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    return follow


def _metrics(site: Site) -> Callable[[Request], Response]:
    kind = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    return lambda _: Response(site.metrics(), media_type=kind)


def _static(request: Request) -> Response:
    kind, parts = _STATIC.get(request.path_params["name"], ("", ()))
    if not parts:
        raise HTTPException(404)
    content = b"".join((resources(package) / folder / file).read_bytes() for package, folder, file in parts)
    return Response(content, headers={"cache-control": "no-cache"}, media_type=kind)


def _login(door: Door) -> Callable[[Request], Any]:
    # A browser names no origin in a form that it sends from a page of no referrer.
    headers = {"referrer-policy": "same-origin"}

    async def login(request: Request) -> Response:
        wrong = ""
        if request.method == "POST":
            body = b""
            async for part in request.stream():
                body += part
                if len(body) > _FORM:
                    return refused(request.scope, 413, "the form is too large", "send the token alone")
            shown = parse_qs(body.decode("latin-1")).get("token", [""])[0]
            if door.opens(shown):
                answer = RedirectResponse("/", 303)
                session = door.session(time.time())
                answer.set_cookie(COOKIE, session, SESSION, httponly=True, samesite="strict", secure=door.secure)
                return answer
            wrong = "That is not the token."
        text = drawn("login", here=LOGIN, title="The token, please", wrong=wrong, asked=bool(door.token))
        return Response(text, 403 if wrong else 200, headers, "text/html")

    return login


def refused(scope: Scope, status: int, cause: str, remedy: str = "") -> Response:
    """Return why there is no answer: a page for people, JSON under /api; who has to show the token is led there."""
    headers = {401: {"www-authenticate": "Bearer"}, 405: {"allow": "GET, HEAD"}}.get(status, {})
    if scope["path"].startswith("/api/"):
        return Response(msgspec.json.encode(Refused(cause, remedy)), status, headers, "application/json")
    if status == 401 and b"text/html" in dict(scope["headers"]).get(b"accept", b""):
        return RedirectResponse(LOGIN, 303)
    title = _TITLES.get(status, "No answer")
    text = drawn("error", here="", title=title, status=status, cause=cause, remedy=remedy)
    return Response(text, status, headers, "text/html")


def _wrong(request: Request, error: Exception) -> Response:
    status = next((code for kind, code in _KINDS if isinstance(error, kind)), 503)
    cause, remedy = (error.cause, error.remedy) if isinstance(error, DrError) else (str(error), "")
    return refused(request.scope, status, cause, remedy)


def _missing(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    return refused(request.scope, status, "there is no such page", "the navigation leads to all that there are")


def _failed(request: Request, _: Exception) -> Response:
    return refused(request.scope, 500, "this went wrong here", "what the server printed says how: please report it")
