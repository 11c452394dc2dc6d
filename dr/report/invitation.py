"""A gameday file as `dr gameday init` writes it: every field that a first exercise needs, with its reason beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from dr.core.chaos import Extension

_CANARY = "dr-canary"


def written(answers: Mapping[str, str], says: Extension | None) -> str:
    """Return the file for these answers (`app/invitation.py` has the questions) and what the experiment says.

    `repo` is a location as the file will name it, `rev` its revision.
    """
    return "\n".join(_lines(answers, says)) + "\n"


def _q(text: str) -> str:
    """Return text as a YAML scalar: JSON's are."""
    return msgspec.json.encode(text).decode()


def _lines(answers: Mapping[str, str], says: Extension | None) -> Iterator[str]:
    yield "# A gameday of dr; its fields: docs/reference/gameday.md. Try it first with --dry-run."
    yield f"title: {_q(answers['title'])}"
    yield f"scenario: {_q(says.scenario if says else 'exercise')}  # the history asks: when did this last pass?"
    yield from _target(answers)
    if answers.get("repo"):
        said = {"url": answers["repo"], "rev": answers.get("rev", ""), "env": answers.get("env", "")}
        yield "repo: {" + ", ".join(f"{name}: {_q(value)}" for name, value in said.items() if value) + "}"
    yield "steady_state:  # what works before the fault, and counts as recovered after it"
    yield "  every: 500ms"
    yield "  consecutive: 3  # so many passes in a row …"
    yield "  hold: 5s        # … held for so long"
    yield "  probes:"
    for probe in _probes(answers, says):
        yield f"    - {msgspec.json.encode(probe).decode()}"
    yield f"fault: {{experiment: {_q(answers['experiment'])}}}"
    yield f"recovery: {{by: {_q(answers['recovery'])}, timeout: 10m}}"
    promised = ", ".join(f"{name}: {_q(answers[name])}" for name in ("rto", "rpo") if answers.get(name))
    yield f"objectives: {{{promised}}}"
    yield "abort:"
    yield "  - {after: 30m}  # whatever happens, it ends then and cleans up"
    limits = msgspec.to_builtins(says.limits) if says else {}
    yield f"blast_radius: {msgspec.json.encode(limits).decode()}  # the fault refuses to strike more"
    if answers.get("owner"):
        yield f"roles: {{lead: {_q(answers['owner'])}}}"


def _target(answers: Mapping[str, str]) -> Iterator[str]:
    if answers["target"] == "create":
        yield "target: {create: {nodes: 3}}  # a throw-away cluster, with the repo restored into it first"
    else:
        yield f"target: {{context: {_q(answers['target'])}, lock: {_q(answers.get('lock', ''))}}}"


def _probes(answers: Mapping[str, str], says: Extension | None) -> Iterator[Mapping[str, object]]:
    if answers.get("probe"):
        yield {"name": f"{answers['probe']} answers", "kubernetes": {"service": answers["probe"]}}
    elif says:
        for probe in says.steady_state.probes:
            yield {"name": probe.name, probe.kind: _short(getattr(probe, probe.kind))}
    if answers.get("rpo"):
        yield {"name": "data", "canary": {"config_map": f"default/{_CANARY}"}}


def _short(asked: object) -> dict[str, object]:
    """Return a probe's question without what it leaves open."""
    return {name: value for name, value in msgspec.to_builtins(asked).items() if value not in ("", None, [])}
