"""Child processes that never outlive who waits for them, and state that is moved by commands of the user's own."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from dr.core.errors import ToolError
from dr.core.forklift import SIDES, DataCommand
from dr.engine.ports import Counted

_COMMANDS = ("copy", "count", "freeze", "thaw", "settle")


class Ended(NamedTuple):
    """How a child ended: its exit status, and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def reason(self) -> str:
        """The last line of stderr, or its status where it said nothing."""
        return (self.err.strip().splitlines() or [f"ended with status {self.status}"])[-1].strip()


async def run(
    argv: Sequence[str],
    environ: Mapping[str, str],
    *,
    text: str = "",
    source: IO[bytes] | None = None,
    sink: IO[bytes] | None = None,
    cwd: Path | None = None,
) -> Ended:
    """Run a program with `text` (or `source`) as its stdin; cancelled, it is killed with all of its children.

    `source` and `sink` are ends of pipes; they are closed here once the child has them. Raises ToolError when there is
    no such program.
    """
    try:
        child = await asyncio.create_subprocess_exec(
            *argv,
            stdin=source or asyncio.subprocess.PIPE,
            stdout=sink or asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(environ),
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        raise ToolError(f"{argv[0]} cannot be run: {error.strerror}", "install it, or correct its path") from None
    finally:
        for end in (source, sink):
            if end:
                end.close()
    try:
        out, err = await child.communicate(None if source else text.encode())
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()
        raise
    return Ended(child.returncode or 0, (out or b"").decode(errors="replace"), err.decode(errors="replace"))


class Commands:
    """State moved by commands. `{side}` in an argument, and DR_SIDE in the environment, is `from` or `to`.

    A copy is from `from`. Without a command for it writes cannot be stopped, and what was written meanwhile is brought
    by another copy, which has no way back.
    """

    follows = False

    def __init__(self, name: str, spec: DataCommand, environ: Mapping[str, str], cwd: Path | None = None) -> None:
        """Run the commands of `spec` in `cwd`; `name` is what errors call the state."""
        self._name, self._spec, self._environ, self._cwd = name, spec, environ, cwd

    async def check(self) -> None:
        """Look for every program; none is run."""
        for what in _COMMANDS:
            for word in getattr(self._spec, what)[:1]:
                for program in {word.replace("{side}", side) for side in SIDES}:
                    place = str((self._cwd or Path()) / program) if "/" in program else program
                    if not shutil.which(place, path=self._environ.get("PATH")):
                        raise ToolError(
                            f"{self._name}: there is no program {program}", f"install it, or correct `{what}`"
                        )

    async def copy(self) -> None:
        """Run `copy`."""
        await self._run("copy", self._spec.copy, "from")

    async def count(self, side: str) -> Counted:
        """Run `count` and read the JSON that it prints: numbers are rows, texts are checksums."""
        out = await self._run("count", self._spec.count, side)
        try:
            found = msgspec.json.decode(out.encode(), type=dict[str, int | str])
        except msgspec.DecodeError as error:
            raise ToolError(
                f"{self._name}: `count` of {side} did not print a JSON object of numbers: {error}",
                'have it print something like {"rows": 3}, and nothing else, to stdout',
            ) from None
        return Counted(
            {key: value for key, value in found.items() if isinstance(value, int)},
            {key: value for key, value in found.items() if isinstance(value, str)},
        )

    async def freeze(self, side: str) -> None:
        """Run `freeze`, if there is one."""
        await self._run("freeze", self._spec.freeze, side)

    async def thaw(self, side: str) -> None:
        """Run `thaw`, if there is one."""
        await self._run("thaw", self._spec.thaw, side)

    async def settle(self, side: str) -> None:
        """Run `settle`; without one, copy again from a frozen `from`."""
        if self._spec.settle:
            await self._run("settle", self._spec.settle, side)
        elif side == "from":
            await self.copy()
        else:
            raise ToolError(
                f"{self._name}: there is no way back without a loss: no command brings what was written at `to`",
                "give the state a `settle` command, which brings both sides together",
            )

    async def turn(self, side: str) -> None:
        """Do nothing: nobody follows."""

    async def end(self) -> None:
        """Do nothing: nothing was made."""

    async def _run(self, what: str, argv: Sequence[str], side: str) -> str:
        if not argv:
            return ""
        words = [word.replace("{side}", side) for word in argv]
        ended = await run(words, {**self._environ, "DR_SIDE": side}, cwd=self._cwd)
        if ended.status:
            raise ToolError(
                f"{self._name}: `{what}` of {side} failed: {ended.reason}",
                f"run it by hand to see all that it says: {' '.join(words)}",
            )
        return ended.out
