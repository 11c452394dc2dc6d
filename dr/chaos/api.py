"""A Kubernetes API server as experiments use it: objects of any kind as plain mappings, one blocking call each.

Not the dynamic client of `kubernetes`: it keeps what a server offers in a file of the shared temporary folder, by the
server's address alone, and clusters that live for minutes get the same addresses.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from kubernetes.client import ApiClient
from msgspec import Struct
from urllib3.exceptions import HTTPError

from dr.core.body import items, mapping, text
from dr.core.errors import ApiError
from dr.core.model import Body, Ref

MANAGER = "dr-chaos"
MERGE = "application/merge-patch+json"
_JSON = "application/json"
_CALL_SECONDS = (5.0, 30.0)  # to connect, to answer
_PAGE = 500
_HEALS = frozenset({409, 429, 500, 502, 503, 504})
_TOLD = 300


class Served(Struct, frozen=True):
    """A kind as the server serves it: `resource` is its name in paths."""

    api_version: str
    kind: str
    resource: str
    namespaced: bool
    verbs: frozenset[str]


class Api:
    """The API server of one kubeconfig context."""

    def __init__(self, client: ApiClient) -> None:
        self.client = client
        self._known: dict[str, tuple[Served, ...]] = {}

    @property
    def server(self) -> str:
        """Its address."""
        return str(self.client.configuration.host)

    def call(self, method: str, path: str, body: object = None, *, content: str = _JSON, **query: str) -> Body:
        """Send a request and return the answer; raises ApiError for any status of 400 and more, or without one."""
        request = self.client.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params={"Accept": "*/*" if path == "/readyz" else _JSON, "Content-Type": content},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer: Any = self.client.call_api(*request, _request_timeout=_CALL_SECONDS)
            said = answer.read()
        except (HTTPError, OSError) as error:
            raise ApiError(
                f"{self.server} cannot be reached: {type(error).__name__}", reason="Unreachable", heals=True
            ) from None
        if answer.status >= 400:
            raise _refused(answer.status, said, "/secrets" in path)
        found = json.loads(said) if said.startswith(b"{") else {"text": said.decode(errors="replace")}
        return dict(found)

    def served(self, api_version: str, kind: str) -> Served:
        """Return how a kind is served; raises ApiError (`NoMatch`) where it is not."""
        for fresh in (False, True):
            if fresh:
                self._known.pop(api_version, None)
            for row in self._version(api_version):
                if row.kind == kind:
                    return row
        raise ApiError(f"no matches for kind {kind} in version {api_version}", reason="NoMatch", heals=True)

    def _version(self, api_version: str) -> tuple[Served, ...]:
        if api_version not in self._known:
            try:
                found = self.call("GET", _root(api_version))
            except ApiError as error:
                if error.status == 404:
                    return ()
                raise
            self._known[api_version] = tuple(
                Served(api_version, row["kind"], row["name"], bool(row["namespaced"]), frozenset(row["verbs"]))
                for row in items(found, "resources")
                if "/" not in row["name"]
            )
        return self._known[api_version]

    def kinds(self, *, namespaced: bool) -> tuple[Served, ...]:
        """Return every kind that can be listed, created and deleted, each in the version that the server prefers."""
        self._known.clear()
        groups = items(self.call("GET", "/apis"), "groups")
        versions = ["v1", *(text(group, "preferredVersion", "groupVersion") for group in groups)]
        wanted = {"list", "create", "delete"}
        rows = [row for version in versions for row in self._version(version)]
        return tuple(row for row in rows if row.namespaced == namespaced and wanted <= row.verbs)

    def _path(self, row: Served, namespace: str, name: str = "") -> str:
        home = f"/namespaces/{quote(namespace, safe='')}" if row.namespaced and namespace else ""
        return f"{_root(row.api_version)}{home}/{row.resource}" + (f"/{quote(name, safe='')}" if name else "")

    def path(self, ref: Ref) -> str:
        """Return an object's path."""
        return self._path(self.served(ref.api_version, ref.kind), ref.namespace, ref.name)

    def get(self, ref: Ref) -> Body | None:
        """Return an object; None where it, or its kind, is not there."""
        try:
            return {**self.call("GET", self.path(ref)), "apiVersion": ref.api_version, "kind": ref.kind}
        except ApiError as error:
            if error.reason in ("NotFound", "NoMatch"):
                return None
            raise

    def list(self, api_version: str, kind: str, namespace: str = "", labels: str = "") -> tuple[Body, ...]:
        """Return the objects of a kind that a label selector selects, by namespace and name."""
        row = self.served(api_version, kind)
        found = self._pages(self._path(row, namespace), {"labelSelector": labels} if labels else {})
        return tuple(sorted(({**body, "apiVersion": api_version, "kind": kind} for body in found), key=_name))

    def _pages(self, path: str, query: dict[str, str]) -> Iterator[Body]:
        more = ""
        while True:
            page = self.call("GET", path, **query, limit=str(_PAGE), **({"continue": more} if more else {}))
            yield from items(page, "items")
            more = text(page, "metadata", "continue")
            if not more:
                return

    def create(self, body: Body, *, dry_run: bool = False) -> Body:
        """Create an object; raises ApiError."""
        row = self.served(text(body, "apiVersion"), text(body, "kind"))
        path = self._path(row, text(body, "metadata", "namespace"))
        return self.call("POST", path, body, fieldManager=MANAGER, **({"dryRun": "All"} if dry_run else {}))

    def patch(self, ref: Ref, body: Body) -> Body:
        """Merge `body` into an object; raises ApiError."""
        return self.call("PATCH", self.path(ref), body, content=MERGE, fieldManager=MANAGER)

    def delete(self, ref: Ref, *, uid: str = "", grace: int | None = None) -> bool:
        """Delete an object and what it owns, with `uid` only if it still is that object; False where it is gone."""
        options: Body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        try:
            self.call("DELETE", self.path(ref), options)
        except ApiError as error:
            if error.reason in ("NotFound", "NoMatch", "Conflict"):
                return False
            raise
        return True


def ref_of(body: Body) -> Ref:
    """Return an object's identity."""
    metadata = mapping(body, "metadata")
    return Ref(text(body, "apiVersion"), text(body, "kind"), text(metadata, "namespace"), text(metadata, "name"))


def uid_of(body: Body) -> str:
    """Return an object's UID."""
    return text(body, "metadata", "uid")


def _name(body: Body) -> tuple[str, str]:
    return text(body, "metadata", "namespace"), text(body, "metadata", "name")


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _refused(status: int, said: bytes, private: bool) -> ApiError:
    """Return the error of an answer; of one about Secrets only its word, for it may repeat what was sent."""
    try:
        found: Any = json.loads(said)
    except ValueError:
        found = {"message": said[:_TOLD].decode(errors="replace")}
    body = found if isinstance(found, dict) else {}
    reason = text(body, "reason")
    told = f"the API server refused: {reason or status}" if private else text(body, "message")[:_TOLD]
    heals = (status in _HEALS and reason != "AlreadyExists") or "is being terminated" in text(body, "message")
    return ApiError(told or f"HTTP status {status}", status=status, reason=reason, heals=heals)
