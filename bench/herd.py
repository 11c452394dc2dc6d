"""What leading a herd costs: clusters by the number, on a real management cluster and as processes.

The Jobs, their indexes and their controller are real. The members are simulated: a pod ends at once with a result, as a
process does that has nothing to do. So the figures are those of the leading alone, and of the management cluster.

    python bench/herd.py [10 100 1000]
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from dr.adapters.kube import Kube, kubeconfig
from dr.core.model import Body
from dr.local import cluster
from tests.embedded import running
from tests.pod_runner import LABEL, PodRunner, running_pods

_HOME = "herds"


class Ending(PodRunner):
    """A node whose pods end at once, each with a result."""

    async def _run(self, pod: Body, name: str) -> None:
        self.began.append(name)
        ended = {"exitCode": 0, "message": '{"state": "met", "rta": 1.0}', "reason": "Completed"}
        await self._tell(pod, "Succeeded", {"terminated": ended})


def herd(folder: Path, count: int, *, kubernetes: bool) -> Path:
    """Write a herd of so many clusters: a tenth are canaries, a twentieth run at once."""
    names = [f"cluster-{i:05}" for i in range(count)]
    parallel = max(4, count // 20)
    home = {"namespace": _HOME, "image": "none", "node_selector": {LABEL: "true"}}
    body = {
        "title": f"{count} simulated clusters",
        "name": f"bench-{count}",
        "home": "dr-bench",
        "clusters": {"list": [{"name": name, "context": "none", "lock": "x"} for name in names]},
        "scenarios": [{"name": "nothing", "command": ["true"]}],
        "waves": [{"clusters": names[: count // 10], "max_parallel": parallel}, {"max_parallel": parallel}],
        **({"kubernetes": home} if kubernetes else {}),
    }
    file = folder / f"herd-{count}.yaml"
    file.write_text(yaml.safe_dump(body))
    return file


def led(file: Path, folder: Path) -> tuple[float, float, int, str]:
    """Lead a herd; return wall and CPU seconds, MiB at most and the verdict."""
    argv = [sys.executable, "-m", "dr", "herd", str(file), "--yes", "-o", "json", "--reports", str(folder / "reports")]
    began = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said:
        process = subprocess.Popen(argv, stdout=out, stderr=said)
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0
        took = time.monotonic() - began
        out.seek(0)
        found = json.loads(out.read() or b'{"verdict": "none"}')
    return took, used.ru_utime + used.ru_stime, used.ru_maxrss // 1024, found["verdict"]


def row(how: str, count: int, figures: tuple[float, float, int, str]) -> None:
    """Print a row of the table."""
    took, used, most, verdict = figures
    print(
        f"{how:12} {count:6} {took:8.1f} {1000 * took / count:10.0f} {1000 * used / count:10.1f} {most:8}  {verdict}",
        flush=True,
    )


async def jobs(made: cluster.Cluster, folder: Path, counts: list[int]) -> None:
    """Lead herds by Jobs."""
    async with Kube(made.access) as kube:
        await kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _HOME}}, manager="bench")
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "dr-herd", "namespace": _HOME}}
        await kube.apply(account, manager="bench")
    for count in counts:
        async with running_pods(made.access, folder, Ending):
            row("Jobs", count, await asyncio.to_thread(led, herd(folder, count, kubernetes=True), folder))


def main() -> None:
    """Print what herds of each size cost."""
    counts = [int(said) for said in sys.argv[1:]] or [10, 100, 1000]
    print(f"{'how':12} {'n':>6} {'wall s':>8} {'ms each':>10} {'CPU ms each':>12} {'MiB':>8}  verdict")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with running(folder / "clusters", "bench", nodes=1) as home:
            (folder / "kubeconfig").write_bytes(kubeconfig(home.access))
            os.environ["KUBECONFIG"] = str(folder / "kubeconfig")
            asyncio.run(jobs(home, folder, counts))
        for count in counts:
            row("processes", count, led(herd(folder, count, kubernetes=False), folder))


if __name__ == "__main__":
    main()
