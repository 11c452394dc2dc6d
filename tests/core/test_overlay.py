"""Kustomizations as written: what they read, what they build on, and what must never be followed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.adapters.manifests import parse
from dr.core.kustomization import as_json, shown
from dr.core.model import Body
from dr.core.overlay import KUSTOMIZATION_NAMES, Overlay, closure, members, read_overlays, roots, sanitized
from dr.core.rules.kustomize import ENTRIES, PLUGIN_ENTRIES, PROBLEMS


def read(files: Mapping[str, str], *, plugins: bool = True) -> dict[str, Overlay]:
    """Return the overlays of a repo of files: path → text."""
    parsed = {path: parse(dedent(text).encode()) for path, text in files.items()}
    kustomizations = {
        path: found.documents[0]
        for path, found in parsed.items()
        if path.rpartition("/")[2] in KUSTOMIZATION_NAMES and found.documents
    }
    more = (parsed, parse) if plugins else ()
    return read_overlays(kustomizations, frozenset(files), *more)


def problems(overlay: Overlay) -> list[tuple[str, int]]:
    return [(problem.code, problem.where.line) for problem in overlay.problems]


def clean(files: Mapping[str, str], folder: str = "") -> Body:
    """Return the sanitized kustomization of a folder."""
    overlay = read(files)[folder]
    return sanitized(overlay, parse(dedent(files[overlay.file]).encode()).documents[0].body)


def test_every_file_that_an_overlay_reads_is_known_by_what_it_is() -> None:
    overlay = read(
        {
            "prod/kustomization.yaml": """\
                resources: [own.yaml, ../base]
                components: [../parts/tls/]
                patches:
                - path: patch.yaml
                - patch: '[{op: remove, path: /spec}]'
                patchesStrategicMerge:
                - merge.yaml
                - |
                  kind: Deployment
                patchesJson6902: [{path: ./sub/../json.yaml, target: {kind: Service}}]
                configMapGenerator:
                - {name: a, files: [plain.txt, key=keyed.txt], envs: [a.env], env: b.env, literals: [x=y]}
                secretGenerator: [{name: b, files: [secret.txt]}]
                replacements: [{path: replace.yaml}, {source: {kind: Secret}}]
                crds: [crd.json]
                configurations: [config.yaml]
                openapi: {path: schema.json}
                """,
            "base/kustomization.yml": "resources: [b.yaml]",
            "base/b.yaml": "",
            "parts/tls/Kustomization": "kind: Component",
            **{
                f"prod/{name}": ""
                for name in [
                    "own.yaml",
                    "patch.yaml",
                    "merge.yaml",
                    "json.yaml",
                    "plain.txt",
                    "keyed.txt",
                    "a.env",
                    "b.env",
                    "secret.txt",
                    "replace.yaml",
                    "crd.json",
                    "config.yaml",
                    "schema.json",
                ]
            },
        }
    )["prod"]
    assert overlay.resources == ("prod/own.yaml",)
    assert overlay.children == ("base", "parts/tls")
    assert sorted(overlay.inputs) == sorted(
        f"prod/{name}"
        for name in [
            "patch.yaml",
            "merge.yaml",
            "json.yaml",
            "plain.txt",
            "keyed.txt",
            "a.env",
            "b.env",
            "secret.txt",
            "replace.yaml",
            "crd.json",
            "config.yaml",
            "schema.json",
        ]
    )
    assert overlay.problems == ()


def test_the_files_of_the_base_and_of_its_patches_belong_to_the_closure_and_only_the_top_is_a_root() -> None:
    overlays = read(
        {
            "kustomization.yaml": "bases: [base, other]",
            "base/kustomization.yaml": "{resources: [a.yaml], patches: [{path: p.yaml}]}",
            "base/a.yaml": "",
            "base/p.yaml": "",
            "base/unused.yaml": "",
            "other/kustomization.yaml": "components: [../part]",
            "part/kustomization.yaml": "kind: Component",
            "alone/kustomization.yaml": "kind: Component",
        }
    )
    assert closure("", overlays) == {
        "kustomization.yaml",
        "base/kustomization.yaml",
        "base/a.yaml",
        "base/p.yaml",
        "other/kustomization.yaml",
        "part/kustomization.yaml",
    }
    assert members("other", overlays) == ("other", "part")
    assert roots(overlays) == ("",)


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ("gone.yaml", "overlay-missing-path"),
        ("files", "overlay-missing-path"),
        ("gone/", "overlay-missing-path"),
        ("''", "overlay-missing-path"),
        ("flux", "overlay-missing-path"),
        ("../../x.yaml", "overlay-outside"),
        ("../..", "overlay-outside"),
        ("../../../config/app/a.yaml", "overlay-outside"),
        ("/etc/passwd", "overlay-outside"),
        ("https://example.org/a.yaml", "overlay-remote"),
        ("HTTP://example.org/a.yaml", "overlay-remote"),
        ("https://github.com/org/repo//path?ref=v1", "overlay-remote"),
        ("github.com/org/repo//path?ref=v1", "overlay-remote"),
        ("github.com/org/repo", "overlay-remote"),
        ("GitHub.com:org/repo", "overlay-remote"),
        ("git@github.com:org/repo.git//path", "overlay-remote"),
        ("org-1@host.example.org:org/repo", "overlay-remote"),
        ("git::https://example.org/repo.git", "overlay-remote"),
        ("git::host/repo", "overlay-remote"),
        ("gh:org/repo", "overlay-remote"),
        ("ssh://git@example.org/org/repo", "overlay-remote"),
        ("file:///srv/repo.git", "overlay-remote"),
        ("oci://example.org/image:v1", "overlay-remote"),
        ("gitlab.example.org/group/repo.git//sub", "overlay-remote"),
        ("dev.azure.com/org/project/_git/repo/sub", "overlay-remote"),
        ("example.org/org/repo//sub", "overlay-remote"),
        ("example.org/org/repo?ref=main", "overlay-remote"),
    ],
)
def test_an_entry_that_cannot_be_followed_is_named_with_its_line_and_left_out(entry: str, code: str) -> None:
    files = {
        "app/kustomization.yaml": f"# top\nresources:\n- a.yaml\n- {entry}\n",
        "app/a.yaml": "",
        "app/files/b.yaml": "",
        "app/flux/kustomization.yaml": "{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization}",
    }
    overlays = read(files)
    assert list(overlays) == ["app"]
    (problem,) = overlays["app"].problems
    assert (problem.code, problem.where.file, problem.where.line) == (code, "app/kustomization.yaml", 4)
    assert problem.level is PROBLEMS[code][0]
    assert problem.remedy
    assert shown(entry.strip("'")) in problem.cause
    assert clean(files, "app")["resources"] == ["./a.yaml"]
    assert closure("app", overlays) == {"app/kustomization.yaml", "app/a.yaml"}


@pytest.mark.parametrize("row", [row for row, takes in ENTRIES if takes not in ("plugin", "chart")])
def test_no_field_of_a_kustomization_lets_an_address_through_in_whatever_case_it_is_written(row: str) -> None:
    url = "https://example.org/x"
    for spelled in (row, row.upper(), row.replace("s", "ſ")):
        text = f'"{url}"'
        for part in reversed(spelled.replace("[]", ".[]").split(".")):
            text = f"[{text}]" if part == "[]" else f'{{"{part}": {text}}}'
        files = {"kustomization.yaml": text}
        assert url not in as_json(clean(files))
        assert "overlay-remote" in {code for code, _ in problems(read(files)[""])}


@pytest.mark.parametrize("name", ["https:/example.org/a.yaml", "github.com/org/repo/a.yaml", "git@host:a/b.yaml"])
def test_a_file_that_is_called_like_an_address_is_taken_for_the_file(name: str) -> None:
    files = {"kustomization.yaml": f'resources: ["{name.replace("https:/", "https://")}"]', name: ""}
    assert read(files)[""].resources == (name,)
    assert read(files)[""].problems == ()
    assert clean(files)["resources"] == [f"./{name}"]


def test_what_is_left_out_takes_along_what_makes_no_sense_without_it_and_nothing_else() -> None:
    files = {
        "kustomization.yaml": """\
            namePrefix: x-
            patches: [{path: gone.yaml, target: {kind: Service}}, {path: p.yaml}, {patch: "[]"}]
            replacements: [{path: gone.yaml}]
            openapi: {path: gone.json}
            configMapGenerator:
            - {name: a, files: [gone.txt, key=k.txt], env: gone.env, literals: [x=y]}
            """,
        "p.yaml": "",
        "k.txt": "",
    }
    assert clean(files) == {
        "namePrefix": "x-",
        "patches": [{"path": "./p.yaml"}, {"patch": "[]"}],
        "replacements": [],
        "configMapGenerator": [{"name": "a", "files": ["key=./k.txt"], "literals": ["x=y"]}],
    }


def test_plugins_of_kustomize_itself_are_kept_in_line_and_all_others_are_left_out() -> None:
    files = {
        "app/kustomization.yaml": """\
            transformers:
            - cfg/patch.yaml
            - |-
              apiVersion: example.org/v1
              kind: Exec
              metadata: {name: x, annotations: {config.kubernetes.io/function: "exec: {path: ./run}"}}
            - ../base
            generators:
            - |-
              {apiVersion: builtin, kind: HelmChartInflationGenerator, metadata: {name: x}}
            - |-
              {apiVersion: builtin, kind: ConfigMapGenerator, metadata: {name: x}, Files: ["a=https://example.org/b"]}
            helmCharts: [{name: c, valuesFile: values.yaml}]
            """,
        "app/cfg/patch.yaml": "{apiVersion: builtin, kind: PatchTransformer, metadata: {name: x}, path: p.yaml}",
        "app/p.yaml": "",
        "app/values.yaml": "",
        "base/kustomization.yaml": "resources: []",
    }
    overlay = read(files)["app"]
    assert overlay.inputs == ("app/cfg/patch.yaml", "app/p.yaml", "app/values.yaml")
    assert problems(overlay) == [
        ("overlay-plugin", 3),
        ("overlay-plugin", 7),
        ("overlay-plugin", 9),
        ("overlay-remote", 11),
        ("overlay-plugin", 13),
    ]
    assert clean(files, "app") == {
        "transformers": [
            '{"apiVersion": "builtin", "kind": "PatchTransformer", "metadata": {"name": "x"}, "path": "./p.yaml"}'
        ],
        "generators": [],
    }


@pytest.mark.parametrize("row", [row for row, _ in PLUGIN_ENTRIES])
def test_no_field_of_a_built_in_plugin_lets_an_address_through(row: str) -> None:
    text = '"https://example.org/x"'
    for part in reversed(row.upper().replace("[]", ".[]").split(".")):
        text = f"[{text}]" if part == "[]" else f'{{"{part}": {text}}}'
    config = f'{{"apiVersion": "builtin", "kind": "PatchTransformer", {text[1:-1]}}}'
    assert clean({"kustomization.yaml": as_json({"transformers": [config]})}) == {"transformers": []}


def test_a_plugin_that_cannot_be_looked_into_is_left_out() -> None:
    files = {
        "kustomization.yaml": "transformers: [t.yaml, '{apiVersion: builtin, kind: HashTransformer}']",
        "t.yaml": "{apiVersion: builtin, kind: HashTransformer}",
    }
    overlay = read(files, plugins=False)[""]
    assert problems(overlay) == [("overlay-plugin", 1), ("overlay-plugin", 1)]
    assert sanitized(overlay, {"transformers": ["a", "b"]}) == {"transformers": []}


@pytest.mark.parametrize(
    ("files", "rest", "chain"),
    [
        ({"a": "../b", "b": "../c", "c": "../a"}, {"a": ("b",), "b": ("c",), "c": ()}, "a → b → c → a"),
        ({"a": "../b", "b": "../a", "z": "../b"}, {"a": (), "b": ("a",), "z": ("b",)}, "b → a → b"),
        ({"a": "."}, {"a": ()}, "a → a"),
        ({"a": "..", "": "a"}, {"a": (), "": ("a",)}, ". → a → ."),
        ({"a": "..", "": "b"}, {"a": (), "": ()}, "a → ."),
    ],
)
def test_overlays_in_a_circle_are_cut_open_once_and_named_in_order(
    files: dict[str, str], rest: dict[str, tuple[str, ...]], chain: str
) -> None:
    overlays = read({f"{folder}/kustomization.yaml".lstrip("/"): f"resources: [{e}]" for folder, e in files.items()})
    assert {folder: overlay.children for folder, overlay in overlays.items()} == rest
    found = [
        problem for overlay in overlays.values() for problem in overlay.problems if problem.code == "overlay-cycle"
    ]
    assert [problem.cause.rpartition(": ")[2] for problem in found] == [chain]
    assert closure("a", overlays)
    assert roots(overlays)


def test_a_long_chain_of_overlays_and_a_long_circle_neither_hang_nor_break() -> None:
    count = 3000
    files = {f"o{n}/kustomization.yaml": f"resources: [../o{(n + 1) % count}]" for n in range(count)}
    overlays = read(files)
    (problem,) = [problem for overlay in overlays.values() for problem in overlay.problems]
    assert problem.code == "overlay-cycle"
    assert len(problem.cause) < 300
    assert len(members("o0", overlays)) == count


@pytest.mark.parametrize(
    ("body", "plain"),
    [
        ("{resources: [a.yaml, base], apiVersion: kustomize.config.k8s.io/v1beta1, kind: Kustomization}", True),
        ("{bases: [base], metadata: {name: x}}", True),
        ("{resources: [a.yaml, https://example.org/x.yaml]}", True),
        ("{resources: [a.yaml], namespace: x}", False),
        ("{Resources: [a.yaml]}", False),
        ("{resources: [a.yaml], kind: Component}", False),
        ("{resources: [a.yaml], components: []}", False),
        ("{resources: [a.yaml, patched]}", False),
    ],
)
def test_an_overlay_that_only_lists_files_all_the_way_down_is_plain(body: str, plain: bool) -> None:
    overlays = read(
        {
            "kustomization.yaml": body,
            "a.yaml": "",
            "base/kustomization.yaml": "resources: [b.yaml]",
            "base/b.yaml": "",
            "patched/kustomization.yaml": "{resources: [../a.yaml], namePrefix: x}",
        }
    )
    assert overlays[""].plain is plain


def test_two_kustomizations_in_one_folder_are_an_error_and_the_first_in_kustomizes_order_counts() -> None:
    overlay = read({"Kustomization": "resources: [a.yaml]", "kustomization.yml": "resources: []", "a.yaml": ""})[""]
    assert overlay.file == "kustomization.yml"
    assert problems(overlay) == [("overlay-failed", 1)]
    assert "Kustomization" in overlay.problems[0].cause


def test_a_tree_with_paths_that_climb_out_of_the_repo_has_no_overlay_there() -> None:
    assert (
        read(
            {"../kustomization.yaml": "resources: []", "a/../../kustomization.yaml": "{}", "/kustomization.yaml": "{}"}
        )
        == {}
    )


@pytest.mark.parametrize("text", ["[a]", "just text", "resources: a.yaml", "resources: [1, {}, null]", "resources: {}"])
def test_a_kustomization_of_the_wrong_shape_lists_nothing_and_is_left_to_kustomize(text: str) -> None:
    overlays = read({"kustomization.yaml": text, "a.yaml": ""})
    assert all(not closure("", overlays) - {"kustomization.yaml"} for _ in overlays)
    assert all(overlay.problems == () for overlay in overlays.values())


def test_a_password_in_an_address_is_not_repeated() -> None:
    (problem,) = read({"kustomization.yaml": "resources: ['https://bot:s3cret@example.org/r.git//x?ref=v1']"})[
        ""
    ].problems
    assert "s3cret" not in problem.cause
    assert "https://***@example.org/r.git//x?ref=v1" in problem.cause


ENTRY = st.sampled_from(
    ["a.yaml", "b", "../b", "..", ".", "/x", "https://e.org/x", "b/../a.yaml", "c=a.yaml", "", "\n"]
)


@given(
    st.dictionaries(
        st.sampled_from(["kustomization.yaml", "b/kustomization.yaml", "b/c/Kustomization"]),
        st.fixed_dictionaries(
            {},
            optional={
                "resources": st.lists(ENTRY | st.none() | st.integers()),
                "components": st.lists(ENTRY),
                "patches": st.lists(st.fixed_dictionaries({"path": ENTRY}) | ENTRY),
                "configMapGenerator": st.lists(st.fixed_dictionaries({"files": st.lists(ENTRY)})),
                "transformers": st.lists(ENTRY),
            },
        ),
    )
)
def test_whatever_is_written_the_result_stays_in_the_repo_and_no_order_of_files_changes_it(
    kustomizations: dict[str, Body],
) -> None:
    files = {path: as_json(body) for path, body in kustomizations.items()} | {"a.yaml": "", "b/a.yaml": ""}
    overlays = read(files)
    assert overlays == read(dict(sorted(files.items(), reverse=True)))
    for folder, overlay in overlays.items():
        assert closure(folder, overlays) <= files.keys()
        text = as_json(sanitized(overlay, kustomizations[overlay.file]))
        assert not re.search(r'https:|"/x|"[^"]*=/', text)


@given(st.dictionaries(st.text(max_size=5), st.text(), max_size=3))
def test_json_for_kustomize_reads_back_as_the_same_text_even_with_emoji_and_control_characters(value: Body) -> None:
    (document,) = parse(as_json({"a": value}).encode()).documents
    assert document.body == {"a": value}
