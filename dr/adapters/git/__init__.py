"""Config repos through git: a commit, or a work tree as it is, as a `Snapshot`."""

from dr.adapters.git.repo import RepoSnapshot, open_repo
from dr.adapters.git.spec import RepoSpec, parse_spec, redact
from dr.adapters.git.trail import Release, last_changes

__all__ = ["Release", "RepoSnapshot", "RepoSpec", "last_changes", "open_repo", "parse_spec", "redact"]
