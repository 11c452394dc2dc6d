"""kind and k3d, by the contract of their command lines: what was recorded of the real ones, played by a script."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from dr.adapters.providers import delete, kubeconfig
from dr.core.errors import ToolError, UsageError

# kind v0.30 and k3d v5.8: what they print, and where.
KIND = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$1 $2" in
  "get clusters") if [ -e "$MADE" ]; then cat "$MADE"; else echo "No kind clusters found." >&2; fi ;;
  "create cluster") echo "$4" >> "$MADE"; echo "Creating cluster \\"$4\\" ..." >&2 ;;
  "get kubeconfig") printf 'apiVersion: v1\\nkind: Config\\n' ;;
  "delete cluster") rm -f "$MADE"; echo "Deleted nodes" >&2 ;;
esac
"""
K3D = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$1 $2" in
  "cluster list") if [ -e "$MADE" ]; then printf '[{"name":"%s"}]' "$(cat "$MADE")"; else echo "[]"; fi ;;
  "cluster create") echo "$3" > "$MADE" ;;
  "kubeconfig get") printf 'apiVersion: v1\\nkind: Config\\n' ;;
  "cluster delete") rm -f "$MADE" ;;
esac
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> Path:
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(script)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(folder / "calls"))
    monkeypatch.setenv("MADE", str(folder / "made"))
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
    context, content = kubeconfig(provider, "demo")
    assert context == f"{provider}-demo"
    assert content.startswith("apiVersion: v1")
    assert kubeconfig(provider, "demo")[0] == context
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
