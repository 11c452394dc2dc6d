"""Everything that lives on a cluster, read page by page and never written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Generic, TypeVar

from msgspec import DecodeError, Struct, field
from msgspec.json import Decoder

from dr.adapters.kube.client import NAME_LISTS, Kube
from dr.core.body import text
from dr.core.errors import ApiError
from dr.core.events import Target
from dr.core.hidden import Live, Meta, live
from dr.core.model import Body
from dr.engine.ports import Api

_JSON = {"Accept": "application/json"}
# An aggregated API that knows no metadata lists answers with all of it; for Secrets there is no such way out.
_METADATA = {"Accept": f"{NAME_LISTS['Accept']},application/json;q=0.9"}
_PAGE = "500"
_T = TypeVar("_T")


class _Rest(Struct):
    more: str = field(default="", name="continue")


class _Page(Struct, Generic[_T]):
    items: list[_T] | None = None  # Go writes null for none
    metadata: _Rest = field(default_factory=_Rest)


class _Item(Struct, gc=False):
    metadata: Meta


_BODIES, _NAMES = Decoder(_Page[dict[str, Any]]), Decoder(_Page[_Item])


class Survey:
    """An API server that is only read: it has no method that writes."""

    def __init__(self, cluster: Kube) -> None:
        self._cluster = cluster

    async def identity(self) -> Target:
        """Return who this cluster is."""
        return await self._cluster.identity()

    async def kinds(self) -> tuple[Api, ...]:
        """Return every kind that can be listed, each in the version that the server prefers, sorted."""
        return await self._cluster.kinds()

    async def pages(self, api: Api) -> AsyncIterator[list[Body]]:
        """Yield all objects of a kind, some hundred at a time. Raises ApiError."""
        async for page in self._pages(api, _JSON, _BODIES):
            for body in page:
                body["apiVersion"], body["kind"] = api.api_version, api.kind
            yield page

    async def origins(self, api: Api) -> AsyncIterator[list[Live]]:
        """Yield where all objects of a kind come from, some hundred at a time. Raises ApiError."""
        headers = NAME_LISTS if api.resource == "secrets" else _METADATA
        async for page in self._pages(api, headers, _NAMES):
            yield [live(api.api_version, api.kind, one.metadata) for one in page]

    async def _pages(self, api: Api, headers: Mapping[str, str], kind: Decoder[_Page[_T]]) -> AsyncIterator[list[_T]]:
        path = f"/apis/{api.api_version}/{api.resource}" if api.group else f"/api/{api.api_version}/{api.resource}"
        query = {"limit": _PAGE}
        while True:
            try:
                _, content, _ = await self._cluster.send("GET", path, headers=headers, **query)
            except ApiError as error:
                # The server forgets a list after some minutes, and says how to go on with what is there now.
                if error.status != 410 or error.rest in ("", query.get("continue")):
                    raise
                query["continue"] = error.rest
                continue
            try:
                page = kind.decode(content)
            except DecodeError as error:
                raise ApiError(f"the list of {api.resource} cannot be read: {error}") from None
            yield page.items or []
            if not page.metadata.more:
                return
            query["continue"] = page.metadata.more

    async def issuer(self) -> str:
        """Return who signs the tokens of service accounts; "" where that may not be read."""
        try:
            _, said = await self._cluster.call("GET", "/.well-known/openid-configuration")
        except ApiError:
            return ""
        return text(said, "issuer")
