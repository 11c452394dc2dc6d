"""Two embedded clusters, a database for each, a shop on both, a front door before them, and a user who never stops."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import yaml

from dr.local import cluster
from tests.adapters.postgres import Postgres, serve
from tests.chaos.shop import deployment, named, service
from tests.embedded import running

DR = str(Path(sys.executable).parent / "dr")
KUBECTL = str(Path(sys.executable).parent / "kubectl")
_RESTLESS = ("Lease", "Node", "PodMetrics", "NodeMetrics")
_CURL = ["curl", "-fsS", "--max-time", "2"]
_APP = str(Path(__file__).with_name("shop_app.py"))


def platform() -> list[dict[str, Any]]:
    """Return a small shop: a web front that needs its database."""
    database = deployment("shop", "db", 1)
    database["kind"] = "StatefulSet"
    database["spec"]["serviceName"] = "db"
    front = deployment("shop", "web", 2)
    container = front["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": "DB", "value": "db.shop.svc"}]
    container["envFrom"] = [{"configMapRef": {"name": "settings"}}]
    return [
        named("Namespace", "shop"),
        named("ConfigMap", "settings", "shop", data={"CURRENCY": "EUR"}),
        service("shop", "db", 5432),
        database,
        service("shop", "web"),
        front,
    ]


def asked(port: int, method: str = "GET", body: str = "", timeout: float = 5.0) -> str | None:
    """Ask as a user does, by a connection of its own; None where the answer is not good."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, "/", body=body or None)
        answer = connection.getresponse()
        said = answer.read().decode()
    except OSError:
        return None
    except http.client.HTTPException:
        return None
    finally:
        connection.close()
    return said if answer.status == 200 else None


