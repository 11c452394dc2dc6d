"""What stands around the units of a runbook: how to begin, what to have ready, how to verify, and known trouble."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

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
    "load-balancer": "load balancers",
    "dns-name": "the DNS names that point here",
    "volume": "volumes and their data",
    "object": "objects that are named and not in git",
}
_KEY_FIRST = (
    "Its namespace may not be there yet: create it first (kubectl create namespace NAME); its unit takes it over."
)
# What to say to somebody who stands before it, by kind; a remedy speaks of git and of the time before.
_ON_THE_DAY: dict[str, str] = {
    "engine": "Install only its controllers and APIs (flux install; not flux bootstrap, which begins at once):"
    " what tells it what to deploy comes at the end.",
    "source": "Where only Kustomizations and Applications need it, it is wanted at the end, for the hand-over.",
    "sealing-key": f"{_KEY_FIRST} If the controller started before the key was there, restart the controller.",
    "decryption-key": "kubectl stores encrypted files as they are: by hand, apply what sops decrypt FILE prints.",
    "deploy-key": _KEY_FIRST,
    "registry-credentials": _KEY_FIRST,
    "store-credentials": _KEY_FIRST,
    "bucket-credentials": _KEY_FIRST,
    "notification-credentials": _KEY_FIRST,
    "registry": "200, 401 or 403: it answers, here at least; make sure that the nodes may reach it too.",
    "dns-name": "Point the names at the load balancers as soon as these have addresses: ACME certificates wait for it.",
    "object": "On the day: put it back from where it is kept, or do without what needs it.",
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
        state = f"commit {pin.commit}" if pin.commit else "was not read from git: take the newest copy"
        notes.append(f"{pin.name}: {state}{', and changes that were not committed' if pin.dirty else ''}.")
        into = quoted(pin.name if not pin.name.startswith("-") else f"./{pin.name}")
        if _URL.match(pin.location):
            commands.append(f"git clone -- {quoted(pin.location)} {into}")
        if pin.commit:
            commands.append(f"git -C {into} checkout --detach {quoted(pin.commit)}")
    if len(pins) == 1:
        commands.append(f"cd {quoted(within('', pins[0].name))}")
    kept = " ".join(pin.name for pin in pins if not _URL.match(pin.location))
    says = f"In the folder that holds {kept}:" if kept else "Take the files:"
    where = "the folder that holds the clones" if len(pins) > 1 else "the repo's folder"
    notes.append(
        f"All commands run in {where}, in bash or zsh. Each may be run again: what is there is not made twice."
    )
    notes.append('"no matches for kind" right after a CustomResourceDefinition: wait a moment, and run it again.')
    notes.append(
        "If something does not get well: kubectl -n NAMESPACE get pods,events, kubectl describe what is not ready,"
        " and known trouble, if there is any, at the end. Do not go on to what waits for it."
    )
    return Task(
        "begin",
        "The files, the tools and the right cluster",
        tuple(notes),
        (
            *((Block(says, tuple(commands)),) if commands else ()),
            Block(
                "Make sure that this is the cluster to restore into, and none that lives:",
                ("kubectl config current-context", "kubectl get nodes,namespaces"),
            ),
        ),
    )


def prerequisites(wanted: Iterable[Prerequisite]) -> Iterator[Task]:
    """Yield a step for each kind of thing that git does not hold."""
    kinds: dict[str, list[Prerequisite]] = defaultdict(list)
    for value in wanted:
        kinds[value.kind].append(value)
    ranks = {kind: rank for rank, kind in enumerate(_PREREQUISITES)}
    for kind in sorted(kinds, key=lambda kind: (ranks.get(kind, len(ranks)), kind)):
        values = kinds[kind]
        notes = []
        for value in values[:_LISTED]:
            more = f" and {value.count - len(value.needed_by)} more" if value.count > len(value.needed_by) else ""
            users = f", for {', '.join(value.needed_by)}{more}" if value.needed_by else ""
            notes.append(f"{value.name}{users} ({value.where}).")
        if len(values) > _LISTED:
            notes.append(f"And {len(values) - _LISTED} more: dr plan lists them.")
        notes.extend(f"What to do: {remedy}." for remedy in sorted({value.remedy for value in values if value.remedy}))
        if kind in _ON_THE_DAY:
            notes.append(_ON_THE_DAY[kind])
        commands = tuple(dict.fromkeys(filter(None, map(looking, values[:_LISTED]))))
        blocks = [Block("To see whether it is there:", commands)] if commands else []
        if kind == "namespace":
            made = tuple(f"kubectl create namespace {quoted(v.name.rpartition(' ')[2])}" for v in values[:_LISTED])
            blocks.append(Block("To create what is not:", made))
        yield Task(f"need {kind}", f"Have ready: {_PREREQUISITES.get(kind, kind)}", tuple(notes), tuple(blocks))


def pointing(names: Sequence[Prerequisite]) -> Iterator[Task]:
    """Yield the step that points DNS names at the restored cluster, where there are any."""
    asked = tuple(f"nslookup {quoted(v.name)}" for v in names[:_LISTED] if "*" not in v.name)
    if names:
        yield Task(
            "dns",
            "Point the DNS names at this cluster",
            (
                f"{', '.join(v.name for v in names[:_LISTED])}{' and more: see above' * (len(names) > _LISTED)}.",
                "Unless something in the cluster does it (external-dns): then see that it did.",
            ),
            (
                Block(
                    "The addresses of this cluster:",
                    (
                        "kubectl get services -A --field-selector=spec.type=LoadBalancer",
                        "kubectl get ingresses -A",
                    ),
                ),
                *((Block("Where the names point:", asked),) if asked else ()),
            ),
        )


def verify(count: int) -> Task:
    """Return the last step; `count` objects are expected."""
    return Task(
        "verify",
        "Verify the whole",
        (
            f"{count} objects of git must be there. To see what differs: the commands of units, with diff for apply.",
            "Use the platform from outside as its users do, and read back the newest data that they wrote.",
            "Look whether the backups and the redundancy are there again, and write down when.",
        ),
        (
            Block(
                "No pod should be listed, and no Deployment be short of pods:",
                (
                    "kubectl get pods -A --field-selector=status.phase!=Running,status.phase!=Succeeded",
                    "kubectl wait --for=condition=Available --timeout=10m deployments --all -A",
                    "kubectl get statefulsets,daemonsets -A",
                ),
            ),
            Block(
                "No warning should be newer than the last step:",
                ("kubectl get events -A --field-selector=type=Warning --sort-by=.lastTimestamp",),
            ),
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
