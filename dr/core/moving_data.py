"""What a forklift file says of data and hooks that cannot go well, before anything is done. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from dr.core.forklift import Forklift, named
from dr.core.hidden import Live
from dr.core.model import Level, Ref
from dr.core.moving_row import Row

_FOLLOWS_NOT = "nothing follows a snapshot or a backup: what is written after it stays behind"
_REMEDY = "mount it read-only, or stop what writes to it until the move is over; then say `read_only: true`"


def left_over(live: Iterable[Live], left: Iterable[Ref]) -> Iterator[Row]:
    """Yield what an earlier try of the move, at another commit, has left on the new cluster."""
    there = {(one.ref.kind, one.ref.namespace, one.ref.name) for one in live}
    for ref in left:
        if (ref.kind, ref.namespace, ref.name) in there:
            cause = "was brought to `to` by an earlier commit, and this one does not have it"
            yield Row("empty", Level.ERROR, str(ref), cause, "delete it there, or put it back into git")


def unmovable(move: Forklift, git: Collection[Ref], variables: Collection[str]) -> Iterator[Row]:
    """Yield what stands against a move's data and hooks.

    git: the objects of the commit. variables: the environment variables that are set, and not empty.
    """
    known = {(ref.kind, ref.namespace, ref.name) for ref in git}
    for data in move.data:
        of = named(data.of)
        if (of.kind, of.namespace, of.name) not in known:
            cause = f"belongs to {data.of}, which the commit does not have"
            yield Row("data", Level.ERROR, data.name, cause, "name an object of git under `of`")
        once = data.volume or data.velero
        if once and not once.read_only:
            yield Row("data", Level.ERROR, data.name, _FOLLOWS_NOT, _REMEDY)
        if data.command and not data.command.freeze:
            cause = "has no `freeze`: what is written during the last copy may stay behind"
            yield Row("data", Level.WARNING, data.name, cause, "give it a command that stops writes")
    hooks = (*move.cutover.traffic, *move.cutover.writer)
    for token in sorted({hook.http.token for hook in hooks if hook.http} - {"", *variables}):
        cause = "the environment variable of a hook's token is not set"
        yield Row("hooks", Level.ERROR, token, cause, "set it: without it the load balancer would refuse the cutover")
