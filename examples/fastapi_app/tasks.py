"""What is done behind the requests."""

from __future__ import annotations

from asyncmqd import task


@task(queue="orders", retries=3)
async def confirm(item: str) -> str:
    """Confirm an order."""
    return f"confirmed: {item}"
