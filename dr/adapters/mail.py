"""Tells people what happens in an exercise, by mail."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from email.message import EmailMessage
from email.utils import formatdate
from threading import Thread

from msgspec import Struct

_SECONDS, _WHOLE = 10.0, 30.0  # for one answer, and for all of a mail: a server may answer a byte at a time


class Mailbox(Struct, frozen=True):
    """A mail server and how it is used. `tls`: starttls, tls or none."""

    host: str
    port: int
    tls: str
    sender: str
    to: Sequence[str]
    user: str = ""
    password: str = ""


async def send(box: Mailbox, subject: str, text: str, key: str) -> tuple[str, bool]:
    """Send a mail once; return why it was not taken ("" when it was), and whether to try again.

    `key` becomes the message's identity, by which a mail that was taken twice is one.
    """
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, box.sender, ", ".join(box.to)
    message["Date"], message["Message-ID"] = formatdate(), f"<{key}@dr>"
    message.set_content(text)
    try:
        async with asyncio.timeout(_WHOLE):
            await _apart(lambda: _send(box, message))
    except smtplib.SMTPResponseException as error:
        # 4xx is for now, 5xx for good: RFC 5321, 4.2.1.
        return f"{box.host} answered {error.smtp_code}", 400 <= error.smtp_code < 500
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        return f"{box.host} takes no mail for {', '.join(error.recipients)}", all(400 <= code < 500 for code in codes)
    except smtplib.SMTPNotSupportedError:
        return f"{box.host} offers no {'STARTTLS' if box.tls == 'starttls' else 'login'}", False
    except ssl.SSLCertVerificationError as error:
        return f"the certificate of {box.host} is not trusted: {error.verify_message}", False
    except (smtplib.SMTPException, OSError) as error:
        return f"{box.host} cannot be told: {type(error).__name__}", True
    return "", False


async def _apart(act: Callable[[], None]) -> None:
    """Do something in a thread that nothing waits for: `asyncio.to_thread` has its loop wait for all of them."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell(error: Exception | None) -> None:
        if done.done():
            return
        if error:
            done.set_exception(error)
        else:
            done.set_result(None)

    def run() -> None:
        failed: Exception | None = None
        try:
            act()
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            failed = error
        with suppress(RuntimeError):  # the loop is gone, and with it whoever waited
            loop.call_soon_threadsafe(tell, failed)

    Thread(target=run, name="mail", daemon=True).start()
    await done


def _send(box: Mailbox, message: EmailMessage) -> None:
    context = ssl.create_default_context()
    server = (
        smtplib.SMTP_SSL(box.host, box.port, timeout=_SECONDS, context=context)
        if box.tls == "tls"
        else smtplib.SMTP(box.host, box.port, timeout=_SECONDS)
    )
    with server:
        if box.tls == "starttls":
            server.starttls(context=context)
        if box.user:
            server.login(box.user, box.password)
        server.send_message(message)
