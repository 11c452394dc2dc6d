from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import hypothesis.strategies as st
import pytest
import schemathesis
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from schemathesis.core.result import Ok
from starlette.testclient import TestClient

from dr.adapters.run_files import opened
from dr.cli import main
from dr.core.errors import NotFound
from dr.web import tails
from dr.web.app import application
from dr.web.guard import COOKIE, HEADERS, SESSION, Door
from dr.web.routes import PAGES
from tests.web.conftest import TOKEN, measured
from tests.web.reports import HERD, LIVE, PAST, herd, live, log, written

HERE = "http://127.0.0.1:8300"
OTHERS = ("/metrics", "/login", "/api/openapi.json", "/static/serve.css", f"/live/{PAST}", f"/runs/{PAST}/report.html")
PATHS = [page.path.replace("{run}", HERD if page.template == "herd" else PAST) for page in PAGES] + [
    f"/graph/{PAST}",
    *OTHERS,
]


def asking(reports: Path, door: Door | None = None, base: str = HERE) -> TestClient:
    limits = {"pod-kill": 86_400.0}
    app, _ = application(reports, door or Door(), limits, measured(reports, limits))
    return TestClient(app, base_url=base, follow_redirects=False)


@pytest.fixture(scope="module")
def client(reports: Path) -> TestClient:
    return asking(reports)


@pytest.fixture(scope="module")
def guarded(reports: Path) -> TestClient:
    return asking(reports, Door(TOKEN))


@pytest.mark.parametrize("path", [*PATHS, "/nothing", "/runs/nothing", "/runs?page=x", "/api/runs?page=x", "/%00"])
def test_every_answer_has_the_policy_and_may_be_read_by_nobody_else(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code < 500
    assert set(HEADERS) <= set(answer.headers)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert ("script-src 'self'" in policy) != ("sandbox allow-scripts" in policy)
    assert client.head(path).status_code == answer.status_code


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_nothing_can_be_changed(client: TestClient, method: str) -> None:
    assert {client.request(method, path).status_code for path in PATHS if path != "/login"} == {405}


@pytest.mark.parametrize("path", [p for p in PATHS if p not in ("/login", "/static/serve.css")])
def test_without_the_token_nothing_is_told(guarded: TestClient, path: str) -> None:
    wrong: tuple[dict[str, str], ...] = (
        {},
        {"authorization": "Bearer " + TOKEN[:-1]},
        {"authorization": "Basic " + TOKEN},
        {"cookie": f"{COOKIE}={TOKEN}"},
    )
    for headers in wrong:
        answer = guarded.get(path, headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert PAST not in answer.text.replace(path, "")
    assert guarded.get(path, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=255), max_size=60))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_other_text_is_the_token_or_a_session(guarded: TestClient, text: str) -> None:
    door = Door(TOKEN)
    assert door.opens(text) == (text == TOKEN)
    assert not door.knows(text, 0.0)
    assert not door.knows(f"{2**40}.{text}", 0.0)
    headers = [
        (b"authorization", b"Bearer " + text.encode("latin-1")),
        (b"cookie", f"{COOKIE}=".encode() + text.encode("latin-1")),
    ]
    assert guarded.get("/api/runs", headers=headers).status_code == (200 if text == TOKEN else 401)


def test_a_session_ends_and_is_of_one_token_only() -> None:
    session = Door(TOKEN).session(1000.0)
    assert Door(TOKEN).knows(session, 1000.0 + SESSION - 1)
    assert not Door(TOKEN).knows(session, 1000.0 + SESSION)
    assert not Door(TOKEN + "2").knows(session, 1000.0)
    assert not Door().knows(session, 1000.0)


@pytest.mark.parametrize(
    ("origin", "status"),
    [(HERE, 303), ("", 403), ("null", 403), ("https://evil.example", 403), (HERE + ".evil.example", 403)],
)
def test_the_form_is_taken_from_our_own_page_only(guarded: TestClient, origin: str, status: int) -> None:
    answer = guarded.post("/login", content=f"token={TOKEN}", headers={"origin": origin} if origin else {})
    assert answer.status_code == status
    assert (COOKIE in answer.headers.get("set-cookie", "")) == (status == 303)
    guarded.cookies.clear()


