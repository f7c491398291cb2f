"""Mails are late in nine ways: the first line of `asyncmqd status`, and of `asyncmq queue why`.

Each with real daemons. The scenes of `queue why` on each store are in tests/cli/test_why.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from asyncmqd.admin import why
from asyncmqd.admin.causes import Cause, Own, of_daemon
from asyncmqd.domain.heartbeat import serving_of
from tests.daemon.harness import Daemon, Notified, Store, until
from tests.servers import RedisServer

Make = Callable[..., Daemon]
BREAKS = """
from asyncmqd import task

@task(name="breaks")
async def breaks():
    raise ConnectionRefusedError("smtp.example.org:25")
"""


def first_line(d: Daemon, name: str) -> str:
    """What `asyncmqd status` prints first, once the worst cause has this name."""

    def told() -> str | None:
        found = d.ask("status")["causes"]
        if not found or found[0]["name"] != name:
            return None
        printed = d.cli("status").stdout.splitlines()[0]  # a job may be tried at this moment
        return printed if printed.startswith("! ") else None

    return re.sub(r"\d{4}-\S+?Z", "TIME", until(told) or "")


def serves(store: Store, queue: str) -> bool:
    """Whether a living daemon has told that it serves the queue."""
    living = store.do(lambda backend: backend.workers())
    return any(serving_of(each.info).serves(queue) for each in living)


def reason(store: Store, queue: str = "mail") -> str:
    return store.do(lambda backend: why.queue(backend, queue)).name


def test_the_store_is_down(daemon: Make, server: RedisServer) -> None:
    d = daemon(server.url, "[queues.mail]\n").start()
    assert d.ask("status")["causes"] == []
    server.kill()
    line = first_line(d, "degraded")
    assert line.startswith("! degraded: ")
    assert line.endswith(", since TIME. [asyncmq store info]")
    server.start()
    until(lambda: d.ask("status")["causes"] == [])


def test_the_queue_is_paused(daemon: Make, store: Store) -> None:
    d = daemon(store.url, "[queues.mail]\n").start()
    store.do(lambda backend: backend.pause("mail", True, by="ann", reason="provider is down"))
    assert first_line(d, "paused") == (
        "! mail: Queue mail is paused since TIME by ann: provider is down."
        " [asyncmq queue resume mail]"
    )


def test_the_limit_is_full(daemon: Make, file: Store) -> None:
    queue = "[queues.mail]\nglobal_rate_limit = 1\nglobal_rate_interval = 3600\n"
    d = daemon(file.url, queue).start()
    file.add("mail", "mark", ["a", "b"])
    line = first_line(d, "global_rate_limit")
    assert line.startswith("! mail: 1 job to run: the rate limit of 1 in 3600 s over all daemons")
    assert d.ask("status")["causes"][0]["until"] is not None


def test_the_slots_are_busy(daemon: Make, file: Store) -> None:
    d = daemon(file.url, "[queues.mail]\nconcurrency = 1\n").start()
    file.add("mail", "hold", ["slow"])
    until(lambda: d.lines("began"))
    file.add("mail", "mark", ["b"])
    line = first_line(d, "slots_busy")
    assert "1 job to run: all slots are busy (1), longest with slow (hold, " in line
    assert line.endswith(", since TIME. [asyncmqd reload]")
    d.open_gate()
    until(lambda: d.ask("status")["causes"] == [])


def test_nobody_knows_the_task(daemon: Make, file: Store) -> None:
    d = daemon(file.url, "[queues.mail]\n").start()
    until(lambda: serves(file, "mail"))  # by a heartbeat, which tells what it knows, too
    file.add("mail", "marks", ["a"])
    assert first_line(d, "parked") == (
        "! mail: Parked for task marks: no worker there knows its task (did you mean mark?)."
        " [systemctl restart asyncmqd]"
    )


def test_the_jobs_fail(daemon: Make, file: Store, place: Path) -> None:
    (place / "broken_mail.py").write_text(BREAKS)
    d = daemon(file.url, "[queues.mail]\n", tasks=("ledger", "broken_mail")).start()
    file.add("mail", "breaks", ["a", "b", "c"])
    line = first_line(d, "failing")
    assert line.startswith(
        "! mail: 3 of the last 3 runs failed, 3 of them with ConnectionRefusedError:"
        " smtp.example.org:25, since TIME. [asyncmq job show "
    )


def test_the_daemon_of_a_schedule_is_gone(daemon: Make, file: Store) -> None:
    often = '[[queues.mail.repeatables]]\ntask = "mark"\nevery = 1\n'
    one = daemon(file.url, f"[queues.mail]\n{often}", name="one").start()
    until(one.lines)
    one.kill()
    two = daemon(file.url, "[queues.mail]\n", name="two").start()
    line = first_line(two, "schedule_late")
    assert line.startswith("! mail: Schedule mark is late: its instant TIME was not fired")


def test_no_daemon_lives(daemon: Make, file: Store) -> None:
    d = daemon(file.url, "[queues.mail]\n").start()
    file.add("mail", "mark", ["a"])
    until(d.lines)
    until(lambda: reason(file) in {"working", "empty"})
    assert d.stop() == 0
    assert reason(file) == "no_daemon"


def test_the_daemon_restarts(daemon: Make, file: Store) -> None:
    d = daemon(file.url, "[queues.mail]\ntimeout = 0.1\n[queues.slow]\n", top="stuck_limit = 1\n")
    d.start()
    file.add("slow", "hold", ["drains"])
    until(lambda: d.lines("began"))
    file.add("mail", "hold_thread", ["stuck"])
    d.wait_for("daemon.restarting")
    line = first_line(d, "restarting")
    assert line.startswith("! restarting: 1 plain functions are stuck")


def test_the_status_line_says_the_worst_first(daemon: Make, file: Store, place: Path) -> None:
    notified = Notified(f"{place}/n")
    d = daemon(file.url, "[queues.mail]\n", environ={"NOTIFY_SOCKET": notified.address})
    file.do(lambda backend: backend.pause("mail", True, by="ann", reason="provider is down"))
    d.start()
    until(lambda: any("Queue mail is paused" in each for each in notified.all("STATUS")))
    line = next(each for each in notified.all("STATUS") if "is paused" in each)
    assert line.startswith("mail: Queue mail is paused since ")
    assert "[asyncmq queue resume mail]; queues: 1, running: 0" in line


# ---------------------------------------------------------------------- the pure function


def test_causes_come_in_the_order_of_their_gravity() -> None:
    own = Own(
        store_error="no answer",
        store_since=0.0,
        refusal="reload refused: x",
        crashed=["watchdog: ValueError"],
        stuck=["mail"],
        absent=[2],
        held_back={"mail": "no thread"},
    )
    late = Cause(name="a_limit_of_a_later_release", sentence="x", queue="web")
    failing = Cause(name="failing", sentence="x", queue="web")
    names = [each.name for each in of_daemon(own, [late, failing])]
    assert names == [
        "degraded",
        "stuck",
        "crashed",
        "process_down",
        "held_back",
        "a_limit_of_a_later_release",
        "failing",
        "reload_refused",
    ]
    assert of_daemon(Own()) == []
    assert of_daemon(own)[0].line == (
        "degraded: no answer, since 1970-01-01T00:00:00.000Z. [asyncmq store info]"
    )
