"""The overlays of a repo: what each reads and builds on, and what of it nothing may follow. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from json import loads
from posixpath import basename, dirname, normpath

from msgspec import Struct, field
from msgspec.structs import replace

from dr.core.body import text
from dr.core.kustomization import Obstacle, Tree, as_json, entries, inline, label, rewritten, shown
from dr.core.lines import line_of
from dr.core.model import Body, Diagnostic, Document, Path, Where
from dr.core.rules.kustomize import (
    BUILTIN_PLUGINS,
    ENTRIES,
    PLAIN_FIELDS,
    PLUGIN_ENTRIES,
    PROBLEMS,
    Takes,
)
from dr.core.source import Parsed
from dr.core.synthetic import Edit

KUSTOMIZATION_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_API = "kustomize.config.k8s.io/"


class Overlay(Struct, frozen=True):
    """A kustomization and what it reads, each path from the repo's root ("" is the root folder).

    resources: files of objects; children: folders of overlays; inputs: every other file.
    plain: it and its children only list files, so reading these one by one gives the same objects
        (but for those marked config.kubernetes.io/local-config, which kustomize drops).
    entries: for a place in the body, the text that `sanitized` writes there, "" to leave it out.
    made: the body as JSON where a GitOps engine makes it, and `file` does not hold it; "" otherwise.
    """

    folder: str
    file: str
    kind: str = "Kustomization"
    resources: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    plain: bool = False
    problems: tuple[Diagnostic, ...] = ()
    entries: tuple[tuple[Path, str], ...] = ()
    made: str = ""


class Rendered(Struct, frozen=True):
    """An object as an overlay gives it, and the line of the source that it comes from."""

    body: Body
    where: Where


def read_overlays(
    kustomizations: Mapping[str, Document],
    paths: AbstractSet[str],
    files: Mapping[str, Parsed] | None = None,
    parse: Callable[[bytes], Parsed] | None = None,
) -> dict[str, Overlay]:
    """Resolve every entry of every kustomization against the files of its repo.

    kustomizations: by path, the first document of each file named as in `KUSTOMIZATION_NAMES`.
    paths: every regular file of the repo. files, parse: to look into the configurations of plugins
    in files and inline; without, plugins are left out.

    Returns the overlays by folder, sorted. A document of another API group is no overlay (a Flux
    Kustomization may stand in a file of that name).
    """
    found: dict[str, list[str]] = {}
    for path in sorted(kustomizations, key=_rank):
        if _is_overlay(path, kustomizations[path].body):
            found.setdefault(dirname(path), []).append(path)
    reader = _Reader(Tree(paths, found.keys()), files or {}, parse)
    drafts = {folder: reader.draft(files[0], kustomizations[files[0]]) for folder, files in sorted(found.items())}
    for folder, draft in drafts.items():
        for other in found[folder][1:]:
            draft.report("overlay-failed", (), f"{other} stands beside it, and kustomize takes one only")
    _untie(drafts)
    return {folder: draft.overlay() for folder, draft in drafts.items()}


def read_edited(
    edits: Iterable[Edit],
    overlays: Mapping[str, Overlay],
    paths: AbstractSet[str],
    files: Mapping[str, Parsed],
    parse: Callable[[bytes], Parsed],
) -> dict[str, Overlay]:
    """Resolve the kustomizations that engines make out of folders, as `read_overlays` does; by `Edit.key`.

    overlays: those of the repo, which the result joins without taking the place of any: others build
    on the folder as it is. `problems` are those that the edit brings, at the object that asks for it.
    """
    reader = _Reader(Tree(paths, overlays.keys()), files, parse)
    found = {edit.key: edit for edit in edits}
    return {key: _edited(edit, reader, overlays, paths) for key, edit in sorted(found.items())}


def _edited(edit: Edit, reader: _Reader, overlays: Mapping[str, Overlay], paths: AbstractSet[str]) -> Overlay:
    draft = reader.draft(edit.file, Document(loads(edit.made), 0))
    for child in tuple(draft.children):
        if edit.folder in members(child, overlays) or f"{edit.folder}/".startswith(f"{child}/".lstrip("/")):
            _cut(draft, child, [edit.folder, child])
    known = overlays[edit.folder].problems if edit.folder in overlays else ()
    own = {(problem.code, problem.cause) for problem in known}
    problems = tuple(
        replace(problem, where=edit.where, subject=edit.subject)
        for problem in sorted(set(draft.problems))
        if (problem.code, problem.cause) not in own
    )
    if edit.file in paths:
        draft.inputs.append(edit.file)
    return replace(draft.overlay(), plain=False, problems=problems, made=edit.made)


def members(folder: str, overlays: Mapping[str, Overlay]) -> tuple[str, ...]:
    """Return the folders of an overlay and of all that it builds on, sorted."""
    found: set[str] = set()
    stack = [folder]
    while stack:
        here = stack.pop()
        if here not in found:
            found.add(here)
            stack.extend(overlays[here].children)
    return tuple(sorted(found))


def closure(folder: str, overlays: Mapping[str, Overlay]) -> frozenset[str]:
    """Return every file that an overlay needs, those of the overlays that it builds on included."""
    needed = [overlays[member] for member in members(folder, overlays)]
    read = (path for one in needed for path in (*one.resources, *one.inputs))
    return frozenset((*read, *(one.file for one in needed if not one.made)))


def roots(overlays: Mapping[str, Overlay]) -> tuple[str, ...]:
    """Return the folders that no overlay builds on, sorted; a Component is for others, so never one."""
    used = {child for overlay in overlays.values() for child in overlay.children}
    return tuple(sorted(f for f, overlay in overlays.items() if f not in used and overlay.kind != "Component"))


def sanitized(overlay: Overlay, body: Body) -> Body:
    """Return a kustomization that can reach nothing but files of its repo, so that the rest still builds.

    What is remote, outside, missing, a plugin or ties a cycle is left out; `body` is not changed.
    """
    rest: Body = rewritten(body, dict(overlay.entries))
    return rest


class _Draft(Struct):
    file: str
    document: Document
    plain: bool
    resources: list[str] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    children: dict[str, list[Path]] = field(default_factory=dict)
    problems: list[Diagnostic] = field(default_factory=list)
    entries: dict[Path, str] = field(default_factory=dict)

    def report(self, code: str, at: Path, cause: str) -> None:
        line = line_of(self.document.body, self.document.lines, at) or self.document.line
        level, remedy = PROBLEMS[code]
        self.problems.append(Diagnostic(Where(self.file, line), code, level, self.file, cause, remedy))

    def obstacle(self, at: Path, inner: Path, entry: str, found: Obstacle) -> None:
        cause = f"{label(at + inner)} names {shown(entry)}, {found.cause}"
        self.report(found.code, at, cause)

    def drop(self, at: Path) -> None:
        """Leave out an entry; what is only the path of its item (a patch, a schema) takes the item with it."""
        self.entries[at[:-1] if str(at[-1]).casefold() == "path" else at] = ""

    def overlay(self) -> Overlay:
        return Overlay(
            dirname(self.file),
            self.file,
            text(self.document.body, "kind") or "Kustomization",
            tuple(dict.fromkeys(self.resources)),
            tuple(self.children),
            tuple(dict.fromkeys(self.inputs)),
            self.plain,
            tuple(sorted(set(self.problems))),
            tuple(self.entries.items()),
        )


class _Reader:
    def __init__(self, tree: Tree, files: Mapping[str, Parsed], parse: Callable[[bytes], Parsed] | None) -> None:
        self._tree = tree
        self._files = files
        self._parse = parse

    def draft(self, file: str, document: Document) -> _Draft:
        body = document.body
        draft = _Draft(file, document, plain=PLAIN_FIELDS.issuperset(body) and text(body, "kind") != "Component")
        for at, value, takes in entries(body, ENTRIES):
            if takes == "chart" and value:
                draft.report("overlay-plugin", at, f"{label(at)} wants helm, which is not run")
                draft.drop(at)
            elif takes == "plugin" and isinstance(value, str):
                self._plugin(draft, at, value)
            elif isinstance(value, str):
                self._entry(draft, at, value, takes)
        return draft

    def _entry(self, draft: _Draft, at: Path, value: str, takes: Takes) -> None:
        if takes == "patch" and inline(value):
            return
        found = self._tree.follow(dirname(draft.file), value, takes)
        if isinstance(found, Obstacle):
            draft.obstacle(at, (), value, found)
            draft.drop(at)
            return
        draft.entries[at] = found.written
        if found.folder:
            draft.children.setdefault(found.path, []).append(at)
        else:
            (draft.resources if takes == "any" else draft.inputs).append(found.path)

    def _plugin(self, draft: _Draft, at: Path, value: str) -> None:
        """Keep what is built in, and put it in line: what it reads counts from the kustomization, not its own file."""
        draft.drop(at)
        parsed = self._parse(value.encode(errors="surrogateescape")) if self._parse and inline(value) else Parsed()
        if not inline(value):
            found = self._tree.follow(dirname(draft.file), value, "any")
            if isinstance(found, Obstacle):
                draft.obstacle(at, (), value, found)
                return
            if not found.folder:
                draft.inputs.append(found.path)
                parsed = self._files.get(found.path, parsed)
        if not parsed.documents:
            draft.report("overlay-plugin", at, f"{label(at)} {shown(value)} cannot be looked into")
        kept = [config for document in parsed.documents for config in self._config(draft, at, document.body)]
        draft.entries[at] = "\n---\n".join(kept)

    def _config(self, draft: _Draft, at: Path, body: Body) -> Iterator[str]:
        kind = text(body, "kind")
        if text(body, "apiVersion") != "builtin" or kind not in BUILTIN_PLUGINS:
            draft.report("overlay-plugin", at, f'{label(at)} wants "{kind}", which is not built into kustomize')
            return
        changes: dict[Path, str] = {}
        for inner, value, takes in entries(body, PLUGIN_ENTRIES):
            if not isinstance(value, str) or (takes == "patch" and inline(value)):
                continue
            found = self._tree.follow(dirname(draft.file), value, takes)
            if isinstance(found, Obstacle):
                draft.obstacle(at, inner, value, found)
                return
            changes[inner] = found.written
            draft.inputs.append(found.path)
        yield as_json(rewritten(body, changes))


def _rank(path: str) -> tuple[str, bool, int]:
    name = basename(path)
    known = name in KUSTOMIZATION_NAMES
    return dirname(path), not known, KUSTOMIZATION_NAMES.index(name) if known else 0


def _is_overlay(path: str, body: object) -> bool:
    inside = normpath(path) == path and not path.startswith(("/", "../"))
    return inside and isinstance(body, dict) and f"{body.get('apiVersion') or _API}".startswith(_API)


def _untie(drafts: Mapping[str, _Draft]) -> None:
    """Cut the entries that close a circle of overlays, and settle which overlays are plain.

    kustomize refuses an overlay at or above the one that lists it, too: such an entry is a circle.
    Depth first from the roots on, so that what is cut does not hang on the order of the files.
    """
    used = {child for draft in drafts.values() for child in draft.children}
    done: set[str] = set()
    for start in sorted(drafts, key=lambda folder: (folder in used, folder)):
        trail, stack = {start: 0}, [(start, iter(tuple(drafts[start].children)))]
        while stack and start not in done:
            here, children = stack[-1]
            child = next(children, None)
            if child is None:
                stack.pop()
                del trail[here]
                done.add(here)
                drafts[here].plain &= all(drafts[below].plain for below in drafts[here].children)
            elif child in trail or f"{here}/".startswith(f"{child}/".lstrip("/")):
                ring = [*list(trail)[trail.get(child, len(trail) - 1) :], child]
                _cut(drafts[here], child, ring)
            elif child not in done:
                trail[child] = len(trail)
                stack.append((child, iter(tuple(drafts[child].children))))


def _cut(draft: _Draft, child: str, ring: list[str]) -> None:
    names = [folder or "." for folder in ring]
    chain = " → ".join(names if len(names) <= 12 else [*names[:6], "…", *names[-5:]])
    for at in draft.children.pop(child):
        draft.report("overlay-cycle", at, f"{label(at)} closes a circle of overlays: {chain}")
        draft.drop(at)
