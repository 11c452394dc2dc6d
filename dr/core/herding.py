"""Clusters × scenarios → members in rounds; what is seen of them → how the herd stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from hashlib import sha256

from msgspec import Struct
from msgspec.structs import replace

from dr.core.herd import SPENDS, Herd, Herded, Member, Result, Wave, allowed

# Indexes of one Job: what its status, its sheet and an API server's answer carry without effort.
LARGEST = 1000
STOPPED = "stopped: the budget was spent"
SKIPPED = "not tried: the budget was spent"
ENOUGH = "not needed: enough were met"
SILENT = "its pod or process ended without a result"


class Cluster(Struct, frozen=True):
    """A cluster of the herd. Its credentials: a `context` of this machine, or a `secret` (namespace/name) and `key`.

    `form`: what stands there, a kubeconfig or Argo CD's JSON (argo).
    """

    name: str
    context: str = ""
    secret: str = ""
    key: str = ""
    form: str = "kubeconfig"
    lock: str = ""
    labels: dict[str, str] = {}


class Round(Struct, frozen=True):
    """What runs as one Job: one scenario on clusters of one wave. `members` are indexes into `Herded.members`.

    At most LARGEST; never two scenarios at once on one cluster.
    """

    number: int
    wave: int
    scenario: str
    members: tuple[int, ...]


class Limits(Struct, frozen=True):
    """What a round may do: members at once, so many misses and failures, and how many met are enough (0: all)."""

    parallel: int
    failures: int
    enough: int = 0


class Seen(Struct, frozen=True):
    """What was seen of a round's member (`index` in the round): its state, attempts so far, and its result if any."""

    index: int
    state: str
    attempts: int
    result: Result | None = None


class Plan(Struct, frozen=True):
    """A herd with its clusters known: what is run, in this order. It is kept as it is until the run has ended.

    `files`: what gamedays need, by path relative to the herd file.
    """

    run: str
    time: str
    herd: Herd
    clusters: tuple[Cluster, ...]
    members: tuple[Member, ...]
    rounds: tuple[Round, ...]
    files: dict[str, str] = {}

    @property
    def budget(self) -> int:
        """How many members may miss or fail."""
        return allowed(self.herd.budget, len(self.members))


def planned(herd: Herd, clusters: Sequence[Cluster], run: str, time: str) -> tuple[Plan, tuple[str, ...]]:
    """Return what is to be run, and what forbids it: clusters twice, without a lock, or in no wave."""
    known = sorted(clusters, key=lambda c: c.name)
    waves = [next((w for w, wave in enumerate(herd.waves) if _takes(wave, c)), -1) for c in known]
    members: list[Member] = []
    rounds: list[Round] = []
    for number in range(len(herd.waves)):
        own = [cluster for cluster, wave in zip(known, waves, strict=True) if wave == number]
        for scenario in herd.scenarios:
            for start in range(0, len(own), LARGEST):
                some = own[start : start + LARGEST]
                first = len(members)
                members += [Member(cluster=c.name, scenario=scenario.name, wave=number, labels=c.labels) for c in some]
                indexes = tuple(range(first, len(members)))
                rounds.append(Round(len(rounds), number, scenario.name, indexes))
    plan = Plan(run, time, herd, tuple(known), tuple(members), tuple(rounds))
    return plan, tuple(_wrong(plan, known, waves))


def _takes(wave: Wave, cluster: Cluster) -> bool:
    by_name = any(fnmatchcase(cluster.name, pattern) for pattern in wave.clusters)
    by_label = bool(wave.labels) and wave.labels.items() <= cluster.labels.items()
    return by_name or by_label or not (wave.clusters or wave.labels)


def _wrong(plan: Plan, known: Sequence[Cluster], waves: Sequence[int]) -> Iterator[str]:
    names = [cluster.name for cluster in known]
    if not known:
        yield "no cluster was found: a herd of none proves nothing"
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{name} is there more than once"
    for cluster, wave in zip(known, waves, strict=True):
        if not cluster.lock:
            yield f"{cluster.name} has no lock: `dr lock` prints it, the file or the annotation dr.dev/lock names it"
        if wave < 0:
            yield f"{cluster.name} is in no wave: end with one that names neither `clusters` nor `labels`"
    for number, empty in enumerate(plan.herd.waves):
        if known and number not in waves:
            yield f"wave {empty.name or number + 1} has no cluster"


def short(run: str, herd: str) -> str:
    """Return the beginning of the names of a run's objects: the same for the same run, unlike that of any other."""
    return f"herd-{herd}-{sha256(run.encode()).hexdigest()[:8]}"


def torn(plan: Plan, begun: Herded | None) -> Iterator[str]:
    """Yield why a plan, or what was kept beside it, can be no herd that `planned` made: somebody has changed it."""
    herd = plan.herd
    clusters, scenarios = ({one.name for one in some} for some in (plan.clusters, herd.scenarios))
    turns = [index for found in plan.rounds for index in found.members]
    waves = range(len(herd.waves))
    if sorted(turns) != list(range(len(plan.members))):
        yield "its rounds are not those of its members"
    if not all(m.cluster in clusters and m.scenario in scenarios and m.wave in waves for m in plan.members):
        yield "a member has no cluster, scenario or wave"
    if [found.number for found in plan.rounds] != list(range(len(plan.rounds))):
        yield "its rounds are not counted through"
    if not all(found.members and found.scenario in scenarios and found.wave in waves for found in plan.rounds):
        yield "a round has no members, scenario or wave"
    if begun and [_who(m) for m in begun.members] != [_who(m) for m in plan.members]:
        yield "what came of it is that of other members"


