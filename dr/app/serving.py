"""Answers `dr serve`: who may come in, and from where."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from dr.app import monitoring
from dr.core.errors import UsageError

TOKEN = "DR_TOKEN"  # noqa: S105 - the name of the variable
_LEAST = 16  # characters


def serve(
    reports: Path,
    host: str,
    port: int,
    token_file: Path | None,
    url: str,
    limits: Mapping[str, float],
    say: Callable[[str], None],
) -> None:
    """Serve the pages of `reports` until interrupted, which raises KeyboardInterrupt.

    `url`: what people see behind a proxy. limits: after how many seconds without a met run a scenario is stale.
    `say` gets a line for people. Raises UsageError, and ToolError for an address that cannot be had.
    """
    from dr.web.app import application
    from dr.web.guard import Door
    from dr.web.server import bound, is_local, listen

    token, local = _token(token_file), is_local(host)
    if not local and not token:
        raise UsageError(
            f"{host} is no loopback address, so a token is wanted: whoever reaches it could read the history",
            f"give --token-file FILE or ${TOKEN}, or stay with --host 127.0.0.1 behind a proxy",
        )
    seen = urlsplit(url)
    if url and (seen.scheme not in ("http", "https") or not seen.netloc or seen.path.strip("/") or seen.query):
        raise UsageError(f"--url {url}: that is no address of a server", "write --url https://dr.example.com")
    origin = f"{seen.scheme}://{seen.netloc}" if url else ""
    app, site = application(
        reports,
        Door(token, origin, local),
        limits,
        lambda: monitoring.metrics(reports, "text", limits, None).content,
    )
    listening = bound(host, port)
    where = f"[{host}]" if ":" in host and not host.startswith("[") else host
    address = f"http://{where}:{listening.getsockname()[1]}/"
    listen(app, site, listening, lambda: say(f"{address}  the runs of {reports}{', by token' if token else ''}"))


def _token(file: Path | None) -> str:
    """Return the token that is wanted, "" for none; raises UsageError."""
    if file is None:
        found, where = os.environ.get(TOKEN, ""), f"${TOKEN}"
        if not found:
            return ""
    else:
        where = str(file)
        try:
            found = file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{file} cannot be read: {error}", "give a file that holds the token") from None
    token = found.strip()
    if len(token) < _LEAST or not (token.isascii() and token.isprintable()) or " " in token:
        raise UsageError(
            f"{where} holds no token: {_LEAST} characters of ASCII at least, without spaces",
            "openssl rand -hex 32 > FILE makes one",
        )
    return token
