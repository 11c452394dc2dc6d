"""Webhooks and aggregated APIs of an embedded cluster work as long as their backend is ready, and no longer."""

from __future__ import annotations

import asyncio
import json
import ssl
import stat
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from dr.adapters.kube import Kube
from dr.core.errors import ApiError
from dr.core.model import Body, Ref
from dr.local import cluster
from dr.local.pki import Authority
from dr.local.simulated.webhooks import serve
from tests.embedded import running

T = TypeVar("T")
HOOKS, CRDS, APIS = "admissionregistration.k8s.io/v1", "apiextensions.k8s.io/v1", "apiregistration.k8s.io/v1"
VALIDATING, MUTATING = "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"
REFUSED = "no endpoints available"
MARK = "open-sesame"
SECONDS = 30.0
BROKEN = (ConnectionError, ssl.SSLError)  # a timeout is none of them: no answer is a failure
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Cluster]:
    with running(tmp_path_factory.mktemp("state"), "hooks", nodes=1) as found:
        yield found


def run(made: cluster.Cluster, act: Callable[[Kube], Awaitable[T]]) -> T:
    async def go() -> T:
        async with Kube(made.access) as kube:
            return await asyncio.wait_for(act(kube), 3 * SECONDS)

    return asyncio.run(go())


async def until(ask: Callable[[], Awaitable[T]], wanted: Callable[[T], bool]) -> T:
    """Ask until the answer is the wanted one; return the last answer when time is up, for the assertion to show."""
    end = asyncio.get_running_loop().time() + SECONDS
    while True:
        found = await ask()
        if wanted(found) or asyncio.get_running_loop().time() > end:
            return found
        await asyncio.sleep(0.03)


async def home(kube: Kube, name: str) -> str:
    """Make a namespace with a Service `hook` that nothing is behind; return the Service's address."""
    await kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": name, "name": "hook"}}
    created = await kube.create({**service, "spec": {"ports": [{"name": "https", "port": 443, "targetPort": 9443}]}})
    return str(created["spec"]["clusterIP"])


async def backend(kube: Kube, name: str, *, ready: bool | None = True, port: str = "https") -> None:
    """Put an endpoint behind the Service of a namespace."""
    metadata = {"namespace": name, "name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}}
    endpoint = {"addresses": ["10.0.0.9"], "conditions": {} if ready is None else {"ready": ready}}
    slices = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata}
    ports = [{"name": port, "port": 9443, "protocol": "TCP"}]
    await kube.apply({**slices, "addressType": "IPv4", "endpoints": [endpoint], "ports": ports}, manager="test")


async def no_backend(kube: Kube, name: str) -> None:
    await kube.delete(Ref("discovery.k8s.io/v1", "EndpointSlice", name, "hook-1"))


def hook(name: str, kind: str = VALIDATING, *, bundle: str = "", review: str = "v1", what: str = "configmaps") -> Body:
    """Return a webhook that is called for what is created in one namespace."""
    config = {"service": {"namespace": name, "name": "hook", "path": "/admit"}}
    row = {
        "name": f"{name}.example.com",
        "clientConfig": config | ({"caBundle": bundle} if bundle else {}),
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [what]}],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": [review],
        "timeoutSeconds": 5,
    }
    return {"apiVersion": HOOKS, "kind": kind, "metadata": {"name": name}, "webhooks": [row]}


