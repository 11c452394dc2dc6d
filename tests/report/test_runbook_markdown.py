"""A runbook as Markdown: it shows what was meant, whatever names the repo has, and can be read back."""

from __future__ import annotations

import os
import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from dr.core.byhand import Block, Task, Trouble
from dr.core.model import Pin
from dr.core.plan import order
from dr.core.runbook import Runbook, runbook, steps
from dr.report.runbook_markdown import escaped, markdown
from tests.report.sample import hostile, small

GOLDEN = Path(__file__).parent / "golden" / "runbook.md"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
COMMANDS = st.lists(WORDS.map(lambda word: f"echo {word}"), min_size=1, max_size=3).map(tuple)
TASKS = st.builds(
    Task, WORDS, WORDS, st.lists(TEXTS, max_size=3).map(tuple), st.lists(st.builds(Block, TEXTS, COMMANDS)).map(tuple)
)
LISTS = st.lists(TASKS, max_size=3).map(tuple)
BOOKS = st.builds(
    Runbook, TEXTS, LISTS, LISTS, LISTS, st.lists(st.builds(Trouble, TEXTS, LISTS.map(lambda _: ()))).map(tuple)
)


def test_the_runbook_of_a_small_shop_is_as_agreed_on() -> None:
    graph = small()
    content = markdown(runbook(graph, order(graph)), graph.pins)
    if os.environ.get("DR_UPDATE_GOLDEN") == "1":
        GOLDEN.write_bytes(content)
    assert content == GOLDEN.read_bytes()


def test_hostile_names_stay_text() -> None:
    graph = hostile()
    tokens = MarkdownIt("commonmark").parse(markdown(runbook(graph, order(graph)), graph.pins).decode())
    inline = [child for token in tokens for child in token.children or ()]
    html = [token.content for token in (*tokens, *inline) if token.type in {"html_block", "html_inline"}]
    assert html
    assert all(re.fullmatch(r'<a id="[\w-]+">\s*|</a>\s*|<a id="[\w-]+"></a>\s*', text) for text in html), html
    assert all("window.broken" not in str(token.attrs) for token in inline)


@given(BOOKS)
def test_headings_lists_and_commands_are_those_of_the_runbook_whatever_it_says(book: Runbook) -> None:
    content = markdown(book, ()).decode()
    tokens = MarkdownIt("commonmark").parse(content)
    heads = [token.tag for token in tokens if token.type == "heading_open"]
    assert heads.count("h3") == len(book.tasks)
    assert heads.count("h1") == 1
    fences = [token.content for token in tokens if token.type == "fence"]
    assert fences == ["".join(f"{c}\n" for c in block.commands) for task in book.tasks for block in task.blocks]


@given(BOOKS)
def test_each_step_is_read_back_once_in_order_and_with_its_commands(book: Runbook) -> None:
    read = steps(markdown(book, ()).decode())
    assert [escaped(step.title) for step in read] == [escaped(task.title) for task in book.tasks]
    for task, step in zip(book.tasks, read, strict=True):
        assert list(step.commands) == ["\n".join(block.commands) for block in task.blocks]


@given(st.lists(TASKS, min_size=1, max_size=6).map(tuple))
def test_every_line_of_the_contents_leads_to_a_step_of_its_own(tasks: tuple[Task, ...]) -> None:
    content = markdown(Runbook("all", (), tasks, (), ()), (Pin("shop", "/srv/shop"),)).decode()
    links = re.findall(r"^\d+\. .*\(#([\w-]+)\)$", content, re.MULTILINE)
    anchors = re.findall(r'^<a id="([\w-]+)"></a>$', content, re.MULTILINE)
    assert links == anchors
    assert len(set(links)) == len(tasks)
