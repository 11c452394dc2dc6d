"""A cluster in memory that fits the engine's port, with faults to inject and a say in when things become ready."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any

from dr.core.body import get, mapping, text
from dr.core.errors import ApiError
from dr.core.events import Operation, Target
from dr.core.model import Body, Ref
from dr.engine.ports import Api, Change

NAMESPACED = {"ConfigMap", "Secret", "Deployment", "Lease", "Event", "Pod", "Widget", "ServiceAccount"}
NAMESPACED |= {"Service", "EndpointSlice", "HorizontalPodAutoscaler", "PersistentVolumeClaim"}


class FakeCluster:
    """`faults(body, attempt)` may raise what an apply answers; `becomes(body)` returns its status once stored."""

    def __init__(
        self,
        faults: Callable[[Body, int], None] = lambda *_: None,
        becomes: Callable[[Body], Body | None] = lambda _: None,
        uid: str = "uid-1",
    ) -> None:
        self.faults, self.becomes, self.uid = faults, becomes, uid
        self.objects: dict[tuple[str, str, str, str], Body] = {}
        self.applies: Counter[tuple[str, str]] = Counter()
        self.order: list[tuple[str, str]] = []
        self.version = 0
        self.unserved: set[str] = set()
        self.serves: set[tuple[str, str]] = set()
        self.watch_faults: list[ApiError] = []
        self.watchers: dict[str, list[asyncio.Queue[Change]]] = defaultdict(list)

    async def identity(self) -> Target:
        return Target("fake", "https://fake", self.uid, "ca", "v1.37.2")

    async def api(self, api_version: str, kind: str) -> Api:
        if kind in self.unserved:
            raise ApiError(f"no matches for kind {kind}", reason="NoMatch", heals=True)
        group, _, version = api_version.rpartition("/")
        return Api(group, version, kind, f"{kind.lower()}s", kind in NAMESPACED)

    async def kinds(self) -> tuple[Api, ...]:
        known = {(body["apiVersion"], body["kind"]) for body in self.objects.values()} | set(self.serves)
        return tuple([await self.api(*kind) for kind in sorted(known)])

    def put(self, body: Body) -> Body:
        """Store an object as a controller would, and tell who watches."""
        self.version += 1
        key = _key(body)
        old = self.objects.get(key)
        metadata = {**body["metadata"], "resourceVersion": str(self.version)}
        metadata["uid"] = get(old, "metadata", "uid") or metadata.get("uid") or f"u{self.version}"
        metadata.setdefault("generation", 1)
        stored = {**body, "metadata": metadata}
        self.objects[key] = stored
        for queue in self.watchers[body["kind"]]:
            queue.put_nowait(Change(stored))
        return stored

    async def apply(self, body: Body, *, manager: str, dry_run: bool = False) -> tuple[Body, Operation]:
        await asyncio.sleep(0)
        await self.api(body["apiVersion"], body["kind"])
        name = (body["kind"], body["metadata"]["name"])
        self.applies[name] += 1
        self.faults(body, self.applies[name])
        old = self.objects.get(_key(body))
        if dry_run:
            return {**(old or {}), **body}, Operation.CREATED if old is None else Operation.CONFIGURED
        self.order.append(name)
        same = old is not None and all(old.get(k) == v for k, v in body.items() if k != "metadata")
        stored = old if same and old else self.put(body)
        status = self.becomes(stored)
        if status is not None:
            asyncio.get_running_loop().call_later(0.001, self.put, {**stored, "status": status})
        return stored, Operation.CREATED if old is None else Operation.UNCHANGED if same else Operation.CONFIGURED

    async def get(self, ref: Ref) -> Body | None:
        return self.objects.get((ref.group, ref.kind, ref.namespace, ref.name))

    async def read(self, ref: Ref) -> Body | None:
        return self.objects.get((ref.group, ref.kind, ref.namespace, ref.name))

    async def list(
        self, api_version: str, kind: str, *, namespace: str = "", labels: str = "", whole: bool = False
    ) -> tuple[Body, ...]:
        await self.api(api_version, kind)
        return tuple(b for k, b in self.objects.items() if k[1] == kind and namespace in ("", k[2]))

    async def watch(
        self, api_version: str, kind: str, *, namespace: str = "", labels: str = ""
    ) -> AsyncIterator[Change]:
        assert not namespace
        assert not labels
        if self.watch_faults:
            raise self.watch_faults.pop(0)
        queue: asyncio.Queue[Change] = asyncio.Queue()
        self.watchers[kind].append(queue)
        for body in await self.list(api_version, kind):
            yield Change(body)
            if "status" not in body and (status := self.becomes(body)) is not None:
                self.put({**body, "status": status})  # its controller lives on when dr does not
        while True:
            yield await queue.get()

    async def create(self, body: Body) -> Body:
        if body["kind"] == "SelfSubjectAccessReview":
            return {**body, "status": {"allowed": True}}
        if _key(body) in self.objects:
            raise ApiError("already exists", status=409, reason="AlreadyExists")
        return self.put(body)

    async def replace(self, body: Body) -> Body:
        known = self.objects.get(_key(body))
        if known is None or known["metadata"]["resourceVersion"] != get(body, "metadata", "resourceVersion"):
            raise ApiError("the object has been modified", status=409, reason="Conflict", heals=True)
        return self.put(body)

    async def delete(self, ref: Ref, *, uid: str = "") -> bool:
        return self.objects.pop((ref.group, ref.kind, ref.namespace, ref.name), None) is not None


def _key(body: Body) -> tuple[str, str, str, str]:
    metadata: Any = mapping(body, "metadata")
    group, slash, _ = text(body, "apiVersion").rpartition("/")
    return group if slash else "", body["kind"], metadata.get("namespace", ""), metadata["name"]
