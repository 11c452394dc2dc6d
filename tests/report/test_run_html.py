"""The page of a run: everything that was measured, for eyes, offline, on paper, without a script."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles
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
from dr.report.run_figures import Axis, parts
from dr.report.run_gantt import Asked, asked, margin, waits
from dr.report.run_html import html
from tests.report.sample import HOSTILE
from tests.report.test_gameday_reports import OUTCOMES, UNHURRIED, gameday, measure
from tests.report.test_run_reports import run

ALWAYS = {"real"}
ORDER = (
    *("wrong", "marks", "objectives", "course", "chain", "waves", "blame", "experiment", "data", "checks"),
    *("earlier", "real"),
)
# What each run's page has beside that, by the sections' names.
SECTIONS = {
    "met": {"marks", "objectives", "course", "chain", "waves", "blame", "experiment", "data", "checks"},
    "late": {"marks", "objectives", "course", "chain", "waves", "blame", "experiment", "data", "checks"},
    "lost": {"wrong", "marks", "objectives", "course", "chain", "waves", "blame", "experiment", "data"},
    "aborted": {"wrong", "marks", "objectives", "data", "course", "waves", "experiment"},
    "interrupted": {"marks", "objectives", "data", "course", "waves", "experiment"},
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
    def ordered(self) -> list[str]:
        return [str(attributes.get("id")) for tag, attributes in self.tags if tag == "section"]

    @property
    def sections(self) -> set[str]:
        return set(self.ordered)


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
    assert found.ordered == [name for name in ORDER if name in found.sections]
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


def test_every_time_of_a_restore_counts_from_the_moment_that_its_page_names() -> None:
    content = html(fold(run()), None).decode()
    assert "seconds since the restore began" in content
    assert re.findall(r"<span>([\d.]+) s</span></summary>", content) == ["0.30", "2.60"]
    assert re.findall(r'<td class="n">([\d.]+)<td class="n">[\d.]+<td class="n">[\d.–]+<td><svg', content) == [
        "0.00",
        "0.10",
        "0.50",
    ]
    assert re.findall(r'<span class="n">@([\d.]+) s', content) == ["0.30", "0.10", "0.00"]
    assert re.findall(r'y="11">([^<]*)', content)[0] == "0s"


def test_a_step_that_could_have_been_sent_earlier_is_seen_to_wait() -> None:
    steps = fold(run()).steps
    (bar,) = waits(steps, [2], Axis(4.0, 7.0, 4.0), 4.0)
    assert (bar.kind, bar.x, bar.wide) == ("wait", 10.0, 6.67)
    assert waits(steps, [1], Axis(4.0, 7.0, 4.0), 4.0) == ()
    assert [b.x for b in waits(steps, [0, 1, 2], Axis(2.0, 7.0, 4.0), 3.0)] == [20.0, 46.0]


@pytest.mark.parametrize(("outcome", "said"), [("met", "14m29s to spare"), ("late", "8.2s too much"), ("lost", "–")])
def test_how_far_an_objective_was_met_or_missed_is_told(outcome: str, said: str) -> None:
    _, found = measure(gameday(outcome))
    assert said in [margin(judged) for judged in found.objectives]
    assert said in _Page(page(gameday(outcome))).text


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_no_answer_of_a_probe_is_counted_twice_or_left_out(outcome: str) -> None:
    _, found = measure(gameday(outcome))
    for probe, told in zip(found.probes, asked(found), strict=True):
        assert sum(part.times for part in told) == probe.asked
        assert told[1].failed + told[2].failed == probe.failed
    if outcome == "met":
        assert asked(found)[0] == (Asked(9, 0), Asked(31, 31), Asked(5, 0))


def test_more_that_went_wrong_than_is_shown_is_counted() -> None:
    events = gameday()
    odd = [Differs(45.0, Ref("v1", "ConfigMap", "shop", f"c{n}"), "extra", "", "", "") for n in range(230)]
    text = _Page(page([*events[:-1], *odd, events[-1]])).text
    assert "What went wrong 230" in text
    assert "30 more in report.json" in text


def test_the_run_itself_stands_beside_the_earlier_ones() -> None:
    tags = _Page(page(gameday(), *rows(4))).tags
    circles = [str(attributes["class"]) for tag, attributes in tags if tag == "circle"]
    assert len(circles) == 5
    assert [name.endswith(" own") for name in circles] == [False] * 4 + [True]


def test_a_run_without_a_time_is_not_drawn_as_one_of_the_earlier_ones() -> None:
    content = page(gameday("not begun"), *rows(4)).decode()
    assert content.count("<circle") == 4
    assert ' own"' not in content
    assert "this run is the large one" not in content


def test_who_cannot_see_a_bar_hears_what_it_shows() -> None:
    content = page(gameday("lost")).decode()
    assert "<title>data: sent from 2.5 s, failed</title>" in content
    assert "<title>front: still down</title>" in content
    tags = _Page(content.encode()).tags
    assert all(
        attributes.get("role") or attributes.get("aria-hidden") for tag, attributes in tags if _outer(tag, attributes)
    )
    heads = [attributes for tag, attributes in tags if tag == "th"]
    assert heads
    assert all("scope" in attributes for attributes in heads)


def _outer(tag: str, attributes: dict[str, str | None]) -> bool:
    return tag == "svg" and attributes.get("class") != "through"


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
        self.page.set_default_timeout(120_000)  # a busy machine is no fault of the page
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


# Scrolls the page from its top to its end, a part of the window with each frame; returns the times of the frames.
SCROLL = """() => new Promise(done => {
  const times = [], step = innerHeight / 4, end = () => document.documentElement.scrollHeight - innerHeight;
  const frame = now => {
    times.push(now);
    if (scrollY >= end() - 1) return done(times);
    scrollBy(0, step);
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
})"""


@pytest.mark.parametrize("count", [300, 3000])
def test_a_page_with_everything_open_is_drawn_while_it_is_scrolled(
    browser: Browser, tmp_path: Path, count: int
) -> None:
    opened = Opened(browser, tmp_path / "r.html", page(long(count)))
    opened.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    times = opened.page.evaluate(SCROLL)
    frames = [later - earlier for earlier, later in pairwise(times)]
    assert len(frames) > count / 20, "the page is shorter than what it holds"
    # 17 ms where nothing else wants the machine; a page that hangs draws no frame for whole seconds.
    assert median(frames) < 50, sorted(frames)
    assert quantiles(frames, n=20)[-1] < 500, sorted(frames)
    opened.context.close()


def test_all_units_open_and_close_at_once(browser: Browser, tmp_path: Path) -> None:
    opened = Opened(browser, tmp_path / "r.html", page(gameday()))
    opened.page.click("text=Open all")
    assert opened.page.locator(".gantt details[open]").count() == 3
    opened.page.click("text=Close all")
    assert opened.page.locator(".gantt details[open]").count() == 0
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
