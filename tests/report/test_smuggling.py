"""What names, causes, commit messages and probes say is text in every report, and a broken log does no harm."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from playwright.sync_api import Browser
from prometheus_client.openmetrics import parser

from dr.app.finish import Finished, told
from dr.app.reports import written
from dr.core.errors import DrError
from dr.report import gameday_text

SAMPLE = Path(__file__).parents[2] / "reports" / "sample" / "events.jsonl"
# What a log holds that people, objects and programs have said.
SAID = frozenset(
    [
        "cause",
        "message",
        "name",
        "namespace",
        "where",
        "unit",
        "subject",
        "check",
        "remedy",
        "title",
        "scenario",
        "file",
        "blast_radius",
        "targets",
        "undo",
        "fault",
        "location",
        "commit",
        "command",
        "context",
        "server",
        "simulated",
        "what",
        "units",
    ]
)
PAYLOADS = [
    "<script>window.broken=1</script>",
    '"><img src=x onerror="window.broken=1">',
    "' autofocus onfocus='window.broken=1",
    "</title></style></script><svg onload=window.broken=1>",
    "[here](javascript:window.broken=1) <javascript:x> ![](http://198.51.100.1/x.png)",
    "| a | b\n\n# forged\n\n- [ ] @team #1",
    "]]></failure><testcase name='forged'/><!--",
    '"} 1\nforged_metric{a="b"} 2\n# EOF',
    "\x1b]0;forged\x07\x1b[2J\x9b31m\u202eforged\u2066\r\nforged",
    '\\u003cscript>\\",{"ph":"X"}',
]


def poisoned(value: Any, payload: str, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: poisoned(entry, payload, name) for name, entry in value.items()}
    if isinstance(value, list):
        return [poisoned(entry, payload, key) for entry in value]
    return f"{value}{payload}" if isinstance(value, str) and key in SAID and value else value


def run(folder: Path, payload: str) -> Finished:
    lines = [json.dumps(poisoned(json.loads(line), payload)) for line in SAMPLE.read_text().splitlines()]
    folder.mkdir()
    (folder / "events.jsonl").write_text("\n".join(lines) + "\n")
    return told(folder)


def reports(found: Finished) -> dict[str, bytes]:
    return written(found.timeline, found.recovery, (found.row,), found.move)


class Tags(HTMLParser):
    """Counts elements, and keeps what could act: handlers, and addresses that leave the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()
        self.acts: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] += 1
        for name, value in attrs:
            leaves = name in ("href", "src", "action") and not (value or "").startswith(("#", "data:"))
            if name.startswith("on") or leaves:
                self.acts.append((name, value))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return reports(run(tmp_path_factory.mktemp("plain") / "run", ""))


def samples(content: bytes) -> list[str]:
    read_all: Any = parser.text_string_to_metric_families
    return sorted(sample.name for family in read_all(content.decode()) for sample in family.samples)


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_no_report_takes_what_was_said_for_its_own_markup(
    tmp_path: Path, plain: dict[str, bytes], payload: str
) -> None:
    found = run(tmp_path / "run", payload)
    made = reports(found)
    assert made.keys() == plain.keys()
    page, before = Tags(made["report.html"].decode()), Tags(plain["report.html"].decode())
    assert page.count == before.count
    assert page.acts == before.acts == []
    # GitHub and GitLab allow HTML in Markdown: so does this reader.
    document = Tags(MarkdownIt("commonmark", {"html": True}).enable("table").render(made["report.md"].decode()))
    allowed = Tags(MarkdownIt("commonmark", {"html": True}).enable("table").render(plain["report.md"].decode()))
    assert document.count == allowed.count
    assert document.acts == allowed.acts
    junit, known = (ET.fromstring(content) for content in (made["junit.xml"], plain["junit.xml"]))
    assert Counter(each.tag for each in junit.iter()) == Counter(each.tag for each in known.iter())
    assert samples(made["metrics.prom"]) == samples(plain["metrics.prom"])
    assert len(json.loads(made["trace.json"])["traceEvents"]) == len(json.loads(plain["trace.json"])["traceEvents"])
    assert json.loads(made["report.json"]).keys() == json.loads(plain["report.json"]).keys()


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_nothing_that_was_said_steers_the_terminal(tmp_path: Path, payload: str) -> None:
    found = run(tmp_path / "run", payload)
    assert found.recovery
    for line in gameday_text.lines(found.timeline, found.recovery, detail=True):
        assert not re.search(
            r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", "".join(part for part, _ in line)
        )


def test_no_script_of_a_name_runs_and_no_page_asks_for_anything(tmp_path: Path, browser: Browser) -> None:
    page = tmp_path / "report.html"
    page.write_bytes(reports(run(tmp_path / "run", "".join(PAYLOADS)))["report.html"])
    asked: list[str] = []
    with browser.new_context() as context:
        tab = context.new_page()
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(page.as_uri())
        assert tab.evaluate("window.broken") is None
        assert asked == [page.as_uri()]
        assert "<script>window.broken=1</script>" in tab.inner_text("body")


def read(folder: Path) -> tuple[Finished | None, str]:
    """Return what a log tells, or why it is refused."""
    try:
        return told(folder), ""
    except DrError as error:
        return None, error.cause


WHOLE = SAMPLE.read_bytes()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, len(WHOLE)), noise=st.binary(max_size=40))
def test_a_log_that_is_cut_or_overwritten_anywhere_is_read_or_refused_with_a_reason(
    tmp_path: Path, cut: int, noise: bytes
) -> None:
    (tmp_path / "events.jsonl").write_bytes(WHOLE[:cut] + noise)
    found, cause = read(tmp_path)
    assert reports(found) if found else "events.jsonl" in cause, cause


def test_a_log_with_a_line_of_many_megabytes_is_read_or_refused_with_a_reason(tmp_path: Path) -> None:
    lines = WHOLE.splitlines(keepends=True)
    huge = json.dumps(poisoned(json.loads(lines[5]), "x" * 20_000_000)).encode() + b"\n"
    (tmp_path / "events.jsonl").write_bytes(b"".join([*lines[:5], huge, *lines[6:]]))
    found, cause = read(tmp_path)
    assert len(reports(found)["report.html"]) < 5_000_000 if found else "events.jsonl" in cause, cause
