"""`python -m dr.local.simulated FOLDER SOCKET`: plays, for one embedded cluster, what has no image here."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from pathlib import Path

import msgspec

from dr.adapters.kube import Kube
from dr.core.errors import ApiError
from dr.core.simulated import Simulation
from dr.local.cluster import Record, access
from dr.local.pki import Authority
from dr.local.simulated.controllers import Controllers
from dr.local.simulated.gate import Gate
from dr.local.simulated.volumes import Balancers, Volumes
from dr.local.simulated.watches import Watches, complain
from dr.local.simulated.webhooks import serve

_LOOPBACK = "https://127.0.0.1:"
_PAUSE = 0.05


async def main(folder: Path, socket: Path) -> None:
    """Play until killed."""
    record = msgspec.json.decode((folder / "cluster.json").read_bytes(), type=Record)
    if not record.server.startswith(_LOOPBACK):
        raise SystemExit(f"{record.server} is no embedded cluster: stand-ins never run against another")
    async with Kube(access(folder, record)) as kube, asyncio.TaskGroup() as tasks:
        await _embedded(kube)
        tasks.create_task(serve(kube, Authority(folder / "pki", ""), socket))
        watches = Watches(kube, tasks)
        gate, controllers = Gate(watches), Controllers(watches)
        Volumes(watches)
        Balancers(watches)
        await _told(folder, gate, controllers)


async def _embedded(kube: Kube) -> None:
    """Wait for the API server, and for the mark that `dr` sets on its own clusters."""
    while True:
        try:
            if (await kube.identity()).embedded:
                return
        except ApiError as error:
            if not error.heals:
                complain("identity", error)
        await asyncio.sleep(_PAUSE)


async def _told(folder: Path, gate: Gate, controllers: Controllers) -> None:
    """Take up each simulation that is put into the folder, and say so."""
    file, played = folder / "simulation.json", ""
    while True:
        if file.exists():
            content = file.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            if digest != played:
                gate.simulation = msgspec.json.decode(content, type=Simulation)
                await controllers.play(gate.simulation)
                played = digest
                (folder / "simulation.ack").write_text(digest)
        await asyncio.sleep(_PAUSE)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
