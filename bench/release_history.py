"""Makes a git repo with a long history of releases, in release-manager's layout."""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

# Generated history ends here, whenever it is generated.
END = datetime(2026, 10, 1, 12, 0, tzinfo=UTC)

_ENVS = ("dev", "staging", "prod")
_SERVICES_PER_NAMESPACE = 40
_PEOPLE = ("ada", "grace", "edsger", "barbara", "donald", "radia", "ken", "frances")
# The share of release commits by intent; the first environment only takes branch and automatic releases.
_INTENTS = {"ReleaseArtifact": 25, "ReleaseBranch": 15, "Promote": 25, "AutoRelease": 30, "Rollback": 5}
_SUBJECTS = {"Rollback": "rollback", "AutoRelease": "auto release"}
# Commits of the first tenth of the time have no trailers, as an old repo's have none.
_TRAILERS_SINCE = 0.1


def release_manager(
    repo: Path,
    services: int = 1000,
    envs: int = 3,
    commits: int = 25_000,
    years: float = 2,
    *,
    bare: bool = False,
    seed: int = 0,
) -> None:
    """Make a git repo in release-manager's layout with `commits` releases spread over `years` up to `END`.

    The first commit adds all `services` to all `envs`; each further one changes one service's artifact.json
    and the image of its Deployment. Raises FileExistsError if `repo` is there already, and
    subprocess.CalledProcessError if git fails.
    """
    repo.mkdir(parents=True)
    _git(repo, "init", "--quiet", "--initial-branch=main", *(["--bare"] if bare else []))
    names = [*_ENVS, *(f"region-{number}" for number in range(envs - len(_ENVS)))][:envs]
    command = ["git", "fast-import", "--quiet", "--done", "--date-format=raw"]
    importer = subprocess.Popen(command, cwd=repo, stdin=subprocess.PIPE, env=_env())
    assert importer.stdin is not None  # noqa: S101 - asked for with PIPE
    with importer.stdin as stream:
        _history(stream, _History(random.Random(seed), names, services), commits, timedelta(days=365.25 * years))
        stream.write(b"done\n")
    if importer.wait():
        raise subprocess.CalledProcessError(importer.returncode, command)
    _git(repo, "repack", "-adfq", "--window=10", "--depth=50")
    _git(repo, "pack-refs", "--all")
    if not bare:
        _git(repo, "reset", "--quiet", "--hard")


@dataclass(frozen=True)
class _Release:
    env: str
    service: int
    message: str


class _History:
    """What each environment runs, and the releases that change it."""

    def __init__(self, rng: random.Random, envs: list[str], services: int) -> None:
        self.envs, self.services = envs, services
        self._rng = rng
        self.held = {(env, service): [self._artifact()] for env in envs for service in range(services)}

    def release(self, *, trailers: bool) -> _Release:
        """Move a service of an environment to another artifact; some services are released more often."""
        env, service = self._rng.choice(self.envs), int(self.services * self._rng.random() ** 2)
        held = self.held[env, service]
        before = held[-1]
        lower = self.envs[max(self.envs.index(env) - 1, 0)]
        intent = self._rng.choices(list(_INTENTS), list(_INTENTS.values()))[0]
        nothing = {"Promote": self.held[lower, service][-1] == before, "Rollback": len(held) == 1}
        if nothing.get(intent):
            intent = "ReleaseBranch"
        if intent == "Rollback":
            held.pop()
        else:
            held.append(self.held[lower, service][-1] if intent == "Promote" else self._artifact())
        actor, author = (f"{self._rng.choice(_PEOPLE)}@example.com" for _ in range(2))
        name = f"service-{service:04}"
        if not trailers and intent == "Rollback":
            return _Release(env, service, f"[{env}/{name}] rollback {before} to {held[-1]} by {actor}")
        subject = f"[{env}/{name}] {_SUBJECTS.get(intent, 'release')} {held[-1]} by {actor}"
        lines = [
            f"Service: {name}",
            f"Environment: {env}",
            f"Artifact-ID: {held[-1]}",
            f"Artifact-released-by: {actor}",
            f"Artifact-created-by: {author}",
            f"Release-intent: {intent}",
            *{
                "ReleaseBranch": ["Release-of-branch: master"],
                "Promote": [f"Promoted-from-environment: {lower}"],
                "Rollback": [f"Rollback-of-artifact-id: {before}"],
            }.get(intent, []),
        ]
        return _Release(env, service, "\n".join([subject, "", *lines, ""]) if trailers else subject)

    def _artifact(self) -> str:
        return f"master-{self._rng.getrandbits(40):010x}-{self._rng.getrandbits(40):010x}"


