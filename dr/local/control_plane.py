"""The command lines and files of a cluster's programs: from a folder and two ports to what the supervisor starts."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from dr.local.pki import Authority, signing_keys, write_private

_LOOPBACK = "127.0.0.1"
# Many objects at once on few cores: what each setting bought is in docs/concepts/embedded-cluster.md.
_GO = {"GOGC": "800"}
_CLIENT = ("--kube-api-qps=1000", "--kube-api-burst=2000")


class Layout(Struct, frozen=True):
    """Where a cluster's files are: `folder` its own, `sockets` a folder with a path short enough for sockets."""

    folder: Path
    sockets: Path
    port: int

    @property
    def server(self) -> str:
        """The API server's address."""
        return f"https://{_LOOPBACK}:{self.port}"

    @property
    def pki(self) -> Path:
        """Certificates and keys."""
        return self.folder / "pki"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder / "kubeconfig"


def prepare(layout: Layout, name: str) -> None:
    """Write a new cluster's keys, certificates and configuration files."""
    for part in ("pki", "logs", "config"):
        (layout.folder / part).mkdir(mode=0o700)
    authority = Authority(layout.pki, f"dr {name}")
    hosts = (_LOOPBACK, "localhost", "10.96.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
    authority.issue("kube-apiserver", hosts=hosts).write(layout.pki, "apiserver")
    authority.issue("front-proxy").write(layout.pki, "front-proxy")
    signing_keys(layout.pki)
    for user, groups, file in (
        ("dr-admin", ("system:masters",), layout.kubeconfig),
        ("system:kube-controller-manager", (), layout.folder / "config" / "controller-manager"),
        ("system:kube-scheduler", (), layout.folder / "config" / "scheduler"),
        ("dr-stand-ins", ("system:masters",), layout.folder / "config" / "stand-ins"),
    ):
        pair = authority.issue(user, groups)
        certificate, key = pair.write(layout.pki, user.replace(":", "-"))
        _kubeconfig(file, name, layout, certificate, key)
    egress = {
        "apiVersion": "apiserver.k8s.io/v1beta1",
        "kind": "EgressSelectorConfiguration",
        "egressSelections": [
            {
                "name": "cluster",
                "connection": {
                    "proxyProtocol": "HTTPConnect",
                    "transport": {"uds": {"udsName": str(layout.sockets / "egress.sock")}},
                },
            }
        ],
    }
    (layout.folder / "config" / "egress.json").write_text(json.dumps(egress))


def _kubeconfig(file: Path, name: str, layout: Layout, certificate: Path, key: Path) -> None:
    content: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": f"dr-{name}",
        "contexts": [{"name": f"dr-{name}", "context": {"cluster": f"dr-{name}", "user": f"dr-{name}"}}],
        "clusters": [
            {
                "name": f"dr-{name}",
                "cluster": {"server": layout.server, "certificate-authority": str(layout.pki / "ca.crt")},
            }
        ],
        "users": [{"name": f"dr-{name}", "user": {"client-certificate": str(certificate), "client-key": str(key)}}],
    }
    write_private(file, json.dumps(content, indent=2).encode())


def programs(layout: Layout, binaries: Mapping[str, Path]) -> list[dict[str, Any]]:
    """Return the programs in the order of their start, as `supervisor.py` reads them."""
    folder, pki, config = layout.folder, layout.pki, layout.folder / "config"
    etcd, peer = layout.sockets / "etcd.sock", layout.sockets / "peer.sock"
    client = [f"--kubeconfig={config / 'controller-manager'}", *_CLIENT]
    commands: list[tuple[str, list[str], dict[str, str]]] = [
        (
            "etcd",
            [
                f"--data-dir={folder / 'etcd'}",
                "--name=dr",
                f"--listen-client-urls=unix://{etcd}",
                f"--advertise-client-urls=unix://{etcd}",
                f"--listen-peer-urls=unix://{peer}",
                f"--initial-advertise-peer-urls=http://{_LOOPBACK}:1",
                f"--initial-cluster=dr=http://{_LOOPBACK}:1",
                "--unsafe-no-fsync",
                "--quota-backend-bytes=8589934592",
                "--log-level=warn",
            ],
            _GO,
        ),
        (
            "kube-apiserver",
            [
                f"--etcd-servers=unix://{etcd}",
                f"--bind-address={_LOOPBACK}",
                f"--advertise-address={_LOOPBACK}",
                f"--secure-port={layout.port}",
                "--permit-port-sharing=true",  # with the supervisor, which keeps it from others while this restarts
                "--endpoint-reconciler-type=none",
                "--service-cluster-ip-range=10.96.0.0/12",
                "--authorization-mode=RBAC",
                "--anonymous-auth=false",
                "--allow-privileged=true",
                "--profiling=false",
                f"--client-ca-file={pki / 'ca.crt'}",
                f"--tls-cert-file={pki / 'apiserver.crt'}",
                f"--tls-private-key-file={pki / 'apiserver.key'}",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={pki / 'sa.pub'}",
                f"--service-account-signing-key-file={pki / 'sa.key'}",
                f"--requestheader-client-ca-file={pki / 'ca.crt'}",
                "--requestheader-allowed-names=front-proxy",
                "--requestheader-username-headers=X-Remote-User",
                "--requestheader-group-headers=X-Remote-Group",
                "--requestheader-extra-headers-prefix=X-Remote-Extra-",
                f"--proxy-client-cert-file={pki / 'front-proxy.crt'}",
                f"--proxy-client-key-file={pki / 'front-proxy.key'}",
                f"--egress-selector-config-file={config / 'egress.json'}",
                "--watch-cache=true",
                "--shutdown-delay-duration=0s",
            ],
            _GO,
        ),
        (
            "kube-controller-manager",
            [
                *client,
                "--bind-address=127.0.0.1",
                "--secure-port=0",
                "--leader-elect=false",
                "--profiling=false",
                "--use-service-account-credentials=true",
                f"--service-account-private-key-file={pki / 'sa.key'}",
                f"--root-ca-file={pki / 'ca.crt'}",
                f"--cluster-signing-cert-file={pki / 'ca.crt'}",
                f"--cluster-signing-key-file={pki / 'ca.key'}",
                "--controllers=*,-node-ipam-controller",
            ],
            _GO,
        ),
        (
            "kube-scheduler",
            [
                f"--kubeconfig={config / 'scheduler'}",
                *_CLIENT,
                "--secure-port=0",
                "--leader-elect=false",
                "--profiling=false",
            ],
            _GO,
        ),
        (
            "kwok",
            [
                f"--kubeconfig={config / 'stand-ins'}",
                f"--config={config / 'nodes.yaml'}",
                "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
                "--node-lease-duration-seconds=40",
                "--node-ip=10.0.0.1",
                "--cidr=10.0.0.1/16",
            ],
            _GO,
        ),
    ]
    rows = [{"name": n, "argv": [str(binaries[n]), *argv], "environ": environ} for n, argv, environ in commands]
    stand_ins = [sys.executable, "-m", "dr.local.simulated", str(folder), str(layout.sockets / "egress.sock")]
    return [*rows, {"name": "stand-ins", "argv": stand_ins, "environ": {"PYTHONPATH": os.pathsep.join(sys.path)}}]
