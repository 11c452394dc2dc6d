"""Embedded clusters for tests: a real control plane, skipped with its reason where the programs are not there."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from dr.adapters import cache
from dr.local import cluster
from dr.local.binaries import pinned

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
_HOME_CACHE = cache.folder()  # before a test points the cache elsewhere


def binaries() -> Mapping[str, Path]:
    """Return the programs of the embedded cluster; skip, and say why, where `make test` could not make them."""
    folder = Path(os.environ.get("DR_ASSETS") or _HOME_CACHE / "bin" / pinned().kubernetes)
    found = {name: folder / name for name in PROGRAMS}
    lacking = [name for name, path in found.items() if not path.exists()]
    if lacking:
        pytest.skip(f"{folder} lacks {', '.join(lacking)}: dr cluster prepare makes them")
    return found


@contextmanager
def running(state: Path, name: str = "test", nodes: int = 3) -> Iterator[cluster.Cluster]:
    """Bring a cluster up for a block."""
    programs = binaries()

    async def up() -> cluster.Cluster:
        return await cluster.up(name, state, programs, version=pinned().kubernetes, nodes=nodes)

    made = asyncio.run(up())
    try:
        yield made
    finally:
        made.down()
