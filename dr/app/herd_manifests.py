"""Answers `dr herd manifest`: what leads a herd from within the management cluster."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from dr.adapters.manifests import written
from dr.app import herds
from dr.app.answer import Answer
from dr.app.herd_kept import PLAN, packed
from dr.core.errors import UsageError
from dr.core.herd_manifest import bodies
from dr.core.herding import Plan
from dr.core.jobs import IN_CLUSTER


def manifest(file: Path) -> Answer:
    """Print the objects that lead a herd from within its management cluster, its clusters as they are now."""
    herd = herds.read(file)
    home = herd.kubernetes
    if home is None:
        raise UsageError(f"{file} has no `kubernetes`: it runs as processes", "say there where and with which image")
    ready, files = herds.files_of(herd, file.parent)
    now = datetime.now(UTC)

    async def made() -> Plan:
        async with herds.management(ready) as cluster:
            run = f"{now:%Y-%m-%d-%H%M%S}-herd-{herd.name}"
            return herds.checked(ready, await herds.clusters(ready, cluster), run, now.isoformat(timespec="seconds"))

    # Within the cluster the management cluster is the one that the leader runs in.
    plan = replace(asyncio.run(made()), files=files, herd=replace(ready, home=IN_CLUSTER))
    found = bodies(plan, home, {PLAN: packed(plan)})
    return Answer(content="---\n".join(written(body) for body in found).encode())
