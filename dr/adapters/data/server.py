"""A PostgreSQL database, spoken to by PostgreSQL's own programs: what it holds, and whether it takes writes."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import msgspec

from dr.adapters.data import statements as sql
from dr.adapters.data.commands import Ended, run
from dr.core.errors import ToolError
from dr.engine.ports import Counted

PAUSE = 0.2
_PSQL = ("psql", "-X", "-v", "ON_ERROR_STOP=1", "-qAt")
# libpq's keywords of a connection, and the variables by which its programs take them.
_VARIABLES = {
    "host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE",
    "hostaddr": "PGHOSTADDR", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY", "channel_binding": "PGCHANNELBINDING", "connect_timeout": "PGCONNECT_TIMEOUT",
    "target_session_attrs": "PGTARGETSESSIONATTRS", "gssencmode": "PGGSSENCMODE",
}  # fmt: skip
# What our own sessions are, whatever the database or role says: they write where a frozen database would not let them.
_OPTIONS = "-c default_transaction_read_only=off -c statement_timeout=0 -c standard_conforming_strings=on"


def keywords(url: str) -> dict[str, str]:
    """Return the parts of a connection URL as libpq's keywords; raises ValueError, which tells nothing of the URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("is no URL") from None
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ValueError("is no postgresql:// URL")
    login, _, place = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    hosts = [re.fullmatch(r"(?:\[(.*)\]|([^:\[\]]*))(?::(\d*))?", host) for host in place.split(",")]
    if None in hosts:
        raise ValueError("is a URL whose host and port cannot be read")
    found = {
        "user": unquote(user),
        "password": unquote(password),
        "host": ",".join(unquote(host[1] or host[2]) for host in hosts if host),
        "port": ",".join(host[3] or "" for host in hosts if host).strip(","),
        "dbname": unquote(parts.path.removeprefix("/")),
        **dict(parse_qsl(parts.query.replace("+", "%2B"))),
    }
    if found.keys() - _VARIABLES.keys():
        raise ValueError(f"is a URL with other parameters than {', '.join(_VARIABLES)}")
    return {key: value for key, value in found.items() if value}


class Gone(ToolError):
    """A server cannot be reached."""


