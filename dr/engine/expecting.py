"""What an object must come to beyond what it says itself: the same for a restore that waits and for a verification."""

from __future__ import annotations

from collections import defaultdict

from dr.core.backends import backends
from dr.core.body import get, items, text
from dr.core.errors import ApiError
from dr.core.health import Expectation
from dr.core.model import Body, Ref
from dr.core.rules.builtin import BUILTIN_GROUPS
from dr.core.work import Assignment
from dr.engine.ports import Cluster

SLICE = ("discovery.k8s.io/v1", "EndpointSlice")
_SERVICE_LABEL = "kubernetes.io/service-name"
Name = tuple[str, str]


class Expecting:
    """The expectations of a restore's steps. `behind`: the steps that must answer before a Service is ready.

    Only what the cluster has said is remembered: an error that heals, or an object that may come yet, is no answer.
    """

    def __init__(self, assignment: Assignment, cluster: Cluster) -> None:
        self._steps, self._work = assignment.steps, assignment.work
        self._cluster = cluster
        self.behind = backends(assignment)
        self._endpoints: dict[Name, dict[str, int]] = defaultdict(dict)
        self._reports: dict[tuple[str, str], bool] = {}
        self._consumers: dict[str, bool] = {}

    def saw(self, body: Body, *, gone: bool) -> Name:
        """Take note of an EndpointSlice; return namespace and name of its Service."""
        service = text(body, "metadata", "namespace"), text(body, "metadata", "labels", _SERVICE_LABEL)
        ready = sum(
            bool(items(endpoint, "addresses")) and get(endpoint, "conditions", "ready") is not False
            for endpoint in items(body, "endpoints")
        )
        self._endpoints[service][text(body, "metadata", "name")] = 0 if gone else ready
        return service

    async def of(self, step: int, body: Body) -> Expectation:
        """Return what a step's object, as just seen, must come to. Raises ApiError for what may be asked again."""
        ref = self._steps[step].ref
        if step in self.behind:
            ready = sum(self._endpoints[ref.namespace, ref.name].values())
            return Expectation(endpoints=True, ready_endpoints=ready)
        if ref.kind == "PersistentVolumeClaim" and not ref.group and text(body, "status", "phase") != "Bound":
            return Expectation(first_consumer=await self._binds_late(text(body, "spec", "storageClassName")))
        if self._work[step].awaited and ref.group not in BUILTIN_GROUPS:
            return Expectation(conditions=await self._has_conditions(ref))
        return Expectation()

    async def _binds_late(self, name: str) -> bool:
        if name and name not in self._consumers:
            found = await self._asked(Ref("storage.k8s.io/v1", "StorageClass", "", name))
            if found is None:
                return False
            self._consumers[name] = text(found, "volumeBindingMode") == "WaitForFirstConsumer"
        return self._consumers.get(name, False)

    async def _has_conditions(self, ref: Ref) -> bool:
        """Return whether a custom kind's CRD declares `status.conditions`: then its controller will report."""
        key = (ref.api_version, ref.kind)
        if key not in self._reports:
            api = await self._cluster.api(ref.api_version, ref.kind)
            crd = Ref("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", f"{api.resource}.{api.group}")
            found = await self._asked(crd)
            self._reports[key] = any(
                get(row, "schema", "openAPIV3Schema", "properties", "status", "properties", "conditions") is not None
                for row in items(found, "spec", "versions")
                if get(row, "name") == api.version
            )
        return self._reports[key]

    async def _asked(self, ref: Ref) -> Body | None:
        """Return an object; None also where it may not be read, which no waiting changes."""
        try:
            return await self._cluster.get(ref)
        except ApiError as error:
            if error.heals:
                raise
            return None
