"""`dr notify`: a test reaches whom the file names, and what did not come through is told once it can be."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from dr.app.notices import UNDELIVERED, Undelivered
from dr.cli import main
from dr.core.notice import Notice
from dr.report.data import compact

GAMEDAY = {
    "title": "Cluster loss",
    "target": {"context": "prod", "lock": "uid"},
    "fault": {"experiment": "pod-kill"},
    "steady_state": {"probes": [{"name": "shop", "tcp": {"host": "127.0.0.1", "port": 1}}]},
    "notifications": [{"slack": {"env": "SLACK_HOOK"}}],
}


@contextmanager
def listening() -> Iterator[tuple[str, list[bytes]]]:
    told: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/s3cr3t", told
        finally:
            server.shutdown()
            thread.join()


def written(folder: Path) -> Path:
    file = folder / "gameday.yaml"
    file.write_text(yaml.safe_dump(GAMEDAY))
    return file


def test_a_test_reaches_whom_the_file_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path)
    monkeypatch.delenv("SLACK_HOOK", raising=False)
    failed = CliRunner().invoke(main, ["notify", "test", str(file)])
    assert failed.exit_code == 3
    assert "SLACK_HOOK is not set" in failed.output
    with listening() as (url, told):
        monkeypatch.setenv("SLACK_HOOK", url)
        done = CliRunner().invoke(main, ["notify", "test", str(file), "-o", "json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["told"] == [{"place": "notifications[0].slack", "cause": ""}]
    assert "test of Cluster loss" in json.loads(told[0])["text"]
    assert "s3cr3t" not in done.output


def test_what_did_not_come_through_is_told_once_it_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "reports" / "2026-11-23-120000-cluster-loss"
    run.mkdir(parents=True)
    (run / "events.jsonl").touch()
    notice = Notice("ended", "Cluster loss", run=run.name, verdict="met")
    (run / UNDELIVERED).write_bytes(
        compact(Undelivered(str(written(tmp_path)), "notifications[0].slack", "down", notice))
    )
    again = ["notify", "resend", run.name, "--reports", str(run.parent)]
    monkeypatch.delenv("SLACK_HOOK", raising=False)
    assert CliRunner().invoke(main, again).exit_code == 3
    assert (run / UNDELIVERED).exists(), "it is not forgotten"
    with listening() as (url, told):
        monkeypatch.setenv("SLACK_HOOK", url)
        done = CliRunner().invoke(main, again)
        assert done.exit_code == 0, done.output
        assert "nothing left" in CliRunner().invoke(main, again).output
    assert len(told) == 1
    assert not (run / UNDELIVERED).exists()
