"""Answers `dr restore` and `dr lock`, and what a rehearsal has in common with a restore."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from secrets import token_hex
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from dr.adapters.kube import Kube
from dr.adapters.store import EventLog, SystemClock, interrupted, new_run, put
from dr.app import finish
from dr.app.answer import Answer
from dr.app.command import command
from dr.app.places import target
from dr.app.reading import Loaded, load
from dr.core.errors import DrError, LockError, StoreError, UsageError
from dr.core.events import AnyEvent, Began, Checked, Ended, Event, Resumed, Target
from dr.core.model import Level
from dr.core.plan import Plan
from dr.core.timeline import Timeline
from dr.core.work import Assignment, assign, select
from dr.engine.dry_run import Answered, Would, dry_run
from dr.engine.patient import patient
from dr.engine.recorder import Recorder
from dr.engine.restore import Settings
from dr.engine.run import Result, carried_over, run
from dr.local.cluster import SIMULATED
from dr.report import console, data
from dr.report.console import Line, line, many
from dr.report.run_data import data as run_data
from dr.report.run_junit import junit
from dr.report.run_markdown import markdown
from dr.report.run_text import lines as run_lines

_SHOWN = 10
Say = Callable[[str], None]
Watcher = Callable[[Event], None]


class Options(Struct, frozen=True):
    """What `dr restore` was asked for, beyond the repo and the target."""

    only: tuple[str, ...] = ()
    start: str = ""
    manager: str = ""
    timeout: float = 300.0
    concurrency: int = 32
    lock: str = ""
    force: bool = False
    reports: Path = Path("reports")


def assignment_of(loaded: Loaded, options: Options | None = None) -> Assignment:
    """Return the steps of a restore; raises UsageError when there is none."""
    config, options = loaded.config, options or Options()
    done = assign(
        loaded.plan, loaded.source, manager=options.manager, conversions=config.convert, estimates=config.estimates
    )
    if not done.steps:
        raise UsageError("there is nothing to restore: no object was found", "dr graph REPO shows what was read")
    return select(done, options.only, options.start)


def settings_of(loaded: Loaded, options: Options) -> Settings:
    """Return how the restore is led."""
    return Settings(concurrency=options.concurrency, timeout=options.timeout, rules=loaded.config.readiness)


def beginning(
    run_id: str, found: Target, assignment: Assignment, loaded: Loaded, clock: SystemClock, order: str = "graph"
) -> Began:
    """Return the first event of a run."""
    simulated = SIMULATED if found.embedded else ()
    return Began(
        0.0,
        time=clock.now(),
        run=run_id,
        command=command(),
        nonce=token_hex(4),
        dr=version("dr-gameday"),
        target=found,
        pins=loaded.graph.pins,
        order=order,
        digest=assignment.digest,
        simulated=(*simulated, *(f"converted: {what}" for what in assignment.converted)),
        steps=assignment.steps,
        estimate=loaded.plan.estimate,
    )


def restore(
    repos: Sequence[str],
    to: str,
    form: str,
    options: Options,
    reading: Mapping[str, Any],
    *,
    dry: bool,
    resume: bool,
    detail: bool,
    confirm: Callable[[str], None],
    watching: Callable[[], AbstractContextManager[Watcher]],
) -> Answer:
    """Answer `dr restore`. `confirm` asks for the context's name; `watching` shows what happens."""
    loaded = load(repos, **reading)
    assignment = assignment_of(loaded, options)
    # Only a restore makes a cluster of kind or k3d: what is bound to a certain one is about one that is there.
    access = target(to, create=not (dry or resume or options.lock))

    async def work() -> Answer:
        async with Kube(access) as cluster:
            found = await patient(cluster).identity()
            if options.lock and options.lock not in (found.uid, lock_of(found)):
                raise LockError(
                    f'the context "{found.context}" is {lock_of(found)}, not the cluster of the lock {options.lock}',
                    "nothing was changed; check the kubeconfig, or plan again with --dry-run",
                )
            if dry:
                answers = await dry_run(cluster, assignment, loaded.graph)
                return _dry_answer(found, assignment, loaded.plan, answers, form, detail=detail)
        if not found.embedded:
            confirm(found.context)
        # The kubeconfig is read anew after the question: it may have been pointed elsewhere meanwhile.
        async with Kube(target(to)) as cluster:
            return await _restored(cluster, found, assignment, loaded, options, resume=resume)

    async def _restored(
        cluster: Kube, found: Target, assignment: Assignment, loaded: Loaded, options: Options, *, resume: bool
    ) -> Answer:
        clock = SystemClock()
        applied: Mapping[int, str] = {}
        elapsed = 0.0
        if resume:
            folder, before = interrupted(options.reports, found.uid, assignment.digest)
            applied = carried_over(before, found, assignment.digest)
            elapsed = _elapsed(before, clock)
        else:
            folder = new_run(options.reports, f"{name_of(loaded)}-{found.context}")
        began = beginning(folder.name, found, assignment, loaded, clock)
        if resume:
            began = replace(began, nonce=next(event.nonce for event in before if isinstance(event, Began)))
        with reported(folder), EventLog(folder) as log, watching() as watcher:
            recorder = Recorder(log, clock, [watcher], elapsed)
            if resume:
                watcher(began)
                recorder.emit(Resumed(recorder.at, time=clock.now()))
            else:
                recorder.emit(began)
            result = await ended(
                run(
                    cluster,
                    began,
                    assignment,
                    loaded.graph,
                    recorder,
                    settings_of(loaded, options),
                    applied=applied,
                    force=options.force,
                ),
                recorder,
            )
        return run_answer(folder, form, 0 if result.passed else 1, detail=detail)

    return asyncio.run(work())


