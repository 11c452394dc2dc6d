"""Secrets of an experiment never reach a journal or a log."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.core.redact import HIDDEN, masked, redacted, secret_values, showable, without_secrets


def test_inline_secrets_and_those_of_the_environment_are_known() -> None:
    experiment = {"secrets": {"k8s": {"TOKEN": "s3cret-a", "KEY": {"type": "env", "key": "K"}}, "list": ["s3cret-b"]}}
    assert secret_values(experiment, {"K": "s3cret-c"}) == {"s3cret-a", "s3cret-b", "s3cret-c"}


PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0\n-----END KEY-----\n"


@pytest.mark.parametrize("secret", [PEM, 'say "friend"', "back\\slash", "tab\tand ü"])
def test_a_secret_is_found_however_it_is_written_down(secret: str) -> None:
    known = secret_values({"secrets": {"a": secret}}, {})
    journal = {"run": [{"output": {"stdout": f"got {secret}!", secret: [secret]}}], "n": 1}
    texts = (
        json.dumps(without_secrets(journal, known)),
        redacted(json.dumps(journal), known),
        redacted(json.dumps(journal, ensure_ascii=False), known),
        redacted(f"ERROR with {secret!r}", known),
        redacted(f"ERROR with {secret}", known),
    )
    for text in texts:
        for form in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]):
            assert form not in text


def test_a_line_of_a_key_is_as_secret_as_the_key() -> None:
    known = secret_values({"secrets": {"a": PEM}}, {})
    assert redacted("of it: MIIEvQIBADANBgkqhkiG9w0.", known) == f"of it: {HIDDEN}."


def test_a_journal_keeps_its_shape_and_loses_its_secrets() -> None:
    journal = {"experiment": {"secrets": {"a": "x"}, "title": "t"}, "run": [{"activity": {"secrets": ["a"]}}]}
    assert without_secrets(journal) == {
        "experiment": {"secrets": HIDDEN, "title": "t"},
        "run": [{"activity": {"secrets": HIDDEN}}],
    }


@given(st.lists(st.text(min_size=4).filter(lambda s: s not in HIDDEN), min_size=1), st.text(), st.text())
def test_no_secret_is_left_in_a_text_that_had_it(secrets: list[str], before: str, after: str) -> None:
    for secret in secrets:
        said = redacted(before + secret + after, frozenset({secret}))
        assert secret not in said.replace(HIDDEN, "")
        json.dumps(said)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (["--with", "token=hunter2"], ["--with", "token=(secret)"]),
        (["--with=db-password=hunter2=x"], ["--with=db-password=(secret)"]),
        (
            ["--with", "API_KEY=hunter2", "--with", "namespace=shop"],
            ["--with", "API_KEY=(secret)", "--with", "namespace=shop"],
        ),
        (
            ["--with", "secret=postgres-login", "--with", "key=a"],
            ["--with", "secret=postgres-login", "--with", "key=a"],
        ),
        (["--reports", "token=x", "--with"], ["--reports", "token=x", "--with"]),
    ],
)
def test_a_command_line_is_kept_without_the_secrets_that_were_typed(said: list[str], shown: list[str]) -> None:
    assert list(masked(said)) == shown


def test_a_setting_that_sounds_secret_is_not_shown_again() -> None:
    assert showable({"token": "hunter2", "namespace": "shop", "pin": "of the file"}, {"token": "hunter2"}) == {
        "token": HIDDEN,
        "namespace": "shop",
        "pin": "of the file",
    }
