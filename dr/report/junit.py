"""Findings as JUnit XML: a test case for each kind of finding, so that what passed is seen too."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterable

from dr.core.model import Diagnostic, Level
from dr.core.rules.findings import FINDINGS
from dr.report.findings import fails, safe


def junit(findings: Iterable[Diagnostic], fail_on: Level | None, suite: str) -> bytes:
    """Return JUnit XML; findings at or above `fail_on` are failures, others stand in system-out."""
    by_code: dict[str, list[Diagnostic]] = defaultdict(list)
    for finding in sorted(findings):
        by_code[finding.code].append(finding)
    codes = sorted({finding.code for finding in FINDINGS} | set(by_code))
    titles = {finding.code: finding.title for finding in FINDINGS}
    failed = sum(1 for code in codes if fails(by_code[code], fail_on))
    counts = {"tests": str(len(codes)), "failures": str(failed), "errors": "0", "skipped": "0", "time": "0"}
    root = ET.Element("testsuites", {"name": "dr lint", **counts})
    group = ET.SubElement(root, "testsuite", {"name": safe(suite), **counts})
    for code in codes:
        case = ET.SubElement(
            group, "testcase", {"classname": "dr.lint", "name": safe(f"{code}: {titles.get(code, code)}"), "time": "0"}
        )
        bad = [finding for finding in by_code[code] if fails([finding], fail_on)]
        mild = [finding for finding in by_code[code] if finding not in bad]
        if bad:
            failure = ET.SubElement(case, "failure", {"type": safe(code), "message": _line(bad[0])})
            failure.text = "\n".join(map(_text, bad))
        if mild:
            ET.SubElement(case, "system-out").text = "\n".join(map(_text, mild))
    ET.indent(root)
    content: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _line(finding: Diagnostic) -> str:
    return safe(f"{finding.where}: {finding.subject}: {finding.cause}")


def _text(finding: Diagnostic) -> str:
    return _line(finding) + (f"\n    fix: {safe(finding.remedy)}" if finding.remedy else "")
