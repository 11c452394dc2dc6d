"""Answers `dr gameday` and `dr chaos run`: from a file, or an experiment by itself, to an exercise and its reports."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from dr.adapters.kube import Kube
from dr.adapters.manifests import parse as parse_yaml
from dr.adapters.store import SystemClock
from dr.app import experiments, promises
from dr.app.answer import Answer
from dr.app.clusters import binaries
from dr.app.exercises import PRODUCTION, Options, Prepared, Shown
from dr.app.places import target
from dr.app.reading import Loaded, load
from dr.app.recoveries import Source
from dr.app.restores import assignment_of, lock_of
from dr.app.series import repeated
from dr.core import gameday as gamedays
from dr.core.errors import ConfigError, UsageError
from dr.core.gameday import Duration, Gameday, RepoSource, TargetSpec
from dr.core.hostnames import hostnames
from dr.core.redact import showable
from dr.core.refusals import refusals
from dr.core.runbook import RunbookStep, runbook
from dr.core.runbook import steps as steps_of
from dr.core.simulated import simulate
from dr.report.console import Line, line, many, seconds
from dr.report.data import encode
from dr.report.runbook_markdown import markdown

_MAX_FILE_SIZE = 32  # MiB


def read(file: Path) -> tuple[Gameday, str]:
    """Return a gameday file's content and its SHA-256; raises ConfigError with everything that is wrong with it."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}", "give a gameday file; `dr gameday init` writes one") from None
    parsed = parse_yaml(content)
    problems = [f"{file}:{problem.line}: {problem.cause}" for problem in parsed.problems]
    if problems or not parsed.documents:
        raise ConfigError("\n    ".join(problems) or f"{file} is empty", "correct the file")
    found, wrong = gamedays.parse(parsed.documents[0], str(file))
    if found is None:
        said = "\n    ".join(f"{d.where}: {d.subject}: {d.cause}" for d in wrong)
        raise ConfigError(f"{many(len(wrong), 'error')} in the gameday file\n    {said}", wrong[0].remedy)
    return found, sha256(content).hexdigest()


def run(
    file: Path,
    options: Options,
    shown: Shown,
    form: str,
    *,
    dry: bool,
    detail: bool,
    to: str = "",
    lock: str = "",
) -> Answer:
    """Answer `dr gameday run`; `to` and its `lock` take the place of the file's target. Raises UsageError."""
    gameday, digest = read(file)
    if bool(to) != bool(lock):
        raise UsageError("--to and --lock go together: a name alone may lead elsewhere", "`dr lock TARGET` prints it")
    if to:
        gameday = replace(gameday, target=TargetSpec(to, lock, production=gameday.target.production))
    return _answer(_prepared(gameday, file, digest, options, shown), options, shown, form, dry=dry, detail=detail)


def run_experiment(
    name: str,
    spec: TargetSpec,
    given: Mapping[str, Any],
    objectives: Mapping[str, float],
    repo: RepoSource | None,
    options: Options,
    shown: Shown,
    form: str,
    *,
    dry: bool,
    detail: bool,
) -> Answer:
    """Answer `dr chaos run`: the gameday that an experiment is by itself.

    `objectives` may hold `rto`, `rpo` and `timeout`, in seconds. Raises UsageError where the experiment alone says too
    little.
    """
    found = experiments.load(name, given)
    says = found.says
    if says is None:
        raise UsageError(f"{found.file} does not say to dr what works and how it recovers", "write a gameday around it")
    rto, rpo = (Duration(objectives[kind]) if kind in objectives else None for kind in ("rto", "rpo"))
    recovery = says.recovery
    gameday = Gameday(
        title=found.title,
        scenario=says.scenario,
        target=spec,
        fault=gamedays.Fault(str(found.file), dict(given)),
        steady_state=says.steady_state,
        repo=repo,
        recovery=replace(recovery, timeout=Duration(objectives.get("timeout", recovery.timeout))),
        objectives=gamedays.Objectives(rto, rpo),
        blast_radius=says.limits,
    )
    # A person names the target on the command line, and is asked for its name: the lock is taken there and then.
    if wrong := [cause for path, cause in gamedays.sense(gameday) if path != ("target",)]:
        raise UsageError("; ".join(wrong), "give it on the command line, or write a gameday file")
    digest = sha256(found.file.read_bytes()).hexdigest()
    ready = _prepared(gameday, found.file, digest, options, shown, Path())
    return _answer(ready, options, shown, form, dry=dry, detail=detail)


