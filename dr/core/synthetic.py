"""What GitOps engines change in a folder before they apply it: their fields → a kustomization, and metadata. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping
from posixpath import normpath
from typing import Any

from msgspec import Struct

from dr.core.body import items, mapping, text
from dr.core.kustomization import as_json
from dr.core.lines import line_of, size
from dr.core.model import Body, Document, Where

Pairs = tuple[tuple[str, str], ...]
Part = tuple[str, tuple[str, ...], tuple[str, ...]]  # sub-folder, overlays, files

_WIDTH = 4  # of a number in `Document.lines`
_IMAGE = ("name", "newName", "newTag", "digest")
# Items of these lists take the place of the one with their name; those of other lists are appended.
_NAMED = frozenset({"images", "replicas"})
# [name=]name[:tag][@digest], as `kustomize edit set image` takes it.
_SET_IMAGE = re.compile(
    r"(?:(?P<name>[^=@]+)=)?(?P<new>[^=@]+?)(?::(?P<tag>[\w.-]+|\*))?(?:@(?P<digest>[\w:.+-]+|\*))?", re.ASCII
)


class Edit(Struct, frozen=True):
    """A folder whose kustomization an engine changes, or makes, before it builds it.

    file: the kustomization, in the repo or (`generated`) not. made: what the engine makes of it, as JSON.
    where, subject: the object that asks for it. parts: for files of its sub-units, which one.
    """

    folder: str
    file: str
    made: str
    where: Where
    subject: str
    parts: Mapping[str, str] = {}

    @property
    def key(self) -> str:
        """What stands for the result among the overlays of a repo; no folder is called so."""
        return f"{self.folder}\0{self.made}"


def flux_fields(spec: Body, folder: str, folders: Container[str]) -> Body:
    """Return what a Flux Kustomization adds to the kustomization of its folder, in kustomize's own fields.

    folders: those of the repo, for `ignoreMissingComponents`. Source: kustomize-controller v1, which
    edits the folder's kustomization.yaml itself: no overlay goes on top of it.
    """
    fields = {
        "namespace": text(spec, "targetNamespace"),
        "namePrefix": text(spec, "namePrefix"),
        "nameSuffix": text(spec, "nameSuffix"),
        "patches": _picked(spec, "patches", ("patch", "target")),
        "components": _components(spec, folder, folders),
        "patchesStrategicMerge": [
            patch if isinstance(patch, str) else as_json(patch) for patch in items(spec, "patchesStrategicMerge")
        ],
        "patchesJson6902": [
            item | {"patch": operations if isinstance(operations := item.get("patch"), str) else as_json(operations)}
            for item in _picked(spec, "patchesJson6902", ("patch", "target"))
        ],
        "images": _picked(spec, "images", _IMAGE),
    }
    return {field: value for field, value in fields.items() if value}


def argo_fields(options: Body, folder: str, folders: Container[str]) -> Body:
    """Return what `source.kustomize` of an Argo CD Application adds to the kustomization of its folder.

    Source: Argo CD calls `kustomize edit` for each of its options in that folder, and appends patches itself.
    """
    labels = mapping(options, "commonLabels")
    apart = bool(options.get("labelWithoutSelector")) and bool(labels)
    pairs: Body = {"pairs": labels, "includeSelectors": False}
    if options.get("labelIncludeTemplates"):
        pairs["includeTemplates"] = True
    fields = {
        "namespace": text(options, "namespace"),
        "namePrefix": text(options, "namePrefix"),
        "nameSuffix": text(options, "nameSuffix"),
        "images": list(filter(None, map(_image, items(options, "images")))),
        "replicas": [
            item | {"count": int(count)}
            for item in _picked(options, "replicas", ("name", "count"))
            if (count := str(item.get("count"))).isdecimal()
        ],
        "commonLabels": {} if apart else labels,
        "labels": [pairs] if apart else [],
        "commonAnnotations": mapping(options, "commonAnnotations"),
        "patches": _picked(options, "patches", ("path", "patch", "target", "options")),
        "components": _components(options, folder, folders),
    }
    return {field: value for field, value in fields.items() if value}


def generated(
    folder: str, parts: Iterable[Part], files_of: Callable[[str], Iterable[str]]
) -> tuple[Body, dict[str, str]]:
    """Return the kustomization that Flux makes for a folder without one, and the sub-folder of each file it reads.

    parts: by sub-folder the overlays, of which `files_of` tells what they read, and files of objects.
    """
    parts = list(parts)
    entries = sorted(entry for _, overlays, files in parts for entry in (*overlays, *files))
    origin = {file: part for part, overlays, _ in parts for overlay in overlays for file in files_of(overlay)}
    origin |= {file: part for part, _, files in parts for file in files}
    return {"resources": [f"./{entry[len(folder) :].lstrip('/')}" for entry in entries]}, origin


def merged(kustomization: Body, fields: Body) -> Body:
    """Return a kustomization with an engine's fields: texts replace, maps and lists are added to.

    An image or replica takes the place of the one with its name; `*` in it stands for what was there.
    """
    result = dict(kustomization)
    written = {key.casefold(): key for key in kustomization}
    for field, value in fields.items():
        key = written.get(field.casefold(), field)
        if isinstance(value, dict):
            result[key] = mapping(kustomization, key) | value
        elif not isinstance(value, list):
            result[key] = value
        elif field in _NAMED:
            result[key] = _replaced(items(kustomization, key), value)
        else:
            old = items(kustomization, key)
            result[key] = [*old, *(item for item in value if not isinstance(item, str) or item not in old)]
    return result


def with_metadata(document: Document, labels: Pairs, annotations: Pairs) -> Document:
    """Return an object with further labels and annotations, which win over its own; lines of its fields stay known."""
    body, lines = document.body, document.lines
    for field, pairs in (("labels", labels), ("annotations", annotations)):
        if not pairs:
            continue
        metadata = mapping(body, "metadata")
        old = mapping(metadata, field)
        new = sum(key not in old for key, _ in pairs)
        if lines:
            at = ("metadata", field) if field in metadata else ("metadata",)
            new += at == ("metadata",)
            line = line_of(body, lines, at) or document.line
            end = _end(body, at) * _WIDTH
            lines = lines[:end] + line.to_bytes(_WIDTH, "little") * new + lines[end:]
        body = body | {"metadata": metadata | {field: old | dict(pairs)}}
    return Document(body, document.line, lines)


def pairs_of(values: Mapping[str, Any]) -> Pairs:
    """Return a map of texts as sorted pairs."""
    return tuple(sorted((str(key), str(value)) for key, value in values.items()))


def _end(body: Body, path: tuple[str, ...]) -> int:
    """Return how many entries stand before the end of the value at `path`, in preorder."""
    position, value = 0, body
    for part in path:
        for key, entry in value.items():
            position += 1
            if key == part:
                value = entry
                break
            position += size(entry)
    return position + size(value)


def _components(options: Body, folder: str, folders: Container[str]) -> list[str]:
    lenient = bool(options.get("ignoreMissingComponents"))
    named = [entry for entry in items(options, "components") if isinstance(entry, str)]
    return [entry for entry in named if not lenient or normpath(f"{folder}/{entry}".lstrip("/")) in folders]


def _picked(body: Body, field: str, keys: tuple[str, ...]) -> list[Body]:
    """Return the mappings of a list with these keys only, as kustomize refuses any other."""
    return [
        {key: item[key] for key in keys if item.get(key) is not None}
        for item in items(body, field)
        if isinstance(item, dict)
    ]


def _image(entry: object) -> Body:
    match = _SET_IMAGE.fullmatch(entry) if isinstance(entry, str) else None
    if not match:
        return {}
    name, new, tag, digest = match.group("name", "new", "tag", "digest")
    found = {"name": name or new, "newName": new if name else None, "newTag": tag, "digest": digest}
    return {key: value for key, value in found.items() if value}


def _replaced(old: list[Any], new: list[Body]) -> list[Any]:
    known = {text(item, "name"): item for item in old if isinstance(item, dict)}
    fresh = {text(item, "name"): item for item in new}
    for name, item in fresh.items():
        filled = {key: mapping(known, name).get(key) if value == "*" else value for key, value in item.items()}
        fresh[name] = {key: value for key, value in filled.items() if value is not None}
    return [*(fresh.pop(text(item, "name"), item) for item in old), *fresh.values()]
