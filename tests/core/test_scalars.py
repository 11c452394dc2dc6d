"""Scalars: the properties; what each spelling means is checked against kubectl in tests/adapters/test_manifests.py."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dr.core import scalars
from dr.core.scalars import Scalar, cast, key, resolve

numbers_almost = st.text("0123456789+-._eExXoObBaAfFinINF~yn:", max_size=24)


@settings(deadline=None)
@given(numbers_almost | st.text(max_size=20))
@example("9" * 309)
@example("9" * 100_000)
@example("0x" + "f" * 100_000)
@example("0." + "0" * 10_000 + "1")
@example("1e" + "9" * 10_000)
def test_every_scalar_is_a_value_that_json_and_the_cache_can_hold(text: str) -> None:
    value = resolve(text)
    assert isinstance(value, (str, int, float, bool)) or value is None
    if isinstance(value, int):
        assert -(2**63) <= value < 2**63
    if isinstance(value, float) and not math.isfinite(value):
        assert text in scalars.WORDS
    if isinstance(value, str):
        assert value == text


@settings(deadline=None)
@given(st.integers(-(2**63), 2**63 - 1))
def test_an_integer_is_the_same_in_every_base(number: int) -> None:
    sign, digits = ("-", -number) if number < 0 else ("", number)
    for text in (f"{number}", f"{sign}{digits:#x}", f"{sign}{digits:#o}", f"{sign}{digits:#b}", f"{sign}0{digits:o}"):
        assert resolve(text) == number


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_written_by_python_is_read_back_by_value(number: float) -> None:
    assert float(resolve(repr(number))) == number  # type: ignore[arg-type]


@settings(deadline=None)
@given(numbers_almost | st.text(max_size=20))
def test_a_key_is_text_or_refused(text: str) -> None:
    found = key(text)
    assert found is None or isinstance(found, str)
    if isinstance(resolve(text), str):
        assert found == text


@pytest.mark.parametrize(
    ("text", "tag", "value"),
    [
        ("12", "int", 12),
        ("yes", "bool", True),
        ("1", "float", 1),
        ("", "null", None),
        ("12", "str", "12"),
        ("12", "custom", "12"),
        ("aGk=", "binary", "hi"),
        ("4oI=", "binary", "\ufffd\ufffd"),
    ],
)
def test_an_explicit_tag_decides_what_a_scalar_is(text: str, tag: str, value: Scalar) -> None:
    assert cast(text, tag) == value


@pytest.mark.parametrize(
    ("text", "tag"),
    [("x", "int"), ("1.5", "int"), ("x", "float"), ("1", "bool"), ("0", "null"), ("a", "binary"), ("abcd=", "binary")],
)
def test_a_scalar_that_contradicts_its_tag_is_refused(text: str, tag: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        cast(text, tag)
