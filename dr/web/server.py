"""Listens: binds the address first, says where, and ends cleanly when it is told to."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import ip_address
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from dr.core.errors import ToolError
from dr.web.site import Site

_PATIENCE = 3  # seconds for those who are being answered when the server is told to end
_AT_ONCE, _WAITING = 1_000, 128


class _Server(uvicorn.Server):
    """A server whose watchers are let go before it waits for them."""

    def __init__(self, config: uvicorn.Config, site: Site) -> None:
        super().__init__(config)
        self._site = site

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._site.tails.stopping = True
        super().handle_exit(sig, frame)


def is_local(host: str) -> bool:
    """Return whether an address can be reached from this machine only."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raises ToolError with the reason where it cannot be."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(where)
            made.listen(_WAITING)
        except OSError:
            made.close()
            raise
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ToolError(f"{host} port {port}: {reason}", "choose another with --port or --host") from None
    return made


def listen(app: ASGIApp, site: Site, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Answer until told to end; then raises KeyboardInterrupt, as the signal would have. `ready` is called before."""
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_AT_ONCE,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=_PATIENCE,
    )
    ready()
    _Server(config, site).run(sockets=[listening])
