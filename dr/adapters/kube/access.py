"""How to reach an API server: the address and credentials of one kubeconfig context."""

from __future__ import annotations

import hashlib
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from dr.core.errors import UsageError

IN_CLUSTER = "in-cluster"
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Access(Struct, frozen=True):
    """An API server's address, the CA that it must show, and who calls. Never printed: it holds credentials.

    `ca`, `certificate` and `key` are paths of PEM files; `token` is a bearer token, `token_file` one that is read for
    each request, because it is renewed there.
    """

    context: str
    server: str
    ca: str = ""
    certificate: str = ""
    key: str = ""
    token: str = ""
    insecure: bool = False
    token_file: str = ""

    def __repr__(self) -> str:
        """Name the context and server only."""
        return f"Access({self.context!r}, {self.server!r})"

    def tls(self) -> ssl.SSLContext | bool:
        """Return the TLS settings; False for plain HTTP."""
        if self.server.startswith("http://"):
            return False
        context = ssl.create_default_context(cafile=self.ca or None)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key or None)
        return context

    def bearer(self) -> str:
        """Return the token to show now, "" for none."""
        return Path(self.token_file).read_text().strip() if self.token_file else self.token

    def fingerprint(self) -> str:
        """Return the SHA-256 of the CA file; that of the address where the system's CAs are used."""
        content = Path(self.ca).read_bytes() if self.ca else self.server.encode()
        return hashlib.sha256(content).hexdigest()


def kubeconfig(access: Access) -> bytes:
    """Return a kubeconfig with this one access as its only context, for a client of another process."""
    user = {"client-certificate": access.certificate, "client-key": access.key}
    user |= {"token": access.token, "tokenFile": access.token_file}
    cluster = {
        "server": access.server,
        "certificate-authority": access.ca,
        "insecure-skip-tls-verify": access.insecure,
    }
    return msgspec.json.encode(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": access.context,
            "clusters": [{"name": "target", "cluster": {name: value for name, value in cluster.items() if value}}],
            "users": [{"name": "dr", "user": {name: value for name, value in user.items() if value}}],
            "contexts": [{"name": access.context, "context": {"cluster": "target", "user": "dr"}}],
        }
    )


def in_cluster(environ: Mapping[str, str], folder: Path = _ACCOUNT) -> Access | None:
    """Return the access of the pod that this process runs in, as its service account; None outside of a cluster."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
    token = folder / "token"
    if not host or not token.exists():
        return None
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return Access(IN_CLUSTER, server, str(folder / "ca.crt"), token_file=str(token))


def contexts(path: Path | None = None) -> tuple[str, ...]:
    """Return the names of the contexts of a kubeconfig (default: as kubectl finds it); none where there is no file."""
    config = _loader()
    try:
        found, _ = config.list_kube_config_contexts(_files(path))
    except config.ConfigException:
        return ()
    return tuple(sorted(context["name"] for context in found))


def from_kubeconfig(context: str, path: Path | None = None) -> Access:
    """Return the access that a context of a kubeconfig gives, credentials of exec plugins included.

    Raises UsageError when there is no such context or its entry cannot be used.
    """
    from kubernetes import client  # noqa: PLC0415 - half a second, paid by those who need it

    config, settings = _loader(), client.Configuration()
    try:
        config.load_kube_config(_files(path), context, settings, persist_config=False)
    except (config.ConfigException, OSError, ValueError, KeyError, TypeError) as error:
        known = contexts(path)
        there = f"the kubeconfig has {', '.join(known)}" if known else "there is no kubeconfig, or it has no contexts"
        raise UsageError(f'the context "{context}" cannot be used: {error}', there) from None
    keys = settings.api_key or {}
    token = keys.get("BearerToken") or keys.get("authorization") or ""
    return Access(
        context,
        settings.host.rstrip("/"),
        settings.ssl_ca_cert or "",
        settings.cert_file or "",
        settings.key_file or "",
        token.removeprefix("Bearer "),
        not settings.verify_ssl,
    )


def _loader() -> Any:
    from kubernetes import config  # noqa: PLC0415 - as above

    return config


def _files(path: Path | None) -> str | None:
    """Return where kubeconfigs are, as the environment says now: the client's own answer is as old as its import."""
    return str(path) if path else os.environ.get("KUBECONFIG") or None
