"""The event log: what was written before a crash is there after it, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.adapters.store import EVENTS, EventLog, events, interrupted, new_run
from dr.core.errors import LockError, NotFound, StoreError
from dr.core.events import Began, Ended, Ready, Started, Target, decode, encode


def began(uid: str = "u") -> Began:
    return Began(0.0, time="t", run="r", command="dr", dr="0", target=Target("c", "s", uid, "ca"))


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
        pytest.skip("this system has no /dev/full")
    (tmp_path / EVENTS).symlink_to("/dev/full")
    with pytest.raises(StoreError, match="No space left"), EventLog(tmp_path) as log:
        log.append(began())


def test_runs_of_the_same_second_get_folders_of_their_own(tmp_path: Path) -> None:
    folders = {new_run(tmp_path, "a/b c") for _ in range(5)}
    assert len(folders) == 5
    assert all("a-b-c" in folder.name for folder in folders)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        new_run(tmp_path / "file", "x")


def run_of(folder: Path, uid: str, *, passed: bool) -> None:
    with EventLog(folder) as log:
        log.append(began(uid))
        if passed:
            log.append(Ended(1.0, outcome="passed"))


def test_the_newest_unfinished_run_on_this_very_cluster_is_resumed(tmp_path: Path) -> None:
    run_of(tmp_path / "2026-01-01", "mine", passed=False)
    run_of(tmp_path / "2026-01-02", "mine", passed=False)
    run_of(tmp_path / "2026-01-03", "other", passed=False)
    (tmp_path / "2026-01-04").mkdir()
    (tmp_path / "2026-01-05").mkdir()
    (tmp_path / "2026-01-05" / EVENTS).write_bytes(b"no event\n")
    assert interrupted(tmp_path, "mine")[0].name == "2026-01-02"


def test_a_run_that_has_passed_is_not_resumed_nor_one_before_it(tmp_path: Path) -> None:
    run_of(tmp_path / "2026-01-01", "mine", passed=False)
    run_of(tmp_path / "2026-01-02", "mine", passed=True)
    with pytest.raises(NotFound, match="no unfinished run"):
        interrupted(tmp_path, "mine")


def test_the_log_is_appended_to_and_never_rewritten(tmp_path: Path) -> None:
    run_of(tmp_path, "a", passed=False)
    before = (tmp_path / EVENTS).read_bytes()
    inode = (tmp_path / EVENTS).stat().st_ino
    with EventLog(tmp_path) as log:
        log.append(Ready(2.0, 1))
    assert (tmp_path / EVENTS).read_bytes().startswith(before)
    assert (tmp_path / EVENTS).stat().st_ino == inode
