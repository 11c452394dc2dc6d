"""A run as one HTML page that needs no network, and no JavaScript to be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from msgspec import Struct
from msgspec.structs import replace

from dr.core.events import Phase
from dr.core.history import Row, kind_of
from dr.core.history import row as row_of
from dr.core.model import LEVELS, Level
from dr.core.move import Move
from dr.core.recovery import Judged, Recovery
from dr.core.timeline import Timeline, slowest
from dr.core.whatif import Saving, slack
from dr.report import gameday_text, move_text, run_figures, run_gantt, run_text
from dr.report.console import many, pins, seconds
from dr.report.gameday_markdown import MARKS
from dr.report.graph_html import hashed, printable

_WRONG, _SLOW, _SLACK, _EARLIER, _TARGETS = 200, 20, 20, 20, 200
_BY = {
    "forklift": "a move to another cluster",
    "observe": "the cluster itself",
    "restore": "dr, from git",
    "runbook": "people, by a runbook",
    "snapshot": "dr, from a snapshot of etcd",
}


class Figure(Struct, frozen=True):
    """A figure at the top: what it is, how much, and what it is held against."""

    name: str
    value: str
    note: str = ""
    met: bool | None = None


class Promise(Struct, frozen=True):
    """An objective: its name, whether it was met, the comparison, how far, and the units it is about ("": all)."""

    name: str
    met: bool
    said: str
    margin: str
    units: str


def html(
    timeline: Timeline,
    recovery: Recovery | None,
    earlier: Sequence[Row] = (),
    savings: Sequence[Saving] = (),
    moved: Move | None = None,
) -> bytes:
    """Return a run as one HTML file with everything in it.

    `recovery` is None for a run that is no gameday. `earlier`: runs of the same scenario before this one, oldest
    first. `savings`: what it would save were single steps faster. `moved`: of a forklift, what it did. The
    page's Content-Security-Policy allows its own
    style and script by hash and nothing else, so it can send and load nothing.
    """
    assets = files("dr.report") / "assets"
    style, script, template = ((assets / f"run.{end}").read_text("utf-8") for end in ("css", "js", "html.j2"))
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, finalize=printable
    )
    environment.filters |= {"seconds": seconds, "cut": run_text.cut, "first_word": lambda text: text.split(" ")[0]}
    page = environment.from_string(template).render(
        **(_move_headline(timeline, moved) if moved else _headline(timeline, recovery)),
        **_pictures(timeline, recovery, earlier),
        timeline=timeline,
        moved=moved,
        carried=move_text.carried,
        steered=move_text.steered,
        drifted=move_text.DRIFTED,
        steps=timeline.steps,
        recovery=recovery,
        zero=run_gantt.counted_from(timeline, recovery),
        moments=sorted(recovery.moments.values(), key=lambda m: (m.at, m.mark)) if recovery else (),
        marks_of=MARKS,
        parted=gameday_text.measured(recovery) if recovery else (),
        objectives=_objectives(recovery) if recovery else (),
        saved={saving.step: saving.saved for saving in savings},
        slow=slowest(timeline.steps, _SLOW),
        spare=_spare(timeline),
        probed=gameday_text.probed,
        asked=run_gantt.asked(recovery) if recovery else (),
        summed=run_gantt.summed,
        lost=tuple(gameday_text.lost(recovery)) if recovery else (),
        targets=[t for fault in recovery.injected for t in fault.targets][:_TARGETS] if recovery else (),
        checks=() if moved else sorted(timeline.checks, key=lambda c: -LEVELS.index(c.level)),
        earlier=tuple(reversed(earlier[-_EARLIER:])),
        compared=gameday_text.compared(recovery, earlier) if recovery else "",
        phases=[(phase.value, timeline.seconds(phase)) for phase in Phase if timeline.seconds(phase)],
        measured=_measured(timeline, recovery, moved),
        unreal=gameday_text.unreal(timeline),
        following=run_text.following(timeline) if recovery is None else "",
        many=many,
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        style_hash=hashed(style),
        script_hash=hashed(script),
    )
    return page.encode()


def _headline(timeline: Timeline, recovery: Recovery | None) -> dict[str, Any]:
    """Return what stands at the top: the verdict, the figures, and the sentence about what took the time."""
    said = gameday_text.verdict(timeline, recovery) if recovery else run_text.verdict(timeline)
    head, rest = said[0][0], "".join(part for part, _ in said[1:])
    began, wrongs = timeline.began, gameday_text.wrong(timeline, recovery)
    return {
        "verdict": head,
        "sentence": rest,
        "good": recovery.verdict == "met" if recovery else timeline.passed,
        "kicker": [
            recovery.announced.scenario if recovery else kind_of(timeline),
            pins(began.pins) if began else "",
            f"{began.time[:16].replace('T', ' ')} UTC" if began else "",
            f"{'embedded cluster' if began.target.embedded else 'context'} {began.target.context}" if began else "",
        ],
        "figures": tuple(_figures(timeline, recovery)),
        "bottleneck": gameday_text.bottleneck(timeline, recovery) if recovery else "",
        "wrongs": wrongs[:_WRONG],
        "wrong": len(wrongs),
    }


def _move_headline(timeline: Timeline, moved: Move) -> dict[str, Any]:
    """Return what stands at the top of a forklift: what users saw of it, and which stage took the time."""
    errors = tuple(check for check in timeline.checks if check.level is Level.ERROR)
    head, _, rest = move_text.verdict(moved)
    old, new = moved.moving.old.context, moved.moving.new.context
    plain = _headline(replace(timeline, checks=errors), moved.recovery)
    longest = max(moved.stages, key=lambda stage: stage.seconds)
    return plain | {
        "verdict": head,
        "sentence": rest,
        "good": moved.verdict == "moved",
        "kicker": [*plain["kicker"][:-1], f"from {old} to {new}"],
        "figures": tuple(_move_figures(moved)),
        "bottleneck": f"{longest.name} took {seconds(longest.seconds)} of {seconds(timeline.duration)}",
    }


def _move_figures(moved: Move) -> Iterator[Figure]:
    by = {judged.objective.kind: judged for judged in moved.recovery.objectives} if moved.recovery else {}
    down, lost = by.get("downtime"), by.get("lost")
    if moved.downtime is not None:
        less = f"or up to {moved.error:.2f} s less" if moved.error >= 0.005 else ""
        yield Figure("without service", seconds(moved.downtime), _held(down, less), down.met if down else None)
        yield Figure("writes stopped", seconds(moved.frozen), "while the data was switched")
    if moved.lost is not None:
        promised = f"at most {lost.objective.seconds:g} promised" if lost else "nothing was promised"
        yield Figure("writes lost", f"{moved.lost:,}", f"of those acknowledged, {promised}", lost.met if lost else None)
    if moved.compared:
        wrong = sum(1 for twin in moved.parity if not twin.allowed)
        yield Figure("differences", f"{wrong:,}", f"in {many(moved.compared, 'object')}", None if not wrong else False)


def _figures(timeline: Timeline, recovery: Recovery | None) -> list[Figure]:
    found = []
    if recovery and recovery.injected:
        rto = next((j for j in recovery.objectives if _whole(j)), None)
        rpo = next((j for j in recovery.objectives if j.objective.kind == "rpo"), None)
        took = seconds(recovery.rta) if recovery.rta is not None else f"> {seconds(recovery.censored or 0.0)}"
        less = f"or up to {recovery.error:.2f} s less" if recovery.rta is not None and recovery.error >= 0.005 else ""
        found.append(Figure("time to recover", took, _held(rto, less), rto.met if rto else None))
        if recovery.losses:
            known = all(loss.counted for loss in recovery.losses)
            gone = seconds(recovery.rpa) if recovery.rpa is not None else "all" if known else "not known"
            found.append(Figure("data lost", gone, _held(rpo, ""), rpo.met if rpo else None))
    if timeline.steps:
        ready, whole = timeline.count("ready"), len(timeline.steps)
        found.append(Figure("objects restored", f"{ready:,}", f"of {whole:,}", None if ready == whole else False))
        found.append(Figure("restoring", seconds(timeline.seconds(Phase.RESTORE)), f"of {seconds(timeline.duration)}"))
    return found


def _held(judged: Judged | None, less: str) -> str:
    wanted = f"objective {seconds(judged.objective.seconds)}" if judged else "nothing was promised"
    return ", ".join(part for part in (wanted, less) if part)


def _pictures(timeline: Timeline, recovery: Recovery | None, earlier: Sequence[Row]) -> dict[str, Any]:
    origin = run_gantt.counted_from(timeline, None)
    on = replace(run_figures.axis(timeline, recovery), zero=run_gantt.counted_from(timeline, recovery))
    limits = [j.objective.seconds for j in recovery.objectives if _whole(j)] if recovery else []
    own = row_of(timeline, recovery, head="", folder="")
    dots, limit = run_figures.dots([*earlier, own], limits[0] if limits else None)
    lines, steps = run_figures.marks(recovery, on), timeline.steps

    def pieces(index: int, row: run_figures.UnitRow) -> tuple[run_figures.Bar, ...]:
        found = run_figures.pieces(steps[index], row.axis)
        return (*run_gantt.waits(steps, (index,), row.axis, origin), *found)

    return {
        "axis": on,
        "bars": run_figures.parts(recovery) if recovery else (),
        "lines": lines,
        "through": run_gantt.through(lines),
        "outages": tuple(run_figures.outages(recovery, on)),
        "units": [
            (row, (*run_gantt.waits(steps, row.steps, on, origin), *row.bars))
            for row in run_figures.units(timeline, on)
        ],
        "pieces": pieces,
        "waves": run_figures.waves(steps),
        "dots": dots,
        "limit": limit,
        "timed": own.rta is not None or own.censored is not None,
        "promised": limits[0] if limits else None,
    }


def _whole(judged: Judged) -> bool:
    """Return whether an objective is about the time of the whole."""
    return judged.objective.kind == "rto" and not judged.objective.units


def _objectives(recovery: Recovery) -> list[Promise]:
    """Return the objectives in order; where nothing was promised of the whole, its time comes first."""
    said = list(gameday_text.objectives(recovery))
    known = [(run_gantt.margin(j), ", ".join(j.objective.units)) for j in recovery.objectives]
    known = [("–", "")] * (len(said) - len(known)) + known
    return [Promise(*first, *rest) for first, rest in zip(said, known, strict=True)]


def _spare(timeline: Timeline) -> list[tuple[int, float]]:
    """Return the steps with the most slack among those that took time, greatest first."""
    known = [(i, spare) for i, spare in enumerate(slack(timeline.steps)) if spare and timeline.steps[i].took > 0.05]
    return sorted(known, key=lambda s: (-s[1], s[0]))[:_SLACK]


def _measured(timeline: Timeline, recovery: Recovery | None, moved: Move | None) -> Mapping[str, str]:
    """Return how this was measured and of what, by what each line is called; without what there is nothing of."""
    began = timeline.began
    rows: dict[str, str] = {}
    if recovery:
        told = recovery.announced
        steady = f"{told.consecutive} passes in a row of every probe, then {told.hold:g} s without a failure"
        rows |= {
            "recovered means": "" if moved else f"{steady}; given up after {told.timeout:g} s",
            "recovered by": _BY.get(told.recovery, told.recovery),
            "forklift" if moved else "gameday": f"{told.file} (SHA-256 {told.digest[:12]})" if told.file else "",
            "run": f"{told.repetition} of {told.repetitions}, seed {told.seed}" if told.repetitions > 1 else "",
        }
    rows["clock"] = "one monotonic clock in the runner, outside the cluster; a figure may be less by its sampling error"
    if began:
        targets = (began.target, *(on.target for on in recovery.moved)) if recovery else (began.target,)
        targets = (moved.moving.old, moved.moving.new) if moved else targets
        rows |= {
            "repo": ", ".join(f"{p.location}@{p.commit}" if p.commit else p.location for p in began.pins),
            "plan": began.digest,
            "dr": began.dr,
            "began": began.time,
            "cluster": "; then ".join(
                f"{'embedded ' if t.embedded else ''}{t.context}, {t.version}, identity {t.uid}" for t in targets
            ),
            "verified": f"{many(timeline.verified, 'object')} compared with git" if timeline.verified else "",
            "resumed": f"{many(timeline.resumed, 'time')}; time between counts by wall clock"
            if timeline.resumed
            else "",
        }
    return {name: value for name, value in rows.items() if value}
