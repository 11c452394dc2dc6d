"""Writes docs/reference/ from the code: commands, rules, findings, charts. `--check` only compares."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from dr.cli import main as dr
from dr.core.rules.charts import CHARTS
from dr.core.rules.derivations import DERIVATIONS
from dr.core.rules.findings import FINDINGS
from dr.core.rules.references import GUESSES, REFERENCES
from dr.core.rules.removals import CRD_REMOVALS, REMOVALS

FOLDER = Path(__file__).parent / "reference"
_NOTE = "<!-- Written by docs/reference.py from the code; change the code instead. -->"


def commands() -> Iterator[str]:
    """Yield the page of commands, from their help texts."""
    yield from ("# Commands", "", _NOTE, "")
    context = click.Context(dr, info_name="dr", **dr.context_settings)
    yield from _helps(context, dr, "dr")
    yield from ("## Exit codes", "", "| code | meaning |", "|---|---|")
    yield from _rows(
        ("0", "the answer was given, the restore passed; `lint`: nothing at or above `--fail-on`"),
        ("1", "something did not come back or differs from git; `lint`: a finding at or above `--fail-on`"),
        ("2", "the call cannot be carried out as written, or dr.yaml is wrong"),
        ("3", "a tool or the infrastructure failed: git, kubectl, a repo or cluster that cannot be reached or is held"),
        ("130", "interrupted; what was begun is cleaned up and written down"),
    )


def _helps(context: click.Context, group: click.Group, title: str) -> Iterator[str]:
    for name in sorted(group.commands):
        command = group.commands[name]
        own = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _helps(own, command, f"{title} {name}")
            continue
        formatter = click.HelpFormatter(width=100)
        command.format_help(own, formatter)
        yield from (f"## {title} {name}", "", "```", formatter.getvalue().rstrip(), "```", "")


def findings() -> Iterator[str]:
    """Yield the page of findings."""
    yield from (
        "# Findings",
        "",
        _NOTE,
        "",
        "| code | level | what it is | why it matters, and what to do |",
        "|---|---|---|---|",
    )
    yield from _rows(*((f"`{f.code}`", f.level, f.title, f.help) for f in FINDINGS))


def rules() -> Iterator[str]:
    """Yield the page of rules: references, guesses, derived objects, removed APIs."""
    yield from ("# Rules", "", _NOTE, "", "## References", "")
    yield "`@pod` is every kind with a pod template, `?` every kind that Kubernetes itself does not have."
    yield from ("", "| kind | field | names | strength | basis |", "|---|---|---|---|---|")
    yield from _rows(
        *(
            (f"`{r.kind}`", f"`{r.path}`", r.to or f"by `{r.kind_field}`", r.strength, r.basis)
            for r in (*REFERENCES, *GUESSES)
        )
    )
    yield from ("", "## Derived objects", "", "| from | to | name |", "|---|---|---|")
    yield from _rows(*((f"`{d.group}/{d.kind}`", d.to, " or ".join(f"`{n}`" for n in d.name)) for d in DERIVATIONS))
    yield from ("", "## APIs that are gone", "", "| API version | kinds | since | instead |", "|---|---|---|---|")
    yield from _rows(
        *(
            (f"`{r.api_version}`", ", ".join(r.kinds) or "all", r.removed, r.instead or "nothing")
            for r in (*REMOVALS, *CRD_REMOVALS)
        )
    )


def charts() -> Iterator[str]:
    """Yield the page of the chart catalogue."""
    yield from ("# Charts", "", _NOTE, "", "| chart | brings the APIs | serves | makes |", "|---|---|---|---|")
    yield from _rows(
        *(
            (
                ", ".join(c.names),
                ", ".join(c.crds),
                ", ".join(c.serves),
                ", ".join(" ".join(made) for made in c.classes),
            )
            for c in CHARTS
        )
    )


def _rows(*rows: Iterable[str]) -> Iterator[str]:
    for row in rows:
        yield "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) + " |"


PAGES = {"commands.md": commands, "findings.md": findings, "rules.md": rules, "charts.md": charts}


def stale() -> list[str]:
    """Return the pages that differ from what the code says."""
    return [name for name, page in PAGES.items() if _read(FOLDER / name) != "\n".join(page()) + "\n"]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def write() -> None:
    """Write every page."""
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text("\n".join(page()) + "\n", encoding="utf-8")
        print(f"wrote docs/reference/{name}")


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(f"not up to date: {', '.join(old)}; run make docs" if (old := stale()) else 0)
    write()
