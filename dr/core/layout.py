"""Which objects of a repo are restored, by which unit, in which environment. Pure: paths and documents in."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from posixpath import dirname, join

from msgspec import Struct

from dr.core.body import items, mapping, text
from dr.core.config import Config
from dr.core.exact import adoption
from dr.core.folders import RELEASE, below, clean, env_of, folders_of, in_chart, is_tool
from dr.core.kustomization import as_json
from dr.core.model import Body, Diagnostic, Document, Level, Unit, Where
from dr.core.overlay import Overlay, closure, roots
from dr.core.owners import ARGO, FLUX, SOURCES, Owner, flux_path, owners
from dr.core.synthetic import Edit, Pairs, Part, argo_fields, flux_fields, generated, merged, pairs_of


class Deployment(Struct, frozen=True):
    """What one unit applies: overlays to render and files to read.

    namespace: for objects that name none; `forced` says that it replaces theirs (Flux targetNamespace).
    variables: literal postBuild.substitute; variables_from: ConfigMaps (namespace, name) in git.
    edit: a build that takes the place of these overlays; of its objects, those that stand in `part`.
    labels, annotations: set on every object at the end (Flux commonMetadata, and where the unit has
        no owner, being a part of one, the labels of that).
    """

    unit: Unit
    overlays: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    namespace: str = ""
    forced: bool = False
    substitutes: bool = False
    variables: tuple[tuple[str, str], ...] = ()
    variables_from: tuple[tuple[str, str], ...] = ()
    edit: Edit | None = None
    part: str = ""
    labels: Pairs = ()
    annotations: Pairs = ()


class Layout(Struct, frozen=True):
    """The deployments of a repo, the environments found, and what was noticed."""

    deployments: tuple[Deployment, ...]
    envs: tuple[str, ...]
    diagnostics: tuple[Diagnostic, ...]


def survey(
    repo: str,
    paths: frozenset[str],
    documents: Mapping[str, tuple[Document, ...]],
    overlays: Mapping[str, Overlay],
    config: Config,
) -> Layout:
    """Find what is deployed from a repo, and as what.

    First the folders that Flux Kustomizations and Argo CD Applications point at, then the overlays
    that no other overlay uses, then plain files by folder. What belongs to a chart, to an overlay's
    inputs or to a tool is not applied by anybody and left out.
    """
    return _Survey(repo, paths, documents, overlays, config).layout()


class _Survey:
    def __init__(
        self,
        repo: str,
        paths: frozenset[str],
        documents: Mapping[str, tuple[Document, ...]],
        overlays: Mapping[str, Overlay],
        config: Config,
    ) -> None:
        self.repo = repo
        self.paths = paths
        self.documents = documents
        self.overlays = overlays
        self.config = config
        self.charts = frozenset(
            dirname(path) for path in paths if path.rpartition("/")[2] in ("Chart.yaml", "Chart.yml")
        )
        self.outside_charts = {path: found for path, found in documents.items() if not self._in_chart(path)}
        self.by_folder: dict[str, list[str]] = defaultdict(list)
        for path in sorted(documents):
            self.by_folder[dirname(path)].append(path)
        self.folders = folders_of(paths)
        self.diagnostics: list[Diagnostic] = []
        self.used_files: set[str] = set()
        self.used_overlays: set[str] = set()
        found = {env for path in documents if (env := env_of(path, self.config.envs))}
        self.envs = tuple(sorted(found)) if len(found) > 1 else ()

    def layout(self) -> Layout:
        deployments = [*self._flux(), *self._argo()]
        for overlay in self.overlays.values():
            self.used_files.update(overlay.inputs, overlay.resources, (overlay.file,))
        deployments.extend(self._overlays())
        deployments.extend(self._plain())
        return Layout(
            tuple(sorted(deployments, key=lambda d: (d.unit, d.overlays, d.files))),
            self.envs,
            tuple(sorted(self.diagnostics)),
        )

    def env(self, path: str) -> str:
        """Return the environment of a file, "" where the repo has only one."""
        return env_of(path, self.config.envs) if self.envs else ""

    def _named(self, env: str, name: str) -> str:
        return f"{env}/{name}" if env and not name.startswith(f"{env}/") else name

    def _owners(self, kind: str, group: str) -> list[Owner]:
        return list(owners(self.outside_charts, kind, group, self.env))

    def _flux(self) -> Iterator[Deployment]:
        seen: set[tuple[str, str, str]] = set()
        found, generators = self._owners("Kustomization", FLUX), self._owners("ArtifactGenerator", SOURCES)
        times = Counter((owner.env, owner.name) for owner in found)
        for owner in found:
            folder = flux_path(owner, generators, self.folders)
            env = owner.env or self.env(join(folder, "x"))
            if folder not in self.folders:
                self._report_path(owner, ("spec", "path"), folder)
                continue
            fields = flux_fields(mapping(owner.body, "spec"), folder, self.folders)
            if (env, folder, as_json(fields)) in seen:
                continue
            seen.add((env, folder, as_json(fields)))
            twice = times[owner.env, owner.name] > 1
            name = self._named(env, f"{owner.ref.namespace}/{owner.name}" if twice else owner.name)
            yield from self._parts(owner, name, env, folder, fields)

    def _parts(self, owner: Owner, name: str, env: str, folder: str, fields: Body) -> Iterator[Deployment]:
        """Yield what a Flux Kustomization deploys: its folder, and apart from it the sub-folders with files."""
        spec, ref = mapping(owner.body, "spec"), owner.ref
        build, common = mapping(spec, "postBuild"), mapping(spec, "commonMetadata")
        sources = tuple(
            (text(source, "namespace") or ref.namespace, text(source, "name"))
            for source in items(build, "substituteFrom")
            if text(source, "kind") == "ConfigMap"
        )
        parts = list(self._collect(folder))
        edit = self._edit(owner, folder, fields, parts)
        marks = adoption(Unit(name, "Kustomization", folder, owner=ref))[1]
        for part, overlays, files in parts:
            unit = Unit(
                f"{name}:{part}" if part else name,
                "Kustomization",
                folder,
                env,
                self.repo,
                self._artifact(f"{folder}/{part}" if part else folder),
                None if part else ref,
            )
            yield Deployment(
                unit,
                () if edit else overlays,
                tuple(file for file in files if not edit or not self._listed(file)),
                text(spec, "targetNamespace"),
                forced=bool(text(spec, "targetNamespace")),
                substitutes=bool(build),
                variables=pairs_of(mapping(build, "substitute")),
                variables_from=sources,
                edit=edit,
                part=part,
                labels=pairs_of((marks if part else {}) | mapping(common, "labels")),
                annotations=pairs_of(mapping(common, "annotations")),
            )

    def _edit(self, owner: Owner, folder: str, fields: Body, parts: Iterable[Part] = ()) -> Edit | None:
        """Return what an engine builds a folder with, None where it adds nothing to it.

        parts: sub-folder, overlays and files that a kustomization for a folder without one lists.
        """
        if not fields:
            return None
        where, subject = owner.where(self.repo), str(owner.ref)
        self.used_files.update(clean(join(folder, text(patch, "path"))) for patch in items(fields, "patches"))
        if (overlay := self.overlays.get(folder)) is not None:
            body = self.documents[overlay.file][0].body
            return Edit(folder, overlay.file, as_json(merged(body, fields)), where, subject)
        listed = [(part, overlays, tuple(filter(self._listed, files))) for part, overlays, files in parts]
        body, origin = generated(folder, listed, lambda overlay: closure(overlay, self.overlays))
        made = as_json(merged(body, fields))
        return Edit(folder, join(folder, "kustomization.yaml"), made, where, subject, origin) if origin else None

    def _listed(self, file: str) -> bool:
        """Return whether the kustomization that Flux makes lists a file."""
        return file.endswith((".yaml", ".yml")) and any(is_object(document.body) for document in self.documents[file])

    def _argo(self) -> Iterator[Deployment]:
        for owner in self._owners("Application", ARGO):
            spec = mapping(owner.body, "spec")
            for source in [mapping(spec, "source"), *items(spec, "sources")]:
                folder = clean(text(source, "path"))
                if (
                    not text(source, "path")
                    or text(source, "chart")
                    or folder in self.charts
                    or folder not in self.folders
                ):
                    continue
                env = owner.env or self.env(join(folder, "x"))
                recurse = bool(mapping(source, "directory").get("recurse"))
                overlays, files = (
                    ((folder,), ()) if folder in self.overlays else ((), tuple(self._files_of(folder, recurse=recurse)))
                )
                self._use(overlays, files)
                fields = argo_fields(mapping(source, "kustomize"), folder, self.folders) if overlays else {}
                edit = self._edit(owner, folder, fields)
                unit = Unit(self._named(env, owner.name), "Application", folder, env, self.repo, "", owner.ref)
                namespace = text(spec, "destination", "namespace")
                yield Deployment(unit, () if edit else overlays, files, namespace, edit=edit)

    def _collect(self, folder: str) -> Iterator[Part]:
        """Yield (sub-folder, overlays, files) of a folder as Flux gathers it: overlays stop the descent."""
        found: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
        found[""]
        stack = [folder]
        while stack:
            here = stack.pop()
            part = here[len(folder) :].strip("/") if folder not in ("", ".") else here
            if here in self.overlays:
                found[part][0].append(here)
                continue
            files = self._files_of(here, recurse=False)
            if files:
                found[part][1].extend(files)
            stack.extend(sorted(self.folders.get(here, ())))
        for part, (overlays, files) in sorted(found.items()):
            self._use(overlays, files)
            yield part, tuple(overlays), tuple(files)

    def _files_of(self, folder: str, *, recurse: bool) -> list[str]:
        folders = [f for f in self.by_folder if f == folder or (recurse and below(f, folder))]
        return [
            file
            for f in sorted(folders)
            for file in self.by_folder[f]
            if not self._in_chart(file) and not is_tool(file)
        ]

    def _use(self, overlays: Iterable[str], files: Iterable[str]) -> None:
        self.used_files.update(files)
        for folder in overlays:
            self.used_overlays.add(folder)
            needed = closure(folder, self.overlays)
            self.used_files.update(needed)
            self.used_overlays.update(dirname(path) for path in needed if dirname(path) in self.overlays)

    def _overlays(self) -> Iterator[Deployment]:
        for folder in sorted(roots(self.overlays)):
            if folder in self.used_overlays or self._in_chart(join(folder, "x")):
                continue
            self._use((folder,), ())
            env = self.env(join(folder, "x"))
            unit = Unit(self._named(env, folder or "."), "overlay", folder, env, self.repo, self._artifact(folder))
            yield Deployment(unit, (folder,))

    def _plain(self) -> Iterator[Deployment]:
        for folder, files in sorted(self.by_folder.items()):
            free = [f for f in files if f not in self.used_files and not self._in_chart(f) and not is_tool(f)]
            if folder in self.overlays:
                self._report_unlisted(folder, free)
                continue
            if not free:
                continue
            env = self.env(free[0])
            release = RELEASE.match(f"{folder}/")
            kind, namespace = ("service", release["namespace"]) if release else ("folder", "")
            name = f"{release['namespace']}/{release['service']}" if release else folder or "."
            artifact = self._artifact(release[0].rstrip("/") if release else folder)
            yield Deployment(
                Unit(self._named(env, name), kind, folder, env, self.repo, artifact), (), tuple(free), namespace
            )

    def _artifact(self, folder: str) -> str:
        for document in self.documents.get(f"{folder}/artifact.json", ()):
            return text(document.body, "id")
        return ""

    def _in_chart(self, path: str) -> bool:
        return in_chart(path, self.charts)

    def _report_unlisted(self, folder: str, files: Iterable[str]) -> None:
        for file in files:
            if any(is_object(document.body) for document in self.documents[file]):
                cause = f"{self.overlays[folder].file} does not list it, so nothing applies it"
                self.diagnostics.append(
                    Diagnostic(Where(file, 0, self.repo), "unlisted", Level.INFO, file, cause, "list it, or delete it")
                )

    def _report_path(self, owner: Owner, field: tuple[str, ...], folder: str) -> None:
        source = f"{text(owner.body, 'spec', 'sourceRef', 'kind')} {text(owner.body, 'spec', 'sourceRef', 'name')}"
        cause = f"path {folder or '.'} of {source} is no folder of this repo"
        remedy = "correct spec.path, or give the repo that holds it as a further REPO"
        where = owner.where(self.repo, field)
        self.diagnostics.append(Diagnostic(where, "missing-path", Level.WARNING, str(owner.ref), cause, remedy))


def is_object(body: object) -> bool:
    """Return whether a document is a Kubernetes object: it has an apiVersion, a kind and a name."""
    named = (
        text(body, "metadata", "name") or text(body, "metadata", "generateName") or text(body, "kind").endswith("List")
    )
    return bool(text(body, "apiVersion") and text(body, "kind") and named)
