"""Who may ask for what: in front of every page, and its headers behind every answer."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from msgspec import Struct
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE, LOGIN = "dr_session", "/login"
SESSION = 43_200  # seconds until somebody has to show the token again
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_QUERY = 2_000  # characters
_OPEN = ("/static/",)


class Door(Struct, frozen=True):
    """Who may come in. token: "" asks for none. url: the address that people see behind a proxy, "" without one.

    local: the server listens on a loopback address only, so that nobody names it by anything but that.
    """

    token: str = ""
    url: str = ""
    local: bool = True

    @property
    def secure(self) -> bool:
        """Whether people reach it by HTTPS."""
        return self.url.startswith("https://")

    def answers_to(self, host: str) -> bool:
        """Return whether the server is called so: another name for a loopback address is a page's that rebinds DNS."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if self.url and host == urlsplit(self.url).netloc:
            return True
        return name in _LOCAL if self.local else bool(name) and not self.url

    def own(self, origin: str, host: str) -> bool:
        """Return whether a request comes from one of our own pages, by its Origin and Host headers."""
        known = [f"{scheme}://{host}" for scheme in ("http", "https")]
        return bool(host) and origin in (*known, *([self.url.rstrip("/")] if self.url else []))

    def opens(self, token: str) -> bool:
        """Return whether this is the token, in a time that does not tell how much of it is right."""
        return bool(self.token) and hmac.compare_digest(_digest(token), _right(self.token))

    def session(self, now: float) -> str:
        """Return what a browser shows instead of the token from now on: until when it counts, and a proof of that."""
        until = f"{int(now) + SESSION}"
        return f"{until}.{self._proof(until)}"

    def knows(self, session: str, now: float) -> bool:
        """Return whether a session is one of ours that still counts."""
        until, _, proof = session.partition(".")
        right = hmac.compare_digest(proof.encode(), self._proof(until).encode())
        return bool(self.token) and right and until.isdecimal() and int(until) > now

    def _proof(self, until: str) -> str:
        return hmac.new(self.token.encode(), f"dr serve session until {until}".encode(), sha256).hexdigest()


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogateescape")).digest()


# Made once: how long it takes would tell how long the token is.
_right = lru_cache(maxsize=8)(_digest)


class Request(Struct, frozen=True):
    """What of a request decides whether it is answered."""

    method: str
    path: str
    query: str
    headers: Headers


def _other_method(_: Door, request: Request) -> bool:
    return request.method not in ("GET", "HEAD") and (request.method, request.path) != ("POST", LOGIN)


def _other_site(_: Door, request: Request) -> bool:
    """Return whether another site's page asks; one that only leads people here does not."""
    site, mode = request.headers.get("sec-fetch-site", ""), request.headers.get("sec-fetch-mode", "")
    return site in ("cross-site", "same-site") and (mode != "navigate" or request.method not in ("GET", "HEAD"))


def _foreign_form(door: Door, request: Request) -> bool:
    headers = request.headers
    return request.method == "POST" and not door.own(headers.get("origin", ""), headers.get("host", ""))


def _unknown(door: Door, request: Request) -> bool:
    if not door.token or request.path == LOGIN or request.path.startswith(_OPEN):
        return False
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and door.opens(shown.strip()):
        return False
    try:
        session = SimpleCookie(request.headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return True
    return session is None or not door.knows(session.value, time.time())


# In this order: the status, what is wrong, what to do about it, and whether it is so.
REFUSALS: tuple[tuple[int, str, str, Callable[[Door, Request], bool]], ...] = (
    (405, "nothing can be changed here", "ask with GET or HEAD", _other_method),
    (
        421,
        "this server is not called so",
        "open it by the address that it printed, or give that of the proxy in front of it with --url",
        lambda door, request: not door.answers_to(request.headers.get("host", "")),
    ),
    (403, "another site's page asked for this", "open the page itself", _other_site),
    (403, "the form was sent by another site", "open /login of this server", _foreign_form),
    (
        414,
        "the address is too long",
        "ask for less at once",
        lambda _, request: len(request.query) + len(request.path) > _QUERY,
    ),
    (401, "this wants the token", "send `Authorization: Bearer TOKEN`, or open /login", _unknown),
)


class Guard:
    """Refuses what may not be asked, and puts the headers on every answer that has none of its own."""

    def __init__(self, app: ASGIApp, door: Door, refuse: Callable[[Scope, int, str, str], ASGIApp]) -> None:
        self._app, self._door, self._refuse = app, door, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        query = scope["query_string"].decode("latin-1")
        request = Request(scope["method"], scope["path"], query, Headers(scope=scope))
        for status, cause, remedy, holds in REFUSALS:
            if holds(self._door, request):
                await self._refuse(scope, status, cause, remedy)(scope, receive, answer)
                return
        await self._app(scope, receive, answer)
