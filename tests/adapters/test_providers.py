"""kind and k3d, by the contract of their command lines: what was recorded of the real ones, played by a script."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from dr.adapters.providers import delete, kubeconfig
from dr.app.places import target
from dr.cli import main
from dr.core.errors import ToolError, UsageError

# kind v0.30 and k3d v5.8: what they print, and where.
KIND = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$1 $2" in
  "get clusters") if [ -e "$MADE" ]; then cat "$MADE"; else echo "No kind clusters found." >&2; fi ;;
  "create cluster") echo "$4" >> "$MADE"; echo "Creating cluster \\"$4\\" ..." >&2 ;;
  "get kubeconfig") cat "$CONFIG" ;;
  "delete cluster") rm -f "$MADE"; echo "Deleted nodes" >&2 ;;
esac
"""
K3D = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$1 $2" in
  "cluster list") if [ -e "$MADE" ]; then printf '[{"name":"%s"}]' "$(cat "$MADE")"; else echo "[]"; fi ;;
  "cluster create") echo "$3" > "$MADE" ;;
  "kubeconfig get") cat "$CONFIG" ;;
  "cluster delete") rm -f "$MADE" ;;
esac
"""


CONFIG = """apiVersion: v1
kind: Config
contexts: [{{name: {0}-demo, context: {{cluster: c, user: u}}}}]
clusters: [{{name: c, cluster: {{server: "https://127.0.0.1:1", certificate-authority-data: Y2E=}}}}]
users: [{{name: u, user: {{token: s3cret}}}}]
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> Path:
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(script)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(folder / "calls"))
    monkeypatch.setenv("MADE", str(folder / "made"))
    monkeypatch.setenv("CONFIG", str(folder / "config"))
    (folder / "config").write_text(CONFIG.format(name))
    return folder / "calls"


@pytest.mark.parametrize(
    ("provider", "script", "listing", "create"),
    [
        ("kind", KIND, "get clusters", "create cluster --name demo --wait 180s --kubeconfig /dev/null"),
        ("k3d", K3D, "cluster list --output json", "cluster create demo --wait --timeout 180s"),
    ],
)
def test_a_cluster_is_made_once_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str, script: str, listing: str, create: str
) -> None:
    calls = install(tmp_path / "bin", monkeypatch, provider, script)
    context, content = kubeconfig(provider, "demo", create=True)
    assert context == f"{provider}-demo"
    assert content.startswith("apiVersion: v1")
    assert kubeconfig(provider, "demo")[0] == kubeconfig(provider, "demo", create=True)[0] == context
    said = calls.read_text().splitlines()
    assert said[0] == listing
    assert sum(line.startswith(create) for line in said) == 1
    delete(provider, "demo")
    assert not (tmp_path / "bin" / "made").exists()


def test_a_command_that_is_not_installed_says_what_else_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UsageError, match="kind is not installed") as caught:
        kubeconfig("kind", "demo")
    assert "local:NAME" in caught.value.remedy


def test_a_command_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "bin", monkeypatch, "kind", "#!/bin/sh\necho 'ERROR: docker is not running' >&2\nexit 1\n")
    with pytest.raises(ToolError, match="docker is not running"):
        kubeconfig("kind", "demo")


def test_an_answer_of_another_shape_is_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "bin", monkeypatch, "k3d", "#!/bin/sh\necho 'no clusters here'\n")
    with pytest.raises(ToolError, match="k3d lists its clusters"):
        kubeconfig("k3d", "demo")


def test_a_cluster_without_a_name_is_refused() -> None:
    with pytest.raises(UsageError, match="names no cluster"):
        kubeconfig("kind", "")


PROVIDERS = pytest.mark.parametrize(("provider", "script"), [("kind", KIND), ("k3d", K3D)])


@PROVIDERS
def test_a_target_of_theirs_is_reached_by_their_own_kubeconfig(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str, script: str
) -> None:
    install(tmp_path / "bin", monkeypatch, provider, script)
    access = target(f"{provider}:demo", create=True)
    assert (access.context, access.server, access.token) == (f"{provider}-demo", "https://127.0.0.1:1", "s3cret")
    assert Path(access.ca).read_bytes() == b"ca", "it outlives the kubeconfig that it came in"


REPO = Path(__file__).parents[1] / "fixtures" / "orders" / "deadlock"


@PROVIDERS
@pytest.mark.parametrize(
    "words",
    [
        ("verify", str(REPO), "--to", "{}:typo"),
        ("lock", "{}:typo"),
        ("restore", str(REPO), "--to", "{}:typo", "--dry-run"),
        ("restore", str(REPO), "--to", "{}:typo", "--yes", "--resume"),
        ("restore", str(REPO), "--to", "{}:typo", "--yes", "--lock", "x"),
    ],
    ids=" ".join,
)
def test_what_only_looks_makes_no_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str, script: str, words: tuple[str, ...]
) -> None:
    calls = install(tmp_path / "bin", monkeypatch, provider, script)
    monkeypatch.setenv("DR_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "bin" / "made").write_text("demo")
    result = CliRunner().invoke(main, [word.format(provider) for word in words])
    assert result.exit_code == 2
    assert f'{provider} has no cluster "typo"' in result.stderr
    assert "there are demo" in result.stderr
    assert "create" not in calls.read_text()


@PROVIDERS
def test_a_restore_into_a_cluster_that_is_not_there_makes_it_once_the_repo_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str, script: str
) -> None:
    calls = install(tmp_path / "bin", monkeypatch, provider, script)
    monkeypatch.setenv("DR_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "empty").mkdir()
    for repo in (tmp_path / "nowhere", tmp_path / "empty"):
        assert CliRunner().invoke(main, ["restore", str(repo), "--to", f"{provider}:demo", "--yes"]).exit_code == 2
    assert not calls.exists()
    result = CliRunner().invoke(main, ["restore", str(REPO), "--to", f"{provider}:demo", "--yes"])
    assert result.exit_code != 0, "nothing listens at its address"
    assert "create" in calls.read_text()
