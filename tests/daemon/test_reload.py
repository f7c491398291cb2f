"""Reload: what changes, what must not, and what is refused."""

from __future__ import annotations

import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

from asyncmqd.daemon.control_client import ask
from asyncmqd.daemon.control_protocol import Request, pack
from tests.daemon.harness import Store, until

TWO = "[queues.mail]\nconcurrency = 2\n[queues.steady]\nrate_limit = 3\nrate_interval = 3600\n"
SLOW = """
import pathlib, time
pathlib.Path('importing').touch()
while not pathlib.Path('go').exists():
    time.sleep(0.01)
async def scan(queue, *, backend, interval): pass
"""  # a module of scanners whose import lasts until it is told to go on


def test_a_changed_number_changes_in_place(daemon, server):
    store = Store(server.url)
    d = daemon(server.url, TWO).start()
    store.add("mail", "hold", [f"m{n}" for n in range(4)])
    store.add("steady", "hold", [f"s{n}" for n in range(5)])
    until(lambda: len(d.lines("began")) == 5)  # 2 by concurrency, 3 by the rate limit
    d.configure(TWO.replace("concurrency = 2", "concurrency = 4"))
    done = d.cli("reload")
    assert (done.returncode, done.stdout) == (0, "~ queue mail: concurrency: 2 -> 4\n")
    until(lambda: len(d.lines("began", "mail")) == 4)
    assert len(d.lines("began", "steady")) == 3  # its limiter was not filled anew
    assert len(d.all("queue.started")) == 2
    assert d.all("queue.changed") == d.all("queue.changed", queue="mail", concurrency=4)
    d.open_gate()
    assert d.stop() == 0
    assert set(d.tally().values()) == {1}


def test_queues_come_and_go_under_load(daemon, store):
    queues = {name: f"[queues.{name}]\nconcurrency = 20\n" for name in ("a", "b", "c")}
    d = daemon(store.url, queues["a"] + queues["b"], top="shutdown_timeout = 5").start()
    jobs = {name: [f"{name}{n}" for n in range(600)] for name in queues}
    for name, ids in jobs.items():
        store.add(name, "nap", ids, 0.005)
    for chosen in ("abc", "ac", "abc", "a", "ab", "bc", "abc"):
        done = len(d.lines())
        d.configure("".join(queues[name] for name in chosen))
        d.ask("reload")
        until(lambda seen=done: len(d.lines()) > seen or len(d.lines()) == 1800)
    until(lambda: len(d.lines()) >= 1800)
    assert d.stop() == 0
    assert d.tally() == {each: 1 for ids in jobs.values() for each in ids}
    assert [store.counts(name).completed for name in queues] == [600, 600, 600]
    assert not d.all("queue.crashed")


def test_a_removed_queue_drains_and_the_reload_does_not_wait(daemon, server):
    store = Store(server.url)
    d = daemon(server.url, TWO).start()
    store.add("mail", "hold", ["m"])
    until(lambda: d.lines("began"))
    d.configure("[queues.steady]\n")
    result = d.ask("reload")
    assert result["draining"] == ["mail"]
    store.add("mail", "mark", ["left"])
    assert d.ask("status")["queues"]["mail"]["draining"]
    d.open_gate()
    d.wait_for("queue.stopped", queue="mail")
    assert "mail" not in d.ask("status")["queues"]
    assert d.lines() == ["m"]
    assert store.counts("mail").waiting == 1


def test_a_queue_that_comes_back_while_it_drains_is_served_again(daemon, server):
    store = Store(server.url)
    d = daemon(server.url, TWO).start()
    store.add("mail", "hold", ["m"])
    until(lambda: d.lines("began"))
    d.configure("[queues.steady]\n")
    d.ask("reload")
    d.configure(TWO)
    d.ask("reload")
    d.open_gate()
    store.add("mail", "mark", ["next"])
    until(lambda: d.lines() == ["m", "next"])
    assert d.stop() == 0


