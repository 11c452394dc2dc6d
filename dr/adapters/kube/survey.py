"""Everything that lives on a cluster, read page by page and never written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from dr.adapters.kube.client import NAME_LISTS, Kube
from dr.core.body import items, text
from dr.core.errors import ApiError
from dr.core.events import Target
from dr.core.model import Body
from dr.engine.ports import Api

_DISCOVERY = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"}
_JSON = {"Accept": "application/json"}
_PAGE = "500"


class Survey:
    """An API server that is only read: it has no method that writes."""

    def __init__(self, cluster: Kube) -> None:
        self._cluster = cluster

    async def identity(self) -> Target:
        """Return who this cluster is."""
        return await self._cluster.identity()

    async def kinds(self) -> tuple[Api, ...]:
        """Return every kind that can be listed, each in the version that the server prefers, sorted."""
        found: dict[tuple[str, str], Api] = {}
        for root in ("/api", "/apis"):
            _, said = await self._cluster.call("GET", root, headers=_DISCOVERY)
            for group in items(said, "items"):
                for version in items(group, "versions"):
                    for api in _listable(text(group, "metadata", "name"), version):
                        found.setdefault((api.group, api.kind), api)
        return tuple(found[key] for key in sorted(found))

    async def pages(self, api: Api, *, whole: bool = False) -> AsyncIterator[list[Body]]:
        """Yield all objects of a kind, some hundred at a time; of Secrets the names only, unless `whole`.

        Raises ApiError.
        """
        version = f"{api.group}/{api.version}" if api.group else api.version
        path = f"/apis/{version}/{api.resource}" if api.group else f"/api/{version}/{api.resource}"
        headers = NAME_LISTS if api.resource == "secrets" and not whole else _JSON
        query = {"limit": _PAGE}
        while True:
            _, page = await self._cluster.call("GET", path, headers=headers, **query)
            bodies: list[Body] = page.get("items") or []
            for body in bodies:
                body["apiVersion"], body["kind"] = version, api.kind
            yield bodies
            more = text(page, "metadata", "continue")
            if not more:
                return
            query["continue"] = more

    async def issuer(self) -> str:
        """Return who signs the tokens of service accounts; "" where that may not be read."""
        try:
            _, said = await self._cluster.call("GET", "/.well-known/openid-configuration")
        except ApiError:
            return ""
        return text(said, "issuer")


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
