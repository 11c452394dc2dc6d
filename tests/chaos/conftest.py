"""The shop on a cluster of its own, and the environment of an experiment that is meant for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dr.core.chaos import Said, heard
from dr.local import cluster
from tests.chaos.shop import environment, opened
from tests.embedded import running


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Cluster]:
    """Return a cluster with the shop; each test leaves it as it was."""
    with running(tmp_path_factory.mktemp("state"), "town") as made:
        opened(made)
        yield made


@pytest.fixture
def meant(town: cluster.Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Name and lock the cluster, and what may be struck, for this process; return the folder of undo records."""
    for name in [name for name in os.environ if name.startswith("DR_")]:
        monkeypatch.delenv(name)
    for name, value in environment(town, tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DR_LIMITS", '{"namespaces": ["shop", "gate", "ghost"]}')
    return tmp_path / "undo"


class Channel:
    """What was said so far."""

    def __init__(self, reading: int) -> None:
        os.set_blocking(reading, False)
        self._reading = reading

    def said(self) -> list[Said]:
        try:
            content = os.read(self._reading, 1 << 20)
        except BlockingIOError:
            return []
        return [found for line in content.splitlines() if (found := heard(line))]


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Channel]:
    reading, writing = os.pipe()
    monkeypatch.setenv("DR_CHANNEL", str(writing))
    yield Channel(reading)
    os.close(reading)
    os.close(writing)
