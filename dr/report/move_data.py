"""A forklift as JSON: stable names, times in seconds since it began."""

from __future__ import annotations

from dr.core.move import Move
from dr.report.data import SCHEMA_VERSION, Data, encode
from dr.report.data import ref as named
from dr.report.run_text import cut


def data(move: Move) -> bytes:
    """Return a forklift as JSON."""
    return encode({"schema": SCHEMA_VERSION, **content(move)})


def content(move: Move) -> Data:
    """Return what a forklift's report says, as plain values."""
    seen = move.recovery
    return {
        "title": seen.announced.title if seen else "",
        "verdict": move.verdict,
        "from": {"context": move.moving.old.context, "uid": move.moving.old.uid, "version": move.moving.old.version},
        "to": {"context": move.moving.new.context, "uid": move.moving.new.uid, "version": move.moving.new.version},
        "downtime": move.downtime,
        "error": move.error,
        "frozen": round(move.frozen, 6),
        "lost": move.lost,
        "stages": [
            {
                "stage": s.name,
                "began": s.began,
                "seconds": round(s.seconds, 6),
                "outcome": s.outcome,
                "cause": cut(s.cause),
                "tries": s.tries,
            }
            for s in move.stages
            if s.tries
        ],
        "findings": [
            {"check": c.check, "level": c.level, "subject": c.subject, "cause": cut(c.cause), "remedy": cut(c.remedy)}
            for c in move.checks
        ],
        "data": [
            {
                "name": c.data,
                "what": c.what,
                "began": c.began,
                "at": c.at,
                "before": dict(sorted(c.before.items())),
                "after": dict(sorted(c.after.items())),
                "same": c.same,
                "cause": cut(c.cause),
            }
            for c in move.carried
        ],
        "traffic": [
            {
                "weight": s.weight,
                "began": s.began,
                "at": s.at,
                "samples": s.samples,
                "share": s.share,
                "cause": cut(s.cause),
            }
            for s in move.steered
        ],
        "writes": [{"side": s.side, "at": s.at} for s in move.switched],
        "returned": [{"began": r.began, "at": r.at, "cause": cut(r.cause), "left": cut(r.left)} for r in move.returned],
        "compared": move.compared,
        "parity": [
            {
                "object": named(p.ref),
                "path": p.path,
                "from": cut(p.old),
                "to": cut(p.new),
                "drifted": p.drifted,
                "allowed": p.allowed,
            }
            for p in move.parity
        ],
        "drained": [{"object": named(d.ref), "replicas": d.replicas, "at": d.at} for d in move.drained],
        "releases": [
            {
                "unit": c.unit,
                "artifact": c.artifact,
                "commit": c.commit,
                "time": c.time,
                "author": c.author,
                "subject": cut(c.subject),
                "trailers": [{"key": key, "value": cut(value)} for key, value in c.trailers],
            }
            for c in move.came_back
        ],
        "confirmed": [{"step": c.step, "by": c.by, "at": c.at, "note": cut(c.note)} for c in move.confirmed],
    }
