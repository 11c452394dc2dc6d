"""Config repos → everything the graph is built from: files read, parsed (with a cache), laid out, rendered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from dr.core.body import mapping, text
from dr.core.config import Config
from dr.core.config import parse as parse_config
from dr.core.errors import ConfigError, UsageError
from dr.core.folders import folders_of
from dr.core.graph import Source
from dr.core.layout import Deployment, Layout, survey
from dr.core.model import Diagnostic, Document, Level, Resource, Unit, Where
from dr.core.objects import resources
from dr.core.overlay import KUSTOMIZATION_NAMES, Overlay, Rendered, closure, members, read_edited, read_overlays
from dr.core.rules.findings import LEVEL, REMEDY
from dr.core.source import Entry, Mode, Parsed
from dr.engine.ports import ParseCache, Renderer, Snapshot

CONFIG_NAMES = ("dr.yaml", "dr.yml")
_ENDINGS = (".yaml", ".yml", ".json")
_VERSION = "2"  # goes up when the same bytes are read differently


class _Kept(Struct, frozen=True):
    objects: tuple[Rendered, ...]
    diagnostics: tuple[Diagnostic, ...]


_ENCODER, _PARSED, _KEPT = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Parsed), msgspec.msgpack.Decoder(_Kept)
_Value = TypeVar("_Value")


class Selection(Struct, frozen=True):
    """Which part of the repos is wanted: a folder ("" for all) and an environment ("" for all)."""

    path: str = ""
    env: str = ""


class Tools(Struct, frozen=True):
    """What reading needs from outside: a parser, a renderer and a cache of parses."""

    parse: Callable[[bytes], Parsed]
    renderer: Renderer
    cache: ParseCache


class _Read(Struct):
    snapshot: Snapshot
    entries: dict[str, Entry]
    parsed: dict[str, Parsed]
    overlays: dict[str, Overlay]


def read(snapshots: Iterable[Snapshot], config: Config, selection: Selection, tools: Tools) -> Source:
    """Read repos into one `Source`.

    Bad files become diagnostics. Raises UsageError when `selection` matches nothing.
    """
    found: list[Resource] = []
    diagnostics: list[Diagnostic] = []
    units: list[Unit] = []
    folders: set[str] = set()
    envs: set[str] = set()
    snapshots = list(snapshots)
    several = len(snapshots) > 1
    for snapshot in snapshots:
        name = snapshot.pin.name if several else ""
        done = _read(snapshot, tools, config.exclude)
        documents = {path: parsed.documents for path, parsed in done.parsed.items() if not _is_config(path)}
        layout = survey(name, frozenset(done.entries), documents, done.overlays, config)
        envs.update(layout.envs)
        folders.update(folders_of(done.entries))
        wanted = _selected(layout, selection)
        units.extend(deployment.unit for deployment in wanted)
        diagnostics.extend(layout.diagnostics)
        diagnostics.extend(_problems(done, name))
        diagnostics.extend(replace(d, where=replace(d.where, repo=name)) for d in snapshot.diagnostics)
        diagnostics.extend(
            replace(d, where=replace(d.where, repo=name))
            for overlay in done.overlays.values()
            for d in overlay.problems
        )
        for item in _resources(done, wanted, name, tools):
            if isinstance(item, Diagnostic):
                diagnostics.append(item)
            elif _in_path(item.where.file, selection.path):
                found.append(item)
    _check(selection, envs, found)
    used = {resource.unit for resource in found}
    kept = tuple(sorted({unit for unit in units if unit.name in used}))
    if selection.env:  # one environment and what it shares: no more need to tell them apart
        found = [replace(resource, env="") for resource in found]
        kept = tuple(sorted({replace(unit, env="") for unit in kept}))
    pins = tuple(snapshot.pin for snapshot in snapshots)
    return Source(tuple(found), kept, frozenset(folders), pins, tuple(sorted(set(diagnostics))))


def config_of(snapshots: Iterable[Snapshot], parse: Callable[[bytes], Parsed]) -> Config:
    """Return the dr.yaml at the root of the first repo that has one; an empty configuration without.

    Raises ConfigError when it is not valid.
    """
    for snapshot in snapshots:
        entry = next((e for e in snapshot.entries if _is_config(e.path) and e.mode is Mode.FILE), None)
        for _, data in snapshot.read([entry]) if entry else ():
            parsed = parse(data)
            place = f"{snapshot.pin.name}!{entry.path}" if entry else ""
            if parsed.problems:
                raise ConfigError(f"{place}:{parsed.problems[0].line}: {parsed.problems[0].cause}", "correct the file")
            return parse_config(parsed.documents[0].body if parsed.documents else {}, place)
    return Config()


def _is_config(path: str) -> bool:
    return path in CONFIG_NAMES


def _read(snapshot: Snapshot, tools: Tools, exclude: tuple[str, ...]) -> _Read:
    entries = {
        e.path: e
        for e in snapshot.entries
        if e.mode is Mode.FILE and not any(_in_path(e.path, part) for part in exclude)
    }
    wanted = [
        e for path, e in entries.items() if path.endswith(_ENDINGS) or path.rpartition("/")[2] in KUSTOMIZATION_NAMES
    ]
    keys = {entry.path: f"{_VERSION}:{entry.id}" for entry in wanted}
    parsed: dict[str, Parsed] = {}
    known = tools.cache.get(keys.values())
    unknown = []
    for entry in wanted:
        stored = known.get(keys[entry.path])
        value = _decoded(stored, _PARSED) if stored is not None else None
        if value is None:
            unknown.append(entry)
        else:
            parsed[entry.path] = value
    fresh: dict[str, bytes] = {}
    for entry, data in snapshot.read(unknown):
        parsed[entry.path] = value = tools.parse(data)
        if entry.id:
            fresh[f"{_VERSION}:{entry.id}"] = _ENCODER.encode(value)
    tools.cache.put(fresh)
    parsed = dict(sorted(parsed.items()))
    kustomizations = {
        path: p.documents[0]
        for path, p in parsed.items()
        if path.rpartition("/")[2] in KUSTOMIZATION_NAMES and p.documents
    }
    return _Read(snapshot, entries, parsed, read_overlays(kustomizations, frozenset(entries), parsed, tools.parse))


def _decoded(stored: bytes, decoder: msgspec.msgpack.Decoder[_Value]) -> _Value | None:
    try:
        return decoder.decode(stored)
    except msgspec.DecodeError:
        return None


def _problems(done: _Read, repo: str) -> Iterator[Diagnostic]:
    for path, parsed in done.parsed.items():
        for problem in parsed.problems:
            level = LEVEL.get(problem.code, Level.ERROR)
            remedy = REMEDY.get(problem.code, "")
            yield Diagnostic(Where(path, problem.line, repo), problem.code, level, path, problem.cause, remedy)


def _selected(layout: Layout, selection: Selection) -> list[Deployment]:
    return [d for d in layout.deployments if not selection.env or d.unit.env in (selection.env, "")]


def _in_path(file: str, path: str) -> bool:
    folder = path.strip("/").removeprefix("./")
    return not folder or file == folder or file.startswith(f"{folder}/")


def _check(selection: Selection, envs: set[str], found: list[Resource]) -> None:
    if selection.env and selection.env not in envs:
        there = f"this repo has {', '.join(sorted(envs))}" if envs else "this repo has a single environment"
        raise UsageError(f'there is no environment "{selection.env}"', f"{there}; envs: in dr.yaml names others")
    if selection.path and not found:
        raise UsageError(
            f'no object stands under "{selection.path}"', "dr graph REPO lists the units and their folders"
        )


def _resources(
    done: _Read, deployments: Iterable[Deployment], repo: str, tools: Tools
) -> Iterator[Resource | Diagnostic]:
    deployments = list(deployments)
    edits = {d.edit.key: d.edit for d in deployments if d.edit}
    if edits:
        made = read_edited(edits.values(), done.overlays, done.entries.keys(), done.parsed, tools.parse)
        yield from (problem for overlay in made.values() for problem in overlay.problems)
        done = replace(done, overlays=done.overlays | made)
    rendered = dict(_rendered(done, {folder for d in deployments for folder in d.overlays} | edits.keys(), tools))
    config_maps = _config_maps(done)
    for deployment in deployments:
        variables: dict[str, str] = {}
        for source in deployment.variables_from:
            variables.update(config_maps.get(source, {}))
        variables.update(deployment.variables)
        documents = [
            (Where(file, document.line, repo), document)
            for file in deployment.files
            for document in done.parsed[file].documents
        ]
        for folder in deployment.overlays:
            built, problems = rendered[folder]
            documents.extend((replace(where, repo=repo), document) for where, document in built)
            yield from (replace(problem, where=replace(problem.where, repo=repo)) for problem in problems)
        if edit := deployment.edit:
            built, problems = rendered[edit.key]
            documents.extend(
                (replace(where, repo=repo) if where.file in done.entries else edit.where, document)
                for where, document in built
                if edit.parts.get(where.file, "") == deployment.part
            )
            yield from (replace(problem, where=edit.where, subject=edit.subject) for problem in problems)
        yield from resources(deployment, documents, variables)


_Built = tuple[list[tuple[Where, Document]], list[Diagnostic]]


def _rendered(done: _Read, folders: Iterable[str], tools: Tools) -> Iterator[tuple[str, _Built]]:
    """Yield what each overlay builds: plain ones are read file by file, which keeps every field's line."""
    wanted = sorted(folders)
    built = _render(done, [folder for folder in wanted if not done.overlays[folder].plain], tools)
    for folder in wanted:
        if (kept := built.get(folder)) is not None:
            documents = [(item.where, Document(item.body, item.where.line)) for item in kept.objects]
            yield folder, (documents, list(kept.diagnostics))
        else:
            yield folder, ([(Where(file, d.line), d) for file, d in _listed(folder, done)], [])


