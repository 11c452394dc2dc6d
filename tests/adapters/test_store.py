"""The event log: what was written before a crash is there after it, and nothing else."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.adapters.store import EVENTS, EventLog, events, interrupted, new_run
from dr.core.errors import LockError, NotFound, StoreError
from dr.core.events import Announced, Began, Ended, Ready, Resumed, Started, Target, decode, encode
from tests.lacking import lacking


def began(uid: str = "u", digest: str = "plan") -> Began:
    return Began(0.0, time="t", run="r", command="dr", dr="0", target=Target("c", "s", uid, "ca"), digest=digest)


def test_events_come_back_as_they_were_written(tmp_path: Path) -> None:
    told = (began(), Started(0.5, 0), Ready(1.5, 0), Ended(2.0, outcome="passed"))
    with EventLog(tmp_path) as log:
        for event in told:
            log.append(event)
    assert events(tmp_path) == told


@given(st.integers(0, 200))
def test_a_log_that_was_cut_off_anywhere_is_read_up_to_there(cut: int) -> None:
    told = [Started(float(n), n) for n in range(5)]
    whole = b"".join(map(encode, told))
    lines = whole[: min(cut, len(whole))].splitlines(keepends=True)
    found = list(decode(lines))
    assert found == told[: len(found)]
    assert len(found) >= sum(1 for line in lines if line.endswith(b"\n"))


def test_a_half_written_line_is_cut_off_before_the_log_goes_on(tmp_path: Path) -> None:
    (tmp_path / EVENTS).write_bytes(encode(Started(0.1, 0)) + b'{"event":"rea')
    with EventLog(tmp_path) as log:
        log.append(Ready(0.2, 0))
    assert events(tmp_path) == (Started(0.1, 0), Ready(0.2, 0))


def test_a_line_that_was_changed_is_named(tmp_path: Path) -> None:
    (tmp_path / EVENTS).write_bytes(encode(Started(0.1, 0)) + b"garbage\n" + encode(Ready(0.2, 0)))
    with pytest.raises(StoreError, match="line 2"):
        events(tmp_path)


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with EventLog(tmp_path), pytest.raises(LockError):
        EventLog(tmp_path)


def test_what_was_written_survives_kill_9(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from dr.adapters.store import EventLog;"
        "from dr.core.events import Started;"
        "log = EventLog(Path(sys.argv[1])); [log.append(Started(float(n), n)) for n in range(100)];"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert [event.step for event in events(tmp_path) if isinstance(event, Started)] == list(range(100))


def test_a_full_disk_is_said_and_not_swallowed(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        lacking("this system has no /dev/full")
    (tmp_path / EVENTS).symlink_to("/dev/full")
    with pytest.raises(StoreError, match="No space left"), EventLog(tmp_path) as log:
        log.append(began())


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Have a disk that takes ten bytes more and then nothing, while the list holds something."""
    write, now = os.write, [True]

    def short(file: int, content: bytes) -> int:
        if now and len(content) <= 10:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, content[:10] if now else content)

    monkeypatch.setattr("dr.adapters.store.os.write", short)
    yield now
    monkeypatch.undo()


def test_a_line_that_did_not_fit_is_taken_back_and_nothing_follows_it(tmp_path: Path, full: list[bool]) -> None:
    full.clear()
    with EventLog(tmp_path) as log:
        log.append(began())
        full.append(True)
        with pytest.raises(StoreError, match="No space left"):
            log.append(Started(0.1, 0))
        full.clear()
        with pytest.raises(StoreError, match="nothing more is written"):
            log.append(Ended(0.2, outcome="failed"))
    assert events(tmp_path) == (began(),)
    with EventLog(tmp_path) as log:
        log.append(Resumed(1.0, time="t"))
    assert events(tmp_path) == (began(), Resumed(1.0, time="t"))


def test_a_disk_that_takes_a_line_in_parts_has_it_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr("dr.adapters.store.os.write", lambda file, content: write(file, content[:7]))
    with EventLog(tmp_path) as log:
        log.append(began())
    assert events(tmp_path) == (began(),)


