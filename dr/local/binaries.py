"""The programs of the embedded cluster: found on this machine, else downloaded and verified, else built."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import json
import os
import platform
import re
import selectors
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Literal, cast
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from dr.core.errors import ToolError, UsageError

Way = Literal["environment", "path", "cache", "download", "build"]
State = Literal["looking", "started", "running", "done", "failed"]
_Tell = Callable[..., None]  # (state, detail="")

_MODULE = Path(__file__).with_name("module")
_FOLDERS = ("DR_ASSETS", "KUBEBUILDER_ASSETS")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_VERSION = re.compile(r"v?(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?)")
_PARTIAL = ".partial-"
_TICK = 0.8  # seconds from one report to the next: a silence of more than a second looks like a hang
_ANSWER_SECONDS = 20.0  # from a cold disk a kube-apiserver takes 7 s to say its version
_SILENCE_SECONDS = 5.0
_DOWNLOAD_SECONDS = 1800.0
_PROGRAM_BYTES = 512 * 2**20
_CHECKSUMS_BYTES = 2 * 2**20
_CHUNK = 2**18
_LAST_LINES = 4


class Versions(Struct, frozen=True):
    """The versions that the Go module pins: three with their "v", and `go`, the oldest Go that builds it."""

    kubernetes: str
    etcd: str
    kwok: str
    go: str


class Progress(Struct, frozen=True):
    """Where the search for a program is.

    `seconds`: since this way of coming by it began; `last`: how long its build took last time on this machine;
    `detail`: what is compiled or loaded at the moment, why a way failed, or where the program was found.
    """

    program: str
    way: Way
    state: State
    seconds: float
    last: float | None
    detail: str


class Program(Struct, frozen=True):
    """A program and its origin: `{v}` and `{arch}` in addresses stand for version and architecture.

    `pin` names the field of `Versions` that it follows; `member` is its path when `url` is an archive.
    """

    name: str
    pin: Literal["kubernetes", "etcd", "kwok"]
    package: str
    url: str
    sums: str
    member: str = ""


_KUBE = "https://dl.k8s.io/{v}/bin/linux/{arch}/"
_ETCD = "https://github.com/etcd-io/etcd/releases/download/{v}/"
_KWOK = "https://github.com/kubernetes-sigs/kwok/releases/download/{v}/"
_KUBE_PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
PROGRAMS = (
    Program(
        "etcd",
        "etcd",
        "go.etcd.io/etcd/server/v3",
        _ETCD + "etcd-{v}-linux-{arch}.tar.gz",
        _ETCD + "SHA256SUMS",
        "etcd-{v}-linux-{arch}/etcd",
    ),
    *(
        Program(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", _KUBE + name, f"{_KUBE}{name}.sha256")
        for name in _KUBE_PROGRAMS
    ),
    Program(
        "kwok",
        "kwok",
        "sigs.k8s.io/kwok/cmd/kwok",
        _KWOK + "kwok-linux-{arch}",
        # Its releases come without a checksum file; GitHub computes one of every file when it is released.
        "https://api.github.com/repos/kubernetes-sigs/kwok/releases/tags/{v}",
    ),
)


class _No(Exception):
    """Why a way does not lead to a program; `tried`: something was there, and it did not do."""

    def __init__(self, reason: str, *, tried: bool = True) -> None:
        super().__init__(reason)
        self.tried = tried


def pinned() -> Versions:
    """Return what the Go module of the embedded cluster pins."""
    content = (_MODULE / "go.mod").read_text()

    def version(name: str) -> str:
        found = re.search(rf"^\s*{re.escape(name)} (\S+)$", content, re.MULTILINE)
        if found is None:
            raise ToolError(f"{_MODULE / 'go.mod'} does not pin {name}", "install dr again")
        return found[1]

    return Versions(
        kubernetes=version("k8s.io/kubernetes"),
        etcd=version("go.etcd.io/etcd/server/v3"),
        kwok=version("sigs.k8s.io/kwok"),
        go=version("go"),
    )


def programs(
    cache: Path,
    version: str = "",
    report: Callable[[Progress], None] = lambda _: None,
    environ: Mapping[str, str] = os.environ,
) -> Mapping[str, Path]:
    """Return every program of the embedded cluster by name, in the order of `PROGRAMS`.

    Each comes from the first that has it: a folder named by DR_ASSETS or KUBEBUILDER_ASSETS, PATH, `cache`, the
    official releases (their mirror DR_DOWNLOADS holds them as HOST/PATH), `go build` of the pinned module. What is
    found must be of the wanted minor version; Kubernetes programs of exactly `version` when that is given. etcd and
    kwok are those of the pinned module always. A download is compared with the checksum published beside it.

    `report` is called from this thread at least once a second during a build; what it raises ends the work, as Ctrl-C
    does: no process and no partial file is left.

    Raises UsageError for a bad `version` or DR_DOWNLOADS, ToolError when a download is not what its checksum says, and
    when no way leads to a program.
    """
    search = _Search(cache, version, report, environ)
    found = search.standing()
    missing = [program for program in PROGRAMS if program.name not in found]
    if missing:
        try:
            found |= search.fetched(missing)
        except OSError as error:
            raise ToolError(
                f"{cache / 'bin'} cannot be written: {error.strerror}", "set DR_CACHE_DIR to a folder that can"
            ) from None
    return {program.name: found[program.name] for program in PROGRAMS}


def present(cache: Path, environ: Mapping[str, str] = os.environ) -> Mapping[str, Path]:
    """Return those of the programs that `programs` would find on this machine without a download or a build."""
    return _Search(cache, "", lambda _: None, environ).standing()


def sources(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the base addresses that the programs are downloaded from, without a path."""
    addresses = {urlsplit(_mirrored(text, environ)) for program in PROGRAMS for text in (program.url, program.sums)}
    return tuple(sorted({f"{url.scheme}://{url.netloc}" for url in addresses}))


