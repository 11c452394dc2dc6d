"""What `dr` would do, as shell commands for people: how a unit is applied, and how its objects are seen to be well."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from dr.core.model import Prerequisite, Ref, Unit
from dr.core.rules.builtin import BUILTIN_GROUPS
from dr.core.rules.readiness import NEEDED, READINESS

_APPLY = "kubectl apply --server-side"
_WAIT = "--timeout=10m"
_AT_ONCE = 20  # objects in one command
# kubectl knows a rollout's end; `wait` knows no condition of these that says as much.
_ROLLOUTS = ("apps/DaemonSet", "apps/Deployment", "apps/StatefulSet")
# Conditions that `kubectl wait` is given for kinds for which NEEDED and READINESS have no row.
_CONDITIONS = {
    "batch/Job": "Complete",
    "cert-manager.io/Certificate": "Ready",
    "cert-manager.io/ClusterIssuer": "Ready",
    "cert-manager.io/Issuer": "Ready",
    "external-secrets.io/ClusterSecretStore": "Ready",
    "external-secrets.io/ExternalSecret": "Ready",
    "external-secrets.io/SecretStore": "Ready",
    "helm.toolkit.fluxcd.io/HelmRelease": "Ready",
    "kustomize.toolkit.fluxcd.io/Kustomization": "Ready",
    "source.toolkit.fluxcd.io/Bucket": "Ready",
    "source.toolkit.fluxcd.io/GitRepository": "Ready",
    "source.toolkit.fluxcd.io/OCIRepository": "Ready",
}
# What holds data that git does not have: comes back empty where nobody restores it.
_DATA = frozenset(
    {
        "/PersistentVolume",
        "/PersistentVolumeClaim",
        "acid.zalan.do/postgresql",
        "apps/StatefulSet",
        "elasticsearch.k8s.elastic.co/Elasticsearch",
        "kafka.strimzi.io/Kafka",
        "mongodbcommunity.mongodb.com/MongoDBCommunity",
        "postgresql.cnpg.io/Cluster",
        "psmdb.percona.com/PerconaServerMongoDB",
        "pxc.percona.com/PerconaXtraDBCluster",
        "rabbitmq.com/RabbitmqCluster",
    }
)
# How to see whether a prerequisite is met, by its kind; `{0}` is its name. Others: `kubectl get` where the name allows.
_PREREQUISITES = {
    "engine": "kubectl api-resources --api-group={0}",
    "api": "kubectl api-resources --api-group={0}",
    "sealing-key": "kubectl get secret -A -l sealedsecrets.bitnami.com/sealed-secrets-key",
    "registry": "curl -sSgo /dev/null -w '%{{http_code}}\\n' https://{0}/v2/",
}
# Registries by the name in an image → the host that answers for them.
_REGISTRIES = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}
_NEWEST = "get --sort-by=.metadata.creationTimestamp"


class Block(Struct, frozen=True):
    """Commands to be run together, one a line, and what is said before them."""

    says: str
    commands: tuple[str, ...]


class Task(Struct, frozen=True):
    """One thing to do. `key` names it whatever its number is; `notes` are said before its commands."""

    key: str
    title: str
    notes: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()


class Trouble(Struct, frozen=True):
    """Something known to go wrong: what, how it is known, and what to do."""

    title: str
    notes: tuple[str, ...]


def quoted(text: str) -> str:
    """Return a word for a POSIX shell that holds exactly this text, on one line and printable."""
    if text.isprintable():
        return shlex.quote(text)
    plain = "".join(
        c if c.isprintable() and c not in "'\\" else "".join(f"\\{b:03o}" for b in c.encode(errors="replace"))
        for c in text
    )
    return f"$'{plain}'"


def within(repo: str, path: str) -> str:
    """Return a path as seen from the clone, or, with several repos, from the folder that holds the clones."""
    found = "/".join(part for part in (repo, path) if part not in ("", ".")) or "."
    return f"./{found}" if found.startswith("-") else found


def applying(
    unit: Unit, files: Sequence[str], namespaces: Collection[str], owner: str = "", *, parted: bool = False
) -> tuple[Block, ...]:
    """Return how to apply a unit from its files, the way to prefer first.

    `files`: those with its objects, as paths that the reader has. `namespaces`: of its objects. `owner`: the file of
    the GitOps engine's object for it, "" without one. `parted`: other units stand in folders below its own, so that no
    kustomization.yaml is there, and the folder as a whole would bring them too early.
    """
    into = f" -n {quoted(next(iter(namespaces)))}" if len(namespaces) == 1 else ""
    plain = (f"{_APPLY}{into}" + "".join(f" -f {quoted(file)}" for file in files),)
    place = below(unit)
    folder = quoted(place)
    build = (f"{_APPLY}{into} -k {folder}",)
    adds = f"patches, substitutions and targetNamespace of {owner} are then up to you" if owner else ""
    if unit.kind in ("folder", "service") or parted:
        says = f"Apply its files ({adds}):" if adds else "Apply its files:"
        return (Block(says, plain),) if files else ()
    if unit.kind == "overlay":
        return (Block("Build and apply it:", build),)
    blocks = []
    if unit.kind == "Kustomization" and unit.owner is not None and owner:
        flux = (
            f"flux build kustomization {quoted(unit.owner.name)} -n {quoted(unit.owner.namespace)} --path {folder}"
            f" --kustomization-file {quoted(owner)} --dry-run | {_APPLY} -f -"
        )
        blocks.append(Block("Build it as Flux does, but without values from substituteFrom, and apply it:", (flux,)))
        blocks.append(Block(f"Or, without the flux program ({adds}):", build))
    else:
        blocks.append(Block(f"Build and apply it ({adds}):" if adds else "Build and apply it:", build))
    # Objects from files beside the folder can only come of a kustomization.yaml in it.
    if files and all(file.startswith(f"{place}/") or place == "." for file in files):
        blocks.append(Block(f"Or, if {place} holds no kustomization.yaml:", plain))
    return tuple(blocks)


def below(unit: Unit) -> str:
    """Return the folder of a unit: a part of a Flux Kustomization is named after its own below the other's."""
    part = unit.name.partition(":")[2] if unit.kind == "Kustomization" and unit.owner is None else ""
    return within(unit.repo, "/".join(filter(None, (unit.path if unit.path != "." else "", part))))