def test_runs_of_the_same_second_get_folders_of_their_own(tmp_path: Path) -> None:
    folders = {new_run(tmp_path, "a/b c") for _ in range(5)}
    assert len(folders) == 5
    assert all("a-b-c" in folder.name for folder in folders)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        new_run(tmp_path / "file", "x")


def run_of(folder: Path, uid: str, *, passed: bool, digest: str = "plan", sent: bool = True) -> None:
    with EventLog(folder) as log:
        log.append(began(uid, digest))
        if sent:
            log.append(Started(0.5, 0))
        if passed:
            log.append(Ended(1.0, outcome="passed"))


def test_the_newest_unfinished_run_on_this_very_cluster_is_resumed(tmp_path: Path) -> None:
    run_of(tmp_path / "2026-01-01", "mine", passed=False)
    run_of(tmp_path / "2026-01-02", "mine", passed=False)
    run_of(tmp_path / "2026-01-03", "other", passed=False)
    (tmp_path / "2026-01-04").mkdir()
    (tmp_path / "2026-01-05").mkdir()
    (tmp_path / "2026-01-05" / EVENTS).write_bytes(b"no event\n")
    assert interrupted(tmp_path, "mine", "plan")[0].name == "2026-01-02"


def test_a_run_that_has_passed_is_not_resumed_nor_one_before_it(tmp_path: Path) -> None:
    run_of(tmp_path / "2026-01-01", "mine", passed=False)
    run_of(tmp_path / "2026-01-02", "mine", passed=True)
    with pytest.raises(NotFound, match="no unfinished run"):
        interrupted(tmp_path, "mine", "plan")


def test_a_later_run_of_another_repo_does_not_hide_the_one_to_be_resumed(tmp_path: Path) -> None:
    run_of(tmp_path / "2026-01-01", "mine", passed=False)
    run_of(tmp_path / "2026-01-02", "mine", passed=True, digest="another repo")
    run_of(tmp_path / "2026-01-03", "mine", passed=False, digest="another commit")
    assert interrupted(tmp_path, "mine", "plan")[0].name == "2026-01-01"


def test_a_run_that_was_refused_does_not_hide_the_one_that_has_begun(tmp_path: Path) -> None:
    run_of(tmp_path / "2026-01-01", "mine", passed=False)
    run_of(tmp_path / "2026-01-02", "mine", passed=False, sent=False)
    assert interrupted(tmp_path, "mine", "plan")[0].name == "2026-01-01"


def test_a_gameday_that_restored_the_same_is_not_resumed_as_a_restore(tmp_path: Path) -> None:
    run_of(tmp_path / "2026-01-01", "mine", passed=False)
    with EventLog(tmp_path / "2026-01-01") as log:
        log.append(Announced(0.0, title="t", scenario="s"))
    with pytest.raises(NotFound):
        interrupted(tmp_path, "mine", "plan")


def test_who_resumes_another_plan_is_told_what_can_be_resumed(tmp_path: Path) -> None:
    run_of(tmp_path / "2026-01-01", "mine", passed=False, digest="done since")
    run_of(tmp_path / "2026-01-02", "mine", passed=True, digest="done since")
    run_of(tmp_path / "2026-01-03", "mine", passed=False, digest="another commit")
    with pytest.raises(NotFound, match="no unfinished run of this plan") as caught:
        interrupted(tmp_path, "mine", "plan")
    assert "there are 2026-01-03:" in caught.value.remedy


def test_the_log_is_appended_to_and_never_rewritten(tmp_path: Path) -> None:
    run_of(tmp_path, "a", passed=False)
    before = (tmp_path / EVENTS).read_bytes()
    inode = (tmp_path / EVENTS).stat().st_ino
    with EventLog(tmp_path) as log:
        log.append(Ready(2.0, 1))
    assert (tmp_path / EVENTS).read_bytes().startswith(before)
    assert (tmp_path / EVENTS).stat().st_ino == inode
