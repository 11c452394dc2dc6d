"""`dr chaos` and `dr gameday` as people type them: what there is, what is wrong with a file, what would be done."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from dr.app import experiments
from dr.app.gamedays import read
from dr.cli import main
from dr.core.gameday import Duration, Gameday, RepoSource
from tests.embedded import binaries

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in (ROOT / "experiments").glob("*.yaml"))
DR = str(Path(sys.executable).parent / "dr")
CHAOS = str(Path(sys.executable).parent / "chaos")
SOUND: dict[str, Any] = {
    "title": "A nap",
    "description": "Nothing is struck.",
    "configuration": {"token": "none"},
    "method": [
        {"type": "action", "name": "nap", "provider": {"type": "process", "path": "sleep", "arguments": "${token}"}}
    ],
}
POD = (
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: default}\nspec: {containers: [{name: c, image: i}]}\n"
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Begin each test in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def dr(*arguments: str, said: str = "") -> Result:
    result = CliRunner().invoke(main, list(arguments), input=said)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_every_experiment_is_listed_with_what_it_strikes() -> None:
    rows = json.loads(dr("chaos", "list", "-o", "json").stdout)["experiments"]
    assert [row["name"] for row in rows] == NAMES
    assert len(NAMES) == 14
    shown = dr("chaos", "list").stdout.splitlines()
    assert [line.split(maxsplit=1)[0] for line in shown if line[:1].strip()] == NAMES
    assert all(row["blast_radius"] and "${" not in row["blast_radius"] for row in rows)


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_is_described_before_it_is_run(name: str) -> None:
    shown = dr("chaos", "describe", name)
    assert shown.exit_code == 0
    for label in ("learned from", "blast radius", "undone by", "recovery", "probes", "setting", "run it"):
        assert label in shown.stdout
    said = json.loads(dr("chaos", "describe", name, "-o", "json").stdout)
    assert said["dr"]["undo"]
    assert f"chaos run {name} --to TARGET" in shown.stdout


def test_a_setting_outranks_the_file_and_one_that_sounds_secret_is_not_shown(here: Path) -> None:
    shown = dr("chaos", "describe", "pod-kill", "--with", "namespace=payments", "-o", "json").stdout
    assert json.loads(shown)["settings"]["namespace"] == "payments"
    (here / "nap.yaml").write_text(yaml.safe_dump(SOUND))
    for form in ("text", "json"):
        said = dr("chaos", "describe", "nap.yaml", "--with", "token=hunter2", "-o", form).stdout
        assert "token" in said
        assert "hunter2" not in said
    unknown = dr("chaos", "describe", "pod-kill", "--with", "namspace=x")
    assert unknown.exit_code == 2
    assert "it has no setting namspace" in unknown.stderr


def test_all_experiments_that_come_along_are_sound() -> None:
    done = dr("chaos", "validate")
    assert done.exit_code == 0, done.stdout
    assert "14 experiments of 14 sound" in done.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"configuration": ["a"]}, ":2: `configuration` is no mapping"),
        ({"secrets": "hunter2"}, "`secrets` is no mapping"),
        ({"method": ["kill"]}, "`method.0` is no mapping"),
        ({"method": {"kill": 1}}, "no list called `method`"),
        ({"method": [{"type": "action", "provider": "python"}]}, "`method.0.provider` is no mapping"),
        ({"rollbacks": "undo"}, "`rollbacks` is no list"),
        ({"controls": [None]}, "`controls.0` is no mapping"),
        ({"extensions": [7]}, "`extensions.0` is no mapping"),
        ({"steady-state-hypothesis": {"probes": ["up"]}}, "`steady-state-hypothesis.probes.0` is no mapping"),
        (
            {
                "extensions": [
                    {
                        "name": "dr",
                        "scenario": "s",
                        "blast_radius": "b",
                        "undo": "u",
                        "steady_state": {"probes": [{"name": "web", "kubernetes": {"service": "web"}}]},
                    }
                ]
            },
            "steady_state.probes.0.kubernetes.service: web is not written as namespace/name",
        ),
    ],
)
def test_a_file_of_the_wrong_shape_is_named_by_its_line(here: Path, change: dict[str, Any], said: str) -> None:
    # The changed field stands second, so that its line is known.
    body = {"title": "t", **change, **{k: v for k, v in SOUND.items() if k not in {"title", *change}}}
    (here / "bad.yaml").write_text(yaml.safe_dump(body, sort_keys=False))
    done = dr("chaos", "validate", "bad.yaml")
    assert done.exit_code == 1
    assert "bad.yaml" in done.stdout
    assert said in done.stdout
    run = dr("chaos", "run", "bad.yaml", "--embedded", "--yes")
    assert run.exit_code == 2
    assert said in run.stderr


@pytest.mark.parametrize("content", ["", "[]", "a: [", "method: [1]\n---\n", "\0", "7"])
def test_a_file_that_is_no_experiment_is_named_and_nothing_more(here: Path, content: str) -> None:
    (here / "bad.yaml").write_text(content)
    done = dr("chaos", "validate", "bad.yaml")
    assert done.exit_code == 1
    assert "bad.yaml:" in done.stdout


def test_a_file_that_cannot_be_read_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "bad.yaml").write_text("method: []")

    def denied(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    done = dr("chaos", "validate", "bad.yaml")
    assert (done.exit_code, "bad.yaml: Permission denied" in done.stdout) == (1, True)
    assert dr("chaos", "describe", "n" * 5000).exit_code == 2


def test_a_validation_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "_SECONDS", 0.01)
    done = dr("chaos", "validate", "pod-kill")
    assert done.exit_code == 1
    assert "has not validated it within 0.01 s" in done.stdout


def test_the_real_command_discovers_what_there_is(here: Path) -> None:
    # As `pip install .` leaves it; an editable install lists no modules, and the toolkit looks for them there.
    installed = here / "site" / f"dr_gameday-{version('dr-gameday')}.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dr-gameday\nVersion: {version('dr-gameday')}\n")
    (installed / "RECORD").write_text("dr/__init__.py,,\n")
    words = [CHAOS, "--no-version-check", "discover", "--no-install", "--discovery-path", "found.json", "dr-gameday"]
    environ = {**os.environ, "PYTHONPATH": f"{installed.parent}:{ROOT}"}
    done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert (here / "found.json").exists(), done.stderr
    found = {row["name"]: row["type"] for row in json.loads((here / "found.json").read_text())["activities"]}
    assert {"kill_pods": "action", "undo": "action", "workload_ready": "probe"}.items() <= found.items()


def asked(repo: str) -> RepoSource | None:
    words: dict[str, Any] = {"to": "", "embedded": True, "lock": "", "given": (), "repo": repo, "env": ""}
    found: RepoSource | None = experiments.asked({**words, "rto": None, "rpo": None, "timeout": None})["repo"]
    return found


def test_a_repo_on_the_command_line_keeps_the_user_of_its_address(here: Path) -> None:
    (here / "odd@name").mkdir()
    for said, url, rev in (
        ("git@host:org/x", "git@host:org/x", ""),
        ("git@host:org/x@v1", "git@host:org/x", "v1"),
        ("ssh://git@host/org/x.git", "ssh://git@host/org/x.git", ""),
        ("odd@name", "odd@name", ""),
        ("odd@name@main", "odd@name", "main"),
    ):
        assert asked(said) == RepoSource(url, rev)
    assert asked("") is None


def test_a_repo_on_the_command_line_is_the_one_we_stand_in(here: Path) -> None:
    (here / "web.yaml").write_text(POD)
    (here / "dr.yaml").write_text("productoin: []\n")
    done = dr("chaos", "run", "pod-kill", "--embedded", "--repo", ".", "--dry-run")
    assert done.exit_code == 2
    assert "productoin" in done.stderr


ANSWERS = {
    "title": "We lose it",
    "experiment": "pod-kill",
    "target": "create",
    "repo": "platform",
    "env": "",
    "probe": "",
    "recovery": "observe",
    "rto": "2m",
    "rpo": "",
    "owner": "Ada",
}


def answers(file: Path, **given: str) -> Result:
    words = [word for key, value in {**ANSWERS, **given}.items() for word in ("--set", f"{key}={value}")]
    return dr("gameday", "init", str(file), *words)


def test_a_person_is_asked_for_what_is_not_said_and_enter_takes_the_offer(here: Path) -> None:
    people, terminal = pty.openpty()
    os.write(people, b"We lose it\npod-kill\n\nplatform\n\n\n\n\n\nAda\n")
    done = subprocess.run(
        [DR, "gameday", "init", "day.yaml"], stdin=terminal, capture_output=True, check=False, timeout=60
    )
    os.close(people)
    os.close(terminal)
    assert done.returncode == 0, done.stderr
    found = gameday(here / "day.yaml")
    assert found.target.create
    assert (found.title, found.objectives.rto, found.roles) == ("We lose it", Duration(900), {"lead": "Ada"})


def gameday(file: Path) -> Gameday:
    return read(file)[0]


def test_a_gameday_is_written_from_answers_and_says_what_it_would_do(here: Path) -> None:
    file = here / "days" / "pods.yaml"
    (here / "platform").mkdir()
    (here / "platform" / "web.yaml").write_text(POD)
    done = answers(file)
    assert done.exit_code == 0, done.output
    found = gameday(file)
    assert (found.title, found.fault.experiment, found.recovery.by) == ("We lose it", "pod-kill", "observe")
    assert (found.objectives.rto, found.roles) == (Duration(120), {"lead": "Ada"})
    assert found.repo == RepoSource("../platform"), "its path is relative to the file"
    assert answers(file).exit_code == 2, "it is there already"
    binaries()
    dry = dr("gameday", "run", str(file), "--dry-run")
    assert dry.exit_code == 0, dry.output
    for said in (
        "We lose it",
        "an embedded cluster of 3 nodes",
        "One pod of a service is killed",
        "rto 2m",
        "nothing was changed",
    ):
        assert said in dry.stdout, dry.stdout
    rows = json.loads(dr("gameday", "run", str(file), "--dry-run", "-o", "json").stdout)
    assert rows["refused"] == []


@pytest.mark.parametrize(
    ("said", "url", "rev"),
    [("git@host:org/x", "git@host:org/x", ""), ("https://host/x.git@v2", "https://host/x.git", "v2")],
)
def test_a_repo_of_a_gameday_keeps_the_user_of_its_address(here: Path, said: str, url: str, rev: str) -> None:
    assert answers(here / "day.yaml", repo=said).exit_code == 0
    assert gameday(here / "day.yaml").repo == RepoSource(url, rev)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"recovery": "prayer"}, "`prayer` is none of observe"),
        ({"rto": "soon"}, "'soon' is no duration"),
        ({"weather": "fine"}, "there is no question weather"),
        ({"experiment": "nothing-like-it"}, "there is no experiment"),
        ({"probe": "web"}, "web is not written as namespace/name"),
    ],
)
def test_answers_that_make_no_gameday_write_nothing(here: Path, more: dict[str, str], said: str) -> None:
    done = answers(here / "day.yaml", **more)
    assert done.exit_code == 2
    assert said in done.stderr
    assert not (here / "day.yaml").exists()


def test_a_dry_run_says_all_that_forbids_the_exercise(here: Path) -> None:
    assert answers(here / "day.yaml").exit_code == 0
    body = yaml.safe_load((here / "day.yaml").read_text())
    del body["repo"]
    body["target"] = {"create": {"nodes": 3, "restore": False}}
    body["fault"]["with"] = {"namespace": "kube-system"}
    body["approvals"] = [{"by": "Ada", "until": "2001-01-01T00:00:00Z"}]
    (here / "day.yaml").write_text(yaml.safe_dump(body))
    done = dr("gameday", "run", "day.yaml", "--dry-run")
    assert done.exit_code == 2
    assert "kube-system is the cluster's own namespace" in done.stdout
    assert "expired at 2001" in done.stdout
    assert "nothing was changed" in done.stdout
    assert dr("gameday", "run", "day.yaml", "--yes").exit_code == 2
    assert not (here / "reports").exists()
