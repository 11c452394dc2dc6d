"""The command line as a person or a pipeline uses it: answers, exit codes, errors, stable JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
from click.testing import CliRunner, Result

from dr.cli import main

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DR_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "platform"
    (folder / "apps").mkdir(parents=True)
    (folder / "apps" / "web.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: default}\n"
        "spec: {containers: [{name: c, image: nginx, envFrom: [{secretRef: {name: token}}]}]}\n"
    )
    (folder / "secret.yaml").write_text(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: token, namespace: default}\nstringData: {token: hunter2}\n"
    )
    return folder


def dr(*arguments: str) -> Result:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; from dr.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\nprint(sorted(m for m in ('git','kubernetes','chaoslib','networkx','rich','yaml','msgspec') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")


def test_graph_and_plan_never_load_the_kubernetes_client_or_chaos_toolkit(repo: Path) -> None:
    code = f"import sys; from dr.cli import main\ntry: main(['plan', {str(repo)!r}])\nexcept SystemExit: pass\nprint(sorted(m for m in ('kubernetes','chaoslib','networkx') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout.rstrip().endswith("[]")


def words(group: click.Group, *before: str) -> Iterator[list[str]]:
    """Yield, for each word that a command takes, a call in which that word is empty and all else is given."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from words(command, *before, name)
            continue
        for empty in command.params:
            if not isinstance(empty.type, click.types.StringParamType):
                continue
            call = [*before, name]
            for parameter in command.params:
                if parameter is empty or parameter.required:
                    kind = parameter.type
                    word = kind.choices[0] if isinstance(kind, click.Choice) else "x"
                    option = [parameter.opts[0]] if isinstance(parameter, click.Option) else []
                    call += [*option, "" if parameter is empty else str(word)]
            yield call


@pytest.mark.parametrize("call", [*words(main)], ids=" ".join)
def test_an_unset_variable_never_means_everything_or_no_lock(call: list[str]) -> None:
    result = dr(*call)
    assert result.exit_code == 2
    assert "is empty" in result.stderr


@pytest.mark.parametrize("command", ["plan", "graph"])
@pytest.mark.parametrize("sample", ["platform", "community"])
def test_the_json_keeps_its_published_schema(command: str, sample: str) -> None:
    schema = json.loads(files("dr").joinpath(f"schemas/{command}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(dr(command, str(FIXTURES / sample), "-o", "json").stdout), schema)


@pytest.mark.parametrize("form", ["text", "json", "dot", "mermaid", "html"])
def test_the_same_repo_gives_the_same_bytes(repo: Path, form: str) -> None:
    assert dr("graph", str(repo), "-o", form).stdout_bytes == dr("graph", str(repo), "-o", form).stdout_bytes


def test_a_plan_names_first_and_details_when_asked(repo: Path) -> None:
    short, long = dr("plan", str(repo)).stdout, dr("plan", str(repo), "--detail").stdout
    assert "Pod default/web" not in short.split("critical path")[0]
    assert "Pod default/web  apps/web.yaml:1  after Secret default/token (exists)" in long


def test_why_shows_each_edge_with_its_reason_and_line(repo: Path) -> None:
    assert (
        "takes its environment from Secret token (apps/web.yaml:4)"
        in dr("why", str(repo), "Secret/token", "Pod/web").stdout
    )


def test_impact_names_what_stops(repo: Path) -> None:
    done = json.loads(dr("impact", str(repo), "token", "-o", "json").stdout)
    assert [(r["ref"]["name"], r["hard"]) for r in done["impact"]] == [("web", True)]


@pytest.mark.parametrize(("level", "code"), [("error", 0), ("warning", 1), ("info", 1), ("never", 0)])
def test_lint_fails_from_the_level_that_was_asked_for(repo: Path, level: str, code: int) -> None:
    assert dr("lint", str(repo), "--fail-on", level).exit_code == code


@pytest.mark.parametrize("form", ["json", "sarif", "junit", "text"])
def test_no_output_ever_shows_a_secret(repo: Path, form: str) -> None:
    assert "hunter2" not in dr("lint", str(repo), "-o", form, "--detail").output


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["plan", "/nowhere/at/all"], None, "not there"),
        (["plan", "ext::sh -c id"], 2, "would run a program"),
        (["plan", "--", "-oProxyCommand=id"], 2, ""),
        (["plan", "{repo}@v1"], None, ""),
        (["plan", "{repo}", "--env", "prod"], 2, "no environment"),
        (["plan", "{repo}", "--path", "nope"], 2, "no object stands under"),
        (["why", "{repo}", "nothing-like-it"], 2, "is no object or unit"),
        (["plan", "{repo}", "--config", "/nowhere/dr.yaml"], 2, "No such file"),
        (["plan"], 2, "Missing argument"),
        (["graph", "{repo}", "-o", "yaml"], 2, "Invalid value"),
    ],
)
def test_a_wrong_call_says_what_is_wrong_and_what_to_do(
    repo: Path, arguments: list[str], code: int | None, words: str
) -> None:
    done = dr(*(a.replace("{repo}", str(repo)) for a in arguments))
    assert done.exit_code == code if code is not None else done.exit_code in (2, 3)
    assert words in done.stderr
    assert "Traceback" not in done.output


