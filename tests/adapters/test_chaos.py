"""Experiments run by the real Chaos Toolkit, and the ways in which its own word is not to be trusted."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from dr.adapters.chaos import Experiment
from dr.core.chaos import UNDO, Ran, Said, Struck
from dr.engine.ports import Injection

HIDDEN_WORD = "hunter2-hunter2"


def action(name: str, path: str, *arguments: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "action",
        "name": name,
        "provider": {"type": "process", "path": path, "arguments": list(arguments)},
        **more,
    }


def failing(name: str, path: str) -> dict[str, Any]:
    provider = {"type": "python", "module": "os", "func": "remove", "arguments": {"path": path}}
    return {"type": "action", "name": name, "provider": provider}


def experiment(tmp_path: Path, method: list[dict[str, Any]], seconds: float = 60.0, **more: Any) -> Experiment:
    for name in ("private", "run", "undo"):
        (tmp_path / name).mkdir(exist_ok=True)
    body = {"title": "t", "description": "d", "method": method, **more}
    return Experiment(body, {}, {UNDO: str(tmp_path / "undo")}, tmp_path / "private", tmp_path / "run", seconds)


def inject(it: Experiment) -> tuple[Injection, list[Said]]:
    heard: list[Said] = []
    return asyncio.run(it.inject(heard.append)), heard


def test_a_foreign_action_is_a_fault_with_the_time_in_which_it_was_accepted(tmp_path: Path) -> None:
    before = time.monotonic()
    done, heard = inject(experiment(tmp_path, [action("nap", "sleep", "0.2")]))
    assert done.sound
    struck = next(said for said in heard if isinstance(said, Struck))
    assert struck.fault == "nap"
    assert before < struck.began < struck.at - 0.19
    assert struck.at < time.monotonic()
    assert [said.status for said in heard if isinstance(said, Ran)] == ["succeeded"]
    assert json.loads((tmp_path / "run" / "experiment-journal.json").read_text())["status"] == "completed"


def test_an_action_that_fails_is_told_although_the_toolkit_ends_with_zero(tmp_path: Path) -> None:
    done, heard = inject(experiment(tmp_path, [failing("gone", "/nonexistent/file")]))
    assert not done.sound
    assert "gone" in done.cause
    assert not [said for said in heard if isinstance(said, Struck)]


def test_an_experiment_whose_own_steady_state_is_not_met_strikes_nothing_and_says_which_probe(tmp_path: Path) -> None:
    probe = {"type": "probe", "name": "it works", "tolerance": 0, "provider": {"type": "process", "path": "false"}}
    steady = {"title": "s", "probes": [probe]}
    more: dict[str, Any] = {"steady-state-hypothesis": steady}
    done, heard = inject(experiment(tmp_path, [action("nap", "sleep", "0.2")], **more))
    assert not done.sound
    assert "it works" in done.cause
    assert not [said for said in heard if isinstance(said, Struck)]


def test_an_experiment_that_swallows_every_signal_is_ended_when_the_exercise_ends(tmp_path: Path) -> None:
    (tmp_path / "stubborn.py").write_text(
        "import time\ndef hang():\n    while True:\n        try:\n            time.sleep(1)\n"
        "        except BaseException:\n            continue\n"
    )
    hang = {"type": "action", "name": "hang", "provider": {"type": "python", "module": "stubborn", "func": "hang"}}
    it = experiment(tmp_path, [action("mark", "true"), hang])
    it.environment["PYTHONPATH"] = str(tmp_path)  # type: ignore[index]

    async def cancelled() -> float:
        begun = asyncio.Event()
        running = asyncio.create_task(it.inject(lambda _: begun.set()))
        await asyncio.wait_for(begun.wait(), 30)
        since = time.monotonic()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return time.monotonic() - since

    assert asyncio.run(cancelled()) < 10
    mark = f"{UNDO}={tmp_path / 'undo'}".encode()
    assert not [process for process in Path("/proc").glob("[0-9]*") if mark in _environ(process)]


def _environ(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""


def test_a_fault_that_strikes_thousands_is_told_whole(tmp_path: Path) -> None:
    (tmp_path / "wide.py").write_text(
        "from dr.chaos.channel import send\nfrom dr.core.chaos import Struck\n"
        "def strike(count):\n    pods = tuple(f'Pod payments/{n:060}' for n in range(count))\n"
        "    send(Struck('kill pods', 1.0, 2.0, pods))\n"
    )
    provider = {"type": "python", "module": "wide", "func": "strike", "arguments": {"count": 20_000}}
    it = experiment(tmp_path, [{"type": "action", "name": "wide", "provider": provider}])
    it.environment["PYTHONPATH"] = str(tmp_path)  # type: ignore[index]
    done, heard = inject(it)
    assert done.sound, done
    (struck,) = [said for said in heard if isinstance(said, Struck)]
    assert len(struck.targets) == 20_000


def test_a_method_that_takes_too_long_is_ended_and_said_to_have_been(tmp_path: Path) -> None:
    done, _ = inject(experiment(tmp_path, [action("nap", "sleep", "3600")], seconds=3.0))
    assert done == Injection("aborted", "its method was not done in 3 s")


def test_secrets_of_an_experiment_are_in_no_file_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD_OF_TEST", HIDDEN_WORD[::-1])
    secrets = {"api": {"TOKEN": HIDDEN_WORD, "PASSWORD": {"type": "env", "key": "PASSWORD_OF_TEST"}}}
    method = [
        action("say", "sh", "-c", f"echo {HIDDEN_WORD}; echo $PASSWORD_OF_TEST"),
        failing(f"fail {HIDDEN_WORD}", f"/nowhere/{HIDDEN_WORD}"),
    ]
    done, heard = inject(experiment(tmp_path, method, secrets=secrets))
    files = [path for path in (tmp_path / "run").iterdir() if path.is_file()]
    assert files
    for text in (*(path.read_text() for path in files), repr(done), repr(heard)):
        assert HIDDEN_WORD not in text
        assert HIDDEN_WORD[::-1] not in text


def test_a_secret_of_several_lines_is_in_no_file_of_the_run(tmp_path: Path) -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0\n-----END KEY-----\n"
    hello = 'say "friend" and enter'
    secrets = {"api": {"KEY": key, "WORD": hello}}
    method = [action("say", "printf", "%s", key), action("enter", "printf", "%s", hello), failing("fail", f"/no/{key}")]
    it = experiment(tmp_path, method, secrets=secrets, configuration={"token": "x", "place": "y"})
    it = Experiment(it.body, {"token": "hunter2!", "place": "here"}, it.environment, it.private, it.folder, 60.0)
    done, heard = inject(it)
    texts = [path.read_text() for path in (tmp_path / "run").iterdir() if path.is_file()]
    journal = json.loads((tmp_path / "run" / "experiment-journal.json").read_text())
    assert journal["run"][0]["output"]["stdout"] == "(secret)"
    assert journal["experiment"]["configuration"] == {"token": "(secret)", "place": "here"}
    for text in (*texts, repr(done), repr(heard)):
        assert "MIIEvQIBADANBgkqhkiG9w0" not in text
        assert "friend" not in text
        assert "hunter2!" not in text


def test_an_experiments_own_rollbacks_are_played_by_the_clean_up_and_a_failing_one_is_told(tmp_path: Path) -> None:
    back = tmp_path / "back"
    rollbacks = [action("put back", "touch", str(back)), failing("cannot", "/nonexistent/file")]
    it = experiment(tmp_path, [action("nap", "sleep", "0.1")], rollbacks=rollbacks)
    inject(it)
    assert not back.exists(), "the fault was taken back before anybody saw it"
    done = asyncio.run(it.undo())
    assert back.exists()
    assert [(restored.fault, bool(restored.cause)) for restored in done] == [("put back", False), ("cannot", True)]


def test_settings_outrank_the_configuration_of_the_file(tmp_path: Path) -> None:
    it = experiment(
        tmp_path,
        [action("say", "touch", "${where}")],
        configuration={"where": {"type": "env", "key": "X", "default": "no"}},
    )
    target = tmp_path / "said"
    done, _ = inject(Experiment(it.body, {"where": str(target)}, it.environment, it.private, it.folder, 60.0))
    assert done.sound, done
    assert target.exists()
