"""What `dr` would do, as shell commands for people: how a unit is applied, and how its objects are seen to be well."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence

from msgspec import Struct

from dr.core.model import Prerequisite, Ref, Unit
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
# How to see whether a prerequisite is met, by its kind; `{0}` is its name. Others: `kubectl get` where the name allows.
_PREREQUISITES = {
    "engine": "kubectl api-resources --api-group={0}",
    "api": "kubectl api-resources --api-group={0}",
    "sealing-key": "kubectl get secret -A -l sealedsecrets.bitnami.com/sealed-secrets-key",
}


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


def applying(unit: Unit, files: Sequence[str], namespaces: Collection[str], owner: str = "") -> tuple[Block, ...]:
    """Return how to apply a unit from its files.

    `files`: those with its objects, as paths that the reader has. `namespaces`: of its objects. `owner`: the file of
    the GitOps engine's object for it, "" without one. The first block is the one to prefer.
    """
    into = f" -n {quoted(next(iter(namespaces)))}" if len(namespaces) == 1 else ""
    part = unit.name.partition(":")[2] if unit.kind == "Kustomization" and unit.owner is None else ""
    folder = quoted(within(unit.repo, f"{unit.path}/{part}" if part else unit.path))
    build = f"{_APPLY}{into} -k {folder}"
    if unit.kind in ("folder", "service"):
        listed = "".join(f" -f {quoted(file)}" for file in files)
        return (Block("Apply its files:", (f"{_APPLY}{into}{listed}",)),) if files else ()
    if unit.kind == "overlay":
        return (Block("Build and apply it:", (build,)),)
    # Objects from files beside the folder can only come of a kustomization.yaml in it.
    inside = all(file.startswith(f"{within(unit.repo, unit.path)}/") for file in files)
    plain = f" (with no kustomization.yaml in {unit.path or 'it'}: -f in place of -k)" if inside else ""
    if unit.kind == "Kustomization" and unit.owner is not None and owner:
        flux = (
            f"flux build kustomization {quoted(unit.owner.name)} -n {quoted(unit.owner.namespace)} --path {folder}"
            f" --kustomization-file {quoted(owner)} --dry-run | {_APPLY} -f -"
        )
        return (
            Block("Build it as Flux does, but without values from substituteFrom, and apply it:", (flux,)),
            Block(f"Or, without the flux program; what {owner} adds of its own is then up to you{plain}:", (build,)),
        )
    return (Block(f"Build and apply it{plain}:", (build,)),)


def checking(refs: Iterable[Ref]) -> tuple[Block, ...]:
    """Return how to wait until objects are well, and which ones only a person can judge."""
    grouped: dict[tuple[str, str], list[str]] = defaultdict(list)
    looked: dict[tuple[str, str], list[str]] = defaultdict(list)
    for ref in sorted(refs):
        word, space = quoted(_word(ref)), f" -n {quoted(ref.namespace)}" if ref.namespace else ""
        waits = tuple(_waits(ref))
        for wait in waits:
            grouped[space, wait].append(word)
        if not waits and _added(ref.group):
            looked[space, "get"].append(word)
    waiting = tuple(_commands(grouped))
    blocks = [Block("Wait until it is well:", waiting)] if waiting else []
    if looked:
        blocks.append(Block("Look at these yourself; what ready means is in their status:", tuple(_commands(looked))))
    return tuple(blocks)


def looking(value: Prerequisite) -> str:
    """Return a command that shows whether a prerequisite is met, "" where there is none."""
    if value.kind in _PREREQUISITES:
        return _PREREQUISITES[value.kind].format(quoted(value.name))
    kind, _, rest = value.name.partition(" ")
    namespace, slash, name = rest.rpartition("/")
    if not kind.isidentifier() or not name or value.kind in ("load-balancer", "registry", "decryption-key"):
        return ""
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


def _commands(grouped: dict[tuple[str, str], list[str]]) -> Iterator[str]:
    for (space, verb), words in sorted(grouped.items()):
        size = 1 if verb.startswith("rollout") else _AT_ONCE
        for start in range(0, len(words), size):
            yield f"kubectl{space} {verb} {' '.join(words[start : start + size])}"


def _word(ref: Ref) -> str:
    """Return an object as kubectl takes it, without a doubt which API is meant."""
    if not _added(ref.group):
        return f"{ref.kind.lower()}/{ref.name}"
    return f"{ref.kind}.{ref.api_version.rpartition('/')[2]}.{ref.group}/{ref.name}"


def _added(group: str) -> bool:
    """Return whether an API group is none of Kubernetes' own."""
    return "." in group and not (group.endswith(".k8s.io") and group.count(".") == 2)
