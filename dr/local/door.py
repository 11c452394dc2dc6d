"""A front door for rehearsals: takes users' requests and hands each to the old platform or the new one.

It stands for a DNS record's weights or a load balancer. `PUT /` of its control port sets `weight` (percent of the
reading requests that the new one gets) and `writer` (from or to, who gets all others); `GET /` tells them.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Self

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web

NAME = "front door: a proxy that steers users by weight, in place of DNS or a load balancer"
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_PATIENCE = ClientTimeout(total=5.0)


class Door:
    """Listens on loopback. `behind` has the address of each side, "from" and "to"."""

    def __init__(self, behind: Mapping[str, str], seed: int = 0) -> None:
        self.weight = 0
        self.writer = "from"
        self._behind = behind
        self._random = Random(seed)  # noqa: S311 - which user goes where is no secret
        self._runners: list[web.AppRunner] = []

    async def open(self, listen: int = 0, control: int = 0) -> tuple[int, int]:
        """Begin to listen; return the port for users and that for control."""
        self._session = ClientSession(connector=TCPConnector(force_close=True), timeout=_PATIENCE)
        users = web.Application()
        users.router.add_route("*", "/{path:.*}", self._pass)
        steering = web.Application()
        steering.router.add_get("/", self._tell)
        steering.router.add_put("/", self._set)
        return await self._serve(users, listen), await self._serve(steering, control)

    async def _serve(self, app: web.Application, port: int) -> int:
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self._runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        return int(runner.addresses[0][1])

    async def close(self) -> None:
        """Stop listening."""
        for runner in self._runners:
            await runner.cleanup()
        await self._session.close()

    async def __aenter__(self) -> Self:
        """Return it; `open` makes it listen."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening."""
        await self.close()

    async def _pass(self, request: web.Request) -> web.Response:
        new = self._random.random() * 100 < self.weight
        side = ("to" if new else "from") if request.method in _READS else self.writer
        url = f"{self._behind[side]}{request.path_qs}"
        try:
            async with self._session.request(request.method, url, data=await request.read()) as answer:
                content = await answer.read()
                kind = {"Content-Type": answer.headers.get("Content-Type", "text/plain")}
                return web.Response(body=content, status=answer.status, headers=kind)
        except (ClientError, OSError, TimeoutError):
            return web.Response(text="nobody answers behind the door\n", status=502)

    async def _tell(self, _: web.Request) -> web.Response:
        return web.json_response({"weight": self.weight, "writer": self.writer})

    async def _set(self, request: web.Request) -> web.Response:
        try:
            said = await request.json()
            self.weight = int(said.get("weight", self.weight))
            self.writer = str(said.get("writer", self.writer))
        except (ValueError, AttributeError, TypeError):
            return web.Response(text="say weight and writer as JSON\n", status=400)
        return await self._tell(request)


@asynccontextmanager
async def answering(answer: Callable[[], Awaitable[str]]) -> AsyncIterator[str]:
    """Serve one answer on loopback, given anew for each question; "" is a refusal. Yield the address."""

    async def told(_: web.Request) -> web.Response:
        said = await answer()
        return web.Response(text=said or "not ready\n", status=200 if said else 503)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", told)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _main() -> None:
    options = argparse.ArgumentParser(prog="python -m dr.local.door", description="A front door for rehearsals.")
    options.add_argument("--from", dest="old", required=True, metavar="URL")
    options.add_argument("--to", dest="new", required=True, metavar="URL")
    options.add_argument("--listen", type=int, default=0)
    options.add_argument("--control", type=int, default=0)
    given = options.parse_args()
    async with Door({"from": given.old, "to": given.new}) as door:
        listen, control = await door.open(given.listen, given.control)
        print(f"listening on {listen}, controlled on {control}", flush=True)  # noqa: T201 - for who started it
        await asyncio.Event().wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_main())