def test_a_cookie_that_another_site_makes_a_browser_send_opens_nothing(guarded: TestClient) -> None:
    cookie = {"cookie": f"{COOKIE}={Door(TOKEN).session(time.time())}"}
    assert guarded.get("/api/runs", headers=cookie).status_code == 200
    for site in ("cross-site", "same-site"):
        told = {**cookie, "sec-fetch-site": site, "sec-fetch-mode": "cors"}
        assert guarded.get("/api/runs", headers=told).status_code == 403


def test_behind_https_the_cookie_goes_by_https_only(reports: Path) -> None:
    door = Door(TOKEN, "https://dr.example.com")
    client = asking(reports, door, "http://dr.example.com")
    answer = client.post("/login", content=f"token={TOKEN}", headers={"origin": "https://dr.example.com"})
    assert answer.status_code == 303
    assert {"Secure", "HttpOnly", "SameSite=strict"} <= {
        part.strip() for part in answer.headers["set-cookie"].split(";")
    }


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8300", "", "[::1", "10.0.0.1", "a@evil.example"],
)
def test_a_page_that_rebinds_a_name_to_this_machine_is_not_answered(client: TestClient, host: str) -> None:
    assert client.get("/api/runs", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:8300", "127.0.0.1", "[::1]:8300"])
def test_the_names_of_this_machine_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/api/runs", headers={"host": host}).status_code == 200


def test_what_is_too_large_is_refused(client: TestClient, guarded: TestClient) -> None:
    assert client.get("/runs?scenario=" + "a" * 3000).status_code == 414
    assert client.get("/api/runs?scenario=" + "a" * 300).status_code == 400
    assert guarded.post("/login", content="a" * 10_000, headers={"origin": HERE}).status_code == 413


_UP = (
    "..",
    "../..",
    "../secret",
    "%2e%2e",
    "..%2fsecret",
    "..%5csecret",
    "%252e%252e%252fsecret",
    "/etc",
    "%2fetc%2fpasswd",
    ".",
    "",
    "secret\0",
    "....//secret",
    "link",
    "pipe",
)


@pytest.mark.parametrize("way", _UP)
def test_no_address_leads_out_of_the_reports(tmp_path: Path, way: str) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    for place in (tmp_path, tmp_path / "secret"):
        place.mkdir(exist_ok=True)
        for name in ("report.html", "events.jsonl"):
            (place / name).write_text("TOP SECRET")
        herd(place / "2026-herd-x", "TOP SECRET{}")
        (place / "herd.json").write_bytes((place / "2026-herd-x" / "herd.json").read_bytes())
    (reports / "link").symlink_to(tmp_path / "secret")
    (reports / "pipe").mkdir()
    os.mkfifo(reports / "pipe" / "events.jsonl")
    (reports / "pipe" / "report.html").symlink_to(tmp_path / "secret" / "report.html")
    (reports / "2026-herd-x").symlink_to(tmp_path / "secret")
    (tmp_path / "secret" / "passwd").write_text("TOP SECRET")
    client = asking(reports)
    for path in (
        "/runs/{}",
        "/runs/{}/report.html",
        "/graph/{}",
        "/live/{}",
        "/herds/{}",
        "/api/runs/{}",
        "/api/herds/{}",
        "/static/{}",
    ):
        for said in {way.replace("\0", "%00"), quote(way, safe="")}:
            answer = client.get(path.format(said))
            assert "TOP SECRET" not in answer.text
            assert answer.status_code in (200, 404)
            assert answer.status_code == 404 or not way.strip("/.")
    for path in ("/", "/runs", "/herds", "/graph", "/metrics"):
        assert "TOP SECRET" not in client.get(path).text


@given(st.text(max_size=30), st.sampled_from(["events.jsonl", "report.html"]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_name_opens_what_is_not_a_file_of_a_run(reports: Path, run: str, name: str) -> None:
    known = {LIVE, PAST, HERD}
    try:
        with opened(reports, run, name) as file:
            assert run in known
            assert os.fstat(file).st_size
    except NotFound:
        assert run not in known or not (reports / run / name).is_file()


def test_a_log_that_is_too_large_is_shown_up_to_a_limit_and_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tails, "MOST", 2 << 20)
    log(tmp_path / LIVE, live(objects=3))
    with (tmp_path / LIVE / "events.jsonl").open("ab") as file:
        file.write(b'{"event":"entered","at":9.5,"phase":"verify"}\n' * 100_000)
    client = asking(tmp_path)
    answer = client.get(f"/api/runs/{LIVE}")
    assert "larger than 2 MiB" in answer.text
    assert answer.json()["watched"]["picture"]["lines"] < 100_000
    assert len(answer.content) < 100_000
    assert client.get(f"/live/{LIVE}").text.endswith("event: end\ndata: \n\n")


def test_a_line_that_never_ends_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "LONGEST", 1 << 20)
    log(tmp_path / LIVE, live(objects=3))
    with (tmp_path / LIVE / "events.jsonl").open("ab") as file:
        file.write(b"x" * (3 << 20))
    assert "a line of more than 1 MiB" in asking(tmp_path).get(f"/runs/{LIVE}").text


@pytest.mark.parametrize("name", ["herd.json", "undelivered.jsonl"])
@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        Path.mkdir,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to(path.parents[2] / "secret"),
        lambda path: path.write_bytes(b'{"herd": "\xff"}'),
        lambda path: path.write_bytes(b'{"herd": "TOP SECRET"'),
        lambda path: os.truncate(path, path.write_bytes(b"{}") << 24),
    ],
    ids=["a pipe", "a folder", "no end", "a link", "no text", "half written", "too large"],
)
def test_what_is_no_file_of_a_run_neither_holds_nor_breaks_the_metrics(
    tmp_path: Path, name: str, make: Callable[[Path], object]
) -> None:
    reports = tmp_path / "reports"
    herd(tmp_path / "elsewhere", "TOP SECRET{}")
    (tmp_path / "elsewhere" / "herd.json").rename(tmp_path / "secret")
    written(reports)
    (reports / "2026-11-24-herd-odd").mkdir()
    make(reports / "2026-11-24-herd-odd" / name)
    answer = asking(reports).get("/metrics")
    assert answer.status_code == 200
    assert 'dr_herd_budget{herd="north"} 1' in answer.text
    assert "TOP SECRET" not in answer.text


