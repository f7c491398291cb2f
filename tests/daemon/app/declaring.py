"""Tasks that decide the key, the unique name and the cost of their jobs by the arguments."""

from __future__ import annotations

import datetime
import decimal

from asyncmqd import task


def _month(day: datetime.date) -> str:
    return day.strftime("%Y-%m")


def _units(amount: decimal.Decimal) -> int:
    return int(amount * 10)


@task(
    name="bill",
    key="customer",
    unique=_month,
    unique_while="waiting",
    on_conflict="replace",
    cost=_units,
    priority=2,
    ttl=600,
)
def bill(customer: int, day: datetime.date, amount: decimal.Decimal) -> None: ...


@task(name="embed", cost=7, priority=1)
def embed(text: str) -> None: ...


def _fails(customer: int) -> str:
    raise KeyError(customer)


@task(name="broken_key", key=_fails)
def broken_key(customer: int) -> None: ...
