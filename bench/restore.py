"""How long a restore takes against kubectl, a bare parallel applier, the critical path, and the API server's own rate.

Each trial has an embedded cluster of its own, all alike; a table's figures come from one run. `python -m bench.restore`
runs all parts; `up`, `apps`, `chain`, `shaped`, `large` and `rehearse` run one. `--trials` sets how often (median
shown). The exit code is 1 when a figure is over its limit.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from dr.adapters import cache
from dr.adapters.kube import Access, Kube
from dr.adapters.store import events
from dr.core.events import Left, Phase, Ready
from dr.local import cluster
from dr.local.binaries import programs

BIN = Path(sys.executable).parent
APPS, TEAMS, AT_ONCE = 200, 4, 32
Body = dict[str, Any]


# The most that each figure may be: shares of what it is compared with, seconds, megabytes.
LIMITS = {
    "up": 6.0,
    "share of kubectl": 0.80,
    "share of a bare applier": 1.10,
    "share of the chain": 1.0,  # of 1.10 times its start-up times and 0.3 s a link
    "share of the bound": 1.10,
    "memory": 400.0,
    "rehearsal": 40.0,
}


def main() -> None:
    """Run what was asked for; exit with 1 when anything was over its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", choices=list(PARTS))
    parser.add_argument("--trials", type=int, default=5)
    asked = parser.parse_args()
    missed = [miss for name, part in PARTS.items() if asked.part in (None, name) for miss in part(asked.trials)]
    for miss in missed:
        print(f"over the limit: {miss}", flush=True)
    sys.exit(1 if missed else 0)


def over(what: str, figure: float) -> list[str]:
    """Return what is to be said of a figure that is over its limit, nothing of one that is not."""
    return [] if figure <= LIMITS[what] else [f"{what} {figure:.2f}, at most {LIMITS[what]:g}"]


# Repos.


def namespace(name: str) -> Body:
    """Return a Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def app(name: str, home: str, *, startup: float = 0.0, after: str = "") -> Iterator[Body]:
    """Yield the five objects of an app; `after` is another app that it says it depends on."""
    meta: Body = {"name": name, "namespace": home}
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}
    yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"settings": "x" * 200}}
    yield {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"token": name}}
    ports = [{"port": 80, "targetPort": 8080}]
    yield {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": {"app": name}, "ports": ports}}
    yield deployment(name, home, startup=startup, after=after)


def deployment(name: str, home: str, *, startup: float, after: str, own: bool = True) -> Body:
    """Return a Deployment; with `own` it reads the ConfigMap and the Secret of its name."""
    said = {"config.kubernetes.io/depends-on": after} if after else {}
    refers = [{"configMapRef": {"name": name}}, {"secretRef": {"name": name}}] if own else []
    container = {"name": "main", "image": "registry.example/app:1", "envFrom": refers}
    template = {
        "metadata": {"labels": {"app": name}, "annotations": {"dr.dev/startup": f"{startup}s"} if startup else {}},
        "spec": {"serviceAccountName": name if own else "default", "containers": [container]},
    }
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template}
    meta = {"name": name, "namespace": home, "annotations": said}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def write(folder: Path, files: dict[str, list[Body]]) -> Path:
    """Write a repo: files by name, several objects each."""
    folder.mkdir(parents=True)
    (folder / "dr.yaml").write_text("# This folder is a repo by itself.\n")
    for name, bodies in files.items():
        (folder / name).write_text(yaml.safe_dump_all(bodies, sort_keys=False))
    return folder


def apps_repo(folder: Path, count: int = APPS) -> Path:
    """Write namespaces and apps: 4 + 5 objects an app."""
    files = {"a-namespaces.yaml": [namespace(f"team-{n}") for n in range(TEAMS)]}
    files |= {f"app-{n:04}.yaml": list(app(f"app-{n:04}", f"team-{n % TEAMS}")) for n in range(count)}
    return write(folder, files)


# Measuring.


class Trial:
    """A fresh embedded cluster, and the time that something takes on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.binaries = programs(cache.folder())

    def __call__(self, act: Callable[[cluster.Cluster], float]) -> float:
        """Return the seconds that `act` measures on a cluster of its own."""
        name = f"bench-{os.getpid()}-{time.monotonic_ns() % 10**9}"

        async def up() -> cluster.Cluster:
            return await cluster.up(name, self.folder / "state", self.binaries, version="bench")

        made = asyncio.run(up())
        try:
            return act(made)
        finally:
            made.down()


