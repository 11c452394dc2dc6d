"""A herd file as values: which clusters, which scenarios, in which waves; and what came of it, cluster by cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from dr.core.gameday import Duration, hook, lasting
from dr.core.model import Diagnostic, Document, Path
from dr.core.shape import read

SOURCES = ("list", "secrets", "capi", "argo")
# waiting and running become one of the others; skipped was not tried, or not to its end, because enough was known.
STATES = ("waiting", "running", "met", "missed", "failed", "skipped")
SPENDS = ("missed", "failed")


class _Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping whose every field is known: a misspelt budget must not be no budget."""


class Listed(_Strict, frozen=True):
    """A cluster by name: a target as `--to` takes it (`context`), or a `secret` of the management cluster.

    `secret` is namespace/name, its kubeconfig stands under `key`. `lock` binds the name to one cluster (`dr lock`
    prints it); nothing is disturbed in a cluster without one.
    """

    name: str
    context: str = ""
    secret: str = ""
    key: str = "kubeconfig"
    lock: str = ""
    labels: dict[str, str] = {}


class Secrets(_Strict, frozen=True):
    """Secrets with a kubeconfig each (under `key`) by label selector. Their annotation `dr.dev/lock` is the lock."""

    namespace: str
    selector: str
    key: str = "kubeconfig"


class Capi(_Strict, frozen=True):
    """Cluster API's Cluster objects; the kubeconfig is in the Secret NAME-kubeconfig under `value`.

    The annotation `dr.dev/lock` of the Cluster is the lock. Without a `namespace`: of all.
    """

    namespace: str = ""
    selector: str = ""


class Argo(_Strict, frozen=True):
    """Argo CD's cluster Secrets. Their annotation `dr.dev/lock` is the lock; labels are the Secret's."""

    namespace: str = "argocd"
    selector: str = ""


class Clusters(_Strict, frozen=True, rename={"listed": "list"}):
    """Where clusters come from; more than one way may be given, no cluster twice."""

    listed: tuple[Listed, ...] = ()
    secrets: Secrets | None = None
    capi: Capi | None = None
    argo: Argo | None = None


class Scenario(_Strict, frozen=True):
    """What is exercised: a `gameday` file (its target is replaced by the member's cluster), or a `command`.

    A command ends with 0 (met), 1 (missed) or anything else (failed), and has KUBECONFIG and DR_CLUSTER. The last line
    that it prints may be JSON: `{"rta": 2.1, "error": 0.2, "cause": ""}`. Reports name it as a command.
    """

    name: str
    gameday: str = ""
    command: tuple[str, ...] = ()


class Wave(_Strict, frozen=True):
    """Clusters that have their turn together: those that `clusters` (names, `*` in them) or `labels` choose.

    Without either: all that are left. At most `max_parallel` at a time; `pause` is waited before the next wave. With a
    `budget` of its own (0 for canaries) the herd stops sooner. `enough`: so many met suffice for each scenario.
    """

    name: str = ""
    clusters: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    max_parallel: int = 5
    pause: Duration = lasting(0.0)
    budget: int | str | None = None
    enough: int = 0


class Resources(_Strict, frozen=True):
    """What a worker's container asks for, and its limit of memory."""

    cpu: str = "100m"
    memory: str = "256Mi"
    memory_limit: str = "512Mi"


class Kubernetes(_Strict, frozen=True):
    """Run as Indexed Jobs of the management cluster.

    `claim`: the PersistentVolumeClaim that workers keep their reports in; without it only figures are kept. `keep`: for
    how long a finished Job and its results stay there. `secrets`: Secrets of the namespace whose keys are variables of
    the container, and files under /etc/dr/secrets/NAME.
    """

    namespace: str
    image: str
    service_account: str = "dr-herd"
    command: tuple[str, ...] = ("dr",)
    claim: str = ""
    node_selector: dict[str, str] = {}
    resources: Resources = msgspec.field(default_factory=Resources)
    keep: Duration = lasting(86400.0)
    secrets: tuple[str, ...] = ()


class Herd(_Strict, frozen=True):
    """The content of a herd file.

    `home`: the management cluster, a target as `--to` takes it; inside of a cluster without it that one. `budget`: so
    many members (a number, or a share such as `10%`) may miss or fail; one more, and the rest is skipped. `attempts`
    for each member, of which each may take `timeout`: only what a tool or the infrastructure broke is tried again.
    Without `kubernetes` members are processes of this machine.
    """

    title: str
    name: str
    clusters: Clusters
    scenarios: tuple[Scenario, ...]
    waves: tuple[Wave, ...] = msgspec.field(default_factory=lambda: (Wave(),))
    budget: int | str = 0
    attempts: int = 2
    timeout: Duration = lasting(1800.0)
    home: str = ""
    kubernetes: Kubernetes | None = None


