"""What is done behind the requests."""

from __future__ import annotations

from asyncmqd import task


@task(queue="orders", retries=3)
def confirm(item: str) -> str:
    """Confirm an order."""
    return f"confirmed: {item}"
