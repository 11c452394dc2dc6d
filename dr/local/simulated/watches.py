"""One watch a kind for all stand-ins: what is there now, and a call for each change."""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable

from dr.adapters.kube import Kube
from dr.core.body import mapping, text
from dr.core.errors import ApiError
from dr.core.model import Body
from dr.engine.ports import Change

Name = tuple[str, str]
Seen = Callable[[Change], None]
_AT_ONCE = 32
_PAUSE = 0.5
_SHORTEST = 0.02
_TRIES = 60


class Watches:
    """The cluster as the stand-ins see it: `objects[kind]`, or `objects["group/Kind"]`, by namespace and name."""

    def __init__(self, kube: Kube, tasks: asyncio.TaskGroup) -> None:
        self.kube = kube
        self.objects: dict[str, dict[Name, Body]] = defaultdict(dict)
        self._tasks = tasks
        self._seen: dict[tuple[str, str], list[Seen]] = {}
        self._limit = asyncio.Semaphore(_AT_ONCE)

    def follow(self, api_version: str, kind: str, seen: Seen) -> None:
        """Call `seen` for every object of a kind and each change; what is known already is told at once."""
        if (api_version, kind) in self._seen:
            self._seen[api_version, kind].append(seen)
            for body in list(self.objects[kind_of(api_version, kind)].values()):
                self._tell(seen, Change(body))
            return
        self._seen[api_version, kind] = [seen]
        self._tasks.create_task(self._watch(api_version, kind))

    async def _watch(self, api_version: str, kind: str) -> None:
        """Watch a kind; one that is not served yet is asked for until it is."""
        while True:
            try:
                async for change in self.kube.watch(api_version, kind):
                    known, key = self.objects[kind_of(api_version, kind)], name_of(change.body)
                    if change.gone:
                        known.pop(key, None)
                    else:
                        known[key] = change.body
                    for seen in self._seen[api_version, kind]:
                        self._tell(seen, change)
            except ApiError as error:
                if error.reason != "NoMatch":
                    complain(f"watch {kind}", error)
            await asyncio.sleep(_PAUSE)

    def _tell(self, seen: Seen, change: Change) -> None:
        try:
            seen(change)
        except Exception as error:  # noqa: BLE001 - one odd object must not end all stand-ins
            complain(f"{text(change.body, 'kind')} {name_of(change.body)}", error)

    def do(self, what: str, act: Callable[[], Awaitable[object]]) -> None:
        """Do something to the cluster in the background; what can heal is tried again."""
        self._tasks.create_task(self.settle(what, act))

    async def settle(self, what: str, act: Callable[[], Awaitable[object]]) -> None:
        """Do something to the cluster and wait until it is done or will not be."""
        for attempt in range(_TRIES):
            try:
                async with self._limit:
                    await act()
            except ApiError as error:
                if error.reason in ("NotFound", "AlreadyExists"):
                    return
                if not error.heals:
                    complain(what, error)
                    return
                await asyncio.sleep(min(_SHORTEST * 2**attempt, _PAUSE))
            except Exception as error:  # noqa: BLE001 - as above
                complain(what, error)
                return
            else:
                return


def kind_of(api_version: str, kind: str) -> str:
    """Return a kind with its API group, the kind alone for Kubernetes' core."""
    group, slash, _ = api_version.rpartition("/")
    return f"{group}/{kind}" if slash else kind


def name_of(body: Body) -> Name:
    """Return an object's namespace and name."""
    metadata = mapping(body, "metadata")
    return text(metadata, "namespace"), text(metadata, "name")


def complain(what: str, error: Exception) -> None:
    """Write to the stand-ins' log, without any object's content."""
    cause = error.cause if isinstance(error, ApiError) else repr(error)
    print(f"{what}: {cause[:500]}", file=sys.stderr, flush=True)  # noqa: T201 - this process has a log for output