def _history(stream: IO[bytes], history: _History, commits: int, span: timedelta) -> None:
    start = END - span
    files = [item for (env, service), held in history.held.items() for item in _files(env, service, held[0], start)]
    policies = [(f"policies/service-{n:04}.json", _policy(n, history.envs)) for n in range(history.services)]
    _commit(stream, start, "Add all services", [*files, *policies])
    for number in range(commits):
        share = (number + 1) / (commits + 1)
        when = start + span * share
        release = history.release(trailers=share >= _TRAILERS_SINCE)
        artifact = history.held[release.env, release.service][-1]
        changed = [
            item
            for item in _files(release.env, release.service, artifact, when)
            if item[0].endswith(("artifact.json", "deployment.yaml"))
        ]
        _commit(stream, when, release.message, changed)


def _files(env: str, service: int, artifact: str, when: datetime) -> list[tuple[str, str]]:
    """Return the files of a service in an environment as path and text, artifact.json first."""
    name, namespace = f"service-{service:04}", f"squad-{service // _SERVICES_PER_NAMESPACE:02}"
    folder = f"{env}/releases/{namespace}/{name}"
    branch, sha, plan = artifact.split("-")
    author = {
        "authorName": _PEOPLE[service % len(_PEOPLE)],
        "authorEmail": f"{_PEOPLE[service % len(_PEOPLE)]}@example.com",
    }
    body = {
        "id": artifact,
        "service": name,
        "namespace": namespace,
        "squad": namespace,
        "application": {"branch": branch, "sha": sha, "name": name, "message": f"Change {sha}", **author},
        "ci": {
            "jobUrl": f"https://ci.example.com/{name}/{sha}",
            "start": f"{when - timedelta(minutes=9):%Y-%m-%dT%H:%M:%SZ}",
            "end": f"{when:%Y-%m-%dT%H:%M:%SZ}",
        },
        "shuttle": {"plan": {"name": "go-plan", "sha": plan}, "shuttleVersion": "v0.20.0"},
        "stages": [{"id": "build", "name": "Build", "data": {"tag": artifact, "dockerVersion": "20.10"}}],
    }
    meta = f"metadata:\n  name: {name}\n  namespace: {namespace}\n  labels:\n    app: {name}\n"
    config = f"apiVersion: v1\nkind: ConfigMap\n{meta}data:\n  ENV: {env}\n  LOG_LEVEL: info\n"
    account = f"apiVersion: v1\nkind: ServiceAccount\n{meta}"
    container = (
        f"      serviceAccountName: {name}\n      containers:\n        - name: {name}\n"
        f"          image: registry.example.com/{name}:{artifact}\n"
        f"          envFrom:\n            - configMapRef:\n                name: {name}\n"
    )
    deployment = (
        f"apiVersion: apps/v1\nkind: Deployment\n{meta}spec:\n  replicas: 2\n  selector:\n    matchLabels:\n"
        f"      app: {name}\n  template:\n    metadata:\n      labels:\n        app: {name}\n    spec:\n{container}"
    )
    ports = "  ports:\n    - name: http\n      port: 80\n      targetPort: 8080\n"
    net = f"apiVersion: v1\nkind: Service\n{meta}spec:\n  selector:\n    app: {name}\n{ports}"
    texts = {
        "artifact.json": json.dumps(body, indent=2) + "\n",
        "01-configmap.yaml": config,
        "30-serviceaccount.yaml": account,
        "40-deployment.yaml": deployment,
        "50-service.yaml": net,
    }
    return [(f"{folder}/{file}", text) for file, text in texts.items()]


def _policy(service: int, envs: list[str]) -> str:
    automatic = {"id": f"auto-release-master-{envs[0]}", "branch": "master", "environment": envs[0]}
    restricted = {"id": f"branch-restriction-{envs[-1]}", "branchRegex": "^master$", "environment": envs[-1]}
    body = {"service": f"service-{service:04}", "autoReleases": [automatic], "branchRestrictions": [restricted]}
    return json.dumps(body, indent=2) + "\n"


def _commit(stream: IO[bytes], when: datetime, message: str, files: list[tuple[str, str]]) -> None:
    server = f"release-manager <release-manager@example.com> {int(when.timestamp())} +0000"
    stream.write(f"commit refs/heads/main\nauthor {server}\ncommitter {server}\n".encode())
    stream.write(b"".join(_data(message)))
    for path, text in files:
        stream.write(b"".join((f"M 100644 inline {path}\n".encode(), *_data(text))))


def _data(text: str) -> Iterator[bytes]:
    content = text.encode()
    yield b"data %d\n" % len(content)
    yield content
    yield b"\n"


def _env() -> dict[str, str]:
    return {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


def _git(repo: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=repo, env=_env(), check=True, stdin=subprocess.DEVNULL)
