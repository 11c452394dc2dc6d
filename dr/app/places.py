"""The folders that dr keeps things in, and the cluster that `--to` means."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from dr.core.errors import UsageError

if TYPE_CHECKING:
    from dr.adapters.kube import Access

_EMBEDDED = "dr-"


def state_folder() -> Path:
    """Return the folder of embedded clusters: DR_STATE_DIR, else the user's state folder."""
    if chosen := os.environ.get("DR_STATE_DIR"):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base).absolute() / "dr"


def target(name: str, *, create: bool = False) -> Access:
    """Return the access to the cluster that `--to` names.

    `local:NAME` (or its context `dr-NAME`) is an embedded cluster, `kind:NAME` and `k3d:NAME` one of theirs,
    `in-cluster` in a pod the cluster that it runs in; anything else is a context of the kubeconfig. `create`: one of
    kind or k3d that is not there is made. Raises UsageError, NotFound, and ToolError where kind or k3d fails.
    """
    provider, colon, rest = name.partition(":")
    if not name:
        raise UsageError("no target was named", "give --to CONTEXT, --to local:NAME or --to kind:NAME")
    if colon and provider == "local":
        return _embedded(rest)
    if colon and provider in ("kind", "k3d"):
        return _provided(provider, rest, create=create)
    if name.startswith(_EMBEDDED):
        try:
            return _embedded(name.removeprefix(_EMBEDDED))
        except UsageError:
            pass  # no cluster of ours: a context of the kubeconfig may begin like one
    from dr.adapters.kube import IN_CLUSTER, from_kubeconfig, in_cluster

    own = in_cluster(os.environ) if name == IN_CLUSTER else None
    return own or from_kubeconfig(name)


def _embedded(name: str) -> Access:
    from dr.local import cluster

    folder, record = cluster.find(state_folder(), name)
    return cluster.access(folder, record)


def _provided(provider: str, name: str, *, create: bool) -> Access:
    from dr.adapters.kube import from_kubeconfig
    from dr.adapters.providers import kubeconfig

    context, content = kubeconfig(provider, name, create=create)
    with tempfile.TemporaryDirectory(prefix="dr-") as folder:  # 0700: it holds credentials
        file = Path(folder) / "kubeconfig"
        file.write_text(content)
        return from_kubeconfig(context, file)
