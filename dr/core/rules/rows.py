"""The row types of the rule tables. The tables beside this file hold rows only, no code."""

from __future__ import annotations

from msgspec import Struct

from dr.core.model import Basis, Level, Strength


class Reference(Struct, frozen=True):
    """A field that names another object: `kind` + `path` → `to`.

    kind: the referrer, "Kind" of any group, or "group/Kind" ("/Kind" is core); "*" is every kind,
        "@pod" every kind with a pod template (the path then starts inside the pod's spec).
    path: from the object's root to the scalar that is the name; "[]" goes through a list, "{}"
        through a mapping's values, "**" through any depth.
    to: the target's kind, or "" when the sibling field `kind_field` names it.
    group: the target's API group where the kind alone would be ambiguous; None: any.
    namespace: "same"; "cluster"; or the sibling field that holds it (absent: same namespace).
    optional: the sibling field that, when true, makes the edge soft.
    when: (sibling field, value) that must hold for the row to apply.
    missing: whether a target that is nowhere is a finding; soft guesses are not.
    """

    kind: str
    path: str
    to: str
    reason: str
    strength: Strength = Strength.EXISTS
    basis: Basis = Basis.REFERENCE
    group: str | None = None
    namespace: str = "same"
    kind_field: str = "kind"
    optional: str = "optional"
    when: tuple[str, str] | None = None
    missing: bool = True


class Derivation(Struct, frozen=True):
    """An object that a controller makes from one in git.

    `name` is a path to the derived object's name, or a template in which "{}" is the source's own
    name; several are tried in order, the first that yields a name counts.
    `namespaced_by`: a path to the namespace, "" for the source's own.
    """

    kind: str
    to: str
    name: tuple[str, ...]
    reason: str
    group: str = ""
    namespaced_by: str = ""


class Chart(Struct, frozen=True):
    """What a well-known chart brings, since charts stay opaque.

    names: chart names, lower case (the last path segment of an OCI or git chart too).
    crds: API groups whose CRDs it installs. serves: API groups that its controller acts on.
    classes: ("IngressClass" | "StorageClass" | "GatewayClass" | "ClusterRole" | …, name) it creates.
    prerequisites: rows of `prerequisites` by key, for what such a chart needs outside git.
    """

    names: tuple[str, ...]
    crds: tuple[str, ...] = ()
    serves: tuple[str, ...] = ()
    classes: tuple[tuple[str, str], ...] = ()
    prerequisites: tuple[str, ...] = ()


class Removal(Struct, frozen=True):
    """An API version that no cluster serves since `removed` (Kubernetes minor version, "1.22").

    `kinds` empty: every kind of that API version. `instead`: the version to use, "" for none.
    Source: the deprecated API migration guide of Kubernetes.
    """

    api_version: str
    kinds: tuple[str, ...]
    removed: str
    instead: str = ""


class Finding(Struct, frozen=True):
    """A kind of finding: its stable code, level, a title, and why it matters for a cold restore."""

    code: str
    level: Level
    title: str
    help: str
