"""What a ConfigMap keeps of a herd leads back to that herd's Jobs, or is refused: others may have written it."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from dr.app import herd_kept, herds
from dr.cli import main
from dr.core.errors import ConfigError
from dr.core.herding import Board, Plan, short
from dr.core.model import Body
from tests.core.test_herd import HOME, plan

RUN = "2026-11-23-120000-herd-n"
NAME = short(RUN, "n")
MADE = replace(plan(["a", "b"], kubernetes=HOME), run=RUN)
BEGUN = Board(MADE).herded()
Content = dict[str, str]


def content(made: Plan = MADE, begun: Any = BEGUN) -> Content:
    return {"plan.json": herd_kept.packed(made), "herd.json": herd_kept.packed(begun)}


def bent(what: str) -> Content:
    """Return what is sound base64 and gzip with a byte of the stream that is not."""
    whole = bytearray(base64.b64decode(content()[what]))
    whole[len(whole) // 2] ^= 0xFF
    return {**content(), what: base64.b64encode(bytes(whole)).decode()}


BOMB = base64.b64encode(gzip.compress(b" " * (65 << 20))).decode()
WITHOUT = replace(MADE, herd=replace(MADE.herd, kubernetes=None))
ELSEWHERE = replace(MADE, run="../../elsewhere")
CHANGED: dict[str, tuple[Callable[[], tuple[str, Content]], str]] = {
    "a stream that is bent": (lambda: (NAME, bent("plan.json")), "no plan"),
    "a result that is bent": (lambda: (NAME, bent("herd.json")), "no herded"),
    "no base64": (lambda: (NAME, {"plan.json": "§"}), "no plan"),
    "nothing": (lambda: (NAME, {}), "no plan"),
    "no text": (lambda: (NAME, {"plan.json": base64.b64encode(gzip.compress(b'{"run": "\xff"}')).decode()}), "no plan"),
    "more than fits": (lambda: (NAME, {"plan.json": BOMB}), "no plan"),
    "processes of this machine": (lambda: (NAME, content(WITHOUT)), "no `kubernetes`"),
    "a way out of the reports": (lambda: (short(ELSEWHERE.run, "n"), content(ELSEWHERE)), "no plain name"),
    "another herd's": (lambda: ("herd-other-12345678", content()), f"it is that of {NAME}"),
    "members of another": (lambda: (NAME, content(begun=replace(BEGUN, members=BEGUN.members[:1]))), "other members"),
    "a member twice": (
        lambda: (NAME, content(replace(MADE, rounds=(replace(MADE.rounds[0], members=(0, 0)),)))),
        "rounds are not those",
    ),
    "a wave that there is not": (
        lambda: (NAME, content(replace(MADE, rounds=(replace(MADE.rounds[0], wave=7),)))),
        "no members, scenario or wave",
    ),
}


def asked(monkeypatch: pytest.MonkeyPatch, reports: Path, name: str, kept: Content) -> tuple[int, str]:
    """Lead the herd of a ConfigMap with that content."""

    class Management:
        def __init__(self, _: object) -> None: ...

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_: object) -> None: ...

        async def get(self, _: object) -> Body:
            return {"binaryData": kept}

    monkeypatch.setattr(herds, "Kube", Management)
    monkeypatch.setattr(herds, "target", lambda to: to)
    found = CliRunner().invoke(main, ["herd", "lead", f"herds/{name}", "--to", "home", "--reports", str(reports)])
    return found.exit_code, found.output


@pytest.mark.parametrize(("make", "said"), CHANGED.values(), ids=CHANGED)
def test_a_config_map_that_somebody_changed_is_refused_with_its_cause_and_does_nothing_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[], tuple[str, Content]], said: str
) -> None:
    code, output = asked(monkeypatch, tmp_path / "reports", *make())
    assert (code, "Traceback" in output) == (2, False), output
    assert said in " ".join(output.split()), output
    assert "run" in output
    assert not list(tmp_path.rglob("*"))


def test_what_is_sound_is_taken_as_it_is_and_of_another_namespace_is_not() -> None:
    assert herd_kept.of_config_map(content(), "herds", NAME) == (MADE, BEGUN)
    with pytest.raises(ConfigError, match="another namespace"):
        herd_kept.of_config_map(content(), "elsewhere", NAME)


def test_a_folder_whose_plan_somebody_changed_is_refused(tmp_path: Path) -> None:
    (tmp_path / RUN).mkdir()
    (tmp_path / RUN / "plan.json").write_bytes(herd_kept.encoded(replace(MADE, rounds=())))
    found = CliRunner().invoke(main, ["herd", "lead", RUN, "--reports", str(tmp_path)])
    assert (found.exit_code, "was changed" in found.output) == (2, True), found.output
