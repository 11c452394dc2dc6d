"""The dead man's process: outside the run, it takes the fault back when the run was killed and cannot.

Run as `python -m dr.app.deadman`. Standard input is a pipe from the run: first a Watch as JSON, and `done` at the end.
When the pipe ends without it, this process ends the experiment, undoes the fault and writes the end into the run's log.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from msgspec import Struct

from dr.adapters.store import EventLog, SystemClock, events
from dr.core.chaos import CONTEXT, UNDO
from dr.core.errors import DrError, LockError
from dr.core.events import Began, Ended, Event, Undone
from dr.engine.lock import GAMEDAY, let_go

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_BY = "the dead man's process"
_UNDO_SECONDS, _LOCK_SECONDS = 120.0, 10.0


class Watch(Struct, frozen=True):
    """What must be known to clean up after a run.

    `origin`: the monotonic clock's reading at the run's beginning. `environment`: of the experiment's process.
    `throwaway`: the target was made for this run and ends with it. `private`: a folder to be removed at the end.
    """

    folder: str
    origin: float
    environment: dict[str, str]
    private: str
    throwaway: bool


class DeadMan:
    """The run's side: the process lives while the block does, and is told when all is cleaned up."""

    def __init__(self, watch: Watch) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "dr.app.deadman"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        self._send(msgspec.json.encode(watch) + b"\n")

    def _send(self, line: bytes) -> None:
        if self._process.stdin:
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let it go: this side has cleaned up by itself."""
        try:
            self._send(b"done\n")
        except BrokenPipeError:
            return
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()


def main() -> None:
    """Wait for the run's end and clean up when it was no good one."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    lines = sys.stdin.buffer
    watch = msgspec.json.decode(lines.readline(), type=Watch)
    if lines.readline() == b"done\n":
        return
    _end_experiment(watch)
    told: list[Event] = []
    if not watch.throwaway:
        told = _undo(watch)
        asyncio.run(_let_go(watch))
    try:
        _write(watch, told)
    finally:
        if not any(isinstance(event, Undone) and event.cause for event in told):
            shutil.rmtree(watch.private, ignore_errors=True)


def _end_experiment(watch: Watch) -> None:
    """Kill whatever works on this fault, found by its environment: nobody could tell its number any more."""
    mark = f"{UNDO}={watch.environment[UNDO]}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)
        except OSError:
            continue


def _undo(watch: Watch) -> list[Event]:
    folder = Path(watch.environment[UNDO])
    if not any(folder.glob("*.json")):
        return []
    argv = [sys.executable, "-m", "dr.chaos.undo", str(folder)]
    environ = {**os.environ, **watch.environment}
    try:
        done = subprocess.run(argv, env=environ, capture_output=True, timeout=_UNDO_SECONDS, check=False)  # noqa: S603
        cause = "" if done.returncode == 0 else (done.stderr.decode(errors="replace").strip().splitlines() or ["?"])[-1]
    except subprocess.TimeoutExpired:
        cause = f"not done in {_UNDO_SECONDS:.0f} s"
    return [Undone(_at(watch), "all of it", _BY, cause)]


async def _let_go(watch: Watch) -> None:
    """Give back the run's hold on the cluster, so that the next one need not wait for it to expire."""
    from dr.adapters.kube import Kube, from_kubeconfig

    with suppress(DrError):
        began = next((event for event in events(Path(watch.folder)) if isinstance(event, Began)), None)
        if began is None:
            return  # killed before it could take hold of anything
        access = from_kubeconfig(watch.environment[CONTEXT], Path(watch.environment["KUBECONFIG"]))
        async with Kube(access, timeout=_LOCK_SECONDS) as cluster:
            await let_go(cluster, began.holder, SystemClock(), GAMEDAY)


def _at(watch: Watch) -> float:
    return round(time.monotonic() - watch.origin, 6)


def _write(watch: Watch, told: list[Event]) -> None:
    """Write the end into the log and the reports beside it, unless the run has done so before it was killed."""
    from dr.app.finish import write

    folder = Path(watch.folder)
    until = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            with EventLog(folder) as log:
                if not any(isinstance(event, Ended) for event in events(folder)):
                    for event in (*told, Ended(_at(watch), outcome="interrupted")):
                        log.append(event)
            break
        except LockError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
    write(folder)


if __name__ == "__main__":
    try:
        main()
    except DrError:
        sys.exit(3)
