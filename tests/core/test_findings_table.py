"""The table of findings: one row a code, in order, each with what to do."""

from __future__ import annotations

from dr.core.rules.findings import FINDINGS, LEVEL, REMEDY


def test_each_code_stands_once_and_in_order() -> None:
    codes = [finding.code for finding in FINDINGS]
    assert codes == sorted(set(codes))
    assert set(LEVEL) == set(REMEDY) == set(codes)


def test_each_finding_has_a_title_and_says_what_to_do() -> None:
    for finding in FINDINGS:
        assert finding.title
        assert not finding.title.endswith(".")
        assert finding.help.endswith(".")
        assert REMEDY[finding.code]