def _prepared(
    gameday: Gameday, file: Path, digest: str, options: Options, shown: Shown, origin: Path | None = None
) -> Prepared:
    """Read all that a gameday names: the experiment, the repo, the programs of embedded clusters.

    `origin`: what the repo's path is relative to, where it does not stand in `file`.
    """
    found = experiments.load(gameday.fault.experiment, gameday.fault.settings, file.parent)
    loaded = _loaded(gameday.repo, file.parent if origin is None else origin) if gameday.repo else None
    listed = (*os.environ.get(PRODUCTION, "").split(","), *(loaded.config.production if loaded else ()))
    production = tuple(pattern.strip() for pattern in listed if pattern.strip())
    refused = refusals(gameday, found.body, found.settings, production, SystemClock().now())
    recovery = gameday.recovery
    embedded = gameday.target.create or (recovery.by == "restore" and recovery.into == "fresh")
    programs = binaries(options.cluster_version, shown.say) if embedded and not refused else None
    source = None
    if loaded:
        config = loaded.config
        supplied = (*config.provided, *config.supply)
        source = Source(
            assignment_of(loaded),
            loaded.graph,
            config,
            simulate(loaded.graph, loaded.source.resources, supplied, config.startup, options.seed),
            programs,
        )
    promises.check(gameday, file, source.assignment if source else None)
    steps = _steps(gameday, file.parent, loaded) if recovery.by == "runbook" else ()
    return Prepared(gameday, file, digest, found, refused, loaded, source, programs, production, steps)


def _loaded(repo: RepoSource, beside: Path) -> Loaded:
    place = beside / repo.url
    where = str(place) if place.exists() else repo.url
    return load([f"{where}@{repo.rev}" if repo.rev else where], repo.path, repo.env, None, _MAX_FILE_SIZE)


def _steps(gameday: Gameday, beside: Path, loaded: Loaded | None) -> tuple[RunbookStep, ...]:
    """Return the steps of the runbook that a gameday names, or of the one that its repo makes."""
    if gameday.recovery.runbook:
        file = beside / gameday.recovery.runbook
        try:
            found = steps_of(file.read_text("utf-8", "replace"))
        except OSError as error:
            raise ConfigError(f"{file}: {error.strerror}", "`dr runbook REPO` writes one") from None
        if not found:
            raise ConfigError(
                f"{file} has no steps", "begin each with a heading `### 1. Title`; `dr runbook REPO` writes one"
            )
        return found
    if loaded is None:
        return ()
    book = runbook(loaded.graph, loaded.plan, hostnames(loaded.source.resources))
    return steps_of(markdown(book, loaded.graph.pins).decode())


def _answer(ready: Prepared, options: Options, shown: Shown, form: str, *, dry: bool, detail: bool) -> Answer:
    if dry:
        return asyncio.run(_dry(ready, form))
    if ready.refused:
        said = "\n    ".join(f"{c.check}: {c.subject}: {c.cause}" for c in ready.refused)
        raise UsageError(
            f"{many(len(ready.refused), 'reason')} not to begin\n    {said}",
            "; ".join(dict.fromkeys(check.remedy for check in ready.refused)),
        )
    if ready.gameday.recovery.by == "runbook" and not shown.attended:
        raise UsageError("a runbook wants someone to confirm each step, and there is no terminal", "run it in one")
    from dr.app.reports import after

    folders, error = asyncio.run(repeated(ready, options, shown))
    if error and not folders:
        raise error
    answer = after(folders, form, detail=detail)
    if error is None:
        return answer
    note = f"dr: {error.cause}" + (f"\n    {error.remedy}" if error.remedy else "")
    return replace(answer, notes=(*answer.notes, note), exit_code=error.exit_code)


async def _dry(ready: Prepared, form: str) -> Answer:
    """Say what would be done; ask the target who it is, and change nothing."""
    gameday, found = ready.gameday, ready.experiment
    values = showable(found.settings, gameday.fault.settings)
    spec, wrong = gameday.target, list(ready.refused)
    whom = f"an embedded cluster of {spec.create.nodes} nodes, made for it" if spec.create else spec.context
    if spec.context:
        async with Kube(target(spec.context)) as cluster:
            known = await cluster.identity()
        whom += f" ({known.server}, {known.version}, lock {lock_of(known)})"
        if spec.lock and spec.lock not in (known.uid, lock_of(known)):
            whom += f": NOT the cluster of the lock {spec.lock}"
    promised = gamedays.promised(gameday.objectives)
    rows = {
        "exercise": gameday.title,
        "target": whom,
        "fault": f"{found.title} ({found.file.name})",
        "strikes": found.radius,
        "settings": ", ".join(f"{key}={value}" for key, value in sorted(values.items())),
        "probes": ", ".join(f"{p.name} ({p.kind} {p.what})" for p in gamedays.planned(gameday.steady_state)),
        "recovery": f"{gameday.recovery.by}, given up after {seconds(gameday.recovery.timeout)}",
        "objectives": ", ".join(f"{o.kind} {o.subject}".strip() + f" {seconds(o.seconds)}" for o in promised),
    }
    code = 2 if wrong else 0
    if form == "json":
        return Answer(content=encode({"schema": 1, **rows, "refused": wrong}), exit_code=code)
    lines: list[Line] = [line((f"{name:11}", "dim"), text) for name, text in rows.items() if text]
    lines += [line(("✗ ", "red"), f"{c.check}: {c.subject}: {c.cause}; {c.remedy}") for c in wrong]
    lines.append(line("dry run: nothing was changed"))
    return Answer(tuple(lines), exit_code=code)
