"""Answers `dr herd work`: one member of a herd, in a process of its own or a Job's pod."""

from __future__ import annotations

import asyncio
import base64
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from dr.adapters.kube import Kube
from dr.adapters.manifests import parse as parse_yaml
from dr.adapters.workers import INDEX, RESULT
from dr.app.answer import Answer
from dr.app.places import target
from dr.core.body import mapping, text
from dr.core.errors import ConfigError, NotFound, StoreError, UsageError
from dr.core.herd import Result
from dr.core.herding import Cluster
from dr.core.jobs import MET, MISSED, WRONG, Sheet, result_of
from dr.core.model import Ref
from dr.report.console import line, seconds

_LEFT = "/dev/termination-log"
_CAUSE = 500  # characters: a termination message may have 4,096 bytes
_PATIENCE = 100.0  # seconds for a gameday that is told to stop to take back what it did
_CODES = {"met": MET, "missed": MISSED}


def work(file: Path, reports: Path) -> Answer:
    """Exercise the scenario of a sheet on the cluster of this process's index, and leave the result.

    The result goes to the file that DR_HERD_RESULT names, in a pod to its termination message. Ends with 0 (met), 1
    (missed), 2 (wrong input, which another attempt would not mend) or 3.
    """
    sheet, index = _sheet(file), os.environ.get(INDEX, "")
    if not index.isdigit() or int(index) >= len(sheet.clusters):
        raise UsageError(f"{INDEX} is {index or 'not set'}: no index of {file}", "`dr herd run` and its Jobs set it")
    cluster, left = sheet.clusters[int(index)], Path(os.environ.get(RESULT) or _LEFT)
    with _alone(left) as earlier:
        if earlier and earlier.state in _CODES:
            result, code = earlier, _CODES[earlier.state]
        else:
            result, code = _exercised(sheet, cluster, reports)
            left.write_bytes(msgspec.json.encode(result))
    took = f" in {seconds(result.rta)}" if result.rta is not None else ""
    return Answer(
        (line(f"{cluster.name} {sheet.scenario}: {result.state}{took}  {result.cause}".rstrip()),), exit_code=code
    )


def _sheet(file: Path) -> Sheet:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Sheet)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}", "`dr herd run` and its Jobs write it") from None
    except msgspec.DecodeError as error:
        raise ConfigError(f"{file} is no sheet of a herd: {error}", "`dr herd run` and its Jobs write it") from None


@contextmanager
def _alone(left: Path) -> Iterator[Result | None]:
    """Wait for a worker that outlived its coordinator; yield the result that there is by then."""
    try:
        with left.open("a+") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            held.seek(0)
            yield result_of(held.read())
    except OSError as error:
        raise StoreError(f"{left} cannot be written: {error.strerror}", f"name another with {RESULT}") from None


def _exercised(sheet: Sheet, cluster: Cluster, reports: Path) -> tuple[Result, int]:
    with tempfile.TemporaryDirectory(prefix="dr-herd-") as made:  # 0700: it holds credentials
        folder = Path(made)
        environ, context = {**os.environ, "DR_CLUSTER": cluster.name}, cluster.context
        if cluster.secret:
            content = asyncio.run(_credentials(sheet.home, cluster))
            (folder / "kubeconfig").write_bytes(content)
            environ["KUBECONFIG"] = str(folder / "kubeconfig")
            context = _context(content, cluster)
        if sheet.command:
            return _commanded(sheet, environ)
        for name, content_of in sheet.files.items():
            path = folder / "files" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content_of, "utf-8")
        gameday = (folder / "files" / sheet.gameday) if sheet.files else Path(sheet.gameday)
        argv = (sys.executable, "-m", "dr", "gameday", "run", str(gameday), "--to", context, "--lock", cluster.lock)
        code, said, wrong = _ran((*argv, "--yes", "-o", "json", "--reports", str(reports)), environ, sheet.timeout)
        return _measured(code, said, wrong)


