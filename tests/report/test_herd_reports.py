"""A herd's report: how it stands for people, and nothing in it that a cluster's name could smuggle in."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from dr.core.herd import Herded, Member
from dr.report.herd_html import html
from dr.report.herd_markdown import markdown
from dr.report.herd_text import lines_of
from tests.report.test_drawings import golden

NASTY = '<script>alert(1)</script>"><img src=x onerror=alert(2)> [a](javascript:x) @team'


def member(name: str, state: str, rta: float | None = None, cause: str = "", wave: int = 1) -> Member:
    region = "us" if state == "missed" else "eu"
    return Member(
        cluster=name,
        scenario="pod-kill",
        wave=wave,
        state=state,
        rta=rta,
        cause=cause,
        attempts=1,
        labels={"region": region},
    )


MEMBERS = (
    member("eu-0", "met", 2.0, wave=0),
    *(member(f"eu-{n}", "met", 2.0 + n / 10) for n in range(1, 9)),
    member("eu-9", "met", 40.0),
    *(member(f"us-{n}", "missed", 75.0, "RTO 60 s: 75 s") for n in range(4)),
    member("ap-1", "failed", cause="no route to host"),
    member("ap-2", "skipped", cause="not tried: the budget was spent"),
)
HERD = Herded(
    herd="pods",
    run="2026-11-23-120000-herd-pods",
    time="2026-11-23T12:00:00+00:00",
    title="Every cluster survives a lost pod",
    waves=(("eu-0",), tuple(m.cluster for m in MEMBERS[1:])),
    budget=3,
    spent=5,
    verdict="stopped",
    members=MEMBERS,
    commands=("pod-kill",),
)


def test_a_herd_is_told_in_the_terminal_as_a_table_and_as_a_page() -> None:
    text = "\n".join("".join(part for part, _ in line) for line in lines_of(HERD)) + "\n"
    for name, content in {
        "herd.txt": text,
        "herd.md": markdown(HERD).decode(),
        "herd.html": html(HERD).decode(),
    }.items():
        assert content == golden(name, content)


@pytest.mark.parametrize("make", [html, markdown], ids=["html", "markdown"])
def test_what_a_cluster_is_called_or_says_is_never_markup(make: Callable[[Herded], bytes]) -> None:
    nasty = replace(
        HERD,
        title=NASTY,
        herd=NASTY,
        members=tuple(replace(m, cluster=NASTY + m.cluster, cause=NASTY, labels={"a": NASTY}) for m in MEMBERS),
        waves=((NASTY,), (NASTY,)),
        commands=(NASTY,),
    )
    page = make(nasty).decode()
    assert not re.search(r"(?<!\\)<(script>alert|img)", page)
    assert make is html or not re.search(r"(?<!\\)\[a\]", page)


def test_the_page_of_a_herd_needs_nothing_from_elsewhere() -> None:
    page = html(HERD).decode()
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
