"""What engines add to a folder, against kubectl's own kustomize on a kustomization edited by hand."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from dr.adapters.cache import SqliteCache
from dr.adapters.manifests import parse
from dr.adapters.render.kustomize import Kustomize, find_kubectl
from dr.core.config import Config
from dr.core.graph import Source
from dr.core.lines import line_of
from dr.core.model import Body, Resource
from dr.engine.read import Selection, Tools, read
from tests.engine.test_read import Memory

WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: there}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: web
      containers: [{name: web, image: web:1, envFrom: [{configMapRef: {name: web}}]}, {name: db, image: db:1}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web, namespace: there}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: web}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: web, namespace: there}]
"""
CM = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: there}\ndata: {a: b}\n"
FILES = {"apps/web/web.yaml": WEB, "apps/web/sub/cm.yaml": CM}
PLAIN = {**FILES, "apps/web/kustomization.yaml": "resources: [web.yaml, sub/cm.yaml]\n"}
RICH = {
    **FILES,
    "apps/web/kustomization.yml": """
        resources: [web.yaml, sub/cm.yaml]
        namespace: own
        namePrefix: own-
        Images: [{name: web, newTag: own}, {name: db, newTag: own}]
        replicas: [{name: web, count: 2}]
        patches: [{patch: '[{"op": "add", "path": "/data/first", "value": "1"}]', target: {kind: ConfigMap, name: web}}]
        configMapGenerator: [{name: made, literals: [x=y]}]
        """,
}
COMPONENT = {
    "apps/parts/tls/kustomization.yaml": """
        apiVersion: kustomize.config.k8s.io/v1alpha1
        kind: Component
        resources: [tls.yaml]
        patches: [{patch: '[{"op": "add", "path": "/data/tls", "value": "on"}]', target: {kind: ConfigMap, name: web}}]
        """,
    "apps/parts/tls/tls.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: tls}\n",
}
_MARKS = {"kustomize.toolkit.fluxcd.io/name", "kustomize.toolkit.fluxcd.io/namespace"}


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    return Tools(parse, Kustomize(parse), SqliteCache(tmp_path / "cache.sqlite"))


def flux(spec: str, path: str = "apps/web", name: str = "web") -> dict[str, str]:
    head = f"apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: {name}, namespace: flux-system}}"
    return {f"flux/{name}.yaml": f"{head}\nspec:\n  path: ./{path}\n" + _below(spec, 2)}


def argo(options: str) -> dict[str, str]:
    head = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: web, namespace: argocd}"
    source = "  destination: {namespace: shop}\n  source:\n    path: apps/web\n    kustomize:\n"
    return {"flux/web.yaml": f"{head}\nspec:\n{source}" + _below(options, 6)}


def _below(text: str, by: int) -> str:
    return "".join(f"{' ' * by}{line}\n" for line in dedent(text).strip().splitlines())


def source(tools: Tools, files: Mapping[str, str]) -> Source:
    return read([Memory(files)], Config(), Selection(), tools)


def deployed(done: Source) -> list[Resource]:
    return [resource for resource in done.resources if resource.where.file.startswith("apps/")]


def bodies(done: Source) -> list[Body]:
    assert [d for d in done.diagnostics if d.code.startswith("overlay")] == []
    return in_order(_unmarked(resource) for resource in deployed(done))


def _unmarked(resource: Resource) -> Body:
    """Return an object of a sub-unit without the labels that say who deploys it."""
    metadata = dict(resource.body["metadata"])
    if ":" in resource.unit and not metadata["labels"].keys() - _MARKS:
        del metadata["labels"]
    return resource.body | {"metadata": metadata}


def in_order(found: Any) -> list[Body]:
    return sorted(found, key=lambda body: (body["kind"], body["metadata"]["name"]))


