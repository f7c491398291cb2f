#!/usr/bin/env bash
# toml 0.10.2 leaves out the rest of a text after a multi-line string with CRLF, and changes other values.
#
# `loads` of a text as it comes from a file opened in binary, or over HTTP: the string and each key after it
# are missing, without an error. `z` for UTC gives a naive datetime, and 07:32:00.5 loses its half second.
# `dumps` writes a backslash before x as it is, or as the escape of another character: the path C:\xampp
# makes a text that no reader takes, and the text \x41 is read as the letter A. tomllib reads all as meant.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check toml==0.10.2
"$folder/venv/bin/python" - <<'PYTHON'
import tomllib
from datetime import UTC, datetime, time
from importlib.metadata import version

import toml

TEXTS = {
    'queue = "mail"\r\nnote = """one\r\ntwo"""\r\nlimit = 3\r\n': {"queue": "mail"},
    'queue = "mail"\nnote = """one\ntwo"""\nlimit = 3\n': {"queue": "mail", "note": "one\ntwo", "limit": 3},
    "at = 2026-11-30T07:32:00z": {"at": datetime(2026, 11, 30, 7, 32)},
    "at = 07:32:00.5": {"at": time(7, 32)},
}
MEANT = [
    {"queue": "mail", "note": "one\ntwo", "limit": 3},
    {"queue": "mail", "note": "one\ntwo", "limit": 3},
    {"at": datetime(2026, 11, 30, 7, 32, tzinfo=UTC)},
    {"at": time(7, 32, 0, 500_000)},
]
WRITTEN = {"C:\\xampp": None, "\\x41 grade": "A grade", "C:\\temp": "C:\\temp"}

print("toml", version("toml"))
for (text, expected), meant in zip(TEXTS.items(), MEANT, strict=True):
    print(f"{text!r}: toml {toml.loads(text)}, tomllib {tomllib.loads(text)}")
    assert tomllib.loads(text) == meant
    assert toml.loads(text) == expected, "the behaviour has changed"
for value, expected in WRITTEN.items():
    text = toml.dumps({"value": value})
    try:
        seen = tomllib.loads(text)["value"]
    except tomllib.TOMLDecodeError as error:
        seen = None
        print(f"{value}: written as {text.strip()}: {error}")
    else:
        print(f"{value}: written as {text.strip()}, read as {seen}")
    assert seen == expected, f"{value}: the behaviour has changed"
PYTHON
