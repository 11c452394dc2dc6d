"""Documents → resources: lists taken apart, variables filled in, what is no object named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec.structs import replace

from dr.core.body import mapping, text
from dr.core.layout import Deployment, is_object
from dr.core.lines import line_of, slice_lines
from dr.core.model import Body, Diagnostic, Document, Level, Ref, Resource, Where
from dr.core.rules.builtin import CLUSTER_SCOPED, NOT_FOR_A_CLUSTER
from dr.core.substitute import substitute
from dr.core.synthetic import with_metadata


def flatten(document: Document) -> Iterator[Document]:
    """Yield the objects of a document: itself, or the items of a List."""
    body = document.body
    if isinstance(body, dict) and text(body, "kind").endswith("List") and isinstance(body.get("items"), list):
        for index, item in enumerate(body["items"]):
            line = line_of(body, document.lines, ("items", index)) or document.line
            yield from flatten(Document(item, line, slice_lines(body, document.lines, ("items", index))))
    else:
        yield document


def resources(
    deployment: Deployment, documents: Iterable[tuple[Where, Document]], variables: Mapping[str, str]
) -> Iterator[Resource | Diagnostic]:
    """Yield the objects that a deployment applies, and a diagnostic for what looks like one but is not."""
    for where, outer in documents:
        for document in flatten(outer):
            place = replace(where, line=document.line) if document is not outer else where
            body = document.body
            if not isinstance(body, dict) or not for_a_cluster(body):
                continue
            if not is_object(body):
                if "kind" in body and ("apiVersion" in body or "metadata" in body):
                    lacking = (
                        "apiVersion"
                        if not text(body, "apiVersion")
                        else "kind"
                        if not text(body, "kind")
                        else "metadata.name"
                    )
                    yield Diagnostic(
                        place, "not-an-object", Level.INFO, where.file, f"has no {lacking}, so no cluster takes it", ""
                    )
                continue
            if "{{" in text(body, "metadata", "name") + text(body, "kind") + text(body, "apiVersion"):
                yield Diagnostic(
                    place, "template", Level.INFO, where.file, "a template, to be rendered by its own tool", ""
                )
                continue
            if deployment.substitutes:
                body = substitute(body, variables)
            lines = document.lines
            if deployment.labels or deployment.annotations:
                marked = with_metadata(Document(body, document.line, lines), deployment.labels, deployment.annotations)
                body, lines = marked.body, marked.lines
            yield Resource(_ref(deployment, body), place, body, deployment.unit.name, deployment.unit.env, lines)


def for_a_cluster(body: Body) -> bool:
    """Return whether an API server is meant to see this document, and not only a client tool."""
    version, kind = text(body, "apiVersion"), text(body, "kind")
    return not any(version.startswith(prefix) and wanted in ("", kind) for prefix, wanted in NOT_FOR_A_CLUSTER)


def _ref(deployment: Deployment, body: Body) -> Ref:
    metadata = mapping(body, "metadata")
    version, kind = text(body, "apiVersion"), text(body, "kind")
    own = text(metadata, "namespace")
    group = version.rpartition("/")[0]
    if deployment.forced and f"{group}/{kind}" not in CLUSTER_SCOPED:
        namespace = deployment.namespace
    else:
        namespace = own or (deployment.namespace if f"{group}/{kind}" not in CLUSTER_SCOPED else "")
    name = text(metadata, "name") or f"{text(metadata, 'generateName')}*"
    return Ref(version, kind, namespace, name)
