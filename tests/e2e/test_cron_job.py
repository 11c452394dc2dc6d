"""A schedule as a CronJob: what is written is accepted under the strictest standard, and its rights are just enough."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dr.adapters import slots
from dr.adapters.kube import Access, Kube, kubeconfig
from dr.core.body import get, items, mapping, text
from dr.core.model import Body
from dr.local import cluster
from tests.chaos.shop import PASSWORD, deployment, named, service
from tests.e2e.test_schedules import answering
from tests.embedded import running
from tests.pod_runner import LABEL, running_pods
from tests.rights import without

HOME, NAME = "gamedays", "dr-pod-kill-often"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Cluster]:
    with running(tmp_path_factory.mktemp("cron"), "cron", nodes=1) as made:
        yield made


@pytest.fixture(scope="module")
def bucket() -> Iterator[Any]:
    with answering(200) as server:
        yield server


@pytest.fixture(scope="module")
def place(town: cluster.Cluster, bucket: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gameday of the cluster that it runs in, and its schedule; the shop that it strikes is up."""
    folder = tmp_path_factory.mktemp("files")

    async def made() -> str:
        async with Kube(town.access) as kube:
            for name, labels in ((HOME, RESTRICTED), ("web", {})):
                home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
                await kube.apply(home, manager="test")
            keys = {"S3_ID": "an-id", "S3_SECRET": PASSWORD}
            room = {"storage": "1Gi"}
            volume = {"capacity": room, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/nowhere"}}
            claim = {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": room}}
            for body in (
                named("PersistentVolume", "reports", spec=volume),
                named("PersistentVolumeClaim", "reports", HOME, spec=claim),
                named("Secret", "bucket", HOME, stringData=keys),
                deployment("web", "web", 1, nodeSelector={"kubernetes.io/hostname": "node-1"}),
                service("web", "web"),
            ):
                await kube.apply(body, manager="test")
            async for change in kube.watch("apps/v1", "Deployment", namespace="web"):
                if mapping(change.body, "status").get("readyReplicas") == 1:
                    break
            return (await kube.identity()).uid

    uid = asyncio.run(made())
    gameday = {
        "title": "A pod of the shop dies",
        "scenario": "a pod dies",
        "target": {"context": "in-cluster", "lock": uid},
        "steady_state": {
            "every": 0.1,
            "timeout": 2,
            "hold": 0.2,
            "consecutive": 2,
            "within": 3,
            "probes": [
                {"name": "the shop answers", "kubernetes": {"service": "web/web"}},
                {"name": "the shop has its pods", "kubernetes": {"workload": "Deployment/web/web"}},
            ],
        },
        "fault": {
            "experiment": "pod-kill",
            "with": {
                "namespace": "web",
                "service": "web",
                "workload": "web",
                "selector": "app=web",
                "recovery_seconds": 3,
            },
        },
        "recovery": {"timeout": 20},
        "objectives": {"rto": 20},
        "blast_radius": {"namespaces": ["web"]},
    }
    schedule = {
        "title": "Pod kill, often",
        "gameday": "days/day.yaml",
        "at": "@yearly",  # and never while the tests run
        "within": "400d",
        "kubernetes": {
            "namespace": HOME,
            "image": "registry.example/dr:1",
            "command": [sys.executable, "-m", "dr"],
            "node_selector": {LABEL: "true"},
            "secrets": ["bucket"],
            "claim": "reports",
        },
        "upload": {
            "bucket": "kept",
            "endpoint": f"http://127.0.0.1:{bucket.server_port}",
            "access_key": {"env": "S3_ID"},
            "secret_key": {"env": "S3_SECRET"},
        },
    }
    (folder / "days").mkdir()
    (folder / "days" / "day.yaml").write_text(yaml.safe_dump(gameday))
    (folder / "often.yaml").write_text(yaml.safe_dump(schedule))
    return folder


@pytest.fixture(scope="module")
def bodies(place: Path) -> list[Body]:
    """What `dr schedule --on kubernetes` writes."""
    done = dr("schedule", str(place / "often.yaml"), "--on", "kubernetes", "--into", str(place))
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all((place / f"{NAME}.yaml").read_text()))


def dr(*arguments: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    import os  # noqa: PLC0415

    return subprocess.run(
        [sys.executable, "-m", "dr", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, **environ},
    )


def test_a_cron_job_passes_the_strictest_standard_and_holds_its_gameday_with_its_own_rights(
    town: cluster.Cluster, bucket: Any, bodies: list[Body], tmp_path: Path
) -> None:
    async def ran(kube: Kube, name: str) -> Body:
        """Run what the CronJob makes; return the Job as it ended."""
        made = next(body for body in bodies if body["kind"] == "CronJob")
        job = named("Job", name, HOME, "batch/v1", spec=made["spec"]["jobTemplate"]["spec"])
        await kube.create(job)
        async with asyncio.timeout(60):
            async for change in kube.watch("batch/v1", "Job", namespace=HOME):
                ended = {text(c, "type") for c in items(change.body, "status", "conditions")}
                if ended & {"Complete", "Failed"} and text(change.body, "metadata", "name") == name:
                    return change.body
        raise AssertionError

    async def go() -> tuple[Body, Body]:
        async with Kube(town.access) as kube, running_pods(town.access, tmp_path):
            for body in bodies:
                await kube.apply(body, manager="test")
            return await ran(kube, "first"), await ran(kube, "second")

    job, again = asyncio.run(go())
    logs = "".join(log.read_text() for log in tmp_path.glob("first-*.log"))
    assert {text(c, "type") for c in items(job, "status", "conditions")} == {"SuccessCriteriaMet", "Complete"}, logs
    assert "Report: " in logs
    assert {text(c, "type") for c in items(again, "status", "conditions")} == {"SuccessCriteriaMet", "Complete"}
    assert "was dealt with" in next(tmp_path.glob("second-*.log")).read_text(), "the next pod knows of the slot"
    put = {path.rpartition("/")[2]: told for path, told, _ in bucket.put}
    assert "report.html" in put, "its reports are copied, with the keys of a Secret"
    assert all("Credential=an-id/" in told for told in put.values())
    assert PASSWORD not in logs + yaml.safe_dump_all(bodies)
    container = get(job, "spec", "template", "spec", "containers")[0]
    assert {"name": "secret-0", "mountPath": "/etc/dr/secrets/bucket"} in container["volumeMounts"]


@pytest.mark.parametrize(
    "at", ["0 9 * * 7", "0 9 * * 5-7", "5/25 0 * nov fri,7", "@yearly", "0 9 1-31 * MON", "30 2 * * *"]
)
def test_every_time_that_a_schedule_can_say_is_one_that_a_cron_job_takes(
    town: cluster.Cluster, place: Path, tmp_path: Path, at: str
) -> None:
    more = {"at": at, "timezone": "Europe/Berlin", **({"concurrency": "queue"} if at == "@yearly" else {})}
    schedule = {**yaml.safe_load((place / "often.yaml").read_text()), **more}
    (tmp_path / "days").mkdir()
    (tmp_path / "days" / "day.yaml").write_text((place / "days" / "day.yaml").read_text())
    (tmp_path / "at.yaml").write_text(yaml.safe_dump(schedule))
    done = dr("schedule", str(tmp_path / "at.yaml"), "--on", "kubernetes", "--into", str(tmp_path))
    assert done.returncode == 0, done.stderr
    made = list(yaml.safe_load_all((tmp_path / f"{NAME}.yaml").read_text()))
    jobs = [body for body in made if body["kind"] == "CronJob"]
    assert [text(job, "metadata", "name") for job in jobs] == [
        NAME,
        *([f"{NAME}-clocks"] if at == "30 2 * * *" else []),
    ]

    policies = {job["spec"]["concurrencyPolicy"] for job in jobs}
    lasts = mapping(jobs[0], "spec", "jobTemplate", "spec", "template", "spec")["activeDeadlineSeconds"]
    assert (lasts > 400 * 86_400) is (at == "@yearly"), "as long as it may have to wait"
    assert policies == {"Allow" if at == "@yearly" else "Forbid"}, "who queues waits in its pod"

    async def go() -> None:
        async with Kube(town.access) as kube:
            path = f"/apis/batch/v1/namespaces/{HOME}/cronjobs"
            for job in jobs:
                job["metadata"]["name"] += "-new"
                await kube.call("POST", path, job, {"Content-Type": "application/json"}, dryRun="All")

    asyncio.run(go())


def account(town: cluster.Cluster, folder: Path) -> str:
    """Return a kubeconfig with the rights of the schedule's service account."""

    async def made() -> str:
        async with Kube(town.access) as kube:
            path = f"/api/v1/namespaces/{HOME}/serviceaccounts/{NAME}/token"
            asked = {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"expirationSeconds": 3600},
            }
            _, body = await kube.call("POST", path, asked, {"Content-Type": "application/json"})
            return text(body, "status", "token")

    access = Access("in-cluster", town.access.server, town.access.ca, token=asyncio.run(made()))
    (folder / "account").write_bytes(kubeconfig(access))
    return str(folder / "account")


def test_its_rights_are_enough_and_none_can_be_left_out(
    town: cluster.Cluster, place: Path, bodies: list[Body], tmp_path: Path
) -> None:
    def apply(body: Body) -> None:
        async def go() -> None:
            async with Kube(town.access) as kube:
                await kube.apply(body, manager="test")

        asyncio.run(go())

    # A hold that nobody renews: it is found, taken over after the second that it lasts, and in the end given back.
    expired = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "dr-gameday", "namespace": "kube-system"},
        "spec": {"holderIdentity": "gone", "leaseDurationSeconds": 1, "renewTime": "2026-01-01T00:00:00.000000Z"},
    }

    def held() -> str:
        """Hold the gameday; return why it failed, "" where it was met."""
        apply(expired)
        argv = ("gameday", "run", str(place / "days" / "day.yaml"), "--yes", "--detail")
        done = dr(*argv, "--reports", str(tmp_path / "reports"), KUBECONFIG=kept)
        return done.stdout + done.stderr if done.returncode else ""

    for body in bodies:
        apply(body)
    kept = account(town, tmp_path)  # which the schedule brings
    assert held() == ""
    passed = []
    for role in [body for body in bodies if body["kind"] == "Role"]:
        for what, less in without(role):
            apply(less)
            if "forbidden" not in held():
                passed.append(what)
        apply(role)
    assert passed == []
    assert held() == ""


