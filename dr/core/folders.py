"""Paths of a repo: environments, charts and tools that show in them, and the arithmetic of folders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from posixpath import dirname, normpath

from dr.core.rules.layouts import CHART_PARTS, ENV_NAMES, ENV_PARENTS, PROVISIONING, RELEASES, TOOL_FOLDERS

RELEASE = re.compile(RELEASES)
_PROVISIONING = re.compile(PROVISIONING)


def env_of(path: str, named: Mapping[str, Iterable[str]]) -> str:
    """Return the environment that a file belongs to, "" for none.

    named: folders by environment from dr.yaml; where a team names any, nothing else is guessed.
    """
    for env, prefixes in named.items():
        if any(path == prefix.rstrip("/") or path.startswith(prefix.rstrip("/") + "/") for prefix in prefixes):
            return env
    if named:
        return ""
    if match := RELEASE.match(path) or _PROVISIONING.match(path):
        return match["env"]
    parts = path.split("/")[:-1]
    for parent, part in zip(["", *parts], parts, strict=False):
        if parent in ENV_PARENTS or part in ENV_NAMES:
            return part
    return ""


def in_chart(path: str, charts: AbstractSet[str]) -> bool:
    """Return whether a file is a part of a chart that helm reads; `charts` are the folders of charts."""
    parent = dirname(path)
    while parent:
        if parent in charts and any(path[len(parent) + 1 :].startswith(part) for part in CHART_PARTS):
            return True
        parent = dirname(parent)
    return "" in charts and any(path.startswith(part) for part in CHART_PARTS)


def clean(path: str) -> str:
    """Return a path from the repo's root without `./`, `//` and a trailing slash; "" is the root."""
    cleaned = normpath(path.lstrip("/")) if path.strip("/.") else ""
    return "" if cleaned == "." else cleaned


def copied(folder: str, source: str, target: str) -> str:
    """Return the repo folder that an ArtifactGenerator copies to `folder`, "" if this copy does not."""
    root = source.partition("/")[2].removesuffix("/**").removesuffix("/*")
    base = clean(target.partition("/")[2])
    if base and folder != base and not below(folder, base):
        return ""
    return clean(f"{root}/{folder[len(base) :].lstrip('/')}")


def below(folder: str, parent: str) -> bool:
    """Return whether a folder stands below another one."""
    return folder.startswith(f"{parent}/") if parent else bool(folder)


def is_tool(path: str) -> bool:
    """Return whether a file holds settings for a tool."""
    return any(path.startswith(folder) or f"/{folder}" in path for folder in TOOL_FOLDERS)


def folders_of(paths: Iterable[str]) -> dict[str, set[str]]:
    """Return every folder with its direct sub-folders; the root is ""."""
    found: dict[str, set[str]] = {"": set()}
    for path in paths:
        folder = dirname(path)
        while folder and folder not in found:
            found[folder] = set()
            folder = dirname(folder)
    for folder in list(found):
        if folder:
            found[dirname(folder)].add(folder)
    return found
