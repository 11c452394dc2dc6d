"""A run as JSON, by dr/schemas/run.schema.json."""

from __future__ import annotations

from dr.core.events import Phase
from dr.core.timeline import StepTime, Timeline, roots, slowest
from dr.report.data import SCHEMA_VERSION, Data, encode, ref
from dr.report.run_text import cut

_SLOW = 10
_PHASES = (Phase.PROVISION, Phase.PREFLIGHT, Phase.RESTORE, Phase.VERIFY, Phase.TEARDOWN)


def data(timeline: Timeline) -> bytes:
    """Return a run as JSON: stable names, in a stable order, times in seconds since its beginning."""
    began = timeline.began
    target = began.target if began else None
    content: Data = {
        "schema": SCHEMA_VERSION,
        "run": began.run if began else "",
        "time": began.time if began else "",
        "command": began.command if began else "",
        "dr": began.dr if began else "",
        "order": began.order if began else "",
        "commits": [
            {"name": p.name, "location": p.location, "commit": p.commit, "dirty": p.dirty}
            for p in (began.pins if began else ())
        ],
        "target": {
            "context": target.context,
            "server": target.server,
            "uid": target.uid,
            "version": target.version,
            "embedded": target.embedded,
        }
        if target
        else None,
        "simulated": list(began.simulated) if began else [],
        "outcome": timeline.ended.outcome if timeline.ended else "unfinished",
        "compared": timeline.verified,
        "seconds": timeline.duration,
        "resumed": timeline.resumed,
        "phases": {phase.value: round(timeline.seconds(phase), 6) for phase in _PHASES},
        "counts": {o: timeline.count(o) for o in ("ready", "failed", "skipped", "unfinished")},
        "chain": [
            {
                "step": link.step,
                "at": link.at,
                "queued": round(link.queued, 6),
                "applying": round(link.applying, 6),
                "becoming": round(link.becoming, 6),
            }
            for link in timeline.chain
        ],
        "roots": [{"step": step, "took": taken} for step, taken in roots(timeline.steps)],
        "slowest": list(slowest(timeline.steps, _SLOW)),
        "idle": [{"began": gap.began, "ended": gap.ended} for gap in timeline.idle],
        "units": [
            {"name": u.name, "objects": u.objects, "outcome": u.outcome, "began": u.began, "ended": u.ended}
            for u in timeline.units
        ],
        "steps": [_step(step) for step in timeline.steps],
        "checks": [
            {"check": c.check, "level": c.level, "subject": c.subject, "cause": cut(c.cause), "remedy": cut(c.remedy)}
            for c in timeline.checks
        ],
        "differences": [
            {"object": ref(d.ref), "what": d.what, "path": d.path, "wanted": cut(d.wanted), "found": cut(d.found)}
            for d in timeline.differences
        ],
    }
    return encode(content)


def _step(step: StepTime) -> Data:
    return {
        "object": ref(step.step.ref),
        "unit": step.step.unit,
        "where": step.step.where,
        "outcome": step.outcome,
        "operation": step.operation,
        "started": step.started,
        "applied": step.applied,
        "ended": step.ended,
        "retries": step.retries,
        "retried": cut(step.retried),
        "waiting": cut(step.waiting),
        "cause": cut(step.cause),
        "timeout": step.timeout,
        "because": step.because,
    }