def test_a_broken_file_changes_nothing_and_says_why(daemon, server):
    store = Store(server.url)
    d = daemon(server.url, TWO).start()
    d.configure(TWO + "[queues.new]\nconcurency = 3\n")
    line = len(d.config.read_text().splitlines())
    done = d.cli("reload")
    reason = f"{d.config}:{line}: queues.new.concurency: expected a known key"
    assert done.returncode == 1
    assert done.stderr.startswith(f"asyncmqd: {reason}"), done.stderr
    assert "concurrency" in done.stderr  # the nearest known one
    assert d.wait_for("daemon.reload_refused")["error"].startswith(reason)
    status = d.ask("status")
    assert sorted(status["queues"]) == ["mail", "steady"]
    assert status["config"]["generation"] == 1
    assert reason in status["config"]["refusal"]
    store.add("mail", "mark", ["still"])
    until(lambda: d.lines() == ["still"])
    d.configure(TWO + "[queues.new]\n")
    assert d.cli("reload").returncode == 0
    assert d.ask("status")["config"]["refusal"] == ""


def test_status_tells_of_an_edit_that_nobody_has_reloaded(daemon, server):
    d = daemon(server.url, TWO).start()
    hint = "written since then: asyncmqd plan shows what a reload would change"
    drop_ins = d.config.with_suffix(".d")
    drop_ins.mkdir()
    for write in (
        lambda: d.configure(TWO + "[queues.new]\n"),
        lambda: (drop_ins / "10.toml").write_text("[queues.more]\n"),
        (drop_ins / "10.toml").unlink,
    ):
        assert not d.ask("status")["config"]["edited"]
        assert hint not in d.cli("status").stdout
        write()
        assert hint in d.cli("status").stdout
        assert d.cli("plan").returncode == 0
        assert d.ask("status")["config"]["edited"]  # to look is not to load
        d.ask("reload")


def test_a_file_that_is_no_toml_at_all_still_finds_the_daemon(daemon, server):
    d = daemon(server.url, TWO).start()
    d.config.write_text(d.config.read_text() + "[queues.x\n")
    done = d.cli("reload")
    assert done.returncode == 1
    line = len(d.config.read_text().splitlines())
    assert done.stderr.startswith(f"asyncmqd: {d.config}:{line}: toml: expected"), done.stderr
    d.wait_for("daemon.reload_refused")


def test_hup_reloads_and_refuses_likewise(daemon, server):
    d = daemon(server.url, TWO).start()
    d.configure(TWO + "[queues.new]\n")
    d.signal(signal.SIGHUP)
    d.wait_for("daemon.reloaded", generation=2)
    d.configure(TWO + "[queues.new]\nconcurrency = 0\n")
    d.signal(signal.SIGHUP)
    d.wait_for("daemon.reload_refused")
    assert sorted(d.ask("status")["queues"]) == ["mail", "new", "steady"]


def test_keys_that_need_a_restart_are_named_until_it_comes(daemon, server):
    d = daemon(server.url, TWO).start()
    for concurrency in (3, 4):
        d.configure(TWO.replace("= 2", f"= {concurrency}"), top='lease = 5\nlog_format = "json"')
        done = d.cli("reload")
        assert done.returncode == 0
        assert "lease: 15.0 -> 5.0 (needs a restart of the daemon)" in done.stdout
        reloaded = d.wait_for("daemon.reloaded", count=concurrency - 2)
        assert reloaded["needs_restart"] == ["log_format", "lease"]
    assert d.ask("status")["config"]["needs_restart"] == ["log_format", "lease"]
    assert "restart needed for log_format, lease\n" in d.cli("status").stdout
    d.configure(TWO, top="lease = soon")
    assert d.cli("reload").returncode == 1
    assert d.ask("status")["config"]["needs_restart"] == ["log_format", "lease"]
    d.configure(TWO)
    result = d.ask("reload")
    assert (result["needs_restart"], result["plan"]["restart"]) == ([], [])
    assert d.ask("status")["config"]["needs_restart"] == []
    assert "restart" not in d.cli("status").stdout


def test_a_restart_settles_what_was_owed(daemon, server):
    d = daemon(server.url, TWO).start()
    d.configure(TWO, top="lease = 5")
    assert d.ask("reload")["needs_restart"] == ["lease"]
    assert d.stop() == 0
    d.kill()
    d.start()
    assert d.ask("status")["config"]["needs_restart"] == []
    assert d.cli("plan").stdout == "nothing would change\n"


