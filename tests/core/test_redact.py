"""Secrets of an experiment never reach a journal or a log."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from dr.core.redact import HIDDEN, redacted, secret_values, without_secrets


def test_inline_secrets_and_those_of_the_environment_are_known() -> None:
    experiment = {"secrets": {"k8s": {"TOKEN": "s3cret-a", "KEY": {"type": "env", "key": "K"}}, "list": ["s3cret-b"]}}
    assert secret_values(experiment, {"K": "s3cret-c"}) == {"s3cret-a", "s3cret-b", "s3cret-c"}


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
