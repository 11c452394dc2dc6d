"""Leads an exercise: the cluster that is struck, the probes, the experiment, the recovery, and the end of it all."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from importlib.metadata import version
from pathlib import Path
from secrets import token_hex

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from dr.adapters.chaos import Experiment
from dr.adapters.kube import Kube, kubeconfig
from dr.adapters.probing import Prober
from dr.adapters.store import EventLog, SystemClock
from dr.app import experiments
from dr.app.clusters import Binaries, bring_up
from dr.app.command import command
from dr.app.deadman import DeadMan, Watch, by_hand
from dr.app.finish import Finished, write
from dr.app.notices import Messenger
from dr.app.places import state_folder, target
from dr.app.reading import Loaded
from dr.app.recoveries import Arena, Ask, Source, fill, recovered, recoverer
from dr.app.restores import lock_of
from dr.core import gameday as gamedays
from dr.core.chaos import CONTEXT, LIMITS, LOCK, UNDO
from dr.core.errors import DrError, LockError, StoreError, UsageError
from dr.core.events import Announced, Approved, Began, Checked, Ended, Event, Phase, Target
from dr.core.gameday import Gameday
from dr.core.model import Level, Ref
from dr.core.notice import Notice
from dr.core.runbook import RunbookStep
from dr.engine.gameday import Exercise, Rules
from dr.engine.lock import GAMEDAY, HOLD, kept
from dr.engine.recorder import Recorder
from dr.local.cluster import SIMULATED

Watcher = Callable[[Event], None]
PRODUCTION, APPROVED = "DR_PRODUCTION", "DR_APPROVED"
_METHOD = 300.0  # seconds for an experiment to strike at all


class Options(Struct, frozen=True):
    """How an exercise was asked for, beyond its file."""

    repeat: int = 1
    seed: int = 0
    reports: Path = Path("reports")
    cluster_version: str = ""


class Prepared(Struct, frozen=True):
    """Everything that an exercise needs, read and checked before anything is touched."""

    gameday: Gameday
    file: Path
    digest: str
    experiment: experiments.Found
    refused: tuple[Checked, ...]
    loaded: Loaded | None = None
    source: Source | None = None
    programs: Binaries | None = None
    production: tuple[str, ...] = ()
    steps: tuple[RunbookStep, ...] = ()

    @property
    def scenario(self) -> str:
        """The word under which the history keeps it."""
        return self.gameday.scenario or self.experiment.file.stem


class Shown(Struct, frozen=True):
    """How people see and steer an exercise."""

    say: Callable[[str], None]
    watching: Callable[[], AbstractContextManager[Watcher]]
    confirm: Callable[[str], None]
    ask: Ask
    attended: bool = True  # whether somebody is there to be asked


async def arena_of(ready: Prepared, shown: Shown) -> Arena:
    """Return the cluster that is to be struck: the one that is named, or one made and filled for the exercise."""
    spec = ready.gameday.target
    if spec.create is None:
        arena = Arena(target(spec.context))
        async with Kube(arena.access) as cluster:
            known = await cluster.identity()
        if spec.lock and spec.lock not in (known.uid, lock_of(known)):
            cause = f'the context "{known.context}" is {lock_of(known)}, not the cluster of the lock {spec.lock}'
            raise LockError(cause, "nothing was changed; check the kubeconfig and the gameday file")
        if not known.embedded:
            shown.confirm(known.context)
        return arena
    if ready.programs is None:
        raise UsageError("an embedded cluster needs its programs", "dr cluster prepare")
    simulation = ready.source.simulation if ready.source else None
    made = await bring_up(f"gameday-{os.getpid()}", spec.create.nodes, ready.programs, shown.say, simulation)
    arena = Arena(made.access, made)
    try:
        if spec.create.restore and ready.source:
            shown.say("restoring the platform that is to be disturbed")
            await fill(arena, ready.source)
    except BaseException:
        await arena.close()
        raise
    return arena


@contextmanager
def _private() -> Iterator[Path]:
    """Make a folder that nobody else may read, for credentials and for what is to be undone; it stays while any is."""
    base = state_folder() / "runs"
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=base))
        undo = folder / "undo"
        undo.mkdir(mode=0o700)
    except OSError as error:
        raise StoreError(
            f"{base} cannot be written: {error.strerror}", "set DR_STATE_DIR to a folder of yours"
        ) from None
    try:
        yield folder
    finally:
        if not undo.is_dir() or not any(undo.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)


class _Run(Struct, frozen=True):
    """One run of an exercise: what it needs, and the folders of its own."""

    ready: Prepared
    arena: Arena
    options: Options
    shown: Shown
    number: int
    folder: Path
    private: Path
    known: Target
    environment: dict[str, str]
    messenger: Messenger


async def once(ready: Prepared, arena: Arena, folder: Path, options: Options, shown: Shown, number: int) -> Finished:
    """Run the exercise once, and return how it went.

    Its end and its reports are written whatever happens, by the dead man if need be.
    """
    clock = SystemClock()
    async with Kube(arena.access) as cluster:
        known = await cluster.identity()
        with _private() as private:
            environment = _environment(ready, arena, known, private)
            messenger = Messenger(ready.gameday.notifications, ready.file, folder, shown.say)
            run = _Run(ready, arena, options, shown, number, folder, private, known, environment, messenger)
            origin = clock.monotonic()
            with DeadMan(await _watch(run, cluster, origin)) as dead_man:
                try:
                    with EventLog(folder) as log, shown.watching() as watcher:
                        recorder = Recorder(log, clock, [watcher], clock.monotonic() - origin)
                        await _to_the_end(run, cluster, recorder)
                finally:
                    if arena.struck and not arena.made:
                        shown.say("not all of the fault was taken back; the dead man's process tries once more")
                        dead_man.take_over()
                    done = _written(folder)
                    messenger.tell(_ended(run, done))
                    await messenger.close()
            return done


def _written(folder: Path) -> Finished:
    try:
        return write(folder)
    except OSError as error:
        cause = f"the reports in {folder} cannot be written: {error.strerror}"
        raise StoreError(cause, f"make room; `dr report show {folder}` tells the run by its events") from None


async def _watch(run: _Run, cluster: Kube, origin: float) -> Watch:
    """Return what the dead man must know of a run."""
    gameday = run.ready.gameday
    names = [p.canary.config_map for p in gameday.steady_state.probes if p.canary and p.canary.config_map]
    refs = {name: Ref("v1", "ConfigMap", *name.split("/", 1)) for name in names if "/" in name}
    return Watch(
        str(run.folder),
        origin,
        run.environment,
        str(run.private),
        run.arena.made is not None,
        dict(run.ready.experiment.body),
        gameday.fault.settings,
        tuple([name for name, ref in refs.items() if await cluster.get(ref) is None]),
        recovered(run.folder.name),
    )


async def _to_the_end(run: _Run, cluster: Kube, recorder: Recorder) -> None:
    """Lead the exercise, and see that the last thing written down is its end."""
    outcome = "failed"
    try:
        await _led(run, cluster, recorder)
    except DrError as error:
        if not recorder.ended:
            found = ("exercise", Level.ERROR, run.ready.scenario, error.cause, error.remedy)
            recorder.emit(Checked(recorder.at, *found))
        raise
    except asyncio.CancelledError:
        outcome = "interrupted"
        raise
    finally:
        if not recorder.ended:
            recorder.emit(Ended(recorder.at, outcome=outcome))


async def _led(run: _Run, cluster: Kube, recorder: Recorder) -> None:
    """Lead one exercise from its first line to the end of its clean-up."""
    ready, arena, known, struck = run.ready, run.arena, run.known, run.arena.access
    gameday, by = ready.gameday, ready.gameday.recovery.by
    began, announced = _began(run.folder.name, known, ready, recorder), _announced(ready, run.options, run.number)
    recorder.emit(began)
    recorder.emit(announced)
    for a in gameday.approvals:
        recorder.emit(Approved(recorder.at, by=a.by, until=a.until, reference=a.reference))
    recorder.enter(Phase.PREFLIGHT)
    reached = f"{known.server} runs {known.version}"
    recorder.emit(Checked(recorder.at, "reachable", Level.INFO, known.context, reached))

    def waits(what: str) -> None:
        recorder.emit(Checked(recorder.at, HOLD, Level.INFO, known.context, what))

    async with kept(cluster, began.holder, recorder.clock, GAMEDAY, waits) as hold:
        recorder.leave(Phase.PREFLIGHT)
        run.messenger.tell(_notice(run, "began"))
        async with _probing(ready, arena) as prober:
            # How long the recovery may take is counted from the fault: this only ends a method that never strikes.
            limit = max(_METHOD, gameday.recovery.timeout)
            body, settings = ready.experiment.body, gameday.fault.settings
            chaos = Experiment(body, settings, run.environment, run.private, run.folder, limit)
            recover = recoverer(
                gameday.recovery, arena, ready.source, prober, recorder, began, ready.steps, run.shown.ask
            )
            settles = by in ("restore", "snapshot")
            rules = Rules(gameday.steady_state.within, gameday.abort, by != "observe", settles)
            exercise = Exercise(announced, rules, recorder, prober, chaos, recover, lambda: by_hand(run.environment))
            arena.struck = True
            try:
                outcome = await exercise.run()
                arena.spent = arena.spent or outcome != "passed"
            finally:
                arena.struck = not exercise.clean
                hold.gone = arena.access is not struck


@asynccontextmanager
async def _probing(ready: Prepared, arena: Arena) -> AsyncIterator[Prober]:
    steady = ready.gameday.steady_state
    probes = [
        msgspec.structs.replace(probe, every=probe.every or steady.every, timeout=probe.timeout or steady.timeout)
        for probe in steady.probes
    ]
    async with Prober(probes, arena.access) as prober:
        yield prober


def _environment(ready: Prepared, arena: Arena, known: Target, private: Path) -> dict[str, str]:
    """Return what the experiment's process is told of its target, and of what it may do to it."""
    file = private / "kubeconfig"
    file.touch(mode=0o600)
    file.write_bytes(kubeconfig(arena.access))
    gameday = ready.gameday
    return {
        "KUBECONFIG": str(file),
        CONTEXT: known.context,
        LOCK: lock_of(known),
        UNDO: str(private / "undo"),
        LIMITS: msgspec.json.encode(gameday.blast_radius).decode(),
        PRODUCTION: ",".join(ready.production),
        APPROVED: gameday.approvals[0].by if gameday.approvals else "",
    }