def test_the_log_level_changes_in_place(daemon, server):
    store = Store(server.url)
    d = daemon(server.url, TWO, top='log_level = "warning"')
    d.start(ready=False)
    until(d.answers)
    d.configure(TWO, top='log_level = "info"')
    until(lambda: d.ask("status")["phase"] == "ready")
    assert not [event for event in d.events if event["level"] == "info"]
    d.ask("reload")
    store.add("mail", "mark", ["a"])
    d.wait_for("job.completed", job_id="a")


def test_scanners_are_started_anew_by_themselves(daemon, server, place):
    (place / "scan.py").write_text(
        "import asyncio, structlog\n"
        "async def one(queue, *, backend, interval):\n"
        "    structlog.get_logger().info('scans', queue=queue)\n"
        "    await asyncio.Event().wait()\n"
        "not_one = 3\n"
    )
    d = daemon(server.url, TWO).start()
    d.configure(TWO + '[queues.new]\nscanners = ["scan:one"]\n')
    d.ask("reload")
    d.wait_for("scans", queue="new")
    d.configure(TWO + '[queues.new]\nscanners = ["scan:not_one"]\n')
    done = d.cli("reload")
    assert done.returncode == 1
    assert "queues.new.scanners[0]: expected an async function, got 'scan:not_one'" in done.stderr
    d.configure(TWO.replace("[queues.steady]", '[queues.steady]\nscanners = ["scan:one"]'))
    d.ask("reload")
    d.wait_for("scans", queue="steady")
    assert len(d.all("queue.started", queue="steady")) == 2
    assert len(d.all("queue.started", queue="mail")) == 1


def test_requests_that_come_during_a_reload_share_the_next(daemon, server, place):
    (place / "slow.py").write_text(SLOW)
    d = daemon(server.url, TWO).start()
    d.configure(TWO + '[queues.new]\nscanners = ["slow:scan"]\n')
    with ThreadPoolExecutor(11) as pool:
        first = pool.submit(d.ask, "reload")
        until((place / "importing").exists)
        others = [pool.submit(d.ask, "reload") for _ in range(10)]
        for _ in range(10):
            d.signal(signal.SIGHUP)
        assert d.ask("ping") is None  # the loop is not held up meanwhile
        (place / "go").touch()
        assert first.result()["generation"] == 2
        generations = {other.result()["generation"] for other in others}
    assert generations <= {3, 4}
    assert len(d.all("daemon.reloaded")) <= 4


def test_thirty_clients_and_thirty_signals_at_once_are_a_few_reloads(daemon, server):
    d = daemon(server.url, TWO).start()
    written, writing = [0], threading.Lock()

    def ask(_: int) -> bool:
        """Write a newer file, reload; whether at least that one serves right afterwards."""
        with writing:
            written[0] += 1
            own = written[0]
            d.configure(TWO.replace("concurrency = 2", f"concurrency = {own + 2}"))
        generation = d.ask("reload")["generation"]
        status = d.ask("status")
        assert status["config"]["generation"] >= generation > 1
        return status["queues"]["mail"]["concurrency"] >= own + 2

    with ThreadPoolExecutor(30) as pool:
        answers = pool.map(ask, range(30))
        for _ in range(30):
            d.signal(signal.SIGHUP)
        assert all(answers)
    d.ask("reload")  # whatever signal came last has been obeyed after this one
    assert 2 <= len(d.all("daemon.reloaded")) <= 8
    until(lambda: len(d.all("daemon.reloading")) == len(d.all("daemon.reloaded")))


def test_a_client_that_goes_away_takes_no_reload_with_it(daemon, server, place):
    (place / "slow.py").write_text(SLOW)
    d = daemon(server.url, TWO).start()
    d.configure(TWO + '[queues.new]\nscanners = ["slow:scan"]\n')
    with ThreadPoolExecutor(1) as pool:
        with connected(d) as first:
            first.sendall(pack(Request("reload")))
            until((place / "importing").exists)
        with connected(d) as second:
            second.sendall(pack(Request("reload")))
        staying = pool.submit(d.ask, "reload")
        (place / "go").touch()
        assert staying.result()["generation"] in {2, 3, 4}
    assert "new" in d.ask("status")["queues"]
    assert d.wait_for("daemon.reloaded")["generation"] == 2


