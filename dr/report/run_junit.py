"""A run as JUnit XML: a suite a unit, a case an object, so that a build server shows what did not come back."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Sequence

from dr.core.model import Level
from dr.core.timeline import StepTime, Timeline
from dr.report.findings import safe


def junit(timeline: Timeline) -> bytes:
    """Return JUnit XML of a run; preflight and parity are suites of their own."""
    root = ET.Element("testsuites", {"name": "dr", "time": f"{timeline.duration:.3f}"})
    units: dict[str, list[StepTime]] = defaultdict(list)
    for step in timeline.steps:
        units[step.step.unit or "objects"].append(step)
    for name, steps in units.items():
        _suite(root, name, [_case(timeline, name, step) for step in steps])
    _suite(root, "preflight", [_check(c.check, c.subject, c.cause, c.level) for c in timeline.checks])
    drift = [d for d in timeline.differences if d.what != "extra"]
    parity = [
        _check(d.what, f"{d.ref} {d.path}".rstrip(), f"{d.found} instead of {d.wanted}", Level.ERROR) for d in drift
    ]
    whole = ET.Element("testcase", {"classname": "dr.parity", "name": "all objects are there as git says", "time": "0"})
    _suite(root, "parity", parity or [whole])
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
    took = step.ended - step.started if step.ended is not None and step.started is not None else 0.0
    attributes = {"classname": safe(f"dr.{unit}"), "name": safe(str(step.step.ref)), "time": f"{took:.3f}"}
    case = ET.Element("testcase", attributes)
    if step.outcome == "skipped":
        blamed = timeline.steps[step.because].step.ref if step.because is not None else "what it needs"
        ET.SubElement(case, "skipped", {"message": safe(f"needs {blamed}, which failed")})
    elif step.outcome != "ready":
        failure = ET.SubElement(case, "failure", {"type": step.outcome, "message": safe(step.cause or step.outcome)})
        failure.text = safe(f"{step.step.where}: {step.cause or step.outcome}")
    return case


def _check(kind: str, subject: str, cause: str, level: Level) -> ET.Element:
    case = ET.Element("testcase", {"classname": f"dr.{kind}", "name": safe(subject or kind), "time": "0"})
    if level is Level.ERROR:
        ET.SubElement(case, "failure", {"type": kind, "message": safe(cause)})
    return case
