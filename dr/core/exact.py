"""What goes to the API server for an object of git, and as whose. Pure."""

from __future__ import annotations

from hashlib import sha256
from json import dumps

from dr.core.body import mapping, text
from dr.core.model import Body, Ref, Resource, Unit
from dr.core.rules.engines import CLIENT_ANNOTATIONS, ENGINES, MANAGER, SERVER_FIELDS, Engine

_ENGINES = {engine.unit: engine for engine in ENGINES}
_NONE = Engine("", MANAGER)


def exact(resource: Resource, unit: Unit | None = None, destination: str = "") -> Body:
    """Return the body to apply for an object, with the marks of the engine that deploys `unit`.

    Its namespace is that of its identity, or none. What only a server or a client writes is left out.
    An object with a `generateName` and no name gets a name made of its content, so that applying it
    twice makes one object. destination: the namespace that an Application deploys to, which Argo CD
    puts into the mark of an object without one. `resource` is not changed; all else is as in git.
    """
    metadata = {key: value for key, value in mapping(resource.body, "metadata").items() if key not in SERVER_FIELDS}
    if resource.ref.namespace:
        metadata["namespace"] = resource.ref.namespace
    else:
        metadata.pop("namespace", None)
    annotations = mapping(metadata, "annotations")
    if kept := {key: value for key, value in annotations.items() if key not in CLIENT_ANNOTATIONS}:
        metadata["annotations"] = kept
    elif annotations:
        del metadata["annotations"]
    body = {key: value for key, value in resource.body.items() if key != "status"} | {"metadata": metadata}
    if not metadata.get("name"):
        metadata["name"] = f"{text(metadata, 'generateName')}{_digest(body)}"
    if unit is not None:
        namespace = resource.ref.namespace or text(resource.body, "metadata", "namespace") or destination
        marked = Ref(resource.ref.api_version, resource.ref.kind, namespace, metadata["name"])
        _, *marks = adoption(unit, marked)
        for field, own in zip(("labels", "annotations"), marks, strict=True):
            if own:
                metadata[field] = mapping(metadata, field) | own
    return body


def adoption(unit: Unit, ref: Ref | None = None) -> tuple[str, dict[str, str], dict[str, str]]:
    """Return the field manager, labels and annotations of the engine that deploys a unit.

    With them the engine finds nothing to change. Marks that name the object itself want its `ref`; a
    unit without an owner has none.
    """
    engine = _ENGINES.get(unit.kind, _NONE)
    values = {} if unit.owner is None else {"app": unit.owner.name, "app_namespace": unit.owner.namespace}
    if ref is not None and values:
        values |= {"group": ref.group, "kind": ref.kind, "namespace": ref.namespace, "name": ref.name}
    return engine.manager, _filled(engine.labels, values), _filled(engine.annotations, values)


def _filled(marks: tuple[tuple[str, str], ...], values: dict[str, str]) -> dict[str, str]:
    """Return the marks of which every part is known."""
    filled = {}
    for key, template in marks:
        try:
            filled[key] = template.format_map(values)
        except KeyError:
            continue
    return filled


def _digest(body: Body) -> str:
    return sha256(dumps(body, sort_keys=True, default=str).encode(errors="replace")).hexdigest()[:5]
