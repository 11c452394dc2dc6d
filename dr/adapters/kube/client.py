"""A Kubernetes API client for many objects: server-side apply, watches that heal, errors that say if they can."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from time import monotonic
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from dr.adapters.kube.access import Access
from dr.adapters.kube.answers import forgotten, operation, refused, unreachable
from dr.adapters.kube.login import Login
from dr.core.body import items, mapping, text
from dr.core.errors import ApiError
from dr.core.events import Operation, Target
from dr.core.model import Body, Ref
from dr.core.withheld import without_values
from dr.engine.ports import Api, Change

_JSON = {"Accept": "application/json"}
# Names of Secrets only: their values never enter this process.
_NAMES = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}
NAME_LISTS = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
_APPLY = {**_JSON, "Content-Type": "application/apply-patch+yaml"}
_BODY = {**_JSON, "Content-Type": "application/json"}
_GROUPS = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
# v2 from Kubernetes 1.30 on, the same as v2beta1 from 1.26 on.
_DISCOVERY = {"Accept": f"{_GROUPS.format('v2')},{_GROUPS.format('v2beta1')},application/json"}
_PAGE = 500
_PAUSE, _LONGEST_PAUSE = 0.2, 5.0


class Kube:
    """One API server. Use it as an asynchronous context manager."""

    def __init__(self, access: Access, *, timeout: float = 30.0, tls: ssl.SSLContext | bool | None = None) -> None:
        """Reach an API server; requests end after `timeout` seconds. `tls`: the access' own, where it is known."""
        self.access = access
        self._tls = tls
        self._timeout = aiohttp.ClientTimeout(total=timeout, connect=10)
        self._apis: dict[tuple[str, str], Api] = {}
        self._asked: dict[str, asyncio.Task[None]] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the connections."""
        headers = {"User-Agent": "dr"}
        tls = self.access.tls() if self._tls is None else self._tls
        connector = aiohttp.TCPConnector(limit=0, ssl=tls, keepalive_timeout=60)
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=headers,
            timeout=self._timeout,
            proxy=self.access.proxy or None,
            middlewares=(Login(self.access),),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close them."""
        if self._session:
            await self._session.close()

    async def call(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] = _JSON, **query: str
    ) -> tuple[int, Body]:
        """Send a request; return status and answer. Raises ApiError for any status of 400 and more."""
        status, content, said = await self.send(method, path, body, headers, **query)
        return status, self._read(content, said)

    def _read(self, content: bytes, headers: Mapping[str, str]) -> Body:
        try:
            if headers.get("Content-Type", "").partition(";")[0] != "application/json":
                return {"text": content.decode()}
            return msgspec.json.decode(content, type=dict)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise unreachable(self.access, error) from None

    async def send(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] = _JSON, **query: str
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Send a request; return status, content and headers. Raises ApiError for any status of 400 and more."""
        if self._session is None:
            raise RuntimeError("open the client with `async with` first")
        url = f"{self.access.server}{path}" + (f"?{urlencode(query)}" if query else "")
        data = msgspec.json.encode(body) if body is not None else None
        try:
            headers = {**headers, **self._who()}
            async with self._session.request(method, url, data=data, headers=headers) as response:
                content = await response.read()
                if response.status >= 400:
                    raise refused(response.status, content, response.headers.get("Retry-After", ""))
                return response.status, content, response.headers
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise unreachable(self.access, error) from None

    def _who(self) -> Mapping[str, str]:
        token = self.access.bearer()
        return {"Authorization": f"Bearer {token}"} if token else {}

    async def version(self) -> str:
        """Return the server's version, `v1.37.2`."""
        return text((await self.call("GET", "/version"))[1], "gitVersion")

    async def identity(self) -> Target:
        """Return who this cluster is; raises ApiError."""
        (_, home), version = await asyncio.gather(self.call("GET", "/api/v1/namespaces/kube-system"), self.version())
        uid = text(home, "metadata", "uid")
        embedded = "dr.dev/embedded" in mapping(home, "metadata", "labels")
        return Target(self.access.context, self.access.server, uid, self.access.fingerprint(), version, embedded)

    async def api(self, api_version: str, kind: str) -> Api:
        """Return how a kind is served, from the server's discovery; raises ApiError (`NoMatch`) where it is not."""
        if (known := self._apis.get((api_version, kind))) is None:
            # Many steps of one kind ask at once; the server is asked once for all of them.
            asked = self._asked.get(api_version)
            if asked is None:
                asked = self._asked[api_version] = asyncio.create_task(self._discover(api_version))
                asked.add_done_callback(lambda _: self._asked.pop(api_version, None))
            await asyncio.shield(asked)
            known = self._apis.get((api_version, kind))
        if known is None:
            raise ApiError(f"no matches for kind {kind} in version {api_version}", reason="NoMatch", heals=True)
        return known

    async def _discover(self, api_version: str) -> None:
        path = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        try:
            _, found = await self.call("GET", path)
        except ApiError as error:
            if error.status == 404:
                return
            raise
        group, _, version = api_version.rpartition("/")
        for row in found.get("resources", ()):
            if "/" not in row["name"]:
                api = Api(group, version, row["kind"], row["name"], bool(row["namespaced"]))
                self._apis[api_version, row["kind"]] = api

    async def kinds(self) -> tuple[Api, ...]:
        """Return every kind that can be listed, each in the version that the server prefers, sorted."""
        found: dict[tuple[str, str], Api] = {}
        for root in ("/api", "/apis"):
            _, said = await self.call("GET", root, headers=_DISCOVERY)
            for group in items(said, "items"):
                for version in items(group, "versions"):
                    for api in _listable(text(group, "metadata", "name"), version):
                        found.setdefault((api.group, api.kind), api)
        return tuple(found[key] for key in sorted(found))

    def _path(self, api: Api, namespace: str = "", name: str = "") -> str:
        root = f"/apis/{api.group}/{api.version}" if api.group else f"/api/{api.version}"
        home = f"/namespaces/{quote(namespace)}" if namespace and api.namespaced else ""
        return f"{root}{home}/{api.resource}" + (f"/{quote(name, safe='')}" if name else "")

    async def _object(self, body: Body, *, name: bool = True) -> str:
        api = await self.api(text(body, "apiVersion"), text(body, "kind"))
        metadata = mapping(body, "metadata")
        return self._path(api, text(metadata, "namespace"), text(metadata, "name") if name else "")

    async def apply(self, body: Body, *, manager: str, dry_run: bool = False) -> tuple[Body, Operation]:
        """Apply on the server, taking over fields of other managers; return the object and what that did to it."""
        query = {"fieldManager": manager, "force": "true", **({"dryRun": "All"} if dry_run else {})}
        path, began = await self._object(body), monotonic()
        try:
            status, content, said = await self.send("PATCH", path, body, _APPLY, **query)
        except ApiError as error:
            raise without_values(error, body) from None
        stored = self._read(content, said)
        return stored, operation(status, stored, manager, said, monotonic() - began)

    async def get(self, ref: Ref) -> Body | None:
        """Return an object, or None where it, or its kind, is not there."""
        try:
            api = await self.api(ref.api_version, ref.kind)
            headers = _NAMES if api.resource == "secrets" else _JSON
            return (await self.call("GET", self._path(api, ref.namespace, ref.name), headers=headers))[1]
        except ApiError as error:
            if error.reason in ("NotFound", "NoMatch"):
                return None
            raise

    async def read(self, ref: Ref) -> Body | None:
        """Return an object whole, Secrets with their values; for comparing with git only."""
        try:
            api = await self.api(ref.api_version, ref.kind)
            return (await self.call("GET", self._path(api, ref.namespace, ref.name)))[1]
        except ApiError as error:
            if error.reason in ("NotFound", "NoMatch"):
                return None
            raise

    async def list(
        self, api_version: str, kind: str, *, namespace: str = "", labels: str = "", whole: bool = False
    ) -> tuple[Body, ...]:
        """Return all objects of a kind, Secrets by name unless `whole`."""
        api = await self.api(api_version, kind)
        return (await self._pages(api, namespace, labels, whole=whole))[0]

    async def _pages(
        self, api: Api, namespace: str = "", labels: str = "", *, whole: bool = False
    ) -> tuple[tuple[Body, ...], str]:
        found: list[Body] = []
        query = {"limit": str(_PAGE), **({"labelSelector": labels} if labels else {})}
        headers = NAME_LISTS if api.resource == "secrets" and not whole else _JSON
        version = f"{api.group}/{api.version}" if api.group else api.version
        while True:
            _, page = await self.call("GET", self._path(api, namespace), headers=headers, **query)
            found.extend({**item, "apiVersion": version, "kind": api.kind} for item in page.get("items") or ())
            more = text(page, "metadata", "continue")
            if not more:
                return tuple(found), text(page, "metadata", "resourceVersion")
            query["continue"] = more

    async def watch(
        self, api_version: str, kind: str, *, namespace: str = "", labels: str = ""
    ) -> AsyncIterator[Change]:
        """Yield all objects of a kind, then each change; lists again when the server has forgotten where it was.

        After a second list, what went in between is yielded as gone. Errors that cannot heal are raised.
        """
        api = await self.api(api_version, kind)
        known: dict[tuple[str, str], Body] = {}
        since, pause = "", _PAUSE
        while True:
            try:
                if not since:
                    listed, since = await self._pages(api, namespace, labels)
                    now = {_key(body): body for body in listed}
                    for gone in [known[key] for key in known.keys() - now.keys()]:
                        yield Change(gone, gone=True)
                    known = now
                    for body in listed:
                        yield Change(body)
                async for event, seen in self._stream(api, since, namespace, labels):
                    since, pause = text(seen, "metadata", "resourceVersion") or since, _PAUSE
                    if event != "BOOKMARK":
                        change = Change({**seen, "apiVersion": api_version, "kind": kind}, gone=event == "DELETED")
                        known[_key(seen)] = change.body
                        if change.gone:
                            del known[_key(seen)]
                        yield change
            except ApiError as error:
                if not error.heals and not forgotten(error):
                    raise
                since = "" if forgotten(error) else since
                pause = max(error.delay, pause)
            # Also after a clean end: a server or proxy that ends each watch at once must not be asked without a pause.
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _stream(self, api: Api, since: str, namespace: str, labels: str) -> AsyncIterator[tuple[str, Body]]:
        if self._session is None:
            raise RuntimeError("open the client with `async with` first")
        query = {"watch": "true", "resourceVersion": since, "allowWatchBookmarks": "true", "timeoutSeconds": "290"}
        query |= {"labelSelector": labels} if labels else {}
        url = f"{self.access.server}{self._path(api, namespace)}?{urlencode(query)}"
        headers = {**(_NAMES if api.resource == "secrets" else _JSON), **self._who()}
        # Bookmarks come every minute: a silence of two is a connection that nobody told us is dead.
        quiet = aiohttp.ClientTimeout(total=None, connect=10, sock_read=120)
        try:
            async with self._session.get(url, headers=headers, timeout=quiet) as response:
                if response.status != 200:
                    raise refused(response.status, await response.read(), response.headers.get("Retry-After", ""))
                rest = b""
                async for chunk in response.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        event = msgspec.json.decode(line)
                        body = event["object"]
                        if event["type"] == "ERROR":
                            raise refused(int(body.get("code") or 500), line, "", body)
                        yield event["type"], body
        except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError) as error:
            raise unreachable(self.access, error) from None

    async def create(self, body: Body) -> Body:
        """Create an object; raises ApiError (`AlreadyExists`) when it is there."""
        return (await self.call("POST", await self._object(body, name=False), body, _BODY))[1]

    async def replace(self, body: Body) -> Body:
        """Replace an object at the resource version that `body` carries."""
        return (await self.call("PUT", await self._object(body), body, _BODY))[1]

    async def patch(self, ref: Ref, body: Body, *, subresource: str = "") -> Body:
        """Merge `body` into an object or its subresource."""
        api = await self.api(ref.api_version, ref.kind)
        path = self._path(api, ref.namespace, ref.name) + (f"/{subresource}" if subresource else "")
        headers = {**_JSON, "Content-Type": "application/merge-patch+json"}
        return (await self.call("PATCH", path, body, headers))[1]

    async def delete(self, ref: Ref, *, uid: str = "") -> bool:
        """Delete an object and what it owns, in the background; with `uid`, only if it still is that object."""
        options: Body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            api = await self.api(ref.api_version, ref.kind)
            await self.call("DELETE", self._path(api, ref.namespace, ref.name), options, _BODY)
        except ApiError as error:
            if error.reason in ("NotFound", "NoMatch"):
                return False
            raise
        return True


def _key(body: Body) -> tuple[str, str]:
    metadata = mapping(body, "metadata")
    return text(metadata, "namespace"), text(metadata, "name")


def _listable(group: str, version: dict[str, Any]) -> list[Api]:
    return [
        Api(
            group,
            text(version, "version"),
            text(row, "responseKind", "kind"),
            text(row, "resource"),
            text(row, "scope") == "Namespaced",
        )
        for row in items(version, "resources")
        if "list" in items(row, "verbs")
    ]
