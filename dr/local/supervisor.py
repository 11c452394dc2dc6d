"""The parent of a cluster's programs: starts them, starts them again when they end, and ends them with itself.

Run as `python -m dr.local.supervisor FOLDER`. Standard input is a pipe from the owner. Its end, however the owner
came to it, takes the cluster down; a line `stay` lets the cluster live on without an owner. When this process is
killed, the kernel ends the programs.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG, linux/prctl.h
_BACKOFF = (0.2, 0.5, 1.0, 2.0, 5.0)
_STEADY = 10.0  # a program that ran this long may start again at once
_LIBC = ctypes.CDLL(None, use_errno=True)


class Program:
    """One program of the cluster and its process."""

    def __init__(self, row: dict[str, Any], folder: Path) -> None:
        self.name: str = row["name"]
        self._argv: list[str] = row["argv"]
        self._environ = {**os.environ, **row.get("environ", {})}
        self._log = folder / "logs" / f"{self.name}.log"
        self._folder = folder
        self._starts = 0
        self._since = 0.0
        self.due = 0.0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, its output appended to its log."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - the programs that `cluster.py` wrote down
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env=self._environ,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - this process has one thread
            )
        self._since = time.monotonic()

    def ended(self) -> bool:
        """Notice an end and say when to start again; True when it was noticed just now."""
        if self.process is None or self.process.poll() is None:
            return False
        now = time.monotonic()
        self._starts = 0 if now - self._since > _STEADY else self._starts + 1
        self.due = now + _BACKOFF[min(self._starts, len(_BACKOFF) - 1)]
        self.process = None
        return True


def _end_with_parent() -> None:
    os.setpgid(0, 0)
    _LIBC.prctl(_DEATH_SIGNAL, signal.SIGKILL)


class Supervisor:
    """All programs of one cluster."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        plan = json.loads((folder / "programs.json").read_text())
        self.programs = [Program(row, folder) for row in plan]
        self.stopping = False

    def run(self) -> None:
        """Keep the programs running until told to stop."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C at the terminal is the owner's to handle
        selector = selectors.DefaultSelector()
        selector.register(0, selectors.EVENT_READ)
        owned = True
        self._tend()
        while not self.stopping:
            if selector.select(0.1) and owned:
                told = os.read(0, 64)
                if told.startswith(b"stay"):
                    owned = False
                    selector.unregister(0)
                    (self.folder / "stay").touch()
                elif not told:
                    break
            self._tend()
        self._end()
        if owned:
            record = json.loads((self.folder / "cluster.json").read_text())
            shutil.rmtree(self.folder, ignore_errors=True)
            shutil.rmtree(record["sockets"], ignore_errors=True)

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def _tend(self) -> None:
        changed = False
        for program in self.programs:
            changed |= program.ended()
            held = (self.folder / f"hold-{program.name}").exists()
            if program.process is None and not held and time.monotonic() >= program.due:
                program.start()
                changed = True
        if changed:
            pids = {p.name: p.process.pid for p in self.programs if p.process}
            partial = self.folder / "pids.json.new"
            partial.write_text(json.dumps({"supervisor": os.getpid(), **pids}))
            partial.replace(self.folder / "pids.json")

    def _end(self) -> None:
        """End the programs at once: what they hold is thrown away with them."""
        alive = [p.process for p in reversed(self.programs) if p.process]
        for process in alive:
            process.kill()
        for process in alive:
            process.wait()


if __name__ == "__main__":
    Supervisor(Path(sys.argv[1])).run()
