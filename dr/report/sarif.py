"""Findings as SARIF 2.1.0, for code scanning in GitHub, GitLab and editors."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import msgspec

from dr.core.model import Diagnostic, Level, Pin
from dr.core.rules.findings import FINDINGS
from dr.report.findings import safe

_LEVELS = {Level.ERROR: "error", Level.WARNING: "warning", Level.INFO: "note"}
_RULES = {finding.code: index for index, finding in enumerate(FINDINGS)}


def sarif(findings: Iterable[Diagnostic], pins: Iterable[Pin], version: str) -> bytes:
    """Return a SARIF log with one run. A result's fingerprint stays the same when lines move."""
    rules = [
        {
            "id": f.code,
            "name": f.code.title().replace("-", ""),
            "shortDescription": {"text": f.title},
            "fullDescription": {"text": f.help},
            "help": {"text": f.help},
            "defaultConfiguration": {"level": _LEVELS[f.level]},
        }
        for f in FINDINGS
    ]
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "dr", "version": version, "rules": rules}},
                "columnKind": "unicodeCodePoints",
                "versionControlProvenance": [
                    {"repositoryUri": quote(pin.location, safe="/:@*"), "revisionId": pin.commit}
                    for pin in pins
                    if pin.commit
                ],
                "results": [_result(finding) for finding in sorted(findings)],
            }
        ],
    }
    return msgspec.json.format(msgspec.json.encode(log), indent=1) + b"\n"


def _result(finding: Diagnostic) -> dict[str, Any]:
    remedy = f" Fix: {finding.remedy}" if finding.remedy else ""
    path = f"{finding.where.repo}/{finding.where.file}" if finding.where.repo else finding.where.file
    place: dict[str, Any] = {"artifactLocation": {"uri": quote(path.encode(errors="replace"), safe="/")}}
    if finding.where.line > 0:
        place["region"] = {"startLine": finding.where.line}
    stable = f"{finding.code}\0{path}\0{finding.subject}\0{finding.cause}".encode(errors="replace")
    rule = {"ruleIndex": _RULES[finding.code]} if finding.code in _RULES else {}
    return {
        "ruleId": finding.code,
        **rule,
        "level": _LEVELS[finding.level],
        "message": {"text": safe(f"{finding.subject}: {finding.cause}.{remedy}")},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"drFinding/v1": sha256(stable).hexdigest()},
    }
