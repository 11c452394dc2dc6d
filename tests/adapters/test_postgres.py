"""Databases on their way, against real servers: what is lost, left behind or told if it goes wrong."""

# ruff: noqa: S608 - the names in these texts are our own

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Self

import pytest

from dr.adapters.data import states
from dr.adapters.data.server import Server, keywords
from dr.core.errors import ToolError
from dr.core.forklift import Data
from dr.core.forklift import Postgres as Spec
from dr.core.gameday import Duration
from dr.engine.ports import State
from tests.adapters.postgres import Postgres, environment, free_port, program, serve

SCHEMA = """CREATE SCHEMA "Shop";
CREATE TABLE "Shop".orders (id int PRIMARY KEY, t text, at timestamptz DEFAULT '2026-01-01Z', price float8, raw bytea);
CREATE TABLE public.empty (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note jsonb);
CREATE TABLE log (day date, n serial, PRIMARY KEY (day, n)) PARTITION BY RANGE (day);
CREATE TABLE log_2026 PARTITION OF log FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n FROM "Shop".orders;
INSERT INTO "Shop".orders SELECT i, repeat('ä', i % 7), now(), i / 3.0, '\\x00ff' FROM generate_series(-200, -1) i;
INSERT INTO log (day) SELECT '2026-02-01' FROM generate_series(1, 30);
"""
_numbers = count(1)


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Postgres, Postgres]]:
    with serve() as old, serve() as new:
        yield old, new


@pytest.fixture
def sides(pair: tuple[Postgres, Postgres]) -> Iterator[Sides]:
    made = Sides(*pair, f"shop{next(_numbers)}")
    yield made
    asyncio.run(made.state(replicate=True).end())


class Sides:
    """A new database on both servers, the old one filled."""

    def __init__(self, old: Postgres, new: Postgres, database: str, schema: str = SCHEMA) -> None:
        self.servers, self.database = {"from": old, "to": new}, database
        for server in (old, new):
            server.psql("postgres", f"CREATE DATABASE {database};")
        old.psql(database, schema)

    def state(self, *, replicate: bool, timeout: float = 20.0, **urls: str) -> State:
        environ = environment() | {"OLD": self.servers["from"].url(self.database)}
        environ |= {"NEW": self.servers["to"].url(self.database)} | urls
        spec = Data("db", "StatefulSet/shop/db", postgres=Spec("OLD", "NEW", replicate), timeout=Duration(timeout))
        return states([spec], {}, environ)["db"]

    def ask(self, side: str, sql: str) -> str:
        return self.servers[side].ask(self.database, sql)

    def write(self, side: str, number: int) -> subprocess.CompletedProcess[str]:
        return self.servers[side].psql(self.database, f'INSERT INTO "Shop".orders (id) VALUES ({number});', check=False)

    def arrives(self, side: str, number: int) -> bool:
        return soon(lambda: self.ask(side, f'SELECT count(*) FROM "Shop".orders WHERE id = {number};') == "1")

    def traces(self) -> str:
        """Return what following needs, as both servers have it."""
        sql = f"""SELECT count(*) FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database
            WHERE datname = '{self.database}') UNION ALL SELECT count(*) FROM pg_publication UNION ALL
            SELECT count(*) FROM pg_replication_slots WHERE database = '{self.database}' UNION ALL
            SELECT count(*) FROM pg_roles WHERE rolname = 'dr_forklift';"""
        return " ".join(self.ask(side, sql).replace("\n", "") for side in ("from", "to"))


