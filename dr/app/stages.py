"""The stages of a forklift, each done on both clusters and written down."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, nullcontext, suppress

from dr.adapters.kube import Survey
from dr.adapters.traffic import Hooks, Looking
from dr.app.audience import Audience
from dr.app.carrying import Freight
from dr.app.earlier import Known
from dr.app.moves import FORKLIFT, Clusters, Ready, Shown
from dr.app.retiring import embedded_name, retired, too_early
from dr.core.errors import DrError, LockError, ToolError, UsageError
from dr.core.events import (
    AnyEvent,
    Began,
    Checked,
    Stage,
    Staged,
    Twinned,
)
from dr.core.events import Parity as ParityEvent
from dr.core.hidden import Hidden
from dr.core.model import Level, Origin
from dr.core.moving import findings, live_only
from dr.core.moving_data import left_over, unmovable
from dr.core.progress import UNDONE, Progress, progress
from dr.engine.cutover import Cutover
from dr.engine.drain import drain, undrain
from dr.engine.lock import HOLD, kept
from dr.engine.moving import census, parity
from dr.engine.preflight import preflight
from dr.engine.recorder import Recorder
from dr.engine.run import carried_over, run
from dr.engine.verify import verify


class Stages:
    """The stages of one move. Each returns why it did not pass, "" where it did; raises DrError."""

    def __init__(
        self,
        ready: Ready,
        clusters: Clusters,
        recorder: Recorder,
        events: Sequence[AnyEvent],
        shown: Shown,
        known: Known = Known(),  # noqa: B008 - frozen
    ) -> None:
        """`events`: all that was written down so far; it grows as more is. `known`: of earlier moves."""
        self._known = known
        self._ready = ready
        self._clusters = clusters
        self._recorder = recorder
        self._events = events
        self._shown = shown
        self._freight = Freight(ready.move.data, clusters.sides, recorder, ready.folder, self._began.run)
        self._audience = Audience(ready.move, ready.new, recorder, events)
        self.alone: tuple[Hidden, ...] = ()
        self._work: dict[str, Callable[[], Awaitable[str]]] = {
            "preflight": self._preflight,
            "bootstrap": self._bootstrap,
            "verify": self._verify,
            "data": self._data,
            "parity": self._parity,
            "cutover": self._cutover,
            "drain": self._drain,
            "retire": self._retire,
        }

    def allow(self, stage: str, *, force: bool = False) -> str:
        """Return what is to be said before a stage that may begin; raises DrError where it may not."""
        done, data = self.done, [data.name for data in self._ready.move.data]
        cause, remedy = done.against(stage, data)
        if cause:
            raise UsageError(cause, remedy)
        if lacking := done.lacking(stage, data):
            if force and lacking == ("preflight",):
                return "preflight did not pass; going on all the same"
            raise UsageError(
                f"{stage} comes after {' and '.join(lacking)}, which did not pass yet", f"dr forklift {lacking[0]} FILE"
            )
        asking = [step for step in self._ready.move.cutover.pause if step > done.weight]
        if stage == "cutover" and asking and not self._shown.attended:
            raise UsageError(
                f"a person must agree to {asking[0]} % of the traffic, and there is no terminal",
                "run it in one (--yes agrees to no pause), or leave `pause` out",
            )
        if stage == "retire":
            move = self._ready.move
            if not move.source.lock and not self._clusters.was.embedded:
                raise LockError("`from` has no lock, so that another cluster might be taken away", "set it: dr lock")
            if cause := too_early(move.retire, done, self._recorder.clock.now()):
                raise UsageError(cause, "wait, or set `retire.after`")
        return ""

    @property
    def done(self) -> Progress:
        """How far the move is."""
        return progress(self._events)

    async def close(self) -> None:
        """Stop asking as users do."""
        await self._audience.close()

    async def carry_out(self, stage: str) -> str:
        """Do a stage and write down how it went; raises DrError, and what ends it from outside."""
        clock, recorder = self._recorder.clock, self._recorder
        recorder.emit(Stage(recorder.at, stage, clock.now()))
        outcome, cause = "interrupted", ""
        try:
            cause = await self._work[stage]()
            outcome = ("returned" if stage == "cutover" else "failed") if cause else "passed"
        except DrError as error:
            outcome, cause = "failed", error.cause
            raise
        finally:
            recorder.emit(Staged(recorder.at, stage, outcome, clock.now(), cause))
        return cause

    async def _preflight(self) -> str:
        ready, recorder, clusters = self._ready, self._recorder, self._clusters
        old, new = await asyncio.gather(census(Survey(clusters.old)), census(Survey(clusters.new)))
        git = [step.ref for step in ready.assignment.steps]
        derived = [node.ref for node in ready.loaded.graph.nodes if node.origin is Origin.DERIVED]
        resources = ready.loaded.source.resources
        self.alone = live_only(old, git, derived, resources)
        begun = self._known.begun or any(
            isinstance(event, Stage) and event.stage == "bootstrap" for event in self._events
        )
        rows = (
            *findings(old, new, ready.move, resources, git, self.alone, begun=begun),
            *left_over(new.live, self._known.left),
            *unmovable(ready.move, git, [name for name, value in os.environ.items() if value]),
            *await self._freight.check(),
        )
        checks = [Checked(recorder.at, r.check, r.level, r.subject, r.cause, r.remedy) for r in rows]
        for check in checks:
            recorder.emit(check)
        checks += await preflight(clusters.new, ready.assignment, ready.loaded.graph, recorder)
        wrong = sum(1 for check in checks if check.level is Level.ERROR)
        return f"{wrong} findings stand against the move" if wrong else ""

    async def _bootstrap(self) -> str:
        ready, clusters = self._ready, self._clusters
        began = self._began
        gates = self._freight.gates(step.ref for step in ready.assignment.steps)
        applied = carried_over(self._events, clusters.will, ready.assignment.digest)
        done = await run(
            clusters.new,
            began,
            ready.assignment,
            ready.loaded.graph,
            self._recorder,
            ready.settings,
            applied=applied,
            force=True,
            compare=False,
            part=True,
            gates=gates,
        )
        outcome = done.outcome
        if outcome and outcome.passed:
            return ""
        failed = len(outcome.failed) if outcome else 0
        return f"{failed} objects failed, so that {len(outcome.skipped) if outcome else 0} were not tried"

    async def _verify(self) -> str:
        ready = self._ready
        compared, found = await verify(
            self._clusters.new, ready.assignment, ready.loaded.graph, self._recorder, ready.settings.rules, 15.0
        )
        wrong = sum(1 for difference in found if difference.what != "extra")
        return f"{wrong} of {compared} objects are not as git says" if wrong else ""

    async def _data(self) -> str:
        for name in self._freight.states:
            await self._freight.copy(name)
        return ""

    async def _parity(self) -> str:
        ready, recorder = self._ready, self._recorder
        surveys = Survey(self._clusters.old), Survey(self._clusters.new)
        compared, found = await parity(*surveys, ready.assignment, ready.move.overrides)
        for twin in found:
            recorder.emit(ParityEvent(recorder.at, twin.ref, twin.path, twin.old, twin.new, twin.drifted, twin.allowed))
        recorder.emit(Twinned(recorder.at, compared))
        wrong = sum(1 for twin in found if not twin.allowed)
        return f"{wrong} differences that no override allows" if wrong else ""

    async def _cutover(self) -> str:
        cutover = self._ready.move.cutover
        if not cutover.traffic:
            raise UsageError("nothing says how traffic moves", "write a forklift file with `cutover`")
        users = await self._audience.users()
        hooks = Hooks(self._clusters.sides, os.environ, self._ready.folder)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(
                kept(self._clusters.new, self._began.holder, self._recorder.clock, FORKLIFT, self._waits)
            )
            looking = await stack.enter_async_context(Looking(cutover.seen)) if cutover.seen else None
            following = Cutover(
                cutover, self._recorder, users, hooks, looking, self._freight.states, self._shown.agree, self.done
            )
            cause = await following.run()
        with suppress(ToolError) if cause else nullcontext():  # that users are back is what counts
            await self._audience.count()
        return cause

    @property
    def _began(self) -> Began:
        return next(event for event in self._events if isinstance(event, Began))

    def _waits(self, what: str) -> None:
        self._recorder.emit(Checked(self._recorder.at, HOLD, Level.INFO, self._clusters.will.context, what))

    async def _drain(self) -> str:
        ready, old = self._ready, self._clusters.old
        self._freight.states  # noqa: B018 - a variable that is missing is said before anything is stopped
        draining = drain(old, ready.assignment, self._recorder, 120.0)
        if not self._audience.asked:
            await draining
        elif trouble := await self._audience.during(draining):
            count = await self.undrained()
            return f"users need the old cluster: {trouble}; {count} workloads were started again"
        # Not before: until then users may need what the old side holds, as it is now.
        await self._freight.end()
        await self._audience.count()
        return ""

    async def undrained(self) -> int:
        """Start again what was drained; return how many workloads. Before, it is written down that none is."""
        clock = self._recorder.clock
        self._recorder.emit(Staged(self._recorder.at, "drain", UNDONE, clock.now()))
        return await undrain(self._clusters.old, self._ready.assignment)

    async def _retire(self) -> str:
        was, retire = self._clusters.was, self._ready.move.retire
        self._shown.confirm(was.context)
        await self._audience.served()
        if retire.command:
            await retired(retire, was, self._ready.folder)
        elif was.embedded and (name := embedded_name(was.context)):
            from dr.app.places import state_folder
            from dr.local import cluster

            await asyncio.to_thread(cluster.remove, state_folder(), name)
        else:
            raise UsageError(
                f"nothing says how {was.context} is taken away", "name a `retire.command`: it gets DR_CONTEXT"
            )
        return ""
