"""A plan → a runbook that people can follow when `dr` is not there; and a runbook's Markdown → its steps again."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import dedent

from msgspec import Struct
from msgspec.structs import replace

from dr.core.beforehand import begin, pointing, prerequisites, troubles, verify
from dr.core.byhand import Block, Task, Trouble, applying, below, checking, keeps, quoted, within
from dr.core.model import Graph, Node, Prerequisite, Strength, Unit
from dr.core.plan import Plan

_NAMED = 6  # names in a sentence
_SOPS = "DecryptionKey"  # what the graph calls the key that SOPS needs
_ENGINE = re.compile(r"(source|kustomize)\.(toolkit|extensions)\.fluxcd\.io|argoproj\.io")
_SHELLS = frozenset({"sh", "bash", "shell", "zsh", "console"})
_HEADING = re.compile(r"#{1,3}\s")
_NUMBERED = re.compile(r"###\s+\d+\.\s+(.*)")
_OPENING = re.compile(r"\s*(`{3,}|~{3,})\s*(.*)")
_CLOSING = re.compile(r"\s*(`{3,}|~{3,})\s*")
_ANCHOR = re.compile(r'<a id="[\w-]*"></a>')
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")


class Runbook(Struct, frozen=True):
    """The restore of a commit by hand: what comes before, the units in order, what comes after, and known trouble."""

    title: str
    before: tuple[Task, ...]
    units: tuple[Task, ...]
    after: tuple[Task, ...]
    troubles: tuple[Trouble, ...]

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All that is to be done, in order."""
        return self.before + self.units + self.after


class RunbookStep(Struct, frozen=True):
    """A step as it stands in a Markdown file: its title, everything under it, and its shell blocks, one text each."""

    title: str
    body: str
    commands: tuple[str, ...] = ()


def runbook(graph: Graph, plan: Plan, names: Sequence[Prerequisite] = ()) -> Runbook:
    """Return the runbook of a plan and the graph that it was made from; `names`: the DNS names that people use.

    A unit comes once, after every unit that it waits for, however many waves it is spread over. Where parts of units
    wait for each other in a circle, the unit of which least has to wait goes first; what of it waits is seen to later.
    The objects of a GitOps engine that stand for units come last: applied earlier, the engine would race with people.
    """
    book = _Book(graph, plan)
    return Runbook(
        f"Restore {', '.join(pin.name for pin in graph.pins) or 'this repo'} by hand",
        (begin(graph.pins), *prerequisites((*graph.prerequisites, *names))),
        tuple(book.units()),
        (*pointing(names), *book.hand_over(), verify(len(plan.steps))),
        troubles(graph),
    )