def kustomized(
    root: Path, files: Mapping[str, str], kustomization: str, name: str = "kustomization.yaml"
) -> list[Body]:
    """Return what kubectl makes of the folder with this kustomization in the place of its own."""
    for path, text in {**files, f"apps/web/{name}": kustomization}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(dedent(text))
    command = [str(find_kubectl()), "kustomize", str(root / "apps/web")]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    return in_order(document.body for document in parse(done.stdout).documents)


FLUX_CASES = {
    "namespace and names": (
        "targetNamespace: shop\nnamePrefix: a-\nnameSuffix: -z",
        "resources: [web.yaml, sub/cm.yaml]\nnamespace: shop\nnamePrefix: a-\nnameSuffix: -z\n",
    ),
    "patches": (
        """
        patches:
        - patch: |
            apiVersion: apps/v1
            kind: Deployment
            metadata: {name: all}
            spec: {replicas: 7}
          target: {kind: Deployment, name: w.*}
        - patch: |
            - {op: remove, path: /data/a}
          target: {kind: ConfigMap}
        """,
        """
        resources: [web.yaml, sub/cm.yaml]
        patches:
        - {patch: '{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}, spec: {replicas: 7}}', target: {kind: Deployment}}
        - {patch: '[{"op": "remove", "path": "/data/a"}]', target: {kind: ConfigMap}}
        """,
    ),
    "images": (
        "images: [{name: web, newName: mirror/web, newTag: '2'}, {name: db, digest: 'sha256:0a'}]",
        """
        resources: [web.yaml, sub/cm.yaml]
        images: [{name: web, newName: mirror/web, newTag: '2'}, {name: db, digest: 'sha256:0a'}]
        """,
    ),
    "legacy patches": (
        """
        patchesStrategicMerge:
        - {apiVersion: v1, kind: ConfigMap, metadata: {name: web, namespace: there}, data: {c: d}}
        patchesJson6902:
        - {target: {version: v1, kind: ConfigMap, name: web}, patch: [{op: replace, path: /data/a, value: e}]}
        """,
        """
        resources: [web.yaml, sub/cm.yaml]
        patches:
        - {patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: web, namespace: there}, data: {a: e, c: d}}'}
        """,
    ),
    "components": (
        "components: [../parts/tls]",
        "resources: [web.yaml, sub/cm.yaml]\ncomponents: [../parts/tls]\n",
    ),
    "missing components that may be missing": (
        "components: [../parts/none, ../parts/tls]\nignoreMissingComponents: true",
        "resources: [web.yaml, sub/cm.yaml]\ncomponents: [../parts/tls]\n",
    ),
}


@pytest.mark.parametrize("made", [False, True], ids=["own kustomization", "made by Flux"])
@pytest.mark.parametrize("case", FLUX_CASES)
def test_what_a_flux_kustomization_adds_is_in_the_objects(case: str, made: bool, tools: Tools, tmp_path: Path) -> None:
    spec, expected = FLUX_CASES[case]
    files = (FILES if made else PLAIN) | COMPONENT
    done = source(tools, files | flux(spec))
    assert bodies(done) == kustomized(tmp_path / "oracle", files, expected)
    wanted = ["apps/web/sub/cm.yaml:1", "apps/web/web.yaml:1", "apps/web/web.yaml:13", "apps/web/web.yaml:17"]
    assert [p for r in sorted(deployed(done), key=lambda r: r.where) if "parts" not in (p := str(r.where))] == wanted


