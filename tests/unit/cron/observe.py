"""Writes debian.jsonl: when Debian's cron runs what. By hand, as root, with `cron` and gcc there.

    python tests/unit/cron/observe.py real.txt own.txt

The program is Debian's own, unchanged, in a mount namespace that has nothing but these crontabs.
observe.c is preloaded into it: its clock jumps to where cron would wake up, and a job is noted, not
run. Expressions that run rarely are watched for a year, the others around changes of the clock and
the ends of months.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

ZONE = "Europe/Lisbon"
YEAR = [("2026-01-01", "2027-01-01")]
CHANGES = [("2026-02-27", "2026-03-02"), ("2026-03-28", "2026-03-31"), ("2026-10-24", "2026-10-26")]
HERE = Path(__file__).parent
CRON = os.environ.get("CRON", "/usr/sbin/cron")
PREPARE = """
set -e
mkdir -p /var/spool/cron
mount -t tmpfs none /var/spool/cron; mkdir /var/spool/cron/crontabs
mount -t tmpfs none /run
mount -t tmpfs none /etc/cron.d
if [ -e /etc/crontab ]; then mount --bind /dev/null /etc/crontab; fi
if [ -e tab ]; then install -m 600 tab /var/spool/cron/crontabs/root; fi
if [ -d tabs ]; then install -m 644 tabs/* /etc/cron.d; fi
LD_PRELOAD=$PWD/observe.so exec "$CRON" -f
"""


def watched(place: Path, begin: float, end: float) -> str:
    """Run cron from one Unix time to another; what it said. What it ran is in the file `seen`."""
    environ = {
        "PATH": os.environ["PATH"],
        "TZ": ZONE,
        "CRON": CRON,
        "OBSERVE_FROM": str(int(begin) - 60),
        "OBSERVE_UNTIL": str(int(end) - 1),
        "OBSERVE_FILE": str(place / "seen"),
        "OBSERVE_LOUD": "1",
    }
    command = ["unshare", "--mount", "bash", "-c", PREPARE]
    done = subprocess.run(command, cwd=place, env=environ, capture_output=True, text=True)
    return done.stdout + done.stderr


def workplace() -> Path:
    """A directory with the library."""
    place = Path(tempfile.mkdtemp())
    build = ["gcc", "-shared", "-fPIC", "-w", "-o", place / "observe.so", HERE / "observe.c"]
    subprocess.run(build, check=True)
    return place


def refused(expressions: list[str]) -> set[str]:
    """Those that cron does not take: each has a file of its own, which it then ignores."""
    place = workplace()
    (place / "tabs").mkdir()
    for number, expression in enumerate(expressions):
        (place / "tabs" / f"j{number}").write_text(f"{expression} root j{number}\n")
    said = watched(place, 0, 120)
    marks = {number: f"while reading /etc/cron.d/j{number}\n" for number in range(len(expressions))}
    return {expressions[number] for number, mark in marks.items() if mark in said}


def runs(expressions: list[str], windows: list[tuple[str, str]]) -> dict[str, list[int]]:
    """The minutes since the epoch at which each ran in the windows, whole days of ZONE."""
    found: dict[str, set[int]] = {expression: set() for expression in expressions}
    place = workplace()
    lines = [f"{expression} j{number}\n" for number, expression in enumerate(expressions)]
    (place / "tab").write_text("".join(lines))
    for window in windows:
        watched(place, *(midnight(day) for day in window))
    for line in (place / "seen").read_text().splitlines():
        second, _, rest = line.partition(" ")
        expression = expressions[int(rest.partition("(j")[2].rstrip(")"))]
        found[expression].add(int(second) // 60)
    return {expression: sorted(minutes) for expression, minutes in found.items()}


def midnight(day: str) -> float:
    """The Unix time at which a day begins in ZONE."""
    return datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(ZONE)).timestamp()


def shortened(minutes: list[int]) -> list[list[int]]:
    """The same as [first, step, count], each for minutes that are equally far apart."""
    series: list[list[int]] = []
    for minute in minutes:
        if series and series[-1][2] == 1:
            series[-1][1:] = [minute - series[-1][0], 2]
        elif series and minute == series[-1][0] + series[-1][1] * series[-1][2]:
            series[-1][2] += 1
        else:
            series.append([minute, 0, 1])
    return series


def is_rare(expression: str) -> bool:
    """Whether it runs at most four times a day."""
    if expression.startswith("@"):
        return expression != "@hourly"
    minute, hour = expression.split()[:2]
    plain = set("0123456789,")
    return {*minute, *hour} <= plain and len(minute.split(",")) * len(hour.split(",")) <= 4


def main() -> None:
    """Write the data."""
    real, own = (Path(name).read_text().splitlines() for name in sys.argv[1:])
    not_taken = refused(real + own)
    taken = [each for each in real + own if each not in not_taken]
    rare = [each for each in taken if is_rare(each)]
    often = [each for each in taken if not is_rare(each)]
    found = runs(rare, YEAR) | runs(often, CHANGES)
    lines = []
    for kind, expressions in (("real", real), ("own", own)):
        for each in expressions:
            ran = None if each in not_taken else shortened(found[each])
            windows = "year" if is_rare(each) else "changes"
            lines.append(json.dumps([kind, each, windows, ran], separators=(",", ":")))
    head = json.dumps({"zone": ZONE, "year": YEAR, "changes": CHANGES})
    (HERE / "debian.jsonl").write_text("\n".join([head, *lines]) + "\n")


if __name__ == "__main__":
    main()
