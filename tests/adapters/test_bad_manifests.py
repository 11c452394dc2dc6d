"""What bad input costs: the document it is in, one problem with its line, and bounded time and memory."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path
from textwrap import dedent

import msgspec
import pytest
from hypothesis import given, settings

from bench.fuzz_loader import SEEDS, violation
from dr.adapters.manifests import MAX_ALIASED, MAX_DEPTH, MAX_PROBLEMS, parse
from dr.core.lines import size
from dr.core.source import Parsed
from tests import strategies


@given(strategies.near_yaml_bytes)
@settings(max_examples=300, deadline=None)
def test_whatever_a_file_holds_costs_no_crash_and_no_wrong_line(data: bytes) -> None:
    assert violation(data) == ""


@pytest.mark.parametrize("data", SEEDS)
def test_the_seeds_of_the_fuzzer_keep_every_promise_cut_anywhere(data: bytes) -> None:
    assert [violation(data[:end]) for end in range(len(data) + 1)] == [""] * (len(data) + 1)


def _codes(data: str | bytes) -> list[tuple[int, str]]:
    parsed = parse(data.encode() if isinstance(data, str) else data)
    return [(problem.line, problem.code) for problem in parsed.problems]


@pytest.mark.parametrize(
    ("data", "problems", "documents"),
    [
        ("a: 1\n---\nb: [1\n---\nc: 2\n", [(4, "yaml-syntax")], 1),
        ("a: 1\nb: 2\na: 3\n", [(3, "duplicate-key")], 1),
        ("a: &x 1\nb: &x 2\nc: *x\n", [(2, "duplicate-anchor")], 1),
        ("a: &x [*x]\n", [(1, "yaml-bomb")], 0),
        ("a: *x\n", [(1, "yaml-syntax")], 0),
        ("a: .nan\n", [(1, "not-a-number")], 1),
        ("a: 1\n~: 2\nb: !!int x\n", [(2, "kubectl-refuses"), (3, "kubectl-refuses")], 1),
        ("a: &x {k: 1}\nb:\n  k: 2\n  <<: *x\n", [(4, "merge-overrides")], 1),
        ("a: b\n? [x]\n: c\n", [(2, "yaml-syntax")], 0),
        ("a: b\x00\n", [(1, "binary")], 0),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", [(1, "binary")], 0),
        ("- 1\n" * 5_000 + "- \x00\n", [(5_001, "yaml-syntax")], 0),
        ("a: 1\nb: \x07\n", [(2, "yaml-syntax")], 0),
        (b"a: 1\n# caf\xe9\nb: 2\n", [(2, "not-utf-8")], 1),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1\n", [(1, "lfs-pointer")], 0),
        (b'{"a": 1}\n{"b": 2]', [(2, "yaml-syntax")], 1),
        (b"", [], 0),
        (b"\n# nothing\n---\n", [], 0),
    ],
)
def test_bad_input_is_named_with_its_line_and_the_rest_kept(
    data: str | bytes, problems: list[tuple[int, str]], documents: int
) -> None:
    parsed = parse(data.encode() if isinstance(data, str) else data)
    found = [(problem.line, problem.code) for problem in parsed.problems]
    assert (found[:1], found[-1:], len(parsed.documents)) == (problems[:1], problems[-1:], documents)


_ALIASES = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
_MERGES = "a0: &a0 {x: 1, y: 2, z: 3}\n" + "".join(
    f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], k{n}: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 60)
)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(_ALIASES, id="aliases of aliases"),
        pytest.param(_MERGES, id="merges of merges"),
        pytest.param(f"a: &a {'x' * 30_000}\nb: [{'*a, ' * 8_000}]\n", id="a long text many times"),
        pytest.param(f"a: &a {{{'x' * 900}: 1}}\nb: [{'*a, ' * 12_000}]\n", id="a long key many times"),
        pytest.param(
            "a0: &a0 "
            + "[" * 100
            + "]" * 100
            + "\n"
            + "".join(f"a{n}: &a{n} {'[' * 100}*a{n - 1}{']' * 100}\n" for n in range(1, 40)),
            id="depth by aliases",
        ),
        pytest.param("[" * 100_000, id="deep lists in flow style"),
        pytest.param("{a: " * 100_000, id="deep mappings in flow style"),
        pytest.param("- " * 100_000 + "a\n", id="deep lists in block style"),
        pytest.param('{"a": ' * 100_000, id="deep JSON"),
        pytest.param('{"a": ' * 500 + "1" + "}" * 500, id="JSON deeper than the loader, not than Python"),
        pytest.param("".join(f"{' ' * depth}a:\n" for depth in range(2_000)), id="deep mappings in block style"),
    ],
)
def test_a_bomb_is_refused_in_bounded_memory(data: str) -> None:
    tracemalloc.start()
    parsed = parse(data.encode())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [problem.code for problem in parsed.problems] == ["yaml-bomb"]
    assert peak < 20_000_000 + 40 * len(data)
    assert violation(data.encode()) == ""


def test_aliases_within_reason_are_expanded() -> None:
    parsed = parse(f"a: &a [1, 2]\nb: [{'*a, ' * (MAX_ALIASED // 2 - 2)}]\n".encode())
    assert not parsed.problems
    assert size(parsed.documents[0].body) == len(parsed.documents[0].lines) // 4


def test_nesting_up_to_the_bound_is_read() -> None:
    assert not parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH).problems
    assert violation(b"a: &x " + b"[" * 60 + b"]" * 60 + b"\nb: " + b"[" * 66 + b"*x" + b"]" * 66) == ""


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("---\na: 1\n" * 200_000, id="YAML documents"),
        pytest.param("a: 1\n" * 20_000, id="one key many times"),
        pytest.param("".join(f"k{n}: 1\n" for n in [*range(5_000), *reversed(range(5_000))]), id="all keys twice"),
        pytest.param("x: &x {a: 1}\ny:\n" + "  <<: *x\n" * 5_000, id="many merges"),
        pytest.param("{{ " * 600_000 + "a: b: c\n", id="openings of templates"),
        pytest.param("a: {{ " + '\\"' * 30_000 + "\n", id="quotes that are not closed"),
        pytest.param("a: " + "9" * 100_000 + "\n", id="a huge integer"),
        pytest.param('{"a": ' + "9" * 100_000 + "}", id="a huge integer in JSON"),
        pytest.param('{"a": 1}' * 20_000, id="JSON objects"),
    ],
)
def test_a_long_file_takes_time_by_its_length_only(data: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED],
        input=data.encode(),
        capture_output=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr.decode()[-500:]


# A minute of a processor is ten times what the slowest needs, and what is quadratic needs many.
_LIMITED = dedent("""
    import resource, sys
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    resource.setrlimit(resource.RLIMIT_AS, (2 * 2**30, 2 * 2**30))
    from dr.adapters.manifests import parse
    parse(sys.stdin.buffer.read())
