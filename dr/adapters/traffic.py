"""Moves users' traffic by hooks, and looks at who answers them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Self

import aiohttp

from dr.core.body import mapping
from dr.core.errors import ToolError
from dr.core.forklift import Annotation, Seen, Traffic, TrafficCommand, TrafficHttp, named
from dr.core.model import Body
from dr.engine.ports import Cluster

_QUESTION = aiohttp.ClientTimeout(total=5.0)
_MOST = 1 << 16  # bytes of an answer that are looked at


class Hooks:
    """Tells everything that moves traffic how much of it goes where. `clusters` has "from" and "to"."""

    def __init__(self, clusters: Mapping[str, Cluster], environ: Mapping[str, str], folder: Path) -> None:
        self._clusters = clusters
        self._environ = environ
        self._folder = folder

    async def tell(self, hook: Traffic, weight: int, side: str) -> None:
        """Run a hook; raises ToolError when it fails, or takes longer than it may."""
        words = {"weight": str(weight), "rest": str(100 - weight), "side": side}
        try:
            async with asyncio.timeout(hook.timeout):
                if hook.command:
                    await self._command(hook.command, words)
                elif hook.http:
                    await self._http(hook.http, words)
                elif hook.annotation:
                    await self._annotate(hook.annotation, words)
        except TimeoutError:
            raise ToolError(f"{said(hook)} has not answered in {hook.timeout:g} s", "look at it, then go on") from None

    async def _command(self, hook: TrafficCommand, words: Mapping[str, str]) -> None:
        argv = [filled(part, words) for part in hook.argv]
        told = {f"DR_{name.upper()}": value for name, value in words.items()}
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                cwd=self._folder,
                env={**self._environ, **told},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise ToolError(f"{argv[0]} cannot be run: {error.strerror}", "correct `argv`") from None
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode:
            last = output.decode(errors="replace").strip().rpartition("\n")[2]
            raise ToolError(f"{argv[0]} ended with {process.returncode}: {last or 'it said nothing'}", "look at it")

    async def _http(self, hook: TrafficHttp, words: Mapping[str, str]) -> None:
        url, body = filled(hook.url, words), filled(hook.body, words)
        headers = {"Content-Type": "application/json"}
        if hook.token:
            headers["Authorization"] = f"Bearer {self._environ.get(hook.token, '')}"
        try:
            async with (
                aiohttp.ClientSession(headers=headers) as session,
                session.request(hook.method, url, data=body or None) as answer,
            ):
                if answer.status >= 300:
                    raise ToolError(f"{_plain(url)} answers {answer.status}", "look at the load balancer")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ToolError(f"{_plain(url)} cannot be told: {type(error).__name__}", "look at it") from None

    async def _annotate(self, hook: Annotation, words: Mapping[str, str]) -> None:
        ref = named(hook.object)
        for side, template in hook.values.items():
            share = words["weight"] if side == "to" else words["rest"]
            value = filled(template, {**words, "on": "true" if share != "0" else "false"})
            metadata = {"name": ref.name, "namespace": ref.namespace, "annotations": {hook.key: value}}
            body: Body = {"apiVersion": hook.api_version, "kind": ref.kind, "metadata": metadata}
            # One manager for each key: what one hook applies must not take away what another has.
            manager = f"dr-forklift-{sha256(hook.key.encode()).hexdigest()[:8]}"
            stored, _ = await self._clusters[side].apply(body, manager=manager)
            if mapping(stored, "metadata", "annotations").get(hook.key) != value:
                raise ToolError(f"{ref} on `{side}` does not keep {hook.key}", "something else writes it: stop that")


def said(hook: Traffic) -> str:
    """Return a hook in a few words, without a secret."""
    if hook.command:
        return hook.command.argv[0]
    if hook.http:
        return _plain(hook.http.url)
    return f"{hook.annotation.key} of {hook.annotation.object}" if hook.annotation else "the hook"


def filled(template: str, words: Mapping[str, str]) -> str:
    """Return a template with its words in; other braces are left alone."""
    for name, value in words.items():
        template = template.replace(f"{{{name}}}", value)
    return template


async def who(seen: Seen, session: aiohttp.ClientSession) -> str:
    """Ask as a user does, by a connection of its own, and return who answered: from, to, or "" when nobody did."""
    try:
        async with session.get(seen.url, timeout=_QUESTION) as answer:
            content = (await answer.content.read(_MOST)).decode(errors="replace")
            content += "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
    except (aiohttp.ClientError, OSError, TimeoutError):
        return ""
    return "to" if seen.target in content else "from" if seen.source in content else ""


class Looking:
    """Asks who answers users. Use it as an asynchronous context manager."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    async def __aenter__(self) -> Self:
        """Open it. No connection and no address is kept: each question is a new user's."""
        connector = aiohttp.TCPConnector(force_close=True, use_dns_cache=False)
        self._session = aiohttp.ClientSession(connector=connector)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self._session.close()

    async def ask(self) -> str:
        """Return who answered one question: from, to, or "" when nobody did."""
        return await who(self._seen, self._session)


def _plain(url: str) -> str:
    return url.partition("?")[0].rpartition("@")[2]