def test_a_gameday_that_has_nowhere_to_keep_its_own_says_so_and_strikes_nothing(
    town: cluster.Cluster, place: Path, bodies: list[Body], tmp_path: Path
) -> None:
    async def apply() -> None:
        async with Kube(town.access) as kube:
            for body in bodies:
                await kube.apply(body, manager="test")

    asyncio.run(apply())
    reports, no_folder = tmp_path / "reports", tmp_path / "file"
    no_folder.touch()
    words = ("schedule", "run", str(place / "often.yaml"), "--yes", "--reports", str(reports))
    done = dr(*words, KUBECONFIG=account(town, tmp_path), DR_STATE_DIR=str(no_folder / "dr"))
    assert done.returncode == 3
    assert "cannot be written: Not a directory" in done.stderr
    assert "Traceback" not in done.stderr
    last = slots.kept(reports, "Pod kill, often")[-1]
    assert (last.what, last.code) == ("done", 3)
    assert "cannot be written" in last.cause


def test_a_pod_that_would_forget_its_slots_is_refused(place: Path, tmp_path: Path) -> None:
    schedule = yaml.safe_load((place / "often.yaml").read_text())
    del schedule["kubernetes"]["claim"]
    (place / "forgetful.yaml").write_text(yaml.safe_dump(schedule))
    done = dr("schedule", str(place / "forgetful.yaml"), "--on", "kubernetes", "--into", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "has no `kubernetes.claim`" in done.stderr
    assert not (tmp_path / "out").exists()


def test_from_another_folder_the_same_is_written(place: Path, bodies: list[Body], tmp_path: Path) -> None:
    (place / "elsewhere").mkdir()
    words = ("schedule", "../often.yaml", "--on", "kubernetes", "--into", str(tmp_path))
    done = dr(*words, cwd=place / "elsewhere")
    assert done.returncode == 0, done.stderr
    assert list(yaml.safe_load_all((tmp_path / f"{NAME}.yaml").read_text())) == bodies


@pytest.mark.parametrize(
    ("secrets", "key", "said"),
    [
        ([], "/etc/dr/secrets/bucket/S3_SECRET", "name the Secrets that hold it in kubernetes.secrets"),
        (["bucket"], "s3-secret", "its pod has no file s3-secret"),
    ],
)
def test_a_secret_that_no_pod_would_have_is_refused(
    place: Path, tmp_path: Path, secrets: list[str], key: str, said: str
) -> None:
    schedule = yaml.safe_load((place / "often.yaml").read_text())
    schedule["kubernetes"]["secrets"], schedule["upload"]["secret_key"] = secrets, {"file": key}
    (tmp_path / "days").mkdir()
    (tmp_path / "days" / "day.yaml").write_text((place / "days" / "day.yaml").read_text())
    (tmp_path / "often.yaml").write_text(yaml.safe_dump(schedule))
    done = dr("schedule", str(tmp_path / "often.yaml"), "--on", "kubernetes", "--into", str(tmp_path / "out"))
    assert done.returncode == 2
    assert said in done.stderr


def test_a_gameday_that_no_pod_can_hold_is_refused_with_what_to_do(place: Path, tmp_path: Path) -> None:
    gameday = yaml.safe_load((place / "days" / "day.yaml").read_text())
    (tmp_path / "days").mkdir()
    (tmp_path / "often.yaml").write_text((place / "often.yaml").read_text())
    said = []
    for target, fault in (
        ({"context": "elsewhere", "lock": "x"}, gameday["fault"]),
        ({"create": {"restore": False}}, gameday["fault"]),
        (gameday["target"], {"experiment": "namespace-deletion", "with": {"namespace": "web"}}),
    ):
        body = {**gameday, "target": target, "fault": fault}
        (tmp_path / "days" / "day.yaml").write_text(yaml.safe_dump(body))
        done = dr("schedule", str(tmp_path / "often.yaml"), "--on", "kubernetes", "--into", str(tmp_path / "out"))
        assert done.returncode == 2
        said.append(done.stderr)
    assert "a pod strikes its own cluster" in said[0]
    assert "embedded cluster" in said[1]
    assert "its Roles would go with the namespace" in said[2]
    assert all("docs/concepts/schedules.md" in one for one in said[:2])
    assert "let github, gitlab or systemd run it" in said[2]
    assert not (tmp_path / "out").exists()
