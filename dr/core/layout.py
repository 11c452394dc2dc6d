"""Which objects of a repo are restored, by which unit, in which environment. Pure: paths and documents in."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from posixpath import dirname, join

from msgspec import Struct

from dr.core.body import items, mapping, text
from dr.core.config import Config
from dr.core.folders import RELEASE, below, clean, copied, env_of, folders_of, in_chart, is_tool
from dr.core.lines import line_of
from dr.core.model import Body, Diagnostic, Document, Level, Ref, Unit, Where
from dr.core.overlay import Overlay, closure, roots

FLUX, ARGO, SOURCES = "kustomize.toolkit.fluxcd.io", "argoproj.io", "source.extensions.fluxcd.io"


class Deployment(Struct, frozen=True):
    """What one unit applies: overlays to render and files to read.

    namespace: for objects that name none; `forced` says that it replaces theirs (Flux targetNamespace).
    variables: literal postBuild.substitute; variables_from: ConfigMaps (namespace, name) in git.
    """

    unit: Unit
    overlays: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    namespace: str = ""
    forced: bool = False
    substitutes: bool = False
    variables: tuple[tuple[str, str], ...] = ()
    variables_from: tuple[tuple[str, str], ...] = ()


class Layout(Struct, frozen=True):
    """The deployments of a repo, the environments found, and what was noticed."""

    deployments: tuple[Deployment, ...]
    envs: tuple[str, ...]
    diagnostics: tuple[Diagnostic, ...]


class _Owner(Struct, frozen=True):
    file: str
    document: Document
    env: str

    @property
    def body(self) -> Body:
        return self.document.body  # type: ignore[no-any-return]

    @property
    def name(self) -> str:
        return text(self.body, "metadata", "name")


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

    def _owners(self, kind: str, group: str) -> Iterator[_Owner]:
        for file in sorted(self.documents):
            if self._in_chart(file):
                continue
            for document in self.documents[file]:
                body = document.body
                if (
                    isinstance(body, dict)
                    and body.get("kind") == kind
                    and text(body, "apiVersion").startswith(f"{group}/")
                    and text(body, "metadata", "name")
                ):
                    yield _Owner(file, document, self.env(file))

    def _flux(self) -> Iterator[Deployment]:
        seen: set[tuple[str, str]] = set()
        owners = list(self._owners("Kustomization", FLUX))
        times = Counter((owner.env, owner.name) for owner in owners)
        for owner in owners:
            folder = self._flux_path(owner)
            env = owner.env or self.env(join(folder, "x"))
            if folder not in self.folders:
                self._report_path(owner, ("spec", "path"), folder)
                continue
            if (env, folder) in seen:
                continue
            seen.add((env, folder))
            spec = mapping(owner.body, "spec")
            build = mapping(spec, "postBuild")
            ref = _ref(owner.body)
            sources = tuple(
                (text(source, "namespace") or ref.namespace, text(source, "name"))
                for source in items(build, "substituteFrom")
                if text(source, "kind") == "ConfigMap"
            )
            literal = tuple(sorted((key, str(value)) for key, value in mapping(build, "substitute").items()))
            twice = times[owner.env, owner.name] > 1
            name = self._named(env, f"{ref.namespace}/{owner.name}" if twice else owner.name)
            for part, overlays, files in self._collect(folder):
                unit_name = f"{name}:{part}" if part else name
                unit = Unit(
                    unit_name,
                    "Kustomization",
                    folder,
                    env,
                    self.repo,
                    self._artifact(f"{folder}/{part}" if part else folder),
                    None if part else ref,
                )
                yield Deployment(
                    unit, overlays, files, text(spec, "targetNamespace"), forced=bool(spec.get("targetNamespace")),
                    substitutes=bool(build), variables=literal, variables_from=sources,
                )  # fmt: skip

    def _flux_path(self, owner: _Owner) -> str:
        folder = clean(text(owner.body, "spec", "path"))
        source = mapping(owner.body, "spec", "sourceRef")
        if text(source, "kind") != "ExternalArtifact":
            return folder
        for generator in self._owners("ArtifactGenerator", SOURCES):
            for artifact in items(generator.body, "spec", "artifacts"):
                if generator.env == owner.env and text(artifact, "name") == text(source, "name"):
                    for copy in items(artifact, "copy"):
                        if (found := copied(folder, text(copy, "from"), text(copy, "to"))) and found in self.folders:
                            return found
        return folder

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
                unit = Unit(self._named(env, owner.name), "Application", folder, env, self.repo, "", _ref(owner.body))
                yield Deployment(unit, overlays, files, text(spec, "destination", "namespace"))

    def _collect(self, folder: str) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
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

    def _report_path(self, owner: _Owner, field: tuple[str, ...], folder: str) -> None:
        line = line_of(owner.body, owner.document.lines, field) or owner.document.line
        source = f"{text(owner.body, 'spec', 'sourceRef', 'kind')} {text(owner.body, 'spec', 'sourceRef', 'name')}"
        cause = f"path {folder or '.'} of {source} is no folder of this repo"
        remedy = "correct spec.path, or give the repo that holds it as a further REPO"
        subject = str(_ref(owner.body))
        self.diagnostics.append(
            Diagnostic(Where(owner.file, line, self.repo), "missing-path", Level.WARNING, subject, cause, remedy)
        )


def is_object(body: object) -> bool:
    """Return whether a document is a Kubernetes object: it has an apiVersion, a kind and a name."""
    named = (
        text(body, "metadata", "name") or text(body, "metadata", "generateName") or text(body, "kind").endswith("List")
    )
    return bool(text(body, "apiVersion") and text(body, "kind") and named)


def _ref(body: Body) -> Ref:
    return Ref(
        text(body, "apiVersion"),
        text(body, "kind"),
        text(body, "metadata", "namespace") or "default",
        text(body, "metadata", "name"),
    )
