"""The nightly report on a real daemon: its day, a backfill, and a night that is skipped."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.daemon.conftest import place
from tests.daemon.harness import Daemon, until
from tests.examples.conftest import EXAMPLES
from tests.faults.forked import ForkedDaemon

__all__ = ["place"]

TOML = (EXAMPLES / "nightly_report" / "queues.toml").read_text()
ZONE = ZoneInfo("Europe/Berlin")


@pytest.fixture
def orders(place: Path) -> Iterator[sqlite3.Connection]:
    """Of the last days: on each as many as there are days since."""
    connection = sqlite3.connect(place / "shop.db", isolation_level=None)
    connection.execute("CREATE TABLE orders (at REAL, product TEXT, amount INTEGER)")
    for ago in range(6):
        noon = datetime.combine(_day(ago), time(12), ZONE).timestamp()
        connection.execute("INSERT INTO orders VALUES (?, 'tea', ?)", (noon, ago))
    yield connection
    connection.close()


def _day(ago: int) -> date:
    return datetime.now(ZONE).date() - timedelta(days=ago)


@pytest.fixture
def daemon(place: Path) -> Iterator[Daemon]:
    made = ForkedDaemon(place, f"sqlite://{place}/jobs.db", "", name="control")
    yield made
    made.kill()


def _configure(daemon: Daemon, old: str = "", new: str = "") -> None:
    """As the README says; and with another line in the place of one."""
    assert old in TOML
    text = TOML.replace(old, new).replace("/srv/asyncmqd/examples", str(EXAMPLES))
    daemon.config.write_text(text.replace("/srv/shop", str(daemon.place)))


def _asyncmq(daemon: Daemon, *words: str) -> str:
    """What `asyncmq schedule` prints."""
    call = "from asyncmqd.cli.asyncmq import main; main()"
    return subprocess.check_output(
        [sys.executable, "-c", call, "schedule", *words],
        env={**os.environ, "ASYNCMQD_CONFIG": str(daemon.config)},
        text=True,
    )


def _report(place: Path, ago: int) -> str:
    path = place / "reports" / f"{_day(ago)}.csv"
    until(path.exists)
    return path.read_text()


@pytest.mark.usefixtures("orders")
def test_a_report_is_of_the_day_before_its_instant_whenever_it_runs(daemon: Daemon) -> None:
    _configure(daemon)
    daemon.start()
    _asyncmq(daemon, "run", "reports", "nightly")
    assert _report(daemon.place, 1) == "product,sold\ntea,1\n"
    first, last = (f"{_day(ago)}T12:00:00Z" for ago in (4, 1))
    filled = _asyncmq(
        daemon, "backfill", "nightly", "--from", first, "--to", last, "--yes", "--json"
    )
    assert json.loads(filled)["enqueued"] == 3
    for ago in (4, 3, 2):
        assert f"tea,{ago}\n" in _report(daemon.place, ago)
    assert daemon.stop() == 0


def test_a_night_is_skipped_while_the_last_report_is_made(
    daemon: Daemon, orders: sqlite3.Connection
) -> None:
    _configure(daemon, 'cron = "30 2 * * *"', 'cron = "* * * * * *"')  # nights of a second
    orders.execute("BEGIN EXCLUSIVE")  # the report has to wait for it
    daemon.start()
    assert daemon.wait_for("schedule.skipped")["skipped"] == {"overlap": 1}
    assert len(daemon.all("schedule.fired")) == 1
    orders.execute("COMMIT")
    assert "tea,1\n" in _report(daemon.place, 1)
    until(lambda: len(daemon.all("schedule.fired")) > 1)
    assert daemon.stop() == 0
