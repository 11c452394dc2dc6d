"""Feeds the loader broken input and tells the first that breaks a promise: `python -m bench.fuzz_loader --seconds 60`.

With atheris installed the inputs follow the loader's branches; without it they are random changes
of the seeds. Seeds are this module's own and, if there are any, the manifests under DR_CORPUS.
An input that breaks a promise is saved under DR_FUZZ_DIR (build/fuzz), and the exit code is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import importlib.util
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

MAX_SECONDS = 2.0
MAX_BYTES = 64_000
CRASHES = Path(os.environ.get("DR_FUZZ_DIR") or "build/fuzz")
MODULES = ["dr.adapters.manifests", *(f"dr.core.{name}" for name in ("entangled", "jsontext", "scalars", "templates"))]
SEEDS = (
    b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  k: |-\n    b\n---\n# c\n- 1\n- [x, {y: z}]\n",
    b"a: &x {k: 1, l: [1, 2]}\nb:\n  <<: *x\n  k: 2\n  k: 3\nc: [*x, *x]\nd:\n  <<: [*x, {m: 1}]\n",
    b'{"a": [1, 2.5e3, -0, true, null, "\\ud83d\\ude00\\n"]}\n{"b": {"c": {}}}\n---\nkind: b\n',
    b"%YAML 1.1\n--- !!map\n? !!int 12\n: !!binary aGk=\n.5: .inf\n1.10: 0644\n~: =\n...\n---\n>+2\n   folded\n\n",
    b"metadata:\n  name: {{ .Values.name }}\n  {{- with .l }}\n  l: {{ . }}\n  {{- end }}\nx: {% if y %}z{% endif %}\n",
    b"\xef\xbb\xbfa: caf\xe9 '\n---#\n\xef\xbb\xbf'b\": \"\\x41\\\n  c\" # d\n\t- !<tag:yaml.org,2002:float> '1_0'\r\n",
    "a: é\x85b\u2028c: 😀\n".encode("utf-16"),
)
WORDS = (
    rb"""& * <<: !! !!str !!int !!binary --- ... |- >+ {{ }} {% %} {# ' "\\" \ud83d .nan 0x 1e3 : - ? [] {} #""".split()
)


def violation(data: bytes) -> str:
    """Return which promise of `parse` the input breaks; "" if it keeps them all."""
    from dr.adapters.manifests import parse  # noqa: PLC0415 - atheris instruments it first
    from dr.core.lines import size  # noqa: PLC0415
    from dr.core.source import Parsed  # noqa: PLC0415

    start = time.process_time()
    try:
        parsed = parse(data)
    except Exception as error:  # noqa: BLE001 - any is a violation
        return f"raises {error!r}"
    if len(data) <= MAX_BYTES and time.process_time() - start > MAX_SECONDS:
        return f"takes more than {MAX_SECONDS} s"
    try:
        for document in parsed.documents:
            json.dumps(document.body, allow_nan=False, ensure_ascii=False).encode()
            if len(document.lines) != 4 * size(document.body):
                return f"{len(document.lines) // 4} lines for {size(document.body)} entries"
        if msgspec.msgpack.decode(msgspec.msgpack.encode(parsed), type=Parsed) != parsed:
            return "the cache would change it"
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        return f"the result cannot be stored: {error!r}"
    return "" if parse(data) == parsed else "a second reading differs"


def seeds() -> Iterator[bytes]:
    """Yield this module's seeds, then the manifests of the corpus."""
    yield from SEEDS
    folder = Path(os.environ.get("DR_CORPUS") or Path(__file__).parents[2] / "shared/corpus")
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".yaml", ".yml", ".json") and path.is_file() and path.stat().st_size <= MAX_BYTES:
            yield path.read_bytes()


def mutated(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Return the input with a few places removed, repeated, replaced, or taken from another seed."""
    for _ in range(rng.randint(1, 6)):
        start = rng.randint(0, len(data))
        end = min(len(data), start + rng.choice((0, 1, 1, 4, 40)))
        other = rng.choice(others)
        cut = rng.randint(0, len(other))
        piece = rng.choice(
            (b"", data[start:end] * 2, rng.choice(WORDS), rng.randbytes(1), b"\n", other[cut : cut + 60])
        )
        data = data[:start] + piece + data[end:]
    return data


def random_run(seconds: float, runs: int, seed: int) -> tuple[int, str]:
    """Try random changes of the seeds; return how many, and what was broken."""
    rng = random.Random(seed)
    known = list(seeds())
    until = time.monotonic() + seconds
    tried = 0
    while time.monotonic() < until and tried != runs:
        data = mutated(rng.choice(known), known, rng)
        tried += 1
        if broken := violation(data):
            CRASHES.mkdir(parents=True, exist_ok=True)
            path = CRASHES / f"crash-{hashlib.sha256(data).hexdigest()[:16]}"
            path.write_bytes(data)
            return tried, f"{broken}; the input is {path}"
    return tried, ""


def guided_run(seconds: float, runs: int, seed: int) -> tuple[int, str]:
    """Let libFuzzer choose the inputs, in a process of its own, which it ends as it likes."""
    CRASHES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for index, data in enumerate(seeds()):
            (Path(folder) / f"{index:05}").write_bytes(data)
        words = Path(folder).with_suffix(".dict")
        words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in WORDS))
        options = [f"-max_total_time={seconds:.0f}", f"-runs={runs}", f"-seed={seed}", f"-max_len={MAX_BYTES}"]
        options += [f"-artifact_prefix={CRASHES}/", f"-dict={words}", "-timeout=20", "-print_final_stats=1"]
        command = [sys.executable, "-m", "bench.fuzz_loader", "--guided", *options, folder]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
        words.unlink()
    count = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    return int(count[1]) if count else 0, done.stderr[-3000:] if done.returncode else ""


def guided_process(options: list[str]) -> None:
    """Run libFuzzer with its own options; does not return."""
    import atheris  # noqa: PLC0415 - an extra

    with atheris.instrument_imports(include=MODULES):
        for name in MODULES:
            importlib.import_module(name)

    def one(data: bytes) -> None:
        if broken := violation(data):
            raise AssertionError(broken)

    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()


def main() -> int:
    """Return 1 when an input broke a promise."""
    if sys.argv[1:2] == ["--guided"]:
        guided_process(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="stop after this long (60)")
    parser.add_argument("--runs", type=int, default=-1, help="stop after so many inputs")
    parser.add_argument("--seed", type=int, default=1, help="of the random choices (1)")
    parser.add_argument("--random", action="store_true", help="random changes, even if atheris is installed")
    options = parser.parse_args()
    guided = not options.random and importlib.util.find_spec("atheris") is not None
    tried, broken = (guided_run if guided else random_run)(options.seconds, options.runs, options.seed)
    print(f"{tried:,} inputs tried, {'guided by coverage' if guided else 'random changes of the seeds'}")
    if broken:
        print(broken)
    return bool(broken)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
