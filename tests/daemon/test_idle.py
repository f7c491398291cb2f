"""What fifty queues without work cost."""

from __future__ import annotations

import time

import psutil

from tests.daemon.harness import Store, until

QUEUES = "".join(f"[queues.q{n}]\nscan_interval = 0.1\n" for n in range(50))
WATCHED = 4.0  # seconds


def test_fifty_idle_queues_cost_next_to_nothing(daemon, server, record_property):
    began = time.monotonic()
    d = daemon(server.url, QUEUES).start()
    started = time.monotonic() - began
    d.wait_for("queue.started", count=50)
    Store(server.url).add("q7", "mark", ["first"])
    until(lambda: d.lines() == ["first"])
    process = psutil.Process(d.pid)
    with server.client() as client:

        def commands() -> int:
            # All that clients sent, but for our own question.
            return client.info("stats")["total_commands_processed"]

        def connections() -> int:
            return len([c for c in client.client_list() if c["cmd"] != "client|list"])

        until(lambda: client.info("clients")["blocked_clients"] <= 1)
        before, cpu, then = commands(), sum(process.cpu_times()[:2]), time.monotonic()
        time.sleep(WATCHED)  # the time is what is measured
        sent = commands() - before - 1
        spent = (sum(process.cpu_times()[:2]) - cpu) / (time.monotonic() - then)
        idle_connections = connections()
    figures = {
        "started": started,
        "rss_mb": process.memory_info().rss / 1e6,
        "cpu": spent,
        "commands_per_s": sent / WATCHED,
        "connections": idle_connections,
    }
    for name, value in figures.items():
        record_property(name, value)
    print(figures)
    assert sent < WATCHED, figures
    assert spent < 0.01, figures  # cpu_times counts in steps of 10 ms
    assert figures["rss_mb"] < 120, figures
    assert d.stop() == 0