def connected(d) -> socket.socket:
    line = socket.socket(socket.AF_UNIX)
    line.connect(str(d.control))
    return line


def test_a_stop_during_a_reload_stops_and_the_reload_changes_nothing(daemon, server, place):
    """It would have had the drained queues served again."""
    (place / "slow.py").write_text(SLOW)
    store = Store(server.url)
    d = daemon(server.url, TWO).start()
    store.add("mail", "hold", ["m"])
    until(lambda: d.lines("began"))
    d.configure(TWO + '[queues.new]\nscanners = ["slow:scan"]\n')
    with ThreadPoolExecutor(2) as pool:
        under_way = pool.submit(ask, d.control, "reload")
        until((place / "importing").exists)
        next_one = pool.submit(ask, d.control, "reload")
        assert d.answers()
        d.signal(signal.SIGTERM)
        for reply in (under_way.result(), next_one.result()):
            assert (reply.ok, reply.error) == (False, "the daemon is stopping")
    (place / "go").touch()
    late = ask(d.control, "reload")
    assert (late.ok, late.error) == (False, "the daemon is stopping")
    d.signal(signal.SIGHUP)
    assert d.answers()
    store.add("mail", "mark", ["next"])
    d.open_gate()
    assert d.wait() == 0
    assert d.lines() == ["m"]
    assert not d.all("daemon.reloaded")
    assert len(d.all("queue.started")) == 2


def test_a_queue_about_to_go_fires_no_schedule_while_it_drains(daemon, server):
    """Its jobs would wait for nobody."""
    store = Store(server.url)
    often = '[[queues.{}.repeatables]]\ntask = "mark"\nname = "often"\nevery = 0.05\n'
    d = daemon(server.url, TWO + often.format("mail") + often.format("steady")).start()
    d.wait_for("schedule.fired", queue="mail")
    store.add("mail", "hold", ["m"])
    until(lambda: d.lines("began"))
    d.configure("[queues.steady]\n" + often.format("steady"))
    d.ask("reload")
    # One that was being fired at that moment may still come.
    seen = len(d.all("schedule.fired", queue="steady")) + 2
    d.wait_for("schedule.fired", count=seen, queue="steady")
    fired = len(d.all("schedule.fired", queue="mail"))
    d.wait_for("schedule.fired", count=seen + 5, queue="steady")
    assert len(d.all("schedule.fired", queue="mail")) == fired
    d.open_gate()
    d.wait_for("queue.stopped", queue="mail")


def test_a_worker_that_restarts_brings_no_second_burst(daemon, server, place):
    (place / "scan.py").write_text(
        "import asyncio\n"
        "async def one(queue, *, backend, interval):\n"
        "    await asyncio.Event().wait()\n"
    )
    store = Store(server.url)
    limited = "[queues.steady]\nrate_limit = 3\nrate_interval = 3600\n"
    d = daemon(server.url, limited).start()
    store.add("steady", "mark", [f"s{n}" for n in range(5)])
    until(lambda: len(d.lines()) == 3)
    d.configure(limited + 'scanners = ["scan:one"]\n')
    d.ask("reload")
    d.wait_for("queue.started", count=2, queue="steady")
    d.configure("[queues.steady]\n")
    store.add("steady", "mark", ["probe"])
    assert d.ask("status")["queues"]["steady"]["jobs"]["waiting"] == 3
    d.ask("reload")
    until(lambda: len(d.lines()) == 6)


def test_a_reload_of_nothing_is_applied(daemon, server):
    d = daemon(server.url, TWO).start()
    done = d.cli("reload")
    assert (done.returncode, done.stdout) == (0, "reloaded, nothing has changed\n")
    assert not d.all("queue.changed")


def test_no_daemon_no_reload(daemon, server):
    d = daemon(server.url, TWO)
    for command in ("reload", "status", "plan"):
        done = d.cli(command)
        assert done.returncode == 1
        assert (
            done.stderr == f"asyncmqd: no daemon runs at {d.control} [systemctl start asyncmqd]\n"
        )
