"""Start, stop, and signals at every moment between."""

from __future__ import annotations

import signal

import psutil
import pytest

from tests.daemon.harness import COMMAND, PATIENT, Daemon, Store, until
from tests.scale import scaled

MAIL = "[queues.mail]\nconcurrency = 10\n"


def test_runs_jobs_and_term_lets_them_finish(daemon, store):
    d = daemon(store.url, MAIL).start()
    ids = store.add("mail", "hold", ["a", "b"])
    until(lambda: len(d.lines("began")) == 2)
    d.signal(signal.SIGTERM)
    assert d.wait_for("daemon.draining")["running"] == 2
    store.add("mail", "mark", ["late"])
    d.open_gate()
    assert d.wait() == 0
    assert d.tally() == dict.fromkeys(ids, 1)
    assert len(d.all("job.completed")) == 2
    assert d.events[-1]["event"] == "daemon.stopped"
    assert store.counts("mail").completed == 2
    assert store.counts("mail").waiting == 1  # nothing new was begun
    assert d.stderr == ""


def test_jobs_beyond_the_deadline_go_back_uncharged(daemon, store):
    d = daemon(store.url, MAIL, top="shutdown_timeout = 0.2").start()
    store.add("mail", "hold", ["a"])
    until(lambda: d.lines("began"))
    assert d.stop() == 0
    d.wait_for("job.released", job_id="a")
    record = store.get("mail", "a")
    assert (record.state, record.attempt, record.crashes) == ("waiting", 1, 0)


def test_each_queue_drains_for_its_own_time(daemon, server):
    queues = "[queues.mail]\n[queues.short]\ndrain_timeout = 0.1\n"
    d = daemon(server.url, queues).start()
    store = Store(server.url)
    store.add("mail", "hold", ["patient"])
    store.add("short", "hold", ["hasty"])
    until(lambda: len(d.lines("began")) == 2)
    d.signal(signal.SIGTERM)
    d.wait_for("job.released", job_id="hasty")
    d.open_gate()
    assert d.wait() == 0
    assert d.lines() == ["patient"]


@pytest.mark.parametrize(
    ("task", "second"), [("hold", signal.SIGTERM), ("hold_thread", signal.SIGINT)]
)
def test_a_second_signal_hands_back_at_once(daemon, store, task, second):
    d = daemon(store.url, MAIL, top=PATIENT).start()
    ids = store.add("mail", task, [f"{n}" for n in range(5)])
    until(lambda: len(d.lines("began")) == 5)
    d.signal(signal.SIGTERM)
    d.wait_for("daemon.draining")
    d.signal(second)
    assert d.wait() == 0
    for each in ids:
        record = store.get("mail", each)
        assert (record.state, record.attempt, record.crashes) == ("waiting", 1, 0)


def test_two_signals_in_one_moment_are_two(daemon, store):
    d = daemon(store.url, MAIL, top=PATIENT).start()
    store.add("mail", "hold", ["a"])
    until(lambda: d.lines("began"))
    d.signal(signal.SIGTERM)
    d.signal(signal.SIGINT)
    assert d.wait() == 0


def work_of(d: Daemon) -> float:
    """Seconds that its process has had of a processor."""
    return sum(psutil.Process(d.pid).cpu_times()[:2])


def test_term_is_honoured_at_every_moment_of_the_start(daemon, server):
    # The first moments are Python's own.
    d = daemon(server.url, MAIL, top=PATIENT, command=COMMAND).start()
    whole = work_of(d)
    d.kill()
    rounds, reached = scaled(6, 50), 0
    for step in range(rounds):
        d.start(ready=False)
        # The moment is what is tested. It is told by the work that is done, not by the clock: on a
        # busy machine one start may take three times as long as another.
        moment = 1.3 * whole * step / (rounds - 1)
        until(lambda: work_of(d) >= moment or d.all("daemon.ready"))  # noqa: B023
        code = d.stop()
        # Before Python runs our first line, the kernel ends the process.
        assert code == 0 or (code == -signal.SIGTERM and not d.events), (step, d.events, d.stderr)
        assert d.stderr == ""
        reached += bool(d.all("daemon.starting"))
        d.kill()
    assert reached, "the later rounds were to reach our own code"


