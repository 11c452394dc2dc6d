"""A gameday as JUnit XML: the verdict, each objective, probe and activity a case, then the run's objects by unit."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from dr.core.outages import ProbeTime
from dr.core.recovery import Recovery
from dr.core.timeline import Timeline
from dr.report.findings import safe
from dr.report.gameday_text import probed, promised, verdict, wrong
from dr.report.run_junit import junit as run_junit
from dr.report.run_text import cut


def junit(timeline: Timeline, recovery: Recovery) -> bytes:
    """Return JUnit XML of a gameday; a run that compared nothing with git is not said to have failed at it."""
    run = ET.fromstring(run_junit(timeline))  # noqa: S314 - what was written here, a line ago
    root = ET.Element("testsuites", run.attrib)
    _suite(root, "verdict", [_verdict(timeline, recovery)])
    rows = zip(promised(recovery), recovery.objectives, strict=True)
    cases = [_case("objective", name, j.actual or 0.0, "" if met else said) for (name, met, said), j in rows]
    _suite(root, "objectives", cases)
    _suite(root, "probes", [_probe(probe) for probe in recovery.probes])
    activities = []
    for done in recovery.activities:
        failed = done.cause or done.status if done.cause or done.status not in ("succeeded", "completed") else ""
        activities.append(_case(done.kind, done.name, done.at - done.began, failed))
    _suite(root, "experiment", activities)
    compared = bool(timeline.differences) or bool(timeline.verified)
    root.extend(suite for suite in run if compared or suite.get("name") != "parity")
    ET.indent(root)
    content: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _verdict(timeline: Timeline, recovery: Recovery) -> ET.Element:
    sentence = "".join(part for part, _ in verdict(timeline, recovery))
    reasons = [f"{entry.what}: {entry.subject} {entry.cause}" for entry in wrong(timeline, recovery)]
    name = recovery.announced.title
    return _case(
        "verdict", name, recovery.rta or 0.0, "" if recovery.verdict == "met" else "; ".join([sentence, *reasons])
    )


def _probe(probe: ProbeTime) -> ET.Element:
    down = "" if probe.downtime is not None else f"{probed(probe)}: {probe.outages[-1].cause}"
    return _case(f"probe.{probe.probe.kind}", probe.probe.name, probe.downtime or 0.0, down)


def _case(kind: str, name: str, took: float, failed: str) -> ET.Element:
    case = ET.Element("testcase", {"classname": safe(f"dr.{kind}"), "name": safe(name or kind), "time": f"{took:.3f}"})
    if failed:
        ET.SubElement(case, "failure", {"type": safe(kind), "message": cut(safe(failed))}).text = cut(safe(failed))
    return case


def _suite(root: ET.Element, name: str, cases: Sequence[ET.Element]) -> None:
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(1 for case in cases if case.find("failure") is not None)),
        "skipped": "0",
        "errors": "0",
        "time": f"{sum(float(case.get('time') or 0) for case in cases):.3f}",
    }
    ET.SubElement(root, "testsuite", {"name": name, **counts}).extend(cases)
