"""The page of a run: everything that was measured, for eyes, offline, on paper, without a script."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from playwright.sync_api import Browser, Page

from dr.core.events import (
    AnyEvent,
    Applied,
    Began,
    Differs,
    Ended,
    Entered,
    Left,
    Operation,
    Phase,
    PlannedStep,
    Probed,
    Ready,
    Started,
)
from dr.core.history import Row, row
from dr.core.model import Ref, Strength
from dr.core.recovery import recovery
from dr.core.timeline import fold
from dr.core.whatif import savings
from dr.report.run_figures import parts
from dr.report.run_html import html
from tests.report.sample import HOSTILE
from tests.report.test_gameday_reports import OUTCOMES, UNHURRIED, gameday, measure

ALWAYS = {"real"}
# What each run's page has beside that, by the sections' names.
SECTIONS = {
    "met": {"marks", "objectives", "course", "chain", "waves", "blame", "experiment", "data", "checks"},
    "late": {"marks", "objectives", "course", "chain", "waves", "blame", "experiment", "data", "checks"},
    "lost": {"wrong", "marks", "objectives", "course", "chain", "waves", "blame", "experiment", "data"},
    "aborted": {"wrong", "marks", "objectives", "course", "waves", "experiment"},
    "interrupted": {"marks", "objectives", "course", "waves", "experiment"},
    "not begun": {"objectives", "course", "waves", "experiment"},
}


class _Page(HTMLParser):
    """The elements of a page and the sections' names."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def sections(self) -> set[str]:
        return {str(attributes.get("id")) for tag, attributes in self.tags if tag == "section"}


def page(events: Sequence[AnyEvent], *earlier: Row) -> bytes:
    timeline, found = fold(events), recovery(events)
    return html(timeline, found, earlier, savings(timeline.steps, 0.0))


def rows(count: int) -> list[Row]:
    """Return runs of the past: met, too late, and never recovered."""
    first = row(*measure(gameday()), head="", folder="a-run")
    made = []
    for number in range(count):
        time = f"2026-11-{1 + number % 28:02d}T08:00:00+00:00"
        kind = (("met", 30.0, None), ("missed", 1200.0, None), ("missed", None, 300.0))[number % 3]
        made.append(replace(first, time=time, verdict=kind[0], rta=kind[1], censored=kind[2]))
    return made


def long(count: int, outcome: str = "passed") -> list[AnyEvent]:
    """Return a restore of so many objects in units of about a hundred, each after one before it."""
    steps = tuple(
        PlannedStep(
            Ref("apps/v1", "Deployment", f"team-{n // 100}", f"service-{n}"),
            f"teams/team-{n // 100}",
            (n - 10,) if n >= 10 else (),
            (Strength.READY,) if n >= 10 else (),
            f"teams/team-{n // 100}/service-{n}.yaml:1",
        )
        for n in range(count)
    )
    began = gameday()[0]
    assert isinstance(began, Began)
    events: list[AnyEvent] = [replace(began, steps=steps, command="dr rehearse big"), Entered(1.0, Phase.RESTORE)]
    for n in range(count):
        at = 1.0 + n / 50
        events += [Started(at, n), Applied(at + 0.05, n, Operation.CREATED), Ready(at + 0.15, n)]
    end = 2.0 + count / 50
    return [*sorted(events, key=lambda e: e.at), Left(end, Phase.RESTORE), Ended(end, outcome=outcome, verified=count)]


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_page_has_every_section_that_its_run_has_something_for(outcome: str) -> None:
    found = _Page(page(gameday(outcome)))
    assert found.sections == ALWAYS | SECTIONS[outcome]
    assert _Page(page(gameday(outcome), *rows(2))).sections == found.sections | {"earlier"}


def test_a_restore_without_a_gameday_has_a_page_of_its_own() -> None:
    found = _Page(page(long(30)))
    assert found.sections == {"course", "chain", "waves", "blame", "checks", "real"}
    assert "✓ restored" in found.text
    assert "30 objects compared with git" in found.text


def test_the_figures_of_the_verdict_stand_at_the_top() -> None:
    text = re.sub(r"\s+", " ", _Page(page(gameday("late"))).text)
    top = text[: text.index("Where the time went")]
    for expected in ("✗ too late", "2 objectives missed", "time to recover31s", "data lost2.8s", "objective 1.0s"):
        assert expected in top, top
    assert "Bottleneck restore took 20s of 31s (64 %), most of it in data" in top


def test_the_time_of_a_run_that_was_given_up_is_all_there() -> None:
    _, found = measure(gameday("lost"))
    bars = parts(found)
    assert bars[-1].kind == "given up"
    assert sum(bar.wide for bar in bars) == pytest.approx(100, abs=0.1)


def test_what_halving_a_link_saves_stands_beside_it() -> None:
    assert "halving it saves" in _Page(page(gameday())).text


def test_a_difference_from_git_is_told() -> None:
    events = gameday()
    differs = Differs(45.0, Ref("apps/v1", "Deployment", "shop", "web"), "different", "spec.replicas", "3", "1")
    text = _Page(page([*events[:-1], differs, events[-1]])).text
    assert "spec.replicas: 1 instead of 3" in text
    assert "1 difference" in text