class User:
    """Reads and writes through the front door all the time. `acknowledged`: what was written and confirmed."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.acknowledged: list[int] = []
        self.reads: list[tuple[float, bool]] = []
        self.writes: list[tuple[float, bool]] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write), threading.Thread(target=self._read)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _write(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            good = asked(self.port, "POST", str(number)) is not None
            self.writes.append((time.monotonic(), good))
            if good:
                self.acknowledged.append(number)
            time.sleep(0.05)

    def _read(self) -> None:
        while not self._stop.is_set():
            self.reads.append((time.monotonic(), asked(self.port) is not None))
            time.sleep(0.05)

    @staticmethod
    def longest(samples: list[tuple[float, bool]]) -> float:
        """Return the longest time between two good answers with a bad one between, in seconds."""
        worst, last, bad = 0.0, None, False
        for at, good in samples:
            if good:
                if last is not None and bad:
                    worst = max(worst, at - last)
                last, bad = at, False
            else:
                bad = True
        return max(worst, samples[-1][0] - last) if bad and last is not None else worst


class World:
    """All of it. `broken` by side: a file that breaks that side's shop while it is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stack = ExitStack()
        self.clusters: dict[str, cluster.Cluster] = {}
        self.databases: dict[str, Postgres] = {}
        self.broken = {side: folder / f"broken-{side}" for side in ("from", "to")}
        self.apps: dict[str, subprocess.Popen[str]] = {}
        self.door = self.control = 0

    @property
    def environment(self) -> dict[str, str]:
        urls = {f"{side.upper()}_DATABASE": pg.url("shop") for side, pg in self.databases.items()}
        return {**os.environ, **urls, "DR_STATE_DIR": str(self.folder / "state")}

    def kubectl(self, side: str, *arguments: str, stdin: str = "") -> str:
        config = self.clusters[side].folder / "kubeconfig"
        done = subprocess.run(
            [KUBECTL, "--kubeconfig", str(config), *arguments], input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def dr(self, *arguments: str, timeout: float = 180.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [DR, *arguments], env=self.environment, capture_output=True, text=True, check=False, timeout=timeout,
            cwd=self.folder, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [DR, *arguments], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            cwd=self.folder, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def state_of(self, side: str) -> dict[str, str]:
        """Return what is on a cluster of what people keep there, with its version."""
        kinds = "deployments,statefulsets,services,configmaps,secrets,namespaces,serviceaccounts"
        found = json.loads(self.kubectl(side, "get", kinds, "-A", "-o", "json"))["items"]
        return {
            f"{o['kind']}/{o['metadata'].get('namespace', '')}/{o['metadata']['name']}": str(
                o.get("spec") or o.get("data")
            )
            for o in found
        }

    def versions_of(self, side: str) -> dict[str, str]:
        """Return every object of a cluster with its resource version; of what changes by itself only that it is there."""
        kinds = self.kubectl(side, "api-resources", "--verbs=list,get", "-o", "name").split()
        kinds = [kind for kind in kinds if kind.partition(".")[0] != "events" and kind != "componentstatuses"]
        found = json.loads(self.kubectl(side, "get", ",".join(kinds), "-A", "-o", "json"))["items"]
        return {
            f"{o['kind']}/{o['metadata'].get('namespace', '')}/{o['metadata']['name']}": (
                "" if o["kind"] in _RESTLESS else o["metadata"]["resourceVersion"]
            )
            for o in found
        }

    def git(self, *words: str) -> None:
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
        subprocess.run(["git", *who, *words], cwd=self.folder / "repo", check=True)

    def rows(self, side: str) -> set[int]:
        return {int(n) for n in self.databases[side].ask("shop", "SELECT n FROM orders").split()}

    def write(self, **changes: Any) -> Path:
        """Write the forklift file."""
        locks = {
            side: json.loads(self.dr("lock", f"local:{side}", "-o", "json").stdout)["lock"] for side in self.broken
        }
        canary = f"http://127.0.0.1:{self.door}/canary"
        body: dict[str, Any] = {
            "title": "Move the shop",
            "from": {"context": "local:from", "lock": locks["from"]},
            "to": {"context": "local:to", "lock": locks["to"]},
            "repos": [{"url": "repo"}],
            "data": [
                {
                    "name": "orders",
                    "of": "StatefulSet/shop/db",
                    "postgres": {"from": "FROM_DATABASE", "to": "TO_DATABASE", "replicate": True},
                    "timeout": "60s",
                }
            ],
            "steady_state": {
                "every": 0.1,
                "timeout": 2,
                "consecutive": 3,
                "probes": [
                    {"name": "shop", "http": {"url": f"http://127.0.0.1:{self.door}/", "contains": "served by"}},
                    {
                        "name": "orders",
                        "every": 0.2,
                        "canary": {"write": [*_CURL, "-d", "{n}", canary], "read": [*_CURL, canary]},
                    },
                ],
            },
            "cutover": {
                "traffic": [
                    {"http": {"url": f"http://127.0.0.1:{self.control}/", "body": '{"weight": {weight}}'}},
                ],
                "writer": [
                    {"http": {"url": f"http://127.0.0.1:{self.control}/", "body": '{"writer": "{side}"}'}},
                ],
                "seen": {
                    "url": f"http://127.0.0.1:{self.door}/",
                    "from": "served by from",
                    "to": "served by to",
                    "samples": 60,
                    "within": 10,
                },
                "hold": 1,
                "failing_for": 3,
                "switch_within": 20,
            },
            "retire": {"after": 0},
            "objectives": {"downtime": 10, "lost": 0},
        }
        body |= changes
        file = self.folder / "move.yaml"
        file.write_text(yaml.safe_dump(body, sort_keys=False))
        return file


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline()


def repository(folder: Path) -> None:
    """Make the shop's config repo, with one commit that has a release trailer."""
    folder.mkdir()
    (folder / "shop.yaml").write_text(yaml.safe_dump_all(platform(), sort_keys=False))
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "Open the shop\n\nRelease: 7"]):
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
        subprocess.run(["git", *who, *words], cwd=folder, check=True)


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Build all of it: the old side serves, the new one is empty."""
    made = World(folder)
    with made.stack as stack:
        for side in ("from", "to"):
            made.databases[side] = stack.enter_context(serve())
            made.databases[side].psql("postgres", "CREATE DATABASE shop")
            made.clusters[side] = stack.enter_context(running(folder / "state", side, nodes=1))
        for table in ("orders", "canary"):
            made.databases["from"].psql(
                "shop", f"CREATE TABLE {table} (n bigint PRIMARY KEY, at timestamptz DEFAULT now())"
            )
        repo = folder / "repo"
        repository(repo)
        made.kubectl("from", "apply", "--server-side", "--field-manager=dr", "-f", str(repo))
        made.kubectl("from", "-n", "shop", "rollout", "status", "deployment/web", "--timeout=60s")
        ports = {}
        for side in ("from", "to"):
            argv = [
                sys.executable, _APP, side, str(made.clusters[side].folder / "kubeconfig"),
                made.databases[side].url("shop"), str(made.broken[side]),
            ]  # fmt: skip
            app = stack.enter_context(program(argv))
            made.apps[side] = app
            ports[side] = int(_line(app))
        argv = [sys.executable, "-m", "dr.local.door"]
        for side in ("from", "to"):
            argv += [f"--{side}", f"http://127.0.0.1:{ports[side]}"]
        front = stack.enter_context(program(argv))
        words = _line(front).replace(",", "").split()
        made.door, made.control = int(words[2]), int(words[5])
        until(lambda: asked(made.door) is not None)
        yield made


@contextmanager
def program(argv: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a program for a block."""
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
