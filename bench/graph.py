"""Measures reading and ordering a repo against kubectl, memory, growth, start-up and git history.

`python -m bench.graph` makes its input under build/bench, runs everything interleaved, prints the medians
with the limits, and exits with 1 if a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
OBJECTS, MANY = 10_000, 100_000
# The old commit to read: of a year before the end of the generated history.
LONG_AGO = "2025-10-01"
_STEPS = "import json, sys; print(len(json.load(sys.stdin)['steps']))"


class Run(NamedTuple):
    """One command's wall-clock time in seconds, and the peak resident memory in MB of it or any child of it."""

    seconds: float
    megabytes: float


class Limit(NamedTuple):
    """A figure (a ratio, or seconds) and the most that it may be; `value` is None if it was not measured."""

    title: str
    value: float | None
    most: float
    unit: str = "×"


def measure(command: Sequence[str], output: Path, cache: Path) -> Run:
    """Run `command` to its end with its output going to a file; raise SystemExit with its errors if it fails.

    Linux counts the parent's peak memory in a child's until the child has its own program. That is why
    this process stays small: repos are made, and outputs looked at, in processes of their own.
    """
    environment = {**os.environ, "DR_CACHE_DIR": str(cache)}
    with output.open("wb") as out, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            said = errors.read().decode(errors="replace")[-2000:]
            raise SystemExit(f"{shlex.join(command)}: exit code {process.returncode}\n{said}")
    return Run(seconds, usage.ru_maxrss / 1024)


def in_turn(command: Sequence[Sequence[str]], output: Path, cache: Path) -> Run:
    """Run several commands one after the other: the sum of their times, the largest of their peaks."""
    runs = [measure(one, output, cache) for one in command]
    return Run(sum(run.seconds for run in runs), max(run.megabytes for run in runs))


def _repo(folder: Path, *arguments: str) -> Path:
    """Make an input unless an earlier run has left it; it is renamed into place only when complete."""
    if not folder.exists():
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "bench.generate", *arguments, str(partial)], cwd=ROOT, check=True)
        partial.rename(folder)
    return folder


