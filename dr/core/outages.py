"""A probe's answers → the times in which it failed after the fault, and when it was steady again."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from dr.core.events import Announced, Injected, Mark, PlannedProbe, Probed


class Moment(Struct, frozen=True):
    """A mark: seconds since the run began, by how many seconds it may have been earlier, and who says so."""

    mark: Mark
    at: float
    error: float = 0.0
    by: str = ""


class Outage(Struct, frozen=True):
    """A time in which a probe failed: first failure answered, first pass after it answered (None: it never passed).

    It lasted at most from `earliest`, the last pass before it, to `ended`, and at least from `began` to `latest`, when
    the last failing question was asked. All in seconds of the run.
    """

    began: float
    earliest: float
    latest: float
    ended: float | None
    cause: str = ""


class ProbeTime(Struct, frozen=True):
    """A probe through the exercise: how often it was asked and failed, its outages after the fault, when it was steady.

    `recovered`: the answer that began its last unbroken row of passes; None when it did not pass often enough.
    """

    probe: PlannedProbe
    asked: int
    failed: int
    outages: tuple[Outage, ...]
    recovered: Moment | None

    @property
    def downtime(self) -> float | None:
        """Seconds in which it may have been down after the fault, at most; None while it still is."""
        if any(outage.ended is None for outage in self.outages):
            return None
        return sum((outage.ended or 0.0) - outage.earliest for outage in self.outages)

    @property
    def error(self) -> float:
        """By how many seconds the downtime may have been less."""
        return sum((o.ended or 0.0) - o.earliest - max(0.0, o.latest - o.began) for o in self.outages)


def probe_time(
    probe: PlannedProbe, samples: Sequence[Probed], fault: Injected | None, announced: Announced
) -> ProbeTime:
    """Return a probe's outages since the fault was asked for, and when it was steady again.

    A question that was asked before the fault can fail because of it, but it cannot show that anything recovered.
    """
    since = fault.began if fault else float("inf")
    outages: list[Outage] = []
    row: list[Probed] = []
    before = since
    latest = 0.0
    for sample in sorted(samples, key=lambda s: (s.began, s.at)):
        if sample.at < since:
            continue
        if not sample.passed:
            if not outages or outages[-1].ended is not None:
                outages.append(Outage(sample.at, max(since, before), sample.began, None, sample.cause))
            latest, row = sample.began, []
        elif sample.began >= since:
            if outages and outages[-1].ended is None:
                open_ = outages[-1]
                outages[-1] = Outage(open_.began, open_.earliest, latest, sample.at, open_.cause)
            before, row = sample.began, [*row, sample]
    recovered = None
    if len(row) >= announced.consecutive and row[-1].at - row[0].at >= announced.hold:
        first = row[0]
        error = first.at - max(latest, since) if outages else first.at - since
        recovered = Moment(Mark.RECOVERED, first.at, error, probe.name)
    failed = sum(1 for sample in samples if not sample.passed and sample.at >= since)
    return ProbeTime(probe, len(samples), failed, tuple(outages), recovered)