@given(
    st.lists(
        st.sampled_from(
            [
                b"no JSON",
                b"{}",
                b"[]",
                b'{"event":"ready","at":1,"step":99}',
                b'{"event":"ready","at":1,"step":-1}',
                b'{"event":"probed","at":1,"probe":7,"passed":true,"began":1}',
                b'{"event":"ended","at":1e999,"outcome":"passed"}',
                b'{"event":"failed","at":1,"step":0,"cause":"x"}',
                b"\xff\xfe",
                b'{"event":"skipped","at":2,"step":0,"because":9}',
                b'{"event":"entered","at":-5,"phase":"restore"}',
                b'{"event":"left","at":0,"phase":"restore"}',
                b"",
                b'{"event":"injected","at":1,"fault":"x","began":0}',
                b'{"event":"probed","at":2,"probe":0,"passed":false,"began":1}',
            ]
        ),
        max_size=12,
    ),
    st.booleans(),
    st.integers(0, 60),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_log_holds_the_pages_are_shown(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], begun: bool, cut: int
) -> None:
    reports = tmp_path_factory.mktemp("log")
    log(reports / LIVE, live(objects=1) if begun else [])
    path = reports / LIVE / "events.jsonl"
    whole = path.read_bytes() + b"".join(line + b"\n" for line in lines)
    path.write_bytes(whole[: len(whole) - cut])
    client = asking(reports)
    assert {client.get(page).status_code for page in ("/", "/runs", f"/runs/{LIVE}", f"/api/runs/{LIVE}")} == {200}
    assert client.get(f"/graph/{LIVE}").status_code in (200, 404, 503)