def _ran(argv: tuple[str, ...], environ: Mapping[str, str], timeout: float) -> tuple[int | None, bytes, str]:
    """Run a command; return its exit code (None: not ended in time), what it printed, and the last it complained of."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as complaints:
        try:
            process = subprocess.Popen(argv, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=complaints)  # noqa: S603
        except OSError as error:
            return WRONG, b"", f"{argv[0]}: {error.strerror}"
        try:
            code: int | None = process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
        out.seek(0)
        complaints.seek(0)
        lines = [said for said in complaints.read().decode(errors="replace").splitlines() if said.strip()]
        first = next((n for n, said in enumerate(lines) if said.startswith("dr: ")), len(lines) - 1)
        told = [said.removeprefix("dr: ").strip() for said in lines[max(first, 0) :]]
        return code, out.read(), "; ".join(told)[:_CAUSE]


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _commanded(sheet: Sheet, environ: Mapping[str, str]) -> tuple[Result, int]:
    code, said, wrong = _ran(sheet.command, environ, sheet.timeout)
    lines = said.decode(errors="replace").strip().splitlines()
    figures = _figures(lines[-1]) if lines else {}
    cause = str(figures.get("cause") or (wrong if code else ""))[:_CAUSE]
    rta, error = figures.get("rta"), figures.get("error")
    return _result(code, cause, rta=_number(rta), error=_number(error) or 0.0, timeout=sheet.timeout)


def _measured(code: int | None, said: bytes, wrong: str) -> tuple[Result, int]:
    report = _figures(said)
    gameday = report.get("gameday") or {}
    cause = wrong
    if code == MISSED and not cause:
        late = [o for o in gameday.get("objectives", ()) if not o["met"]]
        cause = "; ".join(_late(o) for o in late) or str(gameday.get("verdict", ""))
    return _result(
        code,
        cause[:_CAUSE],
        rta=_number(gameday.get("rta")),
        error=_number(gameday.get("error")) or 0.0,
        censored=_number(gameday.get("censored")),
        run=str(report.get("run", "")),
    )


def _late(objective: Mapping[str, Any]) -> str:
    actual = objective["actual"]
    took = "not reached" if actual is None else seconds(actual)
    return f"{objective['kind']} {objective['subject']}".strip() + f" {seconds(objective['seconds'])}: {took}"


def _result(code: int | None, cause: str, *, timeout: float = 0.0, **figures: Any) -> tuple[Result, int]:
    state = {MET: "met", MISSED: "missed"}.get(code if code is not None else -1, "failed")
    if code is None:
        cause = f"not ended after {seconds(timeout)}" if timeout else "not ended in time"
    ends = code if code in (MET, MISSED, WRONG) else 3
    return Result(state, cause=cause, **figures), int(ends or 0)


def _figures(said: str | bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(said)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


async def _credentials(home: str, cluster: Cluster) -> bytes:
    """Return the kubeconfig of a cluster, from its Secret in the management cluster; raises NotFound, ConfigError."""
    namespace, _, name = cluster.secret.partition("/")
    async with Kube(target(home)) as management:
        secret = await management.read(Ref("v1", "Secret", namespace, name))
    if secret is None:
        raise NotFound(f"the Secret {cluster.secret} of cluster {cluster.name} is not there", "bring it back")
    try:
        if cluster.form == "argo":
            return _from_argo({key: base64.b64decode(value) for key, value in mapping(secret, "data").items()})
        return base64.b64decode(text(secret, "data", cluster.key), validate=True)
    except (ValueError, KeyError):
        raise ConfigError(
            f"the Secret {cluster.secret} holds no access to cluster {cluster.name}", "correct it"
        ) from None


def _from_argo(data: Mapping[str, bytes]) -> bytes:
    """Return the kubeconfig that an Argo CD cluster Secret amounts to; raises ValueError and KeyError.

    Source: https://argo-cd.readthedocs.io/en/stable/operator-manual/declarative-setup/#clusters
    """
    config = msgspec.json.decode(data["config"])
    tls = config.get("tlsClientConfig") or {}
    user = {
        "token": config.get("bearerToken"),
        "username": config.get("username"),
        "password": config.get("password"),
        "client-certificate-data": tls.get("certData"),
        "client-key-data": tls.get("keyData"),
    }
    cluster = {
        "server": data["server"].decode(),
        "certificate-authority-data": tls.get("caData"),
        "insecure-skip-tls-verify": tls.get("insecure"),
        "tls-server-name": tls.get("serverName"),
    }
    return msgspec.json.encode(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "herd",
            "clusters": [{"name": "herd", "cluster": {key: value for key, value in cluster.items() if value}}],
            "users": [{"name": "herd", "user": {key: value for key, value in user.items() if value}}],
            "contexts": [{"name": "herd", "context": {"cluster": "herd", "user": "herd"}}],
        }
    )


def _context(content: bytes, cluster: Cluster) -> str:
    parsed = parse_yaml(content)
    body = parsed.documents[0].body if parsed.documents else None
    found = text(body, "current-context")
    if not found:
        raise ConfigError(f"the kubeconfig of cluster {cluster.name} has no current-context", "give it one")
    return found
