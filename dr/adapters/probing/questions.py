"""What a probe asks, kind by kind. Each question makes a connection of its own, as somebody new would."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import ssl
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from dr.adapters.kube import Access, Kube, kubeconfig, words
from dr.core.body import get, items, mapping, text
from dr.core.errors import ApiError
from dr.core.gameday import Command, Http, KubernetesProbe, Probe, Prometheus, Tcp
from dr.core.health import State, health
from dr.core.model import Body, Ref
from dr.core.pods import labels_of, serving, wanted
from dr.core.pods import ready as is_ready

_APPS, _SLICES = "apps/v1", "discovery.k8s.io/v1"
_BODY = 1 << 20  # bytes of an answer that are looked at
_NO_TOTAL = aiohttp.ClientTimeout(total=None)  # the round has a timeout for all of a question


class Refused(Exception):
    """The answer is not what the probe wants, in a few words; never with a credential."""


class Unasked(Refused):
    """Nobody could be asked, so nothing is known."""


class Asker:
    """Asks probes; `access` is the cluster's API server until `move`, `private` a folder that nobody else reads."""

    def __init__(self, access: Access, private: Path) -> None:
        self._kubeconfig = private / "kubeconfig"
        self.move(access)

    def move(self, access: Access) -> None:
        """Ask another API server from here on; commands find it in KUBECONFIG."""
        self._access = access
        # Kept, because the files of a cluster that is gone may be gone too; and it is the dear part of a question.
        self._tls = access.tls()
        fresh = self._kubeconfig.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_bytes(kubeconfig(access))
        fresh.replace(self._kubeconfig)

    def cluster(self) -> Kube:
        """Return a client of the API server that is meant now, with no connection yet."""
        return Kube(self._access, tls=self._tls)

    async def ask(self, probe: Probe) -> None:
        """Ask once; raises Refused with what is not as it should be."""
        try:
            await self._ask(probe)
        except ApiError as error:
            raise Unasked(error.cause) from None
        except ssl.SSLError as error:
            raise Unasked(f"TLS: {error.reason or error}") from None
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            raise Unasked("its URL is none") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unasked(words(error)) from None

    async def _ask(self, probe: Probe) -> None:
        match probe:
            case Probe(http=Http() as http):
                await _http(http)
            case Probe(tcp=Tcp() as tcp):
                _, writer = await asyncio.open_connection(tcp.host, tcp.port)
                writer.close()
            case Probe(prometheus=Prometheus() as prometheus):
                await _prometheus(prometheus)
            case Probe(command=Command() as command):
                if command.contains not in await self.command(command.argv):
                    raise Refused(f"{command.argv[0]} does not print {command.contains!r}")
            case Probe(kubernetes=KubernetesProbe() as asked):
                async with self.cluster() as cluster:
                    await _kubernetes(cluster, asked)

    async def command(self, argv: Sequence[str]) -> str:
        """Return what a command prints; raises Refused when it fails, and kills what it started when cancelled."""
        environment = {**os.environ, "KUBECONFIG": str(self._kubeconfig)}
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
                env=environment,
            )
        except (OSError, ValueError) as error:
            raise Unasked(f"{argv[0]}: {getattr(error, 'strerror', None) or error}") from None
        try:
            said, _ = await process.communicate()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if process.returncode:
            raise Refused(f"{argv[0]} ended with {process.returncode}")
        return said.decode(errors="replace")


async def _get(url: str, ca: str = "", **query: str) -> tuple[int, bytes]:
    tls = ssl.create_default_context(cafile=ca) if ca else True
    connector = aiohttp.TCPConnector(ssl=tls, force_close=True)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=_NO_TOTAL, headers={"User-Agent": "dr"}) as session,
        session.get(url, params=query) as answer,
    ):
        body = bytearray()
        while len(body) < _BODY and (part := await answer.content.readany()):
            body += part
        return answer.status, bytes(body)


async def _http(asked: Http) -> None:
    status, body = await _get(asked.url, asked.ca)
    if status != asked.status:
        raise Refused(f"status {status}, not {asked.status}")
    if asked.contains.encode() not in body:
        raise Refused(f"the answer does not contain {asked.contains!r}")


async def _prometheus(asked: Prometheus) -> None:
    status, body = await _get(f"{asked.url.rstrip('/')}/api/v1/query", query=asked.query)
    try:
        said = msgspec.json.decode(body)
    except msgspec.DecodeError:
        raise Refused(f"status {status}, and no JSON") from None
    if get(said, "status") != "success":
        raise Refused(f"the query failed: {text(said, 'error') or status}")
    result = items(said, "data", "result")
    scalar = get(said, "data", "resultType") in ("scalar", "string")
    values = [result] if scalar else [get(row, "value") for row in result if isinstance(row, dict)]
    if not values:
        raise Refused("the query finds no sample")
    least = -math.inf if asked.least is None else asked.least
    most = math.inf if asked.most is None else asked.most
    for value in values:
        number = _number(value)
        if not least <= number <= most:
            raise Refused(f"a sample is {number:g}, not within {least:g} and {most:g}")


def _number(sample: Any) -> float:
    try:
        return float(sample[1])
    except (TypeError, IndexError, ValueError, KeyError):
        raise Refused("a sample is no number: ask for an instant vector or a scalar") from None


async def _kubernetes(cluster: Kube, asked: KubernetesProbe) -> None:
    if asked.service:
        namespace, name = asked.service.split("/")
        labels = f"kubernetes.io/service-name={name}"
        slices = await cluster.list(_SLICES, "EndpointSlice", namespace=namespace, labels=labels)
        ends = (end for each in slices for end in items(each, "endpoints"))
        if all(get(end, "conditions", "ready") is False for end in ends):
            raise Refused("no ready endpoint")
        return
    body = await _object(cluster, asked.workload or asked.ready or asked.exists, asked.api_version)
    if asked.workload:
        await _serves(cluster, body)
    elif asked.ready and (found := health(body)).state is not State.CURRENT:
        raise Refused(found.message)


async def _object(cluster: Kube, name: str, api_version: str) -> Body:
    kind, *home, own = name.split("/")
    body = await cluster.get(Ref(api_version or _home(kind), kind, home[0] if home else "", own))
    if body is None:
        raise Refused("it is not there")
    if "deletionTimestamp" in mapping(body, "metadata"):
        raise Refused("it is being deleted")
    return body


def _home(kind: str) -> str:
    return _APPS if kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet") else "v1"


async def _serves(cluster: Kube, workload: Body) -> None:
    """Refuse unless as many pods as the workload wants serve, and it wants at least one."""
    namespace, labels = text(workload, "metadata", "namespace"), labels_of(get(workload, "spec", "selector"))
    pods = await cluster.list("v1", "Pod", namespace=namespace, labels=labels)
    nodes = await _ready_nodes(cluster)
    want, have = wanted(workload), sum(serving(pod, nodes) for pod in pods)
    if want < 1:
        raise Refused("it wants no pods")
    if have < want:
        raise Refused(f"{have} of {want} pods serve")


async def _ready_nodes(cluster: Kube) -> frozenset[str] | None:
    try:
        nodes = await cluster.list("v1", "Node")
    except ApiError as error:
        if error.status == 403:
            return None
        raise
    return frozenset(text(node, "metadata", "name") for node in nodes if is_ready(node))
