"""The speed that is promised: the benchmark fails when a figure is over its limit."""

from __future__ import annotations

import pytest

from bench import restore


@pytest.mark.parametrize(("figure", "code"), [(5.99, 0), (6.0, 0), (6.01, 1)])
def test_a_figure_over_its_limit_fails_the_benchmark_and_is_named(
    figure: float, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(restore, "PARTS", {"up": lambda _: restore.over("up", figure), "apps": pytest.fail})
    monkeypatch.setattr("sys.argv", ["restore", "up"])
    with pytest.raises(SystemExit) as ended:
        restore.main()
    assert ended.value.code == code
    assert ("over the limit: up 6.01, at most 6" in capsys.readouterr().out) is bool(code)


def test_each_part_fails_by_some_limit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(restore, "PARTS", {name: lambda _, n=name: [n] for name in restore.PARTS})
    monkeypatch.setattr("sys.argv", ["restore"])
    with pytest.raises(SystemExit) as ended:
        restore.main()
    assert ended.value.code == 1
    assert capsys.readouterr().out.splitlines() == [f"over the limit: {name}" for name in restore.PARTS]
