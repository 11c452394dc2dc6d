from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import msgspec
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, expect

from dr.adapters import history
from dr.adapters.store import EVENTS, EventLog
from dr.report.herd_html import html
from tests.report.test_herd_reports import HERD as HERDED
from tests.web.conftest import TOKEN, serving
from tests.web.reports import HERD, LIVE, PAST, half_written, herd, live, log, row, written

ALL = (
    "/",
    "/runs",
    "/runs?verdict=missed",
    f"/runs/{PAST}",
    f"/runs/{LIVE}",
    f"/runs/{PAST}/report.html",
    f"/graph/{PAST}",
    "/trends",
    "/trends?scenario=pod-kill",
    "/trends?scenario=pod-kill&cluster=us-1",
    "/stale",
    "/herds",
    f"/herds/{HERD}",
    "/graph",
    "/login",
    "/nothing",
)
# What pages may say to the console: that an address which was asked for is not there.
_ALLOWED = ("404 (Not Found)", "403 (Forbidden)")
_GRAVE = ("serious", "critical")


class Tab:
    """A page of a browser that remembers what went wrong in it."""

    def __init__(self, context: BrowserContext) -> None:
        self.page: Page = context.new_page()
        self.wrong: list[str] = []
        self.page.on("console", self._told)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", self._asked)

    def _asked(self, dialog: Dialog) -> None:
        self.wrong.append("a dialog")
        dialog.dismiss()

    def _told(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(text in message.text for text in _ALLOWED):
            self.wrong.append(message.text)


@pytest.fixture(params=["light", "dark"])
def tab(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Tab]:
    context = browser.new_context(color_scheme=request.param)
    yield Tab(context)
    context.close()


@pytest.fixture
def plain(browser: Browser) -> Iterator[Tab]:
    context = browser.new_context()
    yield Tab(context)
    context.close()


def test_no_page_has_an_error_or_bars_somebody_who_does_not_see_it(tab: Tab, served: str) -> None:
    axe = Axe()
    grave = []
    for path in ALL:
        tab.page.goto(served + path, wait_until="load")
        # What is not in one of our reports has tests of its own.
        if not path.startswith(f"/graph/{PAST}") and not path.endswith(".html"):
            found = axe.run(tab.page).response["violations"]
            grave += [(path, f["id"], f["nodes"][0]["html"]) for f in found if f["impact"] in _GRAVE]
    assert (tab.wrong, grave) == ([], [])


def test_dark_is_dark_and_light_is_light(tab: Tab, served: str) -> None:
    tab.page.goto(f"{served}/runs")
    ground = tab.page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    dark = tab.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert (sum(ground) < 200) == dark


def test_the_keyboard_reaches_everything_in_the_order_in_which_it_stands(plain: Tab, served: str) -> None:
    page = plain.page
    page.goto(f"{served}/runs")
    seen = []
    for _ in range(12):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.textContent.trim() || document.activeElement.name"))
    assert seen[:8] == ["Skip to the content", "dr", "Now", "Runs", "Trends", "Staleness", "Herds", "Graphs"]
    assert page.evaluate("document.activeElement.matches(':focus-visible')")
    page.goto(f"{served}/runs")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs?**")
    assert page.locator("table caption").inner_text().startswith("Runs, newest first")


def test_without_javascript_every_page_says_the_same(browser: Browser, served: str) -> None:
    with_it, without = browser.new_context(), browser.new_context(java_script_enabled=False)
    for path in ("/runs", "/trends?scenario=pod-kill", f"/herds/{HERD}"):
        texts = []
        for context in (with_it, without):
            page = context.new_page()
            page.goto(served + path)
            texts.append(page.locator("main").inner_text())
            page.close()
        assert texts[0] == texts[1]
    page = without.new_page()
    page.goto(f"{served}/runs/{LIVE}")
    assert "connection refused" in page.locator("main").inner_text()
    with_it.close()
    without.close()


def test_a_run_is_followed_as_its_log_grows_with_every_line_once_and_in_order(plain: Tab, tmp_path: Path) -> None:
    reports, events = tmp_path / "reports", live(objects=40)
    reports.mkdir()
    log(reports / LIVE, events, 8)
    with serving(reports) as address:
        page = plain.page
        page.goto(f"{address}/runs/{LIVE}")
        expect(page.locator("[data-live=how]")).to_contain_text("Followed")
        before = page.locator(".course li").count()
        with EventLog(reports / LIVE) as found:
            for event in events[8:]:
                found.append(event)
        expect(page.locator(".course")).to_contain_text("different ConfigMap")
        lines = page.locator(".course li").all_inner_texts()
        numbers = page.locator(".course li").evaluate_all("lines => lines.map(line => line.value)")
        state = page.locator("[data-live=state]").inner_text()
    assert numbers == list(range(1, len(lines) + 1))
    assert before
    assert len(lines) > before
    ready = [line for line in lines if "✓ ConfigMap" in line]
    assert [line.split("settings-")[1].split(" ")[0] for line in ready] == [str(n) for n in range(39)]
    assert "39 of 40" in state
    assert "connection refused" in state
    assert plain.wrong == []


def test_a_herd_that_goes_on_is_shown_as_it_goes_on_and_until_it_is_over(plain: Tab, tmp_path: Path) -> None:
    reports, name = tmp_path / "reports", "2026-11-23-090000-herd-north"
    herd(reports / name, "{}", "running")
    with serving(reports) as address:
        page = plain.page
        page.goto(f"{address}/herds")
        expect(page.locator("tbody")).to_contain_text("running")
        page.goto(f"{address}/herds/{name}")
        page.locator(".wide").last.focus()
        (reports / name / "herd.json").unlink()
        herd(reports / name, "{}", "stopped")
        expect(page.locator("h2").first).to_contain_text("stopped")
        assert page.evaluate("document.activeElement.matches('.wide')")
        expect(page.locator("#fresh")).not_to_have_attribute("data-going", "")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.wait_for_timeout(2500)
        assert (asked, plain.wrong) == ([], [])


def test_a_herd_page_tells_who_is_far_off_what_is_shared_and_leads_to_the_report(plain: Tab, tmp_path: Path) -> None:
    folder = tmp_path / HERDED.run
    folder.mkdir()
    (folder / "herd.json").write_bytes(msgspec.json.encode(HERDED))
    (folder / "report.html").write_bytes(html(HERDED))
    with serving(tmp_path) as address:
        page = plain.page
        page.goto(f"{address}/herds/{HERDED.run}")
        assert page.locator("svg.dots circle").count() == 14
        assert page.locator("svg.dots circle").first.bounding_box()["width"] > 8  # type: ignore[index]
        said = page.locator("main").inner_text()
        assert "eu-9: 40s" in said
        assert "region=us: 4 of 6 in trouble" in said
        assert "no route to host" in said
        page.get_by_text("Its report").click()
        expect(page.locator("h1")).to_contain_text(HERDED.title)
    assert plain.wrong == []


def test_whoever_comes_back_after_a_lost_connection_misses_no_line(plain: Tab, tmp_path: Path) -> None:
    reports, events = tmp_path / "reports", live(objects=10)
    reports.mkdir()
    log(reports / LIVE, events, 8)
    page = plain.page
    with serving(reports) as address:
        page.goto(f"{address}/runs/{LIVE}")
        expect(page.locator("[data-live=how]")).to_contain_text("Followed")
        page.context.set_offline(True)
        log(reports / LIVE, events[8:20])
        page.context.set_offline(False)
        log(reports / LIVE, events[20:])
        expect(page.locator(".course")).to_contain_text("different ConfigMap")
        numbers = page.locator(".course li").evaluate_all("lines => lines.map(line => line.value)")
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_browser_comes_in_by_the_form_and_not_without_the_token(plain: Tab, reports: Path) -> None:
    page = plain.page
    with serving(reports, TOKEN) as address:
        page.goto(f"{address}/runs")
        assert page.url == f"{address}/login"
        page.get_by_label("Token").fill("not the token at all")
        page.keyboard.press("Enter")
        page.get_by_role("alert").wait_for()
        page.get_by_label("Token").fill(TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{address}/")
        page.goto(f"{address}/runs")
        assert page.locator("caption").inner_text() == "Runs, newest first"
        (cookie,) = page.context.cookies()
        assert page.evaluate("document.cookie") == ""
    assert (cookie["httpOnly"], cookie["sameSite"], TOKEN in cookie["value"]) == (True, "Strict", False)
    assert plain.wrong == []


EVIL = (
    "<script>window.broken=1</script>{}",
    '"><img src=x onerror="window.broken=1">{}',
    "javascript:window.broken=1//{}",
    "'-window.broken-'{}</title></noscript><svg onload=window.broken=1>",
)


@pytest.mark.parametrize("texts", EVIL)
def test_no_name_cause_or_answer_of_a_probe_becomes_a_part_of_the_page(plain: Tab, tmp_path: Path, texts: str) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    name = f"2026-11-23-{texts.format('run').replace('/', '∕')}"
    say = texts.format
    hostile = row(1, say("s"), say("t"), folder=name, run=say("r"), title=say("title"), commit=say("c"), repo=say("r"))
    hostile = msgspec.structs.replace(hostile, head=say("h"), objects=3, parts={say("p"): 1.0}, units={say("u"): 1.0})
    history.add(reports, hostile)
    log(reports / name, live(texts))
    log(reports / f"{name}-live", live(texts), 9)
    herd(reports / f"2026-11-23-herd-{name}", texts)
    shown = 0
    with serving(reports) as address:
        page = plain.page
        queue, known = (
            ["/", f"/runs?{urlencode({'scenario': say('x')})}", f"/trends?{urlencode({'scenario': say('s')})}"],
            set[str](),
        )
        while queue:
            path = queue.pop()
            known.add(path)
            page.goto(address + path)
            shown += say("") in page.content() or "window.broken" in page.locator("body").inner_text()
            assert page.evaluate("window.broken") is None, path
            assert page.locator("main img, main script, main [onload], main [onerror]").count() == 0, path
            links = page.locator("a").evaluate_all("found => found.map(a => a.getAttribute('href'))")
            assert [link for link in links if not link.startswith(("/", "#"))] == [], path
            queue += sorted({link for link in links if link.startswith("/")} - known - set(queue))
    assert shown >= 8
    assert len(known) >= 12
    assert plain.wrong == []


def test_a_stored_report_that_was_tampered_with_cannot_run_a_script_or_read_a_page(plain: Tab, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    written(reports)
    evil = (
        "<p id=it>report</p><script>window.broken = 1; fetch('/api/runs').then(() => document.title = 'read')</script>"
    )
    (reports / PAST / "report.html").write_text(evil)
    with serving(reports) as address:
        plain.page.goto(f"{address}/runs/{PAST}/report.html")
        assert plain.page.locator("#it").inner_text() == "report"
        assert plain.page.evaluate("[window.broken, window.origin]") == [None, "null"]
    assert any("Content Security Policy" in text for text in plain.wrong)


def test_a_half_written_log_is_shown_as_far_as_it_goes_and_goes_on(plain: Tab, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    log(reports / LIVE, live())
    rest = half_written(reports / LIVE)
    page = plain.page
    with serving(reports) as address:
        page.goto(f"{address}/")
        assert "the last line is half written" in page.locator("main").inner_text()
        with (reports / LIVE / EVENTS).open("ab") as file:
            file.write(rest)
        expect(page.locator("main")).not_to_contain_text("half written")
        assert "different ConfigMap" in page.locator(".course").inner_text()
