#!/usr/bin/env bash
# sseclient-py 1.9.0 hands over the event that a lost connection cut in two, and forgets the last id.
#
# An event ends with an empty line. Where the stream ends before, the rest is to be thrown away, as httpx-sse
# 0.4.3 does and npm's eventsource-parser 3.1.1 (below eventsource). sseclient-py yields it: the amount 1000,
# cut after three digits, is an event like all others. It knows an event's id only if that event has a line
# for it; an id stands until the next one, and who resumes at the last event's id resumes from nowhere.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    sseclient-py==1.9.0 httpx-sse==0.4.3 httpx==0.28.1
npm install --silent --no-audit --no-fund --prefix "$folder" eventsource-parser@3.1.1
cat >"$folder/read.cjs" <<'JAVASCRIPT'
const { createParser } = require("eventsource-parser");

let lastId = null;
const seen = [];
const parser = createParser({
  onEvent: (event) => {
    lastId = event.id ?? lastId;
    seen.push([event.data, lastId]);
  },
});
parser.feed(process.argv[2]);
console.log(JSON.stringify(seen));
JAVASCRIPT
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json
import subprocess
import sys
from importlib.metadata import version

import httpx
from httpx_sse import EventSource
from sseclient import SSEClient

SENT = "id: 7\ndata: 25\n\ndata: 30\n\ndata: 1000\n\n"
CUT = SENT[: SENT.index("1000") + 3]


class Stream(list):
    def close(self):
        pass


def by_sseclient(text):
    return [[event.data, event.id] for event in SSEClient(Stream([text.encode()])).events()]


def by_httpx_sse(text):
    response = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=text.encode())
    return [[event.data, event.id] for event in EventSource(response).iter_sse()]


def by_node(text):
    command = ["node", f"{sys.argv[1]}/read.cjs", text]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


print("sseclient-py", version("sseclient-py"), "httpx-sse", version("httpx-sse"))
for name, text in (("whole", SENT), ("cut", CUT)):
    print(name, "sseclient-py", by_sseclient(text), "httpx-sse", by_httpx_sse(text), "npm", by_node(text))
assert by_httpx_sse(CUT) == by_node(CUT) == [["25", "7"], ["30", "7"]]
assert by_httpx_sse(SENT) == by_node(SENT) == [["25", "7"], ["30", "7"], ["1000", "7"]]
assert by_sseclient(CUT) == [["25", "7"], ["30", None], ["100", None]], "the behaviour has changed"
PYTHON