class _SilentError(_No):
    """A host does not answer."""


class _Search:
    """One call of `programs`: what is wanted, what was tried."""

    def __init__(
        self, cache: Path, version: str, report: Callable[[Progress], None], environ: Mapping[str, str]
    ) -> None:
        self._pins = pinned()
        self._exact = bool(version)
        self._wanted = msgspec.structs.replace(self._pins, kubernetes=_asked(version) or self._pins.kubernetes)
        self._folder = (cache / "bin" / self._wanted.kubernetes).absolute()
        self._times = cache / "bin" / "build-times.json"
        self._last = _seconds(self._times)
        self._report = report
        self._environ = environ
        self._reasons: dict[str, dict[Way, str]] = {program.name: {} for program in PROGRAMS}
        self._dead: dict[str, str] = {}
        self._ways: dict[Way, Callable[[Program, _Tell], Path]] = {
            "environment": self._in_environment,
            "path": self._on_path,
            "cache": self._in_cache,
            "download": self._download,
            "build": self._build,
        }

    def standing(self) -> dict[str, Path]:
        """Return what is on this machine."""
        found = {program.name: self._first(program, "environment", "path", "cache") for program in PROGRAMS}
        return {name: path for name, path in found.items() if path}

    def fetched(self, missing: list[Program]) -> dict[str, Path]:
        """Download or build what is missing, alone of all processes; another may have done it meanwhile."""
        found = {}
        with self._alone(missing[0]):
            for program in missing:
                path = self._first(program, "cache", "download", "build")
                if path is None:
                    raise self._failure(program)
                found[program.name] = path
        return found

    def _first(self, program: Program, *ways: Way) -> Path | None:
        for way in ways:
            tell = partial(self._tell, program, way, time.monotonic())
            tell("looking")
            try:
                path = self._ways[way](program, tell)
            except _No as no:
                self._reasons[program.name][way] = str(no)
                if no.tried:
                    tell("failed", str(no))
            else:
                tell("done", str(path))
                return path
        return None

    def _tell(self, program: Program, way: Way, since: float, state: State, detail: str = "") -> None:
        last = self._last.get(program.name) if way == "build" else None
        self._report(Progress(program.name, way, state, time.monotonic() - since, last, detail))

    def _version(self, program: Program) -> str:
        version: str = getattr(self._wanted, program.pin)
        return version

    def _in_environment(self, program: Program, _: _Tell) -> Path:
        named = {name: Path(self._environ[name], program.name) for name in _FOLDERS if self._environ.get(name)}
        if not named:
            raise _No(f"{' and '.join(_FOLDERS)} are not set", tried=False)
        reasons = []
        for name, path in named.items():
            why = self._unfit(program, path)
            if not why:
                return path.absolute()
            reasons.append(f"{name}: {why}")
        raise _No("; ".join(reasons))

    def _on_path(self, program: Program, _: _Tell) -> Path:
        found = shutil.which(program.name, path=self._environ.get("PATH", ""))
        if not found:
            raise _No("not there", tried=False)
        if why := self._unfit(program, Path(found)):
            raise _No(why)
        return Path(found).absolute()

    def _in_cache(self, program: Program, _: _Tell) -> Path:
        path = self._folder / program.name
        if not os.access(path, os.X_OK):
            raise _No(f"there is no executable {path}", tried=False)
        # The folder's name says the version of Kubernetes only.
        if program.pin != "kubernetes" and (why := self._unfit(program, path)):
            raise _No(why)
        return path

    def _unfit(self, program: Program, path: Path) -> str:
        """Return why a file will not do for a program, "" when it will."""
        if not (path.is_file() and os.access(path, os.X_OK)):
            return f"{path} is not an executable file"
        wanted = self._version(program).removeprefix("v")
        exact = self._exact and program.pin == "kubernetes"
        said = _said_version(path)
        if not said:
            return f"{path} --version does not say a version"
        if said == wanted or (not exact and said.split(".")[:2] == wanted.split(".")[:2]):
            return ""
        return f"{path} is v{said}, wanted is v{wanted if exact else '.'.join(wanted.split('.')[:2])}"

    @contextmanager
    def _alone(self, program: Program) -> Iterator[None]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tell = partial(self._tell, program, "build", time.monotonic())
        with (self._folder / ".lock").open("a+") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    lock.seek(0)
                    tell("running", f"waiting for {lock.read(80) or 'another process'}, which makes the same programs")
                    time.sleep(_TICK)
            lock.truncate(0)
            lock.write(f"process {os.getpid()}")
            lock.flush()
            for left in self._folder.glob(f"{_PARTIAL}*"):  # of a process that was killed: we are alone
                shutil.rmtree(left, ignore_errors=True)
            yield

    def _scratch(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(dir=self._folder, prefix=_PARTIAL)

    def _keep(self, made: Path, program: Program) -> Path:
        made.chmod(0o755)
        return made.replace(self._folder / program.name)

    def _download(self, program: Program, tell: _Tell) -> Path:
        arch = _ARCHITECTURES.get(platform.machine())
        if not arch:
            raise _No(f"there are no releases for {platform.machine()}", tried=False)
        fill = {"v": self._version(program), "arch": arch}
        url, sums = (_mirrored(text.format(**fill), self._environ) for text in (program.url, program.sums))
        name = url.rpartition("/")[2]
        tell("started", url)
        with self._scratch() as folder:
            scratch = Path(folder)
            body, listed = scratch / "body", scratch / "sums"
            self._load(sums, listed, _CHECKSUMS_BYTES, tell)
            expected = _checksum(listed.read_bytes(), name)
            if not expected:
                raise _No(f"{sums} has no SHA-256 of {name}")
            got = self._load(url, body, _PROGRAM_BYTES, tell)
            if got != expected:
                raise ToolError(
                    f"{url} is not what was published: its SHA-256 is {got}, {sums} says {expected}; nothing was kept",
                    "try again; if it stays so, ask whoever runs the proxy or the mirror (DR_DOWNLOADS) in between"
                    f"\n    or set DR_ASSETS to a folder that has {program.name}",
                )
            made = _extracted(body, program.member.format(**fill), scratch) if program.member else body
            return self._keep(made, program)

    def _load(self, url: str, to: Path, limit: int, tell: _Tell) -> str:
        """Write what is at an address into a file and return its SHA-256; a silent host is asked once a call."""
        host = urlsplit(url).netloc
        if host in self._dead:
            raise _No(self._dead[host], tried=False)
        digest, done, due = hashlib.sha256(), 0, time.monotonic() + _TICK
        try:
            with to.open("wb") as file:
                for chunk, total in _chunks(url, limit):
                    file.write(chunk)
                    digest.update(chunk)
                    done += len(chunk)
                    if time.monotonic() >= due:
                        tell("running", f"{done >> 20} of {total >> 20 or '?'} MiB from {host}")
                        due = time.monotonic() + _TICK
        except _SilentError as silent:
            self._dead[host] = str(silent)
            raise
        return digest.hexdigest()

    def _build(self, program: Program, tell: _Tell) -> Path:
        version = self._version(program)
        if version != getattr(self._pins, program.pin):
            raise _No(f"only {getattr(self._pins, program.pin)} can be built here", tried=False)
        go = shutil.which("go", path=self._environ.get("PATH", ""))
        if not go:
            raise _No("there is no go on PATH", tried=False)
        tell("started", program.package)
        began = time.monotonic()
        with self._scratch() as folder:
            scratch = Path(folder)
            for name in ("go.mod", "go.sum", "tools.go"):  # where dr is installed go may not be able to write
                shutil.copyfile(_MODULE / name, scratch / name)
            made = scratch / program.name
            kept = {k: v for k, v in self._environ.items() if k not in {"GOOS", "GOARCH"}}  # it is to run here
            flags = ("-v", "-trimpath", "-mod=readonly", "-ldflags", _stamps(self._pins.kubernetes))
            _compile(
                (go, "build", *flags, "-o", str(made), program.package),
                scratch,
                {**kept, "CGO_ENABLED": "0", "GOWORK": "off"},
                tell,
            )
            if not made.is_file():
                raise _No(f"{go} build made no {program.name}")
            kept_path = self._keep(made, program)
            times = {**_seconds(self._times), program.name: round(time.monotonic() - began, 1)}
            (scratch / "times").write_text(json.dumps(times, indent=2, sort_keys=True))
            (scratch / "times").replace(self._times)
        return kept_path

    def _failure(self, program: Program) -> ToolError:
        tried = (f"  {way}: {reason}" for way, reason in self._reasons[program.name].items())
        remedies = [f"set DR_ASSETS to a folder that has {', '.join(p.name for p in PROGRAMS)}"]
        if self._wanted.kubernetes == self._pins.kubernetes:
            remedies.append(f"or install Go {self._pins.go} or newer, which builds them once, in about ten minutes")
        else:
            remedies.append(
                f"or ask for {self._pins.kubernetes}, which can be built here, or a version that is released"
            )
        remedies.append(
            f"or let this machine reach {' and '.join(sources(self._environ))}, or DR_DOWNLOADS name a mirror"
        )
        return ToolError(
            "\n".join((f"there is no {program.name} {self._version(program)} to be had", *tried)),
            "\n    ".join(remedies),
        )


def _asked(version: str) -> str:
    """Return an asked version with its "v"; raises UsageError."""
    if version and not _VERSION.fullmatch(version):
        raise UsageError(f'"{version}" is not a version of Kubernetes', f"write it as {pinned().kubernetes}")
    return version and "v" + version.removeprefix("v")


def _seconds(file: Path) -> dict[str, float]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, float])
    except (OSError, msgspec.MsgspecError):
        return {}