@UNHURRIED
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30), st.sampled_from(OUTCOMES))
def test_no_name_becomes_an_element_or_an_attribute(name: str, outcome: str) -> None:
    plain, found = _Page(page(gameday(outcome))), _Page(page(gameday(outcome, name=name)))
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in plain.tags]
    assert [sorted(a) for _, a in found.tags] == [sorted(a) for _, a in plain.tags]


def test_the_page_asks_for_nothing_and_the_same_run_gives_the_same_bytes() -> None:
    content = page(gameday(), *rows(5))
    assert content == page(gameday(), *rows(5))
    assert not [a for _, a in _Page(content).tags if "src" in a or "href" in a or "style" in a]
    assert b"default-src 'none'" in content


@pytest.mark.parametrize("count", [300, 3000])
def test_thousands_of_objects_stay_below_three_megabytes(count: int) -> None:
    assert len(page(long(count))) < 3_000_000


class Opened:
    """A page in a browser, and what it complained of or asked for."""

    def __init__(self, browser: Browser, file: Path, content: bytes, **context: Any) -> None:
        file.write_bytes(content)
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())

    def width(self) -> Any:
        return self.page.evaluate("document.documentElement.scrollWidth")


@pytest.mark.parametrize("width", [1280, 400])
def test_a_page_opens_without_complaint_and_fits_its_window(browser: Browser, tmp_path: Path, width: int) -> None:
    opened = Opened(browser, tmp_path / "r.html", page(gameday("late"), *rows(9)), viewport=size(width))
    assert opened.complaints == []
    assert len(opened.requests) == 1
    assert opened.width() == width
    opened.context.close()


def size(width: int) -> dict[str, int]:
    return {"width": width, "height": 900}


def test_dark_mode_is_dark(browser: Browser, tmp_path: Path) -> None:
    colours = []
    for scheme in ("light", "dark"):
        opened = Opened(browser, tmp_path / f"{scheme}.html", page(gameday()), color_scheme=scheme)
        colour = opened.page.evaluate("getComputedStyle(document.querySelector('section')).backgroundColor")
        colours.append(sum(map(int, re.findall(r"\d+", colour)[:3])))
        opened.context.close()
    assert colours[0] > 700
    assert colours[1] < 150


def test_everything_can_be_read_without_a_script(browser: Browser, tmp_path: Path) -> None:
    opened = Opened(browser, tmp_path / "r.html", page(gameday("lost"), *rows(3)), java_script_enabled=False)
    text = opened.page.inner_text("body")
    for expected in ("not recovered", "image of shop not found", "t0", "RTO shop", "Earlier runs", "dr gameday run"):
        assert expected in text
    assert opened.page.is_hidden("#find")
    row = opened.page.locator(".steps th", has_text="StatefulSet shop/db")
    assert row.is_hidden()
    opened.page.locator(".gantt summary", has_text="data").click()
    assert row.is_visible()
    opened.context.close()


@pytest.mark.parametrize("script", [True, False])
def test_paper_shows_what_is_folded_on_the_screen(browser: Browser, tmp_path: Path, script: bool) -> None:
    opened = Opened(browser, tmp_path / "r.html", page(gameday()), java_script_enabled=script)
    last = opened.page.locator(".steps tbody tr").last
    assert not last.bounding_box() or not last.is_visible()
    opened.page.emulate_media(media="print")
    if script:
        opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    box = last.bounding_box()
    assert box
    assert box["height"] > 8
    opened.context.close()


@pytest.mark.parametrize("count", [300, 3000])
def test_thousands_of_objects_open_scroll_and_are_found(browser: Browser, tmp_path: Path, count: int) -> None:
    opened = Opened(browser, tmp_path / "r.html", page(long(count)))
    assert opened.page.locator(".gantt details").count() == count // 100
    for section in ("chain", "waves", "real"):
        opened.page.evaluate(f"document.getElementById('{section}').scrollIntoView()")
        assert opened.page.evaluate(f"document.getElementById('{section}').getBoundingClientRect().top") < 900
    assert opened.page.evaluate("scrollY") > 900
    opened.page.fill("#find input", f"service-{count - 1}")
    opened.page.wait_for_selector("#find output:has-text('1 found')", timeout=60_000)
    assert opened.page.locator(".steps tbody tr:visible").count() == 1
    assert opened.complaints == []
    opened.context.close()


def test_hostile_names_run_nothing(browser: Browser, tmp_path: Path) -> None:
    events = [replace(e, cause=HOSTILE) if isinstance(e, Probed) and not e.passed else e for e in gameday("lost")]
    opened = Opened(browser, tmp_path / "r.html", page(events, *rows(1)))
    opened.page.fill("#find input", HOSTILE)
    assert opened.page.evaluate("window.broken") is None
    assert opened.page.locator("img").count() == 0
    assert opened.complaints == []
    opened.context.close()
