"""Cron expressions against Debian's cron, which ran them: tests/unit/cron/observe.py wrote it down.

More than 300 of them are lines of real projects' crontabs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from asyncmqd.domain.schedule import Repeatable, check_cron, instants
from tests.scale import scaled

HEAD, *LINES = (Path(__file__).parent / "cron" / "debian.jsonl").read_text().splitlines()
ABOUT = json.loads(HEAD)
OBSERVED = [json.loads(line) for line in LINES]  # of each: kind, expression, windows, what ran
# What cron does not take, takes and never runs (a range from above to below), or takes for what it
# is not (it does not see the #3), and we read as other programs do.
BEYOND = {
    *("5/15 * * * *", "0 0/12 * * *", "0 1/3 * * *", "0 2/3 * * *", "* 8/2 * * *"),
    *("0 9 ? * *", "0 9 L * *", "0 9 * * 5#3", "@Daily", "0 9 * * FRI-MON"),
    *("*/5 22-6 * * *", "*/15 22-6 * * *", "*/20 22-6 * * *", "0,30 22-6 * * *"),
    *("0-59/30 22-6 * * *", "0 22-6 * * mon-fri"),
}
NEVER = {
    "0 0 30 2 *",
    "0 0 31 2 *",
    "* * 30 02 *",
}  # cron takes them, and we say that they do not come


def ours(expression: str, windows: str) -> Iterator[int]:
    """The minutes since the epoch that we compute for the days that were watched."""
    repeatable = Repeatable(task="t", cron=expression, timezone=ABOUT["zone"])
    for first, end in ABOUT[windows]:
        begin, close = (
            datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(ABOUT["zone"])).timestamp()
            for day in (first, end)
        )
        for instant in instants(repeatable, begin - 1):
            if instant >= close:
                break
            yield int(instant) // 60


def test_each_expression_is_read_as_debians_cron_reads_it() -> None:
    compared, step = 0, scaled(4, 1)
    for kind, expression, windows, ran in OBSERVED[::step]:
        if expression in BEYOND | NEVER or ran is None:
            continue
        compared += kind == "real"
        expected = [first + n * step for first, step, count in ran for n in range(count)]
        assert list(ours(expression, windows)) == expected, expression
    assert compared * step > 300


def test_what_cron_refuses_is_refused_or_is_one_of_our_additions() -> None:
    for _, expression, _, ran in OBSERVED:
        if expression in BEYOND:
            assert check_cron(expression) == expression
        elif ran is None or expression in NEVER:
            with pytest.raises(ValueError, match="expected"):
                check_cron(expression)
