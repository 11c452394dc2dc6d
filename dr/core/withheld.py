"""Takes out of a refusal what may show a Secret's value: the API server and webhooks quote what they cannot take."""

from __future__ import annotations

import re

from dr.core.body import mapping, text
from dr.core.errors import ApiError
from dr.core.model import Body

# Reasons whose messages speak of names only.
_NAMES_ONLY = frozenset(
    {"Conflict", "NoMatch", "NotFound", "ServerTimeout", "ServiceUnavailable", "Timeout", "TooManyRequests"}
    | {"Unreachable"}
)
# What the API server says itself when it forbids, and holds no value of an object.
_PLAIN = ("cannot patch resource", "exceeded quota", "status unknown for quota", "being terminated")
# Webhooks and admission policies say what they like, with any reason.
_FOREIGN = ("denied", "webhook")
_WEBHOOK = re.compile(r'webhook "([\w.-]{1,253})"')
_VALUES = ("data", "stringData")


def without_values(error: ApiError, body: Body) -> ApiError:
    """Return a refusal of `body` as it may be shown; of a Secret's, the reason and the fields, never what they hold.

    The fields are those of the body that the message names: no other text of the message is kept.
    """
    if text(body, "kind") != "Secret" or "/" in text(body, "apiVersion") or _shows_none(error):
        return error
    named = [
        f".{field}.{key}"
        for field in _VALUES
        for key in sorted(mapping(body, field))
        if f"{field}.{key}" in error.cause or f"{field}[{key}]" in error.cause
    ]
    webhook = _WEBHOOK.search(error.cause)
    who = f"webhook {webhook[1]}" if webhook else "the API server"
    at = f" at {', '.join(named)}" if named else ""
    why = error.reason or f"HTTP status {error.status}"
    cause = f"{who} does not take this Secret{at}: {why}; its words are withheld, for they may hold a value"
    return ApiError(
        cause, status=error.status, reason=error.reason, heals=error.heals, delay=error.delay, remedy=error.remedy
    )


def _shows_none(error: ApiError) -> bool:
    if any(word in error.cause for word in _FOREIGN):
        return False
    return error.reason in _NAMES_ONLY or (
        error.reason == "Forbidden" and any(words in error.cause for words in _PLAIN)
    )
