"""The benchmarks' inputs are what they claim to be, or every figure made with them is worthless."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import networkx as nx
import pytest
import yaml

from bench.flux_platform import flux_platform
from bench.generate import objects
from bench.release_history import release_manager
from tests.lacking import lacking


def _documents(folder: Path, pattern: str) -> list[dict[str, object]]:
    texts = (path.read_text() for path in sorted(folder.rglob(pattern)))
    return [body for text in texts for body in yaml.safe_load_all(text)]


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _git(repo: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=repo, check=True, capture_output=True, text=True).stdout.strip()


def _kubectl() -> str:
    beside = Path(sys.executable).with_name("kubectl")
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    if not found:
        lacking("no kubectl beside this Python or on PATH")
    return found


def _identity(body: dict[str, object]) -> tuple[object, object, object]:
    meta = body["metadata"]
    assert isinstance(meta, dict)
    return body["kind"], meta.get("namespace"), meta["name"]


@pytest.mark.parametrize(("count", "per_file", "files"), [(600, 5, 120), (207, 4, 52)])
def test_as_many_distinct_objects_and_files_as_asked_for(tmp_path: Path, count: int, per_file: int, files: int) -> None:
    assert objects(tmp_path / "repo", count, per_file) == files
    bodies = _documents(tmp_path / "repo", "part-*.yaml")
    assert len(bodies) == len({_identity(body) for body in bodies}) == count


def test_kubectl_builds_every_generated_object(tmp_path: Path) -> None:
    objects(tmp_path / "repo", 450)
    built = subprocess.run([_kubectl(), "kustomize", tmp_path / "repo"], check=True, capture_output=True, text=True)
    assert len(list(yaml.safe_load_all(built.stdout))) == 450


def test_generated_objects_refer_to_nothing_that_is_missing(tmp_path: Path) -> None:
    objects(tmp_path / "repo", 400)
    bodies = _documents(tmp_path / "repo", "part-*.yaml")
    known = {_identity(body) for body in bodies}
    for body in bodies:
        kind, namespace, name = _identity(body)
        assert kind == "Namespace" or ("Namespace", None, namespace) in known
        if kind == "Deployment":
            account = body["spec"]["template"]["spec"]["serviceAccountName"]  # type: ignore[index]
            assert account == "default" or ("ServiceAccount", namespace, account) in known
            assert {("ConfigMap", namespace, name), ("Secret", namespace, name)} <= known


def test_an_existing_folder_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "keep.txt").write_text("mine")
    for make in (objects, release_manager, flux_platform):
        with pytest.raises(FileExistsError):
            make(tmp_path)
    assert _content(tmp_path) == {"keep.txt": b"mine"}


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small repo in release-manager's layout."""
    repo = tmp_path_factory.mktemp("history") / "repo"
    release_manager(repo, services=50, envs=3, commits=400, years=1)
    return repo


def test_git_finds_nothing_wrong_with_a_generated_history(history: Path) -> None:
    assert not _git(history, "fsck", "--strict", "--no-dangling")
    assert not _git(history, "status", "--porcelain")
    assert _git(history, "rev-list", "--count", "HEAD") == "401"


def test_a_release_changes_the_image_and_the_artifact_of_one_service(history: Path) -> None:
    changed = [
        set(part.split("\n")[1:])
        for part in _git(history, "log", "--name-only", "--format=%x00", "HEAD~50..HEAD")
        .replace("\n\n", "\n")
        .split("\0")
        if part
    ]
    assert len(changed) == 50
    for files in changed:
        paths = {Path(file) for file in files if file}
        assert len({path.parent for path in paths}) == 1
        assert {path.name for path in paths} == {"artifact.json", "40-deployment.yaml"}


def test_what_git_says_was_released_is_what_the_files_say(history: Path) -> None:
    for line in _git(
        history, "log", "-20", "--format=%H %(trailers:key=Artifact-ID,valueonly,separator=)"
    ).splitlines():
        commit, artifact = line.split()
        files = _git(history, "diff-tree", "--no-commit-id", "--name-only", "-r", commit).splitlines()
        bodies = {Path(file).name: _git(history, "show", f"{commit}:{file}") for file in files}
        assert json.loads(bodies["artifact.json"])["id"] == artifact
        assert yaml.safe_load(bodies["40-deployment.yaml"])["spec"]["template"]["spec"]["containers"][0][
            "image"
        ].endswith(f":{artifact}")


def test_the_same_history_has_the_same_commits(history: Path, tmp_path: Path) -> None:
    release_manager(tmp_path / "again", services=50, envs=3, commits=400, years=1, bare=True)
    release_manager(tmp_path / "other", services=50, envs=3, commits=400, years=1, bare=True, seed=1)
    heads = [_git(repo, "rev-parse", "HEAD") for repo in (history, tmp_path / "again", tmp_path / "other")]
    assert heads[0] == heads[1] != heads[2]


def test_the_same_platform_is_the_same_byte_for_byte(tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        flux_platform(tmp_path / name, 100, seed)
    assert _content(tmp_path / "one") == _content(tmp_path / "two") != _content(tmp_path / "three")


@pytest.mark.parametrize("seed", range(3))
def test_the_known_order_of_a_platform_has_no_cycle_and_its_stated_shares(tmp_path: Path, seed: int) -> None:
    truth = flux_platform(tmp_path / "repo", 150, seed)
    units = [one for one in truth if one.after.startswith("Kustomization")]
    order: nx.DiGraph[str] = nx.DiGraph([(one.before, one.after) for one in truth])
    assert nx.is_directed_acyclic_graph(order)
    visible, redundant, unseen = ({o for o in units if o.why == why} for why in ("visible", "redundant", "unseen"))
    assert len(redundant) == len(unseen) == round(len(visible) / 10)
    for one in redundant:
        order.remove_edge(one.before, one.after)
    assert all(nx.has_path(order, one.before, one.after) for one in redundant)
    needed = nx.transitive_reduction(order).edges
    assert all((one.before, one.after) in needed for one in [*visible, *unseen])


def test_a_platform_declares_exactly_its_known_order(tmp_path: Path) -> None:
    truth = flux_platform(tmp_path / "repo", 120)
    bodies = [
        body for body in _documents(tmp_path / "repo", "*.yaml") if body["kind"] in ("Kustomization", "HelmRelease")
    ]
    owners = [body for body in bodies if "toolkit.fluxcd.io" in str(body["apiVersion"])]
    declared = set()
    for body in owners:
        kind, namespace, name = _identity(body)
        for wanted in body["spec"].get("dependsOn", []):  # type: ignore[attr-defined]
            declared.add(
                (f"{kind} {wanted.get('namespace', namespace)}/{wanted['name']}", f"{kind} {namespace}/{name}")
            )
    assert declared == {(one.before, one.after) for one in truth}
    assert len(owners) == 120 + 1


def test_too_small_a_platform_is_refused_with_the_least_size(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is the least"):
        flux_platform(tmp_path / "repo", 20)
    assert not (tmp_path / "repo").exists()
