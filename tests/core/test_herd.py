"""A herd's rules: who is in which wave, what a budget leaves, what pods say, and what those in trouble share."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.core.gameday import hook
from dr.core.herd import SPENDS, Herd, Herded, Member, Result, allowed
from dr.core.herd_findings import findings
from dr.core.herd_manifest import bodies
from dr.core.herding import ENOUGH, Board, Cluster, Limits, Plan, Round, Seen, exit_code, planned, short
from dr.core.jobs import INDEX, RUN, WORKER, job_body, named, of_job, of_pod, over, waiting
from dr.core.model import Body, Ref
from dr.engine.herd import Jobs, lead
from dr.engine.ports import Change

ENDS = ("met", "missed", "failed")


def herd(**more: Any) -> Herd:
    body = {
        "title": "t",
        "name": "n",
        "clusters": {"list": [{"name": "a", "context": "a", "lock": "x"}]},
        "scenarios": [{"name": "pod-kill", "command": ["true"]}],
        **more,
    }
    return msgspec.convert(body, Herd, dec_hook=hook)


def plan(names: list[str], **more: Any) -> Plan:
    found, wrong = planned(herd(**more), [Cluster(name, "there", lock="x") for name in names], "run", "now")
    assert not wrong, wrong
    return found


class Pretended:
    """Ends members as `ends` says, so many at once, and stops where a limit is spent, as Jobs do."""

    def __init__(self, ends: dict[str, str], dice: random.Random, board: Board) -> None:
        self.ends = ends
        self.tried: list[str] = []
        self.taken: set[int] = set()
        self._dice = dice
        self._board = board

    async def begun(self, found: Round) -> bool:
        return found.number in self.taken

    async def run(self, found: Round, limits: Limits) -> AsyncIterator[Seen]:
        left, running, lost = list(range(len(found.members))), list[int](), 0
        while (left or running) and lost <= limits.failures:
            while left and len(running) < limits.parallel:
                index = left.pop(0)
                running.append(index)
                self.tried.append(self._board.members[found.members[index]].cluster)
                yield Seen(index, "running", 1)
            index = running.pop(self._dice.randrange(len(running)))
            state = self.ends[self._board.members[found.members[index]].cluster]
            lost += state in SPENDS
            yield Seen(index, state, 1, Result(state, 1.0))


@given(
    ends=st.lists(st.sampled_from(ENDS), min_size=1, max_size=30),
    canaries=st.integers(0, 5),
    budget=st.integers(0, 10),
    parallel=st.integers(1, 7),
    scenarios=st.integers(1, 2),
    seed=st.integers(0, 1000),
)
def test_canaries_come_first_nobody_is_forgotten_and_a_spent_budget_stops_the_rest(
    ends: list[str], canaries: int, budget: int, parallel: int, scenarios: int, seed: int
) -> None:
    names = [f"c{i:02}" for i in range(len(ends))]
    first = names[:canaries]
    waves = [{"clusters": first, "budget": 0}] if first else []
    waves += [{"max_parallel": parallel}] if names[canaries:] else []
    made = plan(
        names, waves=waves, budget=budget, scenarios=[{"name": f"s{i}", "command": ["x"]} for i in range(scenarios)]
    )
    board = Board(made)
    runner = Pretended(dict(zip(names, ends, strict=True)), random.Random(seed), board)
    kept: list[Member | None] = []

    async def keep(member: Member | None) -> None:
        kept.append(member)

    asyncio.run(lead(board, runner, keep))
    herded = board.herded()
    assert len(herded.members) == len(names) * scenarios
    assert {m.state for m in herded.members} <= {*ENDS, "skipped"}
    assert herded.spent == sum(m.state in SPENDS for m in herded.members)
    # One more than the budget may be known to be lost before the rest is stopped.
    assert herded.spent <= budget + 1
    canary_lost = any(m.state in SPENDS and m.cluster in first for m in herded.members)
    assert (herded.verdict == "stopped") == any(m.state == "skipped" for m in herded.members)
    assert (herded.verdict == "met") == (herded.spent == 0)
    if first:
        others = [name for name in runner.tried if name not in first]
        assert not (canary_lost and others)
        assert runner.tried[: len(first)] == first or canary_lost
    assert (exit_code(herded) == 0) == (herded.verdict == "met")


@pytest.mark.parametrize(
    ("ended", "taken", "waited"),
    [(0, (), [60.0, 3600.0]), (1, (), [60.0, 3600.0]), (2, (), [3600.0]), (2, (2,), []), (3, (), [])],
    ids=["from the first on", "stopped in the pause", "stopped in the second one", "the last wave runs", "all ended"],
)
def test_whoever_goes_on_with_a_herd_waits_only_before_what_nobody_has_begun(
    monkeypatch: pytest.MonkeyPatch, ended: int, taken: tuple[int, ...], waited: list[float]
) -> None:
    names = ["a", "b", "c"]
    made = plan(names, waves=[{"clusters": ["a"], "pause": 60}, {"clusters": ["b"], "pause": "1h"}, {"pause": "2h"}])
    board = Board(made)
    for found in made.rounds[:ended]:
        board.see(found, Seen(0, "met", 1, Result("met", 1.0)))
    runner = Pretended(dict.fromkeys(names, "met"), random.Random(0), board)
    runner.taken = set(taken)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def keep(_: Member | None) -> None: ...

    monkeypatch.setattr("dr.engine.herd.asyncio.sleep", sleep)
    asyncio.run(lead(board, runner, keep))
    assert slept == waited
    assert board.verdict == "met"


def test_an_end_is_never_taken_back_and_what_was_kept_is_not_run_again() -> None:
    made = plan(["a", "b"])
    board = Board(made)
    found = made.rounds[0]
    assert board.see(found, Seen(0, "met", 1, Result("met", 2.0)))
    assert board.see(found, Seen(0, "failed", 2)) is None
    again = Board(made, board.herded())
    assert [m.state for m in again.members] == ["met", "waiting"]
    assert not again.ended(found)


def test_a_failure_without_a_word_says_that_it_is_one() -> None:
    made = plan(["a"])
    board = Board(made)
    member = board.see(made.rounds[0], Seen(0, "failed", 1))
    assert member
    assert "without a result" in member.cause


@pytest.mark.parametrize(
    ("clusters", "waves", "said"),
    [
        ([], [{}], "no cluster was found"),
        ([Cluster("a", "a")], [{}], "a has no lock"),
        ([Cluster("a", "a", lock="x")] * 2, [{}], "a is there more than once"),
        ([Cluster("a", "a", lock="x")], [{"clusters": ["b"]}], "a is in no wave"),
        ([Cluster("a", "a", lock="x")], [{}, {"clusters": ["b"]}], "wave 2 has no cluster"),
    ],
    ids=["none", "no lock", "twice", "in no wave", "empty wave"],
)
def test_a_herd_that_is_not_what_it_says_does_not_begin(
    clusters: list[Cluster], waves: list[dict[str, Any]], said: str
) -> None:
    _, wrong = planned(herd(waves=waves), clusters, "run", "now")
    assert any(said in cause for cause in wrong), wrong


def test_more_clusters_than_one_job_carries_become_several_rounds_and_each_is_in_one() -> None:
    made = plan([f"c{i:05}" for i in range(2500)])
    assert [len(r.members) for r in made.rounds] == [1000, 1000, 500]
    assert sorted(i for r in made.rounds for i in r.members) == list(range(2500))


@pytest.mark.parametrize(("budget", "members", "said"), [(3, 10, 3), ("10%", 25, 2), ("0%", 9, 0), ("100%", 4, 4)])
def test_a_budget_is_a_number_or_a_share(budget: int | str, members: int, said: int) -> None:
    assert allowed(budget, members) == said


def pod(phase: str, code: int | None = None, message: str = "", tried: int = 0, more: Body | None = None) -> Body:
    ended = {"terminated": {"exitCode": code, "message": message}} if code is not None else {}
    return {
        "metadata": {"annotations": {INDEX: "0", "batch.kubernetes.io/job-index-failure-count": str(tried)}},
        "status": {"phase": phase, "containerStatuses": [{"name": WORKER, "state": ended}], **(more or {})},
    }


DISRUPTED: Body = {"conditions": [{"type": "DisruptionTarget", "status": "True"}]}
LEFT = '{"state": "met", "rta": 2.5}'


@pytest.mark.parametrize(
    ("body", "state"),
    [
        (pod("Pending"), None),
        (pod("Running"), "running"),
        (pod("Succeeded", code=0, message=LEFT), "met"),
        (pod("Succeeded"), "failed"),
        (pod("Failed", code=1, message='{"state": "missed", "rta": 99}'), "missed"),
        (pod("Failed", code=2), "failed"),
        (pod("Failed", code=3), "running"),
        (pod("Failed", code=3, tried=1), "failed"),
        (pod("Failed", code=137, tried=1, more=DISRUPTED), "running"),
        (pod("Failed", code=3, message="{half", tried=1), "failed"),
        ({"metadata": {}, "status": {"phase": "Running"}}, None),
    ],
    ids=[
        "not begun",
        "runs",
        "met",
        "nobody ran it",
        "missed",
        "wrong input is not tried again",
        "tried again",
        "given up",
        "a disruption is no attempt",
        "half a result",
        "another's pod",
    ],
)
def test_what_a_pod_says_is_what_became_of_its_index(body: Body, state: str | None) -> None:
    seen = of_pod(body, attempts=2)
    assert (seen.state if seen else None) == state


class Management:
    """A management cluster of one round: its pods and its Job, as they are when somebody looks."""

    def __init__(self, job: Body, *pods: Body) -> None:
        self._job, self._pods = job, pods

    async def create(self, _: Body) -> None: ...

    async def watch(self, _: str, kind: str, **__: str) -> AsyncIterator[Change]:
        for body in self._pods if kind == "Pod" else (self._job,):
            yield Change({**body, "kind": kind}, gone=False)

    async def list(self, *_: str, **__: str) -> tuple[Body, ...]:
        return self._pods

    async def get(self, _: Ref) -> Body:
        return self._job


def test_who_is_stopped_because_enough_were_met_has_not_failed_its_only_attempt() -> None:
    made = plan(["a", "b"], kubernetes=HOME, attempts=1, waves=[{"enough": 1}])
    home = made.herd.kubernetes
    assert home
    stopped = pod("Failed", code=143)
    stopped["metadata"] |= {"deletionTimestamp": "2026-11-23T12:00:00Z"}
    stopped["metadata"]["annotations"][INDEX] = "1"
    complete = {"conditions": [{"type": "Complete", "status": "True"}], "completedIndexes": "0"}
    job = {"metadata": {"name": named(made, made.rounds[0])}, "status": complete}
    management: Any = Management(job, pod("Succeeded", code=0, message=LEFT), stopped)
    board = Board(made)

    async def keep(_: Member | None) -> None: ...

    asyncio.run(lead(board, Jobs(made, management, home, {}, print), keep))
    assert [(m.state, m.cause) for m in board.members] == [("met", ""), ("skipped", ENOUGH)]
    assert (board.verdict, board.spent) == ("met", 0)


def test_a_job_that_ended_says_what_no_pod_says_any_more() -> None:
    status = {
        "completedIndexes": "0,2-3",
        "failedIndexes": "1",
        "conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "too long"}],
    }
    job = {"status": status}
    assert over(job)
    seen = list(of_job(job, 6))
    assert [(s.index, s.state) for s in seen[:4]] == [(0, "met"), (2, "met"), (3, "met"), (1, "failed")]
    assert {s.result.cause for s in seen[4:] if s.result} == {"the Job failed: too long"}
    meant = {
        "status": {**status, "conditions": [{"type": "Failed", "status": "True", "reason": "MaxFailedIndexesExceeded"}]}
    }
    assert len(list(of_job(meant, 6))) == 4


def test_why_a_pod_does_not_begin_is_told() -> None:
    image = {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]}
    assert waiting({"status": image}) == "ImagePullBackOff: no such image"
    full = {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]}
    assert waiting({"status": full}) == "not scheduled: 0/3 nodes are available"
    assert waiting({"status": {}}) == ""


HOME = {"namespace": "herds", "image": "dr:1"}


def test_a_round_is_an_indexed_job_with_its_budgets() -> None:
    made = plan([f"c{i}" for i in range(9)], kubernetes=HOME, attempts=3, waves=[{"max_parallel": 4, "enough": 5}])
    home = made.herd.kubernetes
    assert home
    spec = job_body(made, made.rounds[0], Limits(4, 2, 5), home, {})["spec"]
    assert (spec["completions"], spec["parallelism"], spec["backoffLimitPerIndex"], spec["maxFailedIndexes"]) == (
        9,
        4,
        2,
        2,
    )
    assert spec["successPolicy"] == {"rules": [{"succeededCount": 5}]}
    assert spec["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"] == [1, 2]


def test_workers_may_read_the_secrets_of_their_herd_and_nothing_else() -> None:
    clusters = [Cluster(name, secret=f"{home}/{name}", lock="x") for name, home in (("a", "fleet"), ("b", "other"))]
    made, wrong = planned(herd(kubernetes=HOME), clusters, "run", "now")
    assert not wrong
    home = made.herd.kubernetes
    assert home
    found = bodies(made, home, {})
    roles = {(b["metadata"]["name"], b["metadata"]["namespace"]): b["rules"] for b in found if b["kind"] == "Role"}
    own = short("run", "n")
    assert roles[own, "fleet"] == [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["a"]}
    ]
    assert roles[own, "other"][0]["resourceNames"] == ["b"]
    led = {(r["resources"][0], verb) for r in roles[f"{own}-leader", "herds"] for verb in r["verbs"]}
    assert not any(resource == "secrets" for resource, _ in led)


def test_a_second_herd_of_the_namespace_takes_no_rights_of_the_first_and_each_goes_by_its_label() -> None:
    clusters = [Cluster(name, secret=f"{home}/{name}", lock="x") for name, home in (("a", "herds"), ("b", "other"))]
    made, _ = planned(herd(kubernetes=HOME), clusters, "one run", "now")
    home = made.herd.kubernetes
    assert home
    one, other = (bodies(p, home, {}) for p in (made, msgspec.structs.replace(made, run="another run")))
    names = [{(b["kind"], b["metadata"]["namespace"], b["metadata"]["name"]) for b in found} for found in (one, other)]
    assert names[0] & names[1] == {("ServiceAccount", "herds", home.service_account)}
    bound = {b["metadata"]["name"]: (b["roleRef"]["name"], b["subjects"][0]["name"]) for b in one if "roleRef" in b}
    own = short("one run", "n")
    assert bound == {own: (own, home.service_account), f"{own}-leader": (f"{own}-leader", f"{own}-leader")}
    job = one[-1]["spec"]["template"]["spec"]
    assert job["serviceAccountName"] == f"{own}-leader"
    unlabelled = [b["metadata"]["name"] for b in one if b["metadata"].get("labels", {}).get(RUN) != own]
    assert unlabelled == [home.service_account]


def member(name: str, state: str, rta: float | None, region: str, cause: str = "") -> Member:
    return Member(
        cluster=name, scenario="s", wave=0, state=state, rta=rta, cause=cause, labels={"region": region, "all": "yes"}
    )


def told(members: list[Member]) -> Herded:
    return Herded(herd="n", run="r", time="", title="t", waves=((),), budget=1, members=tuple(members))


def test_clusters_far_off_and_lost_ones_are_told_with_the_label_that_they_share() -> None:
    fine = [member(f"c{i}", "met", 2.0 + i / 10, "eu") for i in range(12)]
    slow = [member(f"s{i}", "met", 60.0, "us") for i in range(2)]
    lost = [member(f"l{i}", "missed", None, "us", "RTO 60 s") for i in range(2)]
    found = findings(told([*fine, *slow, *lost]))
    assert [o.cluster for o in found.spreads[0].outliers] == ["s0", "s1"]
    assert [(c.label, c.inside, c.odd, c.outside) for c in found.common] == [("region=us", 4, 4, 0)]
    assert found.common[0].p == pytest.approx(1 / 1820)  # 16 over 4
    assert found.causes == (("RTO 60 s", ("l0", "l1")),)


def test_chance_is_not_called_a_common_cause() -> None:
    members = [member(f"c{i}", "missed" if i == 0 else "met", 2.0, "eu" if i % 2 else "us") for i in range(8)]
    assert findings(told(members)).common == ()


@given(st.lists(st.floats(0.1, 1000), min_size=0, max_size=40), st.randoms())
def test_what_is_found_does_not_depend_on_the_order_of_clusters(times: list[float], dice: random.Random) -> None:
    members = [
        member(f"c{i}", "met" if t < 500 else "missed", t, "eu" if t < 500 else "us") for i, t in enumerate(times)
    ]
    one = findings(told(members))
    dice.shuffle(members)
    other = findings(told(members))
    assert one.spreads == other.spreads
    assert one.common == other.common
