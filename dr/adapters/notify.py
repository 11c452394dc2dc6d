"""Tells other systems what happens in an exercise: JSON for machines, a line for a chat."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import aiohttp

_SECONDS = 5.0


async def tell(url: str, body: Mapping[str, object]) -> str:
    """Post a body as JSON; return why it could not be told, "" when it was.

    The reason names the host only: the path of such an address is often its password.
    """
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    host = urlsplit(url).hostname or "its address"
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.post(url, json=dict(body)) as response:
            return "" if response.status < 300 else f"{host} answered {response.status}"
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        return f"{host} cannot be told: {type(error).__name__}"
