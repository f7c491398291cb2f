"""A daemon of several processes is one service to systemd."""

from __future__ import annotations

import os
import signal

from tests.daemon.harness import until


def test_two_processes_are_one_service(service, seen):
    daemon = service()
    daemon.configure("[queues.mail]\n", top="processes = 2\n")
    daemon.start()
    status = daemon.status()
    assert (status["phase"], daemon.show("ActiveState")["ActiveState"]) == ("ready", "active")
    assert status["pid"] == daemon.pid
    assert len(daemon.box.processes(daemon.unit)) == 3
    ids = daemon.store.add("mail", "hold", [f"{n}" for n in range(10)])
    until(lambda: len(daemon.lines("began")) == 10)
    until(lambda: "running: 10;" in daemon.show("StatusText")["StatusText"])
    main = daemon.host_pid
    child = next(pid for pid in daemon.box.processes(daemon.unit) if pid != main)
    os.kill(child, signal.SIGKILL)
    until(lambda: len(daemon.lines("began")) == 15)
    assert daemon.show("NRestarts", "ActiveState") == {"NRestarts": "0", "ActiveState": "active"}
    daemon.configure("[queues.mail]\nconcurrency = 12\n", top="processes = 2\n")
    daemon.reload()
    assert daemon.status()["queues"]["mail"]["concurrency"] == 12
    daemon.box.systemctl("restart", "--no-block", daemon.unit)
    daemon.log.wait_for("daemon.draining")
    daemon.open_gate()
    daemon.log.wait_for("daemon.ready", count=2)
    assert daemon.tally() == dict.fromkeys(ids, 1)
    processes = {entry["_PID"] for entry in daemon.entries("EVENT=job.completed")}
    assert len(processes) == 2, "each child writes its own entries"
    daemon.stop()
    assert daemon.show("ActiveState", "Result") == {"ActiveState": "inactive", "Result": "success"}
    assert daemon.box.processes(daemon.unit) == []
    seen(
        "processes = 2: READY with both; a child killed by SIGKILL was replaced (NRestarts=0),"
        " a reload reached both, restart drained both, and stop left no process behind"
    )