def by_dr(repo: Path, reports: Path, *options: str) -> Callable[[cluster.Cluster], float]:
    """Return what times `dr restore`, from the start of the command until everything is ready."""

    def act(made: cluster.Cluster) -> float:
        environ = {**os.environ, "DR_STATE_DIR": str(made.folder.parent.parent)}
        argv = [str(BIN / "dr"), "restore", str(repo), "--to", f"local:{made.record.name}", "--yes", "-o", "json"]
        began = time.monotonic()
        done = subprocess.run(
            [*argv, "--reports", str(reports), *options], env=environ, capture_output=True, check=False
        )
        took = time.monotonic() - began
        if done.returncode:
            sys.exit(f"dr restore ended with {done.returncode}: {done.stderr.decode()[-2000:]}")
        seen = events(max(reports.glob("*/"), key=lambda path: path.stat().st_mtime))
        verifying = next(event.at for event in seen if isinstance(event, Left) and event.phase is Phase.RESTORE)
        return took - (seen[-1].at - verifying)

    return act


def by_kubectl(repo: Path) -> Callable[[cluster.Cluster], float]:
    """Return what times `kubectl apply --server-side` and then one watch until every Deployment is Available.

    `kubectl wait` is not used: it looks at one Deployment after the other and would add 20 s.
    """

    def act(made: cluster.Cluster) -> float:
        kubectl = [str(BIN / "kubectl"), "--kubeconfig", str(made.folder / "kubeconfig")]
        manifests = made.folder / "manifests"
        manifests.mkdir()
        for file in repo.glob("*-*.yaml"):
            (manifests / file.name).symlink_to(file)
        began = time.monotonic()
        subprocess.run([*kubectl, "apply", "--server-side", "-f", str(manifests)], check=True, capture_output=True)
        asyncio.run(_until_available(made.access, APPS))
        return time.monotonic() - began

    return act


def by_hand(repo: Path) -> Callable[[cluster.Cluster], float]:
    """Return what times a bare applier: 32 requests at once, file by file, then one watch."""

    def act(made: cluster.Cluster) -> float:
        began = time.monotonic()
        files = sorted(repo.glob("*-*.yaml"))
        bodies = [b for file in files for b in yaml.load_all(file.read_bytes(), yaml.CSafeLoader)]
        asyncio.run(_bare(bodies, made.access))
        return time.monotonic() - began

    return act


async def _bare(bodies: list[Body], access: Access) -> None:
    limit = asyncio.Semaphore(AT_ONCE)
    async with Kube(access) as kube:

        async def apply(body: Body) -> None:
            async with limit:
                await kube.apply(body, manager="bare")

        await asyncio.gather(*(apply(b) for b in bodies if b["kind"] == "Namespace"))
        await asyncio.gather(*(apply(b) for b in bodies if b["kind"] != "Namespace"))
    await _until_available(access, sum(1 for b in bodies if b["kind"] == "Deployment"))


async def _until_available(access: Access, count: int) -> None:
    available: set[tuple[str, str]] = set()
    async with Kube(access) as kube:
        async for change in kube.watch("apps/v1", "Deployment"):
            conditions = change.body.get("status", {}).get("conditions", ())
            if any(c["type"] == "Available" and c["status"] == "True" for c in conditions):
                available.add((change.body["metadata"]["namespace"], change.body["metadata"]["name"]))
            if len(available) == count:
                return


def told(name: str, times: list[float], *ratios: tuple[str, float]) -> None:
    """Print a row: median, spread, and ratios to the peers of the same run."""
    shown = "  ".join(f"{value:.2f} of {peer}" for peer, value in ratios)
    print(f"  {name:34} {statistics.median(times):6.2f} s  ({min(times):.2f} to {max(times):.2f})  {shown}", flush=True)