async def ended(running: Awaitable[Result], recorder: Recorder) -> Result:
    """Await a run; what breaks it off is written down before it goes on its way."""
    try:
        return await running
    except (asyncio.CancelledError, KeyboardInterrupt):
        recorder.emit(Ended(recorder.at, outcome="interrupted"))
        raise
    except DrError as error:
        with suppress(StoreError):  # a log that is full takes no end either
            found = ("run", Level.ERROR, "restore", error.cause, error.remedy)
            recorder.emit(Checked(recorder.at, *found))
            recorder.emit(Ended(recorder.at, outcome="failed"))
        raise


@contextmanager
def reported(folder: Path) -> Iterator[None]:
    """Write the reports of a run that an error broke off, too; the error counts more than what they lack."""
    try:
        yield
    except DrError:
        with suppress(DrError):
            finish.write(folder)
        raise


def _elapsed(before: Sequence[AnyEvent], clock: SystemClock) -> float:
    """Return the seconds since an interrupted run began, by wall time; never less than its log tells."""
    began = next(event for event in before if isinstance(event, Began))
    since = datetime.fromisoformat(clock.now()) - datetime.fromisoformat(began.time)
    return max(since.total_seconds(), before[-1].at)


def lock_of(found: Target) -> str:
    """Return the target lock as people pass it on: the cluster's UID and the start of its CA's fingerprint."""
    return f"{found.uid}/{found.ca[:12]}"


def lock(to: str, form: str) -> Answer:
    """Answer `dr lock`."""
    access = target(to)

    async def known() -> Target:
        async with Kube(access) as cluster:
            return await cluster.identity()

    found = asyncio.run(known())
    if form == "json":
        return Answer(content=data.encode({"schema": 1, "target": found, "lock": lock_of(found)}))
    return Answer((line(lock_of(found)),))


def name_of(loaded: Loaded) -> str:
    """Return what a run of these repos is called after."""
    pins = loaded.graph.pins
    return pins[0].name if pins else "repo"


def run_answer(folder: Path, form: str, code: int, others: Sequence[Timeline] = (), *, detail: bool) -> Answer:
    """Write a run's reports beside its events, and answer with it."""
    timeline = finish.write(folder).timeline
    timelines = (timeline, *others)
    content = run_data(timeline)
    if others:
        put(folder / "report.md", markdown(timelines))
    if form == "json":
        return Answer(content=content, exit_code=code)
    if form == "junit":
        return Answer(content=junit(timeline), exit_code=code)
    if form == "markdown":
        return Answer(content=markdown(timelines), exit_code=code)
    shown = [
        *run_lines(timeline, detail=detail, against=others),
        line("Report: ", (str(folder / "report.html"), "bold")),
    ]
    return Answer(tuple(shown), exit_code=code)


def _dry_answer(
    found: Target, assignment: Assignment, plan: Plan, answers: Sequence[Answered], form: str, *, detail: bool
) -> Answer:
    rejected = [a for a in answers if a.would is Would.REJECT]
    code = 1 if rejected else 0
    if form != "text":
        rows = [
            {
                "object": str(a.step.ref),
                "unit": a.step.unit,
                "where": a.step.where,
                "would": a.would,
                "cause": a.cause,
                "changes": a.changes,
            }
            for a in answers
        ]
        content = {"schema": 1, "target": found, "lock": lock_of(found), "digest": assignment.digest, "objects": rows}
        return Answer(content=data.encode(content), exit_code=code)
    counts = {would: sum(1 for a in answers if a.would is would) for would in Would}
    words = {
        Would.CREATE: "create",
        Would.CHANGE: "change",
        Would.KEEP: "leave as they are",
        Would.LATER: "check once what they live in is there",
        Would.REJECT: "fail",
    }
    units = {step.unit for step in assignment.steps}
    part = f"a part of the plan: {many(len(units), 'unit')} · {many(len(assignment.steps), 'object')}"
    whole = len(assignment.steps) == len(plan.steps)
    shown: list[Line] = [
        *(console.plan_lines(plan, detail=False) if whole else [line((part, "bold"))]),
        line((f"dry run against {found.context}", "bold"), f" ({found.server}, {found.version}); nothing was changed"),
        line(
            "would " + ", ".join(f"{words[would]} {many(count, 'object')}" for would, count in counts.items() if count)
        ),
    ]
    for answer in answers:
        if answer.would is Would.REJECT:
            shown.append(line(("✗ ", "red"), f"{answer.step.ref}  {answer.step.where}: {answer.cause[:300]}"))
        elif answer.would is Would.CHANGE:
            shown.append(line(("~ ", "yellow"), f"{answer.step.ref}"))
            limit = None if detail else _SHOWN
            shown += [line(f"    {d.path}: {d.found} → {d.wanted}") for d in answer.changes[:limit]]
        elif detail:
            shown.append(line(f"{'+' if answer.would is Would.CREATE else ' '} {answer.step.ref}"))
    shown.append(line("lock: ", (lock_of(found), "bold"), "  (dr restore … --lock refuses any other cluster)"))
    return Answer(tuple(shown), exit_code=code)


def silent() -> AbstractContextManager[Watcher]:
    """Show nothing of what happens."""
    return nullcontext(lambda _: None)
