"""A plan joined with the objects of git: what each step of a restore applies, as whom, and what must come of it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from dr.core.convert import convert
from dr.core.errors import NotFound, UsageError
from dr.core.events import PlannedStep
from dr.core.exact import adoption, exact
from dr.core.graph import Source
from dr.core.model import Body, Origin, Ref, Strength
from dr.core.plan import Plan
from dr.core.rules.order import APPLY_SECONDS, READY_SECONDS
from dr.core.schedule import urgency


class Work(Struct, frozen=True):
    """What a step applies: the body, the field manager, and the objects that controllers must make from it.

    `awaited`: somebody waits until it is ready. `urgency`: seconds of the longest chain that hangs on it.
    """

    body: Body
    manager: str
    makes: tuple[Ref, ...] = ()
    awaited: bool = False
    urgency: float = 0.0


class Assignment(Struct, frozen=True):
    """Everything that a restore does: steps as announced, work by step, and what was converted on the way."""

    steps: tuple[PlannedStep, ...]
    work: tuple[Work, ...]
    converted: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """A name for exactly this: the same objects in the same order have the same one."""
        content = msgspec.json.encode((self.steps, [(item.body, item.manager) for item in self.work]), order="sorted")
        return hashlib.sha256(content).hexdigest()


def assign(
    plan: Plan, source: Source, *, manager: str = "", conversions: bool = False, estimates: Mapping[str, float] = {}
) -> Assignment:
    """Join a plan with its objects.

    `manager` "" stands for each unit's own GitOps engine, so that it adopts the objects without a difference.
    Raises UsageError when the plan spans several environments.
    """
    graph = plan.graph
    envs = sorted({graph.nodes[step.node].env for step in plan.steps} - {""})
    if len(envs) > 1:
        raise UsageError(f"this repo holds {', '.join(envs)}", f"choose one: --env {envs[0]}")
    bodies = {(r.where, r.ref.kind, r.ref.name, r.env): r for r in source.resources}
    units = {unit.name: unit for unit in graph.units}
    makes = _wanted(plan)
    awaited = {b for step in plan.steps for b, s in zip(step.after, step.strengths, strict=True) if s is Strength.READY}
    steps, work, converted = [], [], []
    for index, step in enumerate(plan.steps):
        node = graph.nodes[step.node]
        if node.where is None:
            raise ValueError(f"{node.ref} is planned but stands nowhere")
        resource = bodies[node.where, node.ref.kind, node.ref.name, node.env]
        unit = units.get(node.unit)
        body = exact(replace(resource, ref=node.ref), unit)
        ref = node.ref
        if conversions and (new := convert(body, node.where)):
            body, ref = new.body, replace(ref, api_version=new.to)
            converted.append(f"{resource.ref} from {resource.ref.api_version} to {new.to}")
        ref = replace(ref, name=body["metadata"]["name"])
        own = adoption(unit)[0] if unit else "dr"
        steps.append(PlannedStep(ref, node.unit, step.after, step.strengths, str(node.where)))
        work.append(Work(body, manager or own, tuple(makes[step.node]), index in awaited))
    seconds = {**READY_SECONDS, **estimates}
    tails = urgency(steps, (APPLY_SECONDS + seconds.get(s.ref.kind, 0.0) for s in steps))
    return Assignment(
        tuple(steps), tuple(replace(w, urgency=t) for w, t in zip(work, tails, strict=True)), tuple(converted)
    )


def _wanted(plan: Plan) -> dict[int, list[Ref]]:
    """Return, by node, the derived objects that somebody needs of it."""
    graph = plan.graph
    needed = {edge.before for edge in graph.edges if edge.strength is not Strength.SOFT}
    found: dict[int, list[Ref]] = defaultdict(list)
    for edge in graph.edges:
        derived = graph.nodes[edge.after]
        if derived.origin is Origin.DERIVED and edge.after in needed and edge.rule == "derived":
            found[edge.before].append(derived.ref)
    return found


def select(done: Assignment, only: Collection[str], start: str) -> Assignment:
    """Return the part of a restore that belongs to the units `only`, or to `start` and all that comes after it.

    Raises NotFound for a unit that is not in the plan.
    """
    names = {step.unit for step in done.steps}
    for unit in (*only, *([start] if start else [])):
        if unit not in names:
            raise NotFound(f'"{unit}" is no unit of this plan', f"its units are {', '.join(sorted(names))}")
    if not only and not start:
        return done
    kept = {i for i, step in enumerate(done.steps) if step.unit in only or (start and step.unit == start)}
    if start:
        for index, step in enumerate(done.steps):
            if any(before in kept for before in step.after):
                kept.add(index)
    return _reduced(done, sorted(kept))


def behind(done: Assignment, refs: Collection[Ref]) -> Assignment:
    """Return the same restore in which everything that uses one of some objects waits until it is ready.

    A use at run time is no reason to wait as a rule: who calls a database that is not there yet calls again. But one
    that is there, and has not its data yet, answers, and wrongly. `refs`: their API versions do not matter.
    """
    wanted = {(ref.kind, ref.namespace, ref.name) for ref in refs}
    found = {i for i, s in enumerate(done.steps) if (s.ref.kind, s.ref.namespace, s.ref.name) in wanted}
    if not found:
        return done
    steps = tuple(
        replace(
            step,
            strengths=tuple(
                Strength.READY if before in found else strength
                for before, strength in zip(step.after, step.strengths, strict=True)
            ),
        )
        for step in done.steps
    )
    return Assignment(steps, done.work, done.converted)


def _reduced(done: Assignment, kept: Sequence[int]) -> Assignment:
    place = {old: new for new, old in enumerate(kept)}
    steps = []
    for old in kept:
        step = done.steps[old]
        pairs = [(place[b], s) for b, s in zip(step.after, step.strengths, strict=True) if b in place]
        steps.append(replace(step, after=tuple(b for b, _ in pairs), strengths=tuple(s for _, s in pairs)))
    return Assignment(tuple(steps), tuple(done.work[old] for old in kept), done.converted)


def reordered(done: Assignment, order: str, waves: Iterable[Sequence[int]], files: Sequence[str]) -> Assignment:
    """Return the same objects in another order, to see what it costs.

    `waves`: each wave waits until the one before is ready. `kubectl`: file by file, in the order of `files`, waiting
    for nothing. Anything else is the graph's own.
    """
    if order == "waves":
        before: tuple[int, ...] = ()
        after: dict[int, tuple[int, ...]] = {}
        for wave in waves:
            after.update(dict.fromkeys(wave, before))
            before = tuple(wave)
        steps = tuple(
            replace(step, after=after[i], strengths=(Strength.READY,) * len(after[i]))
            for i, step in enumerate(done.steps)
        )
        return Assignment(steps, done.work, done.converted)
    if order == "kubectl":
        by_file = sorted(range(len(done.steps)), key=lambda i: _place(files[i]))
        chain = [
            replace(done.steps[i], after=(n - 1,) if n else (), strengths=(Strength.SOFT,) if n else ())
            for n, i in enumerate(by_file)
        ]
        return Assignment(tuple(chain), tuple(done.work[i] for i in by_file), done.converted)
    return done


def _place(where: str) -> tuple[str, int]:
    file, _, line = where.rpartition(":")
    return (file, int(line)) if line.isdigit() and file else (where, 0)
