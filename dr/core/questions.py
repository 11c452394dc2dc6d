"""What is wrong with a probe's question, before it is asked: one that nobody can answer would look like a fault."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dr.core.gameday import Canary, Command, Http, KubernetesProbe, Probe, Prometheus, Tcp

_LAST_PORT = 65_535
_URL = re.compile(r"https?://(?:[^/?#@]*@)?(?:\[[0-9a-f:.%]+\]|[^/?#@:\[\]\s]+)(?::(\d+))?(?:[/?#].*)?", re.IGNORECASE)
_ONE = ("service", "workload", "ready", "exists")
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
# Of each field of a Kubernetes probe: how many names it may be made of, and how it is written.
_PARTS = {
    "service": ((2,), "namespace/name"),
    "workload": ((3,), "Kind/namespace/name"),
    "ready": ((2, 3), "Kind/namespace/name, or Kind/name of what is in no namespace"),
    "exists": ((2, 3), "Kind/namespace/name, or Kind/name of what is in no namespace"),
}
Wrong = tuple[str, str]


def wrong(probe: Probe) -> Iterator[Wrong]:
    """Yield what is wrong with a probe of one kind: the field below it ("" for the probe itself), and why."""
    if not probe.name.strip():
        yield "name", "is empty: reports call a probe by its name"
    for field in ("every", "timeout"):
        if getattr(probe, field) == 0:
            yield field, "must be more than 0"
    for field, cause in _KINDS[probe.kind](getattr(probe, probe.kind)):
        yield f"{probe.kind}.{field}".rstrip("."), cause


def _http(asked: Http) -> Iterator[Wrong]:
    if cause := _address(asked.url):
        yield "url", cause
    if not 100 <= asked.status <= 599:
        yield "status", f"{asked.status} is no status of HTTP: 100 to 599"


def _tcp(asked: Tcp) -> Iterator[Wrong]:
    if not asked.host.strip() or "://" in asked.host:
        yield "host", "is no host: write a name or an address, without scheme and port"
    if not 1 <= asked.port <= _LAST_PORT:
        yield "port", f"{asked.port} is no port: 1 to {_LAST_PORT}"


def _prometheus(asked: Prometheus) -> Iterator[Wrong]:
    if cause := _address(asked.url):
        yield "url", cause
    if not asked.query.strip():
        yield "query", "is empty: write an expression, such as up"
    if asked.least is not None and asked.most is not None and asked.least > asked.most:
        yield "least", f"is {asked.least:g} and `most` {asked.most:g}: no sample lies between"


def _command(asked: Command) -> Iterator[Wrong]:
    if not (asked.argv and asked.argv[0]):
        yield "argv", "names no program: write [program, argument, …]"


def _kubernetes(asked: KubernetesProbe) -> Iterator[Wrong]:
    said = [field for field in _ONE if getattr(asked, field)]
    if len(said) != 1:
        yield "", f"must be exactly one of {', '.join(_ONE)}"
        return
    (field,) = said
    names = getattr(asked, field).split("/")
    counts, form = _PARTS[field]
    if len(names) not in counts or not all(name.strip() for name in names):
        yield field, f"{'/'.join(names)} is not written as {form}"
    elif field == "workload" and not asked.api_version and names[0] not in _WORKLOADS:
        yield field, f"{names[0]} is none of {', '.join(_WORKLOADS)}: for another kind, say its `api_version`"


def _canary(asked: Canary) -> Iterator[Wrong]:
    commands = bool(asked.write or asked.read)
    if bool(asked.config_map) == commands:
        yield "", "must be either `config_map`, or both `write` and `read`"
    elif asked.config_map:
        names = asked.config_map.split("/")
        if len(names) != 2 or not all(name.strip() for name in names):
            yield "config_map", f"{asked.config_map} is not written as namespace/name"
    else:
        for field in ("write", "read"):
            argv = getattr(asked, field)
            if not (argv and argv[0]):
                yield field if argv else "", f"`{field}` names no program: write [program, argument, …]"
        if asked.write and not any("{n}" in word for word in asked.write):
            yield "write", "has no {n}, which is the number that is written"


def _address(url: str) -> str:
    """Return why a URL cannot be asked, without the URL: it may hold a password."""
    found = _URL.fullmatch(url)
    if found and int(found[1] or 0) <= _LAST_PORT:
        return ""
    return "is no URL that can be asked: write http://HOST/… or https://HOST:PORT/…"


_KINDS: dict[str, Callable[[Any], Iterator[Wrong]]] = {
    "http": _http,
    "tcp": _tcp,
    "kubernetes": _kubernetes,
    "command": _command,
    "prometheus": _prometheus,
    "canary": _canary,
}
