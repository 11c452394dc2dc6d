"""What a move is taken for: the one that goes on, a new one, or one that cannot be meant."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from dr.adapters.store import EventLog
from dr.app.earlier import known
from dr.app.forklifts import Options, described, prepared
from dr.core.errors import ConfigError, UsageError
from dr.core.events import AnyEvent, Carrying, Injected, Moving, PlannedStep, Stage, Staged, Switched
from dr.core.hidden import Live
from dr.core.model import Ref
from dr.core.moving_data import left_over
from dr.core.work import Assignment, Work
from tests.app.stage import NEW, OLD, began, went


def commit(*names: str) -> Assignment:
    steps = tuple(PlannedStep(Ref("v1", "ConfigMap", "shop", name)) for name in names)
    return Assignment(steps, tuple(Work({}, "dr") for _ in steps))


FIRST, SECOND = commit("a", "b"), commit("a", "c")


def written(reports: Path, assignment: Assignment, *events: AnyEvent, name: str = "2026-11-23-100000-forklift") -> None:
    reports.joinpath(name).mkdir(parents=True)
    opening = msgspec.structs.replace(began(), digest=assignment.digest, steps=assignment.steps)
    with EventLog(reports / name) as log:
        for event in (opening, Moving(0.0, old=OLD, new=NEW, steps=(100,), data=()), *events):
            log.append(event)


def test_the_same_commit_goes_on(tmp_path: Path) -> None:
    written(tmp_path, FIRST, *went("preflight", "bootstrap"))
    found = known(tmp_path, FIRST, OLD.uid, NEW.uid)
    assert (found.folder, found.begun, found.left) == (tmp_path / "2026-11-23-100000-forklift", True, ())
    assert found.events[-1].stage == "bootstrap"  # type: ignore[union-attr]
    assert known(tmp_path, FIRST, NEW.uid, OLD.uid).folder is None, "the other way round is another move"


def test_what_preflight_found_can_be_put_into_git_and_the_move_begun_at_that_commit(tmp_path: Path) -> None:
    written(tmp_path, FIRST, *went("preflight", outcome="failed"))
    found = known(tmp_path, SECOND, OLD.uid, NEW.uid)
    assert (found.folder, found.events, found.begun, found.refused) == (None, (), False, "")
    assert found.other == "2026-11-23-100000-forklift"


FAILED: list[AnyEvent] = [*went("preflight", "bootstrap", "verify", "parity"), Stage(2, "cutover", "t")]
BACK: list[AnyEvent] = [*FAILED, Injected(3, "users", 3, ("users",), ""), Staged(4, "cutover", "returned", "t")]


@pytest.mark.parametrize("events", [went("preflight", "bootstrap"), BACK, FAILED])
def test_a_corrected_commit_can_be_tried_once_all_users_are_back(tmp_path: Path, events: list[AnyEvent]) -> None:
    written(tmp_path, FIRST, *events)
    found = known(tmp_path, SECOND, OLD.uid, NEW.uid)
    assert (found.folder, found.refused, found.begun) == (None, "", True)
    assert found.left == (Ref("v1", "ConfigMap", "shop", "b"),)
    live = [Live(Ref("v1", "ConfigMap", "shop", name), name) for name in "abc"]
    assert [row.subject for row in left_over(live, found.left)] == ["ConfigMap shop/b"]
    assert list(left_over(live[:1], found.left)) == []
    # Its own preflight did not pass yet: the cluster is known all the same to hold a part of it.
    written(tmp_path, SECOND, *went("preflight", outcome="failed"), name="2026-11-23-110000-forklift")
    again = known(tmp_path, SECOND, OLD.uid, NEW.uid)
    assert (again.folder, again.begun, again.left) == (tmp_path / "2026-11-23-110000-forklift", True, found.left)


@pytest.mark.parametrize(
    "event", [Injected(3, "users", 3, ("users",), ""), Carrying(3, "orders", "freeze"), Switched(3, "to")]
)
def test_no_other_commit_is_brought_to_a_cluster_that_users_depend_on(tmp_path: Path, event: AnyEvent) -> None:
    written(tmp_path, FIRST, *FAILED, event)
    assert "on the new cluster" in known(tmp_path, SECOND, OLD.uid, NEW.uid).refused
    written(tmp_path, FIRST, *BACK, *FAILED, event, name="2026-11-23-110000-forklift")
    assert "on the new cluster" in known(tmp_path, SECOND, OLD.uid, NEW.uid).refused


def test_what_came_before_the_old_cluster_was_retired_is_over(tmp_path: Path) -> None:
    written(tmp_path, FIRST, *went("preflight", "bootstrap"))
    moved = [
        *went("preflight", "bootstrap", "verify", "parity"),
        Switched(2, "to"),
        *went("cutover", "drain", "retire"),
    ]
    written(tmp_path, FIRST, *moved, name="2026-11-23-110000-forklift")
    assert known(tmp_path, FIRST, OLD.uid, NEW.uid).folder is None


def test_a_misspelt_file_is_no_repo_and_a_file_stands_alone(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mvoe\.yaml: No such file"):
        described([str(tmp_path / "mvoe.yaml")], Options())
    with pytest.raises(UsageError, match="names its repos itself"):
        described(["repo", "move.yaml"], Options())


def test_several_repos_are_one_platform(tmp_path: Path) -> None:
    found, _, digest, _ = described(["apps", "infra"], Options("blue", "green", env="prod"))
    assert ([repo.url for repo in found.repos], digest) == (["apps", "infra"], "")
    assert (found.title, found.source.context) == ("Move apps, infra", "blue")
    file = tmp_path / "move.yaml"
    file.write_text(
        "{title: t, repos: [{url: apps, path: a}, {url: infra, path: b}], from: {context: blue}, to: {context: green}}"
    )
    with pytest.raises(UsageError, match="the repos name the folders a, b"):
        prepared([str(file)], Options())
