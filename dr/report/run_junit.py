"""A run as JUnit XML: a suite a unit, a case an object, so that a build server shows what did not come back."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Sequence

from dr.core.model import Level
from dr.core.timeline import StepTime, Timeline
from dr.report.findings import safe
from dr.report.run_text import cut, told


def junit(timeline: Timeline) -> bytes:
    """Return JUnit XML of a run; preflight and parity are suites of their own."""
    root = ET.Element("testsuites", {"name": "dr", "time": f"{timeline.duration:.3f}"})
    units: dict[str, list[StepTime]] = defaultdict(list)
    for step in timeline.steps:
        units[step.step.unit or "objects"].append(step)
    for name, steps in units.items():
        _suite(root, name, [_case(timeline, name, step) for step in steps])
    _suite(root, "preflight", [_check(c.check, c.subject, c.cause, c.level, c.remedy) for c in timeline.checks])
    _suite(root, "parity", _parity(timeline))
    ET.indent(root)
    content: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _suite(root: ET.Element, name: str, cases: Sequence[ET.Element]) -> None:
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(1 for case in cases if case.find("failure") is not None)),
        "skipped": str(sum(1 for case in cases if case.find("skipped") is not None)),
        "errors": "0",
        "time": f"{sum(float(case.get('time') or 0) for case in cases):.3f}",
    }
    suite = ET.SubElement(root, "testsuite", {"name": safe(name), **counts})
    suite.extend(cases)


def _case(timeline: Timeline, unit: str, step: StepTime) -> ET.Element:
    attributes = {"classname": safe(f"dr.{unit}"), "name": safe(str(step.step.ref)), "time": f"{step.took:.3f}"}
    case = ET.Element("testcase", attributes)
    if step.outcome == "skipped":
        blamed = timeline.steps[step.because].step.ref if step.because is not None else "what it needs"
        ET.SubElement(case, "skipped", {"message": _said(f"needs {blamed}, which failed")})
    elif step.outcome == "unfinished" and step.started is None:
        ET.SubElement(case, "skipped", {"message": "was not sent before the run ended"})
    elif step.outcome != "ready":
        why = _said(step.why or step.outcome)
        kind = "timeout" if step.timeout else step.outcome
        failure = ET.SubElement(case, "failure", {"type": kind, "message": why})
        failure.text = f"{safe(step.step.where)}: {why}"
    return case


def _check(kind: str, subject: str, cause: str, level: Level, remedy: str = "") -> ET.Element:
    case = ET.Element("testcase", {"classname": safe(f"dr.{kind}"), "name": safe(subject or kind), "time": "0"})
    text = _said(cause) + (f"\n    fix: {_said(remedy)}" if remedy else "")
    if level is Level.ERROR:
        ET.SubElement(case, "failure", {"type": safe(kind), "message": _said(cause)}).text = text
    elif level is Level.WARNING:
        ET.SubElement(case, "system-out").text = text
    return case


def _parity(timeline: Timeline) -> list[ET.Element]:
    """Return a case a difference; a run that compared nothing fails here, lest it be taken for one that did."""
    drift = [d for d in timeline.differences if d.what != "extra"]
    compared = timeline.verified
    if drift:
        return [_check(d.what, f"{d.ref} {d.path}".rstrip(), told(d) or d.what, Level.ERROR) for d in drift]
    name = "all objects are there as git says"
    return [_check("parity", name, "nothing was compared with git", Level.INFO if compared else Level.ERROR)]


def _said(text: str) -> str:
    return cut(safe(text))
