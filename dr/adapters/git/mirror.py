"""A URL → a bare clone in the cache, refreshed at each use."""

from __future__ import annotations

import hashlib
from pathlib import Path

from dr.adapters.git.command import Git, check_protocol
from dr.adapters.git.spec import SCHEMES, redact
from dr.core.errors import RepoError
from dr.core.model import Diagnostic, Level, Where

TIMEOUT = 600.0
# All of them patterns: a repo without commits has no HEAD to fetch, which is for `resolve` to say.
_REFS = ("+HEAD*:refs/dr/HEAD*", "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")


def mirror(url: str, clones: Path) -> tuple[Git, tuple[Diagnostic, ...]]:
    """Fetch the branches and tags of `url` (already checked) into the bare repo `clones/<sha256 of url>`.

    The clone keeps no URL, so that a token in it is never written to disk. When this fetch fails and
    an earlier one did not, the answer is what is cached, with a `stale-clone` warning.
    Raises RepoError when there is nothing to answer with.
    """
    check_protocol(url)
    shown, protocols = redact(url), ":".join(SCHEMES)
    folder = clones / hashlib.sha256(url.encode(errors="surrogateescape")).hexdigest()
    git = Git(str(folder), shown, protocols=protocols)
    try:
        if not (folder / "HEAD").is_file():
            clones.mkdir(mode=0o700, parents=True, exist_ok=True)
            _create(Git(str(clones), shown, protocols=protocols), url, folder)
    except OSError as error:
        raise RepoError(
            f"{str(clones)!r} cannot hold clones: {error.strerror}", "choose another cache folder"
        ) from None
    git("symbolic-ref", "HEAD", "refs/dr/HEAD")
    fetched = git.run(
        "fetch", "--quiet", "--prune", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules",
        "--", url, *_REFS, timeout=TIMEOUT,
    )  # fmt: skip
    if not fetched.status:
        return Git(str(folder), shown), ()
    if not git("for-each-ref", "--count=1"):
        raise git.failure(fetched.reason)
    cause = f"it could not be refreshed, so that an earlier fetch is used: {fetched.reason}"
    stale = Diagnostic(Where(shown), "stale-clone", Level.WARNING, shown, cause, git.failure(fetched.reason).remedy)
    return Git(str(folder), shown), (stale,)


def _create(git: Git, url: str, folder: Path) -> None:
    head = git.run("ls-remote", "--", url, "HEAD", timeout=TIMEOUT)
    if head.status:
        raise git.failure(head.reason)
    ids = "sha256" if len(head.out.partition(b"\t")[0]) == 64 else "sha1"
    git("init", "--quiet", "--bare", "--template=", f"--object-format={ids}", str(folder))
