#!/usr/bin/env bash
# opentelemetry-api 1.45.2: a span replaces the application's error by one that its own text raises.
#
# start_as_current_span records the error of its block, and asks for str(error). If that raises, as for an
# error class with a mistake in __str__, the caller gets this second error in place of the first. Without
# the span Python raises the first one. Who catches errors by their class, to retry say, does not see it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check opentelemetry-sdk==1.45.2
"$folder/venv/bin/python" - <<'PYTHON'
from contextlib import nullcontext
from importlib.metadata import version

from opentelemetry.sdk.trace import TracerProvider


class PaymentRefused(Exception):
    def __str__(self):
        return f"refused: {self.args[1]}"  # made with one argument below


def caught(block):
    try:
        with block:
            raise PaymentRefused(17)
    except Exception as error:
        return type(error).__name__


tracer = TracerProvider().get_tracer("finding")
without, within = caught(nullcontext()), caught(tracer.start_as_current_span("pay"))
print("opentelemetry", version("opentelemetry-api"), "without a span:", without, "within one:", within)
assert without == "PaymentRefused"
assert within == "IndexError", "the behaviour has changed"
PYTHON
