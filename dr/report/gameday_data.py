"""A gameday as JSON, by dr/schemas/gameday-run.schema.json: the run as any other, and what was measured of it."""

from __future__ import annotations

import msgspec

from dr.core.events import Phase
from dr.core.move import Move
from dr.core.outages import Moment, ProbeTime
from dr.core.recovery import Recovery
from dr.core.timeline import Timeline
from dr.report.data import Data, encode
from dr.report.move_data import content as move_content
from dr.report.run_data import data as run_data
from dr.report.run_text import cut


def data(timeline: Timeline, recovery: Recovery | None, *, head: str = "", moved: Move | None = None) -> bytes:
    """Return a run as JSON; of a gameday with what was measured. Times are seconds since the run began.

    `head` is the digest of the last line of a gameday's log, by which a later change of the log shows.
    `moved`: of a forklift, what it did.
    """
    content = run_data(timeline)
    if recovery is None:
        return content
    phases = {phase.value: round(timeline.seconds(phase), 6) for phase in Phase if timeline.seconds(phase)}
    gameday = {"phases": phases, **_gameday(recovery)}
    forklift = {"forklift": move_content(moved)} if moved else {}
    return encode({**msgspec.json.decode(content), "head": head, "gameday": gameday, **forklift})


def _gameday(recovery: Recovery) -> Data:
    announced = recovery.announced
    return {
        "title": announced.title,
        "scenario": announced.scenario,
        "file": announced.file,
        "digest": announced.digest,
        "fault": announced.fault,
        "blastRadius": announced.blast_radius,
        "recovery": announced.recovery,
        "consecutive": announced.consecutive,
        "hold": announced.hold,
        "timeout": announced.timeout,
        "roles": dict(sorted(announced.roles.items())),
        "seed": announced.seed,
        "repetition": announced.repetition,
        "repetitions": announced.repetitions,
        "approvals": [{"by": a.by, "until": a.until, "reference": a.reference} for a in recovery.approved],
        "verdict": recovery.verdict,
        "impact": recovery.impact,
        "rta": recovery.rta,
        "error": recovery.error,
        "censored": recovery.censored,
        "rpa": recovery.rpa,
        "marks": [_moment(m) for m in sorted(recovery.moments.values(), key=lambda m: m.mark)],
        "parts": [{"name": p.name, "seconds": round(p.seconds, 6), "happened": p.happened} for p in recovery.parts],
        "objectives": [
            {
                "kind": j.objective.kind,
                "subject": j.objective.subject,
                "units": list(j.objective.units),
                "seconds": j.objective.seconds,
                "actual": j.actual,
                "error": j.error,
                "met": j.met,
            }
            for j in recovery.objectives
        ],
        "probes": [_probe(probe) for probe in recovery.probes],
        "losses": [
            {
                "probe": loss.probe.name,
                "written": loss.written,
                "survived": loss.survived,
                "lost": loss.lost,
                "rpa": loss.rpa,
                "error": loss.error,
            }
            for loss in recovery.losses
        ],
        "injected": [
            {"fault": i.fault, "began": i.began, "at": i.at, "targets": list(i.targets), "undo": i.undo}
            for i in recovery.injected
        ],
        "undone": [
            {"fault": u.fault, "at": u.at, "by": u.by, "cause": cut(u.cause), "remedy": u.remedy}
            for u in recovery.undone
        ],
        "aborted": [{"at": a.at, "condition": a.condition, "cause": cut(a.cause)} for a in recovery.aborted],
        "activities": [
            {"name": a.name, "kind": a.kind, "status": a.status, "began": a.began, "at": a.at, "cause": cut(a.cause)}
            for a in recovery.activities
        ],
        "confirmed": [
            {"step": c.step, "by": c.by, "began": c.began, "at": c.at, "note": cut(c.note)} for c in recovery.confirmed
        ],
        "moved": [
            {"at": m.at, "context": m.target.context, "uid": m.target.uid, "version": m.target.version}
            for m in recovery.moved
        ],
    }


def _moment(moment: Moment) -> Data:
    return {"mark": moment.mark, "at": moment.at, "error": moment.error, "by": moment.by}


def _probe(time: ProbeTime) -> Data:
    probe = time.probe
    return {
        "name": probe.name,
        "kind": probe.kind,
        "what": probe.what,
        "every": probe.every,
        "timeout": probe.timeout,
        "canary": probe.canary,
        "asked": time.asked,
        "failed": time.failed,
        "downtime": time.downtime,
        "error": time.error,
        "recovered": _moment(time.recovered) if time.recovered else None,
        "outages": [
            {"began": o.began, "earliest": o.earliest, "latest": o.latest, "ended": o.ended, "cause": cut(o.cause)}
            for o in time.outages
        ],
    }
