"""Reload: what changes, what must not, and what is refused."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor

from tests.daemon.harness import Store, until

TWO = "[queues.mail]\nconcurrency = 2\n[queues.steady]\nrate_limit = 3\nrate_interval = 3600\n"


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
    for _ in range(2):
        d.configure(TWO, top="lease = 5")
        done = d.cli("reload")
        assert done.returncode == 0
        assert "lease: 15.0 -> 5.0 (needs a restart of the daemon)" in done.stdout
        assert d.wait_for("daemon.reloaded")["needs_restart"] == ["lease"]


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
    (place / "slow.py").write_text(
        "import pathlib, time\npathlib.Path('importing').touch()\n"
        "while not pathlib.Path('go').exists(): time.sleep(0.01)\n"
        "async def scan(queue, *, backend, interval): pass\n"
    )
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


def test_plan_tells_and_changes_nothing(daemon, server):
    d = daemon(server.url, TWO).start()
    assert d.cli("plan").stdout == "nothing would change\n"
    d.configure("[queues.mail]\nconcurrency = 3\n[queues.new]\n")
    done = d.cli("plan")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "+ queue new: start",
        "- queue steady: drain and stop",
        "~ queue mail: concurrency: 2 -> 3",
    ]
    assert d.ask("status")["config"]["generation"] == 1
    d.configure("[queues.mail]\nconcurrency = 0\n")
    assert d.cli("plan").returncode == 1


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
        assert done.stderr == f"asyncmqd: no daemon runs at {d.control}\n"
