"""A shop whose jobs take their time, and fail now and then: what the screenshots show."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from pathlib import Path

from asyncmqd import current_job, task

log = logging.getLogger("shop")
GATE = Path(os.environ["GATE"])


@task(name="mail.send", queue="mail", retries=0)
async def send(to: str, template: str = "order") -> dict[str, str]:
    log.info("sending %s to %s", template, to)
    await asyncio.sleep(random.uniform(0.05, 0.4))
    if random.random() < 0.15:
        raise ConnectionError(f"mx{random.randint(1, 9)}.example.org refused: 421 try again")
    return {"status": "sent", "to": to}


@task(name="images.resize", queue="images", retries=2)
async def resize(picture: int, width: int = 640) -> int:
    await asyncio.sleep(random.uniform(0.2, 1.2))
    return picture * width


@task(name="reports.build", queue="reports", retries=0)
async def build(day: str) -> str:
    job = current_job()
    for part in range(1, 101):
        await asyncio.sleep(0.3)
        job.progress({"done": part, "of": 100, "day": day})
    return day


@task(name="billing.charge", queue="billing", retries=0)
async def charge(order: int) -> None:
    log.warning("charging order %s", order)
    if order % 3:
        raise ValueError(f"order {order}: card was declined by bank {order % 7}")
    raise TimeoutError(f"bank {order % 7} has not answered within 30 s")


@task(name="search.index", queue="search")
async def index(document: int) -> None:
    await asyncio.sleep(0.02)


@task(name="cleanup", queue="nightly")
async def cleanup() -> None:
    await asyncio.sleep(0.1)


@task(name="fail_as", retries=0)
async def fail_as(text: str) -> None:
    log.warning("%s", text)
    raise ValueError(text)


@task(name="hold_as")
async def hold_as(text: str) -> str:
    current_job().progress({text: text})
    log.warning("%s", text)
    while not GATE.exists():  # noqa: ASYNC110, ASYNC240 - it is opened by another process
        await asyncio.sleep(0.03)
    return text


@task(name="return_as")
async def return_as(text: str) -> dict[str, str]:
    return {text: text}


@task(name="count_up")
async def count_up() -> None:
    """Tell a long progress, which is another one at each look."""
    done = 0
    while True:
        done += 1
        current_job().progress({"done": done, "of": 300, "rows": list(range(300))})
        await asyncio.sleep(0.1)
