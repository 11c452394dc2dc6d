"""A schedule as a workflow of GitHub and as a job of GitLab. Each wakes `dr`, which knows which slot is due."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

from dr.core.calendar import Cron, cron, listed, written
from dr.core.timetable import Schedule

_MINUTES = 360  # a job is ended after so many: GitHub's own limit
_DAYS, _MONTHLY = 90, "17 4 1 * *"  # GitHub's own limit, and a run that hands on what would end with it
_LATEST = (
    "[.artifacts[] | select((.expired | not) and .workflow_run.head_repository_id == .workflow_run.repository_id)]"
    " | max_by(.created_at) | .workflow_run.id // empty"
)
KUBECONFIG = "DR_KUBECONFIG"


def utc(rule: Cron, offsets: Iterable[timedelta]) -> tuple[str, ...]:
    """Return cron expressions in UTC that come at least whenever a rule does in a zone with these offsets.

    GitHub knows UTC only, so there is one for summer and one for winter; what comes too often wakes `dr` for nothing.
    Where a slot falls on another day in UTC and days of the month count, every day is woken on.
    """
    found: dict[str, None] = {}
    for offset in sorted(set(offsets)):
        by_day: dict[int, dict[int, set[int]]] = {}
        for hour in rule.hours:
            for minute in rule.minutes:
                day, left = divmod(60 * hour + minute - int(offset.total_seconds()) // 60, 24 * 60)
                by_day.setdefault(day, {}).setdefault(left // 60, set()).add(left % 60)
        for day, hours in sorted(by_day.items()):
            alike: dict[frozenset[int], list[int]] = {}
            for hour, minutes in hours.items():
                alike.setdefault(frozenset(minutes), []).append(hour)
            for together, own in alike.items():
                found[f"{listed(together, 60)} {listed(own, 24)} {_days(rule, day)}"] = None
    return tuple(found)


def _days(rule: Cron, shift: int) -> str:
    months = listed(rule.months, 12)
    weekdays = {(weekday + shift) % 7 for weekday in rule.weekdays}
    restricted = len(rule.days) < 31
    if shift and (restricted or len(rule.months) < 12):
        return "* * *"
    if rule.either:
        return f"{listed(rule.days, 31)} {months} {listed(weekdays, 7)}"
    if restricted and len(weekdays) < 7:
        return f"{listed(rule.days, 31)} {months} *"  # both must fit, which no cron expression says
    return f"{listed(rule.days, 31)} {months} {listed(weekdays, 7)}"


def github(schedule: Schedule, name: str, file: str, crons: Sequence[str], variables: Sequence[str] = ()) -> str:
    """Return a workflow. `file`: the schedule's path in the repo; `crons` in UTC; `variables`: those of its secrets."""
    return "\n".join(_github(schedule, name, file, crons, variables)) + "\n"


