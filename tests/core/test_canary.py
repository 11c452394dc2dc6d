"""What users wrote during a move and is gone is counted, whenever it went; and a canary that was killed still knows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dr.core.canary import Kept, gone, known
from dr.core.events import Announced, AnyEvent, Ended, Injected, Objective, PlannedProbe, Probed, Survived
from dr.core.recovery import recovery

WRITES = PlannedProbe("writes", "canary", "n", 0.5, 2.0, canary=True)


class Store:
    """A store of whole numbers as a canary sees it: the newest. `real` is what was acknowledged and is not there."""

    def __init__(self) -> None:
        self.rows: set[int] = set()
        self.acknowledged: list[int] = []
        self.writes: list[Probed] = []
        self._tried = 0

    def write(self) -> None:
        found = max(self.rows, default=0)
        self._tried = max(self._tried, found) + 1
        last = self.acknowledged[-1] if self.acknowledged else None
        surprise = None if last in (None, found) else found
        self.rows.add(self._tried)
        self.acknowledged.append(self._tried)
        at = float(len(self.writes))
        self.writes.append(Probed(at, 0, True, at, number=self._tried, found=surprise))

    @property
    def real(self) -> tuple[int, ...]:
        return tuple(n for n in self.acknowledged if n not in self.rows)

    @property
    def told(self) -> tuple[int, ...]:
        return gone(self.writes, max(self.rows, default=0))[0]


@given(st.lists(st.one_of(st.just("write"), st.just("keep"), st.just("back"), st.integers(0, 12)), max_size=25))
def test_exactly_what_is_gone_is_counted_however_often_data_is_lost_and_comes_back(acts: list[str | int]) -> None:
    store, kept = Store(), [set[int]()]
    for act in acts:
        match act:
            case "write":
                store.write()
            case "keep":  # the old side stays as it is from here on
                kept.append(set(store.rows))
            case "back":  # users are on it again
                store.rows = set(kept[-1])
            case int():  # the newest rows are lost
                store.rows = set(sorted(store.rows)[: max(0, len(store.rows) - act)])
                kept = [rows & store.rows for rows in kept]
        if store.writes:
            store.write()
    assert set(store.told) == set(store.real)


def moved(*events: AnyEvent) -> tuple[int | None, float | None, bool]:
    plan = Announced(
        0.0,
        title="t",
        scenario="forklift",
        recovery="forklift",
        probes=(WRITES,),
        objectives=(Objective("lost", "", 0.0),),
        consecutive=2,
        hold=1.0,
    )
    found = recovery([plan, *events, Ended(1000.0, outcome="passed")])
    assert found
    (loss,) = found.losses
    return loss.lost, loss.rpa, found.objectives[0].met


def writes(first: int, last: int, found: int | None = None) -> list[Probed]:
    told = [Probed(float(n), 0, True, n - 0.1, number=n) for n in range(first, last + 1)]
    return [Probed(float(first), 0, True, first - 0.1, number=first, found=found), *told[1:]]


def test_a_switch_that_loses_writes_is_no_kept_promise_though_traffic_began_to_move_before() -> None:
    begun = Injected(10.5, "users are moved", 10.4)
    assert moved(*writes(1, 30), begun, Survived(40, 0, 12, 12, 30)) == (18, 18.0, False)
    assert moved(*writes(1, 30), begun, Survived(40, 0, 12)) == (18, 18.0, False)
    assert moved(*writes(1, 30), begun, *writes(31, 45, 12), Survived(50, 0, 12, 45, 45)) == (18, 18.0, False)
    assert moved(*writes(1, 30), begun, *writes(31, 45), Survived(50, 0, 45, 45, 45)) == (0, 0.0, True)
    assert moved(*writes(1, 30), begun, Survived(40, 0, None, 0, 30)) == (30, None, False)


def test_what_was_written_after_the_last_look_is_not_lost() -> None:
    begun = Injected(10.5, "users are moved", 10.4)
    assert moved(*writes(1, 30), begun, Survived(30.5, 0, 30, 30, 30), *writes(31, 45)) == (0, 0.0, True)
    assert moved(*writes(1, 31), begun, Survived(31.5, 0, 30, 30, 30)) == (0, 0.0, True), "one was on its way"
    assert moved(*writes(1, 30), begun, Survived(30.5, 0, 30), *writes(31, 45)) == (0, 0.0, True)
    assert moved(*writes(1, 30), begun, Survived(30.5, 0, 12, 12, 30), *writes(31, 45, 12))[0] == 18


def test_what_is_back_with_the_old_cluster_was_not_lost_and_what_was_written_meanwhile_is() -> None:
    begun = Injected(10.5, "users are moved", 10.4)
    back = (*writes(31, 40, 12), *writes(41, 45, 30))
    assert moved(*writes(1, 30), begun, *back, Survived(50, 0, 30, 45, 45))[0] == 10


def test_a_canary_that_goes_on_knows_what_it_wrote_unless_that_was_taken_away() -> None:
    cut: list[AnyEvent] = [*writes(1, 30), Probed(31.0, 0, False, 30.9)]
    assert known(cut) == {0: Kept(30, 30)}
    assert known([*cut, Ended(32, outcome="interrupted")]) == {0: Kept(30, 30)}
    assert known([*cut, Ended(32, outcome="interrupted")], [0]) == {0: Kept(None, 30)}
    assert known(cut, [0]) == {0: Kept(30, 30)}, "a process that is killed takes nothing away"