def test_a_wrong_dr_yaml_is_a_usage_error_with_its_place(repo: Path) -> None:
    (repo / "dr.yaml").write_text("rulez: []\n")
    done = dr("plan", str(repo))
    assert done.exit_code == 2
    assert "dr.yaml" in done.stderr
    assert "rulez" in done.stderr


def test_an_empty_folder_is_an_empty_plan(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "0 objects" in dr("plan", str(tmp_path / "empty")).stdout


def test_a_commit_is_read_as_it_was(git_repo: Any, tmp_path: Path) -> None:
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: default}\n"
    folder = git_repo({"a.yaml": config % "old"}, {"a.yaml": config % "new"})
    names = [
        json.loads(dr("plan", f"{folder}{rev}", "-o", "json").stdout)["steps"][0]["ref"]["name"]
        for rev in ("@HEAD~1", "")
    ]
    assert names == ["old", "new"]


def test_terminal_escapes_in_a_repo_never_reach_the_terminal(repo: Path) -> None:
    (repo / "evil.yaml").write_text(
        'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "a\\e[31mb", namespace: "x\\ny"}\n'
    )
    for command in (
        ["graph", str(repo), "--resources"],
        ["plan", str(repo), "--detail"],
        ["lint", str(repo), "--detail"],
    ):
        assert "\x1b" not in dr(*command).output


def test_a_closed_pipe_ends_quietly(repo: Path) -> None:
    command = [sys.executable, "-c", "from dr.cli import main; main()", "graph", str(repo), "--resources"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as done:
        assert done.stdout
        assert done.stderr
        done.stdout.close()
        assert b"Traceback" not in done.stderr.read()


def test_a_folder_of_a_repo_with_a_dr_yaml_is_a_config_repo_of_its_own(git_repo: Any) -> None:
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: default}\n"
    folder = git_repo(
        {
            "a.yaml": config % "outside",
            "part/b.yaml": config % "inside",
            "part/dr.yaml": "",
            "other/c.yaml": config % "other",
        }
    )

    def files(place: Path) -> list[str]:
        return [step["file"] for step in json.loads(dr("plan", str(place), "-o", "json").stdout)["steps"]]

    assert files(folder / "part") == ["b.yaml"]
    assert files(folder / "other") == ["other/c.yaml"]


def test_several_repos_are_one_graph_and_each_step_says_which_commit_it_comes_from(git_repo: Any) -> None:
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: default}\nspec: {containers: [{name: c, envFrom: [{configMapRef: {name: a}}]}]}\n"
    platform = git_repo({"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: default}\n"})
    services = git_repo({"p.yaml": pod}, bare=True)
    plan = json.loads(dr("plan", str(platform), f"file://{services}@main", "-o", "json").stdout)
    assert [(s["ref"]["kind"], s["repo"], s["after"]) for s in plan["steps"]] == [
        ("ConfigMap", platform.name, []),
        ("Pod", services.stem, [0]),
    ]
    assert {s["commit"] for s in plan["steps"]} == {repo["commit"] for repo in plan["repos"]}
    assert len({repo["commit"] for repo in plan["repos"]}) == 2
    assert "Pod default/p" in dr("why", str(platform), "ConfigMap/a", "Pod/p", "--with", str(services)).stdout
    (platform / "dr.yaml").write_text(f"repos: [{{url: {services}, rev: main}}]\n")
    assert len(json.loads(dr("plan", str(platform), "-o", "json").stdout)["steps"]) == 2
