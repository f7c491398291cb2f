#!/usr/bin/env bash
# tomlkit 0.15.2: to put a dict under a dotted key moves the keys that follow into another table.
#
# For `retry.max = 3` it writes a new [retry.backoff] right behind the line, and what stood below, here
# `concurrency`, is now a key of [retry.backoff]. The document itself still shows it in its old place; only
# who reads the text again sees the change. Inside [mail] the new table is even one of the top level.
# And where [mail.limits.rate] stands before [mail], to set mail's `limits` drops its `concurrency`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tomlkit==0.15.2
"$folder/venv/bin/python" - <<'PYTHON'
import tomllib
from importlib.metadata import version

import tomlkit


def changed(text, change):
    document = tomlkit.parse(text)
    change(document)
    written = tomlkit.dumps(document)
    print(written, tomllib.loads(written), "\n", sep="")
    return document.unwrap(), tomllib.loads(written)


print("tomlkit", version("tomlkit"), "\n")
shown, read = changed("retry.max = 3\nconcurrency = 5\n", lambda top: top["retry"].update(backoff={"first": 1}))
assert shown == {"retry": {"max": 3, "backoff": {"first": 1}}, "concurrency": 5}
assert read == {"retry": {"max": 3, "backoff": {"first": 1, "concurrency": 5}}}, "the behaviour has changed"

shown, read = changed("[mail]\nretry.max = 3\nconcurrency = 5\n",
                      lambda top: top["mail"]["retry"].update(backoff={"first": 1}))
assert shown == {"mail": {"retry": {"max": 3, "backoff": {"first": 1}}, "concurrency": 5}}
assert read == {"mail": {"retry": {"max": 3}}, "retry": {"backoff": {"first": 1, "concurrency": 5}}}, \
    "the behaviour has changed"

shown, read = changed("[mail.limits.rate]\nper = 60\n[mail]\nconcurrency = 5\n[mail.limits]\nburst = 2\n",
                      lambda top: top["mail"].update(limits=7))
assert shown == read == {"mail": {"limits": 7}}, "the behaviour has changed"
PYTHON
