"""Where the cluster's programs come from: fake programs, a fake go and a server of releases on this machine."""

from __future__ import annotations

import fcntl
import hashlib
import http.server
import io
import json
import os
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.core.errors import ToolError, UsageError
from dr.local import binaries
from dr.local.binaries import PROGRAMS, Progress, pinned, present, programs

PINS = pinned()
NAMES = tuple(program.name for program in PROGRAMS)
SAYS = {
    "etcd": "etcd Version: {}\nGit SHA: Not provided\nGo Version: go1.26.8\n",
    "kwok": "kwok version v{} go1.26.8 (linux/amd64)\n",
}


def script(name: str, version: str) -> bytes:
    """Return a program that says its version as the real one does."""
    return f"#!/bin/sh\nprintf '%s' '{SAYS.get(name, 'Kubernetes v{}').format(version.removeprefix('v'))}'\n".encode()


def version_of(name: str) -> str:
    version: str = getattr(PINS, next(program.pin for program in PROGRAMS if program.name == name))
    return version


def put(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    path.chmod(0o755)
    return path


def put_all(folder: Path, kubernetes: str = PINS.kubernetes) -> dict[str, Path]:
    versions = {name: kubernetes if name.startswith("kube") else version_of(name) for name in NAMES}
    return {name: put(folder, name, script(name, version)) for name, version in versions.items()}


class Machine:
    """A machine with nothing on it: its cache, its PATH, an address where nobody listens."""

    def __init__(self, root: Path, nowhere: str) -> None:
        self.cache = root / "cache"
        self.bin = root / "bin"
        self.bin.mkdir()
        self.environ = {"PATH": str(self.bin), "DR_DOWNLOADS": nowhere}
        self.told: list[Progress] = []

    @property
    def folder(self) -> Path:
        return self.cache / "bin" / PINS.kubernetes

    def find(self, version: str = "") -> dict[str, Path]:
        return dict(programs(self.cache, version, self.told.append, self.environ))

    def go(self, body: str = "") -> None:
        """Put a go on PATH that notes how it was called, runs `body` and makes the program that is asked for."""
        put(
            self.bin,
            "go",
            f"""#!/bin/sh
PATH=/usr/bin:/bin
echo "$@ CGO_ENABLED=$CGO_ENABLED GOOS=$GOOS" >> {self.bin}/calls
test -f go.mod -a -f go.sum -a -f tools.go || exit 9
while [ "$1" != -o ]; do shift; done
out="$2"
{body}
echo "k8s.io/example/last" >&2
cp {self.bin}/made-$(basename "$out") "$out"
""".encode(),
        )
        for name in NAMES:
            put(self.bin, f"made-{name}", script(name, version_of(name)))

    @property
    def calls(self) -> list[str]:
        file = self.bin / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def left(self) -> list[str]:
        """Return what lies in the cache besides programs and the lock."""
        return sorted(path.name for path in self.folder.glob("*") if path.name not in {*NAMES, ".lock"})


@pytest.fixture
def nowhere() -> str:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return f"http://127.0.0.1:{closed.getsockname()[1]}"


@pytest.fixture
def machine(tmp_path: Path, nowhere: str) -> Machine:
    return Machine(tmp_path, nowhere)


class Releases:
    """A mirror of the releases: `files` by path, `cut` those that break off, `asked` what was wanted."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut: set[str] = set()
        self.asked: list[str] = []
        self.url = ""

    def path(self, end: str) -> str:
        return next(path for path in self.files if path.endswith(end))

    def release(self, kubernetes: str = PINS.kubernetes) -> None:
        arch = binaries._ARCHITECTURES[os.uname().machine]
        for name in NAMES:
            if name.startswith("kube"):
                content = script(name, kubernetes)
                path = f"/dl.k8s.io/{kubernetes}/bin/linux/{arch}/{name}"
                self.files |= {path: content, f"{path}.sha256": sha256(content).encode()}
        folder = f"etcd-{PINS.etcd}-linux-{arch}"
        archive = tarred({f"{folder}/README.md": b"read me", f"{folder}/etcd": script("etcd", PINS.etcd)})
        base = f"/github.com/etcd-io/etcd/releases/download/{PINS.etcd}"
        self.files[f"{base}/{folder}.tar.gz"] = archive
        self.files[f"{base}/SHA256SUMS"] = f"{'0' * 64}  other.zip\n{sha256(archive)}  {folder}.tar.gz\n".encode()
        kwok = script("kwok", PINS.kwok)
        self.files[f"/github.com/kubernetes-sigs/kwok/releases/download/{PINS.kwok}/kwok-linux-{arch}"] = kwok
        self.files[f"/api.github.com/repos/kubernetes-sigs/kwok/releases/tags/{PINS.kwok}"] = json.dumps(
            {"tag_name": PINS.kwok, "assets": [{"name": f"kwok-linux-{arch}", "digest": f"sha256:{sha256(kwok)}"}]}
        ).encode()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tarred(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


@pytest.fixture
def releases(machine: Machine) -> Iterator[Releases]:
    served = Releases()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            content = served.files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            if content:
                self.wfile.write(content[: len(content) // 2] if self.path in served.cut else content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        served.url = machine.environ["DR_DOWNLOADS"] = f"http://127.0.0.1:{server.server_port}"
        yield served
        server.shutdown()
        thread.join()


# What is on the machine already


def test_the_versions_are_those_that_the_go_module_pins() -> None:
    content = (Path(binaries.__file__).parent / "module" / "go.mod").read_text()
    for line in (f"k8s.io/kubernetes {PINS.kubernetes}", f"etcd/server/v3 {PINS.etcd}", f"kwok {PINS.kwok}"):
        assert f"{line}\n" in content
    assert f"\ngo {PINS.go}\n" in content


def test_a_folder_named_for_dr_comes_before_envtests_and_both_before_path(machine: Machine, tmp_path: Path) -> None:
    ours, theirs, path = put_all(tmp_path / "ours"), put_all(tmp_path / "theirs"), put_all(machine.bin)
    ours["kwok"].unlink()
    theirs["kwok"].unlink()
    theirs["etcd"].unlink()
    ours["kube-scheduler"].unlink()
    machine.environ |= {"DR_ASSETS": str(tmp_path / "ours"), "KUBEBUILDER_ASSETS": str(tmp_path / "theirs")}
    assert machine.find() == {**ours, "kube-scheduler": theirs["kube-scheduler"], "kwok": path["kwok"]}
    assert not machine.cache.exists()


@pytest.mark.parametrize(
    ("there", "wanted", "used"),
    [
        ("v1.37.2", "", True),
        ("v1.37.0", "", True),
        ("v1.36.9", "", False),
        ("v1.3.7", "", False),
        ("v1.38.0-alpha.1", "", False),
        ("v1.36.9", "v1.36.9", True),
        ("v1.36.9", "1.36.9", True),
        ("v1.37.0", "v1.37.2", False),
    ],
)
def test_programs_of_another_version_are_never_mixed_in(machine: Machine, there: str, wanted: str, used: bool) -> None:
    on_path = put_all(machine.bin, kubernetes=there)
    if used:
        assert machine.find(wanted) == on_path
        return
    with pytest.raises(ToolError) as raised:
        machine.find(wanted)
    assert f"{machine.bin}/kube-apiserver is {there}, wanted is " in raised.value.cause


def test_a_program_that_does_not_run_is_passed_over_with_its_reason(machine: Machine, tmp_path: Path) -> None:
    put_all(machine.folder)
    put(tmp_path / "assets", "etcd", b"no program at all")
    (tmp_path / "assets" / "kwok").mkdir()
    machine.environ["DR_ASSETS"] = str(tmp_path / "assets")
    assert machine.find()["etcd"] == machine.folder / "etcd"
    failed = {told.program: told.detail for told in machine.told if told.state == "failed"}
    assert failed["etcd"].endswith("etcd --version does not say a version")
    assert failed["kwok"].endswith("kwok is not an executable file")


def test_what_is_cached_needs_neither_network_nor_go(machine: Machine, releases: Releases) -> None:
    cached = put_all(machine.folder)
    assert machine.find() == cached
    assert list(machine.find()) == list(NAMES)
    assert dict(present(machine.cache, machine.environ)) == cached
    assert not releases.asked


def test_an_etcd_cached_by_an_older_dr_is_replaced(machine: Machine, releases: Releases) -> None:
    releases.release()
    cached = put_all(machine.folder)
    put(machine.folder, "etcd", script("etcd", "v3.5.21"))
    assert machine.find() == cached
    assert cached["etcd"].read_bytes() == script("etcd", PINS.etcd)
    assert all("etcd" in path for path in releases.asked)


# Downloads


def test_releases_are_downloaded_verified_and_kept(machine: Machine, releases: Releases) -> None:
    releases.release()
    found = machine.find()
    assert {name: path.read_bytes() for name, path in found.items()} == {n: script(n, version_of(n)) for n in NAMES}
    assert all(os.access(path, os.X_OK) and path.parent == machine.folder for path in found.values())
    assert machine.left() == []
    asked = len(releases.asked)
    assert machine.find() == found
    assert len(releases.asked) == asked
    assert [told.program for told in machine.told if told.way == "download" and told.state == "done"] == list(NAMES)


def test_another_version_is_downloaded_into_a_folder_of_its_own(machine: Machine, releases: Releases) -> None:
    releases.release("v1.36.4")
    assert machine.find("1.36.4")["kube-apiserver"] == machine.cache / "bin" / "v1.36.4" / "kube-apiserver"


@pytest.mark.parametrize("name", NAMES)
def test_a_download_that_is_not_what_was_published_is_refused_and_never_run(
    machine: Machine, releases: Releases, name: str
) -> None:
    machine.go()
    releases.release()
    arch = binaries._ARCHITECTURES[os.uname().machine]
    end = {"etcd": f"linux-{arch}.tar.gz", "kwok": f"kwok-linux-{arch}"}.get(name, f"/{name}")
    tampered = b"#!/bin/sh\ntouch /tampered\n"
    published = sha256(releases.files[releases.path(end)])
    releases.files[releases.path(end)] = tampered
    with pytest.raises(ToolError) as raised:
        machine.find()
    for part in (end, published, sha256(tampered)):
        assert part in raised.value.cause
    assert not (machine.folder / name).exists()
    assert machine.left() == []
    assert machine.calls == []


def no_checksum(releases: Releases) -> None:
    del releases.files[releases.path("kube-apiserver.sha256")]


def empty_checksum(releases: Releases) -> None:
    releases.files[releases.path("kube-apiserver.sha256")] = b"<html>sign in</html>"


def no_program(releases: Releases) -> None:
    del releases.files[releases.path("/kube-apiserver")]


def cut_off(releases: Releases) -> None:
    releases.cut.add(releases.path("/kube-apiserver"))


def too_large(releases: Releases) -> None:
    releases.files[releases.path("/kube-apiserver")] = bytes(binaries._PROGRAM_BYTES + 1)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (no_checksum, "HTTP 404"),
        (empty_checksum, "has no SHA-256 of kube-apiserver"),
        (no_program, "HTTP 404"),
        (cut_off, "broke off after"),
        (too_large, "is over"),
    ],
)
def test_a_download_that_fails_is_told_and_the_program_built(
    machine: Machine,
    releases: Releases,
    monkeypatch: pytest.MonkeyPatch,
    harm: Callable[[Releases], None],
    reason: str,
) -> None:
    monkeypatch.setattr(binaries, "_PROGRAM_BYTES", 1000)
    machine.go()
    releases.release()
    harm(releases)
    found = machine.find()
    assert found["kube-apiserver"].read_bytes() == script("kube-apiserver", PINS.kubernetes)
    assert [call.split()[-3] for call in machine.calls] == ["k8s.io/kubernetes/cmd/kube-apiserver"]
    (failed,) = (told for told in machine.told if told.state == "failed")
    assert (failed.way, reason in failed.detail) == ("download", True)
    assert machine.left() == []


def test_an_archive_without_the_program_is_no_dead_end(machine: Machine, releases: Releases) -> None:
    machine.go()
    releases.release()
    archive = tarred({"../../etcd": b"elsewhere"})
    releases.files[releases.path(".tar.gz")] = archive
    sums = releases.path("SHA256SUMS")
    releases.files[sums] = f"{sha256(archive)} *{releases.path('.tar.gz').rpartition('/')[2]}\n".encode()
    machine.find()
    assert [call.split()[-3] for call in machine.calls] == ["go.etcd.io/etcd/server/v3"]


def test_a_host_that_does_not_answer_is_waited_for_once(machine: Machine) -> None:
    machine.go()
    assert list(machine.find()) == list(NAMES)
    failed = [told for told in machine.told if told.state == "failed"]
    assert [(told.program, told.way) for told in failed] == [("etcd", "download")]
    assert "cannot be reached" in failed[0].detail


@pytest.mark.parametrize("base", ["ftp://mirror", "mirror:8080", "file:///etc", "https://me:secret@mirror/"])
def test_a_mirror_that_cannot_be_one_is_a_usage_error_without_its_password(machine: Machine, base: str) -> None:
    machine.environ["DR_DOWNLOADS"] = base
    with pytest.raises(UsageError) as raised:
        machine.find()
    assert "DR_DOWNLOADS" in raised.value.cause
    assert "secret" not in raised.value.cause + raised.value.remedy


@given(
    st.dictionaries(st.from_regex(r"[a-z][a-z0-9._-]{0,20}", fullmatch=True), st.binary(max_size=4), min_size=1),
    st.data(),
)
def test_a_files_checksum_is_its_own_whatever_else_is_listed(files: dict[str, bytes], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(files)))
    mark = data.draw(st.sampled_from(["  ", " *"]))
    listed = "".join(f"{sha256(content)}{mark}{file}\n" for file, content in files.items())
    assets = [{"name": file, "digest": f"sha256:{sha256(content)}"} for file, content in files.items()]
    for form in (listed.encode(), json.dumps({"assets": assets}).encode(), sha256(files[name]).encode()):
        assert binaries._checksum(form, name) == sha256(files[name])
    assert not binaries._checksum(listed.encode(), "Not-listed")


# The build


def test_a_build_is_of_the_pinned_module_for_this_machine(machine: Machine) -> None:
    machine.go()
    machine.environ["GOOS"] = "plan9"
    machine.find()
    assert [call.split()[-3] for call in machine.calls] == [program.package for program in PROGRAMS]
    for call in machine.calls:
        assert call.startswith("build -v -trimpath -mod=readonly -ldflags -s -w -X ")
        assert f"version.gitVersion={PINS.kubernetes} " in call
        assert "version.gitMajor=1 " in call
        assert "version.gitMinor=37 " in call
        assert call.endswith(" CGO_ENABLED=0 GOOS=")
    assert machine.left() == []


def test_a_silent_compiler_does_not_make_a_silent_build(machine: Machine, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    machine.go(f"echo k8s.io/api/core/v1 >&2\nwhile [ ! -e {go_on} ]; do sleep 0.05; done")

    def report(told: Progress) -> None:
        machine.told.append(told)
        if sum(t.state == "running" for t in machine.told) >= 3:
            go_on.touch()

    programs(machine.cache, "", report, machine.environ)
    running = [told for told in machine.told if told.state == "running"]
    assert running[2].detail == "1 packages, k8s.io/api/core/v1"
    assert [told.seconds for told in running[:3]] == sorted(told.seconds for told in running[:3])


def test_the_time_of_the_last_build_is_known_the_next_time(machine: Machine) -> None:
    machine.go()
    machine.find()
    assert {told.last for told in machine.told if told.program == "etcd"} == {None}
    times = msgspec.json.decode((machine.cache / "bin" / "build-times.json").read_bytes(), type=dict[str, float])
    assert sorted(times) == sorted(NAMES)
    (machine.folder / "etcd").unlink()
    machine.told.clear()
    machine.find()
    assert times["etcd"] in {told.last for told in machine.told if told.way == "build"}
    (machine.cache / "bin" / "build-times.json").write_text("not what we wrote")
    (machine.folder / "etcd").unlink()
    assert "etcd" in machine.find()


def test_a_failed_build_ends_with_what_go_said(machine: Machine) -> None:
    machine.go("echo 'go: downloading x v1' >&2; echo 'dial tcp: no such host' >&2; exit 3")
    with pytest.raises(ToolError) as raised:
        machine.find()
    assert "build: go build failed (exit code 3): go: downloading x v1 · dial tcp: no such host" in raised.value.cause
    assert machine.left() == []
    assert not (machine.folder / "etcd").exists()


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def test_ctrl_c_ends_go_and_its_compilers_and_leaves_no_partial_file(machine: Machine) -> None:
    pids = machine.bin / "pids"
    machine.go(f"sleep 300 &\necho $$ $! > {pids}.new; mv {pids}.new {pids}; wait")

    def report(_: Progress) -> None:
        if pids.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        programs(machine.cache, "", report, machine.environ)
    until = time.monotonic() + 10
    numbers = [int(pid) for pid in pids.read_text().split()]
    while not all(map(ended, numbers)) and time.monotonic() < until:
        time.sleep(0.02)
    assert [ended(pid) for pid in numbers] == [True, True]
    assert machine.left() == []


def test_ctrl_c_in_a_download_leaves_no_partial_file(machine: Machine, releases: Releases) -> None:
    releases.release()

    def report(told: Progress) -> None:
        if told.way == "download" and told.program == "kube-scheduler":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        programs(machine.cache, "", report, machine.environ)
    assert machine.left() == []
    assert (machine.folder / "kube-apiserver").exists()


def test_what_a_killed_run_left_is_cleared_away(machine: Machine) -> None:
    machine.go()
    put(machine.folder / ".partial-of-a-killed-run", "body", b"half")
    machine.find()
    assert machine.left() == []


def test_a_second_run_waits_for_the_first_says_for_whom_and_builds_nothing(machine: Machine) -> None:
    machine.go()
    machine.folder.mkdir(parents=True)
    with (machine.folder / ".lock").open("w") as first:
        first.write("process 4242")
        first.flush()
        fcntl.flock(first, fcntl.LOCK_EX)

        def report(told: Progress) -> None:
            machine.told.append(told)
            if told.state == "running":
                put_all(machine.folder)
                fcntl.flock(first, fcntl.LOCK_UN)

        found = programs(machine.cache, "", report, machine.environ)
    assert list(found) == list(NAMES)
    assert machine.calls == []
    (waiting,) = (told.detail for told in machine.told if told.state == "running")
    assert "waiting for process 4242" in waiting


# Dead ends


def test_a_dead_end_names_every_way_and_what_to_do_next(machine: Machine) -> None:
    with pytest.raises(ToolError) as raised:
        machine.find()
    first, *ways = raised.value.cause.splitlines()
    assert first == f"there is no etcd {PINS.etcd} to be had"
    assert [way.split(":")[0].strip() for way in ways] == ["environment", "path", "cache", "download", "build"]
    assert all(way.split(": ", 1)[1] for way in ways)
    assert [line.split()[:3] for line in raised.value.remedy.splitlines()] == [
        ["set", "DR_ASSETS", "to"],
        ["or", "install", "Go"],
        ["or", "let", "this"],
    ]


def test_another_version_is_not_built_and_the_possible_ones_are_named(machine: Machine) -> None:
    machine.go()
    with pytest.raises(ToolError) as raised:
        machine.find("v1.36.4")
    assert "there is no kube-apiserver v1.36.4 to be had" in raised.value.cause
    assert f"build: only {PINS.kubernetes} can be built here" in raised.value.cause
    assert PINS.kubernetes in raised.value.remedy
    assert not any("kube-apiserver" in call for call in machine.calls)


@pytest.mark.parametrize("version", ["latest", "1.37", "v1.37.2/../../x", "v1.37.2\n", "-v1.37.2"])
def test_what_is_no_version_never_becomes_a_path(machine: Machine, version: str) -> None:
    with pytest.raises(UsageError, match="is not a version of Kubernetes"):
        machine.find(version)
    assert not machine.cache.exists()


def test_a_cache_that_cannot_be_written_is_named(machine: Machine) -> None:
    machine.cache.mkdir()
    (machine.cache / "bin").write_text("a file where a folder should be")
    with pytest.raises(ToolError) as raised:
        machine.find()
    assert f"{machine.cache / 'bin'} cannot be written" in raised.value.cause
    assert "DR_CACHE_DIR" in raised.value.remedy
