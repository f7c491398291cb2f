#!/usr/bin/env bash
# uuid7 0.1.0 of PyPI makes ids that others read as of the year 2203, and that never sort among theirs.
#
# It follows a draft of 2021: 36 bits of seconds and 24 bits below them. RFC 9562 has 48 bits of
# milliseconds in that place. Both have the version 7. Its ids sort after those of uuid6, uuid-utils and
# Python 3.14, however old they are, and who removes rows by the time in their id removes none of them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    uuid7==0.1.0 uuid6==2025.0.1 uuid-utils==1.2.0
"$folder/venv/bin/python" - <<'PYTHON'
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import uuid6
import uuid_extensions
import uuid_utils

MOMENT = datetime(2026, 11, 30, 12, tzinfo=UTC)
old = uuid_extensions.uuid7(int(MOMENT.timestamp()) * 1_000_000_000)
now = datetime.now(UTC)
others = {"uuid6": uuid6.uuid7(), "uuid-utils": uuid_utils.uuid7()}


def read(uuid):
    return datetime.fromtimestamp(uuid_utils.UUID(str(uuid)).timestamp / 1000, UTC)


print("uuid7", version("uuid7"), old, "version", old.version, "read as", read(old))
assert old.version == 7
assert read(old).year == 2203, "the behaviour has changed"
for name, uuid in others.items():
    print(name, version(name), uuid, "read as", read(uuid))
    assert abs(read(uuid) - now) < timedelta(minutes=1)
    assert str(uuid) < str(old)
PYTHON