def _tool(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise SystemExit(f"there is no {name} beside {sys.executable} or on PATH: pip install -e '.[dev]'")
    return found


class Bench:
    """Runs named commands and keeps what they took."""

    def __init__(self, folder: Path, dr: Sequence[str], kubectl: str) -> None:
        self.folder, self.dr, self.kubectl = folder, list(dr), kubectl
        self.runs: dict[str, list[Run]] = defaultdict(list)
        self.output, self.cache = folder / "output", folder / "cache"

    def kubectl_by_team(self, repo: Path) -> None:
        """Build each team's kustomization by itself: the fastest way for kubectl, and kind to it."""
        teams = sorted(path.parent for path in repo.glob("*/kustomization.yaml"))
        commands = [[self.kubectl, "kustomize", str(team)] for team in teams]
        self._keep("kubectl, team by team", in_turn(commands, self.output, self.cache))

    def kubectl_at_once(self, repo: Path) -> None:
        """Build all in one process, as one overlay of everything is built."""
        self._keep("kubectl, one build", measure([self.kubectl, "kustomize", str(repo)], self.output, self.cache))

    def plan(self, title: str, repo: str, steps: int) -> None:
        """Plan twice, without and then with kept parses; `steps` is how many there must be at least."""
        shutil.rmtree(self.cache, ignore_errors=True)
        for state in ("cold", "warm"):
            command = [*self.dr, "plan", repo, "-o", "json"]
            self._keep(f"{title}, {state}", measure(command, self.output, self.cache))
            with self.output.open("rb") as out:
                counted = subprocess.run([sys.executable, "-c", _STEPS], stdin=out, check=True, capture_output=True)
            if int(counted.stdout) < steps:
                raise SystemExit(f"{title}: {int(counted.stdout)} steps, but the repo has {steps} objects")

    def help(self) -> None:
        """Show the help page."""
        self._keep("dr --help", measure([*self.dr, "--help"], self.output, self.cache))

    def _keep(self, title: str, run: Run) -> None:
        self.runs[title].append(run)
        print(f"  {title}: {run.seconds:.2f} s, {run.megabytes:.0f} MB", file=sys.stderr, flush=True)

    def seconds(self, title: str) -> float | None:
        """Return the median time."""
        runs = self.runs.get(title)
        return statistics.median(run.seconds for run in runs) if runs else None

    def megabytes(self, title: str) -> float | None:
        """Return the largest peak: memory that was needed once has to be there."""
        return max((run.megabytes for run in self.runs.get(title, ())), default=None)

    def limits(self) -> list[Limit]:
        """Return every figure that has a limit."""
        seconds, megabytes = self.seconds, self.megabytes
        size, many = f"{OBJECTS:,} objects", f"{MANY:,} objects"
        team, once = "kubectl, team by team", "kubectl, one build"
        peak = max(filter(None, (megabytes(f"{size}, cold"), megabytes(f"{size}, warm"))), default=None)
        return [
            Limit("dr plan cold / kubectl, team by team", _ratio(seconds(f"{size}, cold"), seconds(team)), 0.5),
            Limit("dr plan warm / kubectl, team by team", _ratio(seconds(f"{size}, warm"), seconds(team)), 0.15),
            Limit("dr plan cold / kubectl, one build", _ratio(seconds(f"{size}, cold"), seconds(once)), 0.5),
            Limit("dr plan warm / kubectl, one build", _ratio(seconds(f"{size}, warm"), seconds(once)), 0.15),
            Limit("peak memory / kubectl, one build", _ratio(peak, megabytes(once)), 1.5),
            Limit(f"{many} / {size}, cold", _ratio(seconds(f"{many}, cold"), seconds(f"{size}, cold")), 12),
            Limit(f"{many} / {size}, warm", _ratio(seconds(f"{many}, warm"), seconds(f"{size}, warm")), 12),
            Limit("dr --help", seconds("dr --help"), 0.25, "s"),
            Limit("a year ago / work tree, cold", _ratio(seconds("a year ago, cold"), seconds("work tree, cold")), 1.5),
            Limit("a year ago / work tree, warm", _ratio(seconds("a year ago, warm"), seconds("work tree, warm")), 1.5),
        ]


def _ratio(value: float | None, base: float | None) -> float | None:
    return None if value is None or base is None else value / base


def _sections(bench: Bench, folder: Path) -> dict[str, list[Callable[[], None]]]:
    """Return what is to be run, by section; making the inputs that are missing is part of a section."""
    small = folder / f"objects-{OBJECTS}"
    return {
        "help": [bench.help],
        "kubectl": [lambda: bench.kubectl_by_team(_objects(small, OBJECTS))],
        "plan": [lambda: bench.plan(f"{OBJECTS:,} objects", str(_objects(small, OBJECTS)), OBJECTS)],
        "growth": [lambda: bench.plan(f"{MANY:,} objects", str(_objects(folder / f"objects-{MANY}", MANY)), MANY)],
        "history": [
            lambda: bench.plan("work tree", str(_history(folder)), 12_000),
            lambda: bench.plan("a year ago", f"{_history(folder)}@{_long_ago(_history(folder))}", 12_000),
        ],
        "one-build": [lambda: bench.kubectl_at_once(_objects(small, OBJECTS))],
    }


def _objects(folder: Path, count: int) -> Path:
    return _repo(folder, "objects", "--count", str(count))


def _history(folder: Path) -> Path:
    return _repo(folder / "release-manager", "release-manager")


def _long_ago(repo: Path) -> str:
    command = ["git", "-C", str(repo), "rev-list", "-1", f"--before={LONG_AGO}", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _table(bench: Bench) -> Iterable[str]:
    yield f"{'':38}{'median':>10}{'peak':>10}{'runs':>6}"
    for title, runs in bench.runs.items():
        median, peak = statistics.median(run.seconds for run in runs), max(run.megabytes for run in runs)
        yield f"{title:38}{median:8.2f} s{peak:7.0f} MB{len(runs):6}"
    yield ""
    yield f"{'':46}{'is':>10}{'limit':>10}"
    for title, value, most, unit in bench.limits():
        shown, verdict = (
            ("-", "not measured") if value is None else (f"{value:.3f} {unit}", "" if value <= most else "MISSED")
        )
        yield f"{title:46}{shown:>10}{most:8} {unit}  {verdict}".rstrip()


def main() -> None:
    """Read the command line, run, print, and exit with 1 if a limit is missed."""
    sections = ("help", "kubectl", "plan", "growth", "history", "one-build")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="rounds; the median counts (3)")
    parser.add_argument("--only", choices=sections, nargs="+", default=sections, help="sections to run (all)")
    parser.add_argument("--json", action="store_true", help="figures as JSON instead of a table")
    parser.add_argument("--folder", type=Path, default=ROOT / "build/bench", help="where the inputs are kept")
    parser.add_argument("--dr", default="", help="the command to measure (dr beside this Python)")
    args = parser.parse_args()
    folder = args.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=folder) as scratch:
        bench = Bench(Path(scratch), shlex.split(args.dr) or [_tool("dr")], _tool("kubectl"))
        todo = _sections(bench, folder)
        for number in range(args.runs):
            print(f"round {number + 1} of {args.runs}", file=sys.stderr)
            # One build of everything takes kubectl minutes: once is enough for a figure of that size.
            for section in args.only:
                for step in todo[section] if section != "one-build" or number == 0 else ():
                    step()
    limits = bench.limits()
    if args.json:
        runs = {title: [run._asdict() for run in found] for title, found in bench.runs.items()}
        print(json.dumps({"runs": runs, "limits": [limit._asdict() for limit in limits]}, indent=1))
    else:
        print("\n".join(_table(bench)))
    sys.exit(any(limit.value is not None and limit.value > limit.most for limit in limits))


if __name__ == "__main__":
    main()
