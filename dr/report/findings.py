"""Findings as text and data, and when they fail a run."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from dr.core.model import LEVELS, Diagnostic, Level

_SHOWN = 5
_NOUNS = {Level.ERROR: "error", Level.WARNING: "warning", Level.INFO: "note"}


def safe(text: str) -> str:
    """Return text with control characters spelled out, so that no repo drives a terminal or breaks XML."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def summary(findings: Iterable[Diagnostic]) -> str:
    """Return the counts by level: `3 errors, 5 warnings, 2 notes`, or `no findings`."""
    counts = Counter(finding.level for finding in findings)
    parts = [
        f"{counts[level]} {noun}{'s' if counts[level] != 1 else ''}" for level, noun in _NOUNS.items() if counts[level]
    ]
    return ", ".join(parts) or "no findings"


def fails(findings: Iterable[Diagnostic], fail_on: Level | None) -> bool:
    """Return whether any finding is at or above a level; never where `fail_on` is None."""
    return fail_on is not None and any(LEVELS.index(f.level) >= LEVELS.index(fail_on) for f in findings)


def as_text(findings: Sequence[Diagnostic], *, detail: bool) -> Iterator[str]:
    """Yield a line for each finding, gravest first, as `file:line: level: code: subject: cause`.

    Without `detail` only the first few of each code are shown, and how many more there are; with
    it all, each followed by its remedy.
    """
    by_code: dict[tuple[int, str], list[Diagnostic]] = defaultdict(list)
    for finding in sorted(findings):
        by_code[-LEVELS.index(finding.level), finding.code].append(finding)
    for (_, code), group in sorted(by_code.items()):
        shown = group if detail else group[:_SHOWN]
        for finding in shown:
            yield safe(f"{finding.where}: {finding.level}: {code}: {finding.subject}: {finding.cause}")
            if detail and finding.remedy:
                yield safe(f"    fix: {finding.remedy}")
        if len(group) > len(shown):
            yield f"… and {len(group) - len(shown)} more {code} (--detail shows all)"