def test_fields_of_flux_take_the_place_of_those_of_the_folder_and_do_not_go_on_top(
    tools: Tools, tmp_path: Path
) -> None:
    spec = """
        targetNamespace: shop
        namePrefix: flux-
        images: [{name: web, newTag: flux}]
        patches: [{patch: '[{"op": "add", "path": "/data/second", "value": "2"}]', target: {kind: ConfigMap, name: web}}]
        """
    expected = """
        resources: [web.yaml, sub/cm.yaml]
        namespace: shop
        namePrefix: flux-
        images: [{name: web, newTag: flux}, {name: db, newTag: own}]
        replicas: [{name: web, count: 2}]
        patches:
        - {patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: web, namespace: there}, data: {first: "1", second: "2"}}'}
        configMapGenerator: [{name: made, literals: [x=y]}]
        """
    done = source(tools, RICH | flux(spec))
    assert bodies(done) == kustomized(tmp_path / "oracle", FILES, expected)
    generated = next(r for r in deployed(done) if r.ref.name.startswith("flux-made"))
    assert (generated.ref.namespace, str(generated.where)) == ("shop", "apps/web/kustomization.yml:8")


def test_the_overlay_of_another_unit_builds_on_the_folder_as_it_is(tools: Tools) -> None:
    files = {
        **PLAIN,
        **flux("targetNamespace: shop\nnamePrefix: a-"),
        **flux("prune: true", "apps/over", "over"),
        "apps/over/kustomization.yaml": "resources: [../web]\nnameSuffix: -over\n",
    }
    found = {(r.unit, str(r.ref)) for r in deployed(source(tools, files)) if r.ref.kind == "ConfigMap"}
    assert found == {("web", "ConfigMap shop/a-web"), ("over", "ConfigMap there/web-over")}


def test_one_folder_in_two_namespaces_is_two_deployments(tools: Tools) -> None:
    files = PLAIN | flux("targetNamespace: one", name="one") | flux("targetNamespace: two", name="two")
    found = {(r.unit, str(r.ref)) for r in deployed(source(tools, files)) if r.ref.kind == "ConfigMap"}
    assert found == {("one", "ConfigMap one/web"), ("two", "ConfigMap two/web")}


ARGO_CASES = {
    "everything": (
        """
        namePrefix: a-
        nameSuffix: -z
        namespace: own
        images: ['web=mirror:5000/web:2', 'db@sha256:0a']
        replicas: [{name: web, count: 4}]
        commonLabels: {team: shop}
        commonAnnotations: {who: me}
        components: [../parts/tls]
        patches:
        - {target: {kind: ConfigMap}, patch: '[{"op": "remove", "path": "/data/a"}]'}
        """,
        """
        resources: [web.yaml, sub/cm.yaml]
        namePrefix: a-
        nameSuffix: -z
        namespace: own
        images: [{name: web, newName: 'mirror:5000/web', newTag: '2'}, {name: db, digest: 'sha256:0a'}]
        replicas: [{name: web, count: 4}]
        commonLabels: {team: shop}
        commonAnnotations: {who: me}
        components: [../parts/tls]
        patches:
        - {target: {kind: ConfigMap}, patch: '[{"op": "remove", "path": "/data/a"}]'}
        """,
    ),
    "labels without selectors": (
        "commonLabels: {team: shop}\nlabelWithoutSelector: true",
        "resources: [web.yaml, sub/cm.yaml]\nlabels: [{pairs: {team: shop}}]\n",
    ),
    "labels on templates": (
        "commonLabels: {team: shop}\nlabelWithoutSelector: true\nlabelIncludeTemplates: true",
        "resources: [web.yaml, sub/cm.yaml]\nlabels: [{pairs: {team: shop}, includeTemplates: true}]\n",
    ),
    "an image by its tag": (
        "images: ['web:7', 'db=*:8']",
        "resources: [web.yaml, sub/cm.yaml]\nimages: [{name: web, newTag: '7'}, {name: db, newTag: '8'}]\n",
    ),
    "a patch in a file": (
        "patches: [{path: patch.json, target: {kind: ConfigMap}}]",
        "resources: [web.yaml, sub/cm.yaml]\npatches: [{path: patch.json, target: {kind: ConfigMap}}]\n",
    ),
}


