"""Answers `dr verify`: a cluster held against git, changing nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from dr.adapters.kube import Access, Kube
from dr.adapters.store import SystemClock
from dr.app.answer import Answer
from dr.app.places import target
from dr.app.reading import load
from dr.app.restores import Options, assignment_of
from dr.core.events import Event
from dr.core.rules.findings import INCOMPLETE
from dr.engine.patient import patient
from dr.engine.recorder import Recorder
from dr.engine.run import agrees
from dr.engine.verify import summary, verify
from dr.report import console, data
from dr.report.console import line, many

_SHOWN = 30


class _Nowhere:
    """A log that keeps nothing: for `dr verify`, which changes nothing."""

    def append(self, event: Event) -> None:
        """Forget an event."""


def verified(
    repos: Sequence[str], to: str, form: str, options: Options, reading: Mapping[str, Any], *, detail: bool
) -> Answer:
    """Answer `dr verify`: what of git is missing, different or unhealthy in a cluster, and what is extra."""
    access: Access = target(to)
    loaded = load(repos, **reading)
    assignment = assignment_of(loaded, options)

    async def work() -> Answer:
        async with Kube(access) as cluster:
            found = await patient(cluster).identity()
            recorder = Recorder(_Nowhere(), SystemClock())
            compared, differences = await verify(cluster, assignment, loaded.graph, recorder, loaded.config.readiness)
        counts = summary(differences)
        unread = [d for d in loaded.graph.diagnostics if d.code in INCOMPLETE]
        code = 0 if agrees(compared, differences, unread) else 1
        if form == "json":
            content = {
                "schema": 1,
                "target": found,
                "compared": compared,
                "counts": counts,
                "differences": differences,
                "unread": [{"where": str(d.where), "code": d.code, "cause": d.cause} for d in unread],
            }
            return Answer(content=data.encode(content), exit_code=code)
        parts = [f"{count} {what}" for what, count in counts.items() if count]
        said = ", ".join(parts) or "all there, as git says, healthy"
        said += f"; but {many(len(unread), 'part')} of git could not be read" if unread else ""
        shown = [
            line(
                (f"{many(compared, 'object')} of {console.pins(loaded.graph.pins)}", "bold"),
                f" in {found.context}: {said}",
            )
        ]
        shown += [line((f"{'unread':9} ", "red"), f"{d.where}: {d.code}: {d.cause}") for d in unread]
        limit = None if detail else _SHOWN
        for d in differences[:limit]:
            more = f" {d.path}: {d.found} instead of {d.wanted}" if d.what == "different" else f" {d.found}"
            shown.append(line((f"{d.what:9} ", "yellow" if d.what == "extra" else "red"), f"{d.ref}{more}".rstrip()))
        if limit and len(differences) > limit:
            shown.append(line(f"… {len(differences) - limit} more with --detail"))
        return Answer(tuple(shown), exit_code=code)

    return asyncio.run(work())
