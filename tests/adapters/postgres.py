"""Real PostgreSQL servers on a loopback port, which end with the test that started them."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import quote

from tests.lacking import lacking

USER, PASSWORD = "postgres", "p@ss/w:rd '%ä"  # whoever takes a URL apart must get this right


class Postgres:
    """A server. `port` on 127.0.0.1; `folder` has its socket."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port

    def url(self, database: str = "postgres", password: str = PASSWORD, port: int = 0) -> str:
        return f"postgresql://{USER}:{quote(password, safe='')}@127.0.0.1:{port or self.port}/{database}"

    def psql(self, database: str, sql: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [program("psql"), "-X", "-v", "ON_ERROR_STOP=1", "-qAt", self.url(database)],
            input=sql, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stderr
        return done

    def ask(self, database: str, sql: str) -> str:
        return self.psql(database, sql).stdout.strip()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@cache
def program(name: str) -> str:
    """Return where a program of the newest PostgreSQL is; what is on the PATH may only be a wrapper that is slow."""
    found = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)]
    return next(iter([*found, shutil.which(name) or ""]))


def environment() -> dict[str, str]:
    """Return an environment in which these programs come first."""
    return dict(os.environ) | {"PATH": f"{Path(program('psql')).parent}{os.pathsep}{os.environ['PATH']}"}


def _missing() -> str:
    for name in ("initdb", "postgres", "psql", "pg_dump", "setpriv"):
        if not program(name):
            return f"there is no {name} here"
    if os.geteuid() == 0 and USER not in {entry.pw_name for entry in pwd.getpwall()}:
        return f"root may not run postgres, and there is no user {USER}"
    return ""


@contextmanager
def serve(wal_level: str = "logical") -> Iterator[Postgres]:
    """Start a server, wait until it answers, and end it; skips the test where PostgreSQL is not installed."""
    if why := _missing():
        lacking(why)
    root = os.geteuid() == 0
    # The last of these holds after a crash too: the server dies with who started it.
    become = ["setpriv", *((f"--reuid={USER}", f"--regid={USER}", "--init-groups") if root else ()), "--pdeathsig=KILL"]
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        (folder / "password").write_text(PASSWORD)
        if root:
            shutil.chown(folder, USER, USER)
            shutil.chown(folder / "password", USER, USER)
        data, port = folder / "data", free_port()
        subprocess.run(
            [*become, program("initdb"), "--pgdata", data, "--username", USER, "--auth=scram-sha-256", "--no-sync",
             "--pwfile", folder / "password", "--encoding=UTF8", "--locale=C"],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        settings = {
            "port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": folder, "wal_level": wal_level,
            "fsync": "off", "max_prepared_transactions": 5, "shared_buffers": "16MB", "wal_retrieve_retry_interval": 200,
        }  # fmt: skip
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen([*become, program("postgres"), "-D", data, *words], stdout=log, stderr=log)
        try:
            found = Postgres(folder, port)
            until = time.monotonic() + 30
            while found.psql("postgres", "SELECT 1", check=False).returncode:
                assert server.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < until, (folder / "log").read_text()
                time.sleep(0.05)
            yield found
        finally:
            server.send_signal(signal.SIGQUIT)  # at once, but with its children
            try:
                server.wait(5)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