# Parts.


def up(trials: int) -> list[str]:
    """`dr cluster up` with the programs in the cache, the whole command, until its nodes are Ready."""
    times = []
    with tempfile.TemporaryDirectory() as place:
        environ = {**os.environ, "DR_STATE_DIR": place}
        programs(cache.folder())
        for number in range(trials):
            began = time.monotonic()
            subprocess.run(
                [str(BIN / "dr"), "cluster", "up", f"up-{number}"], env=environ, check=True, capture_output=True
            )
            times.append(time.monotonic() - began)
            subprocess.run(
                [str(BIN / "dr"), "cluster", "down", f"up-{number}"], env=environ, check=True, capture_output=True
            )
    print(f"a cluster of three nodes, from nothing to Ready, median of {trials}")
    told("dr cluster up", times)
    return over("up", statistics.median(times))


def apps(trials: int) -> list[str]:
    """1,004 objects until every Deployment is Available: dr, kubectl, and a bare parallel applier in turn."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        repo = apps_repo(folder / "repo")
        trial = Trial(folder)
        rows: dict[str, list[float]] = {"dr": [], "kubectl": [], "bare": []}
        for _ in range(trials):
            rows["dr"].append(trial(by_dr(repo, folder / "reports")))
            rows["kubectl"].append(trial(by_kubectl(repo)))
            rows["bare"].append(trial(by_hand(repo)))
        kubectl, bare = statistics.median(rows["kubectl"]), statistics.median(rows["bare"])
        print(f"{4 + 5 * APPS} objects until every Deployment is Available, median of {trials}")
        told("kubectl apply --server-side", rows["kubectl"])
        told(f"bare applier, {AT_ONCE} at once", rows["bare"])
        own = statistics.median(rows["dr"])
        told("dr restore", rows["dr"], ("kubectl", own / kubectl), ("bare", own / bare))
    return over("share of kubectl", own / kubectl) + over("share of a bare applier", own / bare)


def chain(trials: int) -> list[str]:
    """Seven Deployments, each waiting for the last, each 3 s in starting."""
    links, startup = 7, 3.0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        files: dict[str, list[Body]] = {"a-namespaces.yaml": [namespace("line")]}
        for n in range(links):
            after = f"apps/namespaces/line/Deployment/link-{n - 1}" if n else ""
            files[f"link-{n}.yaml"] = list(app(f"link-{n}", "line", startup=startup, after=after))
        repo = write(folder / "repo", files)
        times = [Trial(folder)(by_dr(repo, folder / "reports")) for _ in range(min(trials, 3))]
        limit = 1.10 * links * startup + 0.3 * links
        print(f"a chain of {links} units, {startup:g} s each")
        told("dr restore", times, (f"the limit of {limit:.1f} s", statistics.median(times) / limit))
    return over("share of the chain", statistics.median(times) / limit)


def shaped(trials: int) -> list[str]:
    """300 units in random layers with start-up times, against what neither order nor server could beat."""
    units, seed = 300, 4
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        files: dict[str, list[Body]] = {"a-namespaces.yaml": [namespace("layers")]}
        ends: list[float] = []
        for n in range(units):
            startup = round(dice.uniform(0.5, 4.0), 1)
            before = dice.sample(range(max(0, n - 60), n), min(n, dice.randint(0, 3)))
            after = ",".join(f"apps/namespaces/layers/Deployment/unit-{b}" for b in sorted(before))
            ends.append(startup + max((ends[b] for b in before), default=0.0))
            files[f"unit-{n:03}.yaml"] = list(app(f"unit-{n}", "layers", startup=startup, after=after))
        repo = write(folder / "repo", files)
        trial = Trial(folder)
        times = [trial(by_dr(repo, folder / "reports")) for _ in range(min(trials, 3))]
        flat = write(folder / "flat", {k: [_flat(b) for b in v] for k, v in files.items()})
        rate = trial(by_hand(flat))
        bound = max(*ends, rate)
        print(f"{units} units, critical path {max(ends):.1f} s, all at once without waiting {rate:.1f} s")
        told("dr restore", times, (f"the bound of {bound:.1f} s", statistics.median(times) / bound))
    return over("share of the bound", statistics.median(times) / bound)


def _flat(body: Body) -> Body:
    """Return an app's object without start-up time or order: what is left is the API server's work."""
    copy: Body = json.loads(json.dumps(body))
    if copy["kind"] == "Deployment":
        copy["spec"]["template"]["metadata"].pop("annotations", None)
    return copy


def large(_: int) -> list[str]:
    """10,000 objects: finishes, and the memory that dr takes."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        files = {"a-namespaces.yaml": [namespace(f"team-{n}") for n in range(TEAMS)]}
        for n in range(1000):
            home = f"team-{n % TEAMS}"
            files[f"app-{n:04}.yaml"] = [
                *app(f"app-{n:04}", home),
                *(
                    {
                        "apiVersion": "v1",
                        "kind": "ConfigMap",
                        "metadata": {"name": f"app-{n:04}-{k}", "namespace": home},
                    }
                    for k in range(5)
                ),
            ]
        repo = write(folder / "repo", files)
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        times = [Trial(folder)(_with_memory(by_dr(repo, folder / "reports", "--timeout", "900"), folder))]
        peak = int((folder / "peak").read_text()) * 1024 / 10**6
        print(f"10,004 objects (1,000 Deployments); the largest child before was {before / 1024:.0f} MiB")
        told("dr restore", times)
        print(f"  peak memory of dr {peak:.0f} MB", flush=True)
    return over("memory", peak)


