"""What fifty queues without work cost."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil

from tests.daemon.harness import Store, until

QUEUES = "".join(f"[queues.q{n}]\nscan_interval = 0.1\n" for n in range(50))
WATCHED = 5.0  # seconds


def _over(seconds: float, count: Callable[[], float]) -> float:
    """By how much a counter rises in so many seconds; here the time is what is measured."""
    before = count()
    time.sleep(seconds)
    return count() - before


def test_fifty_idle_queues_cost_next_to_nothing(daemon, server, record_property):
    began = time.monotonic()
    d = daemon(server.url, QUEUES).start()
    figures = {"seconds to start": time.monotonic() - began}
    store = Store(server.url)
    store.add("q7", "mark", ["first"])
    until(lambda: d.lines() == ["first"])
    process = psutil.Process(d.pid)
    with server.client() as client:

        def requests() -> int:
            """Reads from clients: commands that a script makes are none. Each look is one."""
            return client.info("stats")["total_reads_processed"]

        until(lambda: _over(0.5, requests) <= 2)  # the last of the start has died away
        cpu = sum(process.cpu_times()[:2])
        figures["requests/s"] = (_over(WATCHED, requests) - 1) / WATCHED
        figures["cpu"] = (sum(process.cpu_times()[:2]) - cpu) / WATCHED
    figures["rss MB"] = process.memory_info().rss / 1e6
    for name, value in figures.items():
        record_property(name, value)
    print(figures)
    assert figures["requests/s"] < 1, figures
    assert figures["cpu"] < 0.01, figures  # it is counted in steps of 10 ms
    assert figures["rss MB"] < 90, figures
    store.add("q8", "mark", ["second"])
    until(lambda: d.lines() == ["first", "second"])
    assert d.stop() == 0