class Member(Struct, frozen=True, kw_only=True):
    """One cluster × one scenario, and what came of it.

    `state` is one of STATES; `rta` seconds, which may be less by `error`, or None; `censored`: given up after so many
    seconds. `run`: the gameday's run. `attempts` counts those that were begun.
    """

    cluster: str
    scenario: str
    wave: int
    state: str = "waiting"
    rta: float | None = None
    error: float = 0.0
    censored: float | None = None
    run: str = ""
    cause: str = ""
    attempts: int = 0
    labels: dict[str, str] = {}


class Herded(Struct, frozen=True, kw_only=True):
    """A run of a herd, as it stands (`herd.json`).

    `waves`: the clusters of each. `budget` in members, `spent` of it. `verdict`: running, met, missed, stopped (the
    budget was spent) or interrupted. `commands`: scenarios that are commands and no gamedays.
    """

    schema: int = 1
    herd: str
    run: str
    time: str
    title: str
    waves: tuple[tuple[str, ...], ...]
    budget: int
    spent: int = 0
    verdict: str = "running"
    members: tuple[Member, ...] = ()
    commands: tuple[str, ...] = ()


class Result(Struct, frozen=True):
    """What a worker found out: a state of STATES that is an end, and the figures of `Member`."""

    state: str
    rta: float | None = None
    error: float = 0.0
    censored: float | None = None
    run: str = ""
    cause: str = ""


def parse(document: Document, file: str) -> tuple[Herd | None, tuple[Diagnostic, ...]]:
    """Read a herd file.

    Returns the herd, None when any error was found, and everything that is wrong with the file, by line.
    """
    return read(document, file, Herd, "herd", hook, sense)


def sense(herd: Herd) -> Iterator[tuple[Path, str]]:
    """Yield what is well formed and cannot be meant: where in the file, and why."""
    listed = [cluster.name for cluster in herd.clusters.listed]
    scenarios = [scenario.name for scenario in herd.scenarios]
    named = herd.name.replace("-", "")
    sources = (herd.clusters.listed, herd.clusters.secrets, herd.clusters.capi, herd.clusters.argo)
    rows: tuple[tuple[Any, Path, str], ...] = (
        (not named.isalnum() or not named.isascii() or herd.name != herd.name.lower(), ("name",), _NAME),
        (len(herd.name) > 30, ("name",), "is longer than 30 characters: names of Jobs begin with it"),
        (not any(sources), ("clusters",), f"names none: give at least one of {', '.join(SOURCES)}"),
        (not scenarios, ("scenarios",), "is empty: there is nothing to exercise"),
        (len(set(listed)) != len(listed), ("clusters", "list"), "two have the same name"),
        (len(set(scenarios)) != len(scenarios), ("scenarios",), "two have the same name"),
        (not herd.waves, ("waves",), "is empty: leave it out for a single one"),
        (herd.attempts < 1, ("attempts",), "must be at least 1"),
        (herd.timeout <= 0, ("timeout",), "must be more than 0"),
        (_odd(herd.budget), ("budget",), _BUDGET),
    )
    yield from ((path, cause) for wrong, path, cause in rows if wrong)
    for index, cluster in enumerate(herd.clusters.listed):
        if bool(cluster.context) == bool(cluster.secret):
            yield ("clusters", "list", index), "name either `context` or `secret`"
        elif cluster.secret and cluster.secret.count("/") != 1:
            yield ("clusters", "list", index, "secret"), f"{cluster.secret} is not namespace/name"
    for index, scenario in enumerate(herd.scenarios):
        if bool(scenario.gameday) == bool(scenario.command):
            yield ("scenarios", index), "must be either a `gameday` or a `command`"
    for index, wave in enumerate(herd.waves):
        if wave.max_parallel < 1:
            yield ("waves", index, "max_parallel"), "must be at least 1"
        if wave.budget is not None and _odd(wave.budget):
            yield ("waves", index, "budget"), _BUDGET
        if wave.enough < 0:
            yield ("waves", index, "enough"), "must be at least 0"


_BUDGET = "must be a number of members, or a share of them such as 10%"
_NAME = "must be of lower-case letters, digits and dashes: Jobs are named for it"


def _odd(budget: int | str) -> bool:
    """Return whether a budget is neither a number nor a share."""
    if isinstance(budget, int):
        return budget < 0
    number = budget.removesuffix("%")
    return not budget.endswith("%") or not number.isdigit() or int(number) > 100


def allowed(budget: int | str, members: int) -> int:
    """Return how many of so many members may miss or fail; a share is rounded down."""
    return budget if isinstance(budget, int) else members * int(budget.removesuffix("%")) // 100
