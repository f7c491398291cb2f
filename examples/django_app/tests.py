"""Requests and the jobs that they enqueue: `python -m django test django_app`."""

from __future__ import annotations

from django.test import TestCase

import django_app.daemon  # noqa: F401 - what is round each job is round them here, too
from asyncmqd import testing
from django_app.models import Order


class Orders(TestCase):
    """In a transaction that is rolled back, as always."""

    def setUp(self) -> None:
        self.jobs = self.enterContext(testing.app())

    def place(self, item: str) -> str:
        with self.captureOnCommitCallbacks(execute=True):
            answer = self.client.post("/orders", {"item": item})
        assert answer.status_code == 202
        return f"/jobs/{answer.json()['job']}"

    def test_an_order_is_confirmed(self) -> None:
        where = self.place("tea")
        assert self.client.get(where).json() == {"state": "waiting"}
        (ran,) = self.jobs.run_dry_sync(raise_failures=True)
        assert ran.result == "confirmed: tea"
        assert Order.objects.get().confirmed
        assert self.client.get(where).json() == {"state": "completed"}

    def test_a_job_that_is_not_there(self) -> None:
        assert self.client.get("/jobs/orders.nosuch").status_code == 404
        assert self.client.get("/jobs/nonsense").status_code == 404
