"""What leading a herd costs: clusters by the number, on a real management cluster and as processes.

The Jobs, their indexes and their controller are real. The members are simulated: a pod ends at once with a result, as a
process does that has nothing to do. So the figures are those of the leading alone, and of the management cluster.
At every size as many members run at once, so that what a further cluster costs can be read from the sizes: a straight
line is put through them (least squares), and it ends with 1 where a further one costs more than twice as much between
the two greatest sizes as between the two smallest.

    python -m bench.herd [--how jobs|processes|both] [10 100 1000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import linear_regression

import yaml

from dr.adapters.kube import Kube, kubeconfig
from dr.core.model import Body
from dr.local import cluster
from tests.embedded import running
from tests.pod_runner import LABEL, PodRunner, running_pods

_HOME = "herds"
_PARALLEL, _BENT = 10, 2.0
Points = list[tuple[int, float]]  # clusters, wall seconds


class Ending(PodRunner):
    """A node whose pods end at once, each with a result."""

    async def _run(self, pod: Body, name: str) -> None:
        self.began.append(name)
        ended = {"exitCode": 0, "message": '{"state": "met", "rta": 1.0}', "reason": "Completed"}
        await self._tell(pod, "Succeeded", {"terminated": ended})


def herd(folder: Path, count: int, *, kubernetes: bool) -> Path:
    """Write a herd of so many clusters: a tenth are canaries, as many run at once in each."""
    names = [f"cluster-{i:05}" for i in range(count)]
    home = {"namespace": _HOME, "image": "none", "node_selector": {LABEL: "true"}}
    body = {
        "title": f"{count} simulated clusters",
        "name": f"bench-{count}",
        "home": "dr-bench",
        "clusters": {"list": [{"name": name, "context": "none", "lock": "x"} for name in names]},
        "scenarios": [{"name": "nothing", "command": ["true"]}],
        "waves": [{"clusters": names[: count // 10], "max_parallel": _PARALLEL}, {"max_parallel": _PARALLEL}],
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


def row(how: str, count: int, figures: tuple[float, float, int, str]) -> tuple[int, float]:
    """Print a row of the table; return its point."""
    took, used, most, verdict = figures
    each = f"{1000 * took / count:.0f} | {1000 * used / count:.1f}"
    print(f"| {how} | {count:,} | {took:.1f} | {each} | {most} | {verdict} |", flush=True)
    return count, took


async def jobs(made: cluster.Cluster, folder: Path, counts: list[int]) -> Points:
    """Lead herds by Jobs."""
    async with Kube(made.access) as kube:
        await kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _HOME}}, manager="bench")
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "dr-herd", "namespace": _HOME}}
        await kube.apply(account, manager="bench")
    points = []
    for count in counts:
        async with running_pods(made.access, folder, Ending):
            points.append(
                row("Jobs", count, await asyncio.to_thread(led, herd(folder, count, kubernetes=True), folder))
            )
    return points


def fit(points: Points) -> tuple[float, float, float]:
    """Return the seconds of a further cluster, those that any herd takes, and how the line bends.

    The bend: what a further cluster costs between the two greatest sizes over that between the two smallest; 1 is
    straight, and with two sizes nothing else can be seen.
    """
    slope, fixed = linear_regression(*zip(*points, strict=True))
    steps = [(t2 - t1) / (n2 - n1) for (n1, t1), (n2, t2) in pairwise(points)]
    return slope, fixed, steps[-1] / steps[0]


def told(how: str, points: Points) -> bool:
    """Print what a further cluster costs; return whether the cost grows no faster than the clusters."""
    if len(points) < 2:
        return True
    slope, fixed, bend = fit(points)
    print(f"\n{how}: {1000 * slope:.0f} ms for each further cluster, {fixed:.1f} s for any herd, bend {bend:.2f}\n")
    return bend <= _BENT


def main() -> None:
    """Print what herds of each size cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--how", choices=("jobs", "processes", "both"), default="both")
    parser.add_argument("counts", nargs="*", type=int, default=[10, 100, 1000])
    arguments = parser.parse_args()
    counts, straight = sorted(set(arguments.counts)), []
    print("| how | clusters | wall, s | each, ms | CPU each, ms | MiB | verdict |\n|---|---:|---:|---:|---:|---:|---|")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if arguments.how != "processes":
            with running(folder / "clusters", "bench", nodes=1) as home:
                (folder / "kubeconfig").write_bytes(kubeconfig(home.access))
                os.environ["KUBECONFIG"] = str(folder / "kubeconfig")
                straight.append(told("Jobs", asyncio.run(jobs(home, folder, counts))))
        if arguments.how != "jobs":
            rows = [row("processes", n, led(herd(folder, n, kubernetes=False), folder)) for n in counts]
            straight.append(told("processes", rows))
    sys.exit(not all(straight))


if __name__ == "__main__":
    main()
