"""Answers `dr forklift`: a platform moved to another cluster, whole or stage by stage."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from msgspec import Struct
from msgspec.structs import replace

from dr.adapters.kube import Survey
from dr.adapters.manifests import parse as parse_yaml
from dr.adapters.store import EventLog, SystemClock, events, new_run
from dr.app.adopting import adopt
from dr.app.answer import Answer
from dr.app.earlier import FORK, known, last_move
from dr.app.finish import write
from dr.app.moves import Ready, Shown, connected, opening
from dr.app.places import target
from dr.app.reading import load
from dr.app.restores import assignment_of, lock_of
from dr.app.stages import Stages
from dr.core import forklift as forklifts
from dr.core.errors import ConfigError, DrError, NotFound, UsageError
from dr.core.events import AnyEvent, Began, Ended, Event, Resumed
from dr.core.forklift import Forklift, Side
from dr.core.gameday import RepoSource
from dr.core.move import move
from dr.core.progress import progress
from dr.core.work import behind
from dr.engine.recorder import Recorder
from dr.report import move_data, move_markdown, move_text
from dr.report.console import Line, line, many
from dr.report.data import encode

_ALL = ("preflight", "bootstrap", "verify", "parity", "cutover", "drain")
_MAX_FILE_SIZE = 32  # MiB
_OPENING = 3  # the events that say what a move is


class Options(Struct, frozen=True):
    """How a move was asked for, beyond its file."""

    source: str = ""
    target: str = ""
    reports: Path = Path("reports")
    env: str = ""
    adopt: Path | None = None
    force: bool = False
    undo: bool = False


def read(file: Path) -> tuple[Forklift, str]:
    """Return a forklift file's content and its SHA-256; raises ConfigError with everything that is wrong with it."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{file}: {error.strerror}", "see that its name is right; docs/concepts/forklift.md shows one"
        ) from None
    parsed = parse_yaml(content)
    problems = [f"{file}:{problem.line}: {problem.cause}" for problem in parsed.problems]
    if problems or not parsed.documents:
        raise ConfigError("\n    ".join(problems) or f"{file} is empty", "correct the file")
    found, wrong = forklifts.parse(parsed.documents[0], str(file))
    if found is None:
        said = "\n    ".join(f"{d.where}: {d.subject}: {d.cause}" for d in wrong)
        raise ConfigError(f"{many(len(wrong), 'error')} in the forklift file\n    {said}", wrong[0].remedy)
    return found, sha256(content).hexdigest()


def described(what: Sequence[str], options: Options) -> tuple[Forklift, str, str, Path]:
    """Return the move that a file, or repos and two clusters, describe: it, its file, its digest and its folder.

    Raises UsageError for a file among others, and ConfigError for one that cannot be read.
    """
    files = [one for one in what if one.endswith((".yaml", ".yml")) and not Path(one).is_dir()]
    if files and len(what) > 1:
        raise UsageError(f"{files[0]} is a forklift file, which names its repos itself", "give it alone")
    if files:
        file = Path(files[0])
        found, digest = read(file)
        name, folder = file.name, file.absolute().parent
    else:
        found = Forklift(f"Move {', '.join(what)}", tuple(RepoSource(one, env=options.env) for one in what))
        name, digest, folder = "", "", Path.cwd()
    if options.source:
        found = replace(found, source=Side(options.source, found.source.lock, found.source.names))
    if options.target:
        found = replace(found, target=Side(options.target, found.target.lock))
    return found, name, digest, folder


def prepared(what: Sequence[str], options: Options) -> Ready:
    """Read all that a move names; raises DrError before anything is asked of a cluster."""
    found, name, digest, folder = described(what, options)
    if not (found.source.context and found.target.context):
        raise UsageError("a move needs two clusters", "name them in the file, or with --from and --to")
    if found.source.context == found.target.context:
        raise UsageError(f"both clusters are {found.source.context}", "name two clusters")
    return reading(found, name, digest, folder, options.env)


