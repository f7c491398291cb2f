"""What a daemon is told at its start about replicas and `min_replicas`."""

from __future__ import annotations

import pytest

from asyncmqd.backends.redis.health import of_replicas


@pytest.mark.parametrize(
    ("least", "replicas", "said"),
    [
        (0, 0, ""),
        (2, 2, ""),
        (0, 1, "jobs that it did not have yet may be lost; set min_replicas=1"),
        (1, 2, "jobs that others confirmed may be lost; set min_replicas=2"),
        (1, 0, "every enqueue fails"),
        (3, 2, "every enqueue fails"),
    ],
)
def test_what_min_replicas_does_not_promise_is_said(least: int, replicas: int, said: str):
    answer = f"# Replication\r\nrole:master\r\nconnected_slaves:{replicas}\r\n".encode()
    found = of_replicas([answer], least)
    assert len(found) == (1 if said else 0)
    assert all(said in each for each in found)
