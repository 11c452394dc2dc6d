"""What a kustomization may read, field by field, and what keeps an entry from being followed."""

from __future__ import annotations

from typing import Literal

from dr.core.model import Level

# any: a file or a folder with a kustomization. file: one file. keyed: a file, or key=file.
# patch, plugin: a file, or YAML written inline. chart: something for helm.
Takes = Literal["any", "file", "keyed", "patch", "plugin", "chart"]

# Source: the types Kustomization, GeneratorArgs, Patch, Replacement and HelmChart of kustomize 5.
ENTRIES: tuple[tuple[str, Takes], ...] = (
    ("resources[]", "any"),
    ("bases[]", "any"),
    ("components[]", "any"),
    ("crds[]", "file"),
    ("configurations[]", "file"),
    ("openapi.path", "file"),
    ("patches[]", "file"),
    ("patches[].path", "file"),
    ("patchesJson6902[].path", "file"),
    ("patchesStrategicMerge[]", "patch"),
    ("replacements[].path", "file"),
    ("configMapGenerator[].files[]", "keyed"),
    ("configMapGenerator[].envs[]", "file"),
    ("configMapGenerator[].env", "file"),
    ("secretGenerator[].files[]", "keyed"),
    ("secretGenerator[].envs[]", "file"),
    ("secretGenerator[].env", "file"),
    ("generators[]", "plugin"),
    ("transformers[]", "plugin"),
    ("validators[]", "plugin"),
    ("helmCharts[].valuesFile", "file"),
    ("helmCharts[].additionalValuesFiles[]", "file"),
    ("helmChartInflationGenerator[].values", "file"),
    ("helmCharts", "chart"),
    ("helmChartInflationGenerator", "chart"),
)

# The same for the configuration of a plugin, relative to the kustomization that names it.
PLUGIN_ENTRIES: tuple[tuple[str, Takes], ...] = (
    ("path", "file"),
    ("paths[]", "patch"),
    ("files[]", "keyed"),
    ("envs[]", "file"),
    ("env", "file"),
    ("replacements[].path", "file"),
)

# Plugins that are part of kustomize and run nothing else; HelmChartInflationGenerator is none of these.
BUILTIN_PLUGINS: frozenset[str] = frozenset(
    {
        "AnnotationsTransformer",
        "ConfigMapGenerator",
        "HashTransformer",
        "ImageTagTransformer",
        "LabelTransformer",
        "NamespaceTransformer",
        "PatchJson6902Transformer",
        "PatchStrategicMergeTransformer",
        "PatchTransformer",
        "PrefixSuffixTransformer",
        "PrefixTransformer",
        "ReplacementTransformer",
        "ReplicaCountTransformer",
        "SecretGenerator",
        "SortOrderTransformer",
        "SuffixTransformer",
    }
)

# With no other field than these, a kustomization changes nothing in what it lists.
PLAIN_FIELDS: frozenset[str] = frozenset({"apiVersion", "kind", "metadata", "resources", "bases"})

# Every way to write an address: a scheme, git::, gh:, user@host, github.com, host.tld/…//…, ….git, …?ref=, …/_git/….
REMOTE = (
    r"[a-z][a-z0-9+.-]*://|git::|gh:|[\w.-]+@[\w.-]+[:/]|(www\.)?github\.com[:/]"
    r"|[\w-]+(\.[\w-]+)+(:\d+)?[:/].*(\.git(/|\?|$)|//|\?(ref|version|timeout|submodules)=|/_git/)"
)

_FIX = "correct the kustomization; kubectl kustomize shows when it is right"

# Code → level, and what to do about it.
PROBLEMS: dict[str, tuple[Level, str]] = {
    "overlay-cycle": (Level.ERROR, "take one of these entries out"),
    "overlay-failed": (Level.ERROR, _FIX),
    "overlay-missing-path": (Level.ERROR, "add it to the repo, or take the entry out"),
    "overlay-outside": (Level.ERROR, "move it into the repo; a clone of this repo alone cannot be built"),
    "overlay-plugin": (
        Level.WARNING,
        "render it once and keep the result in git; until then its effect is left out",
    ),
    "overlay-remote": (Level.WARNING, "vendor it, or give the repo that holds it as a further REPO"),
}