def _said_version(path: Path) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - what it is run for is to learn whether it may be
            [path, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_ANSWER_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    found = _VERSION.search(done.stdout[:4096].decode(errors="replace"))
    return found[1] if found else ""


def _mirrored(url: str, environ: Mapping[str, str]) -> str:
    base = environ.get("DR_DOWNLOADS", "")
    if not base:
        return url
    if not re.fullmatch(r"https?://[^@/\s]+(/\S*)?", base):
        raise UsageError(
            "DR_DOWNLOADS is not an http or https address without a password",
            "name a mirror that has dl.k8s.io/…, github.com/… and api.github.com/… below it, or unset it",
        )
    return f"{base.rstrip('/')}/{url.removeprefix('https://')}"


def _chunks(url: str, limit: int) -> Iterator[tuple[bytes, int]]:
    """Yield what is at an address piece by piece, each with the number of bytes announced, 0 if none was."""
    host, until, done = urlsplit(url).netloc, time.monotonic() + _DOWNLOAD_SECONDS, 0
    try:
        answer = urllib.request.urlopen(url, timeout=_SILENCE_SECONDS)  # noqa: S310 - http or https, see _mirrored
    except urllib.error.HTTPError as error:
        error.close()
        raise _No(f"{url}: HTTP {error.code}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _SilentError(f"{host} cannot be reached: {getattr(error, 'reason', error)}") from None
    with answer:
        total = int(answer.headers.get("Content-Length") or 0)
        while True:
            try:
                chunk = answer.read(_CHUNK)
            except (OSError, http.client.HTTPException) as error:
                raise _No(f"{url} broke off after {done} bytes: {error}") from None
            if not chunk:
                break
            done += len(chunk)
            if done > limit or total > limit or time.monotonic() > until:
                raise _No(f"{url} is over {limit} bytes or takes over {_DOWNLOAD_SECONDS:.0f} s")
            yield chunk, total
    if total > done:
        raise _No(f"{url} broke off after {done} of {total} bytes")


class _Asset(Struct):
    name: str
    digest: str | None = None


class _Release(Struct):
    assets: tuple[_Asset, ...] = ()


def _checksum(listed: bytes, name: str) -> str:
    """Return the SHA-256 of the file `name`, "" if it is not listed.

    `listed` is what sha256sum writes, a bare checksum, or the answer of GitHub's API to a question for a release.
    """
    if listed.startswith(b"{"):
        try:
            assets = msgspec.json.decode(listed, type=_Release).assets
        except msgspec.MsgspecError:
            return ""
        rows = [((asset.digest or "").removeprefix("sha256:"), asset.name) for asset in assets]
    else:
        lines = (line.split() for line in listed.decode(errors="replace").splitlines())
        rows = [(row[0], row[1].removeprefix("*") if row[1:] else name) for row in lines if row]
    found = next((digest.lower() for digest, file in rows if file == name), "")
    return found if re.fullmatch(r"[0-9a-f]{64}", found) else ""


def _extracted(archive: Path, member: str, folder: Path) -> Path:
    """Return the one file of an archive that is wanted, unpacked; no other name in it is looked at."""
    to = folder / "extracted"
    try:
        with tarfile.open(archive, "r:gz") as opened:
            inside = opened.getmember(member)
            content = opened.extractfile(inside)
            if content is None or inside.size > _PROGRAM_BYTES:
                raise _No(f"{member} of the archive is not a file of sensible size")
            with content, to.open("wb") as file:
                shutil.copyfileobj(content, file, _CHUNK)
    except (KeyError, tarfile.TarError, EOFError, zlib.error) as error:
        raise _No(f"the archive has no {member}: {error}") from None
    return to


def _stamps(version: str) -> str:
    """Return the linker's flags that have a program say its version, as Kubernetes' own build sets them."""
    major, minor, _ = version.removeprefix("v").split(".", 2)
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return "-s -w " + " ".join(f"-X k8s.io/component-base/version.{k}={v}" for k, v in values.items())


def _compile(argv: Sequence[str], folder: Path, environ: Mapping[str, str], tell: _Tell) -> None:
    """Run `go build -v`, telling what it compiles; however this ends, no process of it is left."""
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own go
            argv,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise _No(f"{argv[0]} does not run: {error.strerror}") from None
    last: deque[bytes] = deque(maxlen=_LAST_LINES)
    packages, rest, due = 0, b"", time.monotonic()
    try:
        with cast("IO[bytes]", process.stdout) as output, selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while True:
                if selector.select(max(0.0, due - time.monotonic())):
                    read = os.read(output.fileno(), _CHUNK)
                    *lines, rest = (rest + (read or b"\n"))[-_CHUNK:].split(b"\n")
                    last.extend(line for line in lines if line.strip())
                    packages += sum(bool(line) and not line.startswith((b"go: ", b"#")) for line in lines)
                    if not read:
                        break
                if time.monotonic() >= due:
                    now = _text(last[-1]) if last else argv[-1]
                    tell("running", f"{packages} packages, {now}" if packages else now)
                    due = time.monotonic() + _TICK
        code = process.wait(_ANSWER_SECONDS)
    except subprocess.TimeoutExpired:
        raise _No("go build does not end") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code:
        raise _No(f"go build failed (exit code {code}): {' · '.join(map(_text, last))}")


def _text(line: bytes) -> str:
    return line[:200].decode(errors="replace").strip()