def reading(found: Forklift, name: str, digest: str, folder: Path, env: str = "") -> Ready:
    """Read the repos of a move, and find its clusters."""
    repos = [located(source, folder) for source in found.repos]
    envs = {source.env for source in found.repos} - {""}
    if len(envs) > 1:
        raise UsageError(f"the repos name the environments {', '.join(sorted(envs))}", "a move is of one")
    if len({source.path for source in found.repos}) > 1:
        said = ", ".join(source.path or "all" for source in found.repos)
        raise UsageError(f"the repos name the folders {said}", "give all repos the same `path`, or none")
    loaded = load(repos, found.repos[0].path, env or next(iter(envs), ""), None, _MAX_FILE_SIZE)
    old, new = target(found.source.context), target(found.target.context)
    stores = [forklifts.named(data.of) for data in found.data if not data.volume]
    return Ready(found, name, digest, folder, loaded, behind(assignment_of(loaded), stores), old, new)


def located(source: RepoSource, beside: Path) -> str:
    """Return a repo as it is opened: a path beside the file, or what it says, and its revision."""
    there = beside / source.url
    where = str(there) if there.exists() else source.url
    return f"{where}@{source.rev}" if source.rev else where


def stages(
    what: Sequence[str], wanted: Sequence[str], options: Options, shown: Shown, form: str, *, detail: bool
) -> Answer:
    """Answer `dr forklift run` (no stage wanted: all up to the drain) and each stage by itself."""
    ready = prepared(what, options)
    return asyncio.run(carried_out(ready, wanted, options, shown, form, detail=detail))


async def carried_out(
    ready: Ready, wanted: Sequence[str], options: Options, shown: Shown, form: str, *, detail: bool
) -> Answer:
    """Carry out stages in one log, and answer with the move as it stands then."""
    clock = SystemClock()
    async with connected(ready) as clusters:
        found = known(options.reports, ready.assignment, clusters.was.uid, clusters.will.uid)
        if found.refused:
            raise UsageError(
                f"the move {found.other} between these clusters was begun at another commit, and {found.refused}",
                "name that commit until it is over; or give another --reports to begin anew",
            )
        if found.other:
            shown.say(f"the move {found.other} was of another commit: this one begins anew")
        if not clusters.will.embedded and set(wanted or _ALL) - {"preflight", "verify", "parity"}:
            shown.confirm(clusters.will.context)
        folder, before = found.folder or new_run(options.reports, f"{FORK}-{_name(ready)}"), found.events
        told: list[AnyEvent] = list(before)
        code = 0
        error: DrError | None = None
        with EventLog(folder) as log, shown.watching() as watcher:

            def keep(event: Event) -> None:
                told.append(cast("AnyEvent", event))

            recorder = Recorder(log, clock, [keep, watcher], _elapsed(before, clock))
            if before:
                for known_one in before[:_OPENING]:  # who watches must know what it is that goes on
                    watcher(known_one)
                recorder.emit(Resumed(recorder.at, time=clock.now()))
            else:
                for event in opening(ready, clusters, folder.name, recorder):
                    recorder.emit(event)
            work = Stages(ready, clusters, recorder, told, shown, found)
            outcome = "interrupted"
            try:
                code = await each(work, wanted, options, shown)
                outcome = "failed" if code else "passed"
            except DrError as wrong:
                error, outcome = wrong, "failed"
            finally:
                await work.close()
                recorder.emit(Ended(recorder.at, outcome=outcome))
        write(folder)
        spec = located(ready.move.repos[0], ready.folder)
        notes = await adopt(ready, work.alone, options.adopt, spec) if options.adopt else ()
    if error and error.exit_code == 2:
        raise error
    answer, verdict = shown_of(folder, form, detail=detail)
    code = code or int(verdict == "missed")
    notes += (f"dr: {error.cause}" + (f"\n    {error.remedy}" if error.remedy else ""),) if error else ()
    return replace(answer, notes=(*answer.notes, *notes), exit_code=error.exit_code if error else code)


