"""A gameday file is read whole or not at all, and everything that is wrong with it is said by its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dr.adapters.manifests import parse as parse_yaml
from dr.app.promises import check
from dr.core.errors import ConfigError
from dr.core.events import PlannedStep
from dr.core.gameday import Gameday, duration, parse, planned, promised
from dr.core.model import Ref
from dr.core.work import Assignment

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "dr" / "schemas" / "gameday.schema.json").read_text())
GOOD = """\
title: The web pods are gone
target: {context: staging, lock: 7e2c/0af1}
steady_state:
  every: 250ms
  probes:
    - {name: web, kubernetes: {service: shop/web}}
    - {name: data, canary: {config_map: default/dr-canary}, every: 1s}
fault: {experiment: pod-kill, with: {namespace: shop}}
objectives:
  rto: 1m30s
  rpo: 5
  units: {shop: 60}
  tiers: {critical: {units: [shop, pay], rto: 45s}}
blast_radius: {namespaces: [shop]}
repo: {url: .}
recovery: {by: restore}
"""


def read(text: str) -> tuple[Gameday | None, list[str]]:
    found, wrong = parse(parse_yaml(text.encode()).documents[0], "day.yaml")
    return found, [f"{d.where}: {d.subject}: {d.cause}" for d in wrong]


def test_a_gameday_file_says_what_is_probed_and_promised() -> None:
    found, wrong = read(GOOD)
    assert not wrong
    assert found
    assert [(p.name, p.kind, p.every, p.canary) for p in planned(found.steady_state)] == [
        ("web", "kubernetes", 0.25, False),
        ("data", "canary", 1.0, True),
    ]
    assert [(o.kind, o.subject, o.seconds, o.units) for o in promised(found.objectives)] == [
        ("rto", "", 90.0, ()),
        ("rpo", "", 5.0, ()),
        ("rto", "critical", 45.0, ("shop", "pay")),
        ("rto", "shop", 60.0, ("shop",)),
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("title: The web pods are gone\n", "", "day.yaml: day.yaml: `title` is missing"),
        ("every: 250ms", "every: often", "day.yaml:4: steady_state.every: 'often' is no duration"),
        ("objectives:", "objectivs:", "day.yaml:9: objectivs: there is no field `objectivs`"),
        (", lock: 7e2c/0af1", "", "day.yaml:2: target: `lock` is missing: `dr lock staging` prints it"),
        (
            "context: staging, lock: 7e2c/0af1",
            "",
            "day.yaml:2: target: name either `context` (with its `lock`) or `create`",
        ),
        ("namespaces: [shop]", "namespaces: ['*']", "day.yaml:14: blast_radius.namespaces: may not hold patterns"),
        ("kubernetes: {service: shop/web}", "", "day.yaml:5: steady_state.probes: each probe must be exactly one of"),
        ("name: data", "name: web", "day.yaml:5: steady_state.probes: more than one probe is called web"),
        ("rpo: 5", "rpo: [5]", "day.yaml:11: objectives.rpo: [5] is no duration"),
        (
            "canary: {config_map: default/dr-canary}",
            "tcp: {host: db, port: 5432}",
            "day.yaml:11: objectives.rpo: no probe is a `canary`, so nobody counts what is lost",
        ),
        (
            "by: restore",
            "by: observe",
            "day.yaml:12: objectives.units.shop: only a restore from git tells when a unit is back",
        ),
        (
            "by: restore",
            "by: snapshot",
            "day.yaml:13: objectives.tiers.critical: only a restore from git tells when a unit is back",
        ),
        ("units: [shop, pay]", "units: []", "day.yaml:13: objectives.tiers.critical: names no `units`"),
        ("title:", "follow_up: []\ntitle:", "day.yaml:1: follow_up: there is no field `follow_up`"),
    ],
)
def test_each_mistake_is_named_by_its_line_and_what_to_write(old: str, new: str, said: str) -> None:
    assert old in GOOD
    found, wrong = read(GOOD.replace(old, new))
    assert found is None
    assert any(cause.startswith(said) for cause in wrong), wrong


PROBE = "kubernetes: {service: shop/web}"


@pytest.mark.parametrize(
    ("probe", "field", "said"),
    [
        ("kubernetes: {}", "kubernetes", "must be exactly one of service, workload, ready, exists"),
        ("kubernetes: {service: a/b, exists: Pod/a/b}", "kubernetes", "must be exactly one of"),
        ("kubernetes: {service: shop}", "kubernetes.service", "shop is not written as namespace/name"),
        ("kubernetes: {service: shop/}", "kubernetes.service", "is not written as namespace/name"),
        ("kubernetes: {workload: web}", "kubernetes.workload", "web is not written as Kind/namespace/name"),
        ("kubernetes: {workload: Job/a/b}", "kubernetes.workload", "say its `api_version`"),
        ("kubernetes: {ready: web}", "kubernetes.ready", "is not written as Kind/namespace/name"),
        ("kubernetes: {exists: a/b/c/d}", "kubernetes.exists", "is not written as Kind/namespace/name"),
        ("http: {url: web}", "http.url", "write http://HOST/"),
        ("http: {url: 'http://me:hunter2@host:port/'}", "http.url", "write http://HOST/"),
        ("http: {url: 'http://web:65536/'}", "http.url", "write http://HOST/"),
        ("http: {url: 'ftp://web/'}", "http.url", "write http://HOST/"),
        ("http: {url: 'http:///healthz'}", "http.url", "write http://HOST/"),
        ("http: {url: 'http://web', status: 20}", "http.status", "20 is no status"),
        ("tcp: {host: web, port: 99999}", "tcp.port", "99999 is no port"),
        ("tcp: {host: '', port: 1}", "tcp.host", "is no host"),
        ("tcp: {host: 'tcp://web', port: 1}", "tcp.host", "without scheme"),
        ("command: {argv: []}", "command.argv", "names no program"),
        ("command: {argv: ['']}", "command.argv", "names no program"),
        ("prometheus: {url: web, query: up}", "prometheus.url", "write http://HOST/"),
        ("prometheus: {url: 'http://web', query: ' '}", "prometheus.query", "is empty"),
        ("prometheus: {url: 'http://web', query: up, least: 2, most: 1}", "prometheus.least", "no sample lies between"),
        ("canary: {}", "canary", "either `config_map`, or both"),
        ("canary: {config_map: dr-canary}", "canary.config_map", "is not written as namespace/name"),
        ("canary: {config_map: a/b, read: [x]}", "canary", "either `config_map`, or both"),
        ("canary: {write: [x, '{n}']}", "canary", "`read` names no program"),
        ("canary: {write: [x], read: [z]}", "canary.write", "has no {n}"),
        ("kubernetes: {service: shop/web}, every: 0s", "every", "must be more than 0"),
    ],
)
def test_a_probe_that_nobody_could_answer_is_named_before_anybody_waits_for_it(
    probe: str, field: str, said: str
) -> None:
    found, wrong = read(GOOD.replace(PROBE, probe))
    assert found is None
    (cause,) = wrong
    assert cause.startswith(f"day.yaml:6: steady_state.probes.0.{field}: "), cause
    assert said in cause
    assert "hunter2" not in cause


@pytest.mark.parametrize(
    "probe",
    [
        "kubernetes: {exists: Namespace/shop}",
        "kubernetes: {ready: Database/data/ledger, api_version: db.example/v1}",
        "kubernetes: {workload: Rollout/shop/web, api_version: argoproj.io/v1alpha1}",
        "http: {url: 'https://[::1]:8443/healthz?full=1', status: 401}",
        "http: {url: 'http://me:hunter2@web.shop:80?a b=c:d@e'}",
        "tcp: {host: '::1', port: 65535}",
        "command: {argv: [psql, -c, select 1], contains: ''}",
        "prometheus: {url: 'http://prometheus:9090/prom', query: up, least: 1, most: 1}",
        "canary: {write: [sh, -c, 'echo {n} > x'], read: [cat, x]}",
    ],
)
def test_a_probe_that_can_be_answered_is_taken(probe: str) -> None:
    assert read(GOOD.replace(PROBE, probe))[1] == []


def test_all_mistakes_are_said_at_once() -> None:
    _, wrong = read(GOOD.replace("every: 250ms", "every: often").replace("rpo: 5", "rpo: x").replace("title", "titel"))
    assert len(wrong) == 4


@pytest.mark.parametrize(
    ("told", "field"),
    [
        ("slack: https://hooks.example/services/T0/B0/s3cr3t", "slack"),
        ("webhook: https://dr:s3cr3t@ops.example/dr", "webhook"),
        ("webhook: 'https://ops.example/dr?token=s3cr3t'", "webhook"),
    ],
)
def test_a_secret_that_is_written_out_is_refused_and_not_repeated(told: str, field: str) -> None:
    found, (wrong,) = read(f"{GOOD}notifications:\n  - {{webhook: 'https://a.example/@us'}}\n  - {{{told}}}\n")
    assert found is None
    assert wrong.startswith(f"day.yaml:{GOOD.count(chr(10)) + 3}: notifications.1.{field}: ")
    assert "{env: NAME}" in wrong
    assert "s3cr3t" not in wrong


def test_a_secret_that_is_referred_to_is_taken() -> None:
    found, wrong = read(f"{GOOD}notifications:\n  - slack: {{env: HOOK}}\n  - webhook: {{file: hook}}\n")
    assert (found is None, wrong) == (False, [])


def test_a_restore_without_a_repo_is_refused_before_anything_is_broken() -> None:
    _, wrong = read(GOOD.replace("repo: {url: .}\n", ""))
    assert wrong == ["day.yaml: day.yaml: `repo` is missing: a restore from git needs it"]


def test_a_misspelt_unit_is_named_by_its_line_and_not_missed_after_the_exercise(tmp_path: Path) -> None:
    file = tmp_path / "day.yaml"
    file.write_text(GOOD)
    found, _ = read(GOOD)
    assert found
    steps = tuple(PlannedStep(Ref("v1", "Namespace", "", name), name) for name in ("shops", "pay"))
    with pytest.raises(ConfigError) as caught:
        check(found, file, Assignment(steps, ()))
    assert caught.value.cause.splitlines()[1:] == [
        f"    {file}:12: the restore has no unit shop; it has shops",
        f"    {file}:13: the restore has no unit shop; it has shops",
    ]
    renamed = replace(found, objectives=replace(found.objectives, units={}, tiers={}))
    check(renamed, file, Assignment(steps, ()))


def test_the_schema_that_is_shipped_takes_what_is_good_and_refuses_a_misspelt_limit() -> None:
    body: dict[str, Any] = parse_yaml(GOOD.encode()).documents[0].body
    jsonschema.validate(body, SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**body, "blast_radius": {"namespace": ["shop"]}}, SCHEMA)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda c: st.lists(c) | st.dictionaries(st.text(), c),
    )
)
def test_whatever_a_file_holds_it_gives_errors_and_no_traceback(value: Any) -> None:
    for body in (value, {"title": value, "target": value, "fault": value, "steady_state": value}):
        for document in parse_yaml(json.dumps(body).encode()).documents:
            found, wrong = parse(document, "day.yaml")
            assert (found is None) == bool(wrong)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [(90, 90), ("75", 75), ("90s", 90), ("1m30s", 90), ("2h", 7200), ("90d", 7_776_000), ("500ms", 0.5), (0.25, 0.25)],
)
def test_durations_are_read_as_people_write_them(said: object, seconds: float) -> None:
    assert duration(said) == seconds


@pytest.mark.parametrize("said", ["", "soon", "-1", -2, True, None, "1w", float("nan"), float("inf")])
def test_what_is_no_duration_is_refused(said: object) -> None:
    with pytest.raises(ValueError, match="no duration"):
        duration(said)
