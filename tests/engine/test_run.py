"""What a run says of itself when it is over."""

from __future__ import annotations

from dr.core.events import Checked, Differs, Failed, PlannedStep
from dr.core.model import Level, Ref
from dr.engine.restore import Outcome
from dr.engine.run import Result, reasons

_WEB = Ref("apps/v1", "Deployment", "shop", "web")
_STEP = PlannedStep(_WEB, where="web.yaml:3")


def test_who_cannot_exercise_reads_what_did_not_come_back_and_where_it_is_written() -> None:
    failed = Outcome((), (0,), ())
    differences = (Differs(0.0, _WEB, "extra"), Differs(0.0, _WEB, "missing"))
    checks = (
        Checked(0.0, "read", Level.ERROR, "web.yaml:9", "no YAML"),
        Checked(0.0, "version", Level.WARNING, "v1.31", "older"),
    )
    said = reasons([_STEP], [Failed(1.0, 0, "no image\nfor it")], Result(checks, failed, 1, differences))
    assert (
        said == "Deployment shop/web (web.yaml:3): no image\nfor it; Deployment shop/web: missing; web.yaml:9: no YAML"
    )
    assert reasons([_STEP], [Failed(1.0, 0, "late")], Result(checks, failed, 1, differences), most=1).endswith(
        "late; and 2 more"
    )


def test_what_compared_nothing_does_not_pass_without_a_reason() -> None:
    assert reasons([], [], Result()) == "nothing of it could be compared with git"
