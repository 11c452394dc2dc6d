"""dr.yaml: a team's own rules and what it provides; a wrong line says what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from dr.core.config import Config, parse
from dr.core.errors import ConfigError
from tests.core.build import codes, edges, graph

USER = """
apiVersion: acme.example/v1
kind: DatabaseUser
metadata: {name: web, namespace: shop}
spec:
  write:
  - host: {valueFrom: {key: {configMap: settings}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
"""


@pytest.mark.parametrize(
    "rule",
    [
        {"acme.example/v1 DatabaseUser": "spec.write[].host.valueFrom.key.configMap → ConfigMap"},
        {"acme.example/v1 DatabaseUser": "spec.write[].host.valueFrom.key.configMap -> ConfigMap"},
        {"DatabaseUser": "spec.write[].host.valueFrom.key.configMap → ConfigMap"},
        {
            "from": "acme.example/v1 DatabaseUser",
            "path": "spec.write[].host.valueFrom.key.configMap",
            "to": "ConfigMap",
            "strength": "exists",
        },
    ],
)
def test_a_rule_of_the_team_makes_its_edge(rule: dict[str, Any]) -> None:
    config = parse({"rules": [rule]}, "dr.yaml")
    found = edges(graph(USER, config))
    assert ("ConfigMap shop/settings", "DatabaseUser shop/web", "exists") in found
    assert ("ConfigMap shop/settings", "DatabaseUser shop/web", "exists") not in edges(graph(USER))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"rulez": []}, "rulez"),
        ({"rules": [{"a/v1 B": "no arrow"}]}, "is not a rule"),
        ({"rules": [{"a/v1 B": " → Secret"}]}, "is not a rule"),
        ({"rules": [{"from": "a/v1 B", "to": "Secret"}]}, "is not a rule"),
        ({"rules": [{"a/v1 B": "spec[x → Secret"}]}, "is not a rule"),
        ({"provided": "Secret/x"}, "array"),
        ([1], "object"),
    ],
)
def test_a_wrong_line_of_dr_yaml_is_named(body: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        parse(body, "repo!dr.yaml")
    assert caught.value.cause.startswith("repo!dr.yaml")
    assert caught.value.exit_code == 2


def test_an_empty_file_is_an_empty_configuration() -> None:
    assert parse(None, "dr.yaml") == Config()


POD = """
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: default}
spec: {containers: [{name: c, envFrom: [{secretRef: {name: outside}}]}]}
"""


@pytest.mark.parametrize("provided", ["Secret/outside", "Secret/default/outside", "Secret/*"])
def test_what_the_team_provides_is_no_finding(provided: str) -> None:
    assert "missing-reference" in codes(graph(POD))
    done = graph(POD, Config(provided=(provided,)))
    assert "missing-reference" not in codes(done)
    assert not [p for p in done.prerequisites if p.kind == "object"]


def test_a_finding_that_the_team_ignores_is_left_out() -> None:
    assert "missing-reference" not in codes(graph(POD, Config(ignore=("missing-reference",))))
