"""The pages that are files of their own, for somebody who does not see them: what axe finds serious."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from dr.app.finish import told
from dr.app.reports import written
from dr.core.move import judged
from dr.core.timeline import fold
from dr.report.graph_html import html as graph_html
from dr.report.herd_html import html as herd_html
from dr.report.run_html import html as run_html
from tests.report.sample import layered, small
from tests.report.test_herd_reports import HERD
from tests.report.test_move_reports import forklift, measured

GRAVE = ("serious", "critical")
SAMPLE = Path(__file__).parents[2] / "reports" / "sample"


def ran() -> bytes:
    found = told(SAMPLE)
    return written(found.timeline, found.recovery, (found.row,))["report.html"]


def moved() -> bytes:
    events = forklift()
    found = measured(events)
    return run_html(fold(events), judged(found), moved=found)


FILES: dict[str, Callable[[], bytes]] = {
    "a gameday's report": ran,
    "a forklift's report": moved,
    "a herd's report": lambda: herd_html(HERD),
    "the graph explorer": lambda: graph_html(small(), "shop-config 9f3c0a1be"),
    "the graph explorer, many objects": lambda: graph_html(layered(200, 500), "shop-config 9f3c0a1be"),
}


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 420)])
@pytest.mark.parametrize("name", FILES)
def test_no_file_of_ours_bars_somebody_who_does_not_see_it(
    browser: Browser, tmp_path: Path, name: str, scheme: str, width: int
) -> None:
    (tmp_path / "page.html").write_bytes(FILES[name]())
    # axe is put into the page, which its own policy forbids to everybody.
    size: Any = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}}
    with browser.new_context(**size, bypass_csp=True) as context:
        page = context.new_page()
        page.goto((tmp_path / "page.html").as_uri())
        found = Axe().run(page).response["violations"]
        grave = [
            (f["id"], f["impact"], [n["html"][:120] for n in f["nodes"][:3]]) for f in found if f["impact"] in GRAVE
        ]
        assert grave == []
