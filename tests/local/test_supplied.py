"""What dr.yaml supplies to a rehearsal is there when what needs it is, also in a namespace that git brings."""

from __future__ import annotations

import asyncio
from pathlib import Path

from dr.adapters.kube import Kube
from dr.core.model import Body, Ref
from dr.core.simulated import Simulation
from dr.local import cluster
from tests.embedded import running


def secret(name: str) -> Body:
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"k": "simulated"}}


def namespace() -> Body:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}


def test_a_supplied_object_appears_with_the_namespace_that_git_brings(tmp_path: Path) -> None:
    async def there(kube: Kube, name: str) -> bool:
        for _ in range(100):
            if await kube.get(Ref("v1", "Secret", "shop", name)):
                return True
            await asyncio.sleep(0.05)
        return False

    async def go(made: cluster.Cluster) -> None:
        async with Kube(made.access) as kube:
            await cluster.simulate(made.folder, Simulation(objects=(secret("first"),)))
            await kube.apply(namespace(), manager="git")
            assert await there(kube, "first")
            # Lost with its namespace, as it would be for real, until it is supplied again.
            await kube.delete(Ref("v1", "Namespace", "", "shop"))
            for _ in range(200):
                if await kube.get(Ref("v1", "Namespace", "", "shop")) is None:
                    break
                await asyncio.sleep(0.05)
            await cluster.simulate(made.folder, Simulation(objects=(secret("first"), secret("second"))))
            await kube.apply(namespace(), manager="git")
            assert await there(kube, "first")
            assert await there(kube, "second")

    with running(tmp_path / "state", "supplied", nodes=1) as made:
        asyncio.run(asyncio.wait_for(go(made), 60))
