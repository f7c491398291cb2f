"""The report of one day: what a shop sold, by product, as a CSV file."""

from __future__ import annotations

import csv
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from asyncmqd import current_job, task

ZONE = ZoneInfo("Europe/Berlin")


@task(queue="reports", retries=3, timeout="2h")
def nightly(shop: str, reports: str) -> str:
    """Write the report of the day before the instant of the schedule; the path of its file.

    Not of the day before it runs: it may run later, after a downtime or by a backfill. It may also
    run twice, and then writes the same file again.
    """
    instant = current_job().instant or datetime.now(UTC)
    day = instant.astimezone(ZONE).date() - timedelta(days=1)
    path = Path(reports, f"{day}.csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with new.open("w", newline="") as file:
        csv.writer(file).writerows([("product", "sold"), *sold_on(day, shop)])
    new.replace(path)  # in one step: nobody ever sees half a report
    return str(path)


def sold_on(day: date, shop: str) -> list[tuple[str, int]]:
    """How much of each product was sold on that day of the zone."""
    begin, end = (
        datetime.combine(each, time(), ZONE).timestamp() for each in (day, day + timedelta(days=1))
    )
    with closing(sqlite3.connect(shop, timeout=3600)) as database:
        return database.execute(
            "SELECT product, sum(amount) FROM orders WHERE ? <= at AND at < ? GROUP BY product",
            (begin, end),
        ).fetchall()
