"""The container image: as nobody, from pinned bases, with no more than what is needed. No container runtime is asked."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINES = [
    line
    for line in re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text()).splitlines()
    if line.strip() and not line.startswith("#")
]


def said(word: str) -> list[str]:
    return [line.removeprefix(word).strip() for line in LINES if line.startswith(f"{word} ")]


def test_it_runs_as_a_user_by_number_so_that_a_cluster_can_see_it_is_not_root() -> None:
    user = said("USER")[-1]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    assert not said("RUN")[-1:] or LINES.index(f"USER {user}") > max(
        n for n, line in enumerate(LINES) if line.startswith("RUN")
    )


def test_its_bases_are_pinned_and_nothing_is_fetched_by_url() -> None:
    assert all(re.search(r":\d+\.\d+-", base) for base in said("FROM"))
    assert not said("ADD")
    assert not re.search(r"curl|wget|https?://", "\n".join(LINES))


def test_no_secret_and_no_history_goes_into_it() -> None:
    assert not said("ARG")
    assert not re.search(r"(?i)token|password|secret", "\n".join(LINES))
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = {part for line in said("COPY") if "--from" not in line for part in line.split()[:-1]}
    assert ignored[0] == "*"
    assert copied == {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert all((ROOT / part).exists() for part in copied)


def test_what_starts_is_what_manifests_call() -> None:
    assert said("ENTRYPOINT") == ['["dr"]']
