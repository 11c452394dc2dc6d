"""From files to objects: units, environments, overlays, several repos, and what is wrong said in its place."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from dr.adapters.cache import SqliteCache
from dr.adapters.manifests import parse
from dr.adapters.render.kustomize import Kustomize
from dr.core.config import Config
from dr.core.errors import UsageError
from dr.core.graph import Source, build
from dr.core.model import Diagnostic, Pin
from dr.core.source import Entry
from dr.engine.read import Selection, Tools, config_of, read


class Memory:
    """A `Snapshot` of files in memory."""

    def __init__(self, files: Mapping[str, str], name: str = "repo") -> None:
        self._files = {path: dedent(text).encode() for path, text in files.items()}
        self.pin = Pin(name, f"/{name}", "c0ffee")
        self.diagnostics: tuple[Diagnostic, ...] = ()
        self.entries = tuple(
            Entry(path, f"{name}-{path}-{hash(data)}", len(data)) for path, data in sorted(self._files.items())
        )
        self.was_read: list[str] = []

    def read(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, bytes]]:
        for entry in entries:
            self.was_read.append(entry.path)
            yield entry, self._files[entry.path]


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    return Tools(parse, Kustomize(parse), SqliteCache(tmp_path / "cache.sqlite"))


def source(
    tools: Tools, files: Mapping[str, str], *, config: Config | None = None, env: str = "", path: str = ""
) -> Source:
    return read([Memory(files)], config or Config(), Selection(path, env), tools)


def _found(done: Source) -> set[tuple[str, str]]:
    return {(r.unit, str(r.ref)) for r in done.resources}


def config_map(name: str, namespace: str = "default") -> str:
    return f"{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: {namespace}}}}}\n"


def flux(name: str, path: str, spec: str = "") -> str:
    return f"""
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {{name: {name}, namespace: flux-system}}
spec: {{path: {path}, {spec}}}
"""


def test_plain_files_belong_to_their_folder(tools: Tools) -> None:
    done = source(
        tools,
        {
            "a.yaml": config_map("a"),
            "apps/web/b.yml": config_map("b"),
            "apps/web/c.json": '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}',
        },
    )
    assert _found(done) == {
        (".", "ConfigMap default/a"),
        ("apps/web", "ConfigMap default/b"),
        ("apps/web", "ConfigMap c"),
    }


def test_a_list_is_taken_apart_and_each_item_keeps_its_line(tools: Tools) -> None:
    done = source(
        tools,
        {
            "l.yaml": "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: a}\n- apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: b\n"
        },
    )
    assert [(r.ref.name, r.where.line) for r in done.resources] == [("a", 4), ("b", 7)]


def test_a_flux_kustomization_deploys_its_folder_as_flux_gathers_it(tools: Tools) -> None:
    done = source(
        tools,
        {
            "clusters/one/apps.yaml": flux("apps", "./apps"),
            "apps/top.yaml": config_map("top"),
            "apps/web/web.yaml": config_map("web"),
            "apps/over/kustomization.yaml": "resources: [listed.yaml]\n",
            "apps/over/listed.yaml": config_map("listed"),
            "apps/over/loose.yaml": config_map("loose"),
        },
    )
    assert _found(done) == {
        ("clusters/one", "Kustomization flux-system/apps"),
        ("apps", "ConfigMap default/top"),
        ("apps:web", "ConfigMap default/web"),
        ("apps:over", "ConfigMap default/listed"),
    }
    assert [(d.code, d.where.file) for d in done.diagnostics] == [("unlisted", "apps/over/loose.yaml")]
    assert next(u for u in done.units if u.name == "apps").owner is not None


def test_variables_of_a_kustomization_are_filled_in_from_literals_and_config_maps_in_git(tools: Tools) -> None:
    done = source(
        tools,
        {
            "clusters/apps.yaml": flux(
                "apps",
                "./apps",
                "postBuild: {substitute: {count: '3'}, substituteFrom: [{kind: ConfigMap, name: vars}]}",
            ),
            "clusters/vars.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: vars, namespace: flux-system}, data: {who: web, count: '9'}}",
            "apps/a.yaml": "{apiVersion: apps/v1, kind: Deployment, metadata: {name: '${who}', namespace: default}, spec: {replicas: '${count}'}}",
        },
    )
    deployment = next(r for r in done.resources if r.ref.kind == "Deployment")
    assert (deployment.ref.name, deployment.body["spec"]["replicas"]) == ("web", 3)


def test_a_target_namespace_replaces_the_objects_own(tools: Tools) -> None:
    done = source(
        tools, {"c/k.yaml": flux("k", "apps", "targetNamespace: shop"), "apps/a.yaml": config_map("a", "other")}
    )
    assert ("k", "ConfigMap shop/a") in _found(done)


def test_an_application_deploys_its_folder(tools: Tools) -> None:
    application = "{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: web, namespace: argocd}, spec: {source: {path: apps/web}, destination: {namespace: shop}}}"
    done = source(
        tools, {"argo.yaml": application, "apps/web/a.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}"}
    )
    assert ("web", "ConfigMap shop/a") in _found(done)


def test_a_release_manager_repo_tells_what_each_service_comes_back_at(tools: Tools) -> None:
    done = source(
        tools,
        {
            f"{env}/releases/shop/web/{file}": text
            for env in ("dev", "prod")
            for file, text in {
                "artifact.json": f'{{"id": "master-abc-{env}", "service": "web"}}',
                "40-web.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: web}}",
            }.items()
        },
    )
    assert {(u.name, u.kind, u.artifact) for u in done.units} == {
        ("dev/shop/web", "service", "master-abc-dev"),
        ("prod/shop/web", "service", "master-abc-prod"),
    }
    assert _found(done) == {("dev/shop/web", "ConfigMap shop/web"), ("prod/shop/web", "ConfigMap shop/web")}
    assert not build(done).diagnostics or {d.code for d in build(done).diagnostics} == {"missing-namespace"}


TWO_CLUSTERS = {
    "clusters/production/apps.yaml": flux("apps", "./apps/production"),
    "clusters/staging/apps.yaml": flux("apps", "./apps/staging"),
    "apps/base/kustomization.yaml": "resources: [a.yaml]\n",
    "apps/base/a.yaml": config_map("a"),
    "apps/production/kustomization.yaml": "resources: [../base]\n",
    "apps/staging/kustomization.yaml": "resources: [../base]\nnamePrefix: test-\n",
}


def test_two_clusters_in_one_repo_are_two_environments(tools: Tools) -> None:
    done = source(tools, TWO_CLUSTERS)
    assert {(r.env, r.ref.name) for r in done.resources if r.ref.kind == "ConfigMap"} == {
        ("production", "a"),
        ("staging", "test-a"),
    }
    assert "duplicate-object" not in {d.code for d in build(done).diagnostics}


def test_one_environment_can_be_selected(tools: Tools) -> None:
    assert {r.unit for r in source(tools, TWO_CLUSTERS, env="staging").resources} == {
        "staging/apps",
        "staging/clusters/staging",
    }
    with pytest.raises(UsageError, match="no environment") as caught:
        source(tools, TWO_CLUSTERS, env="prod")
    assert "production, staging" in caught.value.remedy


def test_environments_can_be_named_in_dr_yaml(tools: Tools) -> None:
    files = {"eu/a.yaml": config_map("a"), "us/a.yaml": config_map("a"), "shared/b.yaml": config_map("b")}
    done = source(tools, files, config=Config(envs={"europe": ("eu",), "america": ("us",)}))
    assert {(r.env, r.ref.name) for r in done.resources} == {("europe", "a"), ("america", "a"), ("", "b")}


def test_a_folder_can_be_selected_and_a_wrong_one_is_refused(tools: Tools) -> None:
    files = {"apps/a.yaml": config_map("a"), "infra/b.yaml": config_map("b")}
    assert _found(source(tools, files, path="apps/")) == {("apps", "ConfigMap default/a")}
    with pytest.raises(UsageError, match="no object stands under"):
        source(tools, files, path="app")


def test_excluded_folders_are_not_read(tools: Tools) -> None:
    files = {"apps/a.yaml": config_map("a"), "sandbox/b.yaml": "a: ["}
    done = source(tools, files, config=Config(exclude=("sandbox/",)))
    assert _found(done) == {("apps", "ConfigMap default/a")}
    assert not done.diagnostics


def test_an_overlay_is_built_and_its_base_counts_once(tools: Tools) -> None:
    done = source(
        tools,
        {
            "base/kustomization.yaml": "resources: [deploy.yaml]\n",
            "base/deploy.yaml": "\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 1}\n",
            "over/kustomization.yaml": "resources: [../base]\nnamespace: shop\nnamePrefix: my-\npatches: [{path: patch.yaml}]\n",
            "over/patch.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 5}\n",
        },
    )
    (resource,) = done.resources
    assert (str(resource.ref), resource.body["spec"]["replicas"], str(resource.where)) == (
        "Deployment shop/my-web",
        5,
        "base/deploy.yaml:2",
    )


def test_charts_values_and_tool_files_are_no_objects(tools: Tools) -> None:
    done = source(
        tools,
        {
            "charts/web/Chart.yaml": "apiVersion: v2\nname: web\n",
            "charts/web/values.yaml": "kind: ConfigMap\n",
            "charts/web/templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Values.x }}}\n",
            "kind.yaml": "{apiVersion: kind.x-k8s.io/v1alpha4, kind: Cluster, name: x}",
            ".github/workflows/ci.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: no}}",
            "real.yaml": config_map("real"),
        },
    )
    assert _found(done) == {(".", "ConfigMap default/real")}
    assert {(d.code, d.where.file) for d in done.diagnostics} == {("template", "charts/web/templates/a.yaml")}


def test_one_broken_file_costs_one_finding_and_not_the_graph(tools: Tools) -> None:
    done = source(tools, {"bad.yaml": "apiVersion: v1\nkind: [", "good.yaml": config_map("good")})
    assert _found(done) == {(".", "ConfigMap default/good")}
    assert [(d.code, d.where.file, d.where.line > 0) for d in done.diagnostics] == [("yaml-syntax", "bad.yaml", True)]


def test_what_looks_like_an_object_and_is_none_is_said(tools: Tools) -> None:
    done = source(tools, {"a.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {}}", "b.yaml": config_map("b")})
    assert [(d.code, d.cause) for d in done.diagnostics] == [
        ("not-an-object", "has no metadata.name, so no cluster takes it")
    ]


def test_edges_cross_repos_and_each_step_says_where_it_comes_from(tools: Tools) -> None:
    pod = "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: default}, spec: {containers: [{name: c, envFrom: [{configMapRef: {name: a}}]}]}}"
    done = build(
        read(
            [Memory({"p.yaml": pod}, "services"), Memory({"a.yaml": config_map("a")}, "platform")],
            Config(),
            Selection(),
            tools,
        )
    )
    assert not done.diagnostics
    assert [(done.nodes[e.before].where, done.nodes[e.after].where) for e in done.edges] == [
        (done.nodes[0].where, done.nodes[1].where),
    ] or len(done.edges) == 1
    assert {str(n.where) for n in done.nodes} == {"services!p.yaml:1", "platform!a.yaml:1"}


def test_the_second_reading_reads_no_file_that_has_not_changed(tools: Tools) -> None:
    files = {f"{i}.yaml": config_map(f"c{i}") for i in range(5)}
    first, second = Memory(files), Memory(files)
    one, two = (read([snapshot], Config(), Selection(), tools) for snapshot in (first, second))
    assert one == two
    assert (len(first.was_read), len(second.was_read)) == (5, 0)


def test_a_broken_cache_costs_nothing_but_time(tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "cache.sqlite").write_bytes(b"this is no database" * 100)
    assert len(source(tools, {"a.yaml": config_map("a")}).resources) == 1
    assert len(source(tools, {"a.yaml": config_map("a")}).resources) == 1


def test_the_order_in_which_files_are_listed_changes_nothing(tools: Tools) -> None:
    files = {**TWO_CLUSTERS, **{f"x/{i}.yaml": config_map(f"c{i % 3}") for i in range(6)}}
    expected = build(source(tools, files))
    for seed in range(5):
        shuffled = list(files.items())
        random.Random(seed).shuffle(shuffled)
        memory = Memory(dict(shuffled))
        entries = list(memory.entries)
        random.Random(seed).shuffle(entries)
        memory.entries = tuple(entries)
        assert build(read([memory], Config(), Selection(), tools)) == expected


def test_dr_yaml_of_the_repo_is_read_and_is_no_object(tools: Tools) -> None:
    snapshot = Memory({"dr.yaml": "provided: [Secret/x]\n", "a.yaml": config_map("a")})
    assert config_of([snapshot], parse).provided == ("Secret/x",)
    assert _found(read([snapshot], Config(), Selection(), tools)) == {(".", "ConfigMap default/a")}


def test_an_overlay_at_the_root_of_a_repo_is_deployed(tools: Tools) -> None:
    files = {
        "kustomization.yaml": "resources: [a]\n",
        "a/kustomization.yaml": "resources: [a.yaml]\n",
        "a/a.yaml": config_map("a"),
    }
    assert _found(source(tools, files)) == {(".", "ConfigMap default/a")}


def test_units_of_one_name_in_two_namespaces_are_told_apart(tools: Tools) -> None:
    one, two = flux("web", "./a"), flux("web", "./b").replace("flux-system", "other")
    done = source(
        tools, {"c/one.yaml": one, "c/two.yaml": two, "a/a.yaml": config_map("a"), "b/b.yaml": config_map("b")}
    )
    assert {("flux-system/web", "ConfigMap default/a"), ("other/web", "ConfigMap default/b")} <= _found(done)
