"""What systemd is told."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from itertools import pairwise

import pytest

from asyncmqd.daemon.systemd import Systemd
from asyncmqd.observe.observer import Observer
from tests.daemon.harness import Notified, Store, until
from tests.scale import scaled

MAIL = "[queues.mail]\nconcurrency = 5\n"


BOTH = ["path", "abstract"]  # what a socket may be


@pytest.fixture(params=scaled(["path"], BOTH))
def notified(request, place) -> Notified:
    return Notified(f"{place}/n" if request.param == "path" else f"@{place.name}")


@pytest.mark.parametrize("notified", BOTH, indirect=True)
def test_the_whole_transcript(daemon, server, notified):
    store = Store(server.url)
    d = daemon(server.url, MAIL, environ={"NOTIFY_SOCKET": notified.address})
    d.start()
    notified.wait_for("READY")
    assert d.answers(), "READY came before the control socket"
    d.configure(MAIL + "[queues.more]\n")
    d.ask("reload")
    d.configure(MAIL + "bad = 1\n")
    assert d.cli("reload").returncode == 1
    notified.wait_for("READY", 3)
    store.add("mail", "hold", ["a"])
    until(lambda: d.lines("began"))
    d.signal(signal.SIGTERM)
    until(lambda: "draining, 1 left" in notified.all("STATUS"))
    d.open_gate()
    assert d.wait() == 0
    states = ("READY", "RELOADING", "STOPPING")
    order = [key for _, fields in notified.messages for key in fields if key in states]
    assert order == ["READY", "RELOADING", "READY", "RELOADING", "READY", "STOPPING"]
    now = time.monotonic() * 1e6
    for began in notified.all("MONOTONIC_USEC"):
        assert 0 < now - int(began) < 60e6
    statuses = notified.all("STATUS")
    assert any(f"{d.config}:" in s and "queues.mail.bad" in s for s in statuses), statuses
    assert all(s.isascii() and len(s) <= 400 for s in statuses)
    assert notified.all("EXTEND_TIMEOUT_USEC")
    assert not notified.all("WATCHDOG")


def test_time_is_asked_for_while_the_store_is_away(daemon, server, notified):
    server.stop()
    environ = {"NOTIFY_SOCKET": notified.address}
    d = daemon(server.url, MAIL, environ=environ).start(ready=False)
    until(lambda: any("waiting for the store: " in text for text in notified.all("STATUS")))
    notified.wait_for("EXTEND_TIMEOUT_USEC", 2)
    assert not notified.all("READY")
    server.start()
    notified.wait_for("READY")
    assert d.stop() == 0


def test_the_watchdog_is_fed_at_a_third_of_its_period(daemon, server, notified):
    environ = {"NOTIFY_SOCKET": notified.address, "WATCHDOG_USEC": "900000"}
    d = daemon(server.url, MAIL, environ=environ).start()
    notified.wait_for("WATCHDOG", 8)
    times = notified.times("WATCHDOG")
    gaps = sorted(after - before for before, after in pairwise(times))
    assert 0.2 < gaps[len(gaps) // 2] < 0.5
    assert d.stop() == 0


def test_a_watchdog_for_another_process_is_not_ours(daemon, server, notified):
    environ = {
        "NOTIFY_SOCKET": notified.address,
        "WATCHDOG_USEC": "3000",
        "WATCHDOG_PID": str(os.getpid()),
    }
    d = daemon(server.url, MAIL, environ=environ).start()
    assert d.stop() == 0
    notified.wait_for("STOPPING")
    assert not notified.all("WATCHDOG")


STUCK = """
import time
from asyncmqd import task

@task(name="block")
async def block() -> None:
    time.sleep(1.5)
"""


def test_a_blocked_loop_starves_the_watchdog(daemon, server, notified, place):
    (place / "stuck.py").write_text(STUCK)
    environ = {"NOTIFY_SOCKET": notified.address, "WATCHDOG_USEC": "300000"}
    d = daemon(server.url, MAIL, tasks=["stuck"], environ=environ).start()
    notified.wait_for("WATCHDOG", 3)
    Store(server.url).add("mail", "block", ["a"])
    d.wait_for("job.completed", job_id="a")
    notified.wait_for("WATCHDOG", len(notified.all("WATCHDOG")) + 1)
    times = notified.times("WATCHDOG")
    assert max(b - a for a, b in pairwise(times)) > 1.3


HUNG = """
import asyncio
from asyncmqd.runtime.scanner import Scanner

async def never(self):
    await asyncio.Event().wait()

