"""Embedded clusters for tests: a real control plane; where its programs lack, what needs one is skipped, in CI it fails."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dr.adapters import cache
from dr.local import cluster
from dr.local.binaries import pinned
from tests.lacking import lacking

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
_HOME_CACHE = cache.folder()  # before a test points the cache elsewhere


def binaries() -> Mapping[str, Path]:
    """Return the programs of the embedded cluster; skip, in CI fail, and say why, where they could not be made."""
    folder = Path(os.environ.get("DR_ASSETS") or _HOME_CACHE / "bin" / pinned().kubernetes)
    found = {name: folder / name for name in PROGRAMS}
    missing = [name for name, path in found.items() if not path.exists()]
    if missing:
        lacking(f"{folder} lacks {', '.join(missing)}: dr cluster prepare makes them")
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
