"""What stands around the units of a runbook: how to begin, what to have ready, how to verify, and known trouble."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from dr.core.byhand import Block, Task, Trouble, looking, quoted, within
from dr.core.model import Cycle, Graph, Level, Pin, Prerequisite

_LISTED = 40  # lines under one heading
# What others of these need comes first; kinds that are not listed come last.
_PREREQUISITES: dict[str, str] = {
    "namespace": "namespaces that are not in git",
    "engine": "the GitOps engine",
    "api": "APIs that git does not bring",
    "source": "sources of the GitOps engine",
    "sealing-key": "the sealing key",
    "decryption-key": "decryption keys",
    "deploy-key": "deploy keys",
    "registry-credentials": "credentials of registries",
    "store-credentials": "credentials of secret stores",
    "bucket-credentials": "credentials of buckets",
    "notification-credentials": "credentials of notifications",
    "registry": "registries that the nodes must reach",
    "storage-class": "storage classes",
    "ingress-class": "ingress classes",
    "gateway-class": "gateway classes",
    "runtime-class": "runtime classes",
    "snapshot-class": "snapshot classes",
    "load-balancer": "load balancers and the DNS names that point at them",
    "volume": "volumes and their data",
    "object": "objects that are named and not in git",
}
# Findings that matter here whatever their level; and those that are among the prerequisites already.
_ALSO = frozenset({"webhook-deadlock"})
_NOT = frozenset({"missing-namespace", "missing-reference", "missing-crd", "prerequisite"})
_URL = re.compile(r"(https?|ssh|git)://[^*]+$|[\w.-]+@[\w.-]+:[^*]+$")
_REFUSING = frozenset({"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"})


def begin(pins: Sequence[Pin]) -> Task:
    """Return the first step: the files as they were at the commit, and the cluster that is meant."""
    notes, commands = [], []
    for pin in pins:
        state = pin.commit or "no commit is known: the files as they were read"
        notes.append(f"{pin.name}: {state}{', with changes that were not committed' if pin.dirty else ''}.")
        into = quoted(pin.name if not pin.name.startswith("-") else f"./{pin.name}")
        if _URL.match(pin.location):
            commands.append(f"git clone -- {quoted(pin.location)} {into}")
        if pin.commit:
            commands.append(f"git -C {into} checkout --detach {quoted(pin.commit)}")
    if len(pins) == 1:
        commands.append(f"cd {quoted(within('', pins[0].name))}")
    where = "the folder that holds the clones" if len(pins) > 1 else "the repo's folder"
    notes.append(f"All commands run in {where}. Each may be run again: what is there already is not changed.")
    notes.append('"no matches for kind" right after a CustomResourceDefinition: wait a moment, and run it again.')
    return Task(
        "begin",
        "The files, the tools and the right cluster",
        tuple(notes),
        (
            *((Block("Take the files as they were at the commit:", tuple(commands)),) if commands else ()),
            Block(
                "Make sure that this is the cluster to restore into, and none that lives:",
                ("kubectl config current-context", "kubectl get nodes,namespaces"),
            ),
        ),
    )


def prerequisites(graph: Graph) -> Iterator[Task]:
    """Yield a step for each kind of thing that git does not hold."""
    kinds: dict[str, list[Prerequisite]] = defaultdict(list)
    for value in graph.prerequisites:
        kinds[value.kind].append(value)
    ranks = {kind: rank for rank, kind in enumerate(_PREREQUISITES)}
    for kind in sorted(kinds, key=lambda kind: (ranks.get(kind, len(ranks)), kind)):
        values = kinds[kind]
        notes = []
        for value in values[:_LISTED]:
            more = f" and {value.count - len(value.needed_by)} more" if value.count > len(value.needed_by) else ""
            users = f"; needed by {', '.join(value.needed_by)}{more}" if value.needed_by else ""
            notes.append(f"{value.name}: {value.reason} ({value.where}){users}.")
        if len(values) > _LISTED:
            notes.append(f"And {len(values) - _LISTED} more: dr plan lists them.")
        notes.extend(f"What to do: {remedy}." for remedy in sorted({value.remedy for value in values if value.remedy}))
        commands = tuple(dict.fromkeys(filter(None, map(looking, values[:_LISTED]))))
        blocks = (Block("To see whether it is there:", commands),) if commands else ()
        yield Task(f"need {kind}", f"Have ready: {_PREREQUISITES.get(kind, kind)}", tuple(notes), blocks)


def verify(count: int) -> Task:
    """Return the last step; `count` objects are expected."""
    return Task(
        "verify",
        "Verify the whole",
        (
            f"{count} objects are expected. Run what applies them with diff for apply: it prints what differs.",
            "Use the platform from outside as its users do, and read back the newest data that they wrote.",
            "Look whether the backups and the redundancy are there again, and write down when.",
        ),
        (
            Block(
                "Nothing should be left here:",
                ("kubectl get pods -A --field-selector=status.phase!=Running,status.phase!=Succeeded",),
            ),
            Block("Nothing new should be here:", ("kubectl get events -A --field-selector=type=Warning",)),
        ),
    )


def troubles(graph: Graph) -> tuple[Trouble, ...]:
    """Return what is known to go wrong: circles, deadlocks, and findings that stand against a restore."""
    return (*(_circle(graph, cycle) for cycle in graph.cycles[:_LISTED]), *_findings(graph))


def _circle(graph: Graph, cycle: Cycle) -> Trouble:
    nodes = graph.nodes
    names = " → ".join(str(nodes[edge.before].ref) for edge in cycle.edges)
    proof = [f"{nodes[e.after].ref} {e.reason} ({e.where})." for e in cycle.edges]
    left = [edge for edge in cycle.edges if edge in graph.cuts]
    guards = sorted({str(nodes[e.before].ref) for e in cycle.edges if nodes[e.before].ref.kind in _REFUSING})
    if cycle.deadlock:
        todo = [
            f"Bring up {nodes[e.after].ref} by hand without {nodes[e.before].ref}, then apply it again." for e in left
        ]
        todo.append("No order brings these back as they are written: break the circle in git.")
    else:
        todo = [
            f"{nodes[e.after].ref} is started before {nodes[e.before].ref}: once both are there, restart it if need be."
            for e in left
        ]
    todo.extend(f"If {name} refuses its own backend's objects: delete it, apply it last." for name in guards)
    return Trouble(f"{'Deadlock' if cycle.deadlock else 'Circle'}: {names}", (*proof, *todo))


def _findings(graph: Graph) -> Iterator[Trouble]:
    grave = [d for d in sorted(graph.diagnostics) if (d.level is Level.ERROR or d.code in _ALSO) and d.code not in _NOT]
    for found in grave[:_LISTED]:
        todo = (f"What to do: {found.remedy}.",) if found.remedy else ()
        yield Trouble(f"{found.code}: {found.subject}", (f"{found.cause} ({found.where}).", *todo))
    if len(grave) > _LISTED:
        yield Trouble(f"{len(grave) - _LISTED} more findings", ("dr lint lists them all.",))
