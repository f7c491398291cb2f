#!/usr/bin/env bash
# periodiq 0.14.0, a scheduler for dramatiq, fires on days that the expression does not name, or not at all.
#
# It looks for the weekday first and for the month afterwards, and adds the days of the months between:
# Mondays in September begin with a Sunday, and 29 February comes on 1 March in most years. `5-7` has no
# Sunday. A field keeps its value when a later one moves on: at 08:10, the next of 09:00 and 09:30 is 09:30.
# And on the day of a clock change each job is an hour off: late in spring; in autumn early, and on time again.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check periodiq==0.14.0 croniter==7.0.0
"$folder/venv/bin/python" - <<'PYTHON'
from datetime import datetime
from importlib.metadata import version

import pendulum
from croniter import croniter
from periodiq import cron

CASES = [  # expression, after, next by periodiq, next by croniter
    ("0 9 * 9 1", "2026-03-30 09:00", "Sun 2026-09-06 09:00", "Mon 2026-09-07 09:00"),
    ("0 9 * 3 1", "2026-01-10 00:00", "Thu 2026-03-12 09:00", "Mon 2026-03-02 09:00"),
    ("0 0 29 2 *", "2025-01-02 00:00", "Sat 2025-03-01 00:00", "Tue 2028-02-29 00:00"),
    ("0 0 * * 5-7", "2026-03-07 00:00", "Fri 2026-03-13 00:00", "Sun 2026-03-08 00:00"),
    ("0,30 9 * * *", "2026-03-01 08:10", "Sun 2026-03-01 09:30", "Sun 2026-03-01 09:00"),
    ("0 9,18 * * 1", "2026-03-01 12:00", "Mon 2026-03-02 18:00", "Mon 2026-03-02 09:00"),
]

CLOCK_CHANGES = [  # day before, runs of `0 9 * * *` in Berlin on the next two days
    ("2026-03-28", ["Sun 2026-03-29 10:00", "Mon 2026-03-30 09:00"]),
    ("2026-10-24", ["Sun 2026-10-25 08:00", "Sun 2026-10-25 09:00"]),
]

print("periodiq", version("periodiq"), "croniter", version("croniter"))
for expression, after, expected, other in CASES:
    seen = f"{cron(expression).next_valid_date(pendulum.parse(after)):%a %Y-%m-%d %H:%M}"
    right = f"{croniter(expression, datetime.fromisoformat(after)).get_next(datetime):%a %Y-%m-%d %H:%M}"
    print(f"{expression:13} after {after}: periodiq {seen}, croniter {right}")
    assert right == other
    assert seen == expected, f"{expression}: the behaviour has changed"
for day, expected in CLOCK_CHANGES:
    moment, seen = pendulum.parse(f"{day} 09:00", tz="Europe/Berlin"), []
    for _ in expected:
        moment = cron("0 9 * * *").next_valid_date(moment)
        seen.append(f"{moment:%a %Y-%m-%d %H:%M}")
    print(f"0 9 * * *     after {day} 09:00, in Berlin: periodiq", *seen)
    assert seen == expected, "the behaviour has changed"
PYTHON
