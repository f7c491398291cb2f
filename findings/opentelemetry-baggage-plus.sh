#!/usr/bin/env bash
# opentelemetry-api 1.45.2 of Python writes a blank in baggage as `+`, and reads a `+` as a blank.
#
# The W3C's baggage header knows percent-encoding only, and a plus sign in it stands for itself. So "night
# run" of a Python service is "night+run" in a service of Node.js (@opentelemetry/core 2.12.1), and a header
# `k=1+1` of a third party, as any base64 text may be, comes out as "1 1" in Python. What Node.js writes
# has no plus sign, and both read it alike; two Python services agree with each other.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check opentelemetry-api==1.45.2
npm install --silent --no-audit --no-fund --prefix "$folder" @opentelemetry/core@2.12.1 @opentelemetry/api@1.9.1
cat >"$folder/read.cjs" <<'JAVASCRIPT'
const { W3CBaggagePropagator } = require("@opentelemetry/core");
const { propagation, defaultTextMapGetter, ROOT_CONTEXT } = require("@opentelemetry/api");

const headers = { baggage: process.argv[2] };
const context = new W3CBaggagePropagator().extract(ROOT_CONTEXT, headers, defaultTextMapGetter);
process.stdout.write(propagation.getBaggage(context).getEntry("k").value);
JAVASCRIPT
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import subprocess
import sys
from importlib.metadata import version

from opentelemetry.baggage import get_baggage, set_baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator

propagator = W3CBaggagePropagator()


def by_python(header):
    return get_baggage("k", propagator.extract({"baggage": header}))


def by_node(header):
    command = ["node", f"{sys.argv[1]}/read.cjs", header]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


sent = {}
propagator.inject(sent, set_baggage("k", "night run"))
print("opentelemetry-api", version("opentelemetry-api"), "sends", sent)
assert sent == {"baggage": "k=night+run"}, "the behaviour has changed"
for header, python, node in [("k=night+run", "night run", "night+run"), ("k=1+1", "1 1", "1+1"),
                             ("k=night%20run", "night run", "night run")]:
    print(f"{header}: Python {by_python(header)!r}, Node.js {by_node(header)!r}")
    assert by_node(header) == node
    assert by_python(header) == python, "the behaviour has changed"
PYTHON
