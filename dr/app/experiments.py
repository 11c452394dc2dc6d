"""Answers `dr chaos`: the experiments there are, what each strikes, and whether it is sound."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

import dr
from dr.adapters.git import parse_spec
from dr.adapters.manifests import parse
from dr.app.answer import Answer
from dr.core.chaos import Extension, configuration, extension
from dr.core.errors import ConfigError, DrError, NotFound, UsageError
from dr.core.experiment_file import misshapen
from dr.core.gameday import Create, RepoSource, TargetSpec
from dr.core.redact import showable
from dr.report.console import Line, line, many
from dr.report.data import encode

_SECONDS = 60.0
_VALIDATE = ("-m", "chaostoolkit", "--no-version-check", "--no-log-file", "validate")


class Found(Struct, frozen=True):
    """An experiment: its file, its body, and what it says to `dr` with the settings filled in."""

    file: Path
    body: Mapping[str, Any]
    settings: Mapping[str, Any]
    says: Extension | None

    @property
    def title(self) -> str:
        """Its title, in a line."""
        return " ".join(str(self.body.get("title", self.file.stem)).split())

    @property
    def radius(self) -> str:
        """What it strikes, in words."""
        return self.says.blast_radius if self.says else self.title


def folder() -> Path:
    """Return where the experiments are that come with dr."""
    package = Path(dr.__file__).parent
    shipped = package / "experiments"
    return shipped if shipped.is_dir() else package.parent / "experiments"


def load(name: str, given: Mapping[str, Any], beside: Path | None = None) -> Found:
    """Return an experiment by its file (relative to `beside` too) or the name of one of ours; raises NotFound."""
    places = [Path(name), *([beside / name] if beside else []), folder() / f"{name}.yaml", folder() / name]
    file = next((place for place in places if _there(place)), None)
    if file is None:
        there = ", ".join(sorted(path.stem for path in folder().glob("*.yaml")))
        raise NotFound(f'there is no experiment "{name}"', f"give a file, or one of {there}")
    body = _body(file)
    unknown = sorted(set(given) - set(body.get("configuration") or {}))
    if unknown:
        known = ", ".join(sorted(body.get("configuration") or {})) or "none"
        raise UsageError(f"{file}: it has no setting {', '.join(unknown)}", f"it has {known}")
    return Found(file, body, configuration(body, given), extension(body, given, str(file)))


def _there(place: Path) -> bool:
    try:
        return place.is_file()
    except OSError:  # a name that is too long, a folder that may not be entered
        return False


def _body(file: Path) -> dict[str, Any]:
    """Return what an experiment's file holds; raises ConfigError with all that is wrong, by line."""
    try:
        parsed = parse(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}", "give a file that can be read") from None
    document = parsed.documents[0] if parsed.documents else None
    wrong = [(problem.line, problem.cause) for problem in parsed.problems] or list(misshapen(document))
    if wrong or document is None:
        said = (f"{file}:{line or 1}: {cause}" for line, cause in wrong)
        raise ConfigError("\n    ".join(said), "correct the file; see docs/concepts/experiments.md")
    body: dict[str, Any] = document.body
    return body


def settings(given: Sequence[str]) -> dict[str, Any]:
    """Return NAME=VALUE settings, values read as YAML reads them; raises UsageError."""
    found: dict[str, Any] = {}
    for entry in given:
        name, equals, value = entry.partition("=")
        if not (name and equals):
            raise UsageError(f'"{entry}" sets nothing', "write NAME=VALUE")
        read = parse(value.encode()).documents
        found[name] = read[0].body if read and not isinstance(read[0].body, dict | list) else value
    return found


