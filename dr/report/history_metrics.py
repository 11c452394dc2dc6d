"""The history as metrics: the last run of each scenario on each target, and which scenario is stale.

Every metric is a gauge, so that the text is read alike as OpenMetrics and as Prometheus' older text format, which the
textfile collector of the node exporter takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dr.core.herd import STATES, Herded
from dr.core.history import Group, Row
from dr.report.metrics import Family, Samples, lines_of, unix


def history_metrics(
    latest: Sequence[Row],
    groups: Sequence[Group],
    limits: Mapping[str, float],
    undelivered: int = 0,
    herds: Sequence[Herded] = (),
) -> bytes:
    """Return the metrics of a history.

    latest: the newest run of each scenario on each target. groups: how many there were, and which was met last.
    limits: after how many seconds without a met run a scenario is stale. undelivered: notices that nobody got.
    herds: the newest run of each herd.
    """
    families = (*_families(latest, groups, limits, undelivered), *_of_herds(herds))
    lines = [line for family in families for line in lines_of(family, {})]
    return ("\n".join([*lines, "# EOF"]) + "\n").encode()


def _families(
    latest: Sequence[Row], groups: Sequence[Group], limits: Mapping[str, float], undelivered: int
) -> Iterator[Family]:
    runs = [({"scenario": row.scenario, "target": row.target}, row) for row in latest]
    times: Samples = [(labels, unix(row.time)) for labels, row in runs]
    yield Family("dr_last_run_timestamp_seconds", "When the last run began, Unix time.", times)
    met: Samples = [(labels, float(row.verdict == "met")) for labels, row in runs]
    yield Family("dr_last_run_met", "1 when the last run's verdict is met.", met)
    took: Samples = [(labels, row.rta) for labels, row in runs]
    yield Family("dr_last_recovery_seconds", "From the fault to the recovery, in the last run.", took)
    promised: Samples = [
        ({**labels, "objective": kind}, seconds)
        for labels, row in runs
        for kind, seconds in {o.kind: o.seconds for o in row.objectives if not o.subject}.items()
    ]
    yield Family("dr_last_objective_seconds", "What was promised of the whole, in the last run.", promised)
    lost: Samples = [(labels, None if row.lost is None else float(row.lost)) for labels, row in runs]
    yield Family("dr_last_lost_writes", "Acknowledged writes that are gone, in the last run.", lost)
    count: Samples = [({"scenario": g.scenario, "target": g.target}, float(g.runs)) for g in groups]
    yield Family("dr_runs", "How many runs the history holds.", count)
    good = dict.fromkeys(limits, 0.0) | {g.scenario: 0.0 for g in groups}
    for group in groups:
        good[group.scenario] = max(good[group.scenario], unix(group.met) or 0.0)
    newest: Samples = [({"scenario": scenario}, at) for scenario, at in sorted(good.items())]
    yield Family("dr_scenario_met_timestamp_seconds", "When the last run that was met began; 0: never.", newest)
    until: Samples = [({"scenario": scenario}, limit) for scenario, limit in sorted(limits.items())]
    yield Family("dr_scenario_stale_after_seconds", "After how long without a met run it is stale.", until)
    yield Family("dr_undelivered_notices", "Notices that did not come through.", [({}, float(undelivered))])


def _of_herds(herds: Sequence[Herded]) -> Iterator[Family]:
    budget: Samples = [({"herd": h.herd}, float(h.budget)) for h in herds]
    yield Family("dr_herd_budget", "How many members may miss or fail.", budget)
    spent: Samples = [({"herd": h.herd}, float(h.spent)) for h in herds]
    yield Family("dr_herd_spent", "How many members missed or failed.", spent)
    stopped: Samples = [({"herd": h.herd}, float(h.verdict == "stopped")) for h in herds]
    yield Family("dr_herd_stopped", "1 when a budget was spent, the herd's or a wave's, and the rest stopped.", stopped)
    members: Samples = [
        ({"herd": h.herd, "state": state}, float(sum(m.state == state for m in h.members)))
        for h in herds
        for state in STATES
    ]
    yield Family("dr_herd_members", "How many members are in a state.", members)
