"""Reading the body of an object: parts that may be missing or of another shape, and names of its kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from dr.core.scan import LIST, MAP, Segment

# Kinds that moved out of `extensions`; an object found under either group is the same object.
_MOVED = {"Ingress": "networking.k8s.io", "NetworkPolicy": "networking.k8s.io", "PodSecurityPolicy": "policy"}


def home_group(group: str, kind: str) -> str:
    """Return the API group that a kind lives in today: `extensions/Deployment` is `apps/Deployment`."""
    return _MOVED.get(kind, "apps") if group == "extensions" else group


def plural(kind: str) -> str:
    """Return the resource name that kubebuilder and client-go guess for a kind.

    >>> plural("Policy"), plural("Gateway"), plural("Ingress")
    ('policies', 'gateways', 'ingresses')
    """
    lower = kind.lower()
    if lower.endswith("y") and lower[-2:-1] not in "aeiou":
        return f"{lower[:-1]}ies"
    return f"{lower}es" if lower.endswith(("s", "x", "ch", "sh")) else f"{lower}s"


def dig(value: Any, path: Iterable[Segment | int]) -> Iterator[Any]:
    """Yield what stands at a rule path below `value`; nothing where a part is missing."""
    values = [value]
    for segment in path:
        if segment == LIST:
            values = [item for value in values if isinstance(value, list) for item in value]
        elif segment == MAP:
            values = [item for value in values if isinstance(value, dict) for item in value.values()]
        else:
            values = [value[segment] for value in values if isinstance(value, dict) and segment in value]
    yield from values


def get(body: Any, *keys: str) -> Any:
    """Return `body[a][b]…`, or None where a part is missing or of another shape."""
    for key in keys:
        if not isinstance(body, dict):
            return None
        body = body.get(key)
    return body


def mapping(body: Any, *keys: str) -> dict[str, Any]:
    """Return the mapping at `keys`, or an empty one."""
    found = get(body, *keys)
    return found if isinstance(found, dict) else {}


def items(body: Any, *keys: str) -> list[Any]:
    """Return the list at `keys`, or an empty one."""
    found = get(body, *keys)
    return found if isinstance(found, list) else []


def text(body: Any, *keys: str) -> str:
    """Return the text at `keys`, or ""."""
    found = get(body, *keys)
    return found if isinstance(found, str) else ""
