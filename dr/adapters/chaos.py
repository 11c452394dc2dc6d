"""Chaos Toolkit: one process for each experiment, its words as they are said, and its faults taken back.

Its exit code and its journal tell too little and too late: it ends with 0 when an action fails, writes the journal at
the end only, and swallows SIGTERM within an activity. So the experiment says what it does on a pipe, the process is
killed when it must end, and rollbacks are run by a process of their own.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from dr.core.chaos import CHANNEL, UNDO, Ran, Restored, Said, Struck, heard
from dr.core.redact import redacted, secret_values, telling, without_secrets
from dr.engine.ports import Injection

_SPEAKS = "dr.chaos.control"
_CONTROL = {"name": "dr", "provider": {"type": "python", "module": _SPEAKS}}
_OURS = "dr.chaos."
_TOOLKIT = ("-m", "chaostoolkit", "--no-version-check", "--log-file")
_SAYING = 1 << 24  # bytes; what a wide fault has struck is one line
_GRACE = 3.0  # seconds between asking a process to end and killing it


class Experiment(Struct, frozen=True):
    """An experiment as it is run: its body, the settings that outrank its configuration, and where its traces go.

    `environment` holds the target and its lock. `private` is a folder that nobody else may read; `folder` is the run's.
    `seconds` is the longest that its method may take.
    """

    body: Mapping[str, Any]
    settings: Mapping[str, Any]
    environment: Mapping[str, str]
    private: Path
    folder: Path
    seconds: float

    async def inject(self, say: Callable[[Said], None]) -> Injection:
        """Run the method once its own hypothesis holds; end the process when cancelled. Raises ToolError."""
        struck, secrets = False, self._secrets
        # Ours say of themselves when their fault is in, and whether they are one; of a foreign one its end must do.
        foreign = {row.get("name") for row in self.body["method"] if not _module(row).startswith(_OURS)}

        def listen(said: Said) -> None:
            nonlocal struck
            if isinstance(said, Ran):
                fault = said.kind == "action" and said.status == "succeeded" and said.name in foreign
                said = replace(said, name=redacted(said.name, secrets), cause=redacted(said.cause, secrets))
                if fault and not struck:
                    struck = True
                    say(Struck(said.name, said.began, said.at, undo="by the experiment's rollbacks"))
            struck = struck or isinstance(said, Struck)
            say(said)

        strategies = ("--rollback-strategy", "never", "--hypothesis-strategy", "before-method-only")
        try:
            await self._chaos("experiment", self._configured(), strategies, listen, self.seconds)
        except TimeoutError:
            return Injection("aborted", f"its method was not done in {self.seconds:.0f} s")
        judged = self._judge()
        return Injection(judged.status, redacted(judged.cause, secrets))

    async def undo(self) -> tuple[Restored, ...]:
        """Take back what is recorded, then play the experiment's own rollbacks."""
        done: list[Restored] = []

        def listen(said: Said) -> None:
            if isinstance(said, Restored):
                done.append(said)

        if self._recorded():
            code = await self._process(["-m", "dr.chaos.undo", self.environment[UNDO]], "undo", listen)
            if code and not any(restored.cause for restored in done):
                cause = _last_line(self.private / "undo.log") or f"exit code {code}"
                done.append(Restored("undo", monotonic(), redacted(cause, self._secrets)))
        foreign = [row for row in self.body.get("rollbacks") or () if not _module(row).startswith(_OURS)]
        if foreign:
            own = {**self._configured(), "method": [], "rollbacks": foreign}
            own.pop("steady-state-hypothesis", None)
            await self._chaos("rollbacks", own, ("--rollback-strategy", "always"), lambda _: None, self.seconds)
            rows = self._journal("rollbacks").get("rollbacks", [])
            secrets = self._secrets
            done += [Restored(r["activity"]["name"], monotonic(), redacted(_wrong(r), secrets)) for r in rows]
            if len(rows) < len(foreign):
                done.append(Restored("rollbacks", monotonic(), f"{len(foreign) - len(rows)} of them were not played"))
        return tuple(done)

    def _recorded(self) -> bool:
        """Return whether anything is recorded that was not undone yet."""
        return any(Path(self.environment[UNDO]).glob("*.json"))

    def _configured(self) -> dict[str, Any]:
        """Return the experiment with its settings in, and with the control that tells what it does."""
        controls = [c for c in self.body.get("controls") or () if _module(c) != _SPEAKS]
        configuration = {**(self.body.get("configuration") or {}), **self.settings}
        return {**self.body, "configuration": configuration, "controls": [*controls, _CONTROL]}

    @property
    def _secrets(self) -> frozenset[str]:
        return secret_values({"secrets": [self.body.get("secrets"), telling(self.settings)]}, os.environ)

    async def _chaos(
        self, name: str, body: Mapping[str, Any], words: tuple[str, ...], listen: Callable[[Said], None], seconds: float
    ) -> None:
        file, journal = self.private / f"{name}.json", self.private / f"{name}-journal.json"
        file.write_text(json.dumps(body))
        log = self.private / f"{name}.log"
        argv = [*_TOOLKIT, str(log), "run", "--journal-path", str(journal), *words, str(file)]
        try:
            async with asyncio.timeout(seconds):
                await self._process(argv, f"{name}-output", listen)
        finally:
            self._publish(name)

    def _publish(self, name: str) -> None:
        """Put the log and the journal into the run's folder, without secrets."""
        secrets = self._secrets
        for file in (self.private / f"{name}.log", self.private / f"{name}-journal.json"):
            if file.exists():
                text = file.read_text(errors="replace")
                if file.suffix == ".json" and (journal := self._journal(name)):
                    (self.folder / file.name).write_text(json.dumps(without_secrets(journal, secrets), indent=1))
                else:
                    (self.folder / file.name).write_text(redacted(text, secrets))

    async def _process(self, argv: list[str], name: str, listen: Callable[[Said], None]) -> int:
        """Run a process of Python that speaks on a pipe; return its exit code. It is ended when this is cancelled."""
        reading, writing = os.pipe()
        with (self.private / f"{name}.log").open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(writing,),
                start_new_session=True,
                env={**os.environ, **self.environment, CHANNEL: str(writing)},
            )
        os.close(writing)
        stream = asyncio.StreamReader(limit=_SAYING)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(reading, "rb")
        )
        try:
            while line := await stream.readline():
                if said := heard(line):
                    listen(said)
            return await process.wait()
        finally:
            transport.close()
            await _end(process)

    def _journal(self, name: str) -> dict[str, Any]:
        try:
            found = json.loads((self.private / f"{name}-journal.json").read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _judge(self) -> Injection:
        """Return what the journal says of the method; its own verdict overlooks failed actions."""
        journal = self._journal("experiment")
        if not journal:
            return Injection("failed", _last_line(self.private / "experiment-output.log") or "it left no journal")
        before = (journal.get("steady_states") or {}).get("before") or {}
        if before and not before.get("steady_state_met"):
            return Injection("failed", f"its own steady state is not met: {_unmet(before)}")
        wrong = [f"{row['activity']['name']}: {cause}" for row in journal.get("run", []) if (cause := _wrong(row))]
        return Injection(str(journal.get("status", "failed")), "; ".join(wrong))


def _unmet(before: Mapping[str, Any]) -> str:
    probes = before.get("probes") or []
    unmet = [p for p in probes if not p.get("tolerance_met")]
    return ", ".join(f"{p['activity']['name']} {_wrong(p)}".strip() for p in unmet) or "see the journal"


def _wrong(row: Mapping[str, Any]) -> str:
    if row.get("status") == "succeeded":
        return ""
    said = row.get("exception") or [str(row.get("status"))]
    return str(said[-1]).strip()


def _module(row: Mapping[str, Any]) -> str:
    provider = row.get("provider")
    return str(provider.get("module", "")) if isinstance(provider, Mapping) else ""


def _last_line(file: Path) -> str:
    try:
        lines = file.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a process and all that it has started: by asking, then by force."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            await asyncio.wait_for(asyncio.shield(process.wait()), _GRACE)
        except TimeoutError:
            continue
