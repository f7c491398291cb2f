#!/usr/bin/env bash
# bullmq 3.4.4 of PyPI runs a daily job at a wrong hour on the day of a clock change, in spring twice.
#
# `0 9 * * *` with a `tz`: an hour late on the day when clocks go back; an hour early, and again on time, on
# the day when they go forward. bullmq 6.7.0 of npm is right. The package wants croniter 2.0.7 and no other,
# and that one does not know the time zones of zoneinfo which it is given here. Without a `tz` the one for
# Python goes by UTC, and the one for Node.js by the host's clock. The worker that takes a job asks its
# own library for the next time, so that in a queue with workers of both kinds either may be the answer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check bullmq==3.4.4
npm install --silent --no-audit --no-fund --prefix "$folder" bullmq@6.7.0
cat >"$folder/next.cjs" <<'JAVASCRIPT'
const { defaultRepeatStrategy } = require("bullmq");

const [after, options] = process.argv.slice(2);
console.log(defaultRepeatStrategy(Number(after), JSON.parse(options)));
process.exit(0);
JAVASCRIPT
TZ=America/New_York "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version

from bullmq.job_scheduler import default_repeat_strategy

ZONE = "America/New_York"
NINE = "0 9 * * *"
CASES = [  # options, after, next by Python, next by Node.js; all in UTC
    ({"pattern": NINE, "tz": ZONE}, "2026-12-01T00:00", "2026-12-01T14:00", "2026-12-01T14:00"),
    ({"pattern": NINE, "tz": ZONE}, "2026-10-31T13:00", "2026-11-01T15:00", "2026-11-01T14:00"),
    ({"pattern": NINE, "tz": ZONE}, "2026-03-07T14:00", "2026-03-08T12:00", "2026-03-08T13:00"),
    ({"pattern": NINE, "tz": ZONE}, "2026-03-08T12:00", "2026-03-08T13:00", "2026-03-08T13:00"),
    ({"pattern": NINE}, "2026-12-01T00:00", "2026-12-01T09:00", "2026-12-01T14:00"),
]


def by_node(millis, options):
    command = ["node", f"{sys.argv[1]}/next.cjs", str(millis), json.dumps(options)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def shown(millis):
    return datetime.fromtimestamp(millis / 1000, UTC).strftime("%Y-%m-%dT%H:%M")


print("bullmq", version("bullmq"), "croniter", version("croniter"))
for options, after, python, node in CASES:
    millis = int(datetime.fromisoformat(after).replace(tzinfo=UTC).timestamp() * 1000)
    seen = shown(default_repeat_strategy(millis, options)), shown(by_node(millis, options))
    print(options, "after", after, "Python", seen[0], "Node.js", seen[1], "(UTC)")
    assert seen == (python, node), f"{options}: the behaviour has changed"
PYTHON
