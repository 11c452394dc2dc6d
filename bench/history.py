"""How fast the history of many runs is read: the list, a trend, and the index made anew.

    python -m bench.history [--runs 100000] [--folder DIR]

Writes that many rows into a new history in the format of dr/adapters/history.py: 20 scenarios on 50 clusters, a run of
1 kB each, seeded, so that every time the same history is made. Then measures `dr report list` as a process,
what one more run costs, a scenario's trend, and the rebuilding of the index: first of the history alone, then with a
folder for each run beside it. Prints a table in Markdown, and ends with 1 where something takes longer than LIMITS say.
`--folder` keeps the history there.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import msgspec

from dr.adapters import history
from dr.adapters.store import EVENTS
from dr.core.history import Outcome, Row

SCENARIOS = (
    *("cluster-removed", "zone-loss", "pod-kill", "node-loss", "etcd-restore", "database-failover", "ingress-lost"),
    *("certificate-expired", "dns-outage", "registry-down", "storage-detached", "key-rotated", "queue-stalled"),
    *("cache-cold", "region-evacuated", "operator-down", "webhook-down", "secret-lost", "gateway-lost", "rehearsal"),
)
CLUSTERS = 50
NEWEST = datetime(2026, 11, 23, 20, tzinfo=UTC)
APART = timedelta(minutes=25)
LIST, TREND, ANEW = "`dr report list`, as a process", "`dr report trend` of a scenario, as a process", "index made anew"
LIMITS = {LIST: 0.5, TREND: 1.0, ANEW: 60.0}  # seconds


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = arguments.folder or Path(made)
        write(folder, arguments.runs)
        size = (folder / history.HISTORY).stat().st_size / 2**20
        print(f"{arguments.runs} runs, {size:.0f} MiB of rows, {os.cpu_count()} cores\n")
        print("| what | history alone, s | with the runs' folders, s | limit, s |\n|---|---:|---:|---:|")
        alone = dict(measured(folder))
        for run in made_folders(folder):
            (folder / run / EVENTS).touch()
        late = []
        for what, took in measured(folder):
            limit = LIMITS.get(what, float("inf"))
            late += [what] if max(took, alone[what]) > limit else []
            print(f"| {what} | {alone[what]:.2f} | {took:.2f} | {LIMITS.get(what, '–')} |", flush=True)
    if late:
        sys.exit(f"over the limit: {', '.join(late)}")


def made_folders(folder: Path) -> Iterator[str]:
    """Make the folder of each run of a history, where it is not there yet; yield those that are new."""
    for run in history.folders(folder):
        with suppress(FileExistsError):
            (folder / run).mkdir()
            yield run


def write(folder: Path, runs: int) -> None:
    """Write a history of so many runs, the newest last."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder = msgspec.json.Encoder()
    with (folder / history.HISTORY).open("wb") as file:
        file.writelines(encoder.encode(row) + b"\n" for row in made(runs))


def made(runs: int) -> Iterator[Row]:
    """Yield so many runs, oldest first: each scenario has its own pace, and some clusters became slower lately."""
    random = Random(7)
    for number in range(runs):
        scenario = number % len(SCENARIOS)
        cluster = random.randrange(CLUSTERS)
        when = NEWEST - APART * (runs - 1 - number)
        slower = 1.35 if number > 0.9 * runs and (cluster * 7 + scenario) % 23 == 0 else 1.0
        took = slower * (20 + 12 * scenario) * random.lognormvariate(0, 0.12)
        yield _row(scenario, cluster, when, took, "b" if number > 0.9 * runs else "a", lost=random.random() < 0.01)


def _row(scenario: int, cluster: int, when: datetime, took: float, commit: str, *, lost: bool) -> Row:
    name = SCENARIOS[scenario]
    run = f"{when:%Y-%m-%d-%H%M%S}-{name}-{cluster}"
    objective = 1.4 * (20 + 12 * scenario)
    rta = None if lost else round(took, 3)
    met = rta is not None and rta <= objective
    return Row(
        run=run,
        time=when.isoformat(timespec="milliseconds"),
        kind="gameday",
        scenario=name,
        title=f"Lose it: {name}",
        verdict="met" if met else "missed",
        repo="platform",
        commit=commit * 40,
        target=f"{('eu', 'us', 'ap')[cluster % 3]}-{1 + cluster // 3}",
        rta=rta,
        error=0.2,
        censored=600.0 if lost else None,
        rpa=0.4,
        lost=0,
        parts={part: round(took * share, 3) for part, share in (("detect", 0.1), ("restore", 0.7), ("verify", 0.2))},
        units={f"unit-{n}": round(took * n / 12, 3) for n in range(1, 12)},
        objectives=(Outcome("rto", "", objective, rta, met),),
        objects=318,
        digest=commit * 64,
        head=f"{hash((scenario, cluster)) & (2**256 - 1):064x}",
        folder=run,
    )


def measured(folder: Path) -> Iterator[tuple[str, float]]:
    """Yield what was done and how many seconds it took."""
    yield ANEW, timed(lambda: history.rebuild(folder))
    history.count(folder)
    shown = "import sys; from dr.cli import main; sys.argv[0] = 'dr'; main()"
    command = [sys.executable, "-c", shown, "report", "list", "--reports", str(folder)]
    yield LIST, best(lambda: subprocess.run(command, check=True, capture_output=True))
    trend = [*command[:4], "trend", SCENARIOS[0], *command[5:]]
    yield (
        TREND,
        best(lambda: subprocess.run(trend, check=False, capture_output=True)),
    )
    newest = max(history.rows(folder, limit=1), key=lambda row: row.time)
    more = msgspec.structs.replace(newest, run="one-more", folder="one-more")
    history.add(folder, more)
    yield "the list after one more run", timed(lambda: history.rows(folder, limit=100))


def best(call: Callable[[], object], times: int = 3) -> float:
    """Return the least of some times, in seconds: the machine does other things as well."""
    return min(timed(call) for _ in range(times))


def timed(call: Callable[[], object]) -> float:
    """Return how many seconds a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
