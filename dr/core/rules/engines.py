"""How each GitOps engine marks what it applies, and what no engine applies."""

from __future__ import annotations

from msgspec import Struct


class Engine(Struct, frozen=True):
    """The marks of an engine on its objects, so that it takes a restored object for its own.

    unit: the kind of the unit that it deploys. labels, annotations: (key, value) with `{app}` and `{app_namespace}`
    for the unit's owner and `{group}`, `{kind}`, `{namespace}`, `{name}` for the object.
    """

    unit: str
    manager: str
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()


# Source: kustomize-controller v1; Argo CD 3, resource tracking by annotation.
ENGINES: tuple[Engine, ...] = (
    Engine(
        "Kustomization",
        "kustomize-controller",
        labels=(
            ("kustomize.toolkit.fluxcd.io/name", "{app}"),
            ("kustomize.toolkit.fluxcd.io/namespace", "{app_namespace}"),
        ),
    ),
    Engine(
        "Application",
        "argocd-controller",
        annotations=(("argocd.argoproj.io/tracking-id", "{app}:{group}/{kind}:{namespace}/{name}"),),
    ),
)

# The field manager for what no engine deploys.
MANAGER = "dr"

# Fields of metadata that the API server fills in.
SERVER_FIELDS: frozenset[str] = frozenset(
    {"creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"}
)

# Annotations that mean something to a client only.
CLIENT_ANNOTATIONS: frozenset[str] = frozenset(
    {"config.kubernetes.io/local-config", "kubectl.kubernetes.io/last-applied-configuration"}
)
