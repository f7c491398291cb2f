"""Requests and the jobs that they enqueue, without a server and without a daemon."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from asyncmqd import testing
from fastapi_app.app import app

client = TestClient(app)


@pytest.fixture
def jobs() -> Iterator[testing.App]:
    with testing.app() as jobs:
        yield jobs


def test_an_order_is_confirmed(jobs: testing.App) -> None:
    answer = client.post("/orders", params={"item": "tea"})
    assert answer.status_code == 202
    where = f"/jobs/{answer.json()['job']}"
    assert client.get(where).json() == {"state": "waiting"}
    jobs.run_dry_sync(raise_failures=True)
    assert client.get(where).json() == {"state": "completed", "result": "confirmed: tea"}


def test_a_job_that_is_not_there(jobs: testing.App) -> None:
    assert client.get("/jobs/orders.nosuch").status_code == 404
    assert client.get("/jobs/nonsense").status_code == 404
