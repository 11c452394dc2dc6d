"""The kubelet's gate: a pod starts when all that it refers to is there, and not a moment earlier."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable

from dr.core.body import get, items, mapping, text
from dr.core.kubelet import Wish, owner_of, wishes
from dr.core.model import Body, Ref
from dr.core.simulated import Simulation
from dr.engine.ports import Change
from dr.local.simulated.watches import Name, Watches, name_of

CONDITION, STARTUP = "dr.dev/References", "dr.dev/startup"
_SPREAD = 0.1
_Thing = tuple[str, str, str]


class Gate:
    """Looks at every pod that is bound to a node and pending, once it appears and when what it lacked appears."""

    def __init__(self, watches: Watches) -> None:
        self.simulation = Simulation()
        self._watches = watches
        self._lacking: dict[_Thing, set[Name]] = defaultdict(set)
        self._told: dict[str, str] = {}
        self._keys: dict[Name, tuple[str, frozenset[str]]] = {}
        for kind in ("ConfigMap", "Secret", "PersistentVolumeClaim"):
            watches.follow("v1", kind, self._appeared)
        watches.follow("v1", "Pod", self._pod)

    def _appeared(self, change: Change) -> None:
        thing = (text(change.body, "kind"), *name_of(change.body))
        for pod in sorted(self._lacking.pop(thing, ())) if not change.gone else ():
            if body := self._watches.objects["Pod"].get(pod):
                self._pod(Change(body))

    def _pod(self, change: Change) -> None:
        pod = change.body
        uid = text(pod, "metadata", "uid")
        if change.gone:
            self._told.pop(uid, None)
        elif _starting(pod) and self._told.get(uid) != "released":
            self._watches.do(f"pod {name_of(pod)[1]}", lambda: self._look(pod, uid))

    async def _look(self, pod: Body, uid: str) -> None:
        namespace, name = name_of(pod)
        missing = [wish for wish in wishes(mapping(pod, "spec")) if not await self._met(namespace, wish)]
        for wish in missing:
            self._lacking[wish.kind, namespace, wish.name].add((namespace, name))
        # What came while keys were being asked for is not told again.
        if any(not wish.keys and self._there(namespace, wish) for wish in missing):
            await self._look(pod, uid)
            return
        said = "; ".join(_said(wish) for wish in missing) or "released"
        if self._told.get(uid) == said or self._told.get(uid) == "released":
            return
        self._told[uid] = said
        patch = _waiting(pod, missing, said) if missing else self._released(pod)
        # A pod of the same name that came since is not meant.
        patch["metadata"] = {**mapping(patch, "metadata"), "uid": uid}
        try:
            await self._watches.kube.patch(Ref("v1", "Pod", namespace, name), patch, subresource="status")
        except Exception:
            self._told.pop(uid, None)
            raise

    def _there(self, namespace: str, wish: Wish) -> bool:
        found = self._watches.objects[wish.kind].get((namespace, wish.name))
        return found is not None and (wish.kind != "PersistentVolumeClaim" or get(found, "status", "phase") == "Bound")

    async def _met(self, namespace: str, wish: Wish) -> bool:
        if not self._there(namespace, wish):
            return False
        found = self._watches.objects[wish.kind][namespace, wish.name]
        if not wish.keys:
            return True
        if wish.kind == "ConfigMap":
            return set(wish.keys) <= mapping(found, "data").keys() | mapping(found, "binaryData").keys()
        version = text(found, "metadata", "resourceVersion")
        known = self._keys.get((namespace, wish.name))
        if known is None or known[0] != version:
            secret = await self._watches.kube.read(Ref("v1", "Secret", namespace, wish.name)) or {}
            # Names of keys only: the values go no further.
            known = self._keys[namespace, wish.name] = (version, frozenset(mapping(secret, "data")))
        return set(wish.keys) <= known[1]

    def _released(self, pod: Body) -> Body:
        own = text(pod, "metadata", "annotations", STARTUP)
        kind, name = owner_of(pod)
        startup = own or self._startup(f"{kind}/{name_of(pod)[0]}/{name}", kind)
        condition = {"type": CONDITION, "status": "True", "reason": "AllThere"}
        return {
            "metadata": {"annotations": {STARTUP: startup}},
            "status": {"conditions": [*_others(pod), condition]},
        }

    def _startup(self, owner: str, kind: str) -> str:
        """Return a start-up time as Go writes durations, spread a little, the same for a seed."""
        table = self.simulation.startup
        base = table.get(owner, table.get(kind, table.get("*", 0.0)))
        dice = random.Random(f"{self.simulation.seed}/{owner}")  # noqa: S311 - repeatable, no secret
        return f"{base * dice.uniform(1 - _SPREAD, 1 + _SPREAD):.3f}s"


def _starting(pod: Body) -> bool:
    return text(pod, "status", "phase") == "Pending" and bool(text(pod, "spec", "nodeName"))


def _others(pod: Body) -> list[Body]:
    return [c for c in items(pod, "status", "conditions") if text(c, "type") != CONDITION]


def _waiting(pod: Body, missing: Iterable[Wish], said: str) -> Body:
    mounted = all(wish.mounted for wish in missing)
    reason = "ContainerCreating" if mounted else "CreateContainerConfigError"
    state = {"waiting": {"reason": reason, "message": said}}
    containers = [
        {
            "name": text(container, "name"),
            "image": text(container, "image"),
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": state,
        }
        for container in items(pod, "spec", "containers")
    ]
    condition = {"type": CONDITION, "status": "False", "reason": "FailedMount" if mounted else reason, "message": said}
    return {"status": {"conditions": [*_others(pod), condition], "containerStatuses": containers}}


def _said(wish: Wish) -> str:
    what = wish.kind.lower()
    if what == "persistentvolumeclaim":
        return f'persistentvolumeclaim "{wish.name}" not bound'
    keys = f" or its key {', '.join(wish.keys)}" if wish.keys else ""
    return f'{what} "{wish.name}"{keys} not found'
