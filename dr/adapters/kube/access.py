"""How to reach an API server: the address and credentials of one kubeconfig context."""

from __future__ import annotations

import hashlib
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import Struct

from dr.core.errors import UsageError

IN_CLUSTER = "in-cluster"
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_RENEWED: dict[tuple[str, str], str] = {}  # tokens that took the place of an access' own, by its context and source


class Access(Struct, frozen=True):
    """An API server's address, the CA that it must show, and who calls. Never printed: it holds credentials.

    `ca`, `certificate` and `key` are paths of PEM files; `token` is a bearer token, `token_file` one that is read for
    each request, because it is renewed there. `source` is the kubeconfig that gives another token when this one has
    expired; `proxy` a URL to go through, `tls_name` the name that the server's certificate is for, if not its address.
    """

    context: str
    server: str
    ca: str = ""
    certificate: str = ""
    key: str = ""
    token: str = ""
    insecure: bool = False
    token_file: str = ""
    source: str = ""
    proxy: str = ""
    tls_name: str = ""

    def __repr__(self) -> str:
        """Name the context and server only."""
        return f"Access({self.context!r}, {self.server!r})"

    def tls(self) -> ssl.SSLContext | bool:
        """Return the TLS settings; False for plain HTTP. Raises UsageError for a CA or certificate that is none."""
        if self.server.startswith("http://"):
            return False
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
            if self.certificate:
                context.load_cert_chain(self.certificate, self.key or None)
        except OSError as error:  # an SSLError is one
            files = ", ".join(filter(None, (self.ca, self.certificate, self.key)))
            cause = f"the CA or certificate of context {self.context!r} cannot be used: {error.strerror or error}"
            raise UsageError(cause, f"these must be PEM files that can be read: {files}") from None
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def bearer(self) -> str:
        """Return the token to show now, "" for none."""
        if self.token_file:
            return Path(self.token_file).read_text().strip()
        return _RENEWED.get((self.context, self.source), self.token)

    def renewed(self) -> str:
        """Return a token from the kubeconfig read anew, which runs a plugin again; "" where that gives none."""
        if not self.source:
            return ""
        try:
            token = from_kubeconfig(self.context, Path(self.source)).token
        except UsageError:
            return ""
        _RENEWED[self.context, self.source] = token
        return token

    def fingerprint(self) -> str:
        """Return the SHA-256 of the CA file; that of the address where the system's CAs are used."""
        content = Path(self.ca).read_bytes() if self.ca else self.server.encode()
        return hashlib.sha256(content).hexdigest()


def kubeconfig(access: Access) -> bytes:
    """Return a kubeconfig with this one access as its only context, for a client of another process."""
    user = {"client-certificate": access.certificate, "client-key": access.key}
    user |= {"token": "" if access.token_file else access.bearer(), "tokenFile": access.token_file}
    cluster = {
        "server": access.server,
        "certificate-authority": access.ca,
        "insecure-skip-tls-verify": access.insecure,
        "proxy-url": access.proxy,
        "tls-server-name": access.tls_name,
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
    """Return the names of the contexts of a kubeconfig (default: as kubectl finds it); none where it cannot be read."""
    config = _loader()
    try:
        found, _ = config.list_kube_config_contexts(_files(path))
        return tuple(sorted(context["name"] for context in found))
    except Exception:  # noqa: BLE001 - the client falls over a file of another shape in many ways
        return ()


def from_kubeconfig(context: str, path: Path | None = None) -> Access:
    """Return the access that a context of a kubeconfig gives, credentials of exec plugins included.

    Raises UsageError when there is no such context or its entry cannot be used.
    """
    from kubernetes import client  # noqa: PLC0415 - half a second, paid by those who need it

    config, settings = _loader(), cast("Any", client.Configuration())
    settings.proxy = None  # not the environment's: like the address, it is the kubeconfig's to say
    try:
        config.load_kube_config(_files(path), context, settings, persist_config=False)
    except Exception as error:  # noqa: BLE001 - as above
        known = contexts(path)
        there = f"the kubeconfig has {', '.join(known)}" if known else "there is no kubeconfig, or it has no contexts"
        said = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f'the context "{context}" cannot be used: {said}', there) from None
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
        source=_files(path) or config.KUBE_CONFIG_DEFAULT_LOCATION,
        proxy=settings.proxy or "",
        tls_name=settings.tls_server_name or "",
    )


def _loader() -> Any:
    from kubernetes import config  # noqa: PLC0415 - as above

    return config


def _files(path: Path | None) -> str | None:
    """Return where kubeconfigs are, as the environment says now: the client's own answer is as old as its import."""
    return str(path) if path else os.environ.get("KUBECONFIG") or None