def config_map(name: str, **data: str) -> Body:
    metadata = {"namespace": name, "generateName": "thing-"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def asked(kube: Kube, name: str) -> Callable[[], Awaitable[str]]:
    """Return what creates a ConfigMap and says why that was refused, nothing if it was not."""

    async def ask() -> str:
        try:
            await kube.create(config_map(name))
        except ApiError as error:
            return error.cause
        return ""

    return ask


async def admitted(kube: Kube, name: str) -> None:
    assert await until(asked(kube, name), lambda cause: not cause) == ""


async def refused(kube: Kube, name: str) -> str:
    cause = await until(asked(kube, name), lambda cause: REFUSED in cause)
    assert REFUSED in cause
    return cause


async def called(kube: Kube, webhook: Body) -> None:
    """Make a webhook, see it refuse, for until then it may not be called at all, and then admit with a backend."""
    name = webhook["metadata"]["name"]
    await home(kube, name)
    await kube.create(webhook)
    await refused(kube, name)
    await backend(kube, name)
    await admitted(kube, name)


def other_ca(folder: Path) -> str:
    return Authority(folder, "another").pem.decode()


def encoded(pem: str) -> str:
    return b64encode(pem.encode()).decode()


async def bundle_of(kube: Kube, kind: str, name: str) -> str:
    body = await kube.read(Ref(HOOKS, kind, "", name))
    assert body
    return b64decode(body["webhooks"][0]["clientConfig"].get("caBundle", "")).decode()


@pytest.mark.parametrize(
    ("kind", "review"), [(VALIDATING, "v1"), (MUTATING, "v1"), (VALIDATING, "v1beta1"), (MUTATING, "v1beta1")]
)
def test_a_webhook_refuses_until_its_backend_is_ready_and_again_when_it_goes(
    made: cluster.Cluster, kind: str, review: str
) -> None:
    name = f"gate-{kind[:3].lower()}-{review}"

    async def act(kube: Kube) -> None:
        await home(kube, name)
        await kube.create(hook(name, kind, review=review))
        cause = await refused(kube, name)
        assert f'failed calling webhook "{name}.example.com"' in cause
        await backend(kube, name, ready=False)
        assert REFUSED in await asked(kube, name)()
        await backend(kube, name)
        await admitted(kube, name)
        await asyncio.gather(*(kube.create(config_map(name)) for _ in range(8)))  # connections that stay open
        await backend(kube, name, ready=False)
        await refused(kube, name)
        await backend(kube, name, ready=None)  # unknown counts as ready
        await admitted(kube, name)
        await no_backend(kube, name)
        await refused(kube, name)

    run(made, act)


def test_what_a_mutating_webhook_admits_is_stored_as_it_is_in_git(made: cluster.Cluster) -> None:
    async def act(kube: Kube) -> None:
        await called(kube, hook("as-it-is", MUTATING))
        stored = await kube.create(config_map("as-it-is", greeting="hello"))
        assert stored["data"] == {"greeting": "hello"}
        assert not stored["metadata"].keys() & {"labels", "annotations"}

    run(made, act)


def test_two_hundred_objects_at_once_all_get_through_a_webhook(made: cluster.Cluster) -> None:
    async def act(kube: Kube) -> int:
        await called(kube, hook("many"))
        return len(await asyncio.gather(*(kube.create(config_map("many", n=str(n))) for n in range(200))))

    assert run(made, act) == 200


@pytest.mark.parametrize("kind", [VALIDATING, MUTATING])
def test_a_ca_that_git_holds_stays_first_and_the_webhook_still_works(
    made: cluster.Cluster, tmp_path: Path, kind: str
) -> None:
    name, gits = f"another-ca-{kind[:3].lower()}", other_ca(tmp_path)
    ours = (made.folder / "pki" / "ca.crt").read_text()

    async def act(kube: Kube) -> str:
        await called(kube, hook(name, kind, bundle=encoded(gits)))
        return await bundle_of(kube, kind, name)

    assert run(made, act) == gits + ours


@pytest.mark.parametrize("text", ["\n", "no certificate"])
def test_a_placeholder_for_a_ca_does_not_keep_a_webhook_from_working(made: cluster.Cluster, text: str) -> None:
    name = f"placeholder-{len(text)}"

    async def act(kube: Kube) -> None:
        await called(kube, hook(name, bundle=encoded(text)))

    run(made, act)


def test_a_ca_that_somebody_overwrites_comes_back(made: cluster.Cluster, tmp_path: Path) -> None:
    ours, gits = (made.folder / "pki" / "ca.crt").read_text(), other_ca(tmp_path)

    async def act(kube: Kube) -> tuple[str, str]:
        async def now() -> str:
            return await bundle_of(kube, VALIDATING, "overwritten")

        await home(kube, "overwritten")
        await kube.create(hook("overwritten"))
        first = await until(now, lambda pem: pem == ours)
        for _ in range(5):  # faster than anybody can answer
            await kube.apply(hook("overwritten", bundle=encoded(gits)), manager="gitops")
        return first, await until(now, lambda pem: pem == gits + ours)

    assert run(made, act) == (ours, gits + ours)


def test_a_webhook_at_a_url_keeps_its_own_ca(made: cluster.Cluster, tmp_path: Path) -> None:
    gits = other_ca(tmp_path)
    outside = hook("outside")
    outside["webhooks"][0]["clientConfig"] = {"url": "https://hooks.example.com/admit", "caBundle": encoded(gits)}

    async def act(kube: Kube) -> str:
        await kube.create(outside)
        await called(kube, hook("inside"))  # made later and filled already
        return await bundle_of(kube, VALIDATING, "outside")

    assert run(made, act) == gits


def crd(name: str) -> Body:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    config = {"service": {"namespace": name, "name": "hook", "path": "/convert"}}
    webhook = {"conversionReviewVersions": ["v1"], "clientConfig": config}
    spec = {
        "group": "bakery.example.com",
        "scope": "Namespaced",
        "names": {"plural": "cakes", "singular": "cake", "kind": "Cake", "listKind": "CakeList"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": schema},
            {"name": "v2", "served": True, "storage": False, "schema": schema},
        ],
        "conversion": {"strategy": "Webhook", "webhook": webhook},
    }
    return {
        "apiVersion": CRDS,
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "cakes.bakery.example.com"},
        "spec": spec,
    }


