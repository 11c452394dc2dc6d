"""What `--adopt` writes: a patch that git takes, of what was meant, where the repo deploys it."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as trying
from hypothesis import strategies as st

from dr.adapters.kube import Access
from dr.adapters.manifests import parse, written
from dr.app import adopting
from dr.app.adopting import adopt
from dr.app.moves import Ready
from dr.app.reading import load
from dr.core.adopted_place import patch
from dr.core.errors import UsageError
from dr.core.forklift import Forklift, Side
from dr.core.gameday import RepoSource
from dr.core.hidden import Hidden
from dr.core.model import Ref
from dr.core.work import Assignment

ODD = "first\u2028second\nthird\n"
FLUX = """\
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: shop, namespace: flux-system}
spec: {path: ./apps/shop, interval: 10m, prune: true, sourceRef: {kind: GitRepository, name: platform}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: tools, namespace: flux-system}
spec: {path: ./apps/tools, interval: 10m, prune: true, sourceRef: {kind: GitRepository, name: platform}}
"""


def settings(home: str, name: str = "settings") -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {home}}}\ndata: {{a: b}}\n"


def git(repo: Path, *words: str) -> str:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    done = subprocess.run(["git", *who, *words], cwd=repo, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """Make a repo: Flux deploys one folder with a kustomization, without a line's end at its end, and a plain one."""
    root = tmp_path / "platform"
    files = {
        "clusters/production/apps.yaml": FLUX,
        "apps/shop/kustomization.yaml": "kind: Kustomization\nresources:\n  - settings.yaml\nnamespace: shop",
        "apps/shop/settings.yaml": settings("shop"),
        "apps/tools/settings.yaml": settings("tools"),
    }
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-qm", "Begin")
    return root


def hidden(kind: str, home: str, name: str, version: str = "v1", by: str = "hand") -> Hidden:
    return Hidden(Ref(version, kind, home, name), by, "kubectl", "", "")


ALONE = (
    hidden("ConfigMap", "shop", "odd"),
    hidden("ConfigMap", "tools", "mine"),
    hidden("ConfigMap", "team-x", "new"),
    hidden("ConfigMap", "shop", "scratch"),
    hidden("Secret", "shop", "password"),
    hidden("Ingress", "shop", "front", "networking.k8s.io/v1"),
    hidden("Ingress", "shop", "front", "traefik.example/v1"),
    hidden("Role", "shop", "a:b", "rbac.authorization.k8s.io/v1"),
    hidden("Role", "shop", "a-b", "rbac.authorization.k8s.io/v1"),
    hidden("Pod", "shop", "derived", by="controller"),
)


@pytest.fixture(autouse=True)
def live(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        async def read(self, ref: Ref) -> dict[str, Any]:
            metadata = {"name": ref.name, "namespace": ref.namespace, "uid": "1", "resourceVersion": "7"}
            return {"metadata": metadata, "data": {"text": ODD}}

    @asynccontextmanager
    async def kube(_: Access) -> Any:
        yield Old()

    monkeypatch.setattr(adopting, "Kube", kube)


def ready(repo: Path) -> Ready:
    move = Forklift("Move", (RepoSource(str(repo)),), Side("blue"), Side("green"), left_behind=("ConfigMap/*/scratch",))
    access = Access("blue", "https://blue")
    loaded = load([str(repo)], "", "", None, 32)
    return Ready(move, "", "", repo, loaded, Assignment((), ()), access, access)


def test_git_takes_the_patch_and_a_plan_then_holds_what_lived_on_the_old_cluster_only(
    repo: Path, tmp_path: Path
) -> None:
    to = tmp_path / "not" / "there" / "adopted.patch"
    said = asyncio.run(adopt(ready(repo), ALONE, to, str(repo)))
    assert "7 objects written" in said[0]
    git(repo, "apply", "--check", str(to))
    git(repo, "apply", str(to))
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "Adopt")
    found = load([str(repo)], "", "", None, 32).source.resources
    there = {(r.ref.api_version, r.ref.kind, r.ref.namespace, r.ref.name): r for r in found}
    wanted = {
        (one.ref.api_version, one.ref.kind, one.ref.namespace, one.ref.name)
        for one in ALONE
        if one.by == "hand" and one.ref.kind != "Secret" and one.ref.name != "scratch"
    }
    assert wanted <= there.keys()
    assert ("v1", "ConfigMap", "shop", "scratch") not in there, "what is left behind is no file's"
    assert there["v1", "ConfigMap", "shop", "odd"].body["data"]["text"] == ODD
    assert there["v1", "ConfigMap", "shop", "odd"].unit == there["v1", "ConfigMap", "shop", "settings"].unit
    assert there["v1", "ConfigMap", "tools", "mine"].unit.startswith("tools")
    listed = yaml.safe_load((repo / "apps/shop/kustomization.yaml").read_text())["resources"]
    assert "adopted/shop/configmap-odd.yaml" in listed
    assert not any("password" in path.read_text() for path in repo.rglob("*.yaml"))
    assert any("seal it: kubectl --context blue -n shop get secret password" in line for line in said)


def test_what_no_folder_deploys_as_it_is_is_said(repo: Path, tmp_path: Path) -> None:
    (repo / "apps/shop/kustomization.yaml").write_text("namePrefix: x-\nresources: [settings.yaml]\nnamespace: shop\n")
    for path in ("apps/tools/settings.yaml", "clusters/production/apps.yaml"):
        (repo / path).unlink()
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "Prefix")
    said = asyncio.run(adopt(ready(repo), ALONE[:1], tmp_path / "p", str(repo)))
    assert any("no folder of the repo deploys it as it is" in line for line in said), said


def test_a_patch_that_cannot_be_written_says_why(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"file/p cannot be written: (Not a directory|File exists)"):
        asyncio.run(adopt(ready(repo), (), tmp_path / "file" / "p", str(repo)))


@trying(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")) | st.sampled_from("\n\x85\u2028\u2029")))
def test_whatever_an_object_holds_is_in_its_file(text: str) -> None:
    file = written({"kind": "ConfigMap", "data": {"text": text}})
    (document,) = parse(file.encode()).documents
    assert document.body == {"kind": "ConfigMap", "data": {"text": text}}
    said = patch([("a.yaml", file)]).decode().split("\n")
    assert "\n".join(line[1:] for line in said[5:-1]) + "\n" == file
