"""The hash chain of a log: whatever is done to the lines, it shows, and at the right line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.core.chained import FIRST, chained, check, digest, head
from dr.core.events import Entered, Mark, Marked, Phase, decode, encode


def log(count: int = 6) -> list[bytes]:
    lines: list[bytes] = []
    prev = FIRST
    for number in range(count):
        event = Entered(float(number), Phase.RESTORE) if number % 2 else Marked(float(number), Mark.DETECTED, "probe ü")
        lines.append(chained(encode(event), prev))
        prev = digest(lines[-1])
    return lines


def test_a_log_as_it_was_written_has_no_fault() -> None:
    lines = log()
    assert check(lines, head(lines)) == ()
    assert check([]) == ()
    assert check(lines[:1], head(lines[:1])) == ()


def test_a_chained_line_is_the_same_event_with_its_hash_last() -> None:
    line = log(2)[1]
    assert list(json.loads(line)) == ["event", "at", "phase", "prev"]
    assert list(decode([line])) == [Entered(1.0, Phase.RESTORE)]


@pytest.mark.parametrize("line", [b"", b"{}\n", b"[1]\n", b'{"a":1}', b"text\n"])
def test_what_is_no_line_of_a_log_is_not_chained(line: bytes) -> None:
    with pytest.raises(ValueError, match="JSON object"):
        chained(line, FIRST)


@given(count=st.integers(1, 9), data=st.data())
def test_a_single_changed_byte_is_found(count: int, data: st.DataObject) -> None:
    lines = log(count)
    kept = head(lines)
    number = data.draw(st.integers(0, count - 1))
    place = data.draw(st.integers(0, len(lines[number]) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != lines[number][place]))
    lines[number] = lines[number][:place] + bytes([byte]) + lines[number][place + 1 :]
    assert check(b"".join(lines).splitlines(keepends=True), kept)
    assert check(lines, kept)


@given(count=st.integers(2, 9), data=st.data())
def test_a_removed_line_is_found(count: int, data: st.DataObject) -> None:
    lines = log(count)
    kept = head(lines)
    del lines[data.draw(st.integers(0, count - 1))]
    assert check(lines, kept)


@given(count=st.integers(2, 9), data=st.data())
def test_lines_in_another_order_are_found(count: int, data: st.DataObject) -> None:
    lines = log(count)
    moved = data.draw(st.permutations(lines).filter(lambda found: found != lines))
    assert check(moved, head(lines))


@given(count=st.integers(1, 9), data=st.data())
def test_an_inserted_line_is_found_also_when_it_follows_from_the_one_before(count: int, data: st.DataObject) -> None:
    lines = log(count)
    place = data.draw(st.integers(0, count))
    forged = chained(encode(Entered(0.5, Phase.HOLD)), digest(lines[place - 1]) if place else FIRST)
    faults = check([*lines[:place], forged, *lines[place:]], head(lines))
    assert [fault.number for fault in faults] == [place + 1]


@given(count=st.integers(2, 9), data=st.data())
def test_a_cut_off_end_is_found_by_the_head_that_was_kept(count: int, data: st.DataObject) -> None:
    lines = log(count)
    assert check(lines[: data.draw(st.integers(0, count - 1))], head(lines))


def test_a_changed_figure_is_named_by_its_line_and_costs_one_fault() -> None:
    lines = log()
    lines[2] = lines[2].replace(b'"at":2.0', b'"at":1.0')
    assert [fault.number for fault in check(lines, head(lines))] == [3]


def test_a_log_without_hashes_is_one_fault_and_not_one_a_line() -> None:
    faults = check([encode(Entered(float(n), Phase.HOLD)) for n in range(50)])
    assert [fault.number for fault in faults] == [0]


def test_a_half_written_last_line_is_named() -> None:
    lines = log()
    faults = check([*lines, b'{"event":"left","at":9'], head(lines))
    assert [(fault.number, "cut off" in fault.cause) for fault in faults] == [(7, True)]
