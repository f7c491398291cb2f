#!/usr/bin/env bash
# standardwebhooks 1.1.0 of PyPI signs another moment than the one it is given, if that is not in UTC.
#
# `sign` takes a datetime, puts UTC in the place of its time zone and keeps the clock time: 12:00+02:00 is
# signed as 12:00 UTC, two hours late. A sender puts the true time in `webhook-timestamp`, and no receiver
# accepts the signature, neither standardwebhooks of npm nor the same package's own `verify`. A time in UTC
# works, and so does a naive one that is meant as UTC.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check standardwebhooks==1.1.0
npm install --silent --no-audit --no-fund --prefix "$folder" standardwebhooks@1.1.1
cat >"$folder/verify.cjs" <<'JAVASCRIPT'
const { Webhook } = require("standardwebhooks");

const [secret, body, headers] = process.argv.slice(2);
try {
  new Webhook(secret).verify(body, JSON.parse(headers));
  console.log("accepted");
} catch (error) {
  console.log(error.message);
}
JAVASCRIPT
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from importlib.metadata import version

from standardwebhooks import Webhook, WebhookVerificationError

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = '{"type":"job.failed"}'
REFUSED = "No matching signature found"
now = datetime.now(UTC).replace(microsecond=0)
MOMENTS = {
    "in UTC": (now, "accepted"),
    "at +02:00": (now.astimezone(timezone(timedelta(hours=2))), REFUSED),
    "at -05:00": (now.astimezone(timezone(timedelta(hours=-5))), REFUSED),
}


def by_npm(headers):
    command = ["node", f"{sys.argv[1]}/verify.cjs", SECRET, BODY, json.dumps(headers)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def by_pypi(headers):
    try:
        Webhook(SECRET).verify(BODY, headers)
    except WebhookVerificationError as error:
        return str(error)
    return "accepted"


print("standardwebhooks", version("standardwebhooks"))
for name, (moment, expected) in MOMENTS.items():
    signature = Webhook(SECRET).sign("msg_1", moment, BODY)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(moment.timestamp())),
               "webhook-signature": signature}
    print(f"the same moment {name}: PyPI {by_pypi(headers)}; npm {by_npm(headers)}")
    assert by_pypi(headers) == by_npm(headers) == expected, "the behaviour has changed"
PYTHON
