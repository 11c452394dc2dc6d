"""Answers `dr cluster` and `dr doctor`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from dr.adapters import cache
from dr.app.answer import Answer
from dr.app.places import state_folder
from dr.local import cluster
from dr.local.binaries import Progress, pinned, programs
from dr.report.console import line, seconds
from dr.report.data import encode

if TYPE_CHECKING:
    from dr.core.simulated import Simulation

Say = Callable[[str], None]
_SAY_EVERY = 10.0


class Binaries(Struct, frozen=True):
    """The programs of an embedded cluster and the version of Kubernetes that they are."""

    version: str
    programs: Mapping[str, Path]


def binaries(version: str, say: Say) -> Binaries:
    """Return the programs of an embedded cluster, saying how they are come by.

    A build takes minutes; outside an event loop Ctrl-C ends it. Raises UsageError, ToolError.
    """
    told: dict[tuple[str, str], float] = {}

    def tell(progress: Progress) -> None:
        """Say that a program is made, what is being compiled every few seconds, and that it is done."""
        key = (progress.program, progress.state)
        if progress.way not in ("download", "build") or progress.state == "looking":
            return
        if progress.state == "running" and progress.seconds - told.get(key, 0.0) < _SAY_EVERY:
            return
        told[key] = progress.seconds
        last = f" of {seconds(progress.last)} last time" if progress.last else ""
        detail = f": {progress.detail}" if progress.detail else ""
        say(f"{progress.way} {progress.program} {progress.state}, {seconds(progress.seconds)}{last}{detail}")

    wanted = f"v{version.removeprefix('v')}" if version else pinned().kubernetes
    return Binaries(wanted, programs(cache.folder(), version, tell))


async def bring_up(
    name: str, nodes: int, found: Binaries, say: Say, simulation: Simulation | None = None
) -> cluster.Cluster:
    """Bring an embedded cluster up with its stand-ins; it ends with this process unless it is kept."""
    made = await cluster.up(name, state_folder(), found.programs, version=found.version, nodes=nodes, report=say)
    if simulation is not None:
        try:
            await cluster.simulate(made.folder, simulation)
        except BaseException:
            made.down()
            raise
    return made


def up(name: str, nodes: int, version: str, form: str, say: Say) -> Answer:
    """Answer `dr cluster up`."""
    made = asyncio.run(bring_up(name, nodes, binaries(version, say), say))
    made.keep()
    kubeconfig = made.folder / "kubeconfig"
    if form == "json":
        return Answer(content=encode({"schema": 1, **_row(_named(name)), "kubeconfig": str(kubeconfig)}))
    return Answer(
        (
            line((f"cluster {name} is up", "bold"), f": {made.record.version}, {nodes} nodes, {made.record.server}"),
            line(f"  kubectl --kubeconfig {kubeconfig} get nodes"),
            line(f"  dr restore REPO --to local:{name}"),
            line(f"  dr cluster down {name}"),
        )
    )


def prepare(version: str, form: str, say: Say) -> Answer:
    """Answer `dr cluster prepare`: have the programs at hand before they are needed."""
    found = binaries(version, say)
    paths = {name: str(path) for name, path in found.programs.items()}
    if form == "json":
        return Answer(content=encode({"schema": 1, "version": found.version, "programs": paths}))
    rows = (line(f"  {name}  {path}") for name, path in paths.items())
    return Answer((line((f"Kubernetes {found.version}", "bold")), *rows))


def down(names: tuple[str, ...], everything: bool) -> Answer:
    """Answer `dr cluster down`."""
    from dr.core.errors import UsageError

    if everything == bool(names):
        raise UsageError("which cluster?", "give its name, or --all and no name")
    wanted = names or cluster.left(state_folder())
    for name in wanted:
        cluster.remove(state_folder(), name)
    return Answer(tuple(line(f"cluster {name} is gone") for name in wanted) or (line("there was none"),))


def listing(form: str) -> Answer:
    """Answer `dr cluster list`."""
    found = cluster.listed(state_folder())
    if form == "json":
        return Answer(content=encode({"schema": 1, "clusters": [_row(status) for status in found]}))
    return Answer(tuple(line((s.record.name, "bold"), f"  {_state(s)}  {s.record.server}") for s in found))


def status(name: str, form: str) -> Answer:
    """Answer `dr cluster status`; exit code 1 when something of it is down."""
    found = _named(name)
    code = 1 if found.down else 0
    if form == "json":
        return Answer(content=encode({"schema": 1, **_row(found)}), exit_code=code)
    rows = [line(f"  {program}  pid {pid}") for program, pid in found.running.items()]
    rows += [line(f"  {program}  ", ("down", "red")) for program in found.down]
    return Answer((line((name, "bold"), f"  {_state(found)}  {found.record.server}"), *rows), exit_code=code)


def kubeconfig(name: str) -> Answer:
    """Answer `dr cluster kubeconfig`: the file's content, for `> file` or a variable."""
    folder, _ = cluster.find(state_folder(), name)
    return Answer(content=(folder / "kubeconfig").read_bytes() + b"\n")


def logs(name: str, program: str, tail: int) -> Answer:
    """Answer `dr cluster logs`: the last lines of one program, or of all."""
    from dr.core.errors import NotFound

    folder, _ = cluster.find(state_folder(), name)
    files = {path.stem: path for path in sorted((folder / "logs").glob("*.log"))}
    if program and program not in files:
        raise NotFound(f'"{program}" has no log', f"there are {', '.join(files)}")
    rows = []
    for stem, path in files.items():
        if program in ("", stem):
            last = path.read_text(errors="replace").splitlines()[-tail:]
            rows += [line(said) if program else line((f"{stem} ", "dim"), said) for said in last]
    return Answer(tuple(rows))


def doctor(form: str) -> Answer:
    """Answer `dr doctor`; exit code 1 when a command lacks something that it needs here."""
    from dr.local.doctor import checks

    found = checks(cache.folder(), state_folder(), os.environ)
    code = 1 if any(check.ok is False for check in found) else 0
    if form == "json":
        return Answer(content=encode({"schema": 1, "checks": found}), exit_code=code)
    rows = []
    for check in found:
        mark, style = {True: ("✓", "green"), False: ("✗", "red"), None: ("–", "dim")}[check.ok]
        rows.append(line((f"{mark} ", style), (check.name, "bold"), f"  {check.found}"))
        if check.ok is False:
            rows.append(line((f"    {check.remedy} (for {', '.join(check.needed_for)})", "dim")))
    return Answer(tuple(rows), exit_code=code)


def _named(name: str) -> cluster.Status:
    cluster.find(state_folder(), name)
    return next(s for s in cluster.listed(state_folder()) if s.record.name == name)


def _state(found: cluster.Status) -> str:
    if not found.running:
        return "left over (dr cluster down removes it)"
    return f"running, {found.record.nodes} nodes" if not found.down else f"down: {', '.join(found.down)}"


def _row(found: cluster.Status) -> dict[str, object]:
    return {**_plain(found.record), "running": dict(found.running), "down": list(found.down)}


def _plain(record: cluster.Record) -> dict[str, object]:
    return {
        "name": record.name,
        "version": record.version,
        "server": record.server,
        "created": record.created,
        "nodes": record.nodes,
    }
