"""A runbook that people can follow: what comes first stands first, each unit once, nothing that a shell could misread."""

from __future__ import annotations

import shlex
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dr.core.graph import Source, build
from dr.core.model import Graph, Strength, Unit, Where
from dr.core.plan import order
from dr.core.runbook import Runbook, runbook, steps
from dr.report.runbook_markdown import markdown
from tests.core.build import graph, objects
from tests.core.test_plan import graphs

SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: registry.example/web, envFrom: [{secretRef: {name: db}}]}]
---
apiVersion: bitnami.com/v1alpha1
kind: SealedSecret
metadata: {name: db, namespace: shop}
spec: {encryptedData: {password: x}, template: {metadata: {name: db, namespace: shop}}}
"""
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def made(found: Graph) -> Runbook:
    return runbook(found, order(found))


@st.composite
def platforms(draw: st.DrawFn) -> Graph:
    """Draw a graph whose objects are deployed by units that wait for each other one way only."""
    found = draw(graphs())
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    count = len(found.nodes)
    nodes = tuple(replace(n, unit=names[i * len(names) // count]) for i, n in enumerate(found.nodes))
    units = tuple(Unit(name, "folder", f"units/{name}") for name in sorted({n.unit for n in nodes}))
    return replace(found, nodes=nodes, units=units)


def test_what_git_does_not_hold_comes_before_the_first_unit() -> None:
    book = made(graph(SHOP))
    said = "\n".join(note for task in book.before for note in task.notes)
    assert "SealingKey sealed-secrets-key" in said
    assert "registry.example" in said
    assert "bitnami.com" in said
    (unit,) = book.units
    assert book.tasks.index(unit) == len(book.before)


def test_a_unit_says_how_to_see_that_it_is_well() -> None:
    (unit,) = made(graph(SHOP)).units
    commands = [command for block in unit.blocks for command in block.commands]
    assert any(c.startswith("kubectl apply --server-side") for c in commands)
    assert "kubectl -n shop rollout status --timeout=10m deployment/web" in commands
    assert any("--for=condition=Synced" in c and "/db" in c for c in commands)


@given(platforms())
def test_each_unit_comes_once_and_after_every_unit_that_it_needs(found: Graph) -> None:
    plan = order(found)
    book = runbook(found, plan)
    keys = [task.key for task in book.units]
    assert sorted(keys) == sorted({f"unit {plan.node(i).unit}" for i in range(len(plan.steps))})
    for index, step in enumerate(plan.steps):
        for before, strength in zip(step.after, step.strengths, strict=True):
            first, then = (f"unit {plan.node(i).unit}" for i in (before, index))
            if strength is not Strength.SOFT:
                assert keys.index(first) <= keys.index(then)


@given(platforms())
def test_what_is_written_is_read_back_step_by_step(found: Graph) -> None:
    book = made(found)
    read = steps(markdown(book, found.pins).decode())
    assert len(read) == len(book.tasks)
    for task, step in zip(book.tasks, read, strict=True):
        commands = ["\n".join(block.commands).strip("\n") for block in task.blocks]
        assert list(step.commands) == [c for c in commands if c]


@given(NAMES)
def test_no_folder_name_becomes_a_command_of_its_own(name: str) -> None:
    found = graph(SHOP)
    unit = Unit("apps", "kustomize", name)
    nodes = tuple(replace(n, unit="apps", where=Where(f"{name}/all.yaml", 1)) for n in found.nodes)
    book = made(replace(found, units=(unit,), nodes=nodes))
    for step in steps(markdown(book, ()).decode()):
        for line in "\n".join(step.commands).split("\n"):
            if name not in ("&&", "|") and line.startswith("kubectl"):
                words = shlex.split(line)
                assert not {";", "&", "|", ">", "$(", "`"} & set(words) or name in words


def test_the_order_of_the_files_changes_no_word() -> None:
    found = list(objects(SHOP))
    pages = set()
    for seed in range(6):
        Random(seed).shuffle(found)
        again = build(Source(tuple(found)))
        pages.add(markdown(made(again), again.pins))
    assert len(pages) == 1


def test_steps_that_people_wrote_are_steps_too() -> None:
    text = (
        "# Ours\n\n### 1. Call the vendor\n\nNumber in the safe.\n\n"
        "### 2. Restore\n\n```bash\nkubectl apply -f .\n# ### 9. no step\n```\n\n## Notes\n\nnone\n"
    )
    found = steps(text)
    assert [step.title for step in found] == ["Call the vendor", "Restore"]
    assert found[0].commands == ()
    assert found[1].commands == ("kubectl apply -f .\n# ### 9. no step",)


def test_a_text_without_steps_has_none() -> None:
    assert steps("# Nothing here\n\n```sh\nunclosed") == ()
