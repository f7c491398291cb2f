#!/usr/bin/env bash
# schedule 1.2.2 runs a nightly job twice on the day after clocks go forward, the first time an hour early.
#
# `every().day.at("02:30", "Europe/Berlin")`: half past two does not come on 29 March 2026, and the job runs
# at 03:30 then. On the 30th it runs at 01:30 and at 02:30. So it is in New York. A job of 01:30 or 09:00 is
# right on all days, and so is 02:30 where clocks go back. The time is that of time-machine here, and each
# minute of it is asked for.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    schedule==1.2.2 time-machine==3.6.0 pytz==2026.6
TZ=UTC "$folder/venv/bin/python" - <<'PYTHON'
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from zoneinfo import ZoneInfo

import schedule
import time_machine

CASES = [  # zone, time of day, first day, runs on that zone's clock
    ("Europe/Berlin", "02:30", "2026-03-28", "28T02:30 29T03:30 30T01:30 30T02:30 31T02:30"),
    ("America/New_York", "02:30", "2026-03-07", "07T02:30 08T03:30 09T01:30 09T02:30 10T02:30"),
    ("Europe/Berlin", "09:00", "2026-03-28", "28T09:00 29T09:00 30T09:00 31T09:00"),
    ("Europe/Berlin", "02:30", "2026-10-24", "24T02:30 25T02:30 26T02:30 27T02:30"),
]


def runs(zone, at, first_day):
    now = datetime.fromisoformat(first_day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    end = now + timedelta(days=4)
    seen = []
    with time_machine.travel(now, tick=False) as clock:
        scheduler = schedule.Scheduler()
        scheduler.every().day.at(at, zone).do(lambda: seen.append(datetime.now(ZoneInfo(zone))))
        while now < end:
            now += timedelta(minutes=1)
            clock.move_to(now)
            scheduler.run_pending()
    return " ".join(moment.strftime("%dT%H:%M") for moment in seen)


print("schedule", version("schedule"))
for zone, at, first_day, expected in CASES:
    seen = runs(zone, at, first_day)
    print(f"{zone}, daily at {at}, from {first_day}: {seen}")
    assert seen == expected, "the behaviour has changed"
PYTHON