def test_a_custom_resource_is_read_in_another_version_only_while_its_converter_is_ready(made: cluster.Cluster) -> None:
    cake = {"kind": "Cake", "metadata": {"namespace": "bakery", "name": "plain"}, "spec": {"layers": 3}}

    async def act(kube: Kube) -> None:
        async def as_v2() -> str:
            try:
                found = await kube.read(Ref("bakery.example.com/v2", "Cake", "bakery", "plain"))
            except ApiError as error:
                return error.cause
            return json.dumps([found["apiVersion"], found["spec"], found["metadata"]["name"]]) if found else ""

        async def stored() -> str:
            try:
                await kube.create({"apiVersion": "bakery.example.com/v1", **cake})
            except ApiError as error:
                return error.reason
            return ""

        whole = json.dumps(["bakery.example.com/v2", {"layers": 3}, "plain"])
        await home(kube, "bakery")
        await kube.create(crd("bakery"))
        assert await until(stored, lambda reason: reason in ("", "AlreadyExists")) in ("", "AlreadyExists")
        assert REFUSED in await until(as_v2, lambda cause: REFUSED in cause)
        await backend(kube, "bakery")
        assert await until(as_v2, lambda found: found == whole) == whole
        await no_backend(kube, "bakery")
        assert REFUSED in await until(as_v2, lambda cause: REFUSED in cause)
        await backend(kube, "bakery")
        assert await until(as_v2, lambda found: found == whole) == whole
        await kube.delete(Ref(CRDS, "CustomResourceDefinition", "", "cakes.bakery.example.com"))

    run(made, act)


