"""Writes docs/reference/ and the schemas of the kinds of files from the code. `--check` only compares."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from dr.cli import main as dr
from dr.core import forklift, gameday, herd, timetable
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


# The mappings of a gameday file, as they stand in it.
_MAPPINGS = (
    ("", gameday.Gameday),
    ("target", gameday.TargetSpec),
    ("target.create", gameday.Create),
    ("repo", gameday.RepoSource),
    ("steady_state", gameday.SteadyState),
    ("steady_state.probes[]", gameday.Probe),
    ("… http", gameday.Http),
    ("… tcp", gameday.Tcp),
    ("… kubernetes", gameday.KubernetesProbe),
    ("… command", gameday.Command),
    ("… prometheus", gameday.Prometheus),
    ("… canary", gameday.Canary),
    ("fault", gameday.Fault),
    ("recovery", gameday.Recovery),
    ("objectives", gameday.Objectives),
    ("objectives.tiers.NAME", gameday.Tier),
    ("abort[]", gameday.Abort),
    ("blast_radius", gameday.BlastRadius),
    ("approvals[]", gameday.Approval),
    ("notifications[]", gameday.Notification),
    ("… email", gameday.Email),
    ("… a reference to a secret", gameday.Reference),
)


# The mappings of a forklift file.
_MOVING = (
    ("", forklift.Forklift),
    ("from, to", forklift.Side),
    ("repos[]", gameday.RepoSource),
    ("data[]", forklift.Data),
    ("… postgres", forklift.Postgres),
    ("… volume", forklift.Volume),
    ("… velero", forklift.Velero),
    ("… command", forklift.DataCommand),
    ("steady_state (probes as in gameday files)", gameday.SteadyState),
    ("cutover", forklift.Cutover),
    ("cutover.traffic[], cutover.writer[]", forklift.Traffic),
    ("… command", forklift.TrafficCommand),
    ("… http", forklift.TrafficHttp),
    ("… annotation", forklift.Annotation),
    ("cutover.seen", forklift.Seen),
    ("overrides[]", forklift.Override),
    ("retire", forklift.Retire),
    ("objectives", forklift.Promises),
)


# The mappings of a schedule file.
_TIMES = (
    ("", timetable.Schedule),
    ("business_hours", timetable.Hours),
    ("freeze[]", timetable.Freeze),
    ("approval", gameday.Approval),
)


# The mappings of a herd file.
_HERDING = (
    ("", herd.Herd),
    ("clusters", herd.Clusters),
    ("clusters.list[]", herd.Listed),
    ("clusters.secrets", herd.Secrets),
    ("clusters.capi", herd.Capi),
    ("clusters.argo", herd.Argo),
    ("scenarios[]", herd.Scenario),
    ("waves[]", herd.Wave),
    ("kubernetes", herd.Kubernetes),
    ("kubernetes.resources", herd.Resources),
)


def herds() -> Iterator[str]:
    """Yield the page of herd files."""
    yield from _fields("Herd files", _HERDING)


def schedules() -> Iterator[str]:
    """Yield the page of schedule files."""
    yield from _fields("Schedule files", _TIMES)


def gamedays() -> Iterator[str]:
    """Yield the page of gameday files."""
    yield from _fields("Gameday files", _MAPPINGS)


def forklifts() -> Iterator[str]:
    """Yield the page of forklift files."""
    yield from _fields("Forklift files", _MOVING)


def _fields(title: str, mappings: Iterable[tuple[str, type[msgspec.Struct]]]) -> Iterator[str]:
    yield from (f"# {title}", "", _NOTE, "")
    yield "Durations are `90`, `90s`, `1m30s`, `500ms` or `90d`."
    yield "Unknown fields are errors: a misspelt limit is no limit."
    for place, kind in mappings:
        yield from ("", f"## {place or 'The file'}", "", inspect.getdoc(kind) or "", "")
        yield from ("| field | default |", "|---|---|")
        yield from _rows(
            *((f"`{f.encode_name}`", "required" if f.required else _default(f)) for f in msgspec.structs.fields(kind))
        )


def _default(field: Any) -> str:
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if isinstance(value, msgspec.Struct):
        return "as below"
    return f"`{msgspec.json.encode(value, enc_hook=float).decode()}`" if value not in (None, "", (), {}) else ""


def schema(kind: type[msgspec.Struct]) -> str:
    """Return the JSON Schema of a kind of file."""

    def hook(_: type) -> dict[str, object]:
        return {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": "^[0-9.dhms]+$"}]}

    found = msgspec.json.schema(kind, schema_hook=hook)
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **found}, indent=1) + "\n"


def _rows(*rows: Iterable[str]) -> Iterator[str]:
    for row in rows:
        yield "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) + " |"


def _page(lines: Callable[[], Iterator[str]]) -> Callable[[], str]:
    return lambda: "\n".join(lines()) + "\n"


_SCHEMAS = FOLDER.parents[1] / "dr" / "schemas"
PAGES: dict[Path, Callable[[], str]] = {
    FOLDER / "commands.md": _page(commands),
    FOLDER / "findings.md": _page(findings),
    FOLDER / "rules.md": _page(rules),
    FOLDER / "charts.md": _page(charts),
    FOLDER / "gameday.md": _page(gamedays),
    FOLDER / "forklift.md": _page(forklifts),
    FOLDER / "schedule.md": _page(schedules),
    FOLDER / "herd.md": _page(herds),
    _SCHEMAS / "gameday.schema.json": lambda: schema(gameday.Gameday),
    _SCHEMAS / "forklift.schema.json": lambda: schema(forklift.Forklift),
    _SCHEMAS / "herd.schema.json": lambda: schema(herd.Herd),
    _SCHEMAS / "schedule.schema.json": lambda: schema(timetable.Schedule),
}


def stale() -> list[str]:
    """Return the files that differ from what the code says."""
    return [path.name for path, page in PAGES.items() if _read(path) != page()]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def write() -> None:
    """Write every file."""
    FOLDER.mkdir(exist_ok=True)
    for path, page in PAGES.items():
        path.write_text(page(), encoding="utf-8")
        print(f"wrote {path.relative_to(FOLDER.parents[1])}")


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(f"not up to date: {', '.join(old)}; run make docs" if (old := stale()) else 0)
    write()
