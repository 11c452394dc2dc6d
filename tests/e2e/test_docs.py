"""The reference says what the code does, and every finding that can be made is described."""

from __future__ import annotations

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def _reference() -> Any:
    spec = spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_pages_are_written_from_the_code_as_it_is() -> None:
    assert _reference().stale() == []


def test_every_code_that_a_finding_can_carry_is_in_the_table() -> None:
    known = {finding.code for finding in _reference().FINDINGS}
    made = set()
    for path in (ROOT / "dr").rglob("*.py"):
        if path.parent.name == "core" and path.stem in ("gameday", "forklift", "timetable"):
            continue  # what is wrong with such a file is no finding in a repo
        text = path.read_text(encoding="utf-8")
        made.update(re.findall(r'Diagnostic\(\s*[^,]+(?:\([^)]*\))?[^,]*,\s*"([a-z-]+)"', text))
        made.update(re.findall(r'Absence\(\s*"[a-z-]+",\s*"([a-z-]+)"', text))
    assert len(made) > 12
    assert made <= known, made - known


def test_every_link_in_the_documents_leads_somewhere() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for page in [*pages, *(ROOT / folder / "README.md" for folder in ("experiments", "reports", "runbooks"))]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert "://" in target or (page.parent / target).exists(), (page, target)
