"""Shows new credentials to a server that takes the old ones no more: the token of a cloud's plugin lasts minutes."""

from __future__ import annotations

import asyncio

from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from dr.adapters.kube.access import Access

_UNAUTHORIZED = 401


class Login:
    """Stands between a client's session and the server, for all requests and watches of it."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._renewing = asyncio.Lock()

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send a request; where its token is refused, once more with another one if there is one by now."""
        if self._access.tls_name:
            request.server_hostname = self._access.tls_name
        response = await handler(request)
        if response.status != _UNAUTHORIZED:
            return response
        shown = request.headers.get("Authorization", "").removeprefix("Bearer ")
        async with self._renewing:  # many requests are refused at once, and one plugin is asked
            token = self._access.bearer()
            if token == shown:
                token = await asyncio.to_thread(self._access.renewed)
        if token in ("", shown):
            return response
        response.close()
        request.headers["Authorization"] = f"Bearer {token}"
        return await handler(request)
