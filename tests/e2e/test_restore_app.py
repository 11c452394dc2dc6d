"""The restore command from end to end, on a cluster in memory: its question, its exit code, what it leaves behind."""

from __future__ import annotations

import errno
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from dr.adapters.store import EventLog, events
from dr.app import restores, verification
from dr.cli import main
from dr.core.errors import ApiError, StoreError
from dr.core.events import Applied, Ended, Event
from dr.core.model import Body
from dr.engine.lock import RESTORE
from tests.engine.fake_cluster import FakeCluster

CONTEXT = "fake"


class Memory(FakeCluster):
    """The cluster in memory as the command's client: it is opened any number of times."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Memory:
    found = Memory()
    monkeypatch.setenv("DR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for module in (restores, verification):
        monkeypatch.setattr(module, "target", lambda name, **_: name)
        monkeypatch.setattr(module, "Kube", lambda _: found)
    return found


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "platform"
    folder.mkdir()
    for name in "ab":
        text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: default}}\n"
        (folder / f"{name}.yaml").write_text(text)
    return folder


def dr(*arguments: str) -> Result:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def restore(repo: Path, *more: str) -> Result:
    return dr("restore", str(repo), "--to", CONTEXT, "--yes", *more)


def run_of(folder: Path) -> Path:
    (run,) = folder.glob("reports/*/")
    return run


# Verifying.


def test_a_repo_that_could_not_be_read_whole_is_never_verified(cluster: Memory, repo: Path) -> None:
    assert restore(repo).exit_code == 0
    assert dr("verify", str(repo), "--to", CONTEXT).exit_code == 0
    (repo / "c.yaml").write_text("kind: ConfigMap\n  metadata: [")
    result = dr("verify", str(repo), "--to", CONTEXT)
    assert result.exit_code == 1
    assert "1 part of git could not be read" in result.output
    assert "c.yaml:2: yaml-syntax" in result.output
    (unread,) = json.loads(dr("verify", str(repo), "--to", CONTEXT, "-o", "json").stdout)["unread"]
    assert unread["where"] == "c.yaml:2"


# What breaks a run off.


def refused(body: Body, _: int) -> None:
    raise ApiError("spec: Invalid value", status=422)


def lost(cluster: Memory) -> None:
    """Have another run take the cluster away once something was applied."""

    def faults(body: Body, _: int) -> None:
        if body["metadata"]["name"] == "b":
            lease = cluster.objects["coordination.k8s.io", "Lease", "kube-system", RESTORE]
            cluster.put({**lease, "spec": {**lease["spec"], "holderIdentity": "thief"}})
            raise ApiError("busy", status=503, heals=True, delay=5.0)

    cluster.faults = faults


def test_a_run_that_loses_its_hold_leaves_its_end_and_its_report(
    cluster: Memory, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dr.engine.lock._RENEW_EVERY", 0.05)
    lost(cluster)
    result = restore(repo)
    assert result.exit_code == 3
    assert "thief has taken the cluster over" in result.stderr
    told = events(run_of(tmp_path))
    assert isinstance(told[-1], Ended)
    assert told[-1].outcome == "failed"
    for name in ("report.html", "report.md", "report.json"):
        assert "thief has taken the cluster over" in (run_of(tmp_path) / name).read_text(), name


def test_a_full_disk_is_what_the_run_ends_with(
    cluster: Memory, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = EventLog.append

    def full(log: EventLog, event: Event) -> None:
        if isinstance(event, Applied | Ended):
            raise StoreError("No space left on device", "make room on the disk")
        append(log, event)

    monkeypatch.setattr(EventLog, "append", full)
    result = restore(repo)
    assert result.exit_code == 3
    assert "No space left on device" in result.stderr
    assert not any(isinstance(event, Ended) for event in events(run_of(tmp_path)))


def test_reports_that_cannot_be_written_are_not_taken_for_a_restore_that_failed(
    cluster: Memory, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, _: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    result = restore(repo)
    assert result.exit_code == 3
    assert "cannot be written: No space left on device; the run's events are kept" in result.stderr
    (ended,) = [event for event in events(run_of(tmp_path)) if isinstance(event, Ended)]
    assert ended.outcome == "passed"


# Secrets.


def test_the_password_of_a_repos_url_is_in_no_record_of_a_run(
    cluster: Memory, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "https://ada:hunter2@git.example/platform.git@v1"
    monkeypatch.setattr("sys.argv", ["dr", "restore", url, "--to", CONTEXT])
    cluster.faults = refused
    result = restore(repo)
    assert result.exit_code == 1
    assert "dr restore" in (run_of(tmp_path) / "report.json").read_text()
    assert "hunter2" not in result.output
    for file in run_of(tmp_path).iterdir():
        assert b"hunter2" not in file.read_bytes(), file.name
        assert b"ada:" not in file.read_bytes(), file.name


# The question for the cluster's name.


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Return what calls `dr` at a terminal where a line is typed; it returns the exit code and what was said."""

    def call(line: str, *arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", Terminal(f"{line}\n"))
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        return int(ended.value.code or 0), capsys.readouterr().err

    return call


@pytest.mark.parametrize("line", ["prod", "y", "FAKE"])
def test_another_word_than_the_clusters_name_changes_nothing(
    cluster: Memory, repo: Path, typed: Callable[..., tuple[int, str]], line: str
) -> None:
    code, said = typed(line, "restore", str(repo), "--to", CONTEXT)
    assert code == 2
    assert 'context "fake". Type its name' in said
    assert "nothing was changed" in said
    assert not cluster.objects


def test_the_clusters_name_typed_is_leave_to_restore(
    cluster: Memory, repo: Path, typed: Callable[..., tuple[int, str]]
) -> None:
    code, said = typed(CONTEXT, "restore", str(repo), "--to", CONTEXT)
    assert code == 0, said
    assert ("", "ConfigMap", "default", "a") in cluster.objects


def test_without_a_terminal_and_without_yes_nothing_is_changed(cluster: Memory, repo: Path) -> None:
    result = dr("restore", str(repo), "--to", CONTEXT)
    assert result.exit_code == 2
    assert "there is no terminal" in result.stderr
    assert not cluster.objects


def test_a_cluster_that_was_made_for_it_is_not_asked_about(cluster: Memory, repo: Path) -> None:
    identity = cluster.identity

    async def embedded() -> Any:
        return replace(await identity(), embedded=True)

    cluster.identity = embedded  # type: ignore[method-assign]
    assert dr("restore", str(repo), "--to", CONTEXT).exit_code == 0
