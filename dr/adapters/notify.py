"""Tells other systems what happens in an exercise, over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import aiohttp

_SECONDS = 5.0
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


async def tell(url: str, body: bytes, headers: Mapping[str, str]) -> tuple[str, bool, float]:
    """Post JSON once; return why it was not taken ("" when it was), whether to try again, and after how many seconds.

    The reason names the host only: the path of such an address is often its password. Redirects are not followed, for
    the same reason.
    """
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    sent = {"Content-Type": "application/json", **headers}
    try:
        host = urlsplit(url).hostname or "its address"
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, data=body, headers=sent, allow_redirects=False) as response,
        ):
            if response.status < 300:
                return "", False, 0.0
            return f"{host} answered {response.status}", response.status in _AGAIN, _seconds(response.headers)
    except ValueError:
        return "it is no address of a web server", False, 0.0
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        return f"{host} cannot be told: {type(error).__name__}", True, 0.0


def _seconds(headers: Mapping[str, str]) -> float:
    asked = headers.get("Retry-After", "")
    return float(asked) if asked.isdigit() else 0.0
