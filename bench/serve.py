"""How fast `dr serve` answers, and how far behind a running exercise those are who watch it.

    python -m bench.serve [--runs 100000] [--viewers 50] [--folder DIR]

Writes the history of bench/history.py, starts `dr serve` as a process of its own and asks for every page, first with
nothing known, then again: of the history alone, then with a folder for each run beside it. Then writes the log of a
real gameday (reports/sample) anew, event by event at its own pace, while so many viewers follow it at once, and
measures how long after it was written each of them has each line. Prints tables in Markdown, and ends with 1 where a
page or a line takes longer than a second, or a line is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import aiohttp
import msgspec

from bench.history import SCENARIOS, made_folders, write
from dr.adapters import history
from dr.adapters.store import EVENTS, EventLog, events
from dr.core.events import AnyEvent, Began
from dr.report.watching import Watched

PAGES = (
    "/",
    "/trends",
    "/runs",
    "/runs?page=1900",
    "/runs?verdict=missed",
    f"/runs?scenario={SCENARIOS[2]}&cluster=eu-1",
    f"/trends?scenario={SCENARIOS[2]}",
    f"/trends?scenario={SCENARIOS[2]}&cluster=eu-1",
    "/stale",
    "/herds",
    "/graph",
    "/metrics",
    "/api/trends",
)
PAGE, DELAY = 1.0, 1.0  # seconds that a page may take, and a line until it is seen
# It looks into every folder, and what is not in memory is read from the disk first. 10 s: what Prometheus waits for.
SCRAPED = {"/metrics": 10.0}
GAMEDAY = events(Path(__file__).parents[1] / "reports" / "sample")


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = arguments.folder or Path(made)
        if not (folder / history.HISTORY).exists():
            write(folder, arguments.runs)
        history.rebuild(folder)
        late = pages(folder, "history alone")
        for run in made_folders(folder):
            (folder / run / EVENTS).touch()
        late += pages(folder, "with the runs' folders")
        late += live(folder, arguments.viewers)
    if late:
        sys.exit(f"over the limit: {', '.join(late)}")


def pages(folder: Path, what: str) -> list[str]:
    """Ask a new server for every page; print what it took, and return what took too long."""
    print(f"\n{history.count(folder)} runs, {what}, {os.cpu_count()} cores\n")
    print("| page | first, s | again, s | kB |\n|---|---:|---:|---:|")
    with served(folder) as address:
        took = {page: asyncio.run(ask(address + page, page)) for page in PAGES}
    return [f"{page} ({what})" for page, seconds in took.items() if seconds > SCRAPED.get(page, PAGE)]


def live(folder: Path, most: int) -> list[str]:
    """Have a gameday followed by one viewer and by many; print the delays, and return what was too late or lost."""
    print("\n| viewers | lines | seen by all | median delay, s | greatest, s |\n|---:|---:|---|---:|---:|")
    late = []
    with served(folder) as address:
        for viewers in (1, most):
            run = f"2026-11-23-2000{viewers % 60:02}-live"
            delays, lines, complete = asyncio.run(watched(address, folder / run, viewers))
            print(f"| {viewers} | {lines} | {complete} | {median(delays):.3f} | {max(delays):.3f} |", flush=True)
            late += [f"{viewers} viewers"] if max(delays) > DELAY or not complete else []
    return late


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Run `dr serve`; yields its address."""
    shown = "import sys; from dr.cli import main; sys.argv[0] = 'dr'; main()"
    command = [sys.executable, "-c", shown, "serve", "--reports", str(folder), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield next(iter(process.stderr or ())).split()[0].rstrip("/")
        finally:
            process.terminate()


async def ask(address: str, page: str) -> float:
    """Ask for a page twice, and print what it took; return the longer time, in seconds."""
    async with aiohttp.ClientSession() as session:
        took, size = [], 0
        for _ in range(2):
            began = time.perf_counter()
            async with session.get(address) as answer:
                answer.raise_for_status()
                size = len(await answer.read())
            took.append(time.perf_counter() - began)
        print(f"| `{page}` | {took[0]:.3f} | {took[1]:.3f} | {size // 1024} |", flush=True)
    return max(took)


async def watched(address: str, folder: Path, viewers: int) -> tuple[list[float], int, bool]:
    """Write a gameday's log anew, at its own pace, while so many follow it.

    Returns the delays of all lines at all viewers, in seconds, how many lines there are, and whether each saw each, in
    order.
    """
    shutil.rmtree(folder, ignore_errors=True)
    ready = [asyncio.Event() for _ in range(viewers)]
    watching, told, written = [], Watched(folder.name), dict[int, float]()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        began = time.monotonic()
        with EventLog(folder) as log:
            for number, event in enumerate(_renamed(folder.name)):
                await asyncio.sleep(max(0.0, event.at - (time.monotonic() - began)))
                first = told.lines
                told.feed(event)
                written |= dict.fromkeys(range(first + 1, told.lines + 1), time.monotonic())
                log.append(event)
                if not number:
                    place = f"{address}/live/{folder.name}"
                    watching = [asyncio.create_task(watch(session, place, one)) for one in ready]
                    await asyncio.gather(*(one.wait() for one in ready))
                    began = time.monotonic() - event.at
        seen = await asyncio.gather(*watching)
    later = [(number, at) for lines in seen for number, at in lines if number > min(n for n, _ in lines)]
    complete = all([number for number, _ in lines] == sorted(written) for lines in seen)
    return [at - written[number] for number, at in later], len(written), complete


def _renamed(run: str) -> Iterator[AnyEvent]:
    """Yield the gameday's events, as those of a run of this name."""
    for event in GAMEDAY:
        yield msgspec.structs.replace(event, run=run) if isinstance(event, Began) else event


async def watch(session: aiohttp.ClientSession, address: str, ready: asyncio.Event) -> list[tuple[int, float]]:
    """Follow a run to its end; return the number of each line and when it came."""
    lines = []
    async with session.get(address, timeout=aiohttp.ClientTimeout(total=120)) as stream:
        async for raw in stream.content:
            name, _, said = raw.decode().rstrip("\n").partition(": ")
            if name == "id":
                lines.append((int(said), time.monotonic()))
            elif (name, said) == ("event", "state"):
                ready.set()
            elif (name, said) == ("event", "end"):
                break
    return lines


if __name__ == "__main__":
    main()