def api_service(name: str, group: str) -> Body:
    service = {"namespace": name, "name": "hook"}
    spec = {"group": group, "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100, "service": service}
    return {"apiVersion": APIS, "kind": "APIService", "metadata": {"name": f"v1.{group}"}, "spec": spec}


def test_an_aggregated_api_is_available_only_while_its_service_has_endpoints(made: cluster.Cluster) -> None:
    ref = Ref(APIS, "APIService", "", "v1.weather.example.com")

    async def act(kube: Kube) -> None:
        async def available() -> str:
            found = await kube.read(ref)
            conditions = found["status"].get("conditions", ()) if found else ()
            return next((str(c["status"]) for c in conditions if c["type"] == "Available"), "")

        async def served() -> Any:
            try:
                return (await kube.call("GET", "/apis/weather.example.com/v1"))[1]["resources"]
            except ApiError as error:
                return error.status

        await home(kube, "weather")
        await kube.create(api_service("weather", "weather.example.com"))
        try:
            assert await until(available, lambda status: status == "False") == "False"
            assert await served() == 503
            await backend(kube, "weather")
            assert await until(available, lambda status: status == "True") == "True"
            assert await until(served, lambda found: found == []) == []
            await no_backend(kube, "weather")
            assert await until(available, lambda status: status == "False") == "False"
            assert await until(served, lambda found: found == 503) == 503
        finally:
            await kube.delete(ref)

    run(made, act)


def test_an_aggregated_api_that_git_trusts_unchecked_can_be_applied_again(made: cluster.Cluster) -> None:
    ref = Ref(APIS, "APIService", "", "v1.tides.example.com")
    unchecked = api_service("tides", "tides.example.com")
    unchecked["spec"]["insecureSkipTLSVerify"] = True

    async def act(kube: Kube) -> Body:
        async def served() -> Any:
            try:
                return (await kube.call("GET", "/apis/tides.example.com/v1"))[1]["resources"]
            except ApiError as error:
                return error.status

        await home(kube, "tides")
        await backend(kube, "tides")
        await kube.apply(unchecked, manager="git")
        try:
            assert await until(served, lambda found: found == []) == []
            return (await kube.apply(unchecked, manager="git"))[0]
        finally:
            await kube.delete(ref)

    spec = run(made, act)["spec"]
    assert spec["insecureSkipTLSVerify"] is True
    assert "caBundle" not in spec


def egress(made: cluster.Cluster) -> Path:
    return Path(made.record.sockets) / "egress.sock"


@asynccontextmanager
async def dialled(made: cluster.Cluster, *sent: bytes) -> AsyncIterator[Stream]:
    """Open a connection to the stand-in past the API server."""
    reader, writer = await asyncio.open_unix_connection(egress(made))
    try:
        for content in sent:
            writer.write(content)
            await writer.drain()
        yield reader, writer
    finally:
        writer.close()
        with suppress(*BROKEN):
            await writer.wait_closed()


@asynccontextmanager
async def secured(made: cluster.Cluster, address: str, name: str) -> AsyncIterator[Stream]:
    """Open a connection to a Service as the API server does: CONNECT, then TLS that checks name and CA."""
    async with dialled(made, connect(f"{address}:443")) as (reader, writer):
        assert b" 200 " in (await reader.readuntil(b"\r\n\r\n")).splitlines()[0]
        context = ssl.create_default_context(cafile=str(made.folder / "pki" / "ca.crt"))
        context.set_alpn_protocols(["h2", "http/1.1"])
        await writer.start_tls(context, server_hostname=name)
        yield reader, writer


def connect(target: str) -> bytes:
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode()


def review(uid: str, *, chunked: bool = False) -> bytes:
    body = json.dumps(
        {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": uid}}
    ).encode()
    head = b"POST /admit?timeout=5s HTTP/1.1\r\nHost: hook\r\nContent-Type: application/json\r\n"
    if not chunked:
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    parts = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:]))
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n"


async def answer(reader: asyncio.StreamReader) -> tuple[int, Any]:
    first, *rows = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    length = next(int(row.split(":")[1]) for row in rows if row.lower().startswith("content-length:"))
    content = await reader.readexactly(length)
    status = int(first.split(" ")[1])
    return status, json.loads(content) if status == 200 else content.decode()


async def said(made: cluster.Cluster, target: str) -> int:
    """Return the status that a CONNECT gets."""
    async with dialled(made, connect(target)) as (reader, _):
        return int((await reader.readuntil(b"\r\n\r\n")).split(b" ")[1])


async def opened(kube: Kube, made: cluster.Cluster, name: str) -> str:
    """Make a Service with a backend and wait until the stand-in knows; return its address."""
    address = await home(kube, name)
    await backend(kube, name)
    assert await until(lambda: said(made, f"{address}:443"), lambda status: status == 200) == 200
    return address


def test_a_connection_that_stays_open_is_answered_no_longer_than_its_backend_is_ready(made: cluster.Cluster) -> None:
    async def act(kube: Kube) -> None:
        address = await opened(kube, made, "kept")
        async with secured(made, address, "hook.kept.svc") as (reader, writer):
            for uid in ("one", "two"):
                writer.write(review(uid))
                status, found = await answer(reader)
                assert (status, found["response"]) == (200, {"uid": uid, "allowed": True})
            await no_backend(kube, "kept")
            assert await until(lambda: said(made, f"{address}:443"), lambda status: status == 503) == 503
            writer.write(review("three"))
            status, found = await answer(reader)
            assert (status, REFUSED in found) == (503, True)
            assert await reader.read() == b""

    run(made, act)


@pytest.mark.parametrize("host", ["hook.names.svc", "hook.names.svc.cluster.local", "hook.names"])
def test_every_name_of_a_service_is_in_its_certificate_and_http_2_is_never_spoken(
    made: cluster.Cluster, host: str
) -> None:
    async def act(kube: Kube) -> str | None:
        found = await kube.read(Ref("v1", "Service", "names", "hook"))
        address = found["spec"]["clusterIP"] if found else await opened(kube, made, "names")
        async with secured(made, address, host) as (_, writer):
            session: ssl.SSLObject = writer.get_extra_info("ssl_object")
            return session.selected_alpn_protocol()

    assert run(made, act) == "http/1.1"


