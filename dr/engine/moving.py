"""Looks at both clusters of a move without writing to either: what is there, and where they differ."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence

from dr.core.body import home_group, text
from dr.core.census import UNCOUNTED, WHOLE, Census, Counting
from dr.core.errors import ApiError
from dr.core.forklift import Override
from dr.core.twins import Twin, compared, plain
from dr.core.work import Assignment
from dr.engine.ports import Api, Survey

_AT_ONCE = 4


async def census(cluster: Survey) -> Census:
    """Return what lives on a cluster; a kind that may not be listed is told, not left out. Raises ApiError."""
    target, issuer = await asyncio.gather(cluster.identity(), cluster.issuer())
    counting, refused = Counting(), list[tuple[str, str]]()
    limit = asyncio.Semaphore(_AT_ONCE)

    async def take(api: Api) -> None:
        async with limit:
            try:
                if api.kind in WHOLE:
                    async for bodies in cluster.pages(api):
                        counting.take(bodies)
                else:
                    async for found in cluster.origins(api):
                        counting.names(found)
            except ApiError as error:
                if error.status not in (403, 404, 405, 503):
                    raise
                # A kind of which the list is gone again, or that is served by somebody who is away, may hold anything.
                if error.status != 404:
                    refused.append((f"{api.resource}.{api.group}".rstrip("."), error.cause))

    kinds = [api for api in await cluster.kinds() if api.kind not in UNCOUNTED]
    await asyncio.gather(*(take(api) for api in kinds))
    return counting.census(target.server, target.version, issuer, refused)


async def parity(
    old: Survey, new: Survey, assignment: Assignment, overrides: Sequence[Override] = ()
) -> tuple[int, tuple[Twin, ...]]:
    """Compare every object of a commit between two clusters; return how many were, and the differences, sorted.

    Neither cluster is asked for more than lists. Raises ApiError.
    """
    steps: dict[tuple[str, str], dict[tuple[str, str], int]] = defaultdict(dict)
    for index, step in enumerate(assignment.steps):
        key = home_group(step.ref.group, step.ref.kind), step.ref.kind
        steps[key][step.ref.namespace, step.ref.name] = index
    kinds = [{(api.group, api.kind): api for api in found} for found in await asyncio.gather(old.kinds(), new.kinds())]
    limit = asyncio.Semaphore(_AT_ONCE)
    found: list[Twin] = []

    async def one(key: tuple[str, str], wanted: Mapping[tuple[str, str], int]) -> None:
        async with limit:
            # The same version of both, or a field's default would look like a difference.
            apis = [kind.get(key) for kind in kinds]
            shared = apis[0] or apis[1]
            sides = await asyncio.gather(
                *(_held(side, shared if api else None, wanted) for side, api in zip((old, new), apis, strict=True))
            )
            for place, index in wanted.items():
                step, work = assignment.steps[index], assignment.work[index]
                found.extend(compared(step.ref, work.body, sides[0].get(place), sides[1].get(place), overrides))

    await asyncio.gather(*(one(key, wanted) for key, wanted in sorted(steps.items())))
    return len(assignment.steps), tuple(sorted(found))


async def _held(
    cluster: Survey, api: Api | None, wanted: Mapping[tuple[str, str], int]
) -> dict[tuple[str, str], bytes]:
    """Return what a side holds of the wanted objects of a kind, packed: bodies are large, and both sides' are kept."""
    held: dict[tuple[str, str], bytes] = {}
    if api is None:
        return held
    async for bodies in cluster.pages(api):
        for body in bodies:
            place = text(body, "metadata", "namespace"), text(body, "metadata", "name")
            if place in wanted:
                held[place] = plain(body)
    return held
