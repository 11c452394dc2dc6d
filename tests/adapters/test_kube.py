"""The API client against a server that misbehaves: what heals, what does not, and what is said."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace

from dr.adapters.kube import Access, Kube, contexts, from_kubeconfig, kubeconfig
from dr.core.errors import ApiError, UsageError
from dr.core.events import Operation
from dr.core.model import Ref
from dr.local.pki import Authority

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
DISCOVERY = {
    "resources": [
        {"name": "configmaps", "kind": "ConfigMap", "namespaced": True},
        {"name": "configmaps/status", "kind": "ConfigMap", "namespaced": True},
        {"name": "namespaces", "kind": "Namespace", "namespaced": False},
        {"name": "secrets", "kind": "Secret", "namespaced": True},
    ]
}


@asynccontextmanager
async def serving(**routes: Handler) -> AsyncIterator[Kube]:
    """Serve `method_path` handlers beside discovery, and yield a client of it."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/api/v1":
            return web.json_response(DISCOVERY)
        handler = routes.get(request.method.lower())
        return await handler(request) if handler else web.json_response({"message": "no such path"}, status=404)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with Kube(Access("test", f"http://127.0.0.1:{port}"), timeout=5) as kube:
            yield kube
    finally:
        await runner.cleanup()


def config(name: str, version: str = "1") -> dict[str, Any]:
    meta = {"name": name, "namespace": "a", "resourceVersion": version}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


def refusing(status: int, body: dict[str, Any], **headers: str) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status, headers=headers)

    return answer


def apply_error(handler: Handler) -> ApiError:
    async def go() -> ApiError:
        async with serving(patch=handler) as kube:
            with pytest.raises(ApiError) as caught:
                await kube.apply(config("c"), manager="dr")
            return caught.value

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("status", "reason", "message", "heals"),
    [
        (409, "Conflict", "the object has been modified", True),
        (409, "AlreadyExists", "already exists", False),
        (429, "TooManyRequests", "slow down", True),
        (500, "InternalError", "failed calling webhook", True),
        (503, "ServiceUnavailable", "apiserver is shutting down", True),
        (504, "Timeout", "request timed out", True),
        (400, "BadRequest", "strict decoding error", False),
        (403, "Forbidden", "exceeded quota", False),
        (403, "Forbidden", "status unknown for quota: compute", True),
        (403, "Forbidden", "unable to create new content in namespace x because it is being terminated", True),
        (404, "NotFound", 'namespaces "x" not found', False),
        (422, "Invalid", "spec.replicas: Invalid value", False),
    ],
)
def test_only_what_can_heal_is_called_so(status: int, reason: str, message: str, heals: bool) -> None:
    error = apply_error(refusing(status, {"kind": "Status", "reason": reason, "message": message, "code": status}))
    assert (error.status, error.reason, error.heals) == (status, reason, heals)
    assert message in error.cause


def test_the_servers_wish_to_wait_is_known_from_header_and_body() -> None:
    body = {"message": "busy", "reason": "TooManyRequests", "details": {"retryAfterSeconds": 7}}
    assert apply_error(refusing(429, body)).delay == 7
    assert apply_error(refusing(429, body, **{"Retry-After": "3"})).delay == 3


def test_an_answer_that_is_no_json_is_still_said() -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>bad gateway</html>", status=502)

    error = apply_error(answer)
    assert error.heals
    assert "bad gateway" in error.cause


def test_a_server_that_cannot_be_reached_names_address_and_context() -> None:
    async def go() -> None:
        async with Kube(Access("prod", "http://127.0.0.1:1")) as kube:
            await kube.identity()

    with pytest.raises(ApiError, match=r"http://127.0.0.1:1 cannot be reached") as caught:
        asyncio.run(go())
    assert caught.value.heals
    assert '"prod"' in caught.value.remedy


def test_a_kind_that_is_not_served_is_told_from_an_object_that_is_not_there() -> None:
    async def go() -> None:
        async with serving() as kube:
            with pytest.raises(ApiError) as caught:
                await kube.apply(
                    {"apiVersion": "x.example/v1", "kind": "Widget", "metadata": {"name": "w"}}, manager=""
                )
            assert caught.value.reason == "NoMatch"
            assert await kube.get(Ref("x.example/v1", "Widget", "", "w")) is None

    asyncio.run(go())


