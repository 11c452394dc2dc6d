"""A schedule as what runs it: a systemd timer and its service.

Source: systemd.time(7) for calendar events, systemd.timer(5) and systemd.exec(5) for the settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from dr.core.calendar import DAYS, Cron, cron
from dr.core.timetable import Schedule


def unit_name(title: str) -> str:
    """Return what the units are called, by the schedule's title."""
    return f"dr-{re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-') or 'gameday'}"


def systemd(
    schedule: Schedule, command: str, file: str, folder: str, variables: Sequence[str], also: Cron | None
) -> dict[str, str]:
    """Return the units by file name. command, file and folder: full paths of `dr`, the schedule, and where it works.

    variables: the names of those that hold secrets. also: when else to wake, because of clocks that go forward.

    The timer only wakes `dr`, which decides by itself: a slot that came while the machine was off is not lost.
    """
    name = unit_name(schedule.title)
    title = schedule.title.replace("%", "%%").replace("\n", " ")
    rules = (cron(schedule.at), *([also] if also else []))
    events = "\n".join(f"OnCalendar={event} {schedule.timezone}" for rule in rules for event in calendar(rule))
    given = f"# {' and '.join(variables)}: NAME=VALUE.\nEnvironmentFile=/etc/dr/{name}.env\n" if variables else ""
    quoted = [_quoted(word) for word in (command, "schedule", "run", file, "--yes")]
    return {
        f"{name}.timer": f"""[Unit]
Description=Gameday on schedule: {title}

[Timer]
{events}
# dr itself knows which slot is due, what jitter it has, and what was missed.
Persistent=true
AccuracySec=1s

[Install]
WantedBy=timers.target
""",
        f"{name}.service": f"""[Unit]
Description=Gameday on schedule: {title}
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
WorkingDirectory={folder.replace("%", "%%")}
ExecStart={" ".join(quoted)}
# 1: an objective was missed. The report says so; the unit did its work.
SuccessExitStatus=1
TimeoutStartSec=6h
KillSignal=SIGTERM
TimeoutStopSec=5min
NoNewPrivileges=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectSystem=strict
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictSUIDSGID=yes
ReadWritePaths={_quoted(folder)}
# What a run keeps of its own, and programs of embedded clusters: nothing else may be written.
StateDirectory=dr
CacheDirectory=dr
Environment=DR_STATE_DIR=%S/dr DR_CACHE_DIR=%C/dr
{given}""",
    }


def calendar(rule: Cron) -> Iterator[str]:
    """Yield the calendar events that a cron expression means: two where a day fits by the month or by the week."""
    months, days = _listed(rule.months, 12), _listed(rule.days, 31)
    at = f"{_listed(rule.hours, 24)}:{_listed(rule.minutes, 60)}:00"
    week = ",".join(DAYS[day].title() for day in sorted(rule.weekdays, key=lambda d: d or 7))
    every = len(rule.weekdays) == len(DAYS)
    if rule.either:
        yield f"*-{months}-{days} {at}"
        yield f"{week} *-{months}-* {at}"
    else:
        yield f"{'' if every else f'{week} '}*-{months}-{days} {at}"


def _listed(values: Iterable[int], whole: int) -> str:
    found = sorted(values)
    return "*" if len(found) == whole else ",".join(f"{value:02}" for value in found)


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if re.search(r"[^\w./:=@+-]", word) else escaped
