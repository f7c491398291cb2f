"""Calls of an API that counts them for each customer."""

from __future__ import annotations

import os
import time
from pathlib import Path

from asyncmqd import task

CALLS = Path(os.environ.get("API_CALLS", "/tmp/api_calls.txt"))


@task(queue="calls", key="customer", retries=3)
def push(customer: str, order: int) -> None:
    """Send an order to the API, with the credentials of the customer; here: write it down."""
    with CALLS.open("a") as file:
        file.write(f"{time.time():.3f} {customer} {order}\n")
