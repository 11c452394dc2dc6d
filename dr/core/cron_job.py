"""A schedule as what runs it in a cluster: a CronJob, its service account and rights, its files. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from dr.core.calendar import Cron, cron, written
from dr.core.gameday import Gameday
from dr.core.herd import Kubernetes
from dr.core.jobs import IN_CLUSTER, REPORTS, SECRETS, worker
from dr.core.model import Body
from dr.core.rights import roles
from dr.core.rules.rights import Right
from dr.core.timetable import Schedule, referred

FILES = "/etc/dr/files"
CLOCKS = "-clocks"  # ends the name of the CronJob that wakes when clocks have gone forward
_SPARE = 600.0  # seconds beyond what the gameday's own limits add up to
_KEPT = 3


def bodies(
    schedule: Schedule,
    gameday: Gameday,
    home: Kubernetes,
    name: str,
    files: Mapping[str, str],
    file: str,
    rights: Iterable[Right],
    also: Cron | None,
) -> tuple[Body, ...]:
    """Return the objects to apply.

    `files`: contents by relative path, of which `file` is the schedule. `name` is that of all objects. `also`: when
    else to wake, because of clocks that go forward. Reports go to the claim, and with them what is known of slots:
    in autumn a CronJob wakes twice for one.
    """
    place = {"name": name, "namespace": home.namespace}
    keys = {path: f"file-{number}" for number, path in enumerate(sorted(files))}
    pod = _pod(schedule, gameday, home, name, keys, file)
    return (
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": place},
        *roles(rights, name, name, home.namespace),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": place,
            "data": {keys[path]: content for path, content in files.items()},
        },
        *(
            _cron_job(rule, f"{name}{ending}", schedule, place, pod)
            for rule, ending in ((cron(schedule.at), ""), (also, CLOCKS))
            if rule
        ),
    )


def _pod(schedule: Schedule, gameday: Gameday, home: Kubernetes, name: str, keys: Mapping[str, str], file: str) -> Body:
    mounted = [{"key": key, "path": path} for path, key in sorted(keys.items())]
    argv = [*home.command, "schedule", "run", f"{FILES}/{file}", "--yes", "--reports", REPORTS]
    mounts: dict[str, tuple[str, Body]] = {
        "files": (FILES, {"configMap": {"name": name, "items": mounted}}),
        "reports": (REPORTS, {"persistentVolumeClaim": {"claimName": home.claim}}),
    }
    return worker("gameday", argv, replace(home, service_account=name), mounts, lasts(schedule, gameday))


def _cron_job(rule: Cron, name: str, schedule: Schedule, place: Body, pod: Body) -> Body:
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {**place, "name": name},
        "spec": {
            # Not as it is written: what runs CronJobs knows no day 7, nor some of the names.
            "schedule": written(rule),
            "timeZone": schedule.timezone,
            # Who queues waits in its pod: a CronJob that forbids would drop the slot.
            "concurrencyPolicy": "Forbid" if schedule.concurrency == "forbid" else "Allow",
            "startingDeadlineSeconds": max(60, int(schedule.within)),
            "successfulJobsHistoryLimit": _KEPT,
            "failedJobsHistoryLimit": _KEPT,
            "jobTemplate": {
                "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": {"app": place["name"]}}, "spec": pod}},
            },
        },
    }


def lasts(schedule: Schedule, gameday: Gameday) -> float:
    """Return after how many seconds a run that has not ended is stuck: all its own limits are over."""
    steady = gameday.steady_state
    queued = float(schedule.within) if schedule.concurrency == "queue" else 0.0
    return (
        queued
        + float(schedule.jitter)
        + steady.within
        + gameday.recovery.timeout
        + steady.hold
        + gameday.cool_down
        + _SPARE
    )


def unfit(schedule: Schedule, gameday: Gameday, home: Kubernetes) -> str:
    """Return why a gameday cannot be run from a pod, "" where it can."""
    if gameday.target.create:
        return "it makes an embedded cluster, whose programs no image has: let github, gitlab or systemd run it"
    if gameday.target.context != IN_CLUSTER:
        return f"its target is {gameday.target.context}: a pod strikes its own cluster, `context: {IN_CLUSTER}`"
    references = tuple(referred(schedule, gameday))
    if references and not home.secrets:
        names = ", ".join(sorted(one.env or one.file for one in references))
        return f"it refers to {names}, and its pod has no secret: name the Secrets that hold it in kubernetes.secrets"
    outside = sorted(one.file for one in references if one.file and not one.file.startswith(f"{SECRETS}/"))
    if outside:
        return f"its pod has no file {outside[0]}: a Secret that kubernetes.secrets names is under {SECRETS}/NAME"
    return ""
