"""Admission webhooks and aggregated APIs: they answer only while the workload behind their Service is ready.

The API server reaches every Service through an HTTP CONNECT proxy on a Unix socket, this one. It looks whether the
Service has ready endpoints, ends the TLS as `service.namespace.svc`, and says yes.
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from dr.adapters.kube import Kube
from dr.core.body import get, items, mapping, text
from dr.core.model import Body
from dr.engine.ports import Change
from dr.local.pki import Authority
from dr.local.simulated.inject import Injector
from dr.local.simulated.watches import Name, Watches, complain, name_of

_HEAD, _BODY = 64 * 2**10, 16 * 2**20


async def serve(kube: Kube, authority: Authority, socket: Path) -> None:
    """Answer for all Services of a cluster, until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        watches = Watches(kube, tasks)
        services = Services(watches)
        Injector(watches, authority.pem.decode())
        proxy = Proxy(services, authority)
        await asyncio.to_thread(socket.unlink, missing_ok=True)

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # In the group, so that no open connection keeps a server alive that has been cancelled.
            tasks.create_task(proxy.connected(reader, writer))

        server = await asyncio.start_unix_server(connected, socket, limit=_HEAD)
        await asyncio.to_thread(socket.chmod, 0o600)
        async with server:
            await server.serve_forever()


class Services:
    """Which Service has which address, and which of its ports have ready endpoints."""

    def __init__(self, watches: Watches) -> None:
        self._by_address: dict[str, Name] = {}
        self._ports: dict[Name, dict[int, str]] = {}
        self._slices: dict[Name, dict[str, frozenset[str]]] = {}
        watches.follow("v1", "Service", self._service)
        watches.follow("discovery.k8s.io/v1", "EndpointSlice", self._slice)

    def _service(self, change: Change) -> None:
        name, address = name_of(change.body), text(change.body, "spec", "clusterIP")
        if change.gone:
            self._ports.pop(name, None)
            if self._by_address.get(address) == name:
                del self._by_address[address]
            return
        self._ports[name] = {p["port"]: text(p, "name") for p in items(change.body, "spec", "ports") if _tcp(p)}
        if address:
            self._by_address[address] = name

    def _slice(self, change: Change) -> None:
        namespace, name = name_of(change.body)
        ready = any(get(e, "conditions", "ready") is not False for e in items(change.body, "endpoints"))
        ports = frozenset(text(p, "name") for p in items(change.body, "ports") if _tcp(p))
        owner = (namespace, text(change.body, "metadata", "labels", "kubernetes.io/service-name"))
        self._slices.setdefault(owner, {})[name] = ports if ready and not change.gone else frozenset()

    def behind(self, host: str) -> Name | None:
        """Return the Service at an address: a cluster IP, or `name.namespace.svc`."""
        if host in self._by_address:
            return self._by_address[host]
        name, _, rest = host.partition(".")
        return (rest.split(".")[0], name) if rest else None

    def ready(self, service: Name, port: int) -> bool:
        """Return whether a port of a Service has a ready endpoint: a slice's port is a Service's of the same name."""
        wanted = self._ports.get(service, {}).get(port)
        return any(wanted in ports for ports in self._slices.get(service, {}).values())


def _tcp(port: Body) -> bool:
    return (text(port, "protocol") or "TCP") == "TCP"


class Proxy:
    """Takes CONNECT requests and plays the server behind each."""

    def __init__(self, services: Services, authority: Authority) -> None:
        self._services = services
        self._authority = authority
        self._contexts: dict[Name, ssl.SSLContext] = {}

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of the API server; whatever goes wrong with it ends it alone."""
        try:
            await self._tunnel(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        except Exception as error:  # noqa: BLE001 - nor may it end the others
            complain("webhook connection", error)
        finally:
            writer.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, *_ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        host, _, number = target.rpartition(":")
        port = _size(number, 10, 65535)
        service = self._services.behind(host) if method == "CONNECT" else None
        if service is None or not self._services.ready(service, port):
            await _say(writer, 503, b"no endpoints available for this service\n", "text/plain")
            return
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await writer.drain()
        await writer.start_tls(self._context(service))
        async for first, body in _requests(reader):
            if not self._services.ready(service, port):
                await _say(writer, 503, b"no endpoints available for this service\n", "text/plain")
                return
            status, answer = _answer(first, body)
            await _say(writer, status, msgspec.json.encode(answer), "application/json")

    def _context(self, service: Name) -> ssl.SSLContext:
        if service not in self._contexts:
            namespace, name = service
            host = f"{name}.{namespace}.svc"
            pair = self._authority.issue(host, hosts=(host, f"{host}.cluster.local", f"{name}.{namespace}"))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.set_alpn_protocols(["http/1.1"])
            with tempfile.TemporaryDirectory() as folder:
                certificate, key = pair.write(Path(folder), "server")
                context.load_cert_chain(certificate, key)
            self._contexts[service] = context
        return self._contexts[service]


async def _requests(reader: asyncio.StreamReader) -> AsyncIterator[tuple[str, bytes]]:
    """Yield the first line and the body of each request of a connection."""
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        first, *rows = head.decode("latin-1").split("\r\n")
        headers = {k.strip().lower(): v.strip() for k, _, v in (row.partition(":") for row in rows if row)}
        if "chunked" in headers.get("transfer-encoding", ""):
            body = await _chunks(reader)
        else:
            body = await reader.readexactly(_size(headers.get("content-length") or "0", 10, _BODY))
        yield first, body


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    found = b""
    while True:
        size = _size((await reader.readuntil(b"\r\n")).split(b";")[0], 16, _BODY - len(found))
        chunk = await reader.readexactly(size + 2)
        if not size:
            return found
        found += chunk[:-2]


def _size(said: str | bytes, base: int, most: int) -> int:
    """Return a number that the other side says; what is none is not repeated: it may be an object's content."""
    try:
        size = int(said, base)
    except ValueError:
        raise ValueError("a length or port that is no number") from None
    if not 0 <= size <= most:
        raise ValueError(f"{size} where at most {most} is possible")
    return size


def _answer(first: str, body: bytes) -> tuple[int, Any]:
    """Return status and content: yes to a review, objects of the wanted version, an empty API."""
    method, path, *_ = first.split(" ")
    if method == "POST":
        review: Body = msgspec.json.decode(body)
        request = mapping(review, "request")
        answer: Body = {"uid": text(request, "uid")}
        if text(review, "kind") == "ConversionReview":
            wanted = text(request, "desiredAPIVersion")
            objects = [{**item, "apiVersion": wanted} for item in items(request, "objects")]
            answer |= {"result": {"status": "Success"}, "convertedObjects": objects}
        else:
            answer |= {"allowed": True}
        return 200, {"apiVersion": review.get("apiVersion"), "kind": review.get("kind"), "response": answer}
    parts = path.partition("?")[0].strip("/").split("/")
    if len(parts) == 3 and parts[0] == "apis":
        version = "/".join(parts[1:])
        return 200, {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": []}
    if parts[0] in ("healthz", "readyz", "livez"):
        return 200, {}
    return 404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}


async def _say(writer: asyncio.StreamWriter, status: int, content: bytes, kind: str) -> None:
    # Of a CONNECT that is turned down the API server tells its client nothing but the status line.
    words = {200: "OK", 404: "Not Found", 503: "no endpoints available for this service"}[status]
    last = "Connection: close\r\n" if status == 503 else ""
    head = f"HTTP/1.1 {status} {words}\r\n{last}Content-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
    writer.write(head.encode() + content)
    await writer.drain()
