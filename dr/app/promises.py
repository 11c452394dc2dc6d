"""Checks, once the plan is known, that each unit with an objective is one that the restore brings back."""

from __future__ import annotations

from pathlib import Path

from dr.adapters.manifests import parse
from dr.core.errors import ConfigError
from dr.core.gameday import Gameday
from dr.core.lines import line_of
from dr.core.promises import unknown
from dr.core.work import Assignment


def check(gameday: Gameday, file: Path, assignment: Assignment | None) -> None:
    """Raise ConfigError, with file:line, when an objective is about a unit that is not restored."""
    if assignment is None or gameday.recovery.by != "restore":
        return
    found = list(unknown(gameday.objectives, {step.unit for step in assignment.steps}))
    if found:
        document = parse(file.read_bytes()).documents[0]
        said = "\n    ".join(f"{file}:{line_of(document.body, document.lines, path)}: {why}" for path, why in found)
        raise ConfigError(
            f"an objective is about what is not restored\n    {said}", "`dr plan` shows the units by name"
        )