class _Book:
    """The plan by units. The engine's objects that stand for units are held apart from what units deploy."""

    def __init__(self, graph: Graph, plan: Plan) -> None:
        self._plan = plan
        self._units = {unit.name: unit for unit in graph.units}
        self._members: dict[str, list[int]] = defaultdict(list)
        self._owners: list[Node] = []
        own: dict[str, list[int]] = defaultdict(list)
        for index in range(len(plan.steps)):
            node = plan.node(index)
            unit = self._units.get(node.unit)
            if unit is not None and unit.owner == node.ref:
                self._owners.append(node)
                own[node.unit].append(index)
            else:
                self._members[node.unit].append(index)
        # Which steps of a unit wait for which step of another unit.
        self._waits: dict[str, dict[str, dict[int, int]]] = {}
        for name in {*self._members, *own}:
            self._waits[name] = self._waiting(self._members.get(name) or own[name])
        self._cut: dict[str, list[str]] = defaultdict(list)
        for edge in sorted(graph.cuts):
            before, after = graph.nodes[edge.before], graph.nodes[edge.after]
            note = f"{after.ref} starts before {before.ref} is there (a cycle was cut): expect its errors until then"
            self._cut[after.unit].append(note)
        self._encrypted = {graph.nodes[e.after] for e in graph.edges if graph.nodes[e.before].ref.kind == _SOPS}

    def _waiting(self, steps: Iterable[int]) -> dict[str, dict[int, int]]:
        found: dict[str, dict[int, int]] = defaultdict(dict)
        for index in steps:
            step, unit = self._plan.steps[index], self._plan.node(index).unit
            for before, strength in zip(step.after, step.strengths, strict=True):
                other = self._plan.node(before).unit
                if other != unit and strength is not Strength.SOFT:
                    found[other].setdefault(index, before)
        return dict(found)

    def units(self) -> Iterator[Task]:
        """Yield the units that people apply, each after what it waits for."""
        order = [name for name in self._order() if name in self._members and not self._told(name)]
        before: dict[str, list[str]] = {}
        later: dict[str, list[str]] = {}
        following: dict[str, list[str]] = defaultdict(list)
        above: dict[str, set[str]] = {}
        for name in order:
            wanted = [other for other in self._waits[name] if other in above]
            later[name] = [other for other in self._waits[name] if other in order and other not in above]
            above[name] = set(wanted).union(*(above[other] for other in wanted))
            # What is waited for by way of another one goes without saying.
            before[name] = [b for b in wanted if not any(b in above[other] for other in wanted if other != b)]
            for other in before[name]:
                following[other].append(name)
        seen = self._seen({name: place for place, name in enumerate(order)})
        for place, name in enumerate(order):
            task = self._task(name, before[name], later[name], following[name])
            here = [index for index in self._members[name] if seen[index] <= place]
            waited = [other for other in order[:place] if any(seen[i] == place for i in self._members[other])]
            blocks = list(task.blocks) + list(checking(self._plan.node(index).ref for index in here))
            for other in waited:
                refs = [self._plan.node(index).ref for index in self._members[other] if seen[index] == place]
                again = self._apply(other)[:1]
                blocks.extend(replace(b, says=f"Now again unit {other}, of which a part had to wait:") for b in again)
                blocks.extend(checking(refs))
            yield replace(task, blocks=tuple(blocks))

    def _seen(self, places: Mapping[str, int]) -> dict[int, int]:
        """Return at which unit each step can be seen to be well: its own, or a later one that it waits for."""
        seen: dict[int, int] = {}
        for index, step in enumerate(self._plan.steps):
            needed = (seen[b] for b, how in zip(step.after, step.strengths, strict=True) if how is not Strength.SOFT)
            seen[index] = max(places.get(self._plan.node(index).unit, 0), *needed, 0)
        return seen

    def _order(self) -> list[str]:
        import networkx as nx  # noqa: PLC0415 - 0.2 s of import that only a runbook pays

        needs: nx.DiGraph[str] = nx.DiGraph()
        needs.add_nodes_from(sorted(self._waits))
        needs.add_edges_from((b, a) for a, before in self._waits.items() for b in before)
        first = {name: (self._members.get(name, [len(self._plan.steps)])[0], name) for name in needs}
        knots = nx.condensation(needs)
        members = {knot: knots.nodes[knot]["members"] for knot in knots}
        order = nx.lexicographical_topological_sort(knots, key=lambda knot: min(first[m] for m in members[knot]))
        return [name for knot in order for name in self._untied(members[knot], first)]

    def _untied(self, knot: Iterable[str], first: Mapping[str, tuple[int, str]]) -> Iterator[str]:
        """Yield units that wait for each other, each time the one of which the smallest share waits for the rest."""
        left = set(knot)

        def held(name: str) -> tuple[float, tuple[int, str]]:
            waiting = {step for other in left - {name} for step in self._waits[name].get(other, ())}
            return len(waiting) / (len(self._members.get(name, ())) or 1), first[name]

        while left:
            yield (name := min(left, key=held))
            left.remove(name)

    def _told(self, name: str) -> bool:
        """Return whether a unit only tells the engine what to deploy, and nothing that people apply waits for it."""
        engine = all(_ENGINE.fullmatch(self._plan.node(index).ref.group) for index in self._members[name])
        return engine and not any(name in before for other, before in self._waits.items() if other in self._members)

    def _task(self, name: str, before: Sequence[str], later: Sequence[str], following: Sequence[str]) -> Task:
        nodes = [self._plan.node(index) for index in self._members[name]]
        unit, files, waits = self._unit(name), _files(nodes), self._waits[name]
        counts = sorted(Counter(node.ref.kind for node in nodes).items(), key=lambda item: (-item[1], item[0]))
        version = f", comes back at {unit.artifact}" if unit.artifact else ""
        notes = [
            f"Deploys {', '.join(f'{count} {kind}' for kind, count in counts)}.",
            f"Stands in {files[0] if len(files) == 1 else below(unit)} ({unit.kind}{version}).",
        ]
        if before:
            notes.append(f"Waits for {_few(self._because(other, waits[other]) for other in before)}.")
        notes.extend(
            f"Part of it waits for {self._because(other, waits[other])}, further down: go on, it is seen to there."
            for other in later
        )
        notes.extend(f"{note}." for note in self._cut[name][:_NAMED])
        if unnamed := [str(node.ref) for node in nodes if node.ref.name.endswith("*")]:
            notes.append(f"{_few(unnamed)} is named when made: kubectl apply refuses it. Use kubectl create -f, once.")
        if encrypted := _files(node for node in nodes if node in self._encrypted):
            notes.append(f"Encrypted, so do not apply as it stands: {_few(encrypted)}. Apply what sops decrypt prints.")
        if kept := [str(node.ref) for node in nodes if keeps(node.ref)]:
            notes.append(f"Comes back without its data: {_few(kept)}. Restore that from its backup before you go on.")
        if told := [n for n in self._owners if n.unit != name and n.where and _holds(unit, files, n)]:
            notes.append(
                f"This also tells the engine of {_few(str(n.ref) for n in told)}: if it runs, it begins at once."
            )
        notes.append(f"After it: {_few(following)}." if following else "Nothing waits for it.")
        return Task(f"unit {name}", f"Unit {name}", tuple(notes), self._apply(name))

    def _unit(self, name: str) -> Unit:
        return self._units.get(name, Unit(name, "folder", ""))

    def _apply(self, name: str) -> tuple[Block, ...]:
        nodes = [self._plan.node(index) for index in self._members[name]]
        unit = self._unit(name)
        whole = name.partition(":")[0] if unit.kind == "Kustomization" else name
        owner = next((node.where for node in self._owners if node.unit == whole), None)
        return applying(
            unit,
            _files(nodes),
            {node.ref.namespace for node in nodes} - {""},
            within(owner.repo, owner.file) if owner else "",
            parted=unit.kind == "Kustomization"
            and any(o.startswith((f"{name}:", f"{name}/")) and self._unit(o).path == unit.path for o in self._members),
        )

    def _because(self, other: str, pairs: Mapping[int, int]) -> str:
        after, before = next(iter(pairs.items()))
        return f"{other} ({self._plan.node(after).ref} needs {self._plan.node(before).ref})"

    def hand_over(self) -> Iterator[Task]:
        """Yield the step that leaves the rest to the GitOps engine, where there is one."""
        told = [n for name in self._members if self._told(name) for n in map(self._plan.node, self._members[name])]
        nodes = [*told, *self._owners]
        if not nodes:
            return
        listed = "".join(f" -f {quoted(file)}" for file in _files(nodes))
        yield Task(
            "hand-over",
            "Hand over to the GitOps engine",
            (
                "From here on the engine keeps the cluster as git says. Not earlier: it would race with you.",
                "It finds the objects and takes them over.",
            ),
            (
                Block("Tell it what to deploy:", (f"kubectl apply --server-side{listed}",)),
                *checking(node.ref for node in nodes),
            ),
        )


