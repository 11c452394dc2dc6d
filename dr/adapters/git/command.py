"""git itself, run through GitPython in a folder, with nothing of the repo's own executed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple

from dr.adapters.git.spec import redact
from dr.core.errors import RepoError, ToolError, UsageError

_CONFIG = (
    ("core.hooksPath", os.devnull),
    ("core.fsmonitor", "false"),
    ("protocol.ext.allow", "never"),
    ("safe.bareRepository", "all"),  # the user names the repo: it is not found by accident
    ("gc.autoDetach", "false"),
)
_ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",  # or `status` writes the index
    "GIT_NO_LAZY_FETCH": "1",
}
# What a git hook sets to speak of its own repo; it would answer for every other one too.
_FOREIGN = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE", "GIT_CONFIG",
)  # fmt: skip
_REMEDIES = (
    (r"could not read (Username|Password)|Authentication failed|Permission denied \(|HTTP Basic|returned error: 40[13]",
     "log in first: a credential helper, an ssh agent, or a token in the URL"),
    (r"Host key verification failed", "accept the host's key once with ssh, then try again"),
    (r"unsafe repository|dubious ownership", "name the folder itself instead of a file:// URL"),
    (r"does not appear to be a git repository|[Rr]epository .*not found|does not exist", "check the location"),
    (r"Could not resolve|unable to access|Connection|timed out|Timeout|hung up", "check the network and the URL"),
    (r"corrupt|missing|bad (object|config)|unable to read|[Cc]ould not (read|get)|inflate|invalid|malformed|not a tree",
     "look with `git fsck --full`; then repair it, or clone it again (a partial clone holds only a part)"),
)  # fmt: skip
# What git adds to every failure of ssh: the reason stands above it.
_IDLE = re.compile(
    r"\s*$|fatal: Could not read from remote|Please make sure you have the correct|and the repository exi"
)


class Result(NamedTuple):
    """What git said: its exit code, stdout, and stderr cut down to the reason, without credentials."""

    status: int
    out: bytes
    reason: str


class Git:
    """git in `folder`, called `label` in errors, speaking `protocols` (joined by `:`); without any it stays offline."""

    def __init__(
        self, folder: str, label: str = "", *, config: Iterable[tuple[str, str]] = (), protocols: str = "none"
    ) -> None:
        self.folder = folder
        self.label = label or folder
        # By environment, not `-c`: a repo may name a filter "a=b", which `-c` cannot address.
        start = os.environ.get("GIT_CONFIG_COUNT", "")
        first = int(start) if start.isdecimal() else 0
        rows = (*_CONFIG, *config)
        self._environment = _ENVIRONMENT | {"GIT_ALLOW_PROTOCOL": protocols, "GIT_CONFIG_COUNT": f"{first + len(rows)}"}
        for number, (key, value) in enumerate(rows, first):
            self._environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}

    def run(self, *args: str, timeout: float | None = None) -> Result:
        """Run a command, at most `timeout` seconds. Raises ToolError when there is no git."""
        status, out, err = self._execute(
            args,
            with_extended_output=True,
            with_exceptions=False,
            stdout_as_string=False,
            strip_newline_in_stdout=False,
            kill_after_timeout=timeout,
        )
        return Result(status, out, _reason(err))

    def __call__(self, *args: str) -> bytes:
        """Return a command's output. Raises RepoError when it fails."""
        status, out, reason = self.run(*args)
        if status:
            raise self.failure(reason)
        return out

    @contextmanager
    def ask(self, *args: str, ids: Iterable[str]) -> Iterator[IO[bytes]]:
        """Give the stdout of one process that is asked for many objects.

        An EOFError raised while reading becomes a RepoError with git's own reason.
        """
        with TemporaryFile() as questions:
            questions.write("".join(f"{id_}\n" for id_ in ids).encode())
            questions.seek(0)
            process = self._execute(args, istream=questions, as_process=True)
        ended = ""
        try:
            yield process.stdout
        except EOFError as error:
            ended = str(error)
        finally:
            process.terminate()
            err = process.communicate()[1]
        if ended:
            raise self.failure(_reason(err.decode(errors="replace")) or ended)

    def failure(self, reason: str) -> RepoError:
        """Return the error for git's `reason`, with what to do about it."""
        remedy = next((remedy for pattern, remedy in _REMEDIES if re.search(pattern, reason)), "")
        return RepoError(f"{self.label!r} cannot be read: {reason}", remedy)

    def _execute(self, args: tuple[str, ...], **options: Any) -> Any:
        git = _gitpython()
        foreign = [word for name in _FOREIGN if name in os.environ for word in ("-u", name)]
        command = [*(["env", *foreign] if foreign else []), git.Git.GIT_PYTHON_GIT_EXECUTABLE or "git"]
        try:
            # Not GitPython's working_dir: it expands "$" and "~" in names.
            return git.Git().execute([*command, "-C", self.folder, *args], env=self._environment, **options)
        except git.GitCommandNotFound as error:
            raise _no_git() from error


def check_protocol(url: str) -> None:
    """Raise UsageError where GitPython's own check holds the URL's transport to be unsafe."""
    git = _gitpython()
    try:
        git.Git.check_unsafe_protocols(url)
    except git.UnsafeProtocolError:
        raise UsageError(f"{redact(url)!r} would run a program as its transport", "use a plain URL") from None


def _gitpython() -> Any:
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    try:
        import git  # noqa: PLC0415  (takes 0.1 s and runs git)
    except ImportError as error:
        raise _no_git() from error
    return git


def _no_git() -> ToolError:
    return ToolError("git is not installed, or not on PATH", "install git 2.31 or later")


def _reason(stderr: str) -> str:
    """Return what is worth telling of stderr: its first fatal line, or first error, or last line."""
    lines = [line for line in stderr.encode("utf-8", "backslashreplace").decode().splitlines() if not _IDLE.match(line)]
    for word in ("fatal: ", "error: ", "Timeout: "):
        if line := next((line for line in lines if line.startswith(word)), ""):
            return redact(line.removeprefix(word) if word != "Timeout: " else "timed out")
    return redact(lines[-1]) if lines else "git ended without a reason"
