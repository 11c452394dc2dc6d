"""What a restore needs and git does not have: missing nodes, findings and prerequisites."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from msgspec import Struct

from dr.core.body import dig, get, items, mapping, text
from dr.core.edges.charts import Release
from dr.core.edges.references import where
from dr.core.model import Basis, Diagnostic, Edge, Level, Node, Origin, Prerequisite, Ref, Strength, Where
from dr.core.rules.prerequisites import (
    ABSENCES,
    DEFAULT_STORAGE_CLASS,
    ENGINE_NAMESPACES,
    LOAD_BALANCER,
    REGISTRY,
    SEALING_KEY,
    SOPS_KEY,
    Absence,
)
from dr.core.scan import segments
from dr.core.world import Need, World

_SHOWN = 5
_DOCKER_HUB = "docker.io"


class Missing(Struct, frozen=True):
    """The outcome for unmet needs: extra nodes (numbered after the world's), their edges, findings, prerequisites."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    diagnostics: tuple[Diagnostic, ...]
    prerequisites: tuple[Prerequisite, ...]


class _Lack(Struct, frozen=True):
    absence: Absence
    name: str
    reason: str
    after: int
    where: Where


_Key = tuple[str, str, str, str, str]


def missing(world: World, needs: Iterable[Need], provided: frozenset[str]) -> Missing:
    """Turn unmet needs into nodes, edges, findings and prerequisites.

    `provided` lists what a team says is there from outside git, as `Kind/name` or `Kind/namespace/name`:
    it stays a node, but is no finding and no open prerequisite.
    """
    nodes: list[Node] = []
    edges: list[Edge] = []
    diagnostics: list[Diagnostic] = []
    lacks: list[_Lack] = []
    known: dict[_Key, int] = {}
    for need in sorted(needs, key=lambda n: (n.kind, n.group, n.namespace, n.name, n.after, n.where, n.rule)):
        env = world.nodes[need.after].env
        key = (env, need.group, need.kind, need.namespace, need.name)
        if key not in known:
            known[key] = len(world.nodes) + len(nodes)
            version = f"{need.group}/v1" if need.group else ""  # only its group is known, if that
            nodes.append(Node(Ref(version, need.kind, need.namespace, need.name), Origin.MISSING, "", env))
        edges.append(
            Edge(known[key], need.after, need.strength, need.basis, need.rule, f"{need.reason} {need.name}", need.where)
        )
        absence = _absence(need, world.nodes[need.after].ref.kind)
        if is_provided(need, provided):
            continue
        lacks.append(_Lack(absence, _name(need), need.reason, need.after, need.where))
        if absence.code and not (need.kind == "Namespace" and need.name in ENGINE_NAMESPACES):
            diagnostics.append(_finding(world, need, absence))
    return Missing(tuple(nodes), tuple(edges), _one_each(diagnostics), _prerequisites(world, lacks))


def is_provided(need: Need, provided: frozenset[str]) -> bool:
    """Return whether dr.yaml says that what is needed exists outside git."""
    return bool(provided & {f"{need.kind}/{need.name}", f"{need.kind}/{need.namespace}/{need.name}", f"{need.kind}/*"})


def _name(need: Need) -> str:
    if need.rule in ("api", "engine"):
        return need.name
    return f"{need.kind} {need.namespace}/{need.name}" if need.namespace else f"{need.kind} {need.name}"


def _absence(need: Need, referrer: str) -> Absence:
    kind = {"api": "API", "engine": "Engine", "sealing-key": "SealingKey"}.get(need.rule, need.kind)
    if kind == "SealingKey":
        return SEALING_KEY
    if kind == "DecryptionKey":
        return SOPS_KEY
    return next(row for row in ABSENCES if row.kind in ("", kind) and row.referrer in ("", referrer))


def _finding(world: World, need: Need, absence: Absence) -> Diagnostic:
    subject = str(world.nodes[need.after].ref)
    level = Level.WARNING if need.basis is Basis.INFERRED and absence.level is Level.ERROR else absence.level
    cause = {
        "namespace": f"namespace {need.name} is defined nowhere in git",
        "api": f"nothing in git brings the API {need.name}",
        "engine": f"the API {need.name} is served by a GitOps engine, which must be there before git can be",
        "sealing-key": "the private key that opens SealedSecrets is not in git and must not be; a new cluster needs it",
    }.get(need.rule, f"{need.reason} {need.name}, but no {_name(need)} is in git, nor does anything in git make it")
    return Diagnostic(need.where, absence.code, level, subject, cause, absence.remedy)


def _one_each(findings: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Keep one finding of those that say the same of many objects: a namespace, an API, a key."""
    first: dict[tuple[str, str, str], Diagnostic] = {}
    for finding in sorted(findings):
        shared = (
            finding.code in ("missing-namespace", "missing-crd")
            or "defined nowhere" in finding.cause
            or "GitOps" in finding.cause
            or "SealedSecrets" in finding.cause
        )
        first.setdefault((finding.code, "" if shared else finding.subject, finding.cause), finding)
    return tuple(first.values())


def _prerequisites(world: World, lacks: Iterable[_Lack]) -> tuple[Prerequisite, ...]:
    grouped: dict[tuple[str, str], list[_Lack]] = defaultdict(list)
    for lack in (*lacks, *_from_outside(world)):
        grouped[lack.absence.what, lack.name].append(lack)
    found = []
    for (what, name), group in sorted(grouped.items()):
        first = min(group, key=lambda lack: lack.where)
        users = sorted({str(world.nodes[lack.after].ref) for lack in group})
        found.append(
            Prerequisite(what, name, first.reason, first.absence.remedy, len(users), tuple(users[:_SHOWN]), first.where)
        )
    return tuple(found)


def _from_outside(world: World) -> Iterator[_Lack]:
    """Yield what no field names, but every restore needs: registries, a default StorageClass, load balancers."""
    for index, template in world.pods.items():
        for group in ("initContainers", "containers"):
            for container in items(template, "spec", group):
                if image := text(container, "image"):
                    yield _Lack(
                        REGISTRY, registry(image), "images are pulled from it", index, world.resources[index].where
                    )
    has_default = any(
        str(get(world.resources[i].body, "metadata", "annotations", "storageclass.kubernetes.io/is-default-class"))
        in ("true", "True")
        for i in world.of_kind("StorageClass")
    )
    if not has_default:
        for index, resource in enumerate(world.resources):
            claims = [mapping(resource.body, "spec")] if resource.ref.kind == "PersistentVolumeClaim" else []
            claims += [
                claim
                for claim in dig(resource.body, segments("spec.volumeClaimTemplates[].spec"))
                if isinstance(claim, dict)
            ]
            if any(not claim.get("storageClassName") and not claim.get("volumeName") for claim in claims):
                yield _Lack(
                    DEFAULT_STORAGE_CLASS,
                    "StorageClass (default)",
                    "claims name no StorageClass",
                    index,
                    resource.where,
                )
    for index in world.of_kind("Service", ""):
        resource = world.resources[index]
        if text(resource.body, "spec", "type") == "LoadBalancer":
            yield _Lack(LOAD_BALANCER, "load balancer", "Services want an address from outside", index, resource.where)


def registry(image: str) -> str:
    """Return the registry of an image name, as the container runtimes resolve it.

    >>> registry("nginx:1"), registry("ghcr.io/a/b:1"), registry("localhost:5000/x")
    ('docker.io', 'ghcr.io', 'localhost:5000')
    """
    host, slash, _ = image.partition("/")
    return host if slash and ("." in host or ":" in host or host == "localhost") else _DOCKER_HUB


def sealed(world: World) -> Iterator[Need]:
    """Yield the need of a sealing key for each SealedSecret, unless such a key is in git."""
    has_key = any(
        "sealedsecrets.bitnami.com/sealed-secrets-key" in mapping(world.resources[i].body, "metadata", "labels")
        for i in world.of_kind("Secret", "")
    )
    for index in [] if has_key else world.of_kind("SealedSecret", "bitnami.com"):
        resource = world.resources[index]
        yield Need(
            "SealingKey",
            "",
            "",
            "sealed-secrets-key",
            index,
            Strength.EXISTS,
            Basis.REFERENCE,
            "sealing-key",
            "is opened with",
            resource.where,
        )
    for index, resource in enumerate(world.resources):
        if isinstance(resource.body.get("sops"), dict):
            yield Need(
                "DecryptionKey",
                "",
                "",
                "sops",
                index,
                Strength.EXISTS,
                Basis.REFERENCE,
                "sops-key",
                "is encrypted with SOPS and opened with",
                resource.where,
            )


def namespaces(world: World) -> Iterator[Edge | Need]:
    """Yield namespace → each object in it; a need for a namespace that is defined nowhere."""
    known: dict[tuple[str, str], list[int]] = {}
    for index, resource in enumerate(world.resources):
        name = resource.ref.namespace
        if not name:
            continue
        key = (resource.env, name)
        if key not in known:
            known[key] = world.find(resource.env, "Namespace", "", name, "")
        for target in known[key]:
            yield Edge(
                target,
                index,
                Strength.EXISTS,
                Basis.REFERENCE,
                "namespace",
                f"lives in namespace {name}",
                resource.where,
            )
        if not known[key] and not world.everywhere("Namespace", "", name):
            place = where(resource, ("metadata", "namespace"))
            yield Need(
                "Namespace",
                "",
                "",
                name,
                index,
                Strength.EXISTS,
                Basis.REFERENCE,
                "namespace",
                "lives in namespace",
                place,
            )


def charts_in_git(
    world: World,
    releases: Iterable[Release],
    folders: frozenset[str],
    repo_names: frozenset[str],
    provided: frozenset[str],
) -> Iterator[Diagnostic]:
    """Yield a finding for each release whose chart folder is in no repo that was read.

    `folders` are the folders of all repos; a chart of a repo that is not among `repo_names` is a
    warning, since it may stand there. `provided` may name one as `Chart/<folder>`.
    """
    for release in releases:
        path = release.path.strip("/").removeprefix("./")
        if not path or path in folders or path == "." or f"Chart/{path}" in provided:
            continue
        resource = world.resources[release.index]
        address = release.repo.removesuffix(".git").rstrip("/")
        here = not address or address.rpartition("/")[2] in repo_names
        field = next(
            (
                p
                for p in (("spec", "chart", "path"), ("spec", "chart", "spec", "chart"), ("spec", "source", "path"))
                if get(resource.body, *p)
            ),
            (),
        )
        cause = f"the folder {path} is not in " + (
            "this repo" if here else f"any repo given here, and {release.repo} was not read"
        )
        remedy = (
            "restore the folder, or point the release at where its chart lives"
            if here
            else "give that repo as a further REPO"
        )
        yield Diagnostic(
            where(resource, field),
            "missing-chart",
            Level.ERROR if here else Level.WARNING,
            str(resource.ref),
            cause,
            remedy,
        )
