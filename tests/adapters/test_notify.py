"""Those who want to know of an exercise, against real servers: told once it works, never at the cost of the run."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace

from dr.adapters.mail import Mailbox, send
from dr.adapters.notify import tell
from dr.app.notices import UNDELIVERED, Messenger
from dr.core.gameday import Email, Notification, Reference
from dr.core.notice import KEY, SIGNATURE, TIMESTAMP, Notice, signed
from dr.engine.telling import Sent, delivered

NOTICE = Notice("ended", "Cluster loss", "cluster loss", "run-1", target="prod-2", verdict="met", rta=12.0)
SECRET = "s3cr3t-value"  # noqa: S105 - nobody's


class Hook:
    """A web server that keeps what it was told. `statuses`: what it answers, one after another, then 200."""

    def __init__(self, statuses: list[int], hangs: float = 0.0) -> None:
        self.statuses, self.hangs = statuses, hangs
        self.told: list[tuple[dict[str, str], bytes]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.told.append((dict(request.headers), await request.read()))
        await asyncio.sleep(self.hangs)
        status = self.statuses.pop(0) if self.statuses else 200
        more = {"Retry-After": "7"} if status == 429 else {"Location": "http://192.0.2.1/"} if status == 302 else {}
        return web.Response(status=status, headers=more)


@asynccontextmanager
async def serving(hook: Hook) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/hook/{secret}", hook.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook/{SECRET}"
    finally:
        await runner.cleanup()


async def until_told(url: str, within: float, waited: list[float]) -> str:
    async def attempt() -> Sent:
        return Sent(*await tell(url, b"{}", {}))

    async def pause(seconds: float) -> None:
        waited.append(seconds)

    return await delivered(attempt, within, pause)


@pytest.mark.parametrize(
    ("statuses", "tries", "cause"),
    [
        ([], 1, ""),
        ([503, 500], 3, ""),
        ([404], 1, "127.0.0.1 answered 404"),
        ([302], 1, "127.0.0.1 answered 302"),
    ],
)
def test_what_may_heal_is_told_again_and_what_cannot_is_not(statuses: list[int], tries: int, cause: str) -> None:
    async def go() -> None:
        hook, waited = Hook(statuses), list[float]()
        async with serving(hook) as url:
            assert await until_told(url, 30.0, waited) == cause
        assert len(hook.told) == tries
        assert waited == sorted(waited)

    asyncio.run(go())


def test_who_asks_for_time_gets_it_or_is_left_alone() -> None:
    async def go() -> None:
        waited: list[float] = []
        async with serving(Hook([429])) as url:
            assert await until_told(url, 30.0, waited) == ""
            assert waited == [7.0]
        async with serving(Hook([429])) as url:
            assert await until_told(url, 3.0, waited) == "127.0.0.1 answered 429"

    asyncio.run(go())


def test_a_server_that_hangs_costs_no_more_than_the_time_it_is_given() -> None:
    async def go() -> None:
        async with serving(Hook([], hangs=30.0)) as url:
            assert await until_told(url, 0.3, []) == "no answer in 0.3 s"

    asyncio.run(go())


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/s3cr3t-value", "no address s3cr3t-value", "http://[s3cr3t-value"])
def test_no_reason_holds_the_path_of_an_address_which_is_its_password(url: str) -> None:
    cause, _, _ = asyncio.run(tell(url, b"{}", {}))
    assert cause
    assert SECRET not in cause


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Make a server's certificate for 127.0.0.1; return where it is, and what the server uses."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "mail.pem"
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    content = key.private_bytes(serialization.Encoding.PEM, *plain) + made.public_bytes(serialization.Encoding.PEM)
    file.write_bytes(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return file, context


class Post:
    """A mail server that wants TLS and a login, and keeps what it takes. `refuses`: what it says to a recipient."""

    def __init__(self, refuses: str = "") -> None:
        self.refuses = refuses
        self.taken: list[bytes] = []

    async def handle_RCPT(  # noqa: N802 - the library calls it so
        self, server: SMTP, session: object, envelope: Envelope, to: str, options: object
    ) -> str:
        if self.refuses:
            return self.refuses
        envelope.rcpt_tos.append(to)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: object, envelope: Envelope) -> str:  # noqa: N802 - as above
        assert isinstance(envelope.content, bytes)
        self.taken.append(envelope.content)
        return "250 OK"


def logged_in(server: SMTP, session: object, envelope: Envelope, mechanism: str, auth: Any) -> AuthResult:
    good = isinstance(auth, LoginPassword) and auth == LoginPassword(b"dr", SECRET.encode())
    return AuthResult(success=good, handled=False)


@asynccontextmanager
async def receiving(post: Post, context: ssl.SSLContext) -> AsyncIterator[int]:
    def made() -> SMTP:
        return SMTP(post, tls_context=context, require_starttls=True, authenticator=logged_in, auth_required=True)

    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def mailing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, post: Post, *, trusted: bool = True, **changes: Any
) -> tuple[str, bool]:
    file, context = certificate(folder)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(file))

    async def go() -> tuple[str, bool]:
        async with receiving(post, context) as port:
            box = Mailbox("127.0.0.1", port, "starttls", "dr@example.com", ("sre@example.com",), "dr", SECRET)
            return await send(replace(box, **changes), "dr: Cluster loss ended", "verdict: met\n", "key-1")

    return asyncio.run(go())


# The test's mail server warns of its own code.
served = pytest.mark.filterwarnings("ignore:Session.login_data:DeprecationWarning")


@served
def test_a_mail_comes_through_with_tls_and_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    post = Post()
    assert mailing(tmp_path, monkeypatch, post) == ("", False)
    message = message_from_bytes(post.taken[0], policy=default)
    assert message["Subject"] == "dr: Cluster loss ended"
    assert message["Message-ID"] == "<key-1@dr>"
    assert message.get_content().splitlines() == ["verdict: met"]


@served
@pytest.mark.parametrize(
    ("refuses", "changes", "cause", "heals"),
    [
        ("", {"password": "wrong"}, "answered 535", False),
        ("", {"user": ""}, "takes no mail", False),
        ("451 later", {}, "takes no mail", True),
        ("550 nobody", {}, "takes no mail", False),
    ],
)
def test_a_mail_that_is_refused_says_why_and_is_tried_again_only_where_that_may_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses: str, changes: dict[str, Any], cause: str, heals: bool
) -> None:
    said, again = mailing(tmp_path, monkeypatch, Post(refuses), **changes)
    assert cause in said or "answered 530" in said
    assert again is heals
    assert SECRET not in said


def test_a_mail_server_with_somebody_elses_certificate_gets_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = Post()
    said, again = mailing(tmp_path, monkeypatch, post, trusted=False)
    assert "is not trusted" in said
    assert not again
    assert post.taken == []


# A run's messenger.


def messenger(told: Notification, folder: Path, said: list[str]) -> Messenger:
    return Messenger((told,), folder / "gameday.yaml", folder, said.append)


def test_a_webhook_knows_that_a_notice_is_ours_and_which_one_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)

    async def go() -> None:
        hook, said = Hook([503]), list[str]()
        async with serving(hook) as url:
            (tmp_path / "address").write_text(url + "\n")
            one = messenger(
                Notification(webhook=Reference(file="address"), sign=Reference(env="HOOK_SECRET")), tmp_path, said
            )
            one.tell(NOTICE)
            await one.close()
        (first, _), (second, body) = hook.told
        assert first[KEY] == second[KEY], "told twice, it is one notice"
        at = int(second[TIMESTAMP])
        assert signed(SECRET.encode(), at, body, second[SIGNATURE], at)
        assert json.loads(body)["verdict"] == "met"
        assert said == []
        assert not (tmp_path / UNDELIVERED).exists()

    asyncio.run(go())


def test_what_could_not_be_told_is_said_and_kept_without_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dr.app.notices._LAST", 0.2)

    async def go() -> list[str]:
        said: list[str] = []
        one = messenger(
            Notification(webhook=f"http://127.0.0.1:1/{SECRET}", slack=Reference(env="NOT_SET")), tmp_path, said
        )
        one.tell(NOTICE)
        one.tell(replace(NOTICE, event="unheard of"))
        await one.close()
        return said

    said = asyncio.run(go())
    kept = (tmp_path / UNDELIVERED).read_text()
    assert "NOT_SET is not set" in kept
    assert len(kept.splitlines()) == 2
    assert SECRET not in kept + "".join(said)
    assert f"dr notify resend {tmp_path.name}" in said[-1]


def test_nobody_is_told_what_he_did_not_ask_for(tmp_path: Path) -> None:
    async def go() -> None:
        hook = Hook([])
        async with serving(hook) as url:
            one = messenger(Notification(slack=url, events=("aborted",)), tmp_path, [])
            one.tell(NOTICE)
            await one.close()
        assert hook.told == []

    asyncio.run(go())


def by_mail(port: int) -> Notification:
    return Notification(email=Email("127.0.0.1", "a@b", ("c@d",), port, "none"))


def by_hook(port: int) -> Notification:
    return Notification(webhook=f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("told", [by_mail, by_hook])
def test_a_run_waits_seconds_at_most_for_who_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Callable[[int], Notification]
) -> None:
    monkeypatch.setattr("dr.app.notices._LAST", 0.2)
    monkeypatch.setattr("dr.adapters.mail._SECONDS", 1.0)

    async def go(port: int) -> list[str]:
        said: list[str] = []
        one = messenger(told(port), tmp_path, said)
        one.tell(NOTICE)
        began = asyncio.get_running_loop().time()
        await one.close()
        assert asyncio.get_running_loop().time() - began < 0.9
        return said

    with socket.create_server(("127.0.0.1", 0)) as silent:  # nobody accepts, so nobody answers
        assert "not told" in asyncio.run(go(silent.getsockname()[1]))[0]


def test_a_run_is_over_when_it_is_over_whatever_a_mail_server_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dr.app.notices._LAST", 0.2)

    async def go(port: int) -> None:
        one = messenger(by_mail(port), tmp_path, said)
        one.tell(NOTICE)
        await one.close()

    for drips in (False, True):
        said: list[str] = []
        with dripping(drips=drips) as port:
            began = time.monotonic()
            asyncio.run(go(port))
            assert time.monotonic() - began < 2.0, "not even the end of the event loop waits"
        assert "not told" in said[0]


def test_a_mail_server_that_never_comes_to_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dr.adapters.mail._WHOLE", 0.5)
    with dripping(drips=True) as port:
        began = time.monotonic()
        cause, again = asyncio.run(send(Mailbox("127.0.0.1", port, "none", "a@b", ("c@d",)), "s", "t", "k"))
        assert time.monotonic() - began < 2.0
    assert (cause, again) == ("127.0.0.1 cannot be told: TimeoutError", True)


@contextmanager
def dripping(*, drips: bool) -> Iterator[int]:
    """Have a mail server that greets without end, or says nothing at all."""
    ended = threading.Event()

    def serve() -> None:
        with suppress(OSError):
            client, _ = server.accept()
            with client:
                while not ended.wait(0.05):
                    client.sendall(b"2" if drips else b"")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            ended.set()
            thread.join()
