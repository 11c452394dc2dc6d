"""Finds the fields of an object that rules name: paths compiled to a trie, one walk for all rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct, field

from dr.core.model import Body, Path
from dr.core.rules.references import POD_SPECS
from dr.core.rules.rows import Reference

_SEGMENT = re.compile(r'\["((?:[^"\\]|\\.)*)"\]|(\[\])|(\{\})|\.?([^.\[\]{}"]+)')
Segment = str | tuple[str]
LIST, MAP, DEEP = ("[]",), ("{}",), ("**",)


class Hit(Struct, frozen=True):
    """A field that a rule names: its text, where it stands, and the mapping (or list) that holds it."""

    rule: Reference
    value: str
    path: Path
    holder: Any


class Trie(Struct):
    """Rules by path. `exact` by key, `suffix` for `*Name` keys, `over` a list or map, `deep` at any depth below."""

    exact: dict[str, Trie] = field(default_factory=dict)
    suffix: list[tuple[str, Trie]] = field(default_factory=list)
    items: Trie | None = None
    values: Trie | None = None
    deep: Trie | None = None
    rules: list[Reference] = field(default_factory=list)


def segments(path: str) -> tuple[Segment, ...]:
    """Split a rule's path.

    Raises ValueError for a path that is not of the rules' language.

    >>> segments('spec.rules[].host["a.b/c"]')
    ('spec', 'rules', ('[]',), 'host', 'a.b/c')
    """
    found: list[Segment] = []
    position = 0
    while position < len(path):
        match = _SEGMENT.match(path, position)
        if match is None:
            raise ValueError(f"not a rule path at column {position + 1}: {path!r}")
        quoted, items, values, plain = match.groups()
        found.append(
            LIST if items else MAP if values else quoted if quoted is not None else DEEP if plain == "**" else plain
        )
        position = match.end()
    if not found:
        raise ValueError("the path is empty")
    return tuple(found)


def compile_rules(rules: Iterable[tuple[str, Reference]]) -> Trie:
    """Build one trie of (full path, rule) pairs."""
    root = Trie()
    for path, rule in rules:
        node = root
        for segment in segments(path):
            node = _child(node, segment)
        node.rules.append(rule)
    return root


def _child(node: Trie, segment: Segment) -> Trie:
    if segment == LIST:
        node.items = node.items or Trie()
        return node.items
    if segment == MAP:
        node.values = node.values or Trie()
        return node.values
    if segment == DEEP:
        node.deep = node.deep or Trie()
        return node.deep
    if isinstance(segment, tuple):
        raise TypeError(f"not a segment of a rule path: {segment!r}")
    if segment.startswith("*"):
        for ending, child in node.suffix:
            if ending == segment[1:]:
                return child
        child = Trie()
        node.suffix.append((segment[1:], child))
        return child
    return node.exact.setdefault(segment, Trie())


def hits(body: Body, trie: Trie) -> Iterator[Hit]:
    """Yield every field of `body` that a rule of `trie` names and that holds text, in document order."""
    yield from _walk(body, (trie,), (), None)


def _walk(value: Any, nodes: tuple[Trie, ...], path: Path, holder: Any) -> Iterator[Hit]:
    if isinstance(value, dict):
        for key, child in value.items():
            if below := _below(nodes, key):
                yield from _walk(child, below, (*path, key), value)
    elif isinstance(value, list):
        below = tuple(n for node in nodes for n in ((node.items,) if node.items else ()))
        deep = tuple(Trie(deep=node.deep) for node in nodes if node.deep)
        if below or deep:
            for index, child in enumerate(value):
                yield from _walk(child, below + deep, (*path, index), value if isinstance(child, str) else holder)
    elif isinstance(value, str) and value:
        for node in nodes:
            for rule in node.rules:
                yield Hit(rule, value, path, holder)


def _below(nodes: tuple[Trie, ...], key: str) -> tuple[Trie, ...]:
    found: list[Trie] = []
    for node in nodes:
        if child := node.exact.get(key):
            found.append(child)
        if node.values:
            found.append(node.values)
        for ending, child in node.suffix:
            if key.endswith(ending) and key != ending:
                found.append(child)
        if node.deep:
            found.extend(_below((node.deep,), key))
            found.append(Trie(deep=node.deep))
    return tuple(found)


class RuleBook:
    """The rules for each kind, compiled when first asked for.

    `rules` hold for the kinds they name; `guesses` for kinds outside `builtin_groups` that no
    row of `rules` covers at the same field.
    """

    def __init__(
        self, rules: Iterable[Reference], guesses: Iterable[Reference], builtin_groups: frozenset[str]
    ) -> None:
        self._rules = tuple(rules)
        self._guesses = tuple(guesses)
        self._builtin = builtin_groups
        self._tries: dict[tuple[str, str], Trie] = {}

    def find(self, group: str, kind: str, body: Body) -> list[Hit]:
        """Return the references in an object, the first rule of a field winning."""
        trie = self._tries.get((group, kind))
        if trie is None:
            trie = self._tries[group, kind] = compile_rules(self._for(group, kind))
        found: list[Hit] = []
        seen: set[Path] = set()
        for hit in sorted(hits(body, trie), key=lambda hit: hit.rule.kind == "?") if trie.deep else hits(body, trie):
            certain = hit.rule.kind != "?"
            if certain or hit.path not in seen:
                found.append(hit)
            seen.add(hit.path)
        return found

    def _for(self, group: str, kind: str) -> Iterator[tuple[str, Reference]]:
        names = {"*", kind, f"{group}/{kind}"}
        pod = POD_SPECS.get(f"{group}/{kind}") or (POD_SPECS.get(kind) if group != "serving.knative.dev" else None)
        for rule in self._rules:
            if rule.kind in names:
                yield rule.path, rule
            elif rule.kind == "@pod" and pod:
                yield f"{pod}.{rule.path}", rule
        if group not in self._builtin and not pod:
            for rule in self._guesses:
                yield rule.path, rule
