"""As process 1, of a container, the daemon reaps what is left without a parent."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.daemon.family import MAIL, TWO
from tests.daemon.harness import APPLICATION, Daemon, until

# In a namespace of processes of its own, where it is process 1.
ALONE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
pytestmark = pytest.mark.mounts  # a namespace of processes is root's


def test_orphans_are_reaped_and_signals_are_passed_on(daemon, file):
    d = daemon(file.url, MAIL, command=(*ALONE, sys.executable, "-m", "asyncmqd"))
    d.environ["PATH"] = "/usr/bin:/bin:" + d.environ["PATH"]
    d.start()
    (first,) = psutil.Process(d.pid).children()
    (main,) = first.children()
    file.add("mail", "orphan", ["job"])
    d.wait_for("job.completed", job_id="job")
    until(lambda: len(d.lines("orphaned")) == 1)
    until(lambda: first.children() == [main], limit=60)
    # And what the daemon waits for itself is not taken from it.
    file.add("mail", "programs", ["own"])
    d.wait_for("job.completed", job_id="own")
    assert file.get("mail", "own").result == b"[3,3]"
    first.send_signal(signal.SIGHUP)
    d.wait_for("daemon.reloaded")
    first.send_signal(signal.SIGTERM)
    d.wait_for("daemon.stopped")
    assert d.wait() == 0


def test_its_end_is_that_of_the_daemon(daemon, file):
    d = daemon(file.url, MAIL, command=(*ALONE, sys.executable, "-m", "asyncmqd")).start()
    (first,) = psutil.Process(d.pid).children()
    (main,) = first.children()
    main.kill()
    assert d.wait() == 128 + signal.SIGKILL


def test_nor_do_processes_of_the_daemon_keep_orphans(daemon, file):
    """With `processes = 2` jobs run in children of the daemon: process 1 reaps what these leave."""
    d = daemon(file.url, MAIL, top=TWO, command=(*ALONE, sys.executable, "-m", "asyncmqd"))
    d.environ["PATH"] = "/usr/bin:/bin:" + d.environ["PATH"]
    d.start()
    (first,) = psutil.Process(d.pid).children()
    (main,) = first.children()
    children = set(main.children())
    file.add("mail", "orphan", [f"{number}" for number in range(4)])
    d.wait_for("job.completed", count=4)
    until(lambda: first.children() == [main], limit=60)
    assert set(main.children()) == children, "and no child was taken for another's"
    file.add("mail", "hold", ["held"])
    until(lambda: d.lines("began") == ["held"])
    first.send_signal(signal.SIGTERM)
    d.wait_for("daemon.draining")
    d.open_gate()
    assert d.wait() == 0
    assert d.lines() == ["held"]


class Worker(Daemon):
    """`asyncmq worker start`."""

    def launch(self) -> subprocess.Popen[bytes]:
        arguments = ("--tasks", "ledger", "--log-format", "json")
        return subprocess.Popen(
            [*self.command, "--config", self.config, "worker", "start", "mail", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environ,
            cwd=self.place,
        )


def test_a_worker_of_its_own_is_as_good_a_process_1(place, file):
    program = Path(sys.executable).with_name("asyncmq")
    path = {"PYTHONPATH": str(APPLICATION)}
    d = Worker(place, file.url, MAIL, command=(*ALONE, program), environ=path)
    d.environ["PATH"] = "/usr/bin:/bin:" + d.environ["PATH"]
    try:
        d.start(ready=False)
        d.wait_for("queue.started")
        (first,) = psutil.Process(d.pid).children()
        (main,) = first.children()
        file.add("mail", "orphan", ["job"])
        d.wait_for("job.completed", job_id="job")
        until(lambda: first.children() == [main], limit=60)
        file.add("mail", "hold", ["held"])
        until(lambda: d.lines("began") == ["held"])
        first.send_signal(signal.SIGTERM)
        d.wait_for("daemon.draining")
        d.open_gate()
        assert d.wait() == 0
        assert d.lines() == ["held"]
    finally:
        d.kill()
