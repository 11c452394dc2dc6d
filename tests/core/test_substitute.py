"""Flux's variables are replaced as Flux replaces them."""

from __future__ import annotations

from typing import Any

import pytest

from dr.core.substitute import substitute

VARIABLES = {"n": "3", "name": "web", "empty": "", "flag": "true"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("${name}", "web"),
        ("${n}", 3),
        ("${flag}", True),
        ("x-${name}-${n}", "x-web-3"),
        ("${missing}", "${missing}"),
        ("${missing:=7}", 7),
        ("${missing:-a}b", "ab"),
        ("${missing-a}", "a"),
        ("${empty:=d}", "d"),
        ("${empty-d}x", "x"),
        ("${name:+yes}", True),
        ("${missing:+yes}", None),
        ("$${name}", "${name}"),
        ("$name", "$name"),
        ("plain", "plain"),
        (5, 5),
    ],
)
def test_each_form_of_a_variable_means_what_flux_means(value: Any, expected: Any) -> None:
    assert substitute({"spec": [value]}, VARIABLES) == {"spec": [expected]}


@pytest.mark.parametrize("where", ["annotations", "labels"])
def test_an_object_can_opt_out(where: str) -> None:
    body = {"metadata": {where: {"kustomize.toolkit.fluxcd.io/substitute": "disabled"}}, "data": {"a": "${name}"}}
    assert substitute(body, VARIABLES) == body
