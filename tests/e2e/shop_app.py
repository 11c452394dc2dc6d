"""The shop of one cluster: serves while its Deployment is ready, reads and writes its own side's database.

Started as a program: side, kubeconfig, the database's URL, and a file that breaks it while it is there.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from dr.adapters.kube import Kube, from_kubeconfig
from dr.core.errors import ApiError
from dr.core.health import State, health
from dr.core.model import Ref

WEB = Ref("apps/v1", "Deployment", "shop", "web")


class Shop:
    def __init__(self, side: str, kubeconfig: Path, url: str, broken: Path) -> None:
        self.side, self.url, self.broken = side, url, broken
        self.cluster = Kube(from_kubeconfig(f"dr-{side}", kubeconfig))
        self.ready = False
        self.turn = asyncio.Lock()
        self.session: asyncio.subprocess.Process | None = None

    async def watch(self) -> None:
        async with self.cluster:
            while True:
                try:
                    body = await self.cluster.get(WEB)
                    replicas = (body or {}).get("spec", {}).get("replicas", 0)
                    self.ready = bool(body and replicas and health(body).state is State.CURRENT)
                except ApiError:
                    self.ready = False
                await asyncio.sleep(0.1)

    async def answer(self, request: web.Request) -> web.Response:
        if self.broken.exists() or not self.ready:
            return web.Response(text=f"{self.side} does not serve\n", status=503)
        table = "canary" if request.path == "/canary" else "orders"
        if request.method == "GET":
            said = await self.sql(f"SELECT coalesce(max(n), 0) FROM {table}")  # noqa: S608
        else:
            number = int((await request.text()) or 0)
            insert = f"INSERT INTO {table} (n) VALUES ({number}) ON CONFLICT DO NOTHING"  # noqa: S608
            said = await self.sql(f"{insert}; SELECT {number}")
        if said and table == "canary":
            return web.Response(text=said)
        if said is None:
            return web.Response(text=f"{self.side} has no database\n", status=503)
        return web.Response(text=f"served by {self.side}\n{said}\n")

    async def sql(self, text: str) -> str | None:
        """Ask the database in one long session, as an application's pool does; a session that was ended is made anew."""
        async with self.turn:
            for _ in range(2):
                if self.session is None or self.session.returncode is not None:
                    self.session = await asyncio.create_subprocess_exec(
                        "psql", "-X", "-qAt", "-v", "ON_ERROR_STOP=1", self.url,
                        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
                    )  # fmt: skip
                said = await self._asked(self.session, text)
                if said is not None:
                    return said
            return None

    async def _asked(self, session: asyncio.subprocess.Process, text: str) -> str | None:
        assert session.stdin
        assert session.stdout
        try:
            session.stdin.write(f"{text};\n\\echo done\n".encode())
            await session.stdin.drain()
            lines: list[str] = []
            while line := (await session.stdout.readline()).decode().strip():
                if line == "done":
                    return "\n".join(lines)
                lines.append(line)
        except ConnectionError:
            pass
        await session.wait()
        return None


async def serve(side: str, kubeconfig: str, url: str, broken: str) -> None:
    shop = Shop(side, Path(kubeconfig), url, Path(broken))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", shop.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await shop.watch()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(*sys.argv[1:]))
