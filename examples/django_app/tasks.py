"""What is done behind the requests."""

from __future__ import annotations

from asyncmqd import task
from django_app.models import Order


@task(queue="orders", retries=3)
def confirm(order: int) -> str:
    """Confirm an order."""
    found = Order.objects.get(pk=order)
    found.confirmed = True
    found.save()
    return f"confirmed: {found.item}"
