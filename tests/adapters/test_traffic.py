"""Hooks that move traffic, for real: a command, a load balancer's API, an annotation; and who looks at what they did."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from dr.adapters.kube import Kube
from dr.adapters.traffic import Hooks, Looking
from dr.core.errors import ToolError
from dr.core.forklift import Annotation, Seen, Traffic, TrafficCommand, TrafficHttp
from dr.core.gameday import Duration
from dr.core.model import Ref
from dr.local import cluster
from tests.embedded import running


def tell(hook: Traffic, folder: Path, weight: int = 10, side: str = "from", **environ: str) -> None:
    asyncio.run(Hooks({}, {"PATH": "/usr/bin:/bin", **environ}, folder).tell(hook, weight, side))


@asynccontextmanager
async def served(by: str, host: str = "127.0.0.1", port: int = 0, status: int = 200) -> AsyncIterator[Any]:
    """Serve on an address; the requests are kept. A path `/slow` takes a second."""
    asked: list[dict[str, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        body = await request.text()
        asked.append({"method": request.method, "body": body, "who": request.headers.get("Authorization", "")})
        if request.path == "/slow":
            await asyncio.sleep(1)
        return web.Response(text=f"served by {by}", status=status)

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    try:
        yield runner.addresses[0][1], asked
    finally:
        await runner.cleanup()


def test_a_command_is_told_where_traffic_goes(tmp_path: Path) -> None:
    argv = ("sh", "-c", "echo {weight} {rest} {side} $DR_WEIGHT $DR_REST $DR_SIDE > told")
    tell(Traffic(command=TrafficCommand(argv)), tmp_path, 30, "to")
    assert (tmp_path / "told").read_text() == "30 70 to 30 70 to\n"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("sh", "-c", "echo no such record >&2; exit 4"), "sh ended with 4: no such record"),
        (("no-such-program",), "no-such-program cannot be run: No such file"),
    ],
)
def test_a_command_that_fails_says_why(argv: tuple[str, ...], said: str, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=said):
        tell(Traffic(command=TrafficCommand(argv)), tmp_path)


def test_a_command_that_hangs_is_stopped_with_its_children(tmp_path: Path) -> None:
    argv = ("sh", "-c", "(sleep 1.5; touch late) & sleep 60")
    began = time.monotonic()
    with pytest.raises(ToolError, match=r"sh has not answered in 0.3 s"):
        tell(Traffic(command=TrafficCommand(argv), timeout=Duration(0.3)), tmp_path)
    assert time.monotonic() - began < 1.4
    time.sleep(1.8)
    assert not (tmp_path / "late").exists()


def test_a_load_balancer_is_told_with_its_token_and_what_it_refuses_is_said_without_it(tmp_path: Path) -> None:
    async def go(status: int) -> list[dict[str, Any]]:
        async with served("balancer", status=status) as (port, asked):
            http = TrafficHttp(f"http://127.0.0.1:{port}/pool?key=hidden", "PATCH", '{"new": {weight}}', "TOKEN")
            await Hooks({}, {"TOKEN": "s3cret"}, tmp_path).tell(Traffic(http=http), 50, "from")
            return list(asked)

    assert asyncio.run(go(200)) == [{"method": "PATCH", "body": '{"new": 50}', "who": "Bearer s3cret"}]
    with pytest.raises(ToolError, match="answers 403") as refused:
        asyncio.run(go(403))
    assert "s3cret" not in str(refused.value)
    assert "hidden" not in str(refused.value)


def test_a_load_balancer_that_is_away_or_hangs_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="cannot be told"):
        tell(Traffic(http=TrafficHttp("http://127.0.0.1:1/pool")), tmp_path)

    async def go() -> None:
        async with served("balancer") as (port, _):
            http = TrafficHttp(f"http://127.0.0.1:{port}/slow")
            await Hooks({}, {}, tmp_path).tell(Traffic(http=http, timeout=Duration(0.2)), 50, "from")

    with pytest.raises(ToolError, match=r"not answered in 0.2 s"):
        asyncio.run(go())


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Cluster]:
    with running(tmp_path_factory.mktemp("state"), "routed", nodes=1) as made:
        yield made


def test_an_annotation_of_a_routing_controller_is_set_and_nothing_else_of_its_object(
    town: cluster.Cluster, tmp_path: Path
) -> None:
    key = "routing.lunar.tech/controlled"
    hook = Traffic(annotation=Annotation("Service/default/front", key, {"to": "{on}"}))
    both = Traffic(annotation=Annotation("Service/default/front", "external-dns.alpha.kubernetes.io/aws-weight"))

    async def go() -> list[Any]:
        async with Kube(town.access) as kube:
            front: dict[str, Any] = {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "front", "namespace": "default", "annotations": {"kept": "yes"}},
                "spec": {"ports": [{"port": 80}], "selector": {"app": "front"}},
            }
            await kube.apply(front, manager="kustomize-controller")
            hooks = Hooks({"from": kube, "to": kube}, {}, tmp_path)
            seen = []
            for weight in (0, 10, 100):
                await hooks.tell(hook, weight, "from")
                await hooks.tell(both, weight, "from")
                body = await kube.get(Ref("v1", "Service", "default", "front"))
                assert body
                seen.append(dict(body["metadata"]["annotations"]))
                assert body["spec"]["selector"] == {"app": "front"}
            return seen

    found = asyncio.run(go())
    assert [one[key] for one in found] == ["false", "true", "true"]
    assert [one["external-dns.alpha.kubernetes.io/aws-weight"] for one in found] == ["0", "10", "100"]
    assert {one["kept"] for one in found} == {"yes"}


def test_an_annotation_that_the_api_server_refuses_is_a_failure_of_the_hook(
    town: cluster.Cluster, tmp_path: Path
) -> None:
    hook = Traffic(annotation=Annotation("Service/no-such-home/front", "routing.lunar.tech/controlled", {"to": "{on}"}))

    async def go() -> None:
        async with Kube(town.access) as kube:
            await Hooks({"to": kube}, {}, tmp_path).tell(hook, 10, "from")

    with pytest.raises(ToolError, match="no-such-home"):
        asyncio.run(go())


def test_each_question_asks_for_the_address_anew_so_that_weights_of_records_are_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def go() -> list[str]:
        loop, turns = asyncio.get_running_loop(), iter(range(100))
        real = loop.getaddrinfo

        async def resolve(host: Any, port: Any, **more: Any) -> Any:
            if host == "shop.test":
                host = f"127.0.0.{1 + next(turns) % 2}"
            return await real(host, port, **more)

        monkeypatch.setattr(loop, "getaddrinfo", resolve)
        async with served("old") as (port, _), served("new", "127.0.0.2", port):
            seen = Seen(f"http://shop.test:{port}/", "by old", "by new")
            async with Looking(seen) as looking:
                return [await looking.ask() for _ in range(6)]

    assert asyncio.run(go()) == ["from", "to"] * 3
