"""A refusal of a Secret says where and why, and never what the Secret holds."""

from __future__ import annotations

from typing import Any

import pytest

from dr.core.errors import ApiError
from dr.core.withheld import without_values

SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "x", "namespace": "shop"},
    "stringData": {"pin": 1234, "other": "hunter2"},
    "data": {"key": "hunter2!"},
}


def said(cause: str, body: dict[str, Any] = SECRET, **more: Any) -> ApiError:
    return without_values(ApiError(cause, **more), body)


@pytest.mark.parametrize(
    ("cause", "reason", "kept"),
    [
        (
            "failed to create typed patch object: .stringData.pin: got &value.valueUnstructured{Value:1234}",
            "",
            [".stringData.pin", "HTTP status 500"],
        ),
        ('Secret "x" is invalid: data[key]: Invalid value: "hunter2"', "Invalid", [".data.key", "Invalid"]),
        ("failed to create typed patch object (shop/x): .stringData: expected map, got &{hunter2}", "", []),
        ('admission webhook "vet.example" denied the request: hunter2 is weak', "Forbidden", ["vet.example"]),
        ('admission webhook "vet.example" denied the request: no hunter2 was found', "NotFound", ["vet.example"]),
        ("secrets \"x\" is forbidden: ValidatingAdmissionPolicy 'p' denied request: hunter2", "Forbidden", []),
        ('Internal error occurred: failed calling webhook "vet.example": got "hunter2"', "InternalError", []),
    ],
)
def test_a_secrets_value_is_not_in_what_its_refusal_says(cause: str, reason: str, kept: list[str]) -> None:
    error = said(cause, status=500, reason=reason)
    assert "hunter2" not in error.cause
    assert "1234" not in error.cause
    assert all(part in error.cause for part in kept)
    assert (error.status, error.reason) == (500, reason)


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        ('namespaces "shop" not found', "NotFound"),
        ('secrets "x" is forbidden: User "u" cannot patch resource "secrets" in API group ""', "Forbidden"),
        ("https://a cannot be reached: Connection refused", "Unreachable"),
    ],
)
def test_what_names_no_value_is_said_as_it_is(cause: str, reason: str) -> None:
    assert said(cause, reason=reason).cause == cause


def test_other_kinds_are_told_in_the_servers_own_words() -> None:
    cause = 'Deployment "x" is invalid: spec.replicas: Invalid value: -1'
    for api_version, kind in (("apps/v1", "Deployment"), ("x.example/v1", "Secret")):
        assert said(cause, {**SECRET, "apiVersion": api_version, "kind": kind}, reason="Invalid").cause == cause