def test_a_kind_that_comes_later_is_found_then() -> None:
    async def go() -> None:
        served: list[dict[str, Any]] = []

        async def groups(request: web.Request) -> web.StreamResponse:
            if request.path == "/apis/x.example/v1" and served:
                return web.json_response({"resources": served})
            return web.json_response({"message": "not found"}, status=404)

        async with serving(get=groups) as kube:
            with pytest.raises(ApiError):
                await kube.api("x.example/v1", "Widget")
            served.append({"name": "widgets", "kind": "Widget", "namespaced": True})
            assert (await kube.api("x.example/v1", "Widget")).resource == "widgets"

    asyncio.run(go())


def test_many_that_ask_for_one_kind_at_once_ask_the_server_once() -> None:
    async def go() -> None:
        asked = 0

        async def count(request: web.Request) -> web.StreamResponse:
            nonlocal asked
            asked += 1
            await asyncio.sleep(0.05)
            return web.json_response({"resources": [{"name": "widgets", "kind": "Widget", "namespaced": True}]})

        async with serving(get=count) as kube:
            await asyncio.gather(*(kube.api("x.example/v1", "Widget") for _ in range(50)))
        assert asked == 1

    asyncio.run(go())


def lines(*events: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


class Watched:
    """A server whose watches say, one after the other, what `streams` holds; its lists what `listed` holds."""

    def __init__(self, listed: list[list[dict[str, Any]]], streams: list[Any]) -> None:
        self.listed, self.streams, self.lists = listed, streams, 0
        self.since: list[str] = []

    async def get(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            items = self.listed[min(self.lists, len(self.listed) - 1)]
            self.lists += 1
            return web.json_response({"metadata": {"resourceVersion": "10"}, "items": items})
        self.since.append(request.query["resourceVersion"])
        stream: Any = self.streams.pop(0) if self.streams else None
        if isinstance(stream, int):
            return web.json_response({"message": "too old", "reason": "Expired", "code": stream}, status=stream)
        response = web.StreamResponse()
        await response.prepare(request)
        if stream is None:
            await asyncio.sleep(30)
            return response
        await response.write(stream)
        if request.transport and stream.endswith(b"CUT\n"):
            request.transport.close()
        return response


def seen(server: Watched, count: int) -> list[tuple[str, bool]]:
    async def go() -> list[tuple[str, bool]]:
        found = []
        async with serving(get=server.get) as kube:
            async for change in kube.watch("v1", "ConfigMap"):
                found.append((change.body["metadata"]["name"], change.gone))
                if len(found) == count:
                    break
        return found

    return asyncio.run(asyncio.wait_for(go(), 20))


def test_a_watch_goes_on_where_it_was_after_the_connection_ends() -> None:
    server = Watched(
        [[config("a")]],
        [
            lines({"type": "ADDED", "object": config("b", "11")}),
            lines({"type": "MODIFIED", "object": config("b", "12")}),
        ],
    )
    assert seen(server, 3) == [("a", False), ("b", False), ("b", False)]
    assert server.since[:2] == ["10", "11"]
    assert server.lists == 1


@pytest.mark.parametrize(
    "how", [410, lines({"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": ""}})]
)
def test_a_watch_that_the_server_has_forgotten_lists_again_and_tells_what_went(how: int | bytes) -> None:
    server = Watched([[config("a"), config("b")], [config("b")]], [how])
    assert seen(server, 4) == [("a", False), ("b", False), ("a", True), ("b", False)]


def test_bookmarks_move_the_watch_on_and_are_not_shown() -> None:
    mark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "99"}}}
    server = Watched([[]], [lines(mark), lines({"type": "ADDED", "object": config("b", "100")})])
    assert seen(server, 1) == [("b", False)]
    assert server.since[:2] == ["10", "99"]


def test_a_large_object_in_pieces_is_put_together() -> None:
    body = {**config("big", "11"), "data": {"x": "y" * 700_000}}
    assert seen(Watched([[]], [lines({"type": "ADDED", "object": body})]), 1) == [("big", False)]


def test_the_values_of_secrets_are_not_asked_for() -> None:
    async def go() -> None:
        asked = []

        async def get(request: web.Request) -> web.StreamResponse:
            asked.append(request.headers["Accept"])
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})

        async with serving(get=get) as kube:
            await kube.list("v1", "Secret")
            await kube.get(Ref("v1", "Secret", "a", "b"))
        assert all("PartialObjectMetadata" in accept for accept in asked)

    asyncio.run(go())


KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: a
contexts:
  - {name: a, context: {cluster: a, user: a}}
  - {name: b, context: {cluster: nowhere, user: a}}
clusters:
  - {name: a, cluster: {server: "https://10.1.2.3:6443/", insecure-skip-tls-verify: true}}
users:
  - {name: a, user: {token: s3cret}}
"""


def test_a_kubeconfig_context_gives_address_and_credentials_and_hides_them(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(KUBECONFIG)
    access = from_kubeconfig("a", file)
    assert (access.server, access.token) == ("https://10.1.2.3:6443", "s3cret")
    assert "s3cret" not in repr(access)
    assert contexts(file) == ("a", "b")


@pytest.mark.parametrize("context", ["b", "c"])
def test_a_context_that_is_broken_or_not_there_names_those_that_are(tmp_path: Path, context: str) -> None:
    file = tmp_path / "config"
    file.write_text(KUBECONFIG)
    with pytest.raises(UsageError) as caught:
        from_kubeconfig(context, file)
    assert "a, b" in caught.value.remedy


def test_a_body_that_the_server_cannot_read_is_not_sent_again_for_five_minutes() -> None:
    message = "failed to create typed patch object (a/c; /v1, Kind=ConfigMap): .foo: field not declared in schema"
    assert not apply_error(refusing(500, {"message": message, "code": 500})).heals


def test_the_refusal_of_a_secret_shows_none_of_its_values() -> None:
    async def go() -> ApiError:
        message = ".stringData.pin: expected string, got &value.valueUnstructured{Value:1234}"
        async with serving(patch=refusing(500, {"message": message, "code": 500})) as kube:
            with pytest.raises(ApiError) as caught:
                await kube.apply({**config("c"), "kind": "Secret", "stringData": {"pin": 1234}}, manager="dr")
            return caught.value

    error = asyncio.run(go())
    assert "1234" not in error.cause
    assert ".stringData.pin" in error.cause


def test_watches_that_end_at_once_are_not_asked_for_without_a_pause() -> None:
    async def go() -> int:
        server = Watched([[config("a")]], [b""] * 10_000)
        async with serving(get=server.get) as kube:

            async def follow() -> None:
                async for _ in kube.watch("v1", "ConfigMap"):
                    pass

            with pytest.raises(TimeoutError):
                await asyncio.wait_for(follow(), 1.0)
        return len(server.since)

    assert 1 <= asyncio.run(go()) <= 5


@pytest.mark.parametrize(
    ("written", "status", "operation"),
    [
        ("2026-11-28T20:00:00Z", 200, Operation.UNCHANGED),
        ("2026-11-28T20:00:04Z", 200, Operation.CONFIGURED),
        ("2026-11-28T20:00:05Z", 200, Operation.CONFIGURED),
        ("2026-11-28T20:00:05Z", 201, Operation.CREATED),
        ("", 200, Operation.CONFIGURED),
        ("soon", 200, Operation.CONFIGURED),
    ],
)
def test_an_apply_says_whether_it_changed_anything_by_the_servers_own_clock(
    written: str, status: int, operation: Operation
) -> None:
    async def go() -> Operation:
        entries = [
            {"manager": "dr", "operation": "Update", "time": "2026-11-28T19:00:00Z"},
            {"manager": "other", "operation": "Apply", "time": "2026-11-28T19:00:00Z"},
            {"manager": "dr", "operation": "Apply", "time": written},
        ]
        stored = {**config("c"), "metadata": {**config("c")["metadata"], "managedFields": entries}}
        date = {"Date": "Sat, 28 Nov 2026 20:00:05 GMT"}
        async with serving(patch=refusing(status, stored, **date)) as kube:
            return (await kube.apply(config("c"), manager="dr"))[1]

    assert asyncio.run(go()) is operation


@pytest.mark.parametrize(
    "content",
    [
        "a: [",
        "- a\n- b\n",
        "just text",
        "",
        "clusters: 1\ncontexts: 2\n",
        "contexts: [1]\nclusters: []\nusers: []\n",
        "\0",
    ],
)
def test_a_file_that_is_no_kubeconfig_is_no_traceback(tmp_path: Path, content: str) -> None:
    file = tmp_path / "config"
    file.write_text(content)
    assert contexts(file) == ()
    with pytest.raises(UsageError, match='the context "a" cannot be used: '):
        from_kubeconfig("a", file)


@pytest.mark.parametrize("content", ["", "no certificate", None])
def test_a_ca_that_is_none_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_text(content)

    async def go() -> None:
        async with Kube(Access("prod", "https://127.0.0.1:1", str(file))):
            pass

    with pytest.raises(UsageError, match="context 'prod' cannot be used") as caught:
        asyncio.run(go())
    assert str(file) in caught.value.remedy


def written(folder: Path, cluster: dict[str, Any], user: dict[str, Any]) -> Path:
    """Write a kubeconfig with the context "a"."""
    file = folder / "config"
    body = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
    }
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **body}))
    return file


PLUGIN = """#!/bin/sh
echo run >> "$0.runs"
printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t%s"}}' \\
  "$(wc -l < "$0.runs" | tr -d ' ')"