Scanner.look = never
"""


def test_a_stuck_worker_starves_the_watchdog_but_an_outage_does_not(
    daemon, server, notified, place
):
    (place / "hung.py").write_text(HUNG)
    environ = {"NOTIFY_SOCKET": notified.address, "WATCHDOG_USEC": "300000"}
    limits = "lease = 1\nhang_limit = 1.5"
    d = daemon(server.url, MAIL, tasks=["hung"], environ=environ, top=limits).start()
    notified.wait_for("WATCHDOG", 1)
    until(lambda: time.monotonic() - notified.times("WATCHDOG")[-1] > 1)
    fed = len(notified.all("WATCHDOG"))
    assert notified.times("WATCHDOG")[-1] - notified.times("READY")[0] > 1
    server.stop()
    d.wait_for("daemon.degraded")
    notified.wait_for("WATCHDOG", fed + 3)


def test_jobs_do_not_inherit_the_notification_socket(daemon, server, notified):
    environ = {"NOTIFY_SOCKET": notified.address, "WATCHDOG_USEC": "9000000"}
    d = daemon(server.url, MAIL, environ=environ).start()
    store = Store(server.url)
    store.add("mail", "environment", ["a"])
    d.wait_for("job.completed", job_id="a")
    result = store.get("mail", "a").result
    assert b"LEDGER" in result
    assert b"NOTIFY" not in result
    assert b"WATCHDOG" not in result


# ---------------------------------------------------------------------- the messenger alone


@pytest.fixture
def messenger(monkeypatch):
    """Makes a Systemd of a process with these variables: sdnotify reads the real environment."""
    made: list[Systemd] = []

    def make(**variables: str) -> Systemd:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        made.append(Systemd(os.environ, Observer()))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_without_a_socket_all_is_silent(messenger, capfd):
    systemd = messenger()
    systemd.ready("x")
    systemd.status("x")
    assert systemd.watchdog is None
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("period", ["", "0", "abc", "-5"])
def test_a_period_that_is_none_feeds_nobody(messenger, period):
    assert messenger(WATCHDOG_USEC=period).watchdog is None


async def test_what_must_arrive_is_sent_again(messenger, place):
    address = f"{place}/full"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(10)
        systemd = messenger(NOTIFY_SOCKET=address)
        assert "NOTIFY_SOCKET" not in os.environ
        for _ in range(1000):  # far beyond what its queue takes; none of them may block
            systemd.status("fill")
        systemd.ready("now")
        seen = b""
        while b"READY=1" not in seen:
            seen = await asyncio.to_thread(listener.recv, 65_536)
        assert seen == b"READY=1\nSTATUS=now"


async def test_a_status_is_one_line_of_ascii(messenger, place):
    notified = Notified(f"{place}/n")
    systemd = messenger(NOTIFY_SOCKET=notified.address)
    systemd.status("Stra\u00dfe \u20ac\nSTOPPING=1 " + "x" * 1000)
    await asyncio.to_thread(notified.wait_for, "STATUS")
    (status,) = notified.all("STATUS")
    assert status.startswith("Stra\\xdfe \\u20ac STOPPING=1 xxx")
    assert len(status) == 400


def test_a_socket_that_is_not_there_is_a_warning_in_the_log(daemon, place):
    """It was told before there was a log, in a form of its own."""
    d = daemon("memory://", MAIL, environ={"NOTIFY_SOCKET": f"{place}/none"}).start()
    warnings = [event["warning"] for event in d.all("daemon.warning")]
    assert any(text.startswith("NOTIFY_SOCKET cannot be used: ") for text in warnings)
    assert d.stop() == 0
    assert d.stderr == ""


def test_more_time_is_asked_for_than_a_loop_may_be_blocked(place):
    heard = Notified(f"{place}/n")
    environ = {"NOTIFY_SOCKET": heard.address, "WATCHDOG_USEC": "30000000"}
    os.environ["NOTIFY_SOCKET"] = heard.address
    try:
        systemd = Systemd(environ, Observer())
    finally:
        del os.environ["NOTIFY_SOCKET"]
    systemd.extend("draining, 1 left")
    heard.wait_for("EXTEND_TIMEOUT_USEC")
    assert heard.all("EXTEND_TIMEOUT_USEC") == ["45000000"]
    systemd.status("draining, 1 left")  # told already
    systemd.status("draining, 0 left")
    heard.wait_for("STATUS", 2)
    assert heard.all("STATUS") == ["draining, 1 left", "draining, 0 left"]
    systemd.close()