def test_a_history_that_cannot_be_read_is_said_and_not_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").mkdir()
    answer = asking(tmp_path).get("/api/runs")
    assert (answer.status_code, sorted(answer.json())) == (503, ["error", "remedy", "schema"])
    (tmp_path / "2026-11-23-herd-x").mkdir()
    (tmp_path / "2026-11-23-herd-x" / "herd.json").write_text('{"herd": 1}')
    assert asking(tmp_path).get("/herds/2026-11-23-herd-x").status_code == 503
    assert "no herd" in asking(tmp_path).get("/herds").text


@pytest.mark.parametrize("token", ["", TOKEN])
def test_the_api_answers_as_its_document_says_whatever_it_is_asked(reports: Path, token: str) -> None:
    app, _ = application(reports, Door(token, local=False), {}, measured(reports, {}))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", app, headers=headers)
    asked = set()
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()

        @given(operation.as_strategy())
        @settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        def ask(case: schemathesis.Case[Any]) -> None:
            answer = case.call_and_validate(headers=headers)
            assert answer.status_code < 500
            asked.add(case.operation.path)

        ask()
    assert asked == {page.api for page in PAGES}


def _dr(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    shown = "import sys; from dr.cli import main; sys.argv[0] = 'dr'; main()"
    return subprocess.Popen(
        [sys.executable, "-c", shown, "serve", *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def test_the_metrics_and_limits_are_those_of_the_command_line(reports: Path) -> None:
    limit = ["--stale", "pod-kill=90d"]
    printed = CliRunner().invoke(main, ["report", "metrics", "--reports", str(reports), *limit]).output
    with _dr("--reports", str(reports), "--port", "0", *limit) as process:
        address = next(iter(process.stderr or ())).split()[0]
        with urlopen(f"{address}metrics", timeout=10) as shown, urlopen(f"{address}api/stale", timeout=10) as board:  # noqa: S310 - our own
            assert (shown.read().decode(), b'"limit":7776000.0' in board.read()) == (printed, True)
        process.terminate()


def test_a_herd_of_many_shows_what_went_wrong_first(tmp_path: Path) -> None:
    members = [{"cluster": f"c-{n}", "scenario": "s", "wave": 0, "state": "met"} for n in range(2000)]
    members[1500]["state"] = "failed"
    result = {"herd": "h", "run": "r", "time": "", "title": "", "waves": [], "budget": 1, "members": members}
    (tmp_path / "2026-herd-h").mkdir()
    (tmp_path / "2026-herd-h" / "herd.json").write_text(json.dumps(result))
    text = asking(tmp_path).get("/herds/2026-herd-h").text
    assert text.index("c-1500") < text.index("c-0")
    assert "1 failed, 1999 met" in text
    assert "1500 more" in text


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_while_somebody_watches(reports: Path, sent: signal.Signals) -> None:
    with _dr("--reports", str(reports), "--port", "0") as process:
        address = next(iter(process.stderr or ())).split()[0]
        with urlopen(f"{address}live/{LIVE}", timeout=10) as stream:  # noqa: S310 - our own
            assert stream.readline()
            process.send_signal(sent)
            said = process.communicate(timeout=15)[1]
    assert process.returncode == 130
    assert "Traceback" not in said


def test_a_port_that_is_taken_is_said_with_the_reason(reports: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = CliRunner().invoke(main, ["serve", "--reports", str(reports), "--port", str(port)])
    assert (found.exit_code, "in use" in found.output, "--port" in found.output) == (3, True, True)


@pytest.mark.parametrize(
    ("arguments", "token", "said"),
    [
        (["--host", "0.0.0.0"], "", "--token-file"),  # noqa: S104 - refused
        (["--host", "::"], "", "--token-file"),
        (["--host", "192.0.2.1"], "short", "16 characters"),
        (["--token-file", "/nothing/there"], "", "/nothing/there"),
        (["--url", "dr.example.com"], "", "https://"),
        (["--url", "javascript://x/y"], "", "https://"),
        (["--stale", "pod-kill"], "", "--stale"),
    ],
)
def test_what_would_be_open_to_all_or_cannot_be_meant_is_refused(
    reports: Path, arguments: list[str], token: str, said: str
) -> None:
    found = CliRunner().invoke(main, ["serve", "--reports", str(reports), *arguments], env={"DR_TOKEN": token})
    assert (found.exit_code, said in found.output) == (2, True)
