"""Findings reach pipelines whole: any text stays text, levels decide the exit, what passed is seen too."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.core.model import Diagnostic, Level, Pin, Where
from dr.core.rules.findings import FINDINGS
from dr.report.findings import as_text, fails, safe, summary
from dr.report.junit import junit
from dr.report.sarif import sarif

# What SARIF 2.1.0 demands of the parts that are written here.
_TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
_PLACE = {
    "type": "object",
    "required": ["physicalLocation"],
    "properties": {
        "physicalLocation": {
            "type": "object",
            "required": ["artifactLocation"],
            "properties": {
                "artifactLocation": {
                    "required": ["uri"],
                    "properties": {"uri": {"type": "string", "pattern": r"^[A-Za-z0-9._~%!$&'()*+,;=:@/-]*$"}},
                },
                "region": {"required": ["startLine"], "properties": {"startLine": {"type": "integer", "minimum": 1}}},
            },
        }
    },
}
_SARIF: dict[str, Any] = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "required": ["tool", "results"],
                "properties": {
                    "tool": {
                        "properties": {
                            "driver": {
                                "required": ["name", "rules"],
                                "properties": {"rules": {"items": {"required": ["id"]}}},
                            }
                        }
                    },
                    "results": {
                        "items": {
                            "required": ["ruleId", "level", "message", "locations"],
                            "properties": {
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "message": _TEXT,
                                "locations": {"items": _PLACE},
                            },
                        }
                    },
                },
            },
        },
    },
}

FINDING = Diagnostic(
    Where("a b/ü.yaml", 3),
    "missing-namespace",
    Level.ERROR,
    "ConfigMap x/y",
    "namespace x is defined nowhere in git",
    "add it",
)
NOTE = Diagnostic(Where("c.yaml"), "template", Level.INFO, "c.yaml", "a template")
DIAGNOSTICS = st.lists(
    st.builds(
        Diagnostic,
        st.builds(Where, st.text(max_size=20), st.integers(0, 10**6), st.text(max_size=5)),
        st.one_of(st.sampled_from([f.code for f in FINDINGS]), st.text(max_size=8)),
        st.sampled_from(list(Level)),
        st.text(max_size=20),
        st.text(max_size=40),
        st.text(max_size=20),
    ),
    max_size=6,
)


@given(DIAGNOSTICS)
def test_text_of_any_kind_never_breaks_an_output(findings: list[Diagnostic]) -> None:
    log = json.loads(sarif(findings, [], "1"))
    jsonschema.validate(log, _SARIF)
    assert len(log["runs"][0]["results"]) == len(findings)
    root = ET.fromstring(junit(findings, Level.WARNING, "suite"))
    assert int(root.attrib["tests"]) == len(root.findall(".//testcase"))
    assert int(root.attrib["failures"]) == len(root.findall(".//failure"))
    lines = list(as_text(findings, detail=True))
    assert all(line.isprintable() for line in lines)
    assert len([line for line in lines if not line.startswith("    fix:")]) == len(findings)


@given(st.text())
def test_what_is_safe_to_print_holds_no_control_character(text: str) -> None:
    assert safe(text).isprintable()
    assert not text.isprintable() or safe(text) == text


def test_a_place_in_sarif_is_a_valid_address_with_its_line() -> None:
    result = json.loads(sarif([FINDING, NOTE], [Pin("p", "/p", "abc")], "1"))["runs"][0]["results"][0]
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "a%20b/%C3%BC.yaml"},
        "region": {"startLine": 3},
    }


def test_a_finding_keeps_its_fingerprint_when_lines_move() -> None:
    moved = Diagnostic(
        Where("a b/ü.yaml", 99), *[getattr(FINDING, f) for f in ("code", "level", "subject", "cause", "remedy")]
    )
    prints = [json.loads(sarif([f], [], "1"))["runs"][0]["results"][0]["partialFingerprints"] for f in (FINDING, moved)]
    assert prints[0] == prints[1]


def test_every_kind_of_finding_is_a_test_case_so_that_what_passed_is_seen() -> None:
    root = ET.fromstring(junit([FINDING, NOTE], Level.ERROR, "repo"))
    cases = {case.attrib["name"].split(":")[0]: case for case in root.findall(".//testcase")}
    assert set(cases) == {finding.code for finding in FINDINGS}
    assert [code for code, case in cases.items() if case.find("failure") is not None] == ["missing-namespace"]
    assert "c.yaml" in (cases["template"].findtext("system-out") or "")


@pytest.mark.parametrize(("level", "expected"), [(Level.ERROR, True), (Level.INFO, True), (None, False)])
def test_a_finding_fails_the_run_from_its_level_on(level: Level | None, expected: bool) -> None:
    assert fails([FINDING], level) is expected
    assert fails([NOTE], Level.WARNING) is False


def test_many_of_a_kind_are_counted_and_shown_in_full_when_asked() -> None:
    many = [Diagnostic(Where(f"{i}.yaml"), "template", Level.INFO, f"{i}.yaml", "a template") for i in range(12)]
    assert list(as_text(many, detail=False))[-1] == "… and 7 more template (--detail shows all)"
    assert len(list(as_text(many, detail=True))) == 12
    assert summary([FINDING, *many]) == "1 error, 12 notes"