def asked(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `gamedays.run_experiment` from those of `dr chaos run`; raises UsageError."""
    to, embedded, lock = (arguments.pop(name) for name in ("to", "embedded", "lock"))
    if bool(to) == embedded:
        raise UsageError("what is to be struck is not said", "give --to TARGET, or --embedded for a throw-away cluster")
    repo = parse_spec(arguments.pop("repo"), lambda place: Path(place).exists())
    env = arguments.pop("env")
    objectives = {name: arguments.pop(name) for name in ("rto", "rpo", "timeout")}
    return {
        **arguments,
        "given": settings(arguments["given"]),
        "spec": TargetSpec(create=Create(restore=bool(repo.location))) if embedded else TargetSpec(to, lock),
        "objectives": {name: value for name, value in objectives.items() if value is not None},
        "repo": RepoSource(repo.location, repo.rev, env) if repo.location else None,
    }


def listing(form: str) -> Answer:
    """Answer `dr chaos list`."""
    found = [load(str(path), {}) for path in sorted(folder().glob("*.yaml"))]
    if form == "json":
        rows = [
            {"name": f.file.stem, "title": f.title, "blast_radius": f.says.blast_radius if f.says else ""}
            for f in found
        ]
        return Answer(content=encode({"schema": 1, "experiments": rows}))
    width = max((len(f.file.stem) for f in found), default=0)
    return Answer(tuple(line((f"{f.file.stem:{width}}", "bold"), f"  {f.radius}") for f in found))


def described(name: str, given: Mapping[str, Any], form: str) -> Answer:
    """Answer `dr chaos describe`."""
    found = load(name, given)
    says, values = found.says, showable(found.settings, given)
    if form == "json":
        content = {"schema": 1, "file": str(found.file), "title": found.title, "settings": values}
        # A duration is a number of seconds.
        return Answer(content=encode({**content, "dr": msgspec.to_builtins(says, enc_hook=float)}))
    shown: list[Line] = [line((found.title, "bold")), line(" ".join(str(found.body.get("description", "")).split()))]
    if says:
        rows = (
            ("learned from", says.incident),
            ("blast radius", says.blast_radius),
            ("undone by", says.undo),
            ("recovery", says.recovery.by),
            ("probes", ", ".join(f"{probe.name} ({probe.what})" for probe in says.steady_state.probes)),
            ("needs", "an embedded cluster" if says.embedded_only else ""),
        )
        shown += [line((f"{label:13}", "dim"), text) for label, text in rows if text]
    shown += [line((f"{'setting':13}", "dim"), f"{key} = {value}") for key, value in sorted(values.items())]
    shown.append(line((f"{'run it':13}", "dim"), f"dr chaos run {found.file.stem} --to TARGET"))
    shown.append(line((f"{'or':13}", "dim"), f"KUBERNETES_CONTEXT=… DR_LOCK=… chaos run {found.file}"))
    return Answer(tuple(shown))


def validated(names: tuple[str, ...], form: str) -> Answer:
    """Answer `dr chaos validate`: our own reading of each experiment, then that of Chaos Toolkit."""
    wrong: dict[str, str] = {}
    chosen = names or tuple(str(path) for path in sorted(folder().glob("*.yaml")))
    for name in chosen:
        try:
            found = load(name, {})
        except DrError as error:
            wrong[name] = error.cause
            continue
        argv = [sys.executable, *_VALIDATE, str(found.file)]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False)  # noqa: S603
        except subprocess.TimeoutExpired:
            wrong[name] = f"{found.file}: Chaos Toolkit has not validated it within {_SECONDS:g} s"
            continue
        if done.returncode:
            said = [text for text in (done.stdout + done.stderr).splitlines() if "ERROR" in text or "Error" in text]
            wrong[name] = "; ".join(said[-3:]) or f"chaos validate ended with {done.returncode}"
    code = 1 if wrong else 0
    if form == "json":
        return Answer(content=encode({"schema": 1, "experiments": list(chosen), "wrong": wrong}), exit_code=code)
    shown = [line(("✗ ", "red"), f"{name}: {cause}") for name, cause in wrong.items()]
    return Answer(
        (*shown, line(f"{many(len(chosen) - len(wrong), 'experiment')} of {len(chosen)} sound")), exit_code=code
    )
