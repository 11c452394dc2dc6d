from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
import uvicorn

from dr.app import monitoring
from dr.web.app import application
from dr.web.guard import Door
from dr.web.server import bound
from tests.report.conftest import browser
from tests.web.reports import written

__all__ = ["browser", "reports", "served"]
TOKEN = "a token that is long enough".replace(" ", "-")


def measured(reports: Path, limits: Mapping[str, float]) -> Callable[[], bytes]:
    """Return what /metrics says, as `dr serve` asks for it."""
    return lambda: monitoring.metrics(reports, "text", limits, None).content


@contextmanager
def serving(reports: Path, token: str = "") -> Iterator[str]:
    """Serve a folder from a thread of this process; yields the address."""
    limits = {"pod-kill": 86_400.0, "never-run": 86_400.0}
    app, site = application(reports, Door(token), limits, measured(reports, limits))
    listening = bound("127.0.0.1", 0)
    config = uvicorn.Config(app, loop="asyncio", http="h11", ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        site.tails.stopping = True
        server.should_exit = True
        thread.join(10)
        listening.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve") / "reports"
    written(folder)
    return folder


@pytest.fixture(scope="module")
def served(reports: Path) -> Iterator[str]:
    with serving(reports) as address:
        yield address
