"""No test is left out in CI without somebody noticing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lacking import lacking

TESTS = Path(__file__).parent
# The corpus is no part of a machine: it is kept elsewhere, and DR_CORPUS names it.
MAY_SKIP = {"lacking.py", "conftest.py", "core/test_tables.py", "adapters/test_kustomize.py", "test_lacking.py"}


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_what_a_machine_lacks_fails_in_ci_and_is_said_elsewhere(
    ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="no such program"):
        lacking("no such program")


def test_no_test_skips_in_another_way() -> None:
    marks = ("pytest.skip(", "mark.skip", "importorskip")
    found = {
        str(file.relative_to(TESTS)) for file in TESTS.rglob("*.py") if any(mark in file.read_text() for mark in marks)
    }
    assert found <= MAY_SKIP
