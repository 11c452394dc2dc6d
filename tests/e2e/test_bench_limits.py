"""What the benches promise is held against limits: a figure over one ends them with 1."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import herd, history, timing


def test_a_herd_that_costs_more_for_each_cluster_the_greater_it_is_fails_its_bench(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert herd.told("straight", [(10, 3.0), (100, 12.0), (1000, 102.0)])
    assert "100 ms for each further cluster, 2.0 s for any herd, bend 1.00" in capsys.readouterr().out
    assert not herd.told("bent", [(10, 1.0), (100, 10.0), (1000, 1000.0)])


def test_a_list_that_takes_too_long_fails_its_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["history", "--runs", "20", "--folder", str(tmp_path)])
    monkeypatch.setattr(history, "LIMITS", {})
    history.main()
    assert len(list(tmp_path.glob("*/events.jsonl"))) == 21  # and that of one more run
    monkeypatch.setitem(history.LIMITS, history.LIST, 0.0)
    with pytest.raises(SystemExit, match="over the limit: `dr report list`"):
        history.main()


def test_a_sort_of_token_that_takes_longer_than_another_is_told() -> None:
    assert timing.telling(timing.REFUSED, [("none", 40.0, 0.5), ("all but one", 40.2, 0.56)]) == ["all but one"]
    assert timing.telling(timing.COMPARED, [("none", 1.0, 0.5), ("all but one", 1.02, 0.7)]) == []
    assert timing.telling(timing.COMPARED, [("none", 1.0, 0.5), ("all but one", 1.05, 0.7)]) == ["all but one"]