@pytest.mark.parametrize("case", ARGO_CASES)
def test_what_an_application_adds_is_in_the_objects(case: str, tools: Tools, tmp_path: Path) -> None:
    options, expected = ARGO_CASES[case]
    files = PLAIN | COMPONENT | {"apps/web/patch.json": '[{"op": "remove", "path": "/data/a"}]'}
    done = source(tools, files | argo(options))
    assert bodies(done) == kustomized(tmp_path / "oracle", files, expected)
    assert {r.ref.namespace for r in deployed(done) if r.ref.kind == "ConfigMap"} <= {"own", "there"}
    assert "unlisted" not in {d.code for d in done.diagnostics}


def test_an_image_option_keeps_what_a_star_stands_for(tools: Tools) -> None:
    done = source(tools, RICH | argo("images: ['web=mirror/web:*']"))
    (web,) = (body for body in bodies(done) if body["kind"] == "Deployment")
    assert [c["image"] for c in web["spec"]["template"]["spec"]["containers"]] == ["mirror/web:own", "db:own"]


def test_common_metadata_comes_last_and_every_line_stays_known(tools: Tools) -> None:
    spec = "commonMetadata: {labels: {team: shop, app: mine}, annotations: {who: me}}"
    cm = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  labels:\n    app: web\n  name: web\n  namespace: there\ndata:\n  a: b\n"
    files = {**PLAIN, "apps/web/sub/cm.yaml": cm}
    tools = Tools(parse, _NoRenderer(), tools.cache)
    (found,) = (r for r in deployed(source(tools, files | flux(spec))) if r.ref.kind == "ConfigMap")
    assert found.body["metadata"]["labels"] == {"app": "mine", "team": "shop"}
    assert found.body["metadata"]["annotations"] == {"who": "me"}
    paths = {("kind",): 2, ("metadata", "labels", "app"): 5, ("metadata", "name"): 6, ("data",): 8, ("data", "a"): 9}
    assert {path: line_of(found.body, found.lines, path) for path in paths} == paths
    assert line_of(found.body, found.lines, ("metadata", "labels", "team")) == 4
    assert line_of(found.body, found.lines, ("metadata", "annotations", "who")) == 3


