"""What is told of an exercise: whoever names an object can call nobody, steer no terminal and forge no mail."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from dr.core.notice import Notice, machine, mail, plain, sentence, signature, signed, slack

NAMES = st.text(max_size=40) | st.sampled_from(
    [
        "<!channel> shop",
        "<@U123>",
        "a\r\nBcc: all@example.com",
        "\x1b[2Jshop",
        "@here *bold* `x`",
        "\u202eshop",
        "&lt;!here&gt;",
    ]
)


@given(NAMES, NAMES, NAMES)
def test_no_name_holds_what_steers_a_terminal_a_mail_or_the_direction_of_text(
    title: str, target: str, run: str
) -> None:
    notice = Notice("ended", title, run=run, target=target, verdict="met", rta=2.14, rto=30)
    subject, text = mail(notice)
    for said in (sentence(notice), subject, plain(run)):
        assert said.isprintable() or not set(said) & set("\r\n\x1b\x00\u202e\u2028")
        assert "\n" not in said
        assert "\r" not in said
    assert len(text.splitlines()) <= 8
    assert json.loads(machine(notice))["rta"] == 2.14


@given(NAMES)
def test_no_name_calls_people_in_a_chat(title: str) -> None:
    said = json.loads(slack(Notice("began", title)))
    assert "<" not in said["text"]
    assert ">" not in said["text"]
    assert not any(f" {mark}" in f" {said['text']}" for mark in ("@here", "@channel", "@everyone"))


def test_a_notice_reads_as_people_say_it() -> None:
    told = Notice("ended", "Cluster loss", target="prod-2", verdict="missed", rta=312.4, rto=300)
    assert sentence(told) == "Cluster loss ended on prod-2: missed, back after 312.4 s (objective 300 s)"


@given(st.binary(min_size=1), st.integers(0, 2**33), st.binary())
def test_a_body_that_was_changed_or_sent_again_later_is_not_taken_for_ours(secret: bytes, at: int, body: bytes) -> None:
    seal = signature(secret, at, body)
    assert signed(secret, at, body, seal, at + 10.0)
    assert not signed(secret, at, body + b" ", seal, at + 10.0)
    assert not signed(secret, at + 1, body, seal, at + 10.0)
    assert not signed(secret + b"x", at, body, seal, at + 10.0)
    assert not signed(secret, at, body, seal, at + 301.0)
