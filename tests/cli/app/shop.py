"""The application whose tasks the tests run; it is found from the current directory."""

from __future__ import annotations

import asyncio

from asyncmqd import task


@task(queue="mail")
async def add(a: int, b: int = 1) -> int:
    return a + b


@task(queue="mail")
async def length(text: str) -> int:
    return len(text)


@task(queue="mail")
async def fail(message: str) -> None:
    raise ValueError(message)


@task(queue="mail")
async def sleep(seconds: float) -> str:
    print("asleep")
    await asyncio.sleep(seconds)
    return "awake"