def _who(member: Member) -> tuple[str, str, int]:
    return member.cluster, member.scenario, member.wave


class Board:
    """How the members stand, while they run. `begun` is what an earlier coordinator has kept, None at first."""

    def __init__(self, plan: Plan, begun: Herded | None = None) -> None:
        self.plan = plan
        self.members = list(begun.members if begun else plan.members)
        self.verdict = "running"

    @property
    def spent(self) -> int:
        """How many have missed or failed."""
        return sum(1 for member in self.members if member.state in SPENDS)

    def ended(self, found: Round) -> bool:
        """Return whether every member of a round has come to an end."""
        return all(self.members[i].state not in ("waiting", "running") for i in found.members)

    def pause(self, number: int) -> float:
        """Return for how many seconds to wait before a round (by its index): where a wave begins, the last one's."""
        wave, before = (self.plan.rounds[n].wave for n in (number, max(0, number - 1)))
        return self.plan.herd.waves[before].pause if wave != before else 0.0

    def limits(self, found: Round) -> Limits:
        """Return what a round may do, with what the budgets leave."""
        wave = self.plan.herd.waves[found.wave]
        own = [member for member in self.members if member.wave == found.wave]
        others = [i for i, member in enumerate(self.members) if member.state in SPENDS and i not in found.members]
        left = self.plan.budget - len(others)
        if wave.budget is not None:
            earlier = sum(1 for i in others if self.members[i].wave == found.wave)
            left = min(left, allowed(wave.budget, len(own)) - earlier)
        enough = min(wave.enough, len(found.members))
        return Limits(min(wave.max_parallel, len(found.members)), left, enough)

    def over(self, found: Round) -> bool:
        """Return whether a budget is spent after this round: the herd's, or its wave's own."""
        wave = self.plan.herd.waves[found.wave]
        own = [member for member in self.members if member.wave == found.wave]
        lost = sum(1 for member in own if member.state in SPENDS)
        return self.spent > self.plan.budget or (wave.budget is not None and lost > allowed(wave.budget, len(own)))

    def see(self, found: Round, seen: Seen) -> Member | None:
        """Take in what was seen of a member; return it where that is new. An end is never taken back."""
        number = found.members[seen.index]
        old = self.members[number]
        if old.state not in ("waiting", "running"):
            return None
        result = seen.result or Result(seen.state)
        if seen.state in SPENDS and not result.cause and result.rta is None:
            result = replace(result, cause=SILENT)
        figures = {name: getattr(result, name) for name in ("rta", "error", "censored", "run", "cause")}
        new = replace(old, state=seen.state, attempts=max(old.attempts, seen.attempts), **figures)
        self.members[number] = new
        return None if new == old else new

    def close(self, found: Round) -> None:
        """Give each member of a round that has ended its end: a begun one was stopped, the others never began."""
        met = sum(1 for i in found.members if self.members[i].state == "met")
        enough = self.limits(found).enough
        satisfied = bool(enough) and met >= enough
        for i in found.members:
            member = self.members[i]
            if member.state == "running":
                self.members[i] = replace(member, state="skipped", cause=ENOUGH if satisfied else STOPPED)
            elif member.state == "waiting":
                self.members[i] = replace(member, state="skipped", cause=ENOUGH if satisfied else SKIPPED)

    def skip(self, rest: Sequence[Round]) -> None:
        """Leave out what has not begun: the budget is spent."""
        for found in rest:
            for i in found.members:
                if self.members[i].state == "waiting":
                    self.members[i] = replace(self.members[i], state="skipped", cause=SKIPPED)

    def judge(self) -> None:
        """Give the verdict of what has come to its end."""
        skipped = any(member.cause in (SKIPPED, STOPPED) for member in self.members)
        self.verdict = "stopped" if skipped else "missed" if self.spent else "met"

    def herded(self) -> Herded:
        """Return how the herd stands."""
        plan = self.plan
        waves: Mapping[int, dict[str, None]] = {number: {} for number in range(len(plan.herd.waves))}
        for member in self.members:
            waves[member.wave][member.cluster] = None
        return Herded(
            herd=plan.herd.name,
            run=plan.run,
            time=plan.time,
            title=plan.herd.title,
            waves=tuple(tuple(names) for names in waves.values()),
            budget=plan.budget,
            spent=self.spent,
            verdict=self.verdict,
            members=tuple(self.members),
            commands=tuple(s.name for s in plan.herd.scenarios if s.command),
        )


def exit_code(herded: Herded) -> int:
    """Return how `dr herd` ends: 0 met, 1 an objective was missed, 3 only tools or infrastructure failed, 130."""
    if herded.verdict in ("met", "running"):
        return 0
    if herded.verdict == "interrupted":
        return 130
    return 1 if any(member.state == "missed" for member in herded.members) else 3
