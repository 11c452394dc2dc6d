"""What people, objects and commits have said is text in what is told of many runs, herds, moves and runbooks, too."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from markdown_it import MarkdownIt

from dr.adapters.git.trail import last_changes
from dr.core.events import AnyEvent, CameBack, Stage, Staged
from dr.core.evidence import evidence as evidence_of
from dr.core.gameday import FollowUp
from dr.core.herd import Herded
from dr.core.history import Row
from dr.core.model import Graph, Pin
from dr.core.move import judged
from dr.core.plan import order
from dr.core.recovery import recovery
from dr.core.runbook import runbook
from dr.core.timeline import fold
from dr.report import evidence, history_text, move_markdown, move_text, runbook_markdown
from dr.report.console import Line
from dr.report.herd_html import html as herd_html
from dr.report.herd_markdown import markdown as herd_markdown
from dr.report.herd_text import lines_of as herd_lines
from dr.report.history_metrics import history_metrics
from dr.report.run_html import html
from tests.core.test_evidence import Q4, row
from tests.report import test_smuggling
from tests.report.sample import small
from tests.report.test_herd_reports import HERD
from tests.report.test_move_reports import forklift, measured
from tests.report.test_smuggling import SAID, SAMPLE, Tags, samples

PAYLOADS = [*test_smuggling.PAYLOADS, "<s>|*b*\u202e"]
# Beside what a run's log says: what a herd, a row of the history and a commit's message say.
ALSO = frozenset(
    [
        *("herd", "run", "cluster", "waves", "commands", "labels", "folder", "repo", "target", "head", "kind"),
        *("author", "subject", "artifact", "trailers", "old", "new", "path", "by", "note", "detail", "data", "reason"),
        *("owner", "retest", "revision", "location", "says", "step", "workload", "parts", "units"),
    ]
)
HARMLESS = "harmless"  # what a text is longer by where a plan or a kind is known by it, and nothing else
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def poisoned(value: Any, payload: str, key: str = "") -> Any:
    """Return the same with the payload behind each text that comes from elsewhere, names in mappings as well."""
    if isinstance(value, dict):
        named = key in ("labels", "parts", "units")
        return {f"{n}{payload}" if named else n: poisoned(v, payload, "" if named else n) for n, v in value.items()}
    if isinstance(value, list | tuple):
        return [poisoned(entry, payload, "" if isinstance(entry, dict) else key) for entry in value]
    if key == "commit" and value:
        return f"{payload}{value}"  # of which the beginning is shown
    return f"{value}{payload}" if isinstance(value, str) and key in SAID | ALSO and value else value


def bent(value: Any, kind: Any, payload: str) -> Any:
    return msgspec.convert(poisoned(msgspec.to_builtins(value), payload), kind)


def herd(payload: str) -> Herded:
    found: Herded = bent(HERD, Herded, payload)
    return found


def rows(payload: str) -> list[Row]:
    ran = [row(f"2026-10-0{n}", verdict="met" if n < 5 else "missed", rta=10.0 * n) for n in range(1, 7)]
    more = [msgspec.structs.replace(r, parts={"detect": 1.0}, units={"shop": 9.0, "web": 2.0}) for r in ran]
    changed = [msgspec.structs.replace(r, commit=f"{n // 4}" * 9) for n, r in enumerate(more)]
    return [bent(r, Row, payload) for r in changed]


def move(payload: str) -> list[AnyEvent]:
    events = [*forklift("returned"), *forklift("moved")[-2:-1]]
    kept = (Stage, Staged)  # their names are ours
    return [e if isinstance(e, kept) else bent(e, AnyEvent, payload) for e in sorted(events, key=lambda e: e.at)]


def timeline(payload: str) -> list[AnyEvent]:
    decoder = msgspec.json.Decoder(AnyEvent)
    return [bent(decoder.decode(line), AnyEvent, payload) for line in SAMPLE.read_bytes().splitlines()]


def evident(payload: str) -> Any:
    made = rows(payload)
    todo = [FollowUp(f"do it{payload}", f"Ada{payload}", "2026-11-01", f"2026-12-01{payload}")]
    faults = {r.run: (f"a line was changed{payload}",) for r in made}
    return evidence_of(made, Q4, {made[0].run: todo}, faults, (f"never-run{payload}",))


def book(payload: str) -> bytes:
    graph = bent(small(), Graph, payload)
    return runbook_markdown.markdown(runbook(graph, order(graph)), graph.pins)


MARKDOWN: dict[str, Callable[[str], bytes]] = {
    "herd": lambda payload: herd_markdown(herd(payload)),
    "forklift": lambda payload: move_markdown.markdown(measured(move(payload))),
    "evidence": lambda payload: evidence.markdown(evident(payload)),
    "runbook": book,
}
PAGES: dict[str, Callable[[str], bytes]] = {
    "herd": lambda payload: herd_html(herd(payload)),
    "forklift": lambda payload: html(
        fold(move(payload)), judged(measured(move(payload))), moved=measured(move(payload))
    ),
}
TEXTS: dict[str, Callable[[str], Iterable[Line]]] = {
    "herd": lambda payload: herd_lines(herd(payload)),
    "forklift": lambda payload: move_text.lines(measured(move(payload)), detail=True),
    "report list": lambda payload: history_text.listed(rows(payload)),
    "report trend": lambda payload: history_text.trended(history_text.trend(rows(payload)), rows(payload)[0].scenario),
    "report compare": lambda payload: history_text.compared(*rows(payload)[:2], detail=True),
    "report blame": lambda payload: history_text.blamed(
        fold(timeline(payload)), recovery(timeline(payload)), detail=True
    ),
    "report critical-chain": lambda payload: history_text.chained(fold(timeline(payload)), {}, 0.0),
    "report evidence": lambda payload: history_text.evident(evident(payload)),
}


def read(document: bytes) -> Tags:
    # GitHub and GitLab allow HTML in Markdown: so does this reader.
    return Tags(MarkdownIt("commonmark", {"html": True}).enable("table").render(document.decode()))


@cache
def plain(kind: str, name: str) -> Any:
    made = {"markdown": MARKDOWN, "page": PAGES}[kind][name](HARMLESS)
    return read(made) if kind == "markdown" else Tags(made.decode())


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
@pytest.mark.parametrize("name", MARKDOWN)
def test_no_document_takes_what_was_said_for_its_own_markup(name: str, payload: str) -> None:
    made, before = read(MARKDOWN[name](payload)), plain("markdown", name)
    assert made.count == before.count
    assert [act for act in made.acts if act not in before.acts] == []


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
@pytest.mark.parametrize("name", PAGES)
def test_no_page_takes_what_was_said_for_its_own_markup(name: str, payload: str) -> None:
    made, before = Tags(PAGES[name](payload).decode()), plain("page", name)
    assert made.count == before.count
    assert made.acts == before.acts == []


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
@pytest.mark.parametrize("name", TEXTS)
def test_nothing_that_was_said_steers_the_terminal_or_adds_a_line(name: str, payload: str) -> None:
    made, before = (["".join(part for part, _ in line) for line in TEXTS[name](said)] for said in (payload, HARMLESS))
    assert not [line for line in made if CONTROL.search(line)]
    assert len(made) == len(before)


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_no_name_of_the_history_or_of_a_herd_adds_a_metric(payload: str) -> None:
    made, before = (history_metrics(rows(said), (), {said: 1.0}, 0, [herd(said)]) for said in (payload, HARMLESS))
    assert Counter(samples(made)) == Counter(samples(before))


def committed(repo: Path, payload: str) -> CameBack:
    """Commit under an author and a message that hold the payload; return what is told of that."""
    git = [
        "git",
        "-c",
        "user.email=ada@example.com",
        "-c",
        f"user.name=Ada {' '.join(payload.split())}",
        "-C",
        str(repo),
    ]
    message = f"Sell tea {payload}\n\nRelease: 7 {' '.join(payload.split())}\n"
    subprocess.run(["git", "init", "-q", str(repo)], check=True)
    (repo / "tea").touch()
    subprocess.run([*git, "add", "tea"], check=True)
    subprocess.run([*git, "commit", "-q", "-F", "-"], input=message.encode(), check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    found = last_changes(Pin("shop", str(repo), head), ["."])["."]
    return CameBack(34.1, "apps", found.commit, found.time, found.author, found.subject, "shop-7", found.trailers)


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_a_commit_message_in_the_audit_trail_of_a_forklift_is_text(tmp_path: Path, payload: str) -> None:
    made = []
    for number, said in enumerate((payload, HARMLESS)):
        events = [e if not isinstance(e, CameBack) else committed(tmp_path / f"{number}", said) for e in forklift()]
        found = measured(events)
        assert found.came_back[0].trailers
        page = Tags(html(fold(events), judged(found), moved=found).decode())
        document = read(move_markdown.markdown(found))
        lines = ["".join(part for part, _ in line) for line in move_text.lines(found, detail=True)]
        made.append((page.count, page.acts, document.count, document.acts, len(lines)))
        assert not [line for line in lines if CONTROL.search(line)]
    assert made[0] == made[1]
