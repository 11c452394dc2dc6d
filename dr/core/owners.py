"""The objects in git that stand for units: Flux Kustomizations and Argo CD Applications, and where they point. Pure."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping

from msgspec import Struct

from dr.core.body import items, mapping, text
from dr.core.folders import clean, copied
from dr.core.lines import line_of
from dr.core.model import Body, Document, Path, Ref, Where

FLUX, ARGO, SOURCES = "kustomize.toolkit.fluxcd.io", "argoproj.io", "source.extensions.fluxcd.io"


class Owner(Struct, frozen=True):
    """An object with a name, the file that it stands in and the environment of that file."""

    file: str
    document: Document
    env: str

    @property
    def body(self) -> Body:
        """The object itself."""
        return self.document.body  # type: ignore[no-any-return]

    @property
    def name(self) -> str:
        """Its name."""
        return text(self.body, "metadata", "name")

    @property
    def ref(self) -> Ref:
        """Its identity; in the namespace `default` where it names none."""
        namespace = text(self.body, "metadata", "namespace") or "default"
        return Ref(text(self.body, "apiVersion"), text(self.body, "kind"), namespace, self.name)

    def where(self, repo: str, field: Path = ()) -> Where:
        """Return the place of one of its fields, or of the object."""
        return Where(self.file, line_of(self.body, self.document.lines, field) or self.document.line, repo)


def owners(
    documents: Mapping[str, Iterable[Document]], kind: str, group: str, env: Callable[[str], str]
) -> Iterator[Owner]:
    """Yield the objects of a kind of an API group by file; `env` tells the environment of one."""
    for file in sorted(documents):
        for document in documents[file]:
            body = document.body
            if (
                isinstance(body, dict)
                and body.get("kind") == kind
                and text(body, "apiVersion").startswith(f"{group}/")
                and text(body, "metadata", "name")
            ):
                yield Owner(file, document, env(file))


def flux_path(owner: Owner, generators: Iterable[Owner], folders: Container[str]) -> str:
    """Return the folder of a Flux Kustomization, which may come by way of an ArtifactGenerator that copies it."""
    folder = clean(text(owner.body, "spec", "path"))
    source = mapping(owner.body, "spec", "sourceRef")
    if text(source, "kind") != "ExternalArtifact":
        return folder
    for generator in generators:
        for artifact in items(generator.body, "spec", "artifacts"):
            if generator.env == owner.env and text(artifact, "name") == text(source, "name"):
                for copy in items(artifact, "copy"):
                    if (found := copied(folder, text(copy, "from"), text(copy, "to"))) and found in folders:
                        return found
    return folder
