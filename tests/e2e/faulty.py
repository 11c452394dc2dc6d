"""Proxies in front of a real API server that fail as the dice say, or kill it at a moment that a request marks."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

import aiohttp
import yaml
from aiohttp import web

from dr.local import cluster


class Faulty:
    """A proxy in front of the API server that fails as the dice say."""

    def __init__(self, made: cluster.Cluster, seed: int) -> None:
        self.made, self.dice, self.injected = made, random.Random(seed), 0
        self.ready, self.port = threading.Event(), 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        assert self.ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self.loop).result(20)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._serve())
        self.loop.run_forever()

    async def _serve(self) -> None:
        access = self.made.access
        context = ssl.create_default_context(cafile=access.ca)
        context.load_cert_chain(access.certificate, access.key)
        self.session = aiohttp.ClientSession(
            base_url=access.server, connector=aiohttp.TCPConnector(ssl=context, limit=0)
        )
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{rest:.*}", self._answer)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.port = self.runner.addresses[0][1]
        self.ready.set()

    async def _close(self) -> None:
        await self.runner.cleanup()
        await self.session.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        fate = self.dice.random()
        watching = "watch" in request.query
        # The Lease is left alone: losing it ends a run, and rightly.
        reading = request.method == "GET" or request.path.endswith("reviews")
        often = 0.4 if watching else 0.35 if request.method == "PATCH" else 0.25 if reading else 0.0
        failing = fate < often and "/leases" not in request.path
        self.injected += failing
        if failing and watching:
            return status(410, "Expired") if fate < 0.2 else status(503, "ServiceUnavailable")
        if failing and fate < 0.21:
            answers = ((409, "Conflict"), (429, "TooManyRequests"), (500, "InternalError"))
            return status(*answers[int(fate / 0.07)], {"Retry-After": "0"})
        if watching:
            await asyncio.sleep(self.dice.uniform(0, 0.5))
        # The connection drops before the server has seen the request, or after it has done what was asked.
        lost = failing and fate < 0.28
        response = web.Response() if lost else await self._forward(request, cut=watching and fate < 0.8)
        if failing and request.transport:
            request.transport.close()
        return response

    async def _forward(self, request: web.Request, *, cut: bool = False) -> web.StreamResponse:
        skipped = {"host", "content-length", "transfer-encoding", "accept-encoding"}
        headers = {key: value for key, value in request.headers.items() if key.lower() not in skipped}
        body = await request.read()
        async with self.session.request(request.method, request.path_qs, data=body or None, headers=headers) as answer:
            kind = answer.headers.get("Content-Type", "application/json")
            response = web.StreamResponse(status=answer.status, headers={"Content-Type": kind})
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
                if cut and self.dice.random() < 0.5 and request.transport:
                    self.injected += 1
                    request.transport.close()
                    break
            return response


def status(code: int, reason: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"kind": "Status", "code": code, "reason": reason, "message": f"injected {reason}"}
    return web.json_response(body, status=code, headers=headers)


def proxied(folder: Path, proxy: Faulty) -> Path:
    """Write a kubeconfig whose context `proxied` leads through a proxy."""
    config = folder / "kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "p", "cluster": {"server": f"http://127.0.0.1:{proxy.port}"}}],
        "users": [{"name": "p", "user": {}}],
        "contexts": [{"name": "proxied", "context": {"cluster": "p", "user": "p"}}],
    }
    config.write_text(yaml.safe_dump(content))
    return config


class Killing(Faulty):
    """A proxy without faults that kills the API server once, when a request is the first that `when` says."""

    def __init__(self, made: cluster.Cluster, when: Callable[[web.Request], bool]) -> None:
        super().__init__(made, 0)
        self.when = when

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if not self.injected and self.when(request):
            self.injected += 1
            pids = json.loads((self.made.folder / "pids.json").read_text())
            os.kill(pids["kube-apiserver"], signal.SIGKILL)
        try:
            return await self._forward(request)
        except aiohttp.ClientError:
            if request.transport:
                request.transport.close()
            return web.Response()
