"""Config repos through real git: what is listed, what is read, what is never touched."""

from __future__ import annotations

import functools
import http.server
import io
import os
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dr.adapters.git import RepoSnapshot, open_repo
from dr.adapters.git.notes import follow
from dr.core.errors import NotFound, RepoError, ToolError, UsageError
from dr.core.model import Level
from dr.core.source import Entry, Mode
from dr.engine.ports import Snapshot
from tests.lacking import lacking

Run = Callable[..., str]
LATIN1 = os.fsdecode(b"caf\xe9.yaml")


@pytest.fixture(autouse=True)
def _own_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings_file = tmp_path / "gitconfig"
    settings_file.write_text("[user]\nname = t\nemail = t@example.org\n[init]\ndefaultBranch = main\n[gc]\nauto = 0\n")
    for name in [name for name in os.environ if name.startswith("GIT_") and "PYTHON" not in name]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings_file))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def git(folder: Path, *args: str, date: str = "2026-01-10T12:00:00Z", data: bytes = b"") -> str:
    stamped = os.environ | {"GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date}
    done = subprocess.run(["git", "-C", folder, *args], env=stamped, input=data, capture_output=True, check=True)
    return done.stdout.decode(errors="replace").strip()


def commit(folder: Path, date: str = "2026-01-10T12:00:00Z") -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "m", date=date)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """Three files and two commits: `a.yaml` says old, then new; `apps/b.yaml` is there from the first on."""
    folder = tmp_path / "config"
    (folder / "apps" / "prod").mkdir(parents=True)
    git(folder, "init", "--quiet")
    (folder / "a.yaml").write_text("a: old\n")
    (folder / "apps" / "b.yaml").write_text("b: 1\n")
    (folder / "apps" / "prod" / "c.yaml").write_text("c: 1\n")
    commit(folder, "2026-01-10T12:00:00Z")
    git(folder, "tag", "v1.0")
    (folder / "a.yaml").write_text("a: new\n")
    commit(folder, "2026-02-10T12:00:00Z")
    git(folder, "branch", "feature/one")
    return folder


@pytest.fixture
def reading(tmp_path: Path) -> Callable[..., RepoSnapshot]:
    return functools.partial(open_repo, clones=tmp_path / "clones")


def contents(snapshot: Snapshot) -> dict[str, bytes]:
    return {entry.path: data for entry, data in snapshot.read(snapshot.entries)}


def codes(snapshot: Snapshot) -> set[tuple[str, str]]:
    return {(found.code, found.subject) for found in snapshot.diagnostics}


@pytest.mark.parametrize("rev", ["v1.0", "HEAD~1", "main~1", "feature/one^", "@{2026-01-10}", "@{2026-02-10T11:59Z}"])
def test_every_way_to_name_an_old_commit_reads_the_old_content(
    repo: Path, rev: str, reading: Callable[..., RepoSnapshot]
) -> None:
    old = git(repo, "rev-parse", "v1.0")
    (repo / "a.yaml").write_text("a: uncommitted\n")
    before = {path: path.stat() for path in (repo / "a.yaml", repo / ".git" / "index")}
    snapshot = reading(f"{repo}@{rev.removeprefix('@')}")
    assert contents(snapshot)["a.yaml"] == b"a: old\n"
    assert (snapshot.pin.name, snapshot.pin.commit, snapshot.pin.dirty) == ("config", old, False)
    assert snapshot.pin.time == "2026-01-10T12:00:00Z"
    assert contents(reading(str(repo), rev=rev)) == contents(snapshot) == contents(reading(f"{repo}@{old[:8]}"))
    assert {path: path.stat().st_mtime_ns for path in before} == {p: s.st_mtime_ns for p, s in before.items()}


