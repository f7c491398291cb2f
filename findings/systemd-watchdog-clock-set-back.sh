#!/usr/bin/env bash
# systemd-watchdog 1.0.1 of PyPI sends no keep-alive once the clock was set back, for as long as it was.
#
# `ping()` sends one if half of WATCHDOG_USEC has gone by, by the clock of the wall. systemd counts by one
# that nobody sets: an hour back, as a first synchronisation may do, and a healthy service that calls ping()
# all the time is killed after its WatchdogSec. Here the clock is that which the module asks, and time goes
# on by a second with each call. `notify()` sends whenever it is called.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check systemd-watchdog==1.0.1
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import os
import socket
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from unittest.mock import patch

from systemd_watchdog import WatchDog

MINUTE = 60  # calls of ping(), one a second
systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
systemd.bind(f"{sys.argv[1]}/notify")
systemd.setblocking(False)
os.environ |= {"NOTIFY_SOCKET": f"{sys.argv[1]}/notify", "WATCHDOG_USEC": "10000000",
               "WATCHDOG_PID": str(os.getpid())}
watchdog = WatchDog()
clock = datetime(2026, 11, 30, 12, tzinfo=UTC)


def received():
    count = 0
    while True:
        try:
            count += systemd.recv(100) == b"WATCHDOG=1\n"
        except BlockingIOError:
            return count


def a_minute_of_pings():
    global clock
    count = 0
    for _ in range(MINUTE):
        clock += timedelta(seconds=1)
        with patch("systemd_watchdog.systemd_watchdog.datetime", wraps=datetime) as module:
            module.now.return_value = clock
            watchdog.ping()
        count += received()
    return count


before = a_minute_of_pings()
clock -= timedelta(hours=1)
after = a_minute_of_pings()
clock += timedelta(hours=1)
later = a_minute_of_pings()
print(f"systemd-watchdog {version('systemd-watchdog')}, limit 10 s, keep-alives a minute: {before} before, "
      f"{after} after the clock went back by an hour, {later} an hour later")
assert before == later == 12
assert after == 0, "the behaviour has changed"
PYTHON
