"""Clusters that other commands make: kind and k3d, each by its own command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence

from msgspec import Struct

from dr.core.errors import NotFound, ToolError, UsageError

_SECONDS = 300


class Contract(Struct, frozen=True):
    """How a command is spoken to; "{}" in an argument is the cluster's name.

    `names` reads the list of clusters from what `listing` prints. `context` is what the kubeconfig calls a cluster.
    """

    listing: tuple[str, ...]
    names: Callable[[str], list[str]]
    create: tuple[str, ...]
    kubeconfig: tuple[str, ...]
    delete: tuple[str, ...]
    context: str


CONTRACTS = {
    "kind": Contract(
        ("get", "clusters"),
        lambda said: [line for line in said.split("\n") if line and " " not in line],
        ("create", "cluster", "--name", "{}", "--wait", "180s", "--kubeconfig", os.devnull),
        ("get", "kubeconfig", "--name", "{}"),
        ("delete", "cluster", "--name", "{}"),
        "kind-{}",
    ),
    "k3d": Contract(
        ("cluster", "list", "--output", "json"),
        lambda said: [row["name"] for row in json.loads(said)],
        ("cluster", "create", "{}", "--wait", "--timeout", "180s", "--kubeconfig-update-default=false"),
        ("kubeconfig", "get", "{}"),
        ("cluster", "delete", "{}"),
        "k3d-{}",
    ),
}


def kubeconfig(provider: str, name: str, *, create: bool = False) -> tuple[str, str]:
    """Return the context's name and the kubeconfig of a cluster of kind or k3d; `create` makes one that is not there.

    Raises NotFound when it is not there, UsageError when the command is not installed or the name is empty, ToolError
    when it fails.
    """
    contract = CONTRACTS[provider]
    if not name:
        raise UsageError(f"{provider}: names no cluster", f"give --to {provider}:NAME")
    try:
        there = contract.names(_ask(provider, contract.listing, name))
    except (ValueError, KeyError, TypeError) as error:
        raise ToolError(f"{provider} lists its clusters in a way that dr does not know: {error}", "update dr") from None
    if name not in there and not create:
        known = f"there are {', '.join(there)}; " if there else ""
        raise NotFound(f'{provider} has no cluster "{name}"', f"{known}dr restore REPO --to {provider}:{name} makes it")
    if name not in there:
        _ask(provider, contract.create, name)
    return contract.context.format(name), _ask(provider, contract.kubeconfig, name)


def delete(provider: str, name: str) -> None:
    """Delete a cluster of kind or k3d; raises ToolError when that fails."""
    _ask(provider, CONTRACTS[provider].delete, name)


def _ask(provider: str, words: Sequence[str], name: str) -> str:
    command = shutil.which(provider)
    if command is None:
        raise UsageError(f"{provider} is not installed", f"install {provider}, or use an embedded cluster: local:NAME")
    argv = [command, *(word.format(name) for word in words)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise ToolError(f"{provider} {' '.join(words[:2])} did not end in {_SECONDS} s", "see its own logs") from None
    except OSError as error:
        raise ToolError(f"{provider} cannot be run: {error.strerror}", "reinstall it") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ToolError(f"{provider} {' '.join(words[:2])} failed: {last}", f"run it by hand: {' '.join(argv)}")
    return done.stdout
