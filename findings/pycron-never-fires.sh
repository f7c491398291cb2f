#!/usr/bin/env bash
# pycron 3.3.0 never fires expressions that cron fires, and raises no error for them.
#
# `is_now` answers False at every minute for 7 as Sunday, for the name of a month and for a range that
# wraps round. A wrapping range of weekdays loses the days behind the wrap. taskiq's scheduler asks
# pycron, so that such a schedule is silent there. Debian's cron takes 7 and names; croniter takes all.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pycron==3.3.0 croniter==7.0.0
"$folder/venv/bin/python" - <<'PYTHON'
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import pycron
from croniter import croniter

MARCH = [datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=day) for day in range(31)]
SUNDAYS = [1, 8, 15, 22, 29]
EXPECTED = {  # at midnight: days of March 2026 by pycron
    "0 0 * * 0": SUNDAYS,
    "0 0 * * 7": [],
    "0 0 15 mar *": [],
    "0 0 30-2 * *": [],
    "0 0 * * fri-mon": [6, 7, 13, 14, 20, 21, 27, 28],
}

print("pycron", version("pycron"), "croniter", version("croniter"))
for expression, expected in EXPECTED.items():
    seen = [day.day for day in MARCH if pycron.is_now(expression, day)]
    other = [day.day for day in MARCH if croniter.match(expression, day)]
    print(f"{expression:17} pycron {seen}, croniter {other}")
    assert seen == expected, f"{expression}: the behaviour has changed"
PYTHON
