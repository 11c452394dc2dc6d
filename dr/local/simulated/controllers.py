"""Controllers of custom resources: what they serve becomes Ready, and what they make appears, while they run."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from dr.core.body import get, items, text
from dr.core.errors import ApiError
from dr.core.health import State, health
from dr.core.model import Body, Ref
from dr.core.rules.builtin import BUILTIN_GROUPS
from dr.core.rules.readiness import READINESS
from dr.core.simulated import Served, Simulation
from dr.engine.ports import Change
from dr.local.simulated.watches import Watches, kind_of, name_of

_WORKLOADS = frozenset({"Deployment", "StatefulSet", "DaemonSet"})
_MANAGER = "dr-stand-in"
_Key = tuple[str, str, str]  # kind with its group, namespace, name


class Controllers:
    """Plays every controller of a simulation."""

    def __init__(self, watches: Watches) -> None:
        self._watches = watches
        self._served: dict[_Key, Served] = {}
        self._waiting_for: dict[_Key, list[_Key]] = defaultdict(list)
        self._brought: dict[_Key, list[Body]] = defaultdict(list)
        self._ready: set[_Key] = set()
        self._done: dict[_Key, str] = {}
        self._homeless: dict[str, list[Body]] = defaultdict(list)

    async def play(self, simulation: Simulation) -> None:
        """Begin to play, with what is there from the start in place; what an earlier simulation has made stays."""
        for body in (*simulation.objects, *(b.body for b in simulation.brought if b.by is None)):
            await self._watches.settle(_title(body), lambda body=body: self._supply(body))  # type: ignore[misc]
        if self._homeless:
            self._watches.follow("v1", "Namespace", self._housed)
        for brought in simulation.brought:
            if brought.by is not None:
                self._brought[_key(brought.by)].append(brought.body)
        for served in simulation.served:
            self._served[_key(served.ref)] = served
            for by in served.by:
                self._waiting_for[_key(by)].append(_key(served.ref))
        kinds = {(s.ref.api_version, s.ref.kind) for s in simulation.served}
        kinds |= {(by.api_version, by.kind) for s in simulation.served for by in s.by if by.kind in _WORKLOADS}
        for api_version, kind in sorted(kinds):
            self._watches.follow(api_version, kind, self._seen)

    async def _supply(self, body: Body) -> None:
        """Put in place what comes from outside git; where its namespace is git's, as soon as that is there."""
        home = text(body, "metadata", "namespace")
        try:
            await self._put(body)
        except ApiError as error:
            if not home or error.reason != "NotFound":
                raise
            self._homeless[home].append(body)
            if found := self._watches.objects["Namespace"].get(("", home)):
                self._housed(Change(found))

    def _housed(self, change: Change) -> None:
        if not change.gone and not get(change.body, "metadata", "deletionTimestamp"):
            for body in self._homeless.pop(name_of(change.body)[1], ()):
                self._watches.do(_title(body), lambda body=body: self._supply(body))  # type: ignore[misc]

    def _seen(self, change: Change) -> None:
        key = (kind_of(text(change.body, "apiVersion"), text(change.body, "kind")), *name_of(change.body))
        if key in self._served:
            if change.gone:
                self._done.pop(key, None)
                self._set_ready(key, ready=False)
            else:
                self._act(key, change.body)
        elif key in self._waiting_for:
            self._set_ready(key, ready=not change.gone and health(change.body).state is State.CURRENT)

    def _set_ready(self, key: _Key, *, ready: bool) -> None:
        if ready == (key in self._ready):
            return
        (self._ready.add if ready else self._ready.discard)(key)
        if not ready:
            return
        for body in self._brought.get(key, ()):
            self._apply(body)
        for other in self._waiting_for.get(key, ()):
            if known := self._watches.objects[other[0]].get((other[1], other[2])):
                self._act(other, known)

    def _act(self, key: _Key, body: Body) -> None:
        """Serve an object as far as its controller is there; once for each of its generations."""
        served = self._served[key]
        if not all(_key(by) in self._ready for by in served.by):
            return
        state = f"{text(body, 'metadata', 'uid')}/{get(body, 'metadata', 'generation')}"
        if self._done.get(key) == state:
            return
        self._done[key] = state
        self._watches.do(f"serve {served.ref}", lambda: self._serve(key, served, body))

    async def _serve(self, key: _Key, served: Served, body: Body) -> None:
        for made in [] if served.error else served.makes:
            owner = {
                "apiVersion": served.ref.api_version,
                "kind": served.ref.kind,
                "name": served.ref.name,
                "uid": text(body, "metadata", "uid"),
            }
            own = served.ref.namespace == get(made, "metadata", "namespace")
            metadata = {**made["metadata"], **({"ownerReferences": [owner]} if own else {})}
            await self._watches.kube.apply({**made, "metadata": metadata}, manager=_MANAGER)
        if served.ref.group not in BUILTIN_GROUPS:  # theirs is written by Kubernetes' own controllers
            await self._report(served, body)
        if not served.error:
            self._set_ready(key, ready=True)

    async def _report(self, served: Served, body: Body) -> None:
        """Write the status; a CRD without a status, or with one of another shape, takes less or nothing."""
        full = _status(served, body)
        for status in (full, {"conditions": full["conditions"]}):
            for subresource in ("status", ""):
                try:
                    await self._watches.kube.patch(served.ref, {"status": status}, subresource=subresource)
                except ApiError as error:
                    if error.heals:
                        raise
                    continue
                return

    def _apply(self, body: Body) -> None:
        self._watches.do(_title(body), lambda: self._put(body))

    async def _put(self, body: Body) -> None:
        """Apply an object; a CustomResourceDefinition is there when its kind is served."""
        await self._watches.kube.apply(body, manager=_MANAGER)
        if text(body, "kind") == "CustomResourceDefinition":
            for version in items(body, "spec", "versions"):
                served = f"{text(body, 'spec', 'group')}/{text(version, 'name')}"
                await self._watches.kube.api(served, text(body, "spec", "names", "kind"))


def _title(body: Body) -> str:
    return f"{text(body, 'kind')} {text(body, 'metadata', 'name')}"


def _status(served: Served, body: Body) -> Body:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    generation = get(body, "metadata", "generation") or 1
    condition = {
        "type": "Ready",
        "status": "False" if served.error else "True",
        "reason": "Simulated",
        "message": served.error or "simulated",
        "lastTransitionTime": now,
        "observedGeneration": generation,
    }
    status: dict[str, Any] = {"conditions": [condition], "observedGeneration": generation}
    if not served.error:
        for kind, path, value in _FIELDS:
            if kind in (f"{served.ref.group}/{served.ref.kind}", f"{served.ref.group}/*"):
                place: dict[str, Any] = status
                *parents, last = path
                for parent in parents:
                    place = place.setdefault(parent, {})
                place[last] = value
    return status


# Fields that tell of readiness, with the value that does: from the table that `health` reads.
_FIELDS = tuple(
    (rule.kind, tuple(rule.path.split(".")[1:]), rule.ready[0])
    for rule in READINESS
    if rule.path.startswith("status.") and "[" not in rule.path and "{" not in rule.path
)


def _key(ref: Ref) -> _Key:
    return kind_of(ref.api_version, ref.kind), ref.namespace, ref.name