async def each(work: Stages, wanted: Sequence[str], options: Options, shown: Shown) -> int:
    """Carry out stages one by one, or what is left of all; return the exit code. Raises DrError."""
    if options.undo:
        shown.say(f"{many(await work.undrained(), 'workload')} of the old cluster started again")
        return 0
    wrong = 0
    for stage in wanted or _ALL:
        passed = work.done.passed
        # A bootstrap that passed was allowed to, in spite of what preflight had found.
        if not wanted and (stage in passed or (stage == "preflight" and "bootstrap" in passed)):
            continue
        if said := work.allow(stage, force=options.force):
            shown.say(said)
        shown.say(f"forklift: {stage}")
        if await work.carry_out(stage):
            if not (options.force and stage == "preflight"):
                return 1
            wrong = 1
    return wrong


def _name(ready: Ready) -> str:
    pins = ready.loaded.graph.pins
    return pins[0].name if pins else "platform"


def _elapsed(before: Sequence[AnyEvent], clock: SystemClock) -> float:
    """Return the seconds since a move began, by wall time; never less than its log tells."""
    from datetime import datetime

    began = next((event for event in before if isinstance(event, Began)), None)
    if began is None:
        return 0.0
    since = datetime.fromisoformat(clock.now()) - datetime.fromisoformat(began.time)
    return max(since.total_seconds(), before[-1].at)


def shown_of(folder: Path, form: str, *, detail: bool) -> tuple[Answer, str]:
    """Return a move's result in a form, and its verdict."""
    told = events(folder)
    found = move(told)
    if found is None:
        raise NotFound(f"{folder} holds no forklift", "dr report list shows the runs")
    if form == "json":
        return Answer(content=move_data.data(found)), found.verdict
    if form == "markdown":
        return Answer(content=move_markdown.markdown(found)), found.verdict
    lines = [*move_text.lines(found, detail=detail), line("Report: ", (str(folder / "report.html"), "bold"))]
    return Answer(tuple(lines)), found.verdict


def planned(what: Sequence[str], options: Options, form: str) -> Answer:
    """Answer `dr forklift plan`: all that would be done, with an estimate from the last move; nothing is touched."""
    ready = prepared(what, options)
    return asyncio.run(_planned(ready, options, form))


async def _planned(ready: Ready, options: Options, form: str) -> Answer:
    async with connected(ready) as clusters:
        kinds = await Survey(clusters.old).kinds()
        locks = {"from": lock_of(clusters.was), "to": lock_of(clusters.will)}
        found = known(options.reports, ready.assignment, clusters.was.uid, clusters.will.uid)
    last, run = last_move(options.reports, ready.move.title)
    rows = move_text.planned(ready.move, ready.assignment, len(kinds), last)
    if form == "json":
        stages_of = [{"stage": r.stage, "does": list(r.does), "estimate": r.estimate} for r in rows]
        content = {"schema": 1, "title": ready.move.title, "locks": locks, "stages": stages_of, "estimatedFrom": run}
        return Answer(content=encode(content))
    head: list[Line] = [
        line((ready.move.title, "bold")),
        line(f"from {clusters.was.context} ({clusters.was.version}, lock {locks['from']})"),
        line(f"to   {clusters.will.context} ({clusters.will.version}, lock {locks['to']})"),
    ]
    if found.folder:
        head.append(line(f"begun: {found.folder.name}, {', '.join(progress(found.events).passed) or 'nothing'} passed"))
    elif found.other:
        head.append(line(f"begun: {found.other}, of another commit: {found.refused or 'this one begins anew'}"))
    tail = line(f"estimates are from {run}" if run else "no move was measured yet: rehearse it for estimates")
    return Answer((*head, *move_text.plan_lines(rows), tail, line("nothing was touched")))


def checked(what: str, form: str) -> Answer:
    """Answer `dr forklift validate`: what is wrong with a file."""
    found, digest = read(Path(what))
    if form == "json":
        return Answer(content=encode({"schema": 1, "title": found.title, "digest": digest, "valid": True}))
    return Answer((line(("✓ ", "green"), f"{what}: {found.title}"),))


def agreeing(ask: Callable[[str], Awaitable[str]]) -> Callable[[str], Any]:
    """Return how a pause is ended: somebody presses Enter."""

    async def agree(title: str) -> tuple[str, str]:
        note = await ask(f"{title}? A note, or just Enter; Ctrl-C stops")
        return getpass.getuser(), note

    return agree
