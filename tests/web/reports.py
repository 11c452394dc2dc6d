"""Folders of reports for the pages: what real runs look like, and one in which every text is hostile."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from dr.adapters import history
from dr.adapters.store import EVENTS, EventLog
from dr.core.events import (
    Announced,
    AnyEvent,
    Began,
    Differs,
    Entered,
    Failed,
    Injected,
    Mark,
    Marked,
    Phase,
    PlannedProbe,
    PlannedStep,
    Probed,
    Ready,
    Started,
    Target,
    Waiting,
)
from dr.core.herd import Herded, Member
from dr.core.history import Outcome, Row
from dr.core.model import Pin, Ref, Strength

SAMPLE = Path(__file__).parents[2] / "reports" / "sample"
LIVE, PAST, HERD = "2026-11-23-120000-pod-kill", "2026-11-20-090000-sample", "2026-11-23-090000-herd-north"
PLAIN = "{}"


def row(number: int, scenario: str = "pod-kill", target: str = "eu-1", **more: Any) -> Row:
    """Return a row that met what was promised, one a day."""
    time = f"2026-10-{1 + number // 24:02d}T{number % 24:02d}:00:00+00:00"
    found = Row(
        run=f"run-{scenario}-{target}-{number}",
        time=time,
        kind="gameday",
        scenario=scenario,
        title="A pod dies",
        verdict="met",
        repo="platform",
        commit="a" * 40,
        target=target,
        rta=10.0 + number % 3,
        objectives=(Outcome("rto", "", 30.0, 10.0 + number % 3, True),),
        parts={"detect": 1.0, "restore": 9.0},
        units={"shop": 9.0},
        folder=f"run-{scenario}-{target}-{number}",
    )
    return msgspec.structs.replace(found, **more)


def written(folder: Path) -> None:
    """Write runs of the past, one that goes on, one with its report and graph, and a herd."""
    folder.mkdir()
    shutil.copytree(SAMPLE, folder / PAST)
    rows = [row(n, target=target) for n in range(12) for target in ("eu-1", "eu-2")]
    slower: dict[str, Any] = {"rta": 25.0, "commit": "b" * 40}
    rows += [row(n, target="us-1", **(slower if n > 9 else {})) for n in range(20)]
    rows += [
        row(30, "zone-loss", rta=None, verdict="missed", censored=300.0),
        row(40, "sample", folder=PAST, objects=202),
    ]
    for one in rows:
        history.add(folder, one)
    log(folder / LIVE, live(), 8)
    herd(folder / HERD, PLAIN)


def log(folder: Path, events: Iterable[AnyEvent], first: int = -1) -> None:
    """Write the events, or the first so many, as a run does."""
    with EventLog(folder) as found:
        for event in list(events)[: None if first < 0 else first]:
            found.append(event)


def live(texts: str = PLAIN, objects: int = 3) -> list[AnyEvent]:
    """Return a run that goes on; `texts` is put around every text in it that comes from outside."""
    say = texts.format
    target = Target(say("eu-1"), "https://eu-1", "uid", "ca")
    steps = tuple(
        PlannedStep(
            Ref("v1", say("ConfigMap"), say("shop"), say(f"settings-{n}")),
            say("shop"),
            (n - 1,) if n else (),
            (Strength.READY,) if n else (),
            say("apps/shop.yaml:3"),
        )
        for n in range(objects)
    )
    began = Began(
        at=0.0,
        time="2026-11-23T12:00:00+00:00",
        run=say(LIVE),
        command=say("dr gameday run pod-kill.yaml"),
        dr="0.1.0",
        target=target,
        pins=(Pin(say("platform"), say("/srv/platform"), say("c" * 40)),),
        steps=steps,
    )
    probe = PlannedProbe(say("the shop answers"), say("http"), say("https://shop"), 0.5, 2.0)
    announced = Announced(at=0.1, title=say("A pod dies"), scenario=say("pod-kill"), fault=say("kill"), probes=(probe,))
    return [
        began,
        announced,
        Entered(0.2, Phase.STEADY),
        Probed(0.3, 0, True, 0.3),
        Injected(1.0, say("kill a pod"), 0.9, (say("Pod shop/web"),)),
        Probed(1.5, 0, False, 1.4, say("connection refused")),
        Marked(1.6, Mark.DETECTED, say("an alert")),
        Entered(1.7, Phase.RESTORE),
        *(
            event
            for n in range(objects)
            for event in (
                Started(2.0 + n, n),
                Waiting(2.1 + n, n, say("waits · for it")),
                Failed(2.5 + n, n, say("rejected")) if n == objects - 1 else Ready(2.5 + n, n),
            )
        ),
        Differs(9.0, steps[0].ref, say("different"), say("/data/key"), say("a"), say("b")),
    ]


def herd(folder: Path, texts: str, verdict: str = "running") -> None:
    """Write a herd's result."""
    say = texts.format
    states = ("met", "missed", "running", "waiting", "failed", "skipped")
    members = tuple(
        Member(
            cluster=say(f"eu-{n}"),
            scenario=say("pod-kill"),
            wave=min(n, 1),
            state=state,
            rta=2.0 if state == "met" else None,
            error=0.2,
            run=PAST,
            cause=say("cause"),
            labels={say("region"): say("eu")},
        )
        for n, state in enumerate(states)
    )
    found = Herded(
        herd=say("north"),
        run=say(folder.name),
        time="2026-11-23T09:00:00+00:00",
        title=say("All of it"),
        waves=(tuple(m.cluster for m in members),),
        budget=1,
        verdict=say(verdict),
        members=members,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "herd.json").write_bytes(msgspec.json.encode(found))


def half_written(folder: Path) -> bytes:
    """Leave the last line of a run's log half written; return the half that is missing."""
    path = folder / EVENTS
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    return whole[-40:]