def _files(nodes: Iterable[Node]) -> list[str]:
    return sorted({within(node.where.repo, node.where.file) for node in nodes if node.where})


def _holds(unit: Unit, files: Sequence[str], owner: Node) -> bool:
    """Return whether applying a unit applies an engine's object for another unit too."""
    if owner.where is None:
        return False
    file = within(owner.where.repo, owner.where.file)
    if unit.kind in ("folder", "service"):
        return file in files
    return file.startswith(f"{within(unit.repo, unit.path)}/")


def _few(names: Iterable[str]) -> str:
    found = list(names)
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more


def steps(text: str) -> tuple[RunbookStep, ...]:
    """Return the steps of a runbook in Markdown, as `dr` wrote it or as people changed it.

    A step is a heading `### N. title` and what follows it up to the next heading of that or a higher rank. Lines in
    fenced blocks are no headings; blocks marked as shell are its commands. Never fails: what is no step is left out.
    """
    found: list[RunbookStep] = []
    title, fence, shell = "", "", False
    body: list[str] = []
    commands: list[str] = []
    block: list[str] = []

    def close() -> None:
        if title:
            found.append(RunbookStep(title, "\n".join(body).strip(), tuple(commands)))

    for line in text.replace("\r\n", "\n").split("\n"):
        if fence:
            if _CLOSING.fullmatch(line) and line.strip().startswith(fence):
                fence = ""
                if shell and (command := dedent("\n".join(block)).strip("\n")):
                    commands.append(command)
            else:
                block.append(line)
        elif opening := _OPENING.match(line):
            fence, block, shell = opening[1], [], opening[2].partition(" ")[0] in _SHELLS
        elif _HEADING.match(line):
            close()
            numbered = _NUMBERED.match(line)
            title = _ESCAPE.sub(r"\1", numbered[1]).strip() if numbered else ""
            body, commands = [], []
            continue
        if not _ANCHOR.fullmatch(line):
            body.append(line)
    close()
    return tuple(found)
