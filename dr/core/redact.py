"""Takes secret values out of what other tools write down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

HIDDEN = "(secret)"
_SHORTEST = 4  # shorter values would take half of every text with them


def secret_values(experiment: Mapping[str, Any], environment: Mapping[str, str]) -> frozenset[str]:
    """Return the values of an experiment's secrets: those written into it, and those it takes from `environment`."""
    return frozenset(v for v in _values(experiment.get("secrets"), environment) if len(v) >= _SHORTEST)


def _values(value: Any, environment: Mapping[str, str]) -> Iterator[str]:
    if isinstance(value, Mapping):
        if value.get("type") == "env":
            yield environment.get(str(value.get("key", "")), "")
            return
        for entry in value.values():
            yield from _values(entry, environment)
    elif isinstance(value, list):
        for entry in value:
            yield from _values(entry, environment)
    elif isinstance(value, str):
        yield value


def redacted(text: str, secrets: frozenset[str]) -> str:
    """Return a text without the secrets, longest first so that none is left in part."""
    for secret in sorted(secrets, key=lambda s: (-len(s), s)):
        text = text.replace(secret, HIDDEN)
    return text


def without_secrets(journal: Any) -> Any:
    """Return a journal of Chaos Toolkit in which every `secrets` is hidden, however deep."""
    if isinstance(journal, Mapping):
        return {
            name: HIDDEN if name == "secrets" and value else without_secrets(value) for name, value in journal.items()
        }
    return [without_secrets(entry) for entry in journal] if isinstance(journal, list) else journal