def test_a_body_in_chunks_is_read_whole(made: cluster.Cluster) -> None:
    async def act(kube: Kube) -> None:
        address = await opened(kube, made, "chunks")
        async with secured(made, address, "hook.chunks.svc") as (reader, writer):
            for uid in ("one", "two"):
                writer.write(review(uid, chunked=True))
                assert (await answer(reader))[1]["response"]["uid"] == uid

    run(made, act)


def test_a_port_that_nothing_listens_on_is_refused_though_another_port_of_the_service_is_ready(
    made: cluster.Cluster,
) -> None:
    async def act(kube: Kube) -> None:
        address = await opened(kube, made, "ports")
        assert await said(made, f"{address}:8443") == 503
        await backend(kube, "ports", port="metrics")
        assert await until(lambda: said(made, f"{address}:443"), lambda status: status == 503) == 503

    run(made, act)


def test_cancelled_it_ends_though_a_connection_is_open(made: cluster.Cluster, tmp_path: Path) -> None:
    socket = tmp_path / "s"
    socket.touch()  # left over by one that was killed

    async def act(kube: Kube) -> bytes:
        async def accepted() -> str:
            try:
                reader, writer = await asyncio.open_unix_connection(socket)
            except ConnectionError:
                return ""
            writer.write(connect(f"{address}:443"))
            opened_last[:] = [(reader, writer)]
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            if " 200 " not in head:
                writer.close()
            return head

        opened_last: list[Stream] = []
        address = await opened(kube, made, "cancelled")
        played = asyncio.create_task(serve(kube, Authority(made.folder / "pki", ""), socket))
        assert " 200 " in await until(accepted, lambda head: " 200 " in head)
        played.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(played, SECONDS)
        reader, writer = opened_last[0]
        left = await asyncio.wait_for(reader.read(), SECONDS)
        writer.close()
        return left

    assert run(made, act) == b""


POST = b"POST /admit HTTP/1.1\r\nHost: hook\r\n"
BROKEN_HEADS = (
    b"\x00\xff\xfe\r\n\r\n",
    b"CONNECT\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    connect("no-port"),
    connect("[::1:443"),
    connect("10.96.255.254:443"),
    b"x" * 200_000,
    b"",
)
BROKEN_REQUESTS = (
    POST + b"Content-Length: 19\r\n\r\n" + f"{MARK} no json".encode(),
    POST + b"Content-Length: 2\r\n\r\n[]",
    POST + b"Content-Length: -1\r\n\r\n",
    POST + b"Content-Length: many\r\n\r\n",
    POST + b"Content-Length: 99999999999\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n" + MARK.encode() + b"\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffff\r\n",
    POST + b"Content-Length: 99\r\n\r\ncut short",
    b"nonsense\r\n\r\n",
    b"x" * 200_000,
)


def test_broken_connections_neither_stop_the_stand_in_nor_put_content_into_its_log(made: cluster.Cluster) -> None:
    def process() -> int:
        return int(json.loads((made.folder / "pids.json").read_text())["stand-ins"])

    async def act(kube: Kube) -> None:
        address = await opened(kube, made, "broken")
        for head in BROKEN_HEADS:
            with suppress(*BROKEN):
                async with dialled(made, head) as (reader, writer):
                    writer.write_eof()
                    assert b" 200 " not in await asyncio.wait_for(reader.read(), SECONDS)
        async with dialled(made, connect(f"{address}:443")) as (reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"this is no TLS hello\r\n" * 4)
            with suppress(*BROKEN):
                await asyncio.wait_for(reader.read(), SECONDS)
        for request in BROKEN_REQUESTS:
            with suppress(*BROKEN):
                async with secured(made, address, "hook.broken.svc") as (reader, writer):
                    writer.write(request)
                    if request.endswith(b"cut short"):
                        continue
                    assert b'"allowed":true' not in await asyncio.wait_for(reader.read(), SECONDS)
        await called(kube, hook("unbroken", what="*"))
        metadata = {"namespace": "unbroken", "name": "secret"}
        await kube.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"word": MARK}})

    before = process()
    run(made, act)
    assert process() == before
    assert MARK not in (made.folder / "logs" / "stand-ins.log").read_text(errors="replace")


def test_only_the_owner_can_reach_the_socket(made: cluster.Cluster) -> None:
    assert stat.S_IMODE(egress(made).stat().st_mode) == 0o600