"""


def plugin(folder: Path) -> tuple[dict[str, Any], Callable[[], int]]:
    """Return a user whose plugin gives another token each time, and what counts how often it was asked."""
    program = folder / "plugin"
    program.write_text(PLUGIN)
    program.chmod(0o700)
    exec_ = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(program), "interactiveMode": "Never"}
    return {"exec": exec_}, lambda: len((folder / "plugin.runs").read_text().splitlines())


def test_a_restore_outlives_the_token_of_a_clouds_plugin(tmp_path: Path) -> None:
    taken, asked = {"Bearer t1"}, 0

    async def get(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        if request.headers.get("Authorization") not in taken:
            return web.json_response({"message": "Unauthorized"}, status=401)
        return web.json_response(config("x"))

    async def go() -> None:
        user, runs = plugin(tmp_path)
        async with serving(get=get) as plain:
            access = from_kubeconfig("a", written(tmp_path, {"server": plain.access.server}, user))
            async with Kube(access) as kube:
                await kube.call("GET", "/version")
                taken.clear()
                taken.add("Bearer t2")
                await asyncio.gather(*(kube.call("GET", "/version") for _ in range(20)))
                assert runs() == 2, "one plugin was asked for all that was refused"
            async with Kube(access) as another:
                before = asked
                await another.call("GET", "/version")
                assert asked == before + 1, "what is known to have expired is not shown again"
            taken.clear()
            async with Kube(access) as kube:
                with pytest.raises(ApiError) as caught:
                    await kube.call("GET", "/version")
                assert caught.value.status == 401, "a user who may not come in is not asked about for ever"

    asyncio.run(go())


def test_a_cluster_behind_a_proxy_is_reached_through_it(tmp_path: Path) -> None:
    async def get(request: web.Request) -> web.StreamResponse:
        return web.json_response({"gitVersion": f"through the proxy to {request.url.host}"})

    async def go() -> str:
        async with serving(get=get) as proxy:
            cluster = {"server": "http://api.prod.invalid", "proxy-url": proxy.access.server}
            async with Kube(from_kubeconfig("a", written(tmp_path, cluster, {"token": "t"}))) as kube:
                return await kube.version()

    assert asyncio.run(go()) == "through the proxy to api.prod.invalid"


def test_a_certificate_for_another_name_is_taken_where_the_kubeconfig_says_so(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path, "test").issue("api", hosts=("api.prod.internal",)).write(tmp_path, "api")

    async def get(_: web.Request) -> web.StreamResponse:
        return web.json_response({"gitVersion": "v1.37.2"})

    async def go(**more: str) -> str:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        app = web.Application()
        app.router.add_get("/version", get)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        server = f"https://127.0.0.1:{runner.addresses[0][1]}"
        cluster = {"server": server, "certificate-authority": str(tmp_path / "ca.crt"), **more}
        try:
            async with Kube(from_kubeconfig("a", written(tmp_path, cluster, {"token": "t"}))) as kube:
                return await kube.version()
        finally:
            await runner.cleanup()

    assert asyncio.run(go(**{"tls-server-name": "api.prod.internal"})) == "v1.37.2"
    with pytest.raises(ApiError, match="cannot be reached"):
        asyncio.run(go())


def test_a_kubeconfig_for_another_process_leads_the_same_way(tmp_path: Path) -> None:
    cluster = {"server": "https://10.1.2.3:6443", "proxy-url": "http://proxy:3128", "tls-server-name": "api.internal"}
    access = from_kubeconfig("a", written(tmp_path, cluster, {"token": "t"}))
    other = tmp_path / "other"
    other.write_bytes(kubeconfig(access))
    assert replace(from_kubeconfig("a", other), source=access.source) == access
