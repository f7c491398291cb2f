#!/usr/bin/env bash
# cloudevents 2.2.0 of PyPI and 10.0.0 of npm read each other's subject differently, and the time as well.
#
# The HTTP binding wants blanks, quotes and percent signs of an attribute percent-encoded in its header. The
# SDK for Python does so and undoes it; the one for JavaScript does neither. "night run" arrives there as
# "night%20run", and a subject "50%25" that is sent by JavaScript arrives in Python as "50%". The one for
# JavaScript also cuts the time to milliseconds and turns it to UTC: who passes an event on changes it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cloudevents==2.2.0
npm install --silent --no-audit --no-fund --prefix "$folder" cloudevents@10.0.0
cat >"$folder/pass_on.cjs" <<'JAVASCRIPT'
const { HTTP } = require("cloudevents");

const event = HTTP.toEvent({ headers: JSON.parse(process.argv[2]), body: "{}" });
const sent = HTTP.binary(event).headers;
console.log(JSON.stringify([{ subject: event.subject, time: event.time }, sent]));
JAVASCRIPT
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json
import subprocess
import sys
from datetime import datetime
from importlib.metadata import version

from cloudevents.core.bindings import http
from cloudevents.core.v1.event import CloudEvent

TIME = "2026-11-30T04:14:16.613519+02:00"
CASES = [  # subject of Python's event, what JavaScript reads, what Python reads of what that passes on
    ("nightly", "nightly", "nightly"),
    ("night run", "night%20run", "night run"),
    ("50%25", "50%2525", "50%25"),
]


def by_javascript(headers):
    command = ["node", f"{sys.argv[1]}/pass_on.cjs", json.dumps(headers)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def by_python(headers):
    message = http.HTTPMessage(headers=headers, body=b"{}")
    return http.from_binary_event(message).get_attributes()


print("cloudevents", version("cloudevents"))
for subject, expected, back in CASES:
    attributes = {"specversion": "1.0", "id": "1", "type": "job", "source": "/queue", "subject": subject,
                  "time": datetime.fromisoformat(TIME), "datacontenttype": "application/json"}
    sent = http.to_binary_event(CloudEvent(attributes, {})).headers
    event, passed_on = by_javascript(sent)
    print(f"{subject!r}: JavaScript reads {event}, Python then {by_python(passed_on)['subject']!r}")
    assert sent["ce-time"] == TIME
    assert by_python(sent)["subject"] == by_python(passed_on)["subject"] == back
    assert event == {"subject": expected, "time": "2026-11-30T02:14:16.613Z"}, "the behaviour has changed"

written_by_javascript = {"ce-specversion": "1.0", "ce-id": "1", "ce-type": "job", "ce-source": "/queue",
                         "ce-subject": "50%25", "content-type": "application/json"}
event, passed_on = by_javascript(written_by_javascript)
print(f"JavaScript's subject {event['subject']!r} is {by_python(passed_on)['subject']!r} in Python")
assert event["subject"] == passed_on["ce-subject"] == "50%25", "the behaviour has changed"
assert by_python(passed_on)["subject"] == "50%"
PYTHON
