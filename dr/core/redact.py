"""Takes secret values out of what other tools write down, and out of what people have typed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from json import dumps
from typing import Any

HIDDEN = "(secret)"
_SHORTEST = 4  # shorter values would take half of every text with them
_LINE = 16  # a line of a secret that is as long as this may stand by itself
_GIVEN = "--with"
# A setting that is called just `secret` or `key` names a Secret of Kubernetes.
_TELLING = re.compile(
    r"(.*[-_.])?(token|pass(word|wd|phrase)?|pwd|pin|credentials?|auth(orization)?|bearer|dsn"
    r"|(api|access|private|signing|encryption|client)[-_]?key)|.+[-_.]secret",
    re.IGNORECASE,
)


def secret_values(experiment: Mapping[str, Any], environment: Mapping[str, str]) -> frozenset[str]:
    """Return the values of an experiment's secrets: those written into it, and those it takes from `environment`.

    Each also as JSON and Python write it, and the longer lines of one that has several: so it stands in logs.
    """
    values = {v for v in _values(experiment.get("secrets"), environment) if len(v) >= _SHORTEST}
    escaped = {form for v in values for form in (dumps(v)[1:-1], dumps(v, ensure_ascii=False)[1:-1], repr(v)[1:-1])}
    lines = {line.strip() for v in values for line in v.splitlines()}
    return frozenset(values | escaped | {line for line in lines if len(line) >= _LINE})


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


def without_secrets(journal: Any, secrets: frozenset[str] = frozenset()) -> Any:
    """Return a journal of Chaos Toolkit in which every `secrets` is hidden, however deep, and so is each secret value.

    Before it is written: as JSON a value with quotes or line ends does not look like itself.
    """
    if isinstance(journal, Mapping):
        return {
            redacted(str(name), secrets): HIDDEN if name == "secrets" and value else without_secrets(value, secrets)
            for name, value in journal.items()
        }
    if isinstance(journal, list):
        return [without_secrets(entry, secrets) for entry in journal]
    return redacted(journal, secrets) if isinstance(journal, str) else journal


def masked(argv: Sequence[str]) -> tuple[str, ...]:
    """Return the words of a command line without the values of settings (`--with NAME=VALUE`) that sound secret.

    >>> masked(["--with", "token=hunter2", "--with=namespace=shop"])
    ('--with', 'token=(secret)', '--with=namespace=shop')
    """
    found: list[str] = []
    for before, word in zip(("", *argv), argv, strict=False):
        option, _, joined = word.partition("=")
        if before == _GIVEN:
            found.append(_masked(word))
        else:
            found.append(f"{option}={_masked(joined)}" if option == _GIVEN and joined else word)
    return tuple(found)


def telling(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings whose names sound secret."""
    return {name: value for name, value in settings.items() if _TELLING.fullmatch(name)}


def showable(settings: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as they may be shown: of those that were `given`, none that sounds secret."""
    return {**settings, **dict.fromkeys(telling(given), HIDDEN)}


def _masked(setting: str) -> str:
    name, equals, _ = setting.partition("=")
    return f"{name}={HIDDEN}" if equals and _TELLING.fullmatch(name) else setting