def _began(run: str, known: Target, ready: Prepared, recorder: Recorder) -> Began:
    source = ready.source if ready.gameday.recovery.by == "restore" else None
    simulated = (*(SIMULATED if known.embedded else ()), *(ready.source.simulation.names if ready.source else ()))
    return Began(
        recorder.at,
        time=recorder.clock.now(),
        run=run,
        command=command(),
        nonce=token_hex(4),
        dr=version("dr-gameday"),
        target=known,
        pins=ready.loaded.graph.pins if ready.loaded else (),
        digest=source.assignment.digest if source else "",
        simulated=simulated if known.embedded else (),
        steps=source.assignment.steps if source else (),
        estimate=ready.loaded.plan.estimate if source and ready.loaded else 0.0,
    )


def _announced(ready: Prepared, options: Options, number: int) -> Announced:
    gameday, says = ready.gameday, ready.experiment.says
    steady = gameday.steady_state
    return Announced(
        0.0,
        title=gameday.title,
        scenario=ready.scenario,
        file=ready.file.name,
        digest=ready.digest,
        fault=ready.experiment.title,
        blast_radius=says.blast_radius if says else "",
        recovery=gameday.recovery.by,
        probes=gamedays.planned(steady),
        objectives=gamedays.promised(gameday.objectives),
        consecutive=steady.consecutive,
        hold=float(steady.hold),
        timeout=float(gameday.recovery.timeout),
        roles=gameday.roles,
        seed=options.seed,
        repetition=number,
        repetitions=options.repeat,
    )


def _notice(run: _Run, event: str) -> Notice:
    gameday, rto = run.ready.gameday, run.ready.gameday.objectives.rto
    return Notice(
        event,
        gameday.title,
        run.ready.scenario,
        run.folder.name,
        SystemClock().now(),
        run.known.context,
        rto=None if rto is None else float(rto),
        report=str(run.folder),
    )


def _ended(run: _Run, done: Finished) -> Notice:
    event = "aborted" if done.row.verdict == "aborted" else "ended"
    return replace(_notice(run, event), verdict=done.row.verdict, rta=done.row.rta)
