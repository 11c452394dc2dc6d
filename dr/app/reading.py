"""Reads config repos for a command: which to open, which dr.yaml counts, and the graph and plan that come of them."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from dr.adapters import cache
from dr.adapters.git import open_repo
from dr.adapters.manifests import parse
from dr.adapters.render.kustomize import Kustomize
from dr.core import config as configuration
from dr.core.config import Config
from dr.core.errors import ConfigError
from dr.core.graph import Source, build
from dr.core.model import Graph
from dr.core.plan import Plan, order
from dr.engine.ports import Snapshot
from dr.engine.read import CONFIG_NAMES, Selection, Tools, config_of, read
from dr.engine.rooted import rooted


class Loaded(Struct, frozen=True):
    """What was read, and the graph built from it."""

    source: Source
    graph: Graph
    config: Config

    @property
    def plan(self) -> Plan:
        """The order of a restore."""
        return order(self.graph, self.config.estimates)


def load(repos: Sequence[str], path: str, env: str, config: Path | None, max_file_size: int) -> Loaded:
    """Read repos at their revisions into a graph.

    `max_file_size` in MiB. Raises DrError when a repo, a revision or a dr.yaml cannot be used.
    """
    gc.disable()  # values are built once and kept: collections would only walk them again and again
    clones = cache.folder() / "clones"
    limit = max_file_size * 2**20
    snapshots: list[Snapshot] = []
    for repo in repos:
        whole = open_repo(repo, max_bytes=limit, clones=clones)
        own = rooted(whole, whole.prefix, CONFIG_NAMES)
        path = path or (whole.prefix if own is None and len(repos) == 1 else "")
        snapshots.append(own or whole)
    settings = config_file(config) if config else config_of(snapshots, parse)
    snapshots.extend(open_repo(spec.url, rev=spec.rev, max_bytes=limit, clones=clones) for spec in settings.repos)
    tools = Tools(parse, Kustomize(parse), cache.SqliteCache(cache.folder() / "parses.sqlite"))
    source = read(snapshots, settings, Selection(path, env), tools)
    return Loaded(source, build(source, settings), settings)


def config_file(path: Path) -> Config:
    """Read a dr.yaml by its path; raises ConfigError."""
    try:
        parsed = parse(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", "give the path of a dr.yaml") from None
    if parsed.problems:
        raise ConfigError(f"{path}:{parsed.problems[0].line}: {parsed.problems[0].cause}", "correct the file")
    return configuration.parse(parsed.documents[0].body if parsed.documents else {}, str(path))