def keeps(ref: Ref) -> bool:
    """Return whether an object of this kind holds data that git does not have."""
    return f"{ref.group}/{ref.kind}" in _DATA or (_added(ref.group) and ref.kind.endswith("Database"))


def checking(refs: Iterable[Ref]) -> tuple[Block, ...]:
    """Return how to wait until objects are well, which ones only a person can judge, or at least that they are there.

    An object that gets its name when it is made is looked for among all of its kind.
    """
    waiting, looking_at, stored = (defaultdict[tuple[str, str], list[str]](list) for _ in range(3))
    for ref in sorted(refs):
        space = f" -n {quoted(ref.namespace)}" if ref.namespace else ""
        if ref.name.endswith("*"):
            looking_at[space, _NEWEST].append(quoted(_word(ref).partition("/")[0]))
            continue
        word = quoted(_word(ref))
        waits = tuple(_waits(ref))
        for wait in waits:
            waiting[space, wait].append(word)
        if not waits:
            (looking_at if _added(ref.group) else stored)[space, "get"].append(word)
    blocks = []
    if waiting:
        blocks.append(Block("Wait until it is well:", tuple(_commands(waiting))))
    if looking_at:
        blocks.append(
            Block("Look at these yourself; what ready means is in their status:", tuple(_commands(looking_at)))
        )
    if stored and not blocks:
        blocks.append(Block("See that it is there:", tuple(_commands(stored))))
    return tuple(blocks)


def looking(value: Prerequisite) -> str:
    """Return a command that shows whether a prerequisite is met, "" where there is none."""
    if value.kind in _PREREQUISITES:
        return _PREREQUISITES[value.kind].format(quoted(_REGISTRIES.get(value.name, value.name)))
    kind, _, rest = value.name.partition(" ")
    namespace, slash, name = rest.rpartition("/")
    if not kind.isidentifier() or not name or value.kind in ("load-balancer", "decryption-key", "dns-name"):
        return ""
    if name == "(default)":
        return f"kubectl get {kind.lower()}"
    return f"kubectl{f' -n {quoted(namespace)}' if slash else ''} get {quoted(f'{kind}/{name}')}"


def _waits(ref: Ref) -> Iterator[str]:
    """Yield the verb and options that wait for an object of this kind."""
    kind = f"{ref.group}/{ref.kind}"
    if kind in _ROLLOUTS:
        yield f"rollout status {_WAIT}"
    conditions = (
        NEEDED.get(kind) or NEEDED.get(f"{ref.group}/*") or ((_CONDITIONS[kind],) if kind in _CONDITIONS else ())
    )
    yield from (f"wait --for=condition={condition} {_WAIT}" for condition in conditions)
    if ref.group:
        for row in READINESS:
            if row.kind in (kind, f"{ref.group}/*"):
                yield f"wait --for={quoted(f'jsonpath={{.{row.path}}}={row.ready[0]}')} {_WAIT}"


def _commands(grouped: Mapping[tuple[str, str], Iterable[str]]) -> Iterator[str]:
    for (space, verb), found in sorted(grouped.items()):
        words = list(dict.fromkeys(found))
        size = 1 if verb.startswith("rollout") or verb == _NEWEST else _AT_ONCE
        for start in range(0, len(words), size):
            yield f"kubectl{space} {verb} {' '.join(words[start : start + size])}"


def _word(ref: Ref) -> str:
    """Return an object as kubectl takes it, without a doubt which API is meant."""
    if not _added(ref.group):
        return f"{ref.kind.lower()}/{ref.name}"
    return f"{ref.kind}.{ref.api_version.rpartition('/')[2]}.{ref.group}/{ref.name}"


def _added(group: str) -> bool:
    """Return whether an API group is none of Kubernetes' own."""
    return group not in BUILTIN_GROUPS
