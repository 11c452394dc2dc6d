"""A revision as typed → one commit and its time, or an error that names what was near."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from difflib import get_close_matches

from dr.adapters.git.command import Git
from dr.adapters.git.spec import as_of
from dr.core.errors import DrError, NotFound, RepoError

_FULL_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_LAST_SECOND = 253402300799  # of the year 9999; a commit may claim any


def resolve(git: Git, rev: str) -> tuple[str, str]:
    """Return the full id of the commit that `rev` names, and its time (ISO 8601, UTC).

    Of a date: the newest commit not after it on the first-parent history, which is what the branch
    itself pointed to. Raises NotFound for an unknown revision, RepoError for a repo without commits
    or with broken objects, UsageError for a malformed date.
    """
    base, until = as_of(rev)
    found = git.run("rev-parse", "--verify", f"{base}^{{commit}}")
    if found.status:
        raise _unknown(git, base)
    start = found.out.decode().strip()
    limit = () if until is None else ("--first-parent", f"--before=@{until} +0000")
    commit = git("rev-list", "-1", "--timestamp", *limit, start, "--").decode().split()
    if not commit:
        oldest = git("rev-list", "-1", "--timestamp", "--max-parents=0", "--first-parent", start, "--").decode()
        raise NotFound(
            f"{git.label!r} has no commit as old as {rev!r}",
            f"its first is of {_iso(oldest.split()[0])}; a shallow clone has more after `git fetch --unshallow`",
        )
    return commit[1], _iso(commit[0])


def _iso(epoch: str) -> str:
    return datetime.fromtimestamp(min(int(epoch), _LAST_SECOND), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _unknown(git: Git, base: str) -> DrError:
    named = git.run("rev-parse", "--verify", "--quiet", base)
    if not named.status and not _FULL_ID.fullmatch(base):
        kind = git.run("cat-file", "-t", named.out.decode().strip())
        if kind.status or kind.out == b"commit\n":
            return git.failure(kind.reason if kind.status else f"the commit of {base!r} is corrupt")
        return NotFound(f"{base!r} names a {kind.out.decode().strip()}, not a commit", "name a commit, tag or branch")
    listed = git("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads", "refs/tags", "refs/remotes")
    names = listed.decode(errors="backslashreplace").split()
    if base == "HEAD" and not names:
        return RepoError(f"{git.label!r} is empty: it has no commit yet", "commit something first")
    if base == "HEAD":
        return RepoError(f"HEAD of {git.label!r} names a branch without commits", f"name a branch: @{names[0]}")
    near = get_close_matches(base, names, 3) or names[:3]
    return NotFound(
        f"{git.label!r} has no revision {base!r}",
        f"did you mean {' or '.join(near)}?" if near else "it has no branches or tags",
    )