def soon(true: Callable[[], bool], seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < until:
        time.sleep(0.05)
    return found


def failing(step: Coroutine[Any, Any, Any]) -> ToolError:
    with pytest.raises(ToolError) as caught:
        asyncio.run(step)
    assert caught.value.remedy
    return caught.value


class Writer:
    """A user who keeps writing to whoever takes it, and remembers what was acknowledged."""

    def __init__(self, sides: Sides) -> None:
        self.side, self.refused, self.acknowledged = "from", 0, set[int]()
        self._sides, self._over = sides, threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _write(self) -> None:
        for number in count(1):
            if self._over.wait(0.03):
                return
            if self._sides.write(self.side, number).returncode:
                self.refused += 1
            else:
                self.acknowledged.add(number)

    async def goes_on(self) -> None:
        known = len(self.acknowledged)
        assert await asyncio.to_thread(soon, lambda: len(self.acknowledged) > known + 2)


def test_a_dump_brings_every_row_and_a_second_one_what_was_written_since(sides: Sides) -> None:
    state = sides.state(replicate=False)

    async def move() -> None:
        await state.copy()
        assert await state.count("from") == await state.count("to")
        assert not sides.write("from", 7).returncode
        assert await state.count("from") != await state.count("to")
        await state.freeze("from")
        assert "read-only" in sides.write("from", 8).stderr
        await state.settle("from")
        await state.turn("to")
        found = await state.count("to")
        assert found == await state.count("from")
        assert (found.rows["Shop.orders"], found.rows["public.log_2026"]) == (201, 30)
        assert found.rows["sequence public.log_n_seq"] == 30
        assert found.checksums["Shop.orders"] != found.checksums["public.log_2026"]
        await state.thaw("to")
        assert not sides.write("to", 9).returncode
        await state.thaw("from")
        assert not sides.write("from", 9).returncode

    asyncio.run(move())
    assert not state.follows
    assert "no way back" in failing(state.settle("to")).cause


def test_a_dump_never_falls_on_a_database_that_is_in_use(sides: Sides) -> None:
    sides.servers["to"].psql(sides.database, "CREATE TABLE theirs (id int);")
    assert "is not empty: it has public.theirs" in failing(sides.state(replicate=False).copy()).cause
    sides.servers["to"].psql(sides.database, "DROP TABLE theirs;" + SCHEMA)
    assert "is not empty: it has Shop.orders" in failing(sides.state(replicate=True).copy()).cause
    assert sides.ask("to", "SELECT count(*) FROM log;") == "30"


def test_half_a_dump_leaves_the_new_side_as_it_was(sides: Sides, tmp_path: Path) -> None:
    # A dump that is cut off in the middle, and one that fails in the target.
    cut = tmp_path / "pg_dump"
    cut.write_text(f'#!/bin/sh\n{program("pg_dump")} "$@" | head -c 3000\necho "pg_dump: error: cut off" >&2\nexit 1\n')
    cut.chmod(0o755)
    state = sides.state(replicate=False, PATH=f"{tmp_path}{os.pathsep}{environment()['PATH']}")
    assert failing(state.copy()).cause == "db (from): pg_dump: error: cut off"
    assert sides.ask("to", "SELECT count(*) FROM pg_namespace WHERE nspname = 'Shop';") == "0"
    sides.servers["from"].psql(sides.database, "CREATE ROLE only_here; ALTER TABLE log OWNER TO only_here;")
    error = failing(sides.state(replicate=False).copy())
    assert 'role "only_here" does not exist' in error.cause
    assert "make the role" in error.remedy
    assert sides.ask("to", "SELECT count(*) FROM pg_namespace WHERE nspname = 'Shop';") == "0"


def test_no_acknowledged_write_is_lost_on_the_way_there_and_back(sides: Sides) -> None:
    state = sides.state(replicate=True)

    async def switch(old: str, new: str, writer: Writer) -> None:
        await writer.goes_on()
        await state.freeze(old)
        refused = writer.refused
        assert await asyncio.to_thread(soon, lambda: writer.refused > refused + 1)
        assert "read-only" in (await asyncio.to_thread(sides.write, old, 10**6)).stderr
        await state.settle(old)
        assert await state.count(old) == await state.count(new)
        await state.turn(new)
        await state.thaw(new)
        writer.side = new
        await writer.goes_on()
        newest = max(writer.acknowledged)
        assert await asyncio.to_thread(sides.arrives, old, newest)  # though `old` is frozen
        assert "read-only" in (await asyncio.to_thread(sides.write, old, 10**6)).stderr

    async def move() -> set[int]:
        with Writer(sides) as writer:
            await writer.goes_on()
            await state.copy()
            await state.copy()
            await switch("from", "to", writer)
            await switch("to", "from", writer)
        await state.freeze("from")
        await state.settle("from")
        assert await state.count("from") == await state.count("to")
        return writer.acknowledged

    acknowledged = asyncio.run(move())
    for side in ("from", "to"):
        found = set(map(int, sides.ask(side, 'SELECT id FROM "Shop".orders WHERE id > 0;').split()))
        assert acknowledged <= found
        assert sides.ask(side, "SELECT last_value FROM log_n_seq;") == "30"
    assert sides.ask("to", "SELECT n FROM total;") == sides.ask("to", 'SELECT count(*) FROM "Shop".orders;')
    assert state.follows


def test_a_follower_that_is_frozen_goes_on_after_its_server_was_interrupted(sides: Sides) -> None:
    state = sides.state(replicate=True)

    async def start() -> None:
        await state.copy()
        await state.freeze("to")

    asyncio.run(start())
    # A new worker is told that the database is read-only, and must write all the same.
    worker = "backend_type LIKE 'logical replication worker' AND datname = current_database()"
    sides.ask("to", f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {worker};")
    assert not sides.write("from", 1).returncode
    assert sides.arrives("to", 1)
    assert "read-only" in sides.write("to", 2).stderr
    asyncio.run(state.thaw("to"))


class Killed(BaseException):
    """What no step can clean up after."""


async def killed_after(calls: int, step: Callable[[], Coroutine[None, None, None]]) -> bool:
    """Run a step until it has spoken to a server so many times; return whether it would have gone on."""
    left = iter(range(calls))

    async def sql(server: Server, text: str) -> list[str]:
        if next(left, None) is None:
            raise Killed
        return await real(server, text)

    real = Server.sql
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Server, "sql", sql)
        try:
            await step()
        except Killed:
            return True
    return False


@pytest.mark.parametrize("name", ["copy", "turn", "thaw"])
def test_a_step_killed_anywhere_and_run_again_ends_the_same(sides: Sides, name: str) -> None:
    state = sides.state(replicate=name != "thaw")

    async def kill() -> None:
        side, other, killed = "from", "to", True
        if name == "turn":
            await state.copy()
        for calls in count():
            if name == "turn":
                side, other = other, side
            if name == "thaw":
                await state.freeze(side)
            step = state.copy if name == "copy" else partial(getattr(state, name), side)
            killed = await killed_after(calls, step)
            await step()
            await step()
            assert not sides.write(side, calls + 1).returncode
            assert name == "thaw" or await asyncio.to_thread(sides.arrives, other, calls + 1)
            if not killed:
                return

    asyncio.run(kill())
    slots = [sides.ask(side, "SELECT slot_name FROM pg_replication_slots;").split() for side in ("from", "to")]
    assert len(slots[0] + slots[1]) == (0 if name == "thaw" else 1)


def test_an_end_killed_anywhere_and_run_again_leaves_nothing(sides: Sides) -> None:
    state = sides.state(replicate=True)

    async def kill() -> None:
        await state.copy()
        killed = True
        for calls in count():
            await state.turn("to" if calls % 2 else "from")
            killed = await killed_after(calls, state.end)
            await state.end()
            assert sides.traces() == "0000 0000"
            if not killed:
                return

    asyncio.run(kill())


def test_a_cancelled_copy_leaves_no_child_and_goes_on_when_called_again(sides: Sides) -> None:
    sides.servers["from"].psql(
        sides.database, 'INSERT INTO "Shop".orders (id, t) SELECT i, md5(i::text) FROM generate_series(1, 20000) i;'
    )

    async def move(state: State) -> None:
        for delay in (0.03, 0.1, 0.25):
            task = asyncio.create_task(state.copy())
            await asyncio.sleep(delay)
            task.cancel()
            await asyncio.wait([task])
            assert children() == []
        await state.copy()
        await state.settle("from")
        assert await state.count("from") == await state.count("to")

    asyncio.run(move(sides.state(replicate=False)))
    sides.servers["to"].psql(sides.database, 'DROP SCHEMA "Shop" CASCADE; DROP TABLE log, empty;')
    asyncio.run(move_replica(sides.state(replicate=True), move))


async def move_replica(state: State, move: Callable[[State], Coroutine[None, None, None]]) -> None:
    await move(state)
    await state.end()


def children() -> list[str]:
    """Return the programs of PostgreSQL that this process started and did not wait for."""
    found = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    names = [path.read_text() for pid in found if (path := Path(f"/proc/{pid}/comm")).exists()]
    return [name.strip() for name in names if name.strip() in {"psql", "pg_dump"}]


def test_a_freeze_waits_for_no_transaction_and_lets_none_through(sides: Sides) -> None:
    sql = 'BEGIN; INSERT INTO "Shop".orders (id) VALUES (1); SELECT pg_sleep(60); COMMIT;'
    argv = [program("psql"), "-X", "-c", sql, sides.servers["from"].url(sides.database)]
    prepare = "BEGIN; INSERT INTO \"Shop\".orders (id) VALUES (2); PREPARE TRANSACTION 'later';"
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as session:
        assert soon(
            lambda: sides.ask("from", "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep';") == "1"
        )
        asyncio.run(sides.state(replicate=False).freeze("from"))
        assert session.wait(5)
    assert sides.ask("from", 'SELECT count(*) FROM "Shop".orders WHERE id > 0;') == "0"
    asyncio.run(sides.state(replicate=False).thaw("from"))
    sides.ask("from", prepare)
    assert "was not done in 1 s" in failing(sides.state(replicate=False, timeout=1).freeze("from")).cause
    sides.ask("from", "ROLLBACK PREPARED 'later';")
    asyncio.run(sides.state(replicate=False).freeze("from"))


def test_a_session_of_the_time_of_the_freeze_does_not_stay_read_only(sides: Sides) -> None:
    state = sides.state(replicate=False)
    asyncio.run(state.freeze("from"))
    argv = [program("psql"), "-X", "-c", "SELECT pg_sleep(60)", sides.servers["from"].url(sides.database)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as session:
        assert soon(
            lambda: sides.ask("from", "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep';") == "1"
        )
        asyncio.run(state.thaw("from"))
        assert session.wait(5)
    assert not sides.write("from", 1).returncode


def test_following_leaves_nothing_behind_even_when_the_old_side_is_gone(sides: Sides) -> None:
    state = sides.state(replicate=True)

    async def move() -> None:
        await state.copy()
        await state.turn("to")
        await sides.state(replicate=True, OLD=sides.servers["from"].url(sides.database, port=free_port())).end()
        await state.end()
        await state.end()

    asyncio.run(move())
    assert sides.traces() == "0000 0000"
    assert not sides.write("from", 1).returncode
    assert not sides.write("to", 1).returncode
    assert "nothing follows" in failing(state.settle("to")).cause


def test_what_replication_would_leave_behind_is_named_first(sides: Sides) -> None:
    schema = "CREATE TABLE loose (id int); CREATE UNLOGGED TABLE fast (id int PRIMARY KEY); SELECT lo_create(0);"
    sides.servers["from"].psql(sides.database, schema)
    state = sides.state(replicate=True)
    for step in (state.check, state.copy):
        cause = failing(step()).cause
        assert "public.fast is unlogged, public.loose has no primary key, pg_largeobject holds large objects" in cause
    assert sides.traces() == "0000 0000"


def test_a_server_that_cannot_replicate_says_what_to_set(pair: tuple[Postgres, Postgres]) -> None:
    with serve("replica") as old:
        sides = Sides(old, pair[1], f"shop{next(_numbers)}")
        for step in (sides.state(replicate=True).check, sides.state(replicate=True).copy):
            error = failing(step())
            assert "db (from): wal_level is replica" in error.cause
            assert "ALTER SYSTEM SET wal_level" in error.remedy


def test_a_check_before_the_move_writes_nothing_and_waits_for_no_database_that_comes_with_the_platform(
    sides: Sides,
) -> None:
    later = sides.servers["to"].url(sides.database, port=free_port())
    for replicate in (True, False):
        asyncio.run(sides.state(replicate=replicate).check())
        asyncio.run(sides.state(replicate=replicate, NEW=later).check())
        assert "connection to server" in failing(sides.state(replicate=replicate, OLD=later).check()).cause
    assert sides.traces() == "0000 0000"
    sides.servers["to"].psql(sides.database, "CREATE TABLE mine (id int PRIMARY KEY); INSERT INTO mine VALUES (1)")
    for replicate in (True, False):
        assert "is not empty: it has public.mine" in failing(sides.state(replicate=replicate).check()).cause


def test_a_wrong_password_is_told_and_never_shown(sides: Sides) -> None:
    secret = "hun/ter 2'"  # noqa: S105
    wrong = sides.servers["to"].url(sides.database, password=secret)
    for replicate in (True, False):
        assert "authentication failed" in failing(sides.state(replicate=replicate, NEW=wrong).check()).cause
        error = failing(sides.state(replicate=replicate, NEW=wrong).copy())
        assert "password authentication failed" in error.cause
        told = f"{error.cause} {error.remedy} {error!r} {error.__cause__!r} {error.__context__!r}"
        assert not any(form in told for form in ("hun/ter", "hun%2Fter", "ter 2"))
    # An error that quotes what it was given.
    server = Server("db", keywords(sides.servers["to"].url(sides.database)), keywords(wrong), environment())
    assert "hun/ter" not in failing(server.sql(f"CREATE TABLE {server.conninfo} ();")).cause


def test_a_server_out_of_reach_of_the_other_says_which_setting_tells_the_way(sides: Sides) -> None:
    port = free_port()
    environ = environment() | {
        "OLD": sides.servers["from"].url(sides.database), "NEW": sides.servers["to"].url(sides.database),
        "SEEN": sides.servers["from"].url(sides.database, port=port),
    }  # fmt: skip
    spec = Data(
        "db", "StatefulSet/shop/db", postgres=Spec("OLD", "NEW", True, seen_from_to="SEEN"), timeout=Duration(20.0)
    )
    error = failing(states([spec], {}, environ)["db"].copy())
    assert str(port) in error.cause
    assert "seen_from_to" in error.remedy


def test_a_url_is_read_as_libpq_reads_it() -> None:
    assert keywords("postgresql://u%40:p%2F@[::1]:5433/my%20db?sslmode=require") == {
        "user": "u@", "password": "p/", "host": "::1", "port": "5433", "dbname": "my db", "sslmode": "require",
    }  # fmt: skip
    assert keywords("postgres:///shop?host=/run/postgresql&user=me") == {
        "host": "/run/postgresql", "user": "me", "dbname": "shop",
    }  # fmt: skip
    assert keywords("postgresql://a:1,b:2/shop") == {"host": "a,b", "port": "1,2", "dbname": "shop"}