class _NoRenderer(Kustomize):
    """A renderer for what must not be rendered."""

    def __init__(self) -> None:
        super().__init__(parse)

    def build_all(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("nothing here needs kubectl")


def test_a_unit_without_such_fields_is_read_file_by_file_without_kubectl(tools: Tools) -> None:
    tools = Tools(parse, _NoRenderer(), tools.cache)
    done = source(tools, PLAIN | flux("prune: true"))
    (found,) = (r for r in deployed(done) if r.ref.kind == "Deployment")
    assert line_of(found.body, found.lines, ("spec", "template", "spec", "serviceAccountName")) == 10
    assert "labels" not in found.body["metadata"]


def test_sub_units_of_a_folder_keep_their_objects_and_say_who_deploys_them(tools: Tools) -> None:
    found = {(r.unit, str(r.ref)) for r in deployed(source(tools, FILES | flux("targetNamespace: shop")))}
    assert {unit for unit, ref in found if ref == "ConfigMap shop/web"} == {"web:sub"}
    assert {unit for unit, ref in found if ref == "Deployment shop/web"} == {"web"}
    for spec in ("prune: true", "targetNamespace: shop"):
        (part,) = (r for r in deployed(source(tools, FILES | flux(spec))) if r.unit == "web:sub")
        assert part.body["metadata"]["labels"] == dict(zip(sorted(_MARKS), ("web", "flux-system"), strict=True))


def test_an_object_that_loses_its_origin_in_a_made_kustomization_points_at_who_made_it(tools: Tools) -> None:
    spec = """
        patches:
        - target: {kind: ConfigMap}
          patch: '[{"op": "add", "path": "/metadata/annotations", "value": {"a": "b"}}]'
        """
    done = source(tools, FILES | flux(spec))
    (found,) = (r for r in done.resources if r.ref.kind == "ConfigMap")
    assert str(found.where) == "flux/web.yaml:1"


def test_a_patch_that_fits_nothing_is_told_at_the_kustomization_that_brings_it(tools: Tools) -> None:
    spec = "patches: [{patch: '{apiVersion: v1, kind: Service, metadata: {name: none}}'}]"
    done = source(tools, PLAIN | flux(spec))
    (told,) = (d for d in done.diagnostics if d.code == "overlay-failed")
    assert (str(told.where), told.subject) == ("flux/web.yaml:1", "Kustomization flux-system/web")
    assert "none" in told.cause
    assert {r.ref.kind for r in deployed(done)} == {"Deployment", "ServiceAccount", "ClusterRoleBinding", "ConfigMap"}


@pytest.mark.parametrize(
    ("component", "code"),
    [
        ("https://example.org/part", "overlay-remote"),
        ("../../../etc", "overlay-outside"),
        ("../none", "overlay-missing-path"),
        ("../ring", "overlay-cycle"),
        (".", "overlay-cycle"),
        ("..", "overlay-missing-path"),
    ],
)
def test_a_component_that_nothing_may_follow_is_left_out_and_said(component: str, code: str, tools: Tools) -> None:
    ring = {"apps/ring/kustomization.yaml": "kind: Component\nresources: [../web]\n"}
    done = source(tools, PLAIN | ring | flux(f"components: ['{component}']\ntargetNamespace: shop"))
    (told,) = (d for d in done.diagnostics if d.code.startswith("overlay"))
    assert (told.code, str(told.where)) == (code, "flux/web.yaml:1")
    assert "ConfigMap shop/web" in {str(r.ref) for r in deployed(done)}


@pytest.mark.parametrize(
    "spec",
    [
        "patches: {a: b}\nimages: [1, null, {name: [x]}]\ncomponents: [1, {}]\npatchesJson6902: [{target: 1}]",
        "patches: [{patch: 1, target: []}]\ntargetNamespace: [a]\npatchesStrategicMerge: [1, null]",
        "commonMetadata: [a]\nnamePrefix: 1\ncomponents: ['\\0']",
    ],
)
def test_fields_of_another_shape_are_no_traceback_and_lose_no_object(spec: str, tools: Tools) -> None:
    found = {r.ref.kind for r in deployed(source(tools, PLAIN | flux(spec)))}
    assert found >= {"Deployment", "ServiceAccount", "ClusterRoleBinding", "ConfigMap"}
    options = dedent(spec) + "\nreplicas: [{name: {}, count: a}, {name: web, count: 1e}]\nimages: ['=', '@', 'a=b=c']"
    options = options.replace("images: [1, null, {name: [x]}]\n", "")
    assert deployed(source(tools, PLAIN | argo(options)))


def test_a_kept_build_is_used_only_while_the_fields_are_the_same(tools: Tools) -> None:
    one = source(tools, PLAIN | flux("targetNamespace: one"))
    two = source(tools, PLAIN | flux("targetNamespace: two"))
    again = Tools(parse, _NoRenderer(), tools.cache)
    assert source(again, PLAIN | flux("targetNamespace: one")) == one != two
    with pytest.raises(AssertionError, match="kubectl"):
        source(again, PLAIN | flux("targetNamespace: three"))


def test_variables_are_filled_in_after_the_build(tools: Tools) -> None:
    spec = """
        patches: [{patch: '[{"op": "add", "path": "/data/b", "value": "${who}"}]', target: {kind: ConfigMap}}]
        commonMetadata: {labels: {who: "${who}"}}
        postBuild: {substitute: {who: me}}
        """
    (found,) = (r for r in deployed(source(tools, PLAIN | flux(spec))) if r.ref.kind == "ConfigMap")
    assert found.body["data"] == {"a": "b", "b": "me"}
    assert found.body["metadata"]["labels"] == {"who": "${who}"}