def _listed(folder: str, done: _Read) -> Iterator[tuple[str, Document]]:
    """Yield the documents of the files that an overlay and those below it list."""
    for member in members(folder, done.overlays):
        for file in done.overlays[member].resources:
            for document in done.parsed[file].documents if file in done.parsed else ():
                yield file, document


def _render(done: _Read, folders: Iterable[str], tools: Tools) -> dict[str, _Kept]:
    """Return what overlays build: from the cache, or built anew and kept; files as they are where a build fails."""
    ids = {path: entry.id for path, entry in done.entries.items()}
    needed = {folder: [path for path in closure(folder, done.overlays) if path in ids] for folder in folders}
    keys = {
        f: f"render:{tools.renderer.fingerprint(f, ids, done.overlays)}" for f in needed if all(map(ids.get, needed[f]))
    }
    stored = tools.cache.get(keys.values())
    kept = {folder: value for folder, key in keys.items() if key in stored and (value := _decoded(stored[key], _KEPT))}
    missing = [folder for folder in needed if folder not in kept]
    wanted = sorted({path for folder in missing for path in needed[folder]})
    files = {entry.path: data for entry, data in done.snapshot.read([done.entries[path] for path in wanted])}
    built = tools.renderer.build_all(missing, files, done.overlays) if missing else {}
    for folder, (objects, diagnostics) in built.items():
        listed = (
            Rendered(d.body, Where(file, d.line)) for file, d in _listed(folder, done) if isinstance(d.body, dict)
        )
        kept[folder] = _Kept(tuple(listed) if diagnostics else objects, diagnostics)
    tools.cache.put({keys[f]: _ENCODER.encode(kept[f]) for f in missing if f in keys and not kept[f].diagnostics})
    return kept


def _config_maps(done: _Read) -> Mapping[tuple[str, str], dict[str, str]]:
    return {
        (text(body, "metadata", "namespace"), text(body, "metadata", "name")): {
            key: str(value) for key, value in mapping(body, "data").items()
        }
        for parsed in done.parsed.values()
        for document in parsed.documents
        if isinstance(body := document.body, dict) and body.get("kind") == "ConfigMap"
    }