""")


def test_a_flood_of_problems_is_cut_off() -> None:
    assert len(parse(b"a: 1\n" * 3 * MAX_PROBLEMS).problems) == MAX_PROBLEMS


TEMPLATES = (
    "{{- if .Values.enabled }}\napiVersion: v1\nkind: Service\nmetadata:\n  name: {{ .Release.Name }}-web\n{{- end }}\n",
    'metadata:\n  name: {{ include "app.fullname" . }}\n  labels:\n    {{- include "app.labels" . | nindent 4 }}\n',
    "spec:\n  {{- with .Values.tolerations }}\n  tolerations:\n    {{- toYaml . | nindent 8 }}\n  {{- end }}\n",
    "{{- range $name, $value := .Values.data }}\n{{ $name }}: {{ $value | quote }}\n{{- end }}\n",
    '{{/*\nA comment: of\n  many lines\n*/}}\n{{- define "x" -}}\na: b\n{{- end -}}\n{{ .y }}: z\n',
    'replicas: {{ .Values.replicas }}\nimage: "{{ .Values.image }}:{{ .Values.tag | default "1" }}"\n',
    "items:\n{% for item in items %}\n  - name: {{ item.name }}\n{% endfor %}\n",
    "{% if a %}a: 1{% else %}a: 2{% endif %}\nb: {# text #} 1\n",
    "a: 1\n---\n{{ if .x }}\nb: {{ .x }}\n{{ end }}\n",
    "name: {{ .Values.name }}\nbroken: [\n",
    "{{- if and .a .b }}- x\n{{- end }}y: z\n",
)  # fmt: skip
BROKEN = (
    'a: "{{ .Values.x }}"\nb: [1, 2\nc: 3\n',
    "a: '{{ $labels.pod }} is down'\n  b: 1\n",
    "data:\n  rules: |\n    {{ range .x }}\n    - {{ . }}\n    {{ end }}\n other: 1\n   x: 2\n",
    'a: "{{ x }}\nb: 1\n',
    "# {{ a comment }}\na: 'b\n",
    "a: {{ .x\nb: 1\n",
    "a: {{\n",
    "a: b: c\n",
)  # fmt: skip


@pytest.mark.parametrize("text", TEMPLATES)
def test_a_template_is_named_as_one_and_not_as_broken(text: str) -> None:
    assert [code for _, code in _codes(text)] == ["template"]


@pytest.mark.parametrize("text", BROKEN)
def test_broken_yaml_is_not_excused_for_the_braces_it_quotes(text: str) -> None:
    assert [code for _, code in _codes(text)] == ["yaml-syntax"]


def test_every_manifest_of_the_corpus_keeps_the_promises(corpus: Path) -> None:
    paths = [path for path in sorted(corpus.rglob("*")) if path.suffix in (".yaml", ".yml", ".json") and path.is_file()]
    assert paths
    assert {path: broken for path in paths if (broken := violation(path.read_bytes()))} == {}


def test_the_result_survives_the_cache_byte_for_byte() -> None:
    parsed = parse(b"a: 18446744073709551615\nb: 1e400\nc: .inf\nd: 0644\ne: |\n  x\n")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(parsed), type=Parsed) == parsed