def test_term_ends_an_import_that_takes_for_ever(daemon, server, place):
    (place / "endless.py").write_text(
        "import pathlib, time\npathlib.Path('importing').touch()\nwhile True: time.sleep(60)\n"
    )
    d = daemon(server.url, MAIL, tasks=["endless"]).start(ready=False)
    until((place / "importing").exists)
    assert d.stop() == 0


def test_hup_during_the_start_reloads_once_ready(daemon, server, place):
    (place / "slow.py").write_text(
        "import pathlib, time\npathlib.Path('importing').touch()\n"
        "while not pathlib.Path('go').exists(): time.sleep(0.01)\n"
    )
    d = daemon(server.url, MAIL, tasks=["slow"]).start(ready=False)
    until((place / "importing").exists)
    d.configure(MAIL + "[queues.more]\n")
    d.signal(signal.SIGHUP)
    (place / "go").touch()
    d.wait_for("daemon.reloaded")
    d.wait_for("queue.started", queue="more")
    assert d.stop() == 0


def test_waits_for_a_store_that_is_not_there_yet(daemon, server):
    server.stop()
    d = daemon(server.url, MAIL).start(ready=False)
    d.wait_for("daemon.degraded")
    assert d.ask("status")["phase"] == "starting"
    refused = d.cli("reload")
    assert refused.returncode == 1
    assert refused.stderr.startswith(
        "asyncmqd: the daemon is still starting, waiting for the store"
    )
    server.start()
    d.wait_for("daemon.recovered")
    d.wait_for("daemon.ready")
    assert len(d.all("daemon.degraded")) == 1
    assert d.stop() == 0


def test_term_leaves_at_once_while_it_waits_for_the_store(daemon, server):
    server.stop()
    d = daemon(server.url, MAIL).start(ready=False)
    d.wait_for("daemon.degraded")
    assert d.stop() == 0


def test_usr1_logs_the_stack_of_every_running_job(daemon, server, store):
    d = daemon(store.url, MAIL).start()
    store.add("mail", "hold", ["a"])
    store.add("mail", "hold_thread", ["t"])
    until(lambda: len(d.lines("began")) == 2)
    d.signal(signal.SIGUSR1)
    assert d.wait_for("daemon.state")["queues"]["mail"]["running"] == 2
    for job, function in (("a", "hold"), ("t", "hold_thread")):
        stack = d.wait_for("job.stack", job_id=job)["stack"]
        assert any("ledger.py" in line and line.endswith(f" {function}") for line in stack), stack


def test_a_store_that_vanishes_while_draining_does_not_hold_the_exit(daemon, server, place):
    d = daemon(server.url, MAIL, top="shutdown_timeout = 0.2").start()
    Store(server.url).add("mail", "hold", ["a"])
    until(lambda: d.lines("began"))
    server.stop()
    assert d.stop() == 0


def test_an_idle_daemon_waits_for_no_store_that_hangs(daemon, server):
    d = daemon(server.url, MAIL, top=PATIENT).start()
    server.freeze()
    d.wait_for("daemon.degraded")
    assert d.stop() == 0
    server.thaw()


def test_a_store_that_hangs_does_not_hold_a_second_term(daemon, server):
    d = daemon(f"{server.url}?timeout=600", MAIL, top=PATIENT).start()
    Store(server.url).add("mail", "hold", ["a"])
    until(lambda: d.lines("began"))
    server.freeze()
    d.signal(signal.SIGTERM)
    d.wait_for("daemon.draining")
    assert d.stop() == 0
    server.thaw()


def test_a_store_that_refuses_us_is_no_matter_of_patience(daemon, server):
    d = daemon(server.url.replace("unix://", "unix://stranger:hidden@"), MAIL).start(ready=False)
    assert d.wait() == 1
    (failed,) = d.all("daemon.failed")
    assert "exc_info" not in failed
    assert "hidden" not in f"{d.events} {d.stderr}"
