"""PostgreSQL databases on their way: by dump and restore, or by logical replication in either direction."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from itertools import chain

from dr.adapters.data import statements as sql
from dr.adapters.data.server import Gone, Server, literal
from dr.core.errors import ToolError
from dr.engine.ports import Counted

_OTHER = {"from": "to", "to": "from"}


class Dumped:
    """A database by dump and restore: once ahead, and again from the frozen side. There is no way back."""

    follows = False

    def __init__(self, name: str, old: Server, new: Server) -> None:
        """Move the database of `old` to `new`; `name` is what errors call it."""
        self._name, self._servers = name, {"from": old, "to": new}

    async def check(self) -> None:
        """Look whether both sides fit; the new one may come only with the platform."""
        await self._fits(self._servers["from"])
        try:
            await self._fits(self._servers["to"])
            await self._spare()
        except Gone as error:
            if "authentication failed" in error.cause:
                raise

    async def _fits(self, server: Server) -> None:
        """Raise ToolError where a server is not as it must be."""
        await server.sql("SELECT 1;")

    async def _spare(self) -> None:
        """Raise ToolError where the new side has what would be lost."""
        old, new = self._servers.values()
        known = set(chain(*await old.rows(sql.TABLES)))
        if more := [str(name) for (name,) in await new.rows(sql.TABLES) if name not in known]:
            raise _not_empty(new, more)

    async def copy(self) -> None:
        """Replace what the new side has by what the old one has; refused where that has more tables than the old."""
        await self._spare()
        await self._servers["to"].restore_from(self._servers["from"])

    async def count(self, side: str) -> Counted:
        """Return rows and checksums by table, and the last value of each sequence."""
        return await self._servers[side].count()

    async def freeze(self, side: str) -> None:
        """Let no session write by default; one that asks for a transaction that writes is ended, not refused."""
        await self._servers[side].freeze()

    async def thaw(self, side: str) -> None:
        """Let new sessions write, and end those that may not."""
        await self._servers[side].thaw()

    async def settle(self, side: str) -> None:
        """Copy again from a frozen `from`."""
        if side == "to":
            raise ToolError(
                f"{self._name}: there is no way back without a loss: a dump goes one way",
                "set `replicate: true` in the forklift file, so that the old side follows",
            )
        await self.copy()

    async def turn(self, side: str) -> None:
        """Do nothing: nobody follows."""

    async def end(self) -> None:
        """Do nothing: nothing was made."""


class Replicated(Dumped):
    """A database by logical replication, which superusers of both sides set up.

    A publication, a slot and, while it follows itself, a role are all that is written on the old side.
    """

    follows = True

    def __init__(self, name: str, old: Server, new: Server) -> None:
        """Move the database of `old` to `new`; `name` is what errors call it."""
        super().__init__(name, old, new)
        pair = "\0".join((name, old.url.get("dbname", ""), new.url.get("dbname", "")))
        digest = hashlib.sha256(pair.encode()).hexdigest()[:12]
        self._slots = {side: f"{sql.NAME}_{digest}_{side}" for side in self._servers}

    async def _spare(self) -> None:
        new = self._servers["to"]
        if any([await self._subscribed(side) for side in self._servers]):
            return
        if full := [str(name) for name, number, _ in await new.rows(f"{sql.SAME}{sql.COUNT}") if number]:
            raise _not_empty(new, full)

    async def copy(self) -> None:
        """Bring the tables over and follow; a copy that is under way or turned goes on."""
        old, new = self._servers.values()
        if not any([await self._subscribed(side) for side in self._servers]):
            for server in (old, new):
                await self._fits(server)
            await self._spare()
            if not await new.sql(sql.TABLES):
                await new.restore_from(old, "--schema-only", "--no-publications", "--no-subscriptions")
            await self._subscribe("from", "true")
        for server in (old, new):
            await server.until(sql.COPYING, "0")

    async def settle(self, side: str) -> None:
        """Wait until the follower has all of a frozen `side`, then bring it what replication does not: sequences."""
        leader, follower = self._servers[side], self._servers[_OTHER[side]]
        if not await self._subscribed(_OTHER[side]):
            raise ToolError(f"{self._name}: nothing follows `{side}`", "copy first, or turn to that side")
        await follower.until(sql.COPYING, "0")
        # A message of our own is behind every commit in the log, and its commit brings them all to disk.
        (end,) = await leader.sql("SET synchronous_commit = on; SELECT pg_logical_emit_message(true, 'dr', '');")
        where = f"FROM pg_replication_slots WHERE slot_name = '{self._slots[side]}'"
        await leader.until(f"SELECT confirmed_flush_lsn >= '{end}' {where};", "t")
        sequences = await leader.rows(f"{sql.SAME}{sql.SEQUENCES}")
        await follower.sql(
            "".join(f"SELECT setval({literal(str(name))}, {last}, {called});\n" for _, last, called, name in sequences)
            + sql.VIEWS
        )

    async def turn(self, side: str) -> None:
        """Have the other side follow `side`: each step leaves what the next call needs to go on."""
        other = _OTHER[side]
        await self._servers[side].sql(sql.UNSUBSCRIBE)
        await self._servers[other].drop_slot(self._slots[other])
        await self._subscribe(side, "false")

    async def end(self) -> None:
        """Drop subscriptions, slots, publications and the role; an old side that cannot be reached is let go."""
        for step in (self._unsubscribe, self._forget):
            await step("to")
            with suppress(Gone):
                await step("from")

    async def _unsubscribe(self, side: str) -> None:
        await self._servers[side].sql(sql.UNSUBSCRIBE)

    async def _forget(self, side: str) -> None:
        await self._servers[side].drop_slot(self._slots[side])
        await self._servers[side].sql(sql.FORGET)

    async def _subscribed(self, side: str) -> bool:
        return await self._servers[side].sql(sql.SUBSCRIBED) != ["0"]

    async def _subscribe(self, side: str, copy: str) -> None:
        """Have the other side follow `side`: the slot is made apart, so that it can be made again, or found."""
        leader, follower = self._servers[side], self._servers[_OTHER[side]]
        slot = self._slots[side]
        await leader.sql(sql.PUBLISH + sql.SLOT.format(slot))
        await follower.sql(sql.ROLE)
        await follower.sql(sql.SUBSCRIBE.format(conninfo=leader.conninfo, slot=slot, copy=copy))

    async def _fits(self, server: Server) -> None:
        level, superuser = await server.sql(
            "SHOW wal_level; SELECT rolsuper FROM pg_roles WHERE rolname = current_user;"
        )
        if level != "logical":
            raise ToolError(
                f"{server.label}: wal_level is {level}, and replication needs logical",
                "ALTER SYSTEM SET wal_level = 'logical', and restart that server; or set `replicate: false`",
            )
        if superuser != "t":
            raise ToolError(
                f"{server.label}: {server.url.get('user', 'the user')} is no superuser, and replication needs one",
                "name a superuser in the URL, or set `replicate: false`",
            )
        if server is self._servers["from"] and (found := await server.rows(sql.OBSTACLES)):
            raise ToolError(
                f"{server.label}: cannot be replicated: {', '.join(f'{name} {why}' for name, why in found)}",
                "give each table a primary key (or a replica identity) and have it logged, or set `replicate: false`",
            )


def _not_empty(server: Server, tables: list[str]) -> ToolError:
    return ToolError(
        f"{server.label} is not empty: it has {', '.join(tables)}",
        "is it the right database? if so, drop them there, and try again",
    )
