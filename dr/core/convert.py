"""Conversion of objects whose API version is gone into one that today's clusters serve. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from json import dumps
from typing import Any

from msgspec import Struct

from dr.core.body import get, items, mapping, text
from dr.core.model import Body, Where
from dr.core.rules.conversions import (
    CONVERSIONS,
    DEFAULTS,
    DROPPED,
    METRIC_FIELDS,
    METRIC_TYPES,
    ROLLOUT,
    TOPOLOGY,
    VERSION_FIELDS,
)
from dr.core.scan import LIST, Segment, segments

_TABLE = {
    (version, kind): (new, transform)
    for versions, kinds, new, transform in CONVERSIONS
    for version in versions.split()
    for kind in kinds.split()
}
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_INT_OR_STRING = "x-kubernetes-int-or-string"
_EVERY_OBJECT = {"apiVersion": "string", "kind": "string", "metadata": "object"}


class Converted(Struct, frozen=True):
    """An object in the API version `to`; `notes` say for people what was filled in or left out, and where."""

    body: Body
    to: str
    notes: tuple[str, ...] = ()


def convert(body: Body, where: Where) -> Converted | None:
    """Return an object in a version that is still served, meaning the same; None where there is nothing to do.

    where: its place, for the notes. `body` is not changed; what is of another shape than its version
    has is left as it is, for the API server to refuse. Source: Kubernetes' deprecated API migration guide.
    """
    old, kind = text(body, "apiVersion"), text(body, "kind")
    found = _TABLE.get((old, kind))
    if found is None:
        return None
    to, transform = found
    new = {**deepcopy({key: value for key, value in body.items() if key != "status"}), "apiVersion": to}
    notes = [*_dropped(new, old), *_defaults(new, old)]
    if transform:
        notes += TRANSFORMS[transform](new, old)
    subject = f"{where}: {kind} {text(body, 'metadata', 'name')}"
    return Converted(new, to, tuple(f"{subject}: {note}" for note in notes))


def _dropped(body: Body, old: str) -> Iterator[str]:
    for version, kind, path in DROPPED:
        *parents, last = path.split(".")
        if (version, kind) == (old, body["kind"]) and mapping(body, *parents).pop(last, None) is not None:
            yield f"{path} is left out: {body['apiVersion']} has no such field"


def _defaults(body: Body, old: str) -> Iterator[str]:
    for version, kind, path, value in DEFAULTS:
        if (version, kind) == (old, body["kind"]):
            yield from _filled(body, old, path, value)


def _filled(body: Body, old: str, path: str, value: Any) -> Iterator[str]:
    if _fill(body, segments(path), value):
        yield f"{path.replace('?', '')} is {dumps(value)}, as {old} took it where nothing was said"


def _fill(at: Any, path: tuple[Segment, ...], value: Any) -> int:
    """Set a field wherever it is missing; return in how many places it was."""
    head, *rest = path
    if head == LIST:
        return sum(_fill(item, tuple(rest), value) for item in at) if isinstance(at, list) else 0
    if not isinstance(at, dict) or not isinstance(head, str):
        return 0
    name = head.removesuffix("?")
    if not rest:
        if at.get(name) not in (None, "", []):
            return 0
        at[name] = deepcopy(value)
        return 1
    if at.get(name) is None:
        if name != head or LIST in rest:
            return 0
        at[name] = {}
    return _fill(at[name], tuple(rest), value)


def _move(source: dict[str, Any], field: str, target: dict[str, Any], name: str) -> None:
    """Move a field, unless its new place is taken."""
    if field in source:
        value = source.pop(field)
        target.setdefault(name, value)


def _maps(body: Any, *keys: str) -> list[dict[str, Any]]:
    return [item for item in items(body, *keys) if isinstance(item, dict)]


def _workload(body: Body, old: str) -> Iterator[str]:
    spec = mapping(body, "spec")
    labels = mapping(spec, "template", "metadata", "labels")
    if not spec.get("selector") and labels:
        spec["selector"] = {"matchLabels": dict(labels)}
        yield "spec.selector is taken from the labels of its template"
    if (old, body["kind"], get(spec, "strategy", "type")) == ("extensions/v1beta1", "Deployment", "RollingUpdate"):
        for path, value in ROLLOUT:
            yield from _filled(body, old, path, value)


def _ingress(body: Body, _: str) -> tuple[()]:
    spec = mapping(body, "spec")
    if "backend" in spec:
        spec.setdefault("defaultBackend", _backend(spec.pop("backend")))
    for rule in _maps(spec, "rules"):
        for path in _maps(rule, "http", "paths"):
            if "backend" in path:
                path["backend"] = _backend(path["backend"])
    return ()


def _backend(old: Any) -> Any:
    if not isinstance(old, dict) or not {"serviceName", "servicePort"} & old.keys():
        return old
    new = {key: value for key, value in old.items() if key not in ("serviceName", "servicePort")}
    new["service"] = {"name": old.get("serviceName")}
    if (port := old.get("servicePort")) is not None:
        number = int(port) if isinstance(port, str) and port.isascii() and port.isdecimal() else port
        new["service"]["port"] = {"name": number} if isinstance(number, str) else {"number": number}
    return new


def _webhooks(body: Body, old: str) -> Iterator[str]:
    for hook in _maps(body, "webhooks"):
        effects = hook.get("sideEffects") or "Unknown"
        if effects not in ("None", "NoneOnDryRun"):
            hook["sideEffects"] = "None"
            yield (
                f'sideEffects of webhook "{text(hook, "name")}" is None: {old} had {effects}, which v1 refuses; '
                "see that a dry run changes nothing"
            )


def _definition(body: Body, old: str) -> Iterator[str]:
    spec = mapping(body, "spec")
    if not spec.get("versions"):
        spec["versions"] = [{"name": spec.get("version"), "served": True, "storage": True}]
    spec.pop("version", None)
    for field, name in VERSION_FIELDS:
        common = spec.pop(field, None)
        for version in _maps(spec, "versions"):
            if common and not version.get(name):
                version[name] = deepcopy(common)
    preserve = spec.pop("preserveUnknownFields", None) is not False
    for version in _maps(spec, "versions"):
        for column in _maps(version, "additionalPrinterColumns"):
            _move(column, "JSONPath", column, "jsonPath")
        schema = mapping(version, "schema", "openAPIV3Schema")
        if schema:
            _make_structural(schema, preserve)
        else:
            version["schema"] = {"openAPIV3Schema": {"type": "object", _PRESERVE: True}}
            yield f'version "{text(version, "name")}" has no schema: any field is taken'
    if preserve:
        yield f"fields that its schema does not know are kept ({_PRESERVE}), as {old} kept them"
    yield from _conversion(mapping(spec, "conversion"), old)
    if f".{text(spec, 'group')}".endswith((".k8s.io", ".kubernetes.io")):
        yield from _approval(body)


def _conversion(conversion: dict[str, Any], old: str) -> Iterator[str]:
    client, reviews = (conversion.pop(field, None) for field in ("webhookClientConfig", "conversionReviewVersions"))
    if conversion.get("strategy") == "Webhook" and "webhook" not in conversion:
        conversion["webhook"] = {"clientConfig": client, "conversionReviewVersions": reviews or ["v1beta1"]}
        if not reviews:
            yield f'spec.conversion.webhook.conversionReviewVersions is ["v1beta1"], as {old} took it'


def _approval(body: Body) -> Iterator[str]:
    key = "api-approved.kubernetes.io"
    if not mapping(body, "metadata", "annotations").get(key) and isinstance(body.get("metadata"), dict):
        body["metadata"]["annotations"] = {
            **mapping(body, "metadata", "annotations"),
            key: "unapproved, converted from v1beta1",
        }
        yield f"annotation {key} is filled in: v1 wants one for a group of Kubernetes"


def _make_structural(schema: dict[str, Any], preserve: bool) -> None:
    """Give each part of a schema the type that v1 wants. preserve: let each object have fields that it does not name.

    Source: the rules for structural schemas in Kubernetes' documentation of CustomResourceDefinitions.
    """
    stack = [(schema, True)]
    while stack:
        node, top = stack.pop()
        _give_type(node, top)
        properties = mapping(node, "properties")
        if preserve and node.get("type") == "object" and (top or properties):
            node[_PRESERVE] = True
        for name, child in properties.items():
            if isinstance(child, dict) and top and name in _EVERY_OBJECT:
                child.setdefault("type", _EVERY_OBJECT[name])
            elif isinstance(child, dict):
                stack.append((child, False))
        stack.extend((child, False) for key in ("items", "additionalProperties") if (child := mapping(node, key)))


def _give_type(node: dict[str, Any], top: bool) -> None:
    kinds = sorted(text(option, "type") for option in items(node, "anyOf"))
    either = kinds == ["integer", "string"]
    if either or node.get("format") == "int-or-string":
        node.pop("type", None)
        node[_INT_OR_STRING] = True
    elif not node.get("type") and not node.get(_INT_OR_STRING):
        node.pop("type", None)
        if top or node.get("properties") or node.get("additionalProperties"):
            node["type"] = "object"
        elif isinstance(node.get("items"), dict):
            node["type"] = "array"
        else:
            node[_PRESERVE] = True
    if either:  # the only order that v1 takes
        node["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if node.get("type") == "array":
        node.setdefault("items", {_PRESERVE: True})


def _autoscaler(body: Body, old: str) -> Iterator[str]:
    target = mapping(body, "spec", "scaleTargetRef")
    version = text(target, "apiVersion")
    if moved := _TABLE.get((version, text(target, "kind"))):
        target["apiVersion"] = moved[0]
        yield f"spec.scaleTargetRef.apiVersion is {moved[0]}: {version} is gone, too"
    if not old.endswith("/v2beta1"):
        return
    for metric in _maps(body, "spec", "metrics"):
        for source, fields in METRIC_FIELDS.items():
            if isinstance(metric.get(source), dict):
                metric[source] = _metric(metric[source], fields)


def _metric(old: dict[str, Any], fields: dict[str, tuple[str, str]]) -> dict[str, Any]:
    new = {("describedObject" if key == "target" else key): value for key, value in old.items() if key not in fields}
    for field, (group, name) in fields.items():
        if old.get(field) is not None:
            new.setdefault(group, {})[name] = old[field]
    target = mapping(new, "target")
    for name, kind in METRIC_TYPES:
        if name in target:
            new["target"] = {"type": kind, name: target[name]}
            break
    return new


def _endpoints(body: Body, _: str) -> Iterator[str]:
    if body.get("addressType") in (None, "", "IP"):
        body["addressType"] = "IPv4"
        yield "addressType is IPv4"
    for endpoint in _maps(body, "endpoints"):
        topology = mapping(endpoint, "topology")
        endpoint.pop("topology", None)
        for key, name in TOPOLOGY:
            if key in topology:
                endpoint.setdefault(name, topology[key])


def _priority_level(body: Body, _: str) -> tuple[()]:
    limited = mapping(body, "spec", "limited")
    _move(limited, "assuredConcurrencyShares", limited, "nominalConcurrencyShares")
    return ()


def _service_cidr(body: Body, _: str) -> tuple[()]:
    spec = mapping(body, "spec")
    ranges = [spec.pop(family, None) for family in ("ipv4", "ipv6")]
    if not spec.get("cidrs") and any(ranges):
        spec["cidrs"] = [one for one in ranges if one]
    return ()


def _runtime_class(body: Body, _: str) -> tuple[()]:
    spec = mapping(body, "spec")
    body.pop("spec", None)
    for field, name in (("runtimeHandler", "handler"), ("overhead", "overhead"), ("scheduling", "scheduling")):
        _move(spec, field, body, name)
    return ()


def _disruption_budget(body: Body, old: str) -> Iterator[str]:
    spec = mapping(body, "spec")
    if "selector" in spec and not any(mapping(spec, "selector").values()):
        del spec["selector"]
        yield f"its empty spec.selector is left out: it chose no pod in {old}, and would choose every pod in policy/v1"


def _subjects(body: Body, _: str) -> Iterator[str]:
    for subject in _maps(body, "subjects"):
        group = text(subject, "apiVersion").rpartition("/")[0]
        subject.pop("apiVersion", None)
        if subject.get("kind") == "User" and subject.get("name") == "*":
            subject.update(kind="Group", name="system:authenticated")
            yield 'the subject User "*" is the Group system:authenticated'
        if group and subject.get("kind") != "ServiceAccount":
            subject.setdefault("apiGroup", group)


TRANSFORMS: dict[str, Callable[[Body, str], Iterable[str]]] = {
    "autoscaler": _autoscaler,
    "definition": _definition,
    "disruption-budget": _disruption_budget,
    "endpoints": _endpoints,
    "ingress": _ingress,
    "priority-level": _priority_level,
    "runtime-class": _runtime_class,
    "service-cidr": _service_cidr,
    "subjects": _subjects,
    "webhooks": _webhooks,
    "workload": _workload,
}