def literal(text: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


# What a status or a word in the message means, and what to do then; the first that fits.
_FAILURES: tuple[tuple[int, str, type[ToolError], str], ...] = (
    (0, "publisher", ToolError, "name a URL under which the servers reach each other: seen_from_to, seen_from_from"),
    (2, "connection to server", Gone, "check the URL, the network and the password"),
    (0, 'role "', ToolError, "make the role on this server, as it is on the other; then try again"),
    (0, "to terminate|being terminated", ToolError, "grant pg_signal_backend to the user, or name a superuser"),
    (0, "version mismatch", ToolError, "install the PostgreSQL programs of the newer server"),
    (0, "", ToolError, "see to the cause, then try again"),
)


class Server:
    """A database, spoken to by PostgreSQL's own programs; no password is in an argument, a file or a message."""

    def __init__(self, label: str, url: Mapping[str, str], seen: Mapping[str, str], environ: Mapping[str, str]) -> None:
        """Reach the database of `url`, which errors call `label`; the other server reaches it by `seen`."""
        self.label, self.url, self._seen = label, url, seen
        self.environ = {name: value for name, value in environ.items() if not name.startswith("PG")}
        self.environ |= {name: value for name, value in environ.items() if name.startswith("PGSSL")}
        self.environ |= {"PGOPTIONS": _OPTIONS, "PGAPPNAME": sql.NAME, "PGCONNECT_TIMEOUT": "10", "LC_ALL": "C"}
        self.environ |= {_VARIABLES[key]: value for key, value in url.items()}
        words = {word for word in (url.get("password"), seen.get("password")) if word}
        forms = words | {quote(word, safe="") for word in words} | {_escaped(word) for word in words}
        self._secrets = sorted(forms | {literal(form)[1:-1] for form in forms}, key=len, reverse=True)

    @property
    def conninfo(self) -> str:
        """How the other server reaches this one, as a literal of SQL. It holds the password."""
        pairs = {"connect_timeout": "10", **self._seen}.items()
        return literal(" ".join(f"{key}='{_escaped(value)}'" for key, value in pairs))

    async def sql(self, text: str) -> list[str]:
        """Run SQL in one session and return the lines that it prints; raises Gone or ToolError."""
        ended = await run(_PSQL, {**self.environ, "PGCLIENTENCODING": "UTF8"}, text=text)
        if ended.status:
            raise self.failure(ended)
        return ended.out.splitlines()

    async def rows(self, text: str) -> list[list[str | int | bool]]:
        """Run SQL that prints JSON arrays and return them."""
        return [msgspec.json.decode(line) for line in await self.sql(text)]

    async def until(self, text: str, *wanted: str) -> None:
        """Run SQL until it prints these lines."""
        while await self.sql(text) != [*wanted]:  # noqa: ASYNC110  # the server has no way to call us
            await asyncio.sleep(PAUSE)

    async def restore_from(self, other: Server, *options: str) -> None:
        """Replace this database's objects by those of another, all or none of them, through a pipe."""
        # One of a run that was killed would still be writing.
        await self.until(sql.END_SESSIONS.format(f"(application_name = '{sql.NAME}')"), "0")
        # Who can gives each object its owner, without whom its users could not use it.
        superuser = await self.sql("SELECT rolsuper FROM pg_roles WHERE rolname = current_user;") == ["t"]
        argv = ("pg_dump", "--clean", "--if-exists", *(() if superuser else ("--no-owner",)), *options)
        read, write = os.pipe()
        with os.fdopen(read, "rb") as source, os.fdopen(write, "wb", 0) as sink:
            sink.write(f"BEGIN;\n{sql.UNPARTITION}".encode())
            restoring = asyncio.create_task(run(_PSQL, self.environ, source=source))
            try:
                dump = await run(argv, other.environ, sink=os.fdopen(os.dup(write), "wb"))
                if not dump.status:  # without this a dump that broke off is rolled back, whoever is killed
                    with suppress(BrokenPipeError):
                        await asyncio.to_thread(sink.write, b"COMMIT;\n")  # it may have to wait for an index
                sink.close()
                restored = await restoring
            finally:
                restoring.cancel()
                await asyncio.wait([restoring])
        if dump.status and not (restored.status and (dump.status < 0 or "write" in dump.err)):
            raise other.failure(dump)  # else it only misses whom it wrote to
        if restored.status:
            raise self.failure(restored)

    async def count(self) -> Counted:
        """Return rows and checksums by table, and the last value of each sequence, all at one moment."""
        found = await self.rows(f"{sql.SAME}{sql.COUNT}{sql.SEQUENCES}")
        tables = [row for row in found if len(row) == 3]
        rows = {str(name): int(number) for name, number, _ in tables}
        rows |= {f"sequence {name}": int(last) for name, last, *rest in found if len(rest) == 2}
        return Counted(rows, {str(name): str(checksum) for name, _, checksum in tables})

    async def freeze(self) -> None:
        """Make every new session read-only, and end those that began before or write all the same."""
        await self.sql(sql.DATABASE.format(f"SET {sql.READ_ONLY} = on"))
        await self._renew("OR backend_xid IS NOT NULL", sql.PREPARED)

    async def thaw(self) -> None:
        """Let new sessions write, and end those that were told not to."""
        if await self.sql(sql.IS_SET) == ["0"]:
            return
        # Set, not reset, until the last read-only session is gone: who is killed on the way begins here again.
        await self.sql(sql.DATABASE.format(f"SET {sql.READ_ONLY} = off"))
        await self._renew()
        await self.sql(sql.DATABASE.format(f"RESET {sql.READ_ONLY}"))

    async def _renew(self, also: str = "", prepared: str = "SELECT 0;") -> None:
        (now,) = await self.sql("SELECT clock_timestamp();")
        look = sql.END_SESSIONS.format(f"(backend_start <= {literal(now)} {also})") + prepared
        await self.until(look, "0", "0")
        await asyncio.sleep(PAUSE)
        await self.until(look, "0", "0")  # a session that was just being opened is seen now

    async def drop_slot(self, slot: str) -> None:
        """Drop a replication slot, if there is one; whoever reads from it is ended."""
        await self.until(sql.DROP_SLOT.format(slot), "0")

    def failure(self, ended: Ended) -> ToolError:
        """Return why a program failed, without any password."""
        lines = ended.err.strip().splitlines()
        said = next((line for line in lines if re.search(r"\b(error|ERROR|FATAL):", line)), ended.reason)
        for secret in self._secrets:
            said = said.replace(secret, "***")
        kind, remedy = next(
            (kind, remedy)
            for status, word, kind, remedy in _FAILURES
            if ended.status == status or re.search(word, said)
        )
        return kind(f"{self.label}: {re.sub(r'^psql:<stdin>:[0-9]+: ', '', said)}", remedy)