def test_a_commit_reads_as_git_archive_has_it(repo: Path, reading: Callable[..., RepoSnapshot]) -> None:
    (repo / 'odd "name"\nof a file.yaml').write_bytes(b"\x00\xff\n")
    (repo / "empty.yaml").write_bytes(b"")
    (repo / "run.sh").write_bytes(b"#!/bin/sh\r\n")
    (repo / "run.sh").chmod(0o755)
    (repo / "link.yaml").symlink_to("a.yaml")
    commit(repo)
    archive = subprocess.run(["git", "-C", repo, "archive", "HEAD"], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = {item.name: file.read() for item in tar if item.isreg() and (file := tar.extractfile(item))}
    assert contents(reading(f"{repo}@HEAD")) == contents(reading(str(repo))) == files
    assert reading(f"{repo}@HEAD").entries == reading(str(repo)).entries
    assert list(reading(str(repo)).entries) == sorted(reading(str(repo)).entries)


def test_the_work_tree_is_read_as_it_is_and_marked_dirty(repo: Path, reading: Callable[..., RepoSnapshot]) -> None:
    (repo / ".gitignore").write_text("*.tmp\n")
    head = commit(repo)
    (repo / "ignored.tmp").write_text("x")
    clean = reading(str(repo))
    assert not clean.pin.dirty
    assert "ignored.tmp" not in contents(clean)
    (repo / "a.yaml").write_text("a: mine\n")
    (repo / "new.yaml").write_text("n: 1\n")
    (repo / "apps" / "b.yaml").unlink()
    dirty = reading(str(repo))
    assert (dirty.pin.dirty, dirty.pin.commit) == (True, head)
    assert contents(dirty) == {
        ".gitignore": b"*.tmp\n", "a.yaml": b"a: mine\n", "apps/prod/c.yaml": b"c: 1\n", "new.yaml": b"n: 1\n",
    }  # fmt: skip
    for entry, data in dirty.read(dirty.entries):
        assert entry.id == git(repo, "hash-object", "--stdin", data=data)


def test_a_clean_file_is_not_read_for_its_id(
    repo: Path, reading: Callable[..., RepoSnapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    (repo / "new.yaml").write_text("n: 1\n")
    read: list[bytes] = []

    def note(_: object, path: bytes, __: int) -> bytes:
        read.append(path)
        return b"n: 1\n"

    monkeypatch.setattr("dr.adapters.git.disk.Folder.read", note)
    assert len(reading(str(repo)).entries) == 4
    assert read == [b"new.yaml"]


def test_reading_a_work_tree_leaves_its_index_alone(repo: Path, reading: Callable[..., RepoSnapshot]) -> None:
    index = (repo / ".git" / "index").read_bytes()
    os.utime(repo / "a.yaml", (1, 1))
    assert not reading(str(repo)).pin.dirty
    assert (repo / ".git" / "index").read_bytes() == index


@pytest.mark.parametrize("hide", ["--assume-unchanged", "--skip-worktree"])
def test_a_change_that_git_was_told_to_overlook_still_gets_its_own_id(
    repo: Path, hide: str, reading: Callable[..., RepoSnapshot]
) -> None:
    git(repo, "update-index", hide, "a.yaml")
    (repo / "a.yaml").write_text("a: two\n")
    entry = next(entry for entry in reading(str(repo)).entries if entry.path == "a.yaml")
    assert entry.id == git(repo, "hash-object", "--no-filters", "a.yaml")


def test_a_file_behind_a_filter_gets_the_id_of_the_content_that_is_read(
    repo: Path, reading: Callable[..., RepoSnapshot]
) -> None:
    git(repo, "config", "filter.drop.clean", "sed s/secret//")
    (repo / ".gitattributes").write_text("a.yaml filter=drop\n")
    (repo / "a.yaml").write_text("a: secret\n")
    commit(repo)
    snapshot = reading(str(repo))
    assert not snapshot.pin.dirty
    entry = next(entry for entry in snapshot.entries if entry.path == "a.yaml")
    assert (entry.id, entry.size) == (git(repo, "hash-object", "--no-filters", "a.yaml"), 10)


def test_a_file_that_changes_while_it_is_read_comes_with_a_new_id(
    repo: Path, reading: Callable[..., RepoSnapshot]
) -> None:
    snapshot = reading(str(repo))
    (repo / "a.yaml").write_text("a: 2nd\n")
    (repo / "apps" / "b.yaml").unlink()
    read = {entry.path: (entry, data) for entry, data in snapshot.read(snapshot.entries)}
    assert read["a.yaml"] == (Entry("a.yaml", git(repo, "hash-object", "a.yaml"), 7), b"a: 2nd\n")
    assert "apps/b.yaml" not in read
    assert codes(snapshot) == {("unreadable", "apps/b.yaml")}


def test_a_sub_folder_gives_the_whole_repo_and_says_which_part_was_asked_for(
    repo: Path, reading: Callable[..., RepoSnapshot]
) -> None:
    for spec in (f"{repo}/apps/prod", f"{repo}/apps/prod/@v1.0"):
        snapshot = reading(spec)
        assert snapshot.prefix == "apps/prod"
        assert snapshot.pin.location == str(repo)
        assert [entry.path for entry in snapshot.entries] == ["a.yaml", "apps/b.yaml", "apps/prod/c.yaml"]


def test_an_ignored_folder_of_a_repo_is_read_as_a_plain_one(repo: Path, reading: Callable[..., RepoSnapshot]) -> None:
    (repo / ".gitignore").write_text("build\n")
    (repo / "build").mkdir()
    (repo / "build" / "out.yaml").write_text("o: 1\n")
    snapshot = reading(str(repo / "build"))
    assert (contents(snapshot), snapshot.pin.commit, snapshot.prefix) == ({"out.yaml": b"o: 1\n"}, "", "")


def test_bare_repos_git_folders_and_linked_work_trees_are_repos(
    repo: Path, tmp_path: Path, reading: Callable[..., RepoSnapshot]
) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(repo), "config.git")
    git(repo, "worktree", "add", "--quiet", str(tmp_path / "linked"), "v1.0")
    for spec in (tmp_path / "config.git", repo / ".git"):
        assert contents(reading(str(spec))) == contents(reading(str(repo)))
        assert reading(str(spec)).pin.name == "config"
    assert contents(reading(str(tmp_path / "linked")))["a.yaml"] == b"a: old\n"


def test_a_plain_folder_needs_no_git(
    tmp_path: Path, reading: Callable[..., RepoSnapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tmp_path / "plain@work"
    (plain / "sub" / ".git").mkdir(parents=True)
    (plain / "sub" / ".git" / "config").write_text("not listed")
    (plain / "sub" / "a.yaml").write_text("a: 1\n")
    (plain / "up").symlink_to("sub")
    monkeypatch.setenv("PATH", str(tmp_path))
    snapshot = reading(str(plain))
    assert contents(snapshot) == {"sub/a.yaml": b"a: 1\n"}
    assert (snapshot.pin.name, snapshot.pin.commit, snapshot.pin.dirty) == ("plain@work", "", False)
    assert [(entry.path, entry.mode) for entry in snapshot.entries] == [
        ("sub/a.yaml", Mode.FILE), ("up", Mode.SYMLINK),
    ]  # fmt: skip
    with pytest.raises(UsageError, match="not in git"):
        reading(f"{plain}@v1")


def test_sha256_repos_work(tmp_path: Path, reading: Callable[..., RepoSnapshot]) -> None:
    folder = tmp_path / "long"
    git(tmp_path, "init", "--quiet", "--object-format=sha256", "long")
    (folder / "a.yaml").write_text("a: 1\n")
    head = commit(folder)
    assert len(head) == 64
    (folder / "b.yaml").write_text("b: 1\n")
    snapshot = reading(str(folder))
    assert [entry.id for entry in snapshot.entries] == [
        git(folder, "hash-object", name) for name in ("a.yaml", "b.yaml")
    ]
    for spec in (f"{folder}@{head}", f"file://{folder}"):
        assert contents(reading(spec)) == {"a.yaml": b"a: 1\n"}


@pytest.mark.parametrize("rev", ["", "HEAD"])
def test_symlinks_are_never_followed_and_are_told_apart(
    repo: Path, tmp_path: Path, rev: str, reading: Callable[..., RepoSnapshot]
) -> None:
    (tmp_path / "secret.yaml").write_text("s: 1\n")
    for name, target in {
        "absolute.yaml": str(tmp_path / "secret.yaml"), "up": "..", "x": "y", "y": "x", "deep.yaml": "x/z.yaml",
        "in.yaml": "apps/b.yaml", "dir": "apps", "gone.yaml": "apps/none.yaml", "LICENSE": "COPYING", "round": "dir/..",
    }.items():  # fmt: skip
        (repo / name).symlink_to(target)
    commit(repo)
    snapshot = reading(str(repo), rev=rev)
    assert set(contents(snapshot)) == {"a.yaml", "apps/b.yaml", "apps/prod/c.yaml"}
    assert codes(snapshot) == {
        ("symlink-outside", "absolute.yaml"), ("symlink-outside", "up"), ("symlink-cycle", "x"), ("symlink-cycle", "y"),
        ("symlink-cycle", "deep.yaml"), ("symlink", "in.yaml"), ("symlink", "dir"), ("symlink", "gone.yaml"),
        ("symlink", "round"),
    }  # fmt: skip
    assert sum(entry.mode is Mode.SYMLINK for entry in snapshot.entries) == 10


def test_a_folder_replaced_by_a_symlink_does_not_lead_out_of_the_repo(
    repo: Path, tmp_path: Path, reading: Callable[..., RepoSnapshot]
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "b.yaml").write_text("b: secret\n")
    before = reading(str(repo))
    (repo / "apps").rename(tmp_path / "apps")
    (repo / "apps").symlink_to(tmp_path / "outside")
    assert set(contents(before)) == {"a.yaml"}
    after = reading(str(repo))
    assert set(contents(after)) == {"a.yaml"}
    assert ("symlink-outside", "apps") in codes(after)


TARGETS = st.lists(st.sampled_from(["a", "b", "c", "d", "..", "."]), min_size=1, max_size=4).map("/".join)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(links=st.dictionaries(st.sampled_from(["a", "b", "d/a", "d/b"]), TARGETS))
def test_symlinks_lead_where_the_file_system_says(
    links: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("links").resolve()
    (root / "d").mkdir()
    (root / "c").write_text("")
    for name, target in links.items():
        (root / name).symlink_to(target)
    for name in links:
        end = follow(name, links)
        try:
            real = (root / name).resolve(strict=True)
        except (OSError, RuntimeError):  # a cycle or nothing there
            continue
        if isinstance(end, str):
            assert root / end == real
        else:
            assert end.value == "outside"


@pytest.mark.parametrize("rev", ["", "HEAD"])
def test_submodules_are_named_with_what_to_do(repo: Path, rev: str, reading: Callable[..., RepoSnapshot]) -> None:
    other = "1234567890" * 4
    git(repo, "update-index", "--add", "--cacheinfo", f"160000,{other},charts")
    git(repo, "commit", "--quiet", "--message", "m")
    (repo / "charts").mkdir()
    snapshot = reading(str(repo), rev=rev)
    assert Entry("charts", other, 0, Mode.SUBMODULE) in snapshot.entries
    found = next(found for found in snapshot.diagnostics if found.code == "submodule")
    assert found.level is Level.WARNING
    assert "further REPO (123456789012" in found.remedy
    assert not snapshot.pin.dirty


def test_a_repo_inside_the_work_tree_is_not_read_as_part_of_it(
    repo: Path, reading: Callable[..., RepoSnapshot]
) -> None:
    git(repo, "init", "--quiet", "nested")
    (repo / "nested" / "n.yaml").write_text("n: 1\n")
    commit(repo / "nested")
    snapshot = reading(str(repo))
    assert "nested/n.yaml" not in contents(snapshot)
    assert codes(snapshot) == {("submodule", "nested")}


@pytest.mark.parametrize("rev", ["", "HEAD"])
def test_names_that_are_not_utf8_are_readable_and_told(
    repo: Path, rev: str, reading: Callable[..., RepoSnapshot]
) -> None:
    (repo / LATIN1).write_text("x: 1\n")
    (repo / "caf\\xe9.yaml").write_text("y: 1\n")
    commit(repo)
    snapshot = reading(str(repo), rev=rev)
    same = [entry for entry in snapshot.entries if entry.path == "caf\\xe9.yaml"]
    assert sorted(data for _, data in snapshot.read(same)) == [b"x: 1\n", b"y: 1\n"]
    assert codes(snapshot) == {("file-name", "caf\\xe9.yaml")}


@pytest.mark.parametrize("in_git", [True, False])
def test_a_huge_sparse_file_is_listed_and_never_read(
    repo: Path, tmp_path: Path, in_git: bool, reading: Callable[..., RepoSnapshot]
) -> None:
    folder = repo if in_git else tmp_path / "plain"
    folder.mkdir(exist_ok=True)
    for name in ("huge.yaml", "huge.bin"):
        with (folder / name).open("wb") as file:
            file.truncate(2**30)
    snapshot = reading(str(folder))
    huge = [entry for entry in snapshot.entries if entry.size == 2**30]
    assert [(entry.path, entry.id) for entry in huge] == [("huge.bin", ""), ("huge.yaml", "")]
    assert list(snapshot.read(huge)) == []
    (found,) = snapshot.diagnostics
    assert (found.code, found.subject, found.level) == ("too-large", "huge.yaml", Level.ERROR)
    assert "--max-file-size" in found.remedy


def test_a_large_blob_of_a_commit_is_listed_and_not_read(repo: Path, reading: Callable[..., RepoSnapshot]) -> None:
    snapshot = reading(f"{repo}@HEAD", max_bytes=6)
    assert set(contents(snapshot)) == {"apps/b.yaml", "apps/prod/c.yaml"}
    assert codes(snapshot) == {("too-large", "a.yaml")}


def test_a_tree_made_to_escape_its_folder_is_left_out(repo: Path, reading: Callable[..., RepoSnapshot]) -> None:
    blob = git(repo, "hash-object", "-w", "--stdin", data=b"evil: 1\n")
    inner = git(repo, "mktree", data=f"100644 blob {blob}\tevil.yaml\n".encode())
    for name in ("..", ".git"):
        tree = git(repo, "mktree", data=f"040000 tree {inner}\t{name}\n".encode())
        evil = git(repo, "commit-tree", tree, "-m", "evil")
        snapshot = reading(f"{repo}@{evil}")
        assert snapshot.entries == ()
        assert codes(snapshot) == {("file-name", f"{name}/evil.yaml")}


def test_an_lfs_pointer_is_a_file_like_any_other(repo: Path, reading: Callable[..., RepoSnapshot]) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    (repo / "big.yaml").write_bytes(pointer)
    (repo / ".gitattributes").write_text("big.yaml filter=lfs\n")
    commit(repo)
    assert contents(reading(f"{repo}@HEAD"))["big.yaml"] == contents(reading(str(repo)))["big.yaml"] == pointer


def test_a_repo_of_somebody_else_is_read_and_runs_none_of_its_programs(
    repo: Path, tmp_path: Path, reading: Callable[..., RepoSnapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    def arm() -> None:
        os.utime(repo / "a.yaml", (1, 1))
        (tmp_path / "ran").unlink(missing_ok=True)

    git(repo, "config", "filter.a=b.clean", f"touch {tmp_path}/ran; cat")
    git(repo, "config", "filter.a=b.required", "true")
    (repo / ".git" / "info" / "attributes").write_text("a.yaml filter=a=b\n")
    arm()
    git(repo, "status")
    assert (tmp_path / "ran").exists(), "the filter is not armed, so that the rest shows nothing"
    arm()
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    snapshot = reading(str(repo))
    assert contents(snapshot)["a.yaml"] == b"a: new\n"
    assert contents(reading(f"{repo}@v1.0"))["a.yaml"] == b"a: old\n"
    assert not snapshot.pin.dirty
    assert not (tmp_path / "ran").exists()


def test_hooks_and_monitors_of_a_repo_do_not_run(
    repo: Path, tmp_path: Path, reading: Callable[..., RepoSnapshot]
) -> None:
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    script.chmod(0o755)
    git(repo, "config", "core.fsmonitor", str(script))
    git(repo, "status")
    assert (tmp_path / "ran").exists()
    (tmp_path / "ran").unlink()
    assert len(reading(str(repo)).entries) == 3
    assert not (tmp_path / "ran").exists()


def test_a_git_hook_s_environment_does_not_answer_for_another_repo(
    repo: Path, tmp_path: Path, reading: Callable[..., RepoSnapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "--quiet", "other")
    expected = contents(reading(str(repo)))
    for name, value in {"GIT_DIR": ".git", "GIT_INDEX_FILE": "index", "GIT_OBJECT_DIRECTORY": "objects"}.items():
        monkeypatch.setenv(name, str(tmp_path / "other" / value))
    assert contents(reading(str(repo))) == expected == contents(reading(f"{repo}@HEAD"))


def test_a_date_means_what_the_branch_pointed_to_not_what_was_merged_later(
    repo: Path, reading: Callable[..., RepoSnapshot]
) -> None:
    git(repo, "checkout", "--quiet", "-b", "side", "v1.0")
    (repo / "side.yaml").write_text("s: 1\n")
    commit(repo, "2026-02-20T12:00:00Z")
    git(repo, "checkout", "--quiet", "main")
    git(repo, "merge", "--quiet", "--no-ff", "-m", "m", "side", date="2026-03-01T12:00:00Z")
    assert "side.yaml" not in contents(reading(f"{repo}@{{2026-02-25}}"))
    assert "side.yaml" in contents(reading(f"{repo}@{{2026-03-01}}"))
    assert "side.yaml" in contents(reading(f"{repo}@side@{{2026-02-25}}"))


def test_a_url_is_cloned_once_refreshed_and_still_there_when_the_network_is_not(
    repo: Path, tmp_path: Path, reading: Callable[..., RepoSnapshot]
) -> None:
    url = f"file://{repo}"
    assert contents(reading(url)) == contents(reading(str(repo)))
    assert contents(reading(f"{url}@v1.0"))["a.yaml"] == b"a: old\n"
    (repo / "a.yaml").write_text("a: newest\n")
    head = commit(repo)
    git(repo, "branch", "--move", "main", "trunk")
    repo.rename(tmp_path / "away")
    stale = reading(url)
    assert contents(stale)["a.yaml"] == b"a: new\n"
    assert codes(stale) == {("stale-clone", url)}
    (tmp_path / "away").rename(repo)
    fresh = reading(url)
    assert (fresh.pin.commit, fresh.pin.location, fresh.pin.name, fresh.diagnostics) == (head, url, "config", ())
    with pytest.raises(NotFound):
        reading(f"{url}@main")


@pytest.fixture
def web(tmp_path: Path, repo: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve the repo over http, with credentials in its URL."""
    if not Path(git(tmp_path, "--exec-path"), "git-remote-http").exists():
        lacking("this git has no http")
    monkeypatch.setenv("no_proxy", "*")
    git(tmp_path, "clone", "--quiet", "--bare", str(repo), "web.git")
    git(tmp_path / "web.git", "update-server-info")

    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Silent, directory=str(tmp_path))
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://user:hunter2@127.0.0.1:{server.server_port}/web.git"
        server.shutdown()


def test_credentials_of_a_url_are_neither_shown_nor_stored(
    web: str, repo: Path, tmp_path: Path, reading: Callable[..., RepoSnapshot]
) -> None:
    snapshot = reading(web)
    assert contents(snapshot) == contents(reading(str(repo)))
    assert snapshot.pin.location == web.replace("user:hunter2", "***")
    (tmp_path / "web.git").rename(tmp_path / "away.git")
    stale = reading(web)
    assert [found.code for found in stale.diagnostics] == ["stale-clone"]
    errors = []
    for spec in (web + "@none", web + "/gone"):
        with pytest.raises((NotFound, RepoError)) as error:
            reading(spec)
        errors.append(f"{error.value} {error.value.cause} {error.value.remedy}")
    assert "hunter2" not in f"{stale.pin} {stale.diagnostics} {errors}"
    assert not [path for path in (tmp_path / "clones").rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]


@pytest.mark.parametrize("text", ["ext::sh -c touch% x", "ssh://-oProxyCommand=x/r", "-x@host:r", "{repo}@--output=x"])
def test_unsafe_forms_are_refused_before_git_runs(
    text: str, repo: Path, tmp_path: Path, reading: Callable[..., RepoSnapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="git is not installed"):
        reading(str(repo))
    with pytest.raises(UsageError):
        reading(text.format(repo=repo))


def test_an_unknown_revision_is_answered_with_near_names(repo: Path, reading: Callable[..., RepoSnapshot]) -> None:
    for rev, near in {"v1.1": "v1.0", "feature/onee": "feature/one", "0" * 40: "feature/one"}.items():
        with pytest.raises(NotFound) as error:
            reading(f"{repo}@{rev}")
        assert repr(rev) in error.value.cause
        assert near in error.value.remedy
    with pytest.raises(NotFound, match="names a tree") as error:
        reading(f"{repo}@HEAD^{{tree}}")
    with pytest.raises(NotFound, match="no commit as old") as error:
        reading(f"{repo}@{{2026-01-09}}")
    assert "2026-01-10T12:00:00Z" in error.value.remedy


def test_what_is_not_a_repo_is_named_with_the_cause(
    repo: Path, tmp_path: Path, reading: Callable[..., RepoSnapshot]
) -> None:
    git(tmp_path, "init", "--quiet", "empty")
    git(tmp_path, "init", "--quiet", "--bare", "empty.git")
    for spec in (str(tmp_path / "empty"), str(tmp_path / "empty.git"), f"file://{tmp_path}/empty.git"):
        with pytest.raises(RepoError, match="is empty: it has no commit yet"):
            reading(spec)
    with pytest.raises(UsageError, match="is not there"):
        reading(str(tmp_path / "none"))
    with pytest.raises(UsageError, match="is not there"):
        reading("x" * 5000)
    with pytest.raises(UsageError, match="is not a folder"):
        reading(str(repo / "a.yaml"))
    with pytest.raises(RepoError, match="does not appear to be a git repository") as error:
        reading(f"file://{tmp_path}/none@v1")
    assert error.value.remedy
    (repo / ".git" / "HEAD").unlink()
    with pytest.raises(RepoError, match="not a git repository"):
        reading(str(repo))


def test_a_corrupt_object_store_is_told_with_a_remedy(repo: Path, reading: Callable[..., RepoSnapshot]) -> None:
    def break_object(rev: str, data: bytes | None) -> None:
        id_ = git(repo, "rev-parse", rev)
        path = repo / ".git" / "objects" / id_[:2] / id_[2:]
        path.chmod(0o644)
        path.unlink() if data is None else path.write_bytes(data)

    snapshot = reading(f"{repo}@HEAD")
    break_object("HEAD:apps/b.yaml", b"broken")
    with pytest.raises(RepoError, match="cannot be read") as error:
        contents(snapshot)
    assert "git fsck" in error.value.remedy
    for rev in ("HEAD:apps/b.yaml", "HEAD:apps", "HEAD^{tree}", "HEAD"):
        break_object(rev, None)
        with pytest.raises(RepoError, match="cannot be read") as error:
            reading(f"{repo}@HEAD")
        assert "git fsck" in error.value.remedy


def test_a_refused_login_says_so(
    tmp_path: Path, reading: Callable[..., RepoSnapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_SSH_COMMAND", "echo 'git@host: Permission denied (publickey).' >&2; exit 255; :")
    with pytest.raises(RepoError, match=r"Permission denied \(publickey\)") as error:
        reading("git@host:org/repo.git@v1")
    assert error.value.remedy.startswith("log in first")
