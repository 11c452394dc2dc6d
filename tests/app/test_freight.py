"""Data that moves with a restore: all of it, in its place, and none before it is known that it can."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dr.app.carrying import Freight
from dr.core.errors import UsageError
from dr.core.events import Carried
from dr.core.forklift import Cutover, Data, DataCommand, Forklift, Postgres, Traffic, TrafficHttp, Velero, Volume
from dr.core.gameday import RepoSource
from dr.core.model import Level, Ref
from dr.core.moving_data import unmovable
from dr.core.progress import progress
from dr.engine.recorder import Recorder
from tests.app.stage import Clock, Log

STORE = Ref("apps/v1", "StatefulSet", "shop", "db")


def moved(name: str, script: str = "true") -> Data:
    return Data(
        name, "StatefulSet/shop/db", command=DataCommand(("sh", "-c", script), ("echo", '{"rows": 1}'), ("true",))
    )


def freight(log: Log, tmp_path: Path, *data: Data) -> Freight:
    return Freight(data, {}, Recorder(log, Clock()), tmp_path, "run")


def test_two_stores_of_one_object_are_both_copied(tmp_path: Path) -> None:
    log = Log()
    gates = freight(log, tmp_path, moved("orders"), moved("bills")).gates([STORE])
    assert asyncio.run(gates.after[0]()) == ""  # type: ignore[arg-type]
    assert [e.data for e in log.events if isinstance(e, Carried)] == ["orders", "bills"]
    assert progress(log.events).copied == {"orders", "bills"}


def test_a_store_whose_copy_fails_is_named_and_does_not_count_as_copied(tmp_path: Path) -> None:
    log = Log()
    gates = freight(log, tmp_path, moved("orders"), moved("bills", "echo disk full >&2; exit 1")).gates([STORE])
    assert asyncio.run(gates.after[0]()) == "data bills: bills: `copy` of from failed: disk full"  # type: ignore[arg-type]
    assert progress(log.events).copied == {"orders"}


def test_a_variable_that_is_missing_is_said_before_the_restore_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_URL", raising=False)
    spare = freight(Log(), tmp_path, Data("db", "StatefulSet/shop/db", postgres=Postgres("NO_SUCH_URL", "NO_SUCH_URL")))
    with pytest.raises(UsageError, match="NO_SUCH_URL is not set"):
        spare.gates([STORE])
    (row,) = asyncio.run(spare.check())
    assert (row.level, "NO_SUCH_URL is not set" in row.cause) == (Level.ERROR, True)


def test_what_would_go_wrong_with_each_store_is_said_by_its_name(tmp_path: Path) -> None:
    wrong = moved("bills")
    assert wrong.command
    missing = Data("bills", wrong.of, command=DataCommand(("no-such-program",), ("true",)))
    rows = asyncio.run(freight(Log(), tmp_path, moved("orders"), missing).check())
    assert [(row.subject, row.cause) for row in rows] == [("bills", "bills: there is no program no-such-program")]


def test_a_file_that_would_lose_writes_is_refused_until_it_says_that_there_are_none() -> None:
    git = [STORE, Ref("v1", "PersistentVolumeClaim", "shop", "files"), Ref("v1", "Namespace", "", "shop")]

    def said(*data: Data, token: str = "", variables: tuple[str, ...] = ()) -> list[str]:
        hooks = (Traffic(http=TrafficHttp("https://balancer.example", token=token)),)
        move = Forklift("Move", (RepoSource("repo"),), data=data, cutover=Cutover(hooks))
        return [f"{row.level} {row.subject}: {row.cause}" for row in unmovable(move, git, variables)]

    def kept(*, read_only: bool) -> tuple[Data, Data]:
        volume = Volume("shop/files", "snaps", "csi", read_only)
        return (
            Data("files", "PersistentVolumeClaim/shop/files", volume=volume),
            Data("all", "Namespace//shop", velero=Velero(("shop",), read_only=read_only)),
        )

    assert [row.partition(": nothing follows")[0] for row in said(*kept(read_only=False))] == [
        "error files",
        "error all",
    ]
    assert said(*kept(read_only=True)) == []
    loose = Data("orders", "StatefulSet/shop/db", command=DataCommand(("true",), ("true",)))
    assert said(loose) == ["warning orders: has no `freeze`: what is written during the last copy may stay behind"]
    assert "which the commit does not have" in said(Data("x", "Pod/shop/x", command=moved("x").command))[0]
    assert said(token="LB", variables=("HOME",)) == [  # noqa: S106 - the name of a variable
        "error LB: the environment variable of a hook's token is not set"
    ]
    assert said(token="LB", variables=("LB",)) == []  # noqa: S106
