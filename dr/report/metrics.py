"""A run as OpenMetrics text, to be scraped from a file or pushed.

Source: OpenMetrics 1.0, the text format: a unit ends its metric's name, and `# EOF` the text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime

from msgspec import Struct

from dr.core.history import Outcome, Row
from dr.core.recovery import Recovery

Samples = list[tuple[Mapping[str, str], float | None]]
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Family(Struct, frozen=True):
    """A metric: its name, what it says, its samples (labels beyond those of the run, and the value)."""

    name: str
    help: str
    samples: Samples


def metrics(row: Row, recovery: Recovery | None = None) -> bytes:
    """Return a run's figures as OpenMetrics, in seconds; what is not known has no sample. Any run will do."""
    labels = {
        "scenario": row.scenario,
        "kind": row.kind,
        "run": row.run,
        "repo": row.repo,
        "commit": row.commit[:12],
        "target": row.target,
    }
    lines = [line for family in _families(row, recovery) for line in lines_of(family, labels)]
    return ("\n".join([*lines, "# EOF"]) + "\n").encode()


def _families(row: Row, recovery: Recovery | None) -> Iterator[Family]:
    probes = {probe.probe.name: probe for probe in recovery.probes} if recovery else {}
    yield Family("dr_run_timestamp_seconds", "When the run began, Unix time.", [({}, unix(row.time))])
    yield Family("dr_run_met", "1 when the run's verdict is met.", [({}, float(row.verdict == "met"))])
    yield Family("dr_recovery_seconds", "From the fault to the recovery.", [({}, row.rta)])
    error = row.error if row.rta is not None else None
    yield Family("dr_recovery_error_seconds", "By how much the recovery may have been shorter.", [({}, error)])
    yield Family("dr_recovery_censored_seconds", "Given up after this time.", [({}, row.censored)])
    yield Family("dr_data_loss_seconds", "From the newest write that survived to the fault.", [({}, row.rpa)])
    lost = float(row.lost) if row.lost is not None else None
    yield Family("dr_lost_writes", "Acknowledged writes that are gone.", [({}, lost)])
    objectives = _objectives(row)
    promised: Samples = [(labels, outcome.seconds) for labels, outcome in objectives]
    yield Family("dr_objective_seconds", "What was promised.", promised)
    met: Samples = [(labels, float(outcome.met)) for labels, outcome in objectives]
    yield Family("dr_objective_met", "1 when the promise was kept.", met)
    parts: Samples = [({"part": name}, took) for name, took in row.parts.items()]
    yield Family("dr_part_seconds", "A part of the recovery, or a phase of the run.", parts)
    units: Samples = [({"unit": name}, took) for name, took in row.units.items()]
    yield Family("dr_unit_recovery_seconds", "From the fault, or the beginning, until a unit was ready.", units)
    down: Samples = [({"probe": name}, probe.downtime) for name, probe in probes.items()]
    yield Family("dr_probe_downtime_seconds", "How long a probe may have failed after the fault.", down)
    errors: Samples = [({"probe": n}, p.error if p.downtime is not None else None) for n, p in probes.items()]
    yield Family("dr_probe_downtime_error_seconds", "By how much the downtime may have been shorter.", errors)
    steady: Samples = [({"probe": n}, float(p.recovered is not None)) for n, p in probes.items()]
    yield Family("dr_probe_recovered", "1 when the probe passed to the end.", steady)


def _objectives(row: Row) -> list[tuple[Mapping[str, str], Outcome]]:
    """Return the objectives with their labels; where a tier and a unit share a name, the one that was missed."""
    gravest = {(o.kind, o.subject): o for o in sorted(row.objectives, key=lambda o: not o.met)}
    return [({"objective": kind, "subject": subject}, o) for (kind, subject), o in sorted(gravest.items())]


def unix(time: str) -> float | None:
    """Return Unix time of an ISO 8601 time, None of what is none."""
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return None


def lines_of(family: Family, labels: Mapping[str, str]) -> Iterator[str]:
    """Yield a metric's lines, its samples with `labels` too; nothing where there is no sample."""
    known = [(own, value) for own, value in family.samples if value is not None and math.isfinite(value)]
    if not known:
        return
    yield f"# TYPE {family.name} gauge"
    if family.name.endswith("_seconds"):
        yield f"# UNIT {family.name} seconds"
    yield f"# HELP {family.name} {family.help}"
    for own, value in known:
        pairs = ",".join(f'{name}="{text.translate(_ESCAPES)}"' for name, text in {**labels, **own}.items())
        yield f"{family.name}{{{pairs}}} {value!r}"
