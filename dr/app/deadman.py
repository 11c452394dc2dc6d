"""The dead man's process: outside the run, it takes the fault back when the run was killed and cannot.

Run as `python -m dr.app.deadman`. Standard input is a pipe from the run: first a Watch as JSON, and `done` at the end.
When the pipe ends without it, this process ends the experiment, undoes the fault, plays the rollbacks that were not
played, takes away what the canaries wrote, and writes the end into the run's log.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from msgspec import Struct

from dr.adapters.chaos import Experiment
from dr.adapters.store import EventLog, SystemClock, events
from dr.app.places import state_folder
from dr.core.chaos import CONTEXT, LOCK, UNDO
from dr.core.errors import ApiError, DrError, LockError
from dr.core.events import AnyEvent, Began, Ended, Entered, Event, Phase, Undone
from dr.core.model import Ref
from dr.engine.lock import GAMEDAY, let_go

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_BY = "the dead man's process"
_UNDO_SECONDS, _LOCK_SECONDS = 120.0, 10.0
_PAUSE = 0.1
_TAKING_OVER = 180.0  # seconds that the run waits for it


class Watch(Struct, frozen=True):
    """What must be known to clean up after a run.

    `origin`: the monotonic clock's reading at the run's beginning. `environment`: of the experiment's process.
    `throwaway`: the target was made for this run and ends with it. `private`: a folder to be removed at the end.
    `body` and `settings`: the experiment's, for the rollbacks that are its own. `canaries`: ConfigMaps
    (namespace/name) that were not there before the run. `recovered`: the cluster that it would make.
    """

    folder: str
    origin: float
    environment: dict[str, str]
    private: str
    throwaway: bool
    body: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    canaries: tuple[str, ...] = ()
    recovered: str = ""


class DeadMan:
    """The run's side: the process lives while the block does, and is told at its end that all is cleaned up."""

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
        with suppress(BrokenPipeError, ValueError):
            self._send(b"done\n")
        self.take_over()

    def take_over(self) -> None:
        """Leave the clean-up to it, unless it was told that all is done, and wait until it has ended."""
        if self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_TAKING_OVER)


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
    _end_cluster(watch.recovered)
    if not watch.throwaway:
        told = asyncio.run(_undo(watch))
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


def _end_cluster(name: str) -> None:
    """Clear away a cluster that was being made: what has no supervisor yet does not end by itself."""
    from dr.local import cluster

    if name and (state_folder() / "clusters" / name).is_dir():
        with suppress(DrError):
            cluster.remove(state_folder(), name)


async def _undo(watch: Watch) -> list[Event]:
    """Take back what the run has not, with its canaries; return what came of it."""
    try:
        found: tuple[AnyEvent, ...] | None = events(Path(watch.folder))
    except DrError:
        found = None  # what the log does not tell is taken for begun
    if found is not None and not any(isinstance(event, Entered) and event.phase is Phase.FAULT for event in found):
        await _take_away(watch)
        return []
    done = {event.fault for event in found or () if isinstance(event, Undone) and not event.cause}
    left = [row for row in watch.body.get("rollbacks") or () if row.get("name") not in done]
    body = {**watch.body, "rollbacks": left}
    chaos = Experiment(body, watch.settings, watch.environment, Path(watch.private), Path(watch.folder), _UNDO_SECONDS)
    try:
        async with asyncio.timeout(_UNDO_SECONDS):
            undone = [(restored.at, restored.fault, restored.cause) for restored in await chaos.undo()]
    except Exception as error:  # noqa: BLE001 - whatever it is, the fault may still be in
        cause = str(error) or f"not done in {_UNDO_SECONDS:.0f} s"
        undone = [(time.monotonic(), "all of it", cause)]
    await _take_away(watch)
    remedy = by_hand(watch.environment)
    return [
        Undone(round(at - watch.origin, 6), fault, _BY, cause, remedy if cause else "") for at, fault, cause in undone
    ]


def by_hand(environment: Mapping[str, str]) -> str:
    """Return how people take back what is left of a fault: by its records, or by what the experiment says."""
    folder = environment[UNDO]
    if not any(Path(folder).glob("*.json")):
        return "do by hand what the experiment's rollbacks say; rollbacks.log in the run's folder tells what went wrong"
    words = " ".join(f"{name}={shlex.quote(environment[name])}" for name in ("KUBECONFIG", CONTEXT, LOCK))
    return f"{words} python -m dr.chaos.undo {shlex.quote(folder)} takes back what that folder holds"


async def _take_away(watch: Watch) -> None:
    """Delete the ConfigMaps that the run's canaries have made; an API server that is just coming up is waited for."""
    from dr.adapters.kube import Kube, from_kubeconfig

    names, until = list(watch.canaries), time.monotonic() + _LOCK_SECONDS
    with suppress(DrError):
        access = from_kubeconfig(watch.environment[CONTEXT], Path(watch.environment["KUBECONFIG"]))
        async with Kube(access, timeout=_LOCK_SECONDS) as kube:
            while names:
                namespace, _, own = names[-1].partition("/")
                try:
                    await kube.delete(Ref("v1", "ConfigMap", namespace, own))
                    names.pop()
                except ApiError as error:
                    if not error.heals or time.monotonic() > until:
                        raise
                    await asyncio.sleep(_PAUSE)


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
    """Write into the log what was done, and the end if the run could not, and the reports beside it."""
    from dr.app.finish import write

    folder = Path(watch.folder)
    until = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            with EventLog(folder) as log:
                ended = next((event for event in events(folder) if isinstance(event, Ended)), None)
                if told or not ended:
                    for event in (*told, Ended(_at(watch), outcome=ended.outcome if ended else "interrupted")):
                        log.append(event)
            break
        except LockError:
            if time.monotonic() > until:
                raise
            time.sleep(_PAUSE)
    write(folder)


if __name__ == "__main__":
    try:
        main()
    except DrError:
        sys.exit(3)