def _with_memory(act: Callable[[cluster.Cluster], float], folder: Path) -> Callable[[cluster.Cluster], float]:
    """Note the peak memory of the `dr restore` that `act` runs, read from its own process while it runs."""

    def measured(made: cluster.Cluster) -> float:
        import threading  # noqa: PLC0415 - for this part only

        peak, stop = [0], threading.Event()

        def look() -> None:
            while not stop.wait(0.05):
                for status in Path("/proc").glob("[0-9]*/status"):
                    try:
                        command = (status.parent / "cmdline").read_bytes()
                        if b"restore" in command and made.record.name.encode() in command:
                            lines = dict(row.split(":", 1) for row in status.read_text().splitlines() if ":" in row)
                            peak[0] = max(peak[0], int(lines["VmHWM"].split()[0]))
                    except (OSError, KeyError, ValueError):
                        continue

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            return act(made)
        finally:
            stop.set()
            watcher.join()
            (folder / "peak").write_text(str(peak[0]))

    return measured


def rehearse(trials: int) -> list[str]:
    """`dr rehearse` of the 1,004 objects, the whole command: up, restore, verify, report, down."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        repo = apps_repo(folder / "repo")
        environ = {**os.environ, "DR_STATE_DIR": str(folder / "state")}
        times = []
        for _ in range(min(trials, 3)):
            began = time.monotonic()
            argv = [str(BIN / "dr"), "rehearse", str(repo), "--reports", str(folder / "reports"), "-o", "json"]
            done = subprocess.run([*argv, "--timeout", "120"], env=environ, capture_output=True, check=False)
            times.append(time.monotonic() - began)
            if done.returncode:
                sys.exit(f"dr rehearse ended with {done.returncode}: {done.stderr.decode()[-2000:]}")
        print(f"{4 + 5 * APPS} objects rehearsed, whole command")
        told("dr rehearse", times)
        ready = [event.at for event in events(max((folder / "reports").glob("*/"))) if isinstance(event, Ready)]
        print(f"  of which until the last object was ready {max(ready):.2f} s", flush=True)
    return over("rehearsal", statistics.median(times))


PARTS: dict[str, Callable[[int], list[str]]] = {
    "up": up,
    "apps": apps,
    "chain": chain,
    "shaped": shaped,
    "large": large,
    "rehearse": rehearse,
}


if __name__ == "__main__":
    main()
