"""Objects of any shape: the rules never raise, and what they say stays in order and free of secrets."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dr.core.graph import Source, build
from dr.core.model import Pin, Ref, Resource, Unit, Where
from dr.core.plan import order
from dr.core.rules.references import GUESSES, POD_SPECS, REFERENCES
from dr.core.scan import segments

_WORDS = st.sampled_from(
    (
        "a",
        "b",
        "default",
        "Secret",
        "ConfigMap",
        "ClusterIssuer",
        "",
        "x/y",
        "${v}",
        "a.b.svc:80",
        "http://a",
        "Fail",
        "*",
        "{{ x }}",
        "-1",
        "Sync",
    )
)
_KEYS = st.sampled_from(
    sorted(
        {part for row in (*REFERENCES, *GUESSES) for part in segments(row.path) if isinstance(part, str)}
        | {
            "kind",
            "name",
            "namespace",
            "rules",
            "subjects",
            "apiGroups",
            "resources",
            "verbs",
            "selector",
            "matchLabels",
            "matchExpressions",
            "operator",
        }
        | {
            "values",
            "names",
            "plural",
            "group",
            "scope",
            "annotations",
            "labels",
            "dependsOn",
            "template",
            "containers",
            "image",
            "env",
            "value",
            "path",
        }
        | {
            "operations",
            "clientConfig",
            "failurePolicy",
            "namespaceSelector",
            "objectSelector",
            "chart",
            "wait",
            "sops",
            "data",
            "type",
            "url",
        }
        | {
            "argocd.argoproj.io/sync-wave",
            "argocd.argoproj.io/hook",
            "dr.dev/depends-on",
            "kapp.k14s.io/change-rule",
            "kapp.k14s.io/change-group",
        }
    )
)
_LEAVES = st.one_of(
    _WORDS, st.none(), st.booleans(), st.integers(-5, 5), st.floats(allow_nan=False, allow_infinity=False)
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=4)),
    max_leaves=12,
)
_KINDS = st.sampled_from(
    sorted(
        {tuple(row.kind.rpartition("/")[::2]) for row in REFERENCES if "/" in row.kind}
        | {("apps", kind) for kind in POD_SPECS if "/" not in kind}
        | {
            ("", "Namespace"),
            ("", "Secret"),
            ("", "Service"),
            ("networking.k8s.io", "Ingress"),
            ("acme.example", "Widget"),
            ("bitnami.com", "SealedSecret"),
        }
        | {
            ("apiextensions.k8s.io", "CustomResourceDefinition"),
            ("rbac.authorization.k8s.io", "ClusterRole"),
            ("argoproj.io", "Application"),
        }
        | {
            ("policy", "PodDisruptionBudget"),
            ("monitoring.coreos.com", "ServiceMonitor"),
            ("cert-manager.io", "Certificate"),
        }
    )
)


@st.composite
def resources(draw: st.DrawFn) -> Resource:
    """Draw an object: a known kind, its usual fields at random places, holding anything."""
    group, kind = draw(_KINDS)
    version = f"{group}/v1" if group else "v1"
    name, namespace = draw(st.sampled_from("abc")), draw(st.sampled_from(("", "default", "x")))
    body: dict[str, Any] = {"apiVersion": version, "kind": kind, "metadata": {"name": name}}
    body.update(draw(st.dictionaries(_KEYS, _VALUES, max_size=4)))
    for row in draw(st.lists(st.sampled_from(REFERENCES), max_size=3)):
        _plant(body, f"{POD_SPECS.get(kind, 'spec')}.{row.path}" if row.kind == "@pod" else row.path, draw(_VALUES))
    unit = draw(st.sampled_from(("u", "v", "v:w")))
    return Resource(
        Ref(version, kind, namespace, name),
        Where(f"{draw(st.integers(0, 3))}0-f.yaml", 1),
        body,
        unit,
        draw(st.sampled_from(("", "e"))),
    )


def _plant(body: Any, path: str, value: Any) -> None:
    for part in segments(path)[:-1]:
        if not isinstance(body, dict) or not isinstance(part, str):
            return
        body = body.setdefault(part, {})
    if isinstance(body, dict):
        body[str(segments(path)[-1])] = value


@given(st.lists(resources(), max_size=8))
@settings(max_examples=200)
def test_objects_of_any_shape_give_a_graph_and_an_order(found: list[Resource]) -> None:
    owner = next((r.ref for r in found if r.ref.kind == "Kustomization"), None)
    units = (Unit("u", "folder", "u"), Unit("v", "Kustomization", "v", owner=owner))
    source = Source(tuple(found), units, pins=(Pin("p", "/p"),))
    graph = build(source)
    plan = order(graph)
    assert all(before < index for index, step in enumerate(plan.steps) for before in step.after)
    assert graph == build(Source(tuple(reversed(found)), units, pins=(Pin("p", "/p"),)))
