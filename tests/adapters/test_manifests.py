"""YAML and JSON as kubectl reads them, the line of every field, and what bad input costs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dr.adapters.manifests import parse
from dr.core.source import Parsed
from tests import strategies
from tests.adapters import yaml_rows as rows
from tests.lacking import lacking

# What we report although kubectl reads the file: it is most likely not meant.
WARNED = {"duplicate-key", "duplicate-anchor", "merge-overrides", "not-utf-8"}
Answers = dict[str, tuple[list[Any], str]]

_FILES = [
    *((f"value {text[:40]}", "§1" + rows.value(text), "utf-8") for text in rows.PLAIN),
    *((f"key {text[:40]}", f"§1v:\n  {text}: 1\n  z: 2\n", "utf-8") for text in rows.KEYS),
    *((f"key {text[:40]} of a mapping", f"§1v:\n  {text}: {{a: 1}}\n", "utf-8") for text in rows.KEYS),
    *((f"body {text[:40]!r}", "§1" + text, "utf-8") for text in rows.BODIES),
    *((f"json {text[:40]!r}", (rows.JSON % "§N").replace("§}", f"{text}}}"), "utf-8") for text in rows.JSON_VALUES),
    *((f"file {text[:40]!r}", text, "utf-8") for text in rows.FILES),
    *((f"{encoding} {text[:40]!r}", text, encoding) for text, encoding in rows.ENCODED),
]
_DIFFERENT = [(reason, text, "utf-8") for text, _, reason in rows.DIFFERENT]
_Files = list[tuple[str, str, str]]


def _made(number: int, text: str, encoding: str) -> bytes:
    """Return a file with its documents named for it: kubectl's output tells by the name what it comes from."""
    name = f"f{number:05}"
    text = re.sub("§J([1-9])", lambda match: (rows.JSON % f"{name}.{match[1]}").replace("§", "1"), text)
    text = re.sub("§([1-9])", lambda match: rows.HEADER % f"{name}.{match[1]}", text).replace("§N", name)
    return text.encode(encoding, "replace" if encoding == "latin-1" else "surrogateescape")


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Callable[[_Files], Answers]:
    """Return what asks kubectl, in one process, what it reads in each file and what it has to say."""
    beside = Path(sys.executable).parent / "kubectl"
    program = str(beside) if beside.exists() else shutil.which("kubectl")

    def ask(files: _Files) -> Answers:
        if not program:
            lacking("no kubectl beside Python or on PATH")
        folder = tmp_path_factory.mktemp("files")
        found: Answers = {}
        for number, (_, text, encoding) in enumerate(files):
            (folder / f"f{number:05}.yaml").write_bytes(_made(number, text, encoding))
            found[f"f{number:05}"] = ([], "")
        command = [program, "label", "--local", f"-f={folder}", "dr-test=1", "-o=json", "--dry-run=client"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        decoder, at = json.JSONDecoder(parse_int=_as_go), 0
        while at < len(done.stdout.rstrip()):
            body, at = decoder.raw_decode(done.stdout, at)
            at += 1
            del body["metadata"]["labels"]
            found[body["metadata"]["name"].partition(".")[0]][0].append(body)
        for line in done.stderr.splitlines():
            for name in re.findall(r"(f\d{5})\.yaml", line):
                found[name] = (found[name][0], line)
        return found

    return ask


def _as_go(digits: str) -> int | float:
    number = int(digits)
    return number if -(2**63) <= number < 2**63 else float(number)


@pytest.fixture(scope="module")
def answers(kubectl: Callable[[_Files], Answers]) -> Answers:
    return kubectl(_FILES)


@pytest.fixture(scope="module")
def other_answers(kubectl: Callable[[_Files], Answers]) -> Answers:
    return kubectl(_DIFFERENT)


def _typed(value: Any) -> Any:
    """Return a value in which true differs from 1; 1 and 1.0 are the same number, as in JSON."""
    if isinstance(value, dict):
        return {key: _typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    return (type(value).__name__, value) if isinstance(value, bool) or value is None else value


@pytest.mark.parametrize(
    "number", range(len(_FILES)), ids=[f"{number} {name}" for number, (name, _, _) in enumerate(_FILES)]
)
def test_what_is_read_is_what_kubectl_reads(number: int, answers: Answers) -> None:
    bodies, error = answers[f"f{number:05}"]
    parsed = parse(_made(number, *_FILES[number][1:]))
    ours = _typed([document.body for document in parsed.documents])
    graver = {problem.code for problem in parsed.problems} - WARNED
    if error:
        assert graver, f"kubectl refuses this without our saying so: {error}"
        assert ours[: len(bodies)] == _typed(bodies)
    else:
        assert ours == _typed(bodies)
        assert not graver, parsed.problems


@pytest.mark.parametrize(
    "number", range(len(_DIFFERENT)), ids=[f"{number} {text[:30]!r}" for number, (_, text, _) in enumerate(_DIFFERENT)]
)
def test_where_the_loader_differs_from_kubectl_it_does_so_as_documented(number: int, other_answers: Answers) -> None:
    bodies, error = other_answers[f"f{number:05}"]
    parsed = parse(_made(number, *_DIFFERENT[number][1:]))
    assert [problem.code for problem in parsed.problems] == [code for code in [rows.DIFFERENT[number][1]] if code]
    same = _typed([document.body for document in parsed.documents]) == _typed(bodies)
    by_chance = "by chance" in _DIFFERENT[number][0]
    assert by_chance or not same or bool(error) != bool(parsed.problems), "no difference any more: move the row"


@given(st.lists(strategies.values(), min_size=1, max_size=3), st.data())
@settings(max_examples=200, deadline=None)
def test_what_other_programs_write_is_read_back_equal(values: list[Any], data: st.DataObject) -> None:
    style = data.draw(st.sampled_from([None, '"', "'", "|", ">"]))
    flow = data.draw(st.booleans() | st.none())
    width = data.draw(st.sampled_from([20, 80, 10_000]))
    unicode = data.draw(st.booleans())
    documents = (
        yaml.dump(
            {"v": value},
            Dumper=_Dumper,
            default_style=style if isinstance(value, str) else None,
            default_flow_style=flow,
            width=width,
            allow_unicode=unicode,
        )
        for value in values
    )
    assert _bodies(parse("---\n".join(documents).encode())) == [{"v": value} for value in values]


@given(
    st.lists(strategies.values(), min_size=1, max_size=3),
    st.sampled_from([None, 1, "\t"]),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_json_is_read_back_equal(values: list[Any], indent: int | str | None, plain: bool, wide: bool) -> None:
    separator = "\n" if plain else ""
    text = separator.join(json.dumps({"v": value}, indent=indent, ensure_ascii=plain) for value in values)
    assert _bodies(parse(text.encode("utf-16" if wide else "utf-8"))) == [{"v": value} for value in values]


class _Dumper(yaml.SafeDumper):
    """Writes YAML without aliases; quotes what only kubectl takes for a number or a word."""

    def ignore_aliases(self, _: Any) -> bool:
        return True


_Dumper.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style=dumper.default_style or '"')
)


def _bodies(parsed: Parsed) -> list[Any]:
    assert not parsed.problems
    return [document.body for document in parsed.documents]


def _walk(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the entries and items of a value in preorder: the key ("" for an item) and the value."""
    for key, item in value.items() if isinstance(value, dict) else (("", item) for item in value):
        yield key, item
        if isinstance(item, (dict, list)):
            yield from _walk(item)


def _lines(packed: bytes) -> list[int]:
    return [int.from_bytes(packed[at : at + 4], "little") for at in range(0, len(packed), 4)]


@given(strategies.numbered_yaml())
@settings(max_examples=300, deadline=None)
def test_every_field_has_the_line_where_it_is_written(text: str) -> None:
    where: dict[str, list[int]] = {}
    for number, written in enumerate(text.split("\n"), 1):
        for word in re.findall(r"\b[kv][0-9]+", written.partition("#")[0]):
            where.setdefault(word, []).append(number)
    parsed = parse(text.encode())
    assert {problem.code for problem in parsed.problems} <= {"duplicate-key", "merge-overrides"}
    for document in parsed.documents:
        entries = list(_walk(document.body))
        lines = _lines(document.lines)
        assert len(lines) == len(entries)
        for (key, value), line in zip(entries, lines, strict=True):
            assert not isinstance(value, str) or line in where[value]
            assert not key or line in where[key]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a: &x\n  b: 1\n  c: 2\nd: *x\n", [1, 2, 3, 4, 2, 3]),
        ("a: &x\n  b: 1\n  c: 2\nd:\n  <<: *x\n  c: 3\n", [1, 2, 3, 4, 2, 6]),
        ("a: &x\n  b: 1\n  c: 2\nd:\n  c: 3\n  e: 4\n  <<: *x\n", [1, 2, 3, 4, 6, 2, 3]),
        ("a:\n  b:\n    c: 1\n  d: 2\n  b:\n    e: 3\n", [1, 4, 5, 6]),
        ("- a\n-\n  b: 1\n- - c\n  - d\n", [1, 3, 3, 4, 4, 5]),
        ("\n---\n# text\na:\n  b: [1,\n   2]\n", [4, 5, 5, 6]),
        ('{"a":\n 1,\n "b": [\n2\n,{}],"a": 3}\n', [3, 4, 5, 5]),
        ('\n\n{"a": "\\n"}\n\n{"b":\n[1]}', [3]),
    ],
)
def test_a_line_is_where_a_field_is_written_also_through_aliases_merges_and_json(text: str, lines: list[int]) -> None:
    assert _lines(parse(text.encode()).documents[0].lines) == lines


def test_a_document_after_json_has_its_true_lines() -> None:
    first, second, third = parse(b'\n{"a":\n1}\n{"b": 2}\n---\nc: 3\n').documents
    assert (first.line, second.line, third.line) == (2, 4, 6)
    assert [_lines(document.lines) for document in (first, second, third)] == [[2], [4], [6]]
