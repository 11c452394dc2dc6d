"""dr.yaml as values: a team's own rules, environments, further repos, and what exists outside git."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Struct

from dr.core.errors import ConfigError
from dr.core.model import Basis, Strength
from dr.core.rules.readiness import ReadinessRule
from dr.core.rules.rows import Reference
from dr.core.scan import segments

_ARROW = re.compile(r"\s*(?:→|->)\s*")


class RepoSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A further config repo: where it is, and the revision it is pinned to ("" for its newest)."""

    url: str
    rev: str = ""


class RuleSpec(Struct, frozen=True, forbid_unknown_fields=True, rename={"source": "from"}):
    """A rule in its long form: the referrer's kind, the path to the name, the target's kind."""

    source: str
    path: str
    to: str
    namespace: str = "same"
    strength: Strength = Strength.EXISTS
    reason: str = ""


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The content of dr.yaml; every field is optional."""

    rules: tuple[dict[str, Any], ...] = ()
    envs: dict[str, tuple[str, ...]] = {}
    repos: tuple[RepoSpec, ...] = ()
    provided: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    estimates: dict[str, float] = {}
    supply: tuple[str, ...] = ()
    convert: bool = False
    readiness: tuple[ReadinessRule, ...] = ()
    startup: dict[str, float] = {}
    production: tuple[str, ...] = ()

    def references(self) -> tuple[Reference, ...]:
        """Return the team's rules as rows of the reference table; raises ConfigError on a bad one."""
        return tuple(_rule(row) for row in self.rules)


def parse(body: object, place: str) -> Config:
    """Read the content of a dr.yaml that was found at `place` (file, for messages).

    Raises ConfigError when a field is unknown or of the wrong type, or a rule cannot be understood.
    """
    try:
        config = msgspec.convert(body if body is not None else {}, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{place}: {error}", "see docs/reference/dr-yaml.md for its fields") from None
    try:
        config.references()
    except ConfigError as error:
        raise ConfigError(f"{place}: {error.cause}", error.remedy) from None
    return config


def _rule(row: dict[str, Any]) -> Reference:
    """Return a rule in its short form, `group/version Kind: path → Target`, or its long form."""
    form = "write `group/version Kind: path.to.name → TargetKind`, or from:, path:, to:"
    try:
        if len(row) == 1:
            source, rest = next(iter(row.items()))
            path, target = _ARROW.split(str(rest), maxsplit=1)
            spec = RuleSpec(source, path.strip(), target.strip())
        else:
            spec = msgspec.convert(row, RuleSpec)
        segments(spec.path)
    except (ValueError, msgspec.ValidationError) as error:
        raise ConfigError(f"rules: {row!r} is not a rule: {error}", form) from None
    version, _, kind = spec.source.rpartition(" ")
    group = version.rpartition("/")[0] if "/" in version else ""
    reason = spec.reason or f"names {spec.to} by a rule of dr.yaml:"
    return Reference(
        f"{group}/{kind}" if version else kind,
        spec.path,
        spec.to,
        reason,
        spec.strength,
        Basis.REFERENCE,
        namespace=spec.namespace,
    )
