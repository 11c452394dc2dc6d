"""`REPO[@REV]` as typed → a location and a revision, checked before git sees either; pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from dr.core.errors import UsageError

SCHEMES = ("https", "http", "ssh", "git", "file", "git+ssh", "ssh+git")

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://([^/]*)", re.IGNORECASE)
# What git itself takes for ssh: a colon before the first slash. Braces are a date's: repo@{2026-01-31T12:00Z}.
_SCP = re.compile(r"(?:[^/:@{}]+@)?(?:\[[^\]/]+\]|[^/:@{}]+):(?!:)")
_HELPER = re.compile(r"[a-z0-9+.-]*::", re.IGNORECASE)
_DATED = re.compile(r"(?:(.*)@)?\{([^{}]*)\}", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# A lone user of ssh (git@…) is a name, not a secret; in https it may be a token.
_USER_INFO = re.compile(
    r"(?!ssh://[^/\s:@]+@[^/\s@]*(?:[/\s'\"]|$))(?<![a-z0-9+.-])([a-z][a-z0-9+.-]*://)[^/\s]*@", re.IGNORECASE
)
_QUERY = re.compile(r"([a-z][a-z0-9+.-]*://[^\s?'\"]*\?)[^\s'\"]+", re.IGNORECASE)


class RepoSpec(Struct, frozen=True):
    """A repo's location, and the revision asked for: "" is the work tree as it is."""

    location: str
    rev: str = ""


def parse_spec(text: str, exists: Callable[[str], bool] = lambda _: False) -> RepoSpec:
    """Split `REPO[@REV]`.

    The revision starts at the first `@` behind the host of a URL or of `user@host:path`. Of a path,
    `exists` decides: the longest part that is there is the location, so that a folder may have an
    `@` in its name. Raises UsageError when nothing follows the `@`.
    """
    head = _URL.match(text) or _SCP.match(text)
    cuts = [match.start() for match in re.finditer("@", text) if match.start() >= (head.end() if head else 1)]
    there = (cut for cut in (len(text), *reversed(cuts)) if not _URL.match(text) and exists(text[:cut]))
    cut = next(there, cuts[0] if cuts else len(text))
    if text[cut:] == "@":
        raise UsageError(f"no revision follows the '@' of {redact(text)!r}", "name one, or leave the '@' out")
    return RepoSpec(text[:cut], text[cut + 1 :])


def is_remote(location: str) -> bool:
    """Tell whether a location is a URL or `[user@]host:path`, by its form alone."""
    return bool(_URL.match(location) or _SCP.match(location))


def check(spec: RepoSpec) -> None:
    """Raise UsageError for what git could take for an option, a command or an unknown transport."""
    for what, text in (("repo", spec.location), ("revision", spec.rev)):
        if text.startswith("-"):
            raise UsageError(f"the {what} {redact(text)!r} looks like an option", f"a folder of that name: './{text}'")
        if "\0" in text:
            raise UsageError(f"the {what} {redact(text)!r} holds a NUL character", "name it without")
    if _HELPER.match(spec.location):
        raise UsageError(
            f"{redact(spec.location)!r} would run a program as its transport",
            f"use a URL of one of {', '.join(SCHEMES[:5])}",
        )
    if url := _URL.match(spec.location):
        _check_url(spec.location, url[1].lower(), unquote(url[2]))
    elif scp := _SCP.match(spec.location):
        host, path = scp[0].rpartition("@")[2], spec.location[scp.end() :]
        if host.startswith(("-", "[-")) or path.startswith("-") or _CONTROL.search(spec.location):
            raise UsageError(f"{spec.location!r} holds a host or path that git could misread", "check the location")


def _check_url(url: str, scheme: str, authority: str) -> None:
    if scheme not in SCHEMES:
        raise UsageError(f"{redact(url)!r} has a scheme that is not supported", f"use one of {', '.join(SCHEMES[:5])}")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # not shown: what stands for the port may be half of a password
        raise UsageError(
            f"the {scheme} URL has no valid host and port", "write '/', '@' and ':' of a password as %2F, %40 and %3A"
        ) from None
    host = authority.rpartition("@")[2]
    if authority.startswith("-") or host.startswith("-") or _CONTROL.search(unquote(url)):
        raise UsageError(f"{redact(url)!r} holds a host or path that git could misread", "check the URL")
    if not host and scheme != "file":
        raise UsageError(f"{redact(url)!r} names no host", "check the URL")


def redact(text: str) -> str:
    """Return text with `***` for the credentials and the query of every URL in it."""
    return _QUERY.sub(r"\1***", _USER_INFO.sub(r"\1***@", text))


def repo_name(location: str) -> str:
    """Return the last segment of a location without `.git`; of a repo's own `.git` folder, the repo's."""
    segments = [part for part in re.split(r"[/:]", location) if part not in {"", ".git"}]
    return segments[-1].removesuffix(".git") if segments else location


def as_of(rev: str) -> tuple[str, int | None]:
    """Split `[BASE@]{DATE}` into the base (HEAD by default) and seconds since the epoch; None where no date is named.

    A bare date means its last second in UTC; a time without an offset is UTC.
    Raises UsageError for braces that hold no ISO 8601 date: the reflog is this clone's own, not the repo's.
    """
    dated = _DATED.fullmatch(rev)
    if dated is None:
        return rev, None
    try:
        moment = datetime.combine(date.fromisoformat(dated[2]), time.max)
    except ValueError:
        try:
            moment = datetime.fromisoformat(dated[2])
        except ValueError:
            raise UsageError(
                f"{dated[2]!r} is not a date", "write @{2026-01-31} (the end of that day, UTC) or @{2026-01-31T12:00Z}"
            ) from None
    # git knows no time before 1970.
    return dated[1] or "HEAD", max(0, int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()))
