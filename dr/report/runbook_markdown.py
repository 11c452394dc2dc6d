"""A runbook as Markdown: steps to tick off by hand, which `dr` reads again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from dr.core.byhand import Block, Task
from dr.core.model import Pin
from dr.core.runbook import Runbook
from dr.report.console import pins as named
from dr.report.findings import safe

# Within a word an underscore is only itself.
_SPECIAL = re.compile(r"([\\`*\[\]<>|~&$#]|(?<![^\W_])_|_(?![^\W_]))")
_TICK = "- [ ] began ____________ ended ____________ by ____________"


def markdown(runbook: Runbook, pins: Sequence[Pin]) -> bytes:
    """Return a runbook in Markdown. `core.runbook.steps` reads its steps again; pins are the repos it was made from."""
    return ("\n".join(_lines(runbook, pins)) + "\n").encode(errors="replace")


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, on one line, whatever it holds."""
    return _SPECIAL.sub(r"\\\1", safe(text)).strip()


def _lines(runbook: Runbook, pins: Sequence[Pin]) -> Iterator[str]:
    anchors = _anchors(runbook.tasks)
    yield f"# {escaped(runbook.title)}"
    yield ""
    yield f"Made from {escaped(named(pins))}. Follow the steps from first to last; write down when and who."
    yield ""
    yield "| exercise or incident | date | led by | cluster |"
    yield "|---|---|---|---|"
    yield "| | | | |"
    yield ""
    for number, (task, anchor) in enumerate(zip(runbook.tasks, anchors, strict=True), 1):
        yield f"{number}. [{escaped(task.title)}](#{anchor})"
    yield ""
    if runbook.troubles:
        yield "Read [known trouble](#known-trouble) before you begin."
        yield ""
    number = 0
    for title, tasks in (
        ("Before the first unit", runbook.before),
        ("Units, in this order", runbook.units),
        ("At the end", runbook.after),
    ):
        yield f"## {title}"
        yield ""
        for task in tasks:
            yield from _task(task, number + 1, anchors[number])
            number += 1
    yield from _troubles(runbook)


def _task(task: Task, number: int, anchor: str) -> Iterator[str]:
    yield f"### {number}. {escaped(task.title)}"
    yield ""
    yield f'<a id="{anchor}"></a>'
    yield ""
    yield from (f"* {escaped(note)}" for note in task.notes)
    yield ""
    for block in task.blocks:
        yield from _block(block)
    yield _TICK
    yield ""


def _block(block: Block) -> Iterator[str]:
    content = "\n".join(block.commands)
    longest = max((len(run) for run in re.findall("`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    yield escaped(block.says)
    yield ""
    yield f"{fence}sh"
    yield content
    yield fence
    yield ""


def _troubles(runbook: Runbook) -> Iterator[str]:
    if not runbook.troubles:
        return
    yield "## Known trouble"
    yield ""
    yield '<a id="known-trouble"></a>'
    yield ""
    for trouble in runbook.troubles:
        yield f"**{escaped(trouble.title)}**"
        yield ""
        yield from (f"* {escaped(note)}" for note in trouble.notes)
        yield ""


def _anchors(tasks: Sequence[Task]) -> list[str]:
    """Return an anchor for each step that its number is no part of, so that links outlive a new step before it."""
    slugs = [re.sub("[^a-z0-9]+", "-", task.key.lower()).strip("-") or "step" for task in tasks]
    taken = set(slugs)
    seen: Counter[str] = Counter()
    found = []
    for slug in slugs:
        seen[slug] += 1
        anchor = slug
        while seen[slug] > 1 and anchor in taken:
            anchor = f"{slug}-{seen[slug]}"
            seen[slug] += anchor in taken
        taken.add(anchor)
        found.append(anchor)
    return found
