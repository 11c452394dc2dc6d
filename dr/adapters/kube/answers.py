"""What an API server's answer means: whether an error can heal, and what an apply did."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

import msgspec

from dr.adapters.kube.access import Access
from dr.core.body import items, mapping, text
from dr.core.errors import ApiError
from dr.core.events import Operation
from dr.core.model import Body

_HEALS = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_GONE = frozenset({"Expired", "Gone"})
# Messages of the API server that mean "later", whatever the status: caches that lag behind, a namespace that goes.
_LAGS = (
    "not yet ready",
    "the object has been modified",
    "no CSR",
    "etcdserver:",
    "status unknown for quota",
    "because it is being terminated",
)
# What server-side apply cannot read of a body is answered with 500, and is the same each time.
_MALFORMED = ("failed to create typed patch object", "failed to convert new object")
_CREATED = 201


def forgotten(error: ApiError) -> bool:
    """Return whether the server no longer knows where a watch was."""
    return error.reason in _GONE or error.status == 410


def refused(status: int, content: bytes, wait: str, body: Body | None = None) -> ApiError:
    """Return an answer of status 400 and more as an error; `wait`: its Retry-After; `body`: where it is read."""
    if body is None:
        try:
            found = msgspec.json.decode(content)
            body = found if isinstance(found, dict) else {}
        except msgspec.DecodeError:
            body = {"message": content[:200].decode(errors="replace")}
    cause = text(body, "message") or f"HTTP status {status}"
    seconds = mapping(body, "details").get("retryAfterSeconds")
    delay = float(wait) if wait.isdigit() else float(seconds) if isinstance(seconds, int) else 0.0
    reason = text(body, "reason")
    heals = status in _HEALS and reason != "AlreadyExists" and not cause.startswith(_MALFORMED)
    heals = heals or any(words in cause for words in _LAGS)
    rest = text(body, "metadata", "continue")
    return ApiError(cause, status=status, reason=reason, heals=heals, delay=delay, rest=rest)


def words(error: BaseException) -> str:
    """Return the system's own words for an error where it has some: "Connection refused"."""
    number = getattr(error, "errno", None) or 0
    return os.strerror(number) if number > 0 else str(error) or type(error).__name__


def unreachable(access: Access, error: BaseException) -> ApiError:
    """Return a failed connection as an error that names the address and the context."""
    what = words(error)
    remedy = f'check that the cluster of context "{access.context}" is up and that this machine can reach it'
    return ApiError(f"{access.server} cannot be reached: {what}", heals=True, reason="Unreachable", remedy=remedy)


def operation(status: int, stored: Body, manager: str, headers: Mapping[str, str], took: float) -> Operation:
    """Return what a server-side apply that took `took` seconds did.

    The server writes the time of a manager's last apply that changed something into the object, and its own time into
    the answer: what changed earlier than this request began was not changed by it. Both are whole seconds, so that an
    apply right after a change counts as one too.
    """
    if status == _CREATED:
        return Operation.CREATED
    own = (
        text(entry, "time")
        for entry in items(stored, "metadata", "managedFields")
        if text(entry, "manager") == manager and text(entry, "operation") == "Apply" and not text(entry, "subresource")
    )
    try:
        changed, now = datetime.fromisoformat(next(own, "")), parsedate_to_datetime(headers.get("Date", ""))
        return Operation.UNCHANGED if changed + timedelta(seconds=took + 1) <= now else Operation.CONFIGURED
    except (TypeError, ValueError):
        return Operation.CONFIGURED
