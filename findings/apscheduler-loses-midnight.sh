#!/usr/bin/env bash
# APScheduler 3.11.3 leaves out a daily job of midnight on the day after clocks go forward.
#
# When the job of 29 March 2026 has run in Berlin, at 00:00 or 00:30, the trigger names the 31st as the next
# day: the 30th has no run. So it is in New York on 9 March, and wherever a time of the first hour is asked
# for in the night of the change itself. Jobs of 02:00 or 09:00 run each day. Asked in the afternoon of the
# 29th, the same trigger names the 30th; but a scheduler asks it when a run is due.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check APScheduler==3.11.3 croniter==7.0.0
"$folder/venv/bin/python" - <<'PYTHON'
from datetime import datetime
from importlib.metadata import version
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger
from croniter import croniter

DAYS = 4
CASES = [  # zone, expression, start, days by APScheduler
    ("Europe/Berlin", "0 0 * * *", datetime(2026, 3, 27, 12), [28, 29, 31, 1]),
    ("Europe/Berlin", "30 0 * * *", datetime(2026, 3, 27, 12), [28, 29, 31, 1]),
    ("America/New_York", "0 0 * * *", datetime(2026, 3, 6, 12), [7, 8, 10, 11]),
    ("Europe/Berlin", "0 9 * * *", datetime(2026, 3, 27, 12), [28, 29, 30, 31]),
    ("Europe/Berlin", "0 0 * * *", datetime(2026, 10, 23, 12), [24, 25, 26, 27]),
]


def by_apscheduler(expression, zone, now):
    trigger, previous = CronTrigger.from_crontab(expression, timezone=zone), None
    for _ in range(DAYS):
        previous = now = trigger.get_next_fire_time(previous, now)
        yield now.day


def by_croniter(expression, now):
    times = croniter(expression, now)
    return [times.get_next(datetime).day for _ in range(DAYS)]


print("APScheduler", version("APScheduler"), "croniter", version("croniter"))
for name, expression, start, expected in CASES:
    zone = ZoneInfo(name)
    now = start.replace(tzinfo=zone)
    seen, other = list(by_apscheduler(expression, zone, now)), by_croniter(expression, now)
    print(f"{name}, {expression}: days by APScheduler {seen}, by croniter {other}")
    assert seen == expected, "the behaviour has changed"
    assert other[2] == other[1] + 1
asked_later = CronTrigger.from_crontab("0 0 * * *", timezone=ZoneInfo("Europe/Berlin")).get_next_fire_time(
    None, datetime(2026, 3, 29, 15, tzinfo=ZoneInfo("Europe/Berlin")))
print("asked on 29 March at 15:00:", asked_later)
assert asked_later.day == 30
PYTHON
