"""Hypothesis strategies that tests share: names, JSON values, Kubernetes objects, text that is almost YAML."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

# What JSON and YAML can both hold: no lone surrogates, no integer beyond 64 bits, no infinity.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
integers = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer())
scalars = st.none() | st.booleans() | integers | floats | texts
names = st.from_regex(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
kinds = st.sampled_from(["ConfigMap", "Secret", "Service", "Deployment", "ServiceAccount", "Namespace", "Widget"])
API_VERSIONS = {"Deployment": "apps/v1", "Widget": "example.org/v1"}


def values(leaves: st.SearchStrategy[Any] = scalars, max_leaves: int = 25) -> st.SearchStrategy[Any]:
    """Return JSON values, nested."""
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        max_leaves=max_leaves,
    )


@st.composite
def objects(draw: st.DrawFn) -> dict[str, Any]:
    """Return an object as it might stand in a config repo."""
    kind = draw(kinds)
    metadata: dict[str, Any] = {"name": draw(names)}
    if kind != "Namespace":
        metadata["namespace"] = draw(names)
    if labels := draw(st.dictionaries(names, texts, max_size=2)):
        metadata["labels"] = labels
    body: dict[str, Any] = {"apiVersion": API_VERSIONS.get(kind, "v1"), "kind": kind, "metadata": metadata}
    if spec := draw(st.dictionaries(names, values(max_leaves=8), max_size=3)):
        body["data" if kind in ("ConfigMap", "Secret") else "spec"] = spec
    return body


# Fragments that mean something to a YAML parser, and so break it soonest when put together at random.
FRAGMENTS = (
    *(
        "a",
        "b",
        "a: ",
        "b:\n",
        "- ",
        "-\n",
        "? ",
        ": ",
        "\n",
        "\n  ",
        "\n    ",
        "\t",
        " ",
        "---\n",
        "...\n",
        "--- ",
        "# c\n",
    ),
    *(
        "{",
        "}",
        "[",
        "]",
        ",",
        '"',
        "'",
        "|\n",
        ">-\n",
        "|2+\n",
        "&x ",
        "*x",
        "*x\n",
        "<<: ",
        "<<: *x\n",
        "<<: [*x, *x]\n",
    ),
    *(
        "!!str ",
        "!!int ",
        "!!float ",
        "!!binary ",
        "!!null ",
        "!!merge ",
        "! ",
        "!a!b ",
        "!<%ED%A0%80> ",
        "%YAML 1.1\n",
    ),
    *(
        "0644",
        "0x1F",
        "1e3",
        ".5",
        "1_000",
        "~",
        "null",
        "yes",
        ".nan",
        ".inf",
        "9" * 30,
        "1.10",
        "2001-01-01",
        "=",
        "-0.0",
    ),
    *(
        '"\\ud800"',
        '"\\u0000"',
        '"\\x41"',
        "\x00",
        "\x07",
        "\x7f",
        "\x85",
        "\u2028",
        "\ufeff",
        "\ufffe",
        "é",
        "😀",
        "\r\n",
        "\r",
    ),
    *(
        "{{ .a }}",
        "{{- if .b }}\n",
        "{% for x in y %}\n",
        "{{",
        "}}",
        '{"a": 1}',
        '{"a": [1, 2.0, "\\ud83d"]}',
        "[1,\n2]",
    ),
    *("apiVersion: v1\n", "kind: List\n", "items:\n", "metadata: {name: a}\n"),
)
near_yaml = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), max_size=40).map("".join)
near_yaml_bytes = near_yaml.map(lambda text: text.encode(errors="surrogatepass")) | st.binary(max_size=60)


class _Writer:
    """Writes YAML with one entry a line, in which each scalar and each new key is a word of its own."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._words = 0
        self._anchors: dict[str, bool] = {}  # name → whether it stands for a mapping

    def document(self) -> str:
        self._anchors.clear()
        return "\n".join(self._mapping("", 0)) + "\n"

    def _chance(self, out_of: int) -> bool:
        return self._draw(st.integers(1, out_of)) == 1

    def _word(self, letter: str) -> str:
        self._words += 1
        return f"{letter}{self._words}"

    def _leaf(self) -> str:
        return (
            f"*{self._draw(st.sampled_from([*self._anchors]))}"
            if self._anchors and self._chance(4)
            else self._word("v")
        )

    def _nested(self, pad: str, depth: int) -> tuple[str, list[str]]:
        """Return the anchor of a collection, if it has one, and its lines."""
        name = self._word("a") if self._chance(2) else ""
        is_mapping = self._chance(2)
        below = list((self._mapping if is_mapping else self._sequence)(pad, depth))
        if name:
            self._anchors[name] = is_mapping
        return f" &{name}" if name else "", below

    def _mapping(self, pad: str, depth: int) -> Iterator[str]:
        keys: list[str] = []
        for _ in range(self._draw(st.integers(1, 4))):
            mappings = [name for name, is_mapping in self._anchors.items() if is_mapping]
            if mappings and self._chance(8):
                yield f"{pad}<<: *{self._draw(st.sampled_from(mappings))}"
                continue
            keys.append(self._draw(st.sampled_from(keys)) if keys and self._chance(8) else self._word("k"))
            if depth < 4 and self._chance(3):
                anchor, below = self._nested(pad + "  ", depth + 1)
                yield from (f"{pad}{keys[-1]}:{anchor}", *below)
            else:
                yield f"{pad}{keys[-1]}: {self._leaf()}"
            if self._chance(8):
                yield self._draw(st.sampled_from(["", f"{pad}# k1: v1", "    "]))

    def _sequence(self, pad: str, depth: int) -> Iterator[str]:
        for _ in range(self._draw(st.integers(1, 3))):
            if depth < 4 and self._chance(2):
                anchor, below = self._nested(pad + "  ", depth + 1)
                yield from (f"{pad}-{anchor}", *below) if anchor else (f"{pad}- {below[0].lstrip()}", *below[1:])
            else:
                yield f"{pad}- {self._leaf()}"


@st.composite
def numbered_yaml(draw: st.DrawFn) -> str:
    """Return documents with aliases, merges and keys that stand twice, in which each word tells its line."""
    writer = _Writer(draw)
    return "---\n".join(writer.document() for _ in range(draw(st.integers(1, 3))))
