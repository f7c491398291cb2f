"""Who claims no more must not be woken in the place of somebody who would."""

from __future__ import annotations

import signal

import pytest

from tests.daemon.harness import Store, until

ROUNDS = 6  # either of two daemons may be the one that is woken: by chance it is the right one


def test_a_daemon_that_lost_a_queue_leaves_its_jobs_to_others(daemon, server):
    store = Store(server.url)
    stays = daemon(server.url, "[queues.mail]\n", name="stays").start()
    for number in range(ROUNDS):
        loses = daemon(server.url, "[queues.mail]\n[queues.other]\n", name=f"l{number}").start()
        loses.configure("[queues.other]\n")
        loses.signal(signal.SIGHUP)
        loses.wait_for("queue.stopped", queue="mail")
        store.add("mail", "mark", [f"j{number}"])
        stays.wait_for("job.completed", job_id=f"j{number}")  # long before it looks by itself


@pytest.mark.parametrize("round", range(ROUNDS))
def test_what_a_draining_daemon_hands_back_runs_elsewhere_at_once(daemon, server, round):
    one = daemon(server.url, "[queues.mail]\n", name="one", top="shutdown_timeout = 0.1").start()
    Store(server.url).add("mail", "hold", ["h"])
    until(lambda: one.lines("began"))
    daemon(server.url, "[queues.mail]\n", name="other").start()
    assert one.stop() == 0
    until(lambda: one.lines("began") == ["h", "h"])
