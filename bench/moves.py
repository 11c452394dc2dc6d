"""Whole moves between two embedded clusters under a user who never stops, and moves whose `dr` is killed on the way.

Needs PostgreSQL. `python -m bench.moves --moves 10 --kills 20`: what was acknowledged and lost, and the downtime, of
each; a killed move is begun again and must come to the same end.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from dr.adapters.store import events
from dr.core.move import Move, move
from tests.e2e.moving import User, World, world

LINGER = 1.0  # seconds in which the user goes on, before a move and after it


def told(found: World) -> Move:
    """Return the move that was made there; one that was killed before it had said what it is was begun anew."""
    folder = max(path.parent for path in (found.folder / "reports").glob("*/events.jsonl"))
    known = move(events(folder))
    if known is None:
        raise SystemExit(f"{folder} is not of a forklift")
    return known


def one(kill_at: float | None) -> tuple[Move, User, set[int], float, str]:
    """Move once. Return the move, its user, the rows on the new side, how long `dr` ran and what it said."""
    with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as made:
        file = made.write()
        with User(made.door) as user:
            time.sleep(LINGER)
            began = time.monotonic()
            process = made.start("forklift", str(file), "--yes")
            try:
                said = process.communicate(timeout=kill_at)[0]
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                said = made.dr("forklift", str(file), "--yes").stdout
            took = time.monotonic() - began
            time.sleep(LINGER)
        return told(made), user, made.rows("to"), took, said


def show(name: str, kill_at: float | None) -> tuple[float, float | None]:
    """Move once and print what came of it; return how long `dr` ran and the downtime, both in seconds."""
    found, user, rows, took, said = one(kill_at)
    lost = set(user.acknowledged) - rows
    down = "?" if found.downtime is None else f"{found.downtime:.2f}"
    print(
        f"{name:<16} {found.verdict:<9} {took:5.1f} s  acknowledged {len(user.acknowledged):4}  lost {len(lost)}"
        f"  downtime {down} s  user's longest gap: writes {user.longest(user.writes):.2f} s,"
        f" reads {user.longest(user.reads):.2f} s  writes stopped {found.frozen:.2f} s",
        flush=True,
    )
    if found.verdict not in ("moved", "missed") or lost:
        print(said, flush=True)
        raise SystemExit("not where it should be")
    return took, found.downtime


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", type=int, default=10)
    parser.add_argument("--kills", type=int, default=20)
    asked = parser.parse_args()
    whole = [show(f"move {number + 1}", None) for number in range(asked.moves)]
    if downs := [down for _, down in whole if down is not None]:
        print(f"downtime: least {min(downs):.2f} s, median {statistics.median(downs):.2f} s, most {max(downs):.2f} s")
    length = statistics.median(took for took, _ in whole) if whole else 25.0
    for number in range(asked.kills):
        at = length * (number + 0.5) / asked.kills
        show(f"killed at {at:.1f} s", at)


if __name__ == "__main__":
    main()
