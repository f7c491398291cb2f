#!/usr/bin/env bash
# `01:30` is 90 seconds for Django 5.2.19 and 90 minutes for pydantic 2.14.4.
#
# Django and pytimeparse take two numbers for minutes and seconds, pydantic for hours and minutes: a time
# limit that a form of Django's accepts is sixty times as long once a pydantic model reads the same text.
# With three numbers they agree. A negative timedelta as Python prints it ("-1 day, 1:30:00" is minus 22.5
# hours) comes back from Django as it was, and from pydantic and pytimeparse as minus 25.5 hours.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    Django==5.2.19 pydantic==2.14.4 pydantic-core==2.50.5 pytimeparse==1.1.10
"$folder/venv/bin/python" - <<'PYTHON'
from datetime import timedelta
from importlib.metadata import version

from django.utils.dateparse import parse_duration
from pydantic import TypeAdapter
from pytimeparse import parse

READERS = {
    "Django": parse_duration,
    "pydantic": TypeAdapter(timedelta).validate_python,
    "pytimeparse": lambda text: timedelta(seconds=parse(text)),
}
PRINTED = str(timedelta(hours=-22.5))
EXPECTED = {
    "01:30:00": [timedelta(hours=1.5)] * 3,
    "01:30": [timedelta(seconds=90), timedelta(minutes=90), timedelta(seconds=90)],
    PRINTED: [timedelta(hours=-22.5), timedelta(hours=-25.5), timedelta(hours=-25.5)],
}

print(*(f"{name} {version(name)}" for name in READERS))
for text, expected in EXPECTED.items():
    seen = [read(text) for read in READERS.values()]
    told = (f"{name} {value.total_seconds():.0f} s" for name, value in zip(READERS, seen, strict=True))
    print(f"{text}:", *told)
    assert seen == expected, f"{text}: the behaviour has changed"
PYTHON
