"""Takes a Flux repo's declared order out of it: every dependsOn of a Kustomization or HelmRelease."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

KINDS = {"kustomize.toolkit.fluxcd.io": "Kustomization", "helm.toolkit.fluxcd.io": "HelmRelease"}
_SUFFIXES = frozenset({".yaml", ".yml"})


class Owner(NamedTuple):
    """A Flux Kustomization or HelmRelease as it stands in a file; its file may be rendered more than once."""

    file: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


class Declared(NamedTuple):
    """What a file's text declares: `after` names a `kind` by (namespace, name)."""

    after: Owner
    namespace: str
    name: str


Pair = tuple[Owner, Owner]


def strip(text: str) -> tuple[str, list[Declared], list[Owner]]:
    """Return a YAML file's text without any Flux `spec.dependsOn`, what it declared, and the owners in it.

    The rest stays as it was, byte for byte. Raises yaml.YAMLError for a file that cannot be read.
    """
    lines = text.splitlines(keepends=True)
    declared: list[Declared] = []
    owners: list[Owner] = []
    for node in filter(None, yaml.compose_all(text, Loader=yaml.CSafeLoader)):
        body = _value(node)
        kind = KINDS.get(str(body.get("apiVersion")).partition("/")[0]) if isinstance(body, dict) else None
        if not kind or body.get("kind") != kind:
            continue
        meta = body.get("metadata") or {}
        owner = Owner("", kind, meta.get("namespace", ""), str(meta.get("name")))
        owners.append(owner)
        wanted = (body.get("spec") or {}).get("dependsOn") or []
        declared += [Declared(owner, item.get("namespace", owner.namespace), item["name"]) for item in wanted]
        for first, last in _places(node):
            lines[first : last + 1] = [""] * (last + 1 - first)
    return "".join(lines), declared, owners


def _value(node: yaml.Node) -> Any:
    return yaml.constructor.SafeConstructor().construct_document(node)


def _places(document: yaml.Node) -> Iterator[tuple[int, int]]:
    """Yield the first and last line of each spec.dependsOn."""
    for key, value in document.value if isinstance(document, yaml.MappingNode) else ():
        if key.value == "spec" and isinstance(value, yaml.MappingNode):
            for field, wanted in value.value:
                if field.value == "dependsOn":
                    # A block's end is where the next token starts, which is on a later line.
                    yield field.start_mark.line, max(_last_line(wanted), field.start_mark.line)


def _last_line(node: yaml.Node) -> int:
    if isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.line)


def stripped_copy(repo: Path, copy: Path) -> tuple[list[Pair], set[Owner]]:
    """Copy a repo without its declared order; return the declared pairs, before first, and all owners."""
    shutil.copytree(repo, copy, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    declared: list[Declared] = []
    owners: list[Owner] = []
    for path in sorted(copy.rglob("*")):
        if path.suffix not in _SUFFIXES or path.is_symlink() or not path.is_file():
            continue
        try:
            text, found, inside = strip(path.read_text())
        except (yaml.YAMLError, UnicodeDecodeError):
            continue
        file = str(path.relative_to(copy))
        owners += [owner._replace(file=file) for owner in inside]
        declared += [one._replace(after=one.after._replace(file=file)) for one in found]
        if found:
            path.chmod(0o644)
            path.write_text(text)
    pairs = [(before, one.after) for one in declared if (before := _nearest(one, owners))]
    return sorted(set(pairs)), set(owners)


def _nearest(one: Declared, owners: Iterable[Owner]) -> Owner | None:
    """Return the owner that is meant: in the nearest folder, since environments repeat names."""
    named = [o for o in owners if (o.kind, o.name) == (one.after.kind, one.name) and o.namespace in (one.namespace, "")]
    return max(
        named, key=lambda o: (len(os.path.commonpath([f"/{o.file}", f"/{one.after.file}"])), o.file), default=None
    )