def _github(schedule: Schedule, name: str, file: str, crons: Sequence[str], variables: Sequence[str]) -> Iterator[str]:
    yield f"# {_comment(schedule.title)}: at {schedule.at} in {schedule.timezone}. dr itself knows which slot is due."
    yield f"name: {json.dumps(schedule.title)}"
    yield "on:"
    yield "  schedule:"
    yield from (f"    - cron: {json.dumps(one)}" for one in crons)
    yield f"    # What is known of earlier slots is kept for {_DAYS} days, from run to run."
    yield f"    - cron: {json.dumps(_MONTHLY)}"
    yield "  workflow_dispatch: {}"
    yield "permissions:"
    yield "  contents: read"
    yield "  actions: read"
    yield "concurrency:"
    yield f"  group: {name}"
    yield "  cancel-in-progress: false"
    yield "jobs:"
    yield "  gameday:"
    yield "    runs-on: ubuntu-latest"
    yield f"    timeout-minutes: {_MINUTES}"
    yield "    steps:"
    yield "      - uses: actions/checkout@v4"
    yield "        with:"
    yield "          fetch-depth: 0"
    yield "          persist-credentials: false"
    yield "      - uses: actions/setup-python@v5"
    yield "        with:"
    yield '          python-version: "3.12"'
    yield f"      - run: pip install {_package(schedule)}"
    # Without what became of earlier slots one could be held twice, and no staleness be known. Not from the cache, of
    # which GitHub removes what nobody used for a week; not from a fork's run, which may call its artifact the same.
    yield "      - name: Fetch what is known of earlier slots"
    yield "        env:"
    yield "          GH_TOKEN: ${{ github.token }}"
    yield "        run: |"
    yield f'          asked="repos/$GITHUB_REPOSITORY/actions/artifacts?per_page=100&name={name}"'
    yield f'          run=$(gh api "$asked" --jq {shlex.quote(_LATEST)})'
    yield f'          if [ -n "$run" ]; then gh run download "$run" --name {name} --dir reports; fi'
    yield "      - name: Hold the gameday if a slot is due"
    yield "        env:"
    yield f"          KUBECONFIG_CONTENT: ${{{{ secrets.{KUBECONFIG} }}}}"
    yield from (f"          {variable}: ${{{{ secrets.{variable} }}}}" for variable in variables)
    yield "        run: |"
    yield "          umask 077"
    yield '          printf "%s" "$KUBECONFIG_CONTENT" > "$RUNNER_TEMP/kubeconfig"'
    yield f'          KUBECONFIG="$RUNNER_TEMP/kubeconfig" dr schedule run {shlex.quote(file)} --yes'
    yield "      - uses: actions/upload-artifact@v4"
    yield "        if: always()"
    yield "        with:"
    yield f"          name: {name}"
    yield "          path: reports"
    yield f"          retention-days: {_DAYS}"
    yield "          overwrite: true"
    yield "          if-no-files-found: ignore"


def gitlab(schedule: Schedule, name: str, file: str, variables: Sequence[str] = (), also: Cron | None = None) -> str:
    """Return a job to include. `file`: the schedule's path in the repo; `variables`: those of its secrets.

    `also`: when else to wake, because of clocks that go forward.
    """
    return "\n".join(_gitlab(schedule, name, file, variables, also)) + "\n"


def _gitlab(schedule: Schedule, name: str, file: str, variables: Sequence[str], also: Cron | None) -> Iterator[str]:
    yield f"# {_comment(schedule.title)}. Include this file, then make a pipeline schedule with the variable"
    yield f"# DR_SCHEDULE={name}, the cron {written(cron(schedule.at))} and the cron time zone {schedule.timezone}."
    if also:
        yield f"# And one like it with the cron {written(also)}: clocks that go forward skip a slot."
    yield f"# The kubeconfig is the variable {KUBECONFIG}, of type file, masked and protected."
    if variables:
        yield f"# {', '.join(variables)}: masked and protected variables too."
    yield f"{name}:"
    yield "  image: python:3.12-slim"
    yield "  rules:"
    yield f'    - if: $CI_PIPELINE_SOURCE == "schedule" && $DR_SCHEDULE == "{name}"'
    yield f"  resource_group: {name}"
    yield "  interruptible: false"
    yield f"  timeout: {_MINUTES} minutes"
    yield "  variables:"
    yield '    GIT_DEPTH: "0"'
    yield "  # What became of earlier slots: without it one could be held twice. GitLab promises no cache, and of more"
    yield "  # than one runner it has to be shared."
    yield "  cache:"
    yield f"    key: {name}"
    yield "    paths: [reports]"
    yield "    when: always"
    yield "  script:"
    yield "    - apt-get update -qq && apt-get install -qq -y git"
    yield f"    - pip install --quiet {_package(schedule)}"
    command = f'KUBECONFIG="${KUBECONFIG}" dr schedule run {shlex.quote(file)} --yes'
    yield f"    - {json.dumps(command)}"
    yield "  artifacts:"
    yield "    when: always"
    yield "    paths: [reports]"
    yield "    expire_in: 1 year"


def _package(schedule: Schedule) -> str:
    return "'dr-gameday[s3]'" if schedule.upload else "dr-gameday"


def _comment(text: str) -> str:
    return " ".join(text.split())
