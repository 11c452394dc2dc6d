"""How fast `dr serve` answers, and how far behind a running exercise those are who watch it.

    python -m bench.serve [--runs 100000] [--viewers 50] [--folder DIR]

Writes the history of bench/history.py, starts `dr serve` as a process of its own and asks for every page: first with
nothing known, then again. Then writes the log of a run, an event every 50 ms with its moment in it, while so many
viewers follow it at once, and measures how long after it was written each of them has each line. Prints tables in
Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import aiohttp

from bench.history import SCENARIOS, write
from dr.adapters import history
from dr.adapters.store import EventLog
from dr.core.events import Announced, Began, Confirmed, Target

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
LIVE, EVENTS, APART = "2026-11-23-200000-live", 200, 0.05


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
        count = history.count(folder)
        with log(folder) as running, served(folder) as address:
            print(f"{count} runs, {os.cpu_count()} cores\n\n| page | first, s | again, s | kB |\n|---|---:|---:|---:|")
            for page in PAGES:
                asyncio.run(ask(address + page, page))
            print("\n| viewers | events | seen by all | median delay, s | greatest, s |\n|---:|---:|---|---:|---:|")
            for viewers in (1, arguments.viewers):
                delays, complete = asyncio.run(watched(address, running, viewers))
                print(f"| {viewers} | {EVENTS} | {complete} | {median(delays):.3f} | {max(delays):.3f} |", flush=True)


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


@contextmanager
def log(folder: Path) -> Iterator[EventLog]:
    """Begin a run."""
    path = folder / LIVE / "events.jsonl"
    path.unlink(missing_ok=True)
    target = Target("eu-1", "https://eu-1", "uid", "ca")
    with EventLog(folder / LIVE) as found:
        found.append(Began(at=0.0, time="2026-11-23T20:00:00+00:00", run=LIVE, command="", dr="", target=target))
        found.append(Announced(at=0.0, title="A run to be watched", scenario="live"))
        yield found


async def ask(address: str, page: str) -> None:
    """Ask for a page twice, and print what it took."""
    async with aiohttp.ClientSession() as session:
        took, size = [], 0
        for _ in range(2):
            began = time.perf_counter()
            async with session.get(address) as answer:
                answer.raise_for_status()
                size = len(await answer.read())
            took.append(time.perf_counter() - began)
        print(f"| `{page}` | {took[0]:.3f} | {took[1]:.3f} | {size // 1024} |", flush=True)


async def watched(address: str, running: EventLog, viewers: int) -> tuple[list[float], bool]:
    """Return the delays of all lines at all viewers, in seconds, and whether each saw each, in order."""
    ready = [asyncio.Event() for _ in range(viewers)]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        watching = [asyncio.create_task(watch(session, f"{address}/live/{LIVE}", one)) for one in ready]
        await asyncio.gather(*(one.wait() for one in ready))
        run = f"{time.time():.0f}"
        for number in range(EVENTS):
            running.append(Confirmed(0.0, step=f"{run} {number} {time.time()}", by="bench", began=0.0))
            await asyncio.sleep(APART)
        running.append(Confirmed(0.0, step="last", by="bench", began=0.0))
        seen = await asyncio.gather(*watching)
    delays, complete = [], True
    for lines in seen:
        own = [(int(line[1]), at - float(line[2])) for line, at in lines if line[0] == run]
        complete &= [number for number, _ in own] == list(range(EVENTS))
        delays += [delay for _, delay in own]
    return delays, complete


async def watch(session: aiohttp.ClientSession, address: str, ready: asyncio.Event) -> list[tuple[list[str], float]]:
    """Follow a run to its last line; return the words of each line and when it came."""
    lines = []
    async with session.get(address, timeout=aiohttp.ClientTimeout(total=120)) as stream:
        async for raw in stream.content:
            text = raw.decode()
            if text.startswith("event: state"):
                ready.set()
            words = text.partition("✓ ")[2].split()
            if text.startswith("data: ") and len(words) > 2:
                lines.append((words, time.time()))
            elif ready.is_set() and words[:1] == ["last"]:
                break
    return lines


if __name__ == "__main__":
    main()
