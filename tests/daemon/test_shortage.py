"""Threads and processes that the host does not give: no job pays for it."""

from __future__ import annotations

import os
import resource

import psutil
import pytest

from tests.daemon.harness import until

HASTY = """
from asyncmqd.runtime.claiming import start_shortage

start_shortage.PAUSE = 0.2
"""


@pytest.mark.parametrize("limit", ["memory for threads", "descriptors for processes"])
def test_what_cannot_begin_is_handed_back_and_less_is_claimed(daemon, file, place, limit):
    """Of forty jobs a few find a thread; of processes not one can be started at first."""
    (place / "hasty.py").write_text(HASTY)
    d = daemon(file.url, "[queues.mail]\nconcurrency = 40\n", tasks=["hasty", "ledger"]).start()
    file.add("mail", "mark", ["before"])
    d.wait_for("job.completed", job_id="before")
    if limit == "memory for threads":
        kind, task, count = resource.RLIMIT_AS, "hold_thread", 40
        least = psutil.Process(d.pid).memory_info().vms + 64 * 1024 * 1024
    else:
        kind, task, count = resource.RLIMIT_NOFILE, "hold_child", 2
        least = max(int(fd) for fd in os.listdir(f"/proc/{d.pid}/fd")) + 1
    _, most = resource.prlimit(d.pid, kind)
    resource.prlimit(d.pid, kind, (least, most))
    ids = file.add("mail", task, [f"{n}" for n in range(count)])
    told = d.wait_for("queue.held_back", queue="mail")
    if kind == resource.RLIMIT_AS:  # without descriptors it cannot be asked
        until(lambda: d.ask("status")["queues"]["mail"]["held_back"] == told["error"])
    assert "could be started" in told["error"]
    resource.prlimit(d.pid, kind, (most, most))
    d.open_gate()
    d.wait_for("queue.recovered", queue="mail", limit=60)
    until(lambda: len(d.lines()) == count + 1)
    assert d.tally() == dict.fromkeys([*ids, "before"], 1)
    assert {event["attempt"] for event in d.all("job.completed")} == {1}
    assert not d.all("job.failed")
    assert len(d.all("queue.held_back")) == 1
    assert d.ask("status")["queues"]["mail"]["held_back"] == ""
    assert d.stop() == 0
