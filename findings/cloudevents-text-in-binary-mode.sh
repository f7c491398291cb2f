#!/usr/bin/env bash
# cloudevents 2.2.0 of PyPI: what an event's text becomes depends on the mode in which it is sent.
#
# Data that is a str and a content type of JSON, or none: in structured mode it comes back as the str. In
# binary mode it goes out without quotes, and comes back as whatever JSON makes of it: the order "1e5" is
# 100000.0, "null" is None, and an id of 20 digits with a point loses digits. "00123" comes back as a str
# in both. The older interface of the same package (cloudevents.v1) keeps all of them in both modes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cloudevents==2.2.0
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

from cloudevents.core.bindings import http
from cloudevents.core.v1.event import CloudEvent
from cloudevents.v1 import http as older

ATTRIBUTES = {"specversion": "1.0", "id": "1", "type": "order", "source": "/shop",
              "datacontenttype": "application/json"}
EXPECTED = {"1e5": 100000.0, "null": None, "12345678901234567890.10": 12345678901234567000.0,
            "true": True, "00123": "00123", "order 7": "order 7"}


def returned(write, text):
    return http.from_http_event(write(CloudEvent(dict(ATTRIBUTES), text))).get_data()


def returned_by_older(write, text):
    return older.from_http(*write(older.CloudEvent(dict(ATTRIBUTES), text))).data


print("cloudevents", version("cloudevents"))
for text, expected in EXPECTED.items():
    binary, structured = (returned(write, text) for write in (http.to_binary_event, http.to_structured_event))
    print(f"sent {text!r}: structured {structured!r}, binary {binary!r}")
    assert structured == text
    assert [returned_by_older(write, text) for write in (older.to_binary, older.to_structured)] == [text, text]
    assert (type(binary), binary) == (type(expected), expected), f"{text}: the behaviour has changed"
PYTHON
