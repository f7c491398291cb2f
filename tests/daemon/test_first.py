"""As process 1, of a container, the daemon reaps what is left without a parent."""

from __future__ import annotations

import signal
import sys

import psutil
import pytest

from tests.daemon.family import MAIL
from tests.daemon.harness import until

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
